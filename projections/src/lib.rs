//! The only door to read: read models and how they are kept, the cache of facts, and the hot path of validation.
//! It never changes anything that the log would not give again, never decides a rule, and never names `commands`.

mod activations;
mod alias_view;
mod aliases;
mod analytics;
mod audit_trail;
mod bus;
mod cache;
mod checkpoint;
mod config;
mod consumer;
mod cursor;
mod db;
mod error;
mod event_log;
mod facts;
mod feed;
mod floors;
mod follow;
mod guild_view;
mod history;
mod license_view;
mod member_view;
mod model;
mod notice_outbox;
mod operational;
mod parked;
mod past;
mod pause;
mod platform_view;
mod projector;
mod queries;
pub mod rebuild;
mod relay;
mod replica;
mod seal_log;
mod session_view;
mod sessions;
mod statements;
mod user_view;
mod validation;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use domain::ports::{Mac, Vault};
use tokio::sync::{RwLock, watch};

pub use activations::{Activations, NewDevice, NewDevices};
pub use aliases::Opens;
pub use analytics::{Analytics, DAY_MS, Day};
pub use audit_trail::{AuditEntry, AuditFilter};
pub use bus::{Bus, MemoryBus, NatsBus, NatsError};
pub use cache::{CacheStats, RedisCache, RedisError, RedisLimits, SharedLimits, Spent, TierStats};
pub use checkpoint::ModelHealth;
pub use config::Config;
pub use cursor::{Cursor, PAGE_MAX, Page, Paged};
pub use db::{Db, Pooler};
pub use error::QueryError;
pub use event_log::EventLog;
pub use feed::{FEED_MAX, FeedItem, FeedPage};
pub use floors::{FLOOR_KEPT, FLOORS_MAX, Floors};
pub use guild_view::GuildFacts;
pub use history::{GuildHistoryEntry, HistoryEntry};
pub use license_view::{Due, LicenseFacts, LicenseFilter};
pub use member_view::MemberFacts;
pub use notice_outbox::{
    Announcement, Cause, Delivery, DeliveryState, Followed, Outbox, SendLimits, SharingAlert, Suspected,
};
pub use operational::{
    Activated, BotState, GatewaySession, GuildRole, GuildRoles, HeldRemoval, HeldRemovals, LastSeen, Lease,
    Leases, RefreshRules, Refreshed, Refreshes, Retirement, Retirements, RingHolder, RingHolders, RingSecret,
    RingState, Standing,
};
pub use parked::Parked;
pub use past::{AsOf, Owned};
pub use platform_view::PlatformFacts;
pub use projector::{Projector, Step};
pub use relay::Relay;
pub use replica::ReplicaError;
pub use seal_log::{
    ConsistencyProof, EventProof, GuildExport, SealFault, SealLog, SealReport, SealStep, Sealed,
};
pub use session_view::SessionFacts;
pub use sessions::SESSIONS_MAX;
pub use user_view::{UserFacts, UserFilter};
pub use validation::{Answer, Ask, DeviceAsk, FirstValidation, FirstValidations};

/// A rebuild, a verification and the runner write for longer than a question waits.
const SLOW: Duration = Duration::from_secs(600);

/// What the read side is made of.
pub struct Parts {
    /// The database.
    pub db: Db,
    /// A copy of it that follows at a distance, if there is one.
    pub replica: Option<Db>,
    /// The epoch of the log: random, new at every restore.
    pub epoch: String,
    /// Keyed hashes under the ring.
    pub mac: Arc<dyn Mac>,
    /// Keys of personal fields.
    pub vault: Arc<dyn Vault>,
    /// What this process has seen of the log; the write side raises it.
    pub floors: Arc<Floors>,
    /// Who is woken by new events: the bus that the floors were made with.
    pub bus: Bus,
    /// The cache that processes share, if there is one.
    pub redis: Option<RedisCache>,
    /// Limits and intervals.
    pub config: Config,
}

/// The read side. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Queries {
    core: Arc<Core>,
}

pub(crate) struct Core {
    sql: db::Sql,
    /// The same database, for work that nobody waits for.
    slow: db::Sql,
    replica: Option<replica::Replica>,
    log: EventLog,
    epoch: Box<str>,
    mac: Arc<dyn Mac>,
    vault: Arc<dyn Vault>,
    floors: Arc<Floors>,
    bus: Bus,
    cache: cache::Cache,
    aliases: aliases::Aliases,
    config: Config,
    last_seen: LastSeen,
    first_validations: FirstValidations,
    checkpoint: watch::Sender<i64>,
    /// The position up to which the end of the log was looked at.
    tail: AtomicI64,
    /// The position up to which this process saw nothing for the outbox of deliveries.
    outbox_passed: Arc<AtomicI64>,
    /// Held for reading while the runner works; whoever must stop it takes it for writing.
    gate: RwLock<()>,
}
