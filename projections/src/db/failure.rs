//! What can go wrong between this crate and the database, told apart by whether trying again can help. It hides
//! no cause: the engine's own words stand in the text.

use std::time::Duration;

/// A statement failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct DbError {
    /// Whether the same call may succeed later.
    pub(crate) transient: bool,
    text: String,
}

impl DbError {
    pub(crate) fn no_answer(limit: Duration) -> Self {
        let text = format!(
            "the database gave no answer in {} ms; check that it runs and is not overloaded",
            limit.as_millis()
        );
        Self { transient: true, text }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let transient = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => true,
            sqlx::Error::Database(database) => database.code().is_none_or(|code| is_transient(&code)),
            _ => false,
        };
        Self { transient, text: format!("the database answered: {error}") }
    }
}

/// SQLSTATE classes of PostgreSQL (connection, rolled back, resources, lock, operator, system), which have five
/// symbols, and SQLite's result codes busy, locked, no memory, interrupted, I/O, full and cannot open, whose lower
/// byte counts.
fn is_transient(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 5 | 6 | 7 | 9 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::is_transient;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in ["08006", "40001", "40P01", "53300", "55P03", "57P01", "5", "6", "261", "517", "13", "10"]
        {
            assert!(is_transient(code), "{code}");
        }
        for code in ["42P01", "23505", "22P02", "42703", "1", "19", "2067", "26"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
