-- Suspicions that a server's staff are still to be told of, from the log into its log channel. The same table and columns
-- stand in postgres/0013_sharing_alerts.sql.

CREATE TABLE sharing_alert (
    guild_id TEXT NOT NULL,
    -- The event that it comes from.
    position INTEGER NOT NULL,
    license_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    -- JSON, numbers only.
    evidence TEXT NOT NULL,
    -- The message that names it, once that was begun.
    nonce TEXT NULL,
    PRIMARY KEY (guild_id, position)
) STRICT;
