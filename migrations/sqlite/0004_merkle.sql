-- The Merkle log (record 0014 in docs/decisions): the trees over the log, as far as they were written, and the signed
-- checkpoints. Trees can be made anew from the log; checkpoints cannot, so the database refuses to change one. The same
-- tables and columns stand in postgres/0004_merkle.sql.

-- One row a tree: `log` over all events, and one for each guild, under its id, over the guild's events.
CREATE TABLE merkle_tree (
    id TEXT NOT NULL PRIMARY KEY,
    -- Leaves. For the log it is the position up to which it is sealed; for a guild the number of its last event.
    size INTEGER NOT NULL,
    -- Over those leaves, base64.
    root TEXT NOT NULL,
    -- The last event in it.
    position INTEGER NOT NULL
) STRICT;

INSERT INTO merkle_tree (id, size, root, position) VALUES
    ('log', 0, '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=', 0);

-- The nodes of the trees, sixteen of a level in a row: `<tree>/<level>/<place>`. Level 0 are leaves; an entry of level
-- n + 1 is the root over a whole row of level n.
CREATE TABLE merkle_tile (
    id TEXT NOT NULL PRIMARY KEY,
    -- Up to 16 hashes of 32 bytes, one after the other, base64.
    hashes TEXT NOT NULL
) STRICT;

-- Every checkpoint that was ever signed.
CREATE TABLE log_checkpoint (
    epoch TEXT NOT NULL,
    -- Events in the log, which is the position of the last one.
    size INTEGER NOT NULL,
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (epoch, size)
) STRICT;
CREATE INDEX log_checkpoint_size ON log_checkpoint (size);

CREATE TRIGGER log_checkpoint_no_update BEFORE UPDATE ON log_checkpoint
BEGIN
    SELECT RAISE(ABORT, 'signed checkpoints are kept: UPDATE on table log_checkpoint is refused');
END;

CREATE TRIGGER log_checkpoint_no_delete BEFORE DELETE ON log_checkpoint
BEGIN
    SELECT RAISE(ABORT, 'signed checkpoints are kept: DELETE on table log_checkpoint is refused');
END;
