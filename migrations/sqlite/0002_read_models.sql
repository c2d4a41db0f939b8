-- What is read: everything here is made from the log and can be dropped and built anew, `last_seen` aside. The same
-- tables and columns stand in postgres/0002_read_models.sql. The text of each read model repeats what its file in
-- projections/src says, because a rebuild makes the table from there; a test holds the two together. Names of indexes
-- end with the generation of their table: 0 here, another number after each rebuild.

-- Where each read model stands in the log; it moves in one transaction with the rows. Unfinished rebuilds have a row of
-- their own, `<name>__next`.
CREATE TABLE projection_checkpoint (
    name TEXT NOT NULL PRIMARY KEY,
    -- The epoch of the log that the position counts in; empty before the first event.
    epoch TEXT NOT NULL,
    position INTEGER NOT NULL,
    -- How often a table was begun under this name.
    generation INTEGER NOT NULL,
    -- The event that it could not apply, and why.
    failed_at INTEGER NULL,
    error TEXT NULL
) STRICT;

INSERT INTO projection_checkpoint (name, epoch, position, generation) VALUES
    ('license_view', '', 0, 0),
    ('guild_view', '', 0, 0),
    ('member_view', '', 0, 0),
    ('user_view', '', 0, 0),
    ('audit_trail', '', 0, 0);

-- One row a license: the fold of its events as JSON, what unsealing its personal fields gave, and the columns that
-- lists filter and sort by. `holds` has the names of what holds it, with commas; `grace_ms` is the grace as it works;
-- `due_at` is when the clock has something to do; `subjects` are the persons, other than the owner, whose keys seal a
-- field that is shown.
CREATE TABLE license_view (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    personal TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    guild_id TEXT NOT NULL,
    owner TEXT NULL,
    license_type TEXT NOT NULL,
    stage TEXT NOT NULL,
    holds TEXT NOT NULL,
    starts_at INTEGER NULL,
    expires_at INTEGER NULL,
    grace_ms INTEGER NOT NULL,
    expiry_announced INTEGER NOT NULL,
    role_loss_ends_at INTEGER NULL,
    due_at INTEGER NULL,
    subjects TEXT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX license_view_first_0 ON license_view (first_position);
CREATE INDEX license_view_guild_0 ON license_view (guild_id, first_position);
CREATE INDEX license_view_stage_0 ON license_view (guild_id, stage, first_position);
CREATE INDEX license_view_owner_0 ON license_view (owner, first_position) WHERE owner IS NOT NULL;
CREATE INDEX license_view_held_0 ON license_view (guild_id, first_position) WHERE holds <> '';
CREATE INDEX license_view_expires_0 ON license_view (guild_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX license_view_due_0 ON license_view (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX license_view_subjects_0 ON license_view (subjects) WHERE subjects IS NOT NULL;

-- One row a guild; addresses of webhooks stay sealed in it.
CREATE TABLE guild_view (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    personal TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    present INTEGER NOT NULL,
    subjects TEXT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX guild_view_first_0 ON guild_view (first_position);

-- One row a user in a guild.
CREATE TABLE member_view (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    personal TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    guild_id TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    present INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX member_view_guild_0 ON member_view (guild_id, first_position);
CREATE INDEX member_view_pseudonym_0 ON member_view (pseudonym);

-- One row a Discord account.
CREATE TABLE user_view (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    personal TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    banned INTEGER NOT NULL,
    erased INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX user_view_first_0 ON user_view (first_position);

-- One row an event: who, in which connection, when.
CREATE TABLE audit_trail (
    position INTEGER NOT NULL PRIMARY KEY,
    guild_id TEXT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    actor TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    causation_id TEXT NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_trail_guild_0 ON audit_trail (guild_id, position);
CREATE INDEX audit_trail_aggregate_0 ON audit_trail (aggregate_type, aggregate_id, position);
CREATE INDEX audit_trail_actor_0 ON audit_trail (actor, position);
CREATE INDEX audit_trail_type_0 ON audit_trail (event_type, position);
CREATE INDEX audit_trail_correlation_0 ON audit_trail (correlation_id);

-- When each device was last seen. Not made from events, so no rebuild touches it.
CREATE TABLE last_seen (
    id TEXT NOT NULL PRIMARY KEY,
    license_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX last_seen_license_0 ON last_seen (license_id);
