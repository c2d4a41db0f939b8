-- What the rotation of the key ring keeps that no event can bring back: which secrets are known, to which processes, and
-- which are being retired. No secret stands here, only ids and fingerprints. The same tables and columns stand in
-- sqlite/0005_key_ring.sql.

-- Every secret that some process ever had. Two rings of one root that were added to apart are told by it.
CREATE TABLE ring_secret (
    -- List and number, `license-1`.
    id TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- The processes that run, by the database's own clock.
CREATE TABLE ring_holder (
    instance TEXT NOT NULL PRIMARY KEY,
    -- Where it runs, for people.
    place TEXT NOT NULL,
    -- Ids of the secrets that it knows, with spaces between.
    secrets TEXT NOT NULL,
    -- The row of active ids that it goes by, JSON.
    active TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- License-key secrets whose licenses get new keys.
CREATE TABLE key_retirement (
    secret_id BIGINT NOT NULL PRIMARY KEY,
    requested_at BIGINT NOT NULL,
    -- Licenses made up to this position were looked at in this pass.
    passed_position BIGINT NOT NULL,
    rekeyed BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    -- Null while it goes on.
    finished_at BIGINT NULL
);

-- A license that gets a new key is looked for among the deliveries.
CREATE INDEX delivery_license ON delivery (license_id);
