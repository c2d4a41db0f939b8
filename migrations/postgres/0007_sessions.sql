-- Sessions: their read model, and what has no event: the number of each one's current refresh token, and sign-ins that are
-- under way. No token stands here. The same tables and columns stand in sqlite/0007_sessions.sql.

-- One row a session: the fold of its events as JSON, and what unsealing its personal fields gave. `user_id` is
-- the pseudonym.
CREATE TABLE session_view (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    personal TEXT NOT NULL,
    first_position BIGINT NOT NULL,
    position BIGINT NOT NULL,
    version BIGINT NOT NULL,
    user_id TEXT NULL,
    started_at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    ended_at BIGINT NULL
);
CREATE INDEX session_view_user_0 ON session_view (user_id, first_position);

-- No event before this was about a session, so there is nothing to catch up with.
INSERT INTO projection_checkpoint (name, epoch, position, generation)
    SELECT 'session_view', epoch, position, 0 FROM projection_checkpoint WHERE name = 'user_view';

CREATE TABLE session_refresh (
    session_id TEXT NOT NULL PRIMARY KEY,
    -- Of its current refresh token; the first is 0.
    generation BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);

CREATE TABLE sign_in_attempt (
    -- A keyed hash over what the browser and the way through Discord bring back.
    id TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sign_in_attempt_expires ON sign_in_attempt (expires_at);
