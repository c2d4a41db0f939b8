-- Sessions: their read model, and what has no event: the number of each one's current refresh token, and sign-ins that are
-- under way. No token stands here. The same tables and columns stand in postgres/0007_sessions.sql.

-- One row a session: the fold of its events as JSON, and what unsealing its personal fields gave. `user_id` is
-- the pseudonym.
CREATE TABLE session_view (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    personal TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    user_id TEXT NULL,
    started_at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    ended_at INTEGER NULL
) STRICT;
CREATE INDEX session_view_user_0 ON session_view (user_id, first_position);

-- No event before this was about a session, so there is nothing to catch up with.
INSERT INTO projection_checkpoint (name, epoch, position, generation)
    SELECT 'session_view', epoch, position, 0 FROM projection_checkpoint WHERE name = 'user_view';

CREATE TABLE session_refresh (
    session_id TEXT NOT NULL PRIMARY KEY,
    -- Of its current refresh token; the first is 0.
    generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sign_in_attempt (
    -- A keyed hash over what the browser and the way through Discord bring back.
    id TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_attempt_expires ON sign_in_attempt (expires_at);
