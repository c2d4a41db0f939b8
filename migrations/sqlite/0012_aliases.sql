-- Aliases: which license of a guild a key of another system was brought in with, one row an alias, as a keyed hash. The same
-- table and columns stand in postgres/0012_aliases.sql.

CREATE TABLE alias_view (
    alias TEXT NOT NULL PRIMARY KEY,
    guild_id TEXT NOT NULL,
    license_id TEXT NOT NULL,
    position INTEGER NOT NULL
) STRICT;

-- It stands where the licenses stand, so that nobody waits until it has caught up.
INSERT INTO alias_view (alias, guild_id, license_id, position)
    SELECT e.payload ->> '$.alias', e.guild_id, e.aggregate_id, e.position
    FROM events AS e, projection_checkpoint AS c
    WHERE c.name = 'license_view' AND e.position <= c.position AND e.event_type = 'license.alias_added'
    ON CONFLICT (alias) DO NOTHING;
INSERT INTO projection_checkpoint (name, epoch, position, generation)
    SELECT 'alias_view', epoch, position, 0 FROM projection_checkpoint WHERE name = 'license_view';

CREATE INDEX alias_view_guild_0 ON alias_view (guild_id, position);
