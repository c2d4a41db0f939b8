-- The platform's own people: their read model, which is one row of roles by pseudonym. And lists of banned users. The same
-- tables and columns stand in postgres/0011_platform.sql.

CREATE TABLE platform_view (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    personal TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- No event before this was about the platform, so there is nothing to catch up with.
INSERT INTO projection_checkpoint (name, epoch, position, generation)
    SELECT 'platform_view', epoch, position, 0 FROM projection_checkpoint WHERE name = 'user_view';

CREATE INDEX user_view_banned_0 ON user_view (banned, first_position);
