//! How a store is opened: which engine, which limits, which clock. Nothing here opens one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::time::Timestamp;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where the log is kept.
    pub engine: EngineConfig,
    /// The epoch of a log that has none yet: 16 hexadecimal digits, random, made by the caller.
    pub epoch: String,
    /// Milliseconds added to the clock for `recorded_at`. 0 in a live deployment; the demo moves it.
    pub clock_offset_ms: Arc<AtomicI64>,
    /// Limits of the append actor.
    pub limits: AppendLimits,
}

/// Where the log is kept.
#[derive(Debug, Clone)]
pub enum EngineConfig {
    /// Nowhere: for tests.
    Memory,
    /// In a file of this machine. The folder exists; the file is made if it is missing.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Connections that read at the same time.
        readers: u32,
    },
    /// In PostgreSQL.
    Postgres {
        /// `postgres://…`; `sslmode` and certificate files as libpq has them.
        url: String,
        /// Past the pooler, for migrations. Needed with [`Pooler::Transaction`] only.
        direct_url: Option<String>,
        /// What stands between this process and the database.
        pooler: Pooler,
        /// Connections of the pool; the append actor has one more of its own.
        pool_max: u32,
        /// How long a statement waits for a lock before it gives up.
        lock_timeout: Duration,
        /// How long a statement outside an append may take; a server that has fallen silent is given up then.
        statement_timeout: Duration,
    },
}

/// What stands between this process and PostgreSQL. Stated, never guessed: behind a pooler in transaction mode
/// prepared statements of other clients answer ours, without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// Nothing.
    #[default]
    None,
    /// A pooler that keeps a server connection for as long as ours is open.
    Session,
    /// A pooler that hands the server connection on after each transaction.
    Transaction,
}

/// Limits of the append actor.
#[derive(Debug, Clone, Copy)]
pub struct AppendLimits {
    /// Commands that wait for their turn; further ones wait for a place, `timeout` at most.
    pub queue: usize,
    /// Events of one batch. A command with more goes alone.
    pub batch_events: usize,
    /// How long one call of the database may take, and how long a command may wait for a place in the queue.
    pub timeout: Duration,
}

impl Default for AppendLimits {
    fn default() -> Self {
        Self { queue: 1024, batch_events: 512, timeout: Duration::from_secs(15) }
    }
}

/// The clock of an embedded log. PostgreSQL has its own, which all instances share.
#[derive(Debug, Clone)]
pub(super) struct Clock(pub(super) Arc<AtomicI64>);

impl Clock {
    pub(super) fn offset_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Timestamp(clock.saturating_add(self.offset_ms()).clamp(0, Timestamp::MAX.ms()))
    }
}
