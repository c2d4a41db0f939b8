-- Aggregates that a read model leaves out, because an event or a row of theirs could not be applied; the model goes on
-- with all others. A rebuild begins with none. The same table stands in sqlite/0006_parked.sql.
CREATE TABLE projection_parked (
    model TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    -- The event at which it was left out.
    position BIGINT NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (model, aggregate_type, aggregate_id)
);
