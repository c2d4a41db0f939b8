//! Limits and intervals of the read side. Every queue, cache, batch and wait of this crate has its number here;
//! nothing here reads a file or the environment.

use std::time::Duration;

use crate::db::Pooler;

/// Limits and intervals.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which pooler stands before PostgreSQL.
    pub pooler: Pooler,
    /// Licenses kept in the in-process cache.
    pub license_entries: u64,
    /// Guilds kept there.
    pub guild_entries: u64,
    /// Users kept there.
    pub user_entries: u64,
    /// Sessions kept there.
    pub session_entries: u64,
    /// Aliases kept there, of all guilds; sets that were not asked for long go first, and one always stays.
    pub alias_entries: usize,
    /// How long a cached fact is used without asking again. Changes are seen at once whatever this is; it bounds
    /// what a fault in hearing of them could do.
    pub ttl: Duration,
    /// How long after the last contact with the log cached facts still answer.
    pub stale_if_error: Duration,
    /// After so long without a look at the log's end nothing is believed that the log does not confirm; where it cannot,
    /// answers are marked as degraded.
    pub contact_bound: Duration,
    /// How often the log is looked at although nobody was woken.
    pub poll: Duration,
    /// Longest wait for one statement of a query.
    pub statement_timeout: Duration,
    /// Events that the projector applies in one transaction.
    pub batch: u32,
    /// Aggregates that one read model may leave out because they cannot be followed; one more, and it stops.
    pub parked_max: usize,
    /// First validations waiting for their worker; more are dropped, and come again with the next validation.
    pub first_validations: usize,
    /// Devices whose last sight waits to be written.
    pub last_seen_entries: usize,
    /// How often those are written.
    pub last_seen_flush: Duration,
    /// Events that a rebuild reads at once.
    pub rebuild_page: u32,
    /// Aggregates that a rebuild keeps in memory.
    pub rebuild_entries: usize,
    /// Events that the sealer takes into the Merkle log in one transaction, and that an export reads at once.
    pub seal_batch: u32,
    /// How often the sealer looks for new events.
    pub seal_pace: Duration,
    /// How often a checkpoint is signed, if there is anything new.
    pub checkpoint_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pooler: Pooler::Session,
            license_entries: 100_000,
            guild_entries: 10_000,
            user_entries: 100_000,
            session_entries: 100_000,
            alias_entries: 1_000_000,
            ttl: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(300),
            contact_bound: Duration::from_secs(2),
            poll: Duration::from_millis(250),
            statement_timeout: Duration::from_secs(5),
            batch: 1_000,
            parked_max: 1_000,
            first_validations: 10_000,
            last_seen_entries: 500_000,
            last_seen_flush: Duration::from_secs(5),
            rebuild_page: 5_000,
            rebuild_entries: 100_000,
            seal_batch: 1_000,
            seal_pace: Duration::from_secs(1),
            checkpoint_every: Duration::from_secs(60),
        }
    }
}
