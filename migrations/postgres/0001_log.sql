-- The event log and what is written in one transaction with it. The same tables, columns and constraint names
-- stand in sqlite/0001_log.sql; only types, triggers and the function append() differ.

CREATE TABLE events (
    -- Global, gapless, from 1, in commit order. Assigned by append() under a lock, never by a sequence: numbers
    -- drawn from a sequence become visible out of order, and a reader that goes by "greater than" loses events.
    position BIGINT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    event_type TEXT NOT NULL,
    event_version TEXT NOT NULL,
    -- json, not jsonb: the text is kept byte for byte, and leaves of the Merkle log are made from it.
    payload JSON NOT NULL,
    metadata JSON NOT NULL,
    guild_id TEXT NULL,
    -- Epoch milliseconds, non-decreasing in position.
    recorded_at BIGINT NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (aggregate_type, aggregate_id, sequence),
    CONSTRAINT events_position_key UNIQUE (position),
    CONSTRAINT events_sequence_check CHECK (sequence >= 1),
    CONSTRAINT events_position_check CHECK (position >= 1)
);

CREATE INDEX events_guild ON events (guild_id, position);

CREATE FUNCTION refuse_change_of_events() RETURNS trigger
LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % on table events is refused', TG_OP
        USING ERRCODE = 'restrict_violation',
              HINT = 'Append an event that corrects the earlier one; to erase a person, destroy the subject key.';
END
$refuse$;

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_events();

-- Values that only one aggregate may hold.
CREATE TABLE claims (
    scope TEXT NOT NULL,
    value TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    CONSTRAINT claims_pkey PRIMARY KEY (scope, value)
);

-- What a repeat of a write is answered from.
CREATE TABLE idempotency (
    credential TEXT NOT NULL,
    method TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    outcome TEXT NOT NULL,
    first_position BIGINT NULL,
    last_position BIGINT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (credential, method, route, key)
);

CREATE INDEX idempotency_created_at ON idempotency (created_at);

-- Data keys of persons and guilds, wrapped. Outside the log, because erasure deletes a row here.
CREATE TABLE subject_keys (
    subject TEXT NOT NULL,
    key_id TEXT NOT NULL,
    kek_id BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT subject_keys_pkey PRIMARY KEY (subject)
);

CREATE TABLE meta (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT meta_pkey PRIMARY KEY (name)
);

-- Appends any number of commands in one call: events, claims and idempotency rows, all or nothing.
--
-- The lock comes first, as a statement of its own, and the last position is read by a later one: in a VOLATILE
-- function under READ COMMITTED each statement has a snapshot of its own, so the second sees what the holder of
-- the lock before us committed. In one statement, or under any other isolation level, it would not.
--
-- Order of the inserts decides which violation is reported when there are several: a repeated write first, then
-- a stale version, then a taken value.
CREATE FUNCTION append(
    p_lock_timeout_ms BIGINT,
    p_clock_offset_ms BIGINT,
    p_aggregate_types TEXT[],
    p_aggregate_ids TEXT[],
    p_sequences BIGINT[],
    p_event_types TEXT[],
    p_event_versions TEXT[],
    p_payloads TEXT[],
    p_metadata TEXT[],
    p_guild_ids TEXT[],
    p_released_scopes TEXT[],
    p_released_values TEXT[],
    p_claim_scopes TEXT[],
    p_claim_values TEXT[],
    p_claim_types TEXT[],
    p_claim_ids TEXT[],
    p_credentials TEXT[],
    p_methods TEXT[],
    p_routes TEXT[],
    p_keys TEXT[],
    p_payload_hashes TEXT[],
    p_outcomes TEXT[],
    -- Where the events of a row's command stand in this call, from 1; null if it made none.
    p_first_events BIGINT[],
    p_last_events BIGINT[],
    p_created_at BIGINT[],
    OUT first_position BIGINT,
    OUT appended_at BIGINT
)
LANGUAGE plpgsql VOLATILE AS $append$
DECLARE
    v_last_position BIGINT;
    v_last_recorded_at BIGINT;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append() was called under isolation level %, and positions are only sound under read committed',
                current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state',
                  HINT = 'Call it in a transaction of its own with ISOLATION LEVEL READ COMMITTED.';
    END IF;
    PERFORM set_config('lock_timeout', p_lock_timeout_ms::text, true);
    -- The key is "DCA-logx" read as a number; advisory locks are per database.
    PERFORM pg_advisory_xact_lock(4918846881367287672);

    SELECT e.position, e.recorded_at INTO v_last_position, v_last_recorded_at
        FROM events AS e ORDER BY e.position DESC LIMIT 1;
    v_last_position := coalesce(v_last_position, 0);
    appended_at := greatest(
        coalesce(v_last_recorded_at, 0),
        floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + p_clock_offset_ms
    );

    IF cardinality(p_keys) > 0 THEN
        INSERT INTO idempotency (credential, method, route, key, payload_hash, outcome,
                                 first_position, last_position, created_at)
        SELECT i.credential, i.method, i.route, i.key, i.payload_hash, i.outcome,
               v_last_position + i.first_event, v_last_position + i.last_event, i.created_at
        FROM unnest(p_credentials, p_methods, p_routes, p_keys, p_payload_hashes, p_outcomes,
                    p_first_events, p_last_events, p_created_at)
            AS i (credential, method, route, key, payload_hash, outcome, first_event, last_event, created_at);
    END IF;

    IF cardinality(p_sequences) > 0 THEN
        INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                            payload, metadata, guild_id, recorded_at)
        SELECT v_last_position + e.n, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
               e.payload::json, e.metadata::json, e.guild_id, appended_at
        FROM unnest(p_aggregate_types, p_aggregate_ids, p_sequences, p_event_types, p_event_versions,
                    p_payloads, p_metadata, p_guild_ids)
            WITH ORDINALITY
            AS e (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, guild_id, n)
        ORDER BY e.n;
        first_position := v_last_position + 1;
    END IF;

    IF cardinality(p_released_scopes) > 0 THEN
        DELETE FROM claims AS c
        USING unnest(p_released_scopes, p_released_values) AS r (scope, value)
        WHERE c.scope = r.scope AND c.value = r.value;
    END IF;

    IF cardinality(p_claim_scopes) > 0 THEN
        INSERT INTO claims (scope, value, aggregate_type, aggregate_id)
        SELECT c.scope, c.value, c.aggregate_type, c.aggregate_id
        FROM unnest(p_claim_scopes, p_claim_values, p_claim_types, p_claim_ids)
            AS c (scope, value, aggregate_type, aggregate_id);
    END IF;
END
$append$;
