-- The event log and what is written in one transaction with it. The same tables and columns stand in
-- postgres/0001_log.sql; only types, triggers and the function append() differ.

CREATE TABLE events (
    -- Global, gapless, from 1, in commit order: max + n under BEGIN IMMEDIATE. It is the row id, so the log lies
    -- on the disk in the order in which it is read. (PostgreSQL's primary key is a unique constraint here; SQLite
    -- keeps both in an index of the same kind.)
    position INTEGER NOT NULL PRIMARY KEY CHECK (position >= 1),
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    event_type TEXT NOT NULL,
    event_version TEXT NOT NULL,
    payload TEXT NOT NULL CHECK (json_valid(payload)),
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    guild_id TEXT NULL,
    -- Epoch milliseconds, non-decreasing in position.
    recorded_at INTEGER NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, sequence)
) STRICT;

CREATE INDEX events_guild ON events (guild_id, position);

CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the event log is append-only: UPDATE on table events is refused; append an event that corrects the earlier one');
END;

CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'the event log is append-only: DELETE on table events is refused; to erase a person, destroy the subject key');
END;

-- Values that only one aggregate may hold.
CREATE TABLE claims (
    scope TEXT NOT NULL,
    value TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    PRIMARY KEY (scope, value)
) STRICT, WITHOUT ROWID;

-- What a repeat of a write is answered from.
CREATE TABLE idempotency (
    credential TEXT NOT NULL,
    method TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    outcome TEXT NOT NULL,
    first_position INTEGER NULL,
    last_position INTEGER NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (credential, method, route, key)
) STRICT;

CREATE INDEX idempotency_created_at ON idempotency (created_at);

-- Data keys of persons and guilds, wrapped. Outside the log, because erasure deletes a row here.
CREATE TABLE subject_keys (
    subject TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    kek_id INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
