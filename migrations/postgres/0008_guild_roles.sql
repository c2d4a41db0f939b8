-- The roles of guilds on Discord, as the bot last saw them: processes without the bot answer from here. The same table and
-- columns stand in sqlite/0008_guild_roles.sql.

CREATE TABLE guild_roles (
    guild_id TEXT NOT NULL PRIMARY KEY,
    -- JSON: id, name, position, managed and assignable of each, the highest first.
    roles TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);
