//! Every statement of the store. One text serves both engines; what has to differ (append, and what belongs to
//! it) stands at the end, by engine. Nothing here runs anything.

/// The last position; 0 for an empty log.
pub(super) const HEAD: &str = "SELECT coalesce(max(position), 0) FROM events";

/// One stream, whole.
pub(super) const STREAM: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
     CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
     FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence";

/// A piece of the log: after $1, up to $2, at most $3.
pub(super) const RANGE: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
     CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
     FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3";

/// The first event, by position, whose sequence is not its number in its stream.
pub(super) const SEQUENCE_FAULT: &str = "SELECT position, aggregate_type, aggregate_id, sequence, number FROM (\
     SELECT position, aggregate_type, aggregate_id, sequence, \
     row_number() OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY position) AS number \
     FROM events WHERE position <= $1) AS numbered \
     WHERE sequence <> number ORDER BY position LIMIT 1";

/// An idempotency row.
pub(super) const IDEMPOTENCY: &str = "SELECT payload_hash, outcome, first_position, last_position, created_at \
     FROM idempotency WHERE credential = $1 AND method = $2 AND route = $3 AND key = $4";

/// Removes the oldest idempotency rows before $1, at most $2.
pub(super) const PRUNE_IDEMPOTENCY: &str = "DELETE FROM idempotency WHERE (credential, method, route, key) IN (\
     SELECT credential, method, route, key FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2)";

/// Who holds a value.
pub(super) const CLAIM_OWNER: &str =
    "SELECT aggregate_type, aggregate_id FROM claims WHERE scope = $1 AND value = $2";

/// A fact about the database.
pub(super) const META: &str = "SELECT value FROM meta WHERE name = $1";

/// Sets a fact.
pub(super) const SET_META: &str = "INSERT INTO meta (name, value) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// Sets a fact that is not set.
pub(super) const INSERT_META: &str =
    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

/// How many subjects [`SUBJECT_KEYS`] asks for.
pub(super) const SUBJECTS_AT_ONCE: usize = 16;

/// Keys of 16 subjects; with fewer, the last is repeated.
pub(super) const SUBJECT_KEYS: &str = "SELECT subject, key_id, kek_id, wrapped, created_at FROM subject_keys \
     WHERE subject IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// How many rows [`INSERT_SUBJECT_KEYS`] writes.
pub(super) const SUBJECT_ROWS_AT_ONCE: usize = 8;

/// Eight keys, each unless its subject has one; with fewer, the last is repeated, which changes nothing.
pub(super) const INSERT_SUBJECT_KEYS: &str = "INSERT INTO subject_keys (subject, key_id, kek_id, wrapped, created_at) \
     VALUES ($1, $2, $3, $4, $5), ($6, $7, $8, $9, $10), ($11, $12, $13, $14, $15), ($16, $17, $18, $19, $20), \
     ($21, $22, $23, $24, $25), ($26, $27, $28, $29, $30), ($31, $32, $33, $34, $35), ($36, $37, $38, $39, $40) \
     ON CONFLICT (subject) DO NOTHING";

/// Destroys the key of a subject.
pub(super) const DELETE_SUBJECT_KEY: &str = "DELETE FROM subject_keys WHERE subject = $1";

/// Keys that key-encryption key $1 wraps, of subjects after $2, at most $3.
pub(super) const WRAPPED_BY: &str = "SELECT subject, key_id, kek_id, wrapped, created_at FROM subject_keys \
     WHERE kek_id = $1 AND subject > $2 ORDER BY subject LIMIT $3";

/// Puts another wrapping in the place of the one by $3, unless the key was destroyed meanwhile.
pub(super) const REWRAP_SUBJECT_KEY: &str =
    "UPDATE subject_keys SET kek_id = $4, wrapped = $5 WHERE subject = $1 AND key_id = $2 AND kek_id = $3";

/// Every statement above, for the test that prepares them on both engines.
pub const SHARED: [&str; 15] = [
    HEAD,
    STREAM,
    RANGE,
    SEQUENCE_FAULT,
    IDEMPOTENCY,
    PRUNE_IDEMPOTENCY,
    CLAIM_OWNER,
    META,
    SET_META,
    INSERT_META,
    SUBJECT_KEYS,
    INSERT_SUBJECT_KEYS,
    DELETE_SUBJECT_KEY,
    WRAPPED_BY,
    REWRAP_SUBJECT_KEY,
];

/// PostgreSQL only.
pub mod postgres {
    /// The append; see `migrations/postgres/0001_log.sql`.
    pub(in crate::store) const APPEND: &str = "SELECT first_position, appended_at FROM append(\
         $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, \
         $24, $25)";

    /// Many streams: kinds $1, ids $2; each row with the number of its stream in them, from 1.
    pub(in crate::store) const STREAMS: &str = "SELECT w.number, e.sequence, e.event_type, e.event_version, \
         CAST(e.payload AS TEXT) \
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (kind, id, number) CROSS JOIN LATERAL (\
             SELECT sequence, event_type, event_version, payload FROM events \
             WHERE aggregate_type = w.kind AND aggregate_id = w.id) AS e \
         ORDER BY w.number, e.sequence";

    /// Every statement that only PostgreSQL has.
    pub const ALL: [&str; 2] = [APPEND, STREAMS];
}

/// SQLite only.
pub mod sqlite {
    use std::sync::LazyLock;

    /// The last position with its time.
    pub(in crate::store) const LAST: &str =
        "SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1";

    /// Lets go of a value.
    pub(in crate::store) const RELEASE: &str = "DELETE FROM claims WHERE scope = $1 AND value = $2";

    /// An insert of 1, 2, 4 … 128 rows at once. A batch is written in the fewest of them: five times faster than
    /// row by row, or than rows taken from a JSON array.
    pub struct MultiRow(Vec<String>);

    impl MultiRow {
        /// Rows of the widest statement: 2 to the power of 7. Ten columns of it are far below SQLite's limit.
        const WIDEST: u32 = 7;

        fn new(head: &str, columns: usize) -> Self {
            let row = format!("({})", vec!["?"; columns].join(", "));
            let text = |power| format!("{head} VALUES {}", vec![row.as_str(); 1_usize << power].join(", "));
            Self((0..=Self::WIDEST).map(text).collect())
        }

        /// The widest statement for at most `rows` rows (at least one), and its width.
        pub(in crate::store) fn for_rows(&self, rows: usize) -> (&str, usize) {
            let power = rows.max(1).ilog2().min(Self::WIDEST);
            (&self.0[power as usize], 1 << power)
        }
    }

    /// Events.
    pub(in crate::store) static INSERT_EVENTS: LazyLock<MultiRow> = LazyLock::new(|| {
        MultiRow::new(
            "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
             payload, metadata, guild_id, recorded_at)",
            10,
        )
    });

    /// Idempotency rows.
    pub(in crate::store) static INSERT_IDEMPOTENCY: LazyLock<MultiRow> = LazyLock::new(|| {
        MultiRow::new(
            "INSERT INTO idempotency (credential, method, route, key, payload_hash, outcome, first_position, \
             last_position, created_at)",
            9,
        )
    });

    /// Claims.
    pub(in crate::store) static INSERT_CLAIMS: LazyLock<MultiRow> =
        LazyLock::new(|| MultiRow::new("INSERT INTO claims (scope, value, aggregate_type, aggregate_id)", 4));

    /// Whether the file has tables, and none of them says that our migrations made them.
    pub(in crate::store) const IS_FOREIGN: &str = "SELECT count(*) > 0 AND NOT EXISTS \
         (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations') FROM sqlite_master";

    /// Every statement that only SQLite has.
    pub fn all() -> Vec<&'static str> {
        let inserts = [&*INSERT_EVENTS, &*INSERT_IDEMPOTENCY, &*INSERT_CLAIMS];
        let inserts = inserts.into_iter().flat_map(|insert| insert.0.iter().map(String::as_str));
        [LAST, RELEASE, IS_FOREIGN].into_iter().chain(inserts).collect()
    }
}
