//! Why the store did not do what it was asked, and how the errors of two databases are told apart: a violated
//! rule of the log, a statement that is refused for what it says, and a database that is away.

use sqlx::Error as SqlError;
use sqlx::error::DatabaseError;

/// Why the store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy or out of room. Of a write it is not known whether it happened.
    #[error("{doing}: the database did not do it ({why}); try again once it can be reached")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// The database's words.
        why: String,
    },
    /// The store was closed, because the process stops.
    #[error("the event store is closed, because this process is stopping; ask another instance")]
    Closed,
    /// The database refused a statement for what it says: a fault of this program or of the schema.
    #[error(
        "{doing}: the database refused the statement ({why}); nothing was written, and repeating it will not help"
    )]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The database's words.
        why: String,
    },
    /// The command is not a possible append: a fault of this program.
    #[error("the append is not possible: {0}; nothing was written")]
    Malformed(String),
    /// A row of the log cannot be understood.
    #[error(transparent)]
    Unreadable(#[from] domain::event::Unreadable),
    /// Something stored is not what the store writes.
    #[error(
        "the store holds something that cannot be read: {0}; run `verify` and restore from a backup if it confirms this"
    )]
    Damaged(String),
    /// The database was written by a newer version of this program.
    #[error(
        "the database has schema {found}, and this program knows schemas up to {known} only; \
         start the newer version, or restore the backup made before the update"
    )]
    SchemaNewer {
        /// Number of the database's newest migration.
        found: i64,
        /// Number of the newest migration in this program.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date: {0}")]
    Migration(String),
    /// The store cannot be opened as configured.
    #[error("{0}")]
    Config(String),
}

/// Why an append did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A stream has moved on: another event stands at one of the sequences. Load, decide and try again.
    #[error("another command was first on the same stream")]
    Conflict,
    /// Another aggregate holds a value that was to be claimed.
    #[error("`{value}` is taken in `{scope}`")]
    Claimed {
        /// What kind of value.
        scope: String,
        /// The value.
        value: String,
    },
    /// A row with the same idempotency key exists: answer from it.
    #[error("a write with this idempotency key exists already")]
    IdempotencyTaken,
    /// The store could not; for [`StoreError::Unavailable`] it is not known whether the events were written.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
}

/// Which rule of the log a batch violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// The sequence of a stream.
    Stream,
    /// A claimed value.
    Claim,
    /// The key of a repeated write.
    Idempotency,
}

/// What an error of a database means for what was asked.
#[derive(Debug)]
pub(super) enum Meaning {
    /// A rule of the log.
    Clash(Clash),
    /// The statement, or its values.
    Refused,
    /// Not this statement: the database, the connection, the disk.
    Away,
    /// A row of another shape.
    Damaged,
}

impl StoreError {
    /// The error of a statement outside an append.
    pub(super) fn of(doing: &'static str, error: &SqlError) -> Self {
        match Meaning::of(error) {
            Meaning::Away => Self::Unavailable { doing, why: error.to_string() },
            Meaning::Damaged => Self::Damaged(format!("{doing}: {error}")),
            Meaning::Clash(_) | Meaning::Refused => Self::Refused { doing, why: error.to_string() },
        }
    }
}

impl Meaning {
    pub(super) fn of(error: &SqlError) -> Self {
        match error {
            SqlError::Database(error) => of_database(error.as_ref()),
            SqlError::ColumnDecode { .. }
            | SqlError::Decode(_)
            | SqlError::ColumnNotFound(_)
            | SqlError::ColumnIndexOutOfBounds { .. }
            | SqlError::TypeNotFound { .. } => Self::Damaged,
            SqlError::Encode(_) => Self::Refused,
            _ => Self::Away,
        }
    }
}

fn of_database(error: &dyn DatabaseError) -> Meaning {
    let code = error.code().unwrap_or_default();
    if error.is_unique_violation() {
        return clash(error).map_or(Meaning::Refused, Meaning::Clash);
    }
    let away = match code.parse::<u32>() {
        // PostgreSQL's codes have five symbols; SQLite's are small numbers.
        Ok(number) if code.len() < 5 => sqlite_is_away(number),
        _ => postgres_is_away(&code),
    };
    if away { Meaning::Away } else { Meaning::Refused }
}

/// The rule behind a unique violation: PostgreSQL names the constraint; SQLite (codes 1555 and 2067) says
/// `UNIQUE constraint failed: table.column, …`. The name of the table tells them apart on both.
fn clash(error: &dyn DatabaseError) -> Option<Clash> {
    let named = match error.constraint() {
        Some(constraint) => constraint,
        None => error.message().rsplit_once(": ").map_or("", |(_, columns)| columns),
    };
    match named {
        "events_pkey" | "events.aggregate_type, events.aggregate_id, events.sequence" => Some(Clash::Stream),
        "claims_pkey" | "claims.scope, claims.value" => Some(Clash::Claim),
        "idempotency_pkey"
        | "idempotency.credential, idempotency.method, idempotency.route, idempotency.key" => {
            Some(Clash::Idempotency)
        }
        _ => None,
    }
}

/// Classes of SQLSTATE that blame the server and not the statement: connection, transaction state (a standby
/// refuses writes with 25006), rollback (deadlock), resources, lock timeout, shutdown, system, configuration,
/// internal.
fn postgres_is_away(code: &str) -> bool {
    const CLASSES: [&str; 9] = ["08", "25", "40", "53", "55", "57", "58", "F0", "XX"];
    CLASSES.iter().any(|class| code.starts_with(class))
}

/// Primary result codes that blame the file or the disk: PERM, ABORT, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT,
/// IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOLFS, NOTADB.
fn sqlite_is_away(code: u32) -> bool {
    matches!(code & 0xff, 3..=11 | 13..=15 | 22 | 26)
}
