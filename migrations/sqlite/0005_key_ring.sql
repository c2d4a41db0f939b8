-- What the rotation of the key ring keeps that no event can bring back: which secrets are known, to which processes, and
-- which are being retired. No secret stands here, only ids and fingerprints. The same tables and columns stand in
-- postgres/0005_key_ring.sql.

-- Every secret that some process ever had. Two rings of one root that were added to apart are told by it.
CREATE TABLE ring_secret (
    -- List and number, `license-1`.
    id TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- The processes that run, by the database's own clock.
CREATE TABLE ring_holder (
    instance TEXT NOT NULL PRIMARY KEY,
    -- Where it runs, for people.
    place TEXT NOT NULL,
    -- Ids of the secrets that it knows, with spaces between.
    secrets TEXT NOT NULL,
    -- The row of active ids that it goes by, JSON.
    active TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- License-key secrets whose licenses get new keys.
CREATE TABLE key_retirement (
    secret_id INTEGER NOT NULL PRIMARY KEY,
    requested_at INTEGER NOT NULL,
    -- Licenses made up to this position were looked at in this pass.
    passed_position INTEGER NOT NULL,
    rekeyed INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    -- Null while it goes on.
    finished_at INTEGER NULL
) STRICT;

-- A license that gets a new key is looked for among the deliveries.
CREATE INDEX delivery_license ON delivery (license_id);
