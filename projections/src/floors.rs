//! What this process has seen of the log, so that no cached fact and no late fill hides an event that it knows of.
//! A floor says: an event of this stream stands at this position. It is kept longer than any cached fact lives;
//! when it goes, the low water rises to it, and nothing that was read before the low water is trusted any more.
//! Nothing here reads the log.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use domain::id::{GuildId, Kind, LicenseId, StreamId};
use domain::ports::Floor;
use tokio::time::Instant;

use crate::bus::Bus;

const SHARDS: usize = 64;
const SKETCH: usize = 1 << 16;

/// Floors by stream, the low water under those that were dropped, and when the log was last heard of.
#[derive(Debug)]
pub struct Floors {
    shards: Box<[RwLock<Shard>]>,
    order: Mutex<VecDeque<Raised>>,
    low_water: AtomicI64,
    /// The highest position seen of all streams with one hash, since `base`: it forgets nothing, and tells of a cached
    /// fact older than the low water whether anything can have happened to it since.
    sketch: Box<[AtomicI64]>,
    base: AtomicI64,
    /// Where the last alias of each guild was seen. Few guilds ever get any, so it is never dropped.
    aliases: RwLock<HashMap<GuildId, i64>>,
    keep: Duration,
    entries_max: usize,
    hasher: RandomState,
    bus: Bus,
    contact: Contact,
}

/// Floors by the hash of their stream.
type Shard = HashMap<u64, i64, BuildHasherDefault<Plain>>;

#[derive(Debug, Clone, Copy)]
struct Raised {
    key: FloorKey,
    position: i64,
    at: Instant,
}

/// A stream as floors know it: a hash. Two streams of one hash only share the higher floor, which costs a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FloorKey(u64);

/// Keys are hashes already.
#[derive(Debug, Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// How long a floor is kept: longer than any cached fact is used.
pub const FLOOR_KEPT: Duration = Duration::from_secs(60);
/// How many floors are kept at most; beyond that the oldest go early, which costs reads and never truth.
pub const FLOORS_MAX: usize = 200_000;

impl Floors {
    /// Floors kept for [`FLOOR_KEPT`], at most [`FLOORS_MAX`]; `bus` is told of every advance.
    pub fn new(bus: Bus) -> Self {
        Self::with_limits(bus, FLOOR_KEPT, FLOORS_MAX)
    }

    /// Floors kept for `keep`, at most `entries_max` of them.
    pub fn with_limits(bus: Bus, keep: Duration, entries_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            order: Mutex::default(),
            low_water: AtomicI64::new(0),
            sketch: (0..SKETCH).map(|_| AtomicI64::new(0)).collect(),
            base: AtomicI64::new(0),
            aliases: RwLock::default(),
            keep,
            entries_max,
            hasher: RandomState::new(),
            bus,
            contact: Contact::new(),
        }
    }

    /// The bus that is told of every advance.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Nothing read before this position is trusted.
    pub fn low_water(&self) -> i64 {
        self.low_water.load(Ordering::Acquire)
    }

    /// When the log was last heard of.
    pub(crate) fn contact(&self) -> &Contact {
        &self.contact
    }

    pub(crate) fn key(&self, stream: &StreamId) -> FloorKey {
        match stream.id.parse::<LicenseId>() {
            Ok(id) if stream.kind == Kind::License => self.license_key(id),
            _ => FloorKey(self.hasher.hash_one((stream.kind, &*stream.id))),
        }
    }

    pub(crate) fn license_key(&self, id: LicenseId) -> FloorKey {
        FloorKey(self.hasher.hash_one(id.0.as_u128()))
    }

    /// Whether a fact that was just read of the stream `key` may be used: it stands at `position`, and it was true as
    /// of `as_of`. The floor is looked at before the low water, and dropping goes the other way round, so that none
    /// slips through.
    pub(crate) fn allow_fill(&self, key: FloorKey, position: i64, as_of: i64) -> bool {
        self.reaches_floor(key, position) && as_of >= self.low_water()
    }

    /// The same for a fact in the cache. It may be older than the low water if nothing with its hash happened since.
    pub(crate) fn allow_cached(&self, key: FloorKey, position: i64, as_of: i64) -> bool {
        self.reaches_floor(key, position) && (as_of >= self.low_water() || self.is_unmoved(key, as_of))
    }

    fn reaches_floor(&self, key: FloorKey, position: i64) -> bool {
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&key.0).is_none_or(|floor| position >= *floor)
    }

    fn is_unmoved(&self, key: FloorKey, as_of: i64) -> bool {
        as_of >= self.base.load(Ordering::Acquire) && as_of >= self.cell(key).load(Ordering::Acquire)
    }

    /// Nothing that was read before `position` is trusted any more, cached or not: at the start, because what happened
    /// before was not watched; after an erasure, because cached facts show what must not be shown.
    pub(crate) fn distrust_before(&self, position: i64) {
        self.base.fetch_max(position, Ordering::AcqRel);
        self.raise_low_water(position);
    }

    fn raise_low_water(&self, position: i64) {
        self.low_water.fetch_max(position, Ordering::AcqRel);
    }

    fn cell(&self, key: FloorKey) -> &AtomicI64 {
        &self.sketch[(key.0 >> 32) as usize % SKETCH]
    }

    fn shard(&self, key: FloorKey) -> &RwLock<Shard> {
        &self.shards[key.0 as usize % SHARDS]
    }

    fn raise_key(&self, key: FloorKey, position: i64) {
        self.cell(key).fetch_max(position, Ordering::AcqRel);
        {
            let mut shard = self.shard(key).write().unwrap_or_else(PoisonError::into_inner);
            let floor = shard.entry(key.0).or_insert(0);
            if *floor >= position {
                return;
            }
            *floor = position;
        }
        let now = Instant::now();
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.push_back(Raised { key, position, at: now });
        while order.len() > self.entries_max {
            order.pop_front().iter().for_each(|oldest| self.drop_floor(*oldest));
        }
        self.drop_expired(&mut order, now);
    }

    fn drop_expired(&self, order: &mut VecDeque<Raised>, now: Instant) {
        while order.front().is_some_and(|oldest| now.duration_since(oldest.at) >= self.keep) {
            order.pop_front().iter().for_each(|oldest| self.drop_floor(*oldest));
        }
    }

    fn drop_floor(&self, oldest: Raised) {
        self.raise_low_water(oldest.position);
        let mut shard = self.shard(oldest.key).write().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(floor) = shard.entry(oldest.key.0)
            && *floor.get() <= oldest.position
        {
            floor.remove();
        }
    }

    /// Where this process saw the last alias of `guild`; 0 if it saw none.
    pub(crate) fn alias_floor(&self, guild: GuildId) -> i64 {
        let aliases = self.aliases.read().unwrap_or_else(PoisonError::into_inner);
        aliases.get(&guild).copied().unwrap_or(0)
    }

    /// Drops what is older than floors are kept. The follower calls it at each look at the log.
    pub(crate) fn tidy(&self) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_expired(&mut order, Instant::now());
    }

    /// How many floors there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Floors {
    /// The log was seen to have events up to `position`, whoever appended them.
    pub(crate) fn hear(&self, position: i64) {
        self.contact.heard();
        self.bus.hear(position);
    }
}

impl Floor for Floors {
    fn raise(&self, stream: &StreamId, position: i64) {
        self.raise_key(self.key(stream), position);
    }

    fn raise_aliases(&self, guild: GuildId, position: i64) {
        let mut aliases = self.aliases.write().unwrap_or_else(PoisonError::into_inner);
        let floor = aliases.entry(guild).or_insert(0);
        *floor = position.max(*floor);
    }

    fn advance(&self, position: i64) {
        self.contact.heard();
        self.bus.notify(position);
    }
}

/// When the log was last looked at to its end, when it last answered at all, and when it was last asked in vain. An append
/// or a read that was answered tells nothing of what others appended meanwhile.
#[derive(Debug)]
pub(crate) struct Contact {
    base: Instant,
    looked_ms: AtomicU64,
    heard_ms: AtomicU64,
    failed_ms: AtomicU64,
}

impl Contact {
    fn new() -> Self {
        let [looked_ms, heard_ms, failed_ms] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { base: Instant::now(), looked_ms, heard_ms, failed_ms }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The log answered.
    pub(crate) fn heard(&self) {
        self.heard_ms.fetch_max(self.now_ms(), Ordering::Relaxed);
    }

    /// Now, for whoever begins to look.
    pub(crate) fn moment(&self) -> u64 {
        self.now_ms()
    }

    /// The log was looked at, to its end, by a look that began at `moment`. A process may be frozen in the middle of a look,
    /// and what it then sees is as old as the question.
    pub(crate) fn looked(&self, moment: u64) {
        self.heard();
        self.looked_ms.fetch_max(moment, Ordering::Relaxed);
    }

    /// The log did not answer.
    pub(crate) fn failed(&self) {
        self.failed_ms.fetch_max(self.now_ms().max(1), Ordering::Relaxed);
    }

    /// For how long there may have been events that this process has not heard of.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.looked_ms.load(Ordering::Relaxed)))
    }

    /// Whether the log was asked in vain within `window` and has not answered since: asking once more would only
    /// make a caller wait.
    pub(crate) fn is_down(&self, window: Duration) -> bool {
        let failed = self.failed_ms.load(Ordering::Relaxed);
        let fresh = u128::from(self.now_ms().saturating_sub(failed)) < window.as_millis();
        failed > self.heard_ms.load(Ordering::Relaxed) && fresh
    }
}

#[cfg(test)]
mod tests;
