//! The cache of facts: in this process, and behind it, with Redis, one that processes share. Facts are cached, verdicts
//! never; an entry is used only while the floors allow it, whoever asks. Another engine is another variant of [`Cache`];
//! nobody outside this folder tells them apart.

mod entry;
mod far;
mod limits;

use std::hash::Hash;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::id::{GuildId, LicenseId, Pseudonym, SessionId};
use quick_cache::sync::Cache as Slots;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::config::Config;
use crate::floors::FloorKey;
use crate::guild_view::GuildFacts;
use crate::license_view::LicenseFacts;
use crate::platform_view::PlatformFacts;
use crate::session_view::SessionFacts;
use crate::user_view::UserFacts;

pub(crate) use far::{Far, Found};
pub use far::{RedisCache, RedisError, RedisLimits};
pub use limits::{SharedLimits, Spent};

const STRIPES: usize = 512;

/// The cache.
pub(crate) enum Cache {
    /// In this process only.
    Memory(Near),
    /// In this process, and in Redis.
    Redis(Near, Far),
}

/// The tier inside the process: one cache for each owner of facts.
pub(crate) struct Near {
    licenses: Tier<LicenseId, LicenseFacts>,
    guilds: Tier<GuildId, GuildFacts>,
    users: Tier<Pseudonym, UserFacts>,
    sessions: Tier<SessionId, SessionFacts>,
    platform: Tier<(), PlatformFacts>,
}

impl Near {
    fn new(config: &Config) -> Self {
        Self {
            licenses: Tier::new(config.license_entries),
            guilds: Tier::new(config.guild_entries),
            users: Tier::new(config.user_entries),
            sessions: Tier::new(config.session_entries),
            // One fact, and room for it: the cache takes nothing that would fill most of it.
            platform: Tier::new(16),
        }
    }
}

impl Cache {
    pub(crate) fn new(config: &Config, far: Option<Far>) -> Self {
        match far {
            None => Self::Memory(Near::new(config)),
            Some(far) => Self::Redis(Near::new(config), far),
        }
    }

    fn near(&self) -> &Near {
        match self {
            Self::Memory(near) | Self::Redis(near, _) => near,
        }
    }

    /// The tier that processes share, if there is one.
    pub(crate) fn far(&self) -> Option<&Far> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(_, far) => Some(far),
        }
    }

    pub(crate) fn licenses(&self) -> &Tier<LicenseId, LicenseFacts> {
        &self.near().licenses
    }

    pub(crate) fn guilds(&self) -> &Tier<GuildId, GuildFacts> {
        &self.near().guilds
    }

    pub(crate) fn users(&self) -> &Tier<Pseudonym, UserFacts> {
        &self.near().users
    }

    pub(crate) fn sessions(&self) -> &Tier<SessionId, SessionFacts> {
        &self.near().sessions
    }

    pub(crate) fn platform(&self) -> &Tier<(), PlatformFacts> {
        &self.near().platform
    }

    /// Forgets what has not been read from the database for longer than `limit`, so that an idle process keeps nothing
    /// about people whom it was asked of long ago. What may be used, the floors decide.
    pub(crate) fn forget_older(&self, limit: Duration) {
        let Some(until) = Instant::now().checked_sub(limit) else { return };
        self.licenses().forget(until);
        self.guilds().forget(until);
        self.users().forget(until);
        self.sessions().forget(until);
    }

    /// What is wrong with the way to the shared tier; `None` if nothing is, or if there is none.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.far().and_then(Far::trouble)
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            licenses: self.licenses().stats(),
            guilds: self.guilds().stats(),
            users: self.users().stats(),
            sessions: self.sessions().stats(),
        }
    }
}

/// A cached fact.
pub(crate) struct Slot<V> {
    /// The fact; `None` if there is nothing behind the id.
    pub(crate) value: Option<Arc<V>>,
    /// Its stream.
    pub(crate) key: FloorKey,
    /// Position of its last event.
    pub(crate) position: i64,
    /// The position of the log up to which it was known to be true when it was read.
    pub(crate) as_of: i64,
    /// Until when it is used without asking again.
    pub(crate) fresh_until: Instant,
}

/// Facts of one owner.
pub(crate) struct Tier<K, V> {
    slots: Slots<K, Arc<Slot<V>>>,
    flights: Box<[Mutex<()>]>,
    hasher: RandomState,
    pub(crate) counters: Counters,
}

/// Where answers came from.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) outdated: AtomicU64,
    pub(crate) stale_answers: AtomicU64,
    pub(crate) shared: AtomicU64,
    pub(crate) shared_refused: AtomicU64,
    pub(crate) read_model: AtomicU64,
    pub(crate) stream: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl<K, V> Tier<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn new(entries: u64) -> Self {
        Self {
            slots: Slots::new(usize::try_from(entries).unwrap_or(usize::MAX)),
            flights: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn get(&self, id: &K) -> Option<Arc<Slot<V>>> {
        self.slots.get(id)
    }

    pub(crate) fn insert(&self, id: K, slot: Arc<Slot<V>>) {
        self.slots.insert(id, slot);
    }

    pub(crate) fn remove(&self, id: &K) {
        self.slots.remove(id);
    }

    /// Forgets what was fresh until an instant before `until` only.
    fn forget(&self, until: Instant) {
        self.slots.retain(|_, slot| slot.fresh_until >= until);
    }

    /// Waits until nobody else reads what `id` names: whoever waited finds it in the cache. Ids share stripes, which
    /// costs a wait now and then and needs no cleaning up.
    pub(crate) async fn flight(&self, id: &K) -> MutexGuard<'_, ()> {
        self.flights[self.hasher.hash_one(id) as usize % STRIPES].lock().await
    }

    fn stats(&self) -> TierStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TierStats {
            entries: self.slots.len() as u64,
            hits: read(&self.counters.hits),
            outdated: read(&self.counters.outdated),
            stale_answers: read(&self.counters.stale_answers),
            shared: read(&self.counters.shared),
            shared_refused: read(&self.counters.shared_refused),
            read_model: read(&self.counters.read_model),
            stream: read(&self.counters.stream),
        }
    }
}

/// Where answers about one kind of facts came from since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TierStats {
    /// Facts in the cache, roughly.
    pub entries: u64,
    /// Answered by the cache.
    pub hits: u64,
    /// Found in the cache and not used: read too long ago, or changed since.
    pub outdated: u64,
    /// Answered by the cache because the database did not answer.
    pub stale_answers: u64,
    /// Answered by the cache that processes share.
    pub shared: u64,
    /// Found there and not used: below the floor, forged, or damaged.
    pub shared_refused: u64,
    /// Read from the read model.
    pub read_model: u64,
    /// Read from the aggregate's own stream.
    pub stream: u64,
}

/// The same for every kind of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Licenses.
    pub licenses: TierStats,
    /// Guilds.
    pub guilds: TierStats,
    /// Users.
    pub users: TierStats,
    /// Sessions.
    pub sessions: TierStats,
}
