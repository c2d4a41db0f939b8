-- What the Discord bot keeps that no event can bring back: who works where, the gateway's sessions, removals that wait
-- to be confirmed, and deliveries of keys. No rebuild touches it. Persons stand here as pseudonyms only. The same tables
-- and columns stand in sqlite/0003_discord.sql.

-- Who works under a name, by the database's own clock. A row is never deleted, so that its token never falls.
CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    -- Empty once it was let go.
    holder TEXT NOT NULL,
    -- Rises at each change of holder.
    token BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- The session of each shard at Discord's gateway, to be resumed after a restart.
CREATE TABLE gateway_session (
    shard TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    resume_url TEXT NOT NULL,
    -- The READY that it began with, JSON.
    ready TEXT NOT NULL
);

-- One row for each IDENTIFY of the last 24 hours: Discord resets the token of a bot that sends too many.
CREATE TABLE gateway_identify (
    number BIGINT NOT NULL PRIMARY KEY,
    shard TEXT NOT NULL,
    sent_at BIGINT NOT NULL
);

-- Small values by name.
CREATE TABLE bot_note (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- The channel of direct messages with a person.
CREATE TABLE dm_channel (
    pseudonym TEXT NOT NULL PRIMARY KEY,
    channel_id TEXT NOT NULL
);

-- Sources of slots that too many members would lose at once, until staff confirm it.
CREATE TABLE held_removal (
    guild_id TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    batch TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- 0 or 1.
    confirmed BIGINT NOT NULL,
    -- The actor who did, as events name one.
    confirmed_by TEXT NULL,
    PRIMARY KEY (guild_id, rule_id, pseudonym)
);
CREATE INDEX held_removal_pseudonym ON held_removal (pseudonym);

-- Where each consumer with side effects stands in the log. It is never rewound.
CREATE TABLE consumer_checkpoint (
    name TEXT NOT NULL PRIMARY KEY,
    epoch TEXT NOT NULL,
    position BIGINT NOT NULL
);

-- The last delivery of each slot. The key itself stands nowhere; it is computed when the message is written.
CREATE TABLE delivery (
    guild_id TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    license_type TEXT NOT NULL,
    license_id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    -- Which delivery of the slot it is, from 1.
    number BIGINT NOT NULL,
    -- Made of the license and the number: Discord takes one message for each.
    nonce TEXT NOT NULL,
    -- waiting, sending, sent, bulk, undeliverable, dropped
    state TEXT NOT NULL,
    -- The event that it comes from.
    position BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Not before then; while it is being sent, until when its sender has time.
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    first_attempt_at BIGINT NULL,
    -- When it last counted against the guild's messages a minute.
    counted_at BIGINT NULL,
    -- Why Discord refused it.
    code BIGINT NULL,
    -- When a message of this slot was last sent, be it by an earlier delivery.
    sent_at BIGINT NULL,
    -- The log message that named it, if it could not be sent.
    announced TEXT NULL,
    PRIMARY KEY (guild_id, pseudonym, license_type)
);
CREATE INDEX delivery_pending ON delivery (guild_id, due_at) WHERE state IN ('waiting', 'sending');
CREATE INDEX delivery_unannounced ON delivery (guild_id)
    WHERE state IN ('bulk', 'undeliverable') AND announced IS NULL;
CREATE INDEX delivery_created ON delivery (guild_id, created_at);
CREATE INDEX delivery_counted ON delivery (guild_id, counted_at) WHERE counted_at IS NOT NULL;
CREATE INDEX delivery_state ON delivery (state);
CREATE INDEX delivery_pseudonym ON delivery (pseudonym);

-- The last log message of each guild about deliveries that were not sent.
CREATE TABLE delivery_announcement (
    guild_id TEXT NOT NULL PRIMARY KEY,
    -- Which one of the guild it is, from 1.
    number BIGINT NOT NULL,
    -- Made of the guild and the number: Discord takes one message for each.
    nonce TEXT NOT NULL,
    -- 1 until it was sent.
    pending BIGINT NOT NULL,
    -- How many of each type, JSON.
    bulk TEXT NOT NULL,
    undeliverable BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
