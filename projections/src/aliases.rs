//! Which license a foreign key opens. The aliases of a guild stand in memory, so that a text that is none is refused without
//! I/O, however many are tried. A set only grows, and what it finds is no more than a hint: the license says by its own events
//! whether an alias is live. It is loaded when it is first needed, and read on from where it ends once this process has seen
//! a later alias of its guild. Which guilds have none, a process knows from its start.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use domain::alias::{self, Alias};
use domain::event::DomainEvent;
use domain::id::{GuildId, LicenseId};
use domain::key::OpenedKey;
use domain::license::Event;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use crate::alias_view::TABLE;
use crate::db::Arg;
use crate::error::QueryError;
use crate::facts::{CONFIRMED_WITHIN, DOWN_FOR, LicenseFact};
use crate::license_view::LicenseFacts;
use crate::{Core, Queries};

const CHECKPOINT: &str = "SELECT position FROM projection_checkpoint WHERE name = $1 AND epoch = $2";
const AFTER: &str = "SELECT alias, license_id, position FROM alias_view WHERE guild_id = $1 AND position > $2 \
    ORDER BY position LIMIT $3";

const HOLDERS: &str = "SELECT DISTINCT guild_id FROM alias_view";
const HOLDERS_OF_LOG: &str =
    "SELECT DISTINCT guild_id FROM events WHERE position > $1 AND position <= $2 AND event_type = $3";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[CHECKPOINT, AFTER, HOLDERS, HOLDERS_OF_LOG];

/// Aliases that one statement brings.
const PAGE: i64 = 10_000;
/// Events that a start looks through for aliases which the read model does not have yet.
const BEHIND_MAX: i64 = 100_000;
const STRIPES: usize = 64;
/// What a set takes beside its aliases, as so many of them.
const OVERHEAD: usize = 8;

/// The sets of guilds, in this process.
pub(crate) struct Aliases {
    sets: RwLock<HashMap<GuildId, Arc<AliasSet>>>,
    start: RwLock<Start>,
    flights: Box<[Mutex<()>]>,
    hasher: RandomState,
    entries_max: usize,
    begun: Instant,
}

/// What was known when the process began: that all guilds but these had no alias, which is what the set says.
struct Start {
    holders: HashSet<GuildId>,
    none: Option<Arc<AliasSet>>,
}

/// Half of a hash, with the license that it was brought in with: 32 bytes an alias.
type Entry = (u128, LicenseId);

/// The aliases of a guild, live and retired, sorted by their hashes.
pub(crate) struct AliasSet {
    entries: Arc<[Entry]>,
    /// It has every alias up to this position.
    as_of: i64,
    used_ms: AtomicU64,
}

impl AliasSet {
    fn new(entries: Arc<[Entry]>, as_of: i64) -> Self {
        Self { entries, as_of, used_ms: AtomicU64::new(0) }
    }

    /// The same with what came after.
    fn with(held: Option<&Self>, more: Vec<Entry>, as_of: i64) -> Self {
        let entries = held.map(|held| Arc::clone(&held.entries)).unwrap_or_default();
        if more.is_empty() {
            return Self::new(entries, as_of);
        }
        let mut all = more;
        all.extend_from_slice(&entries);
        all.sort_by_key(|(half, _)| *half);
        all.dedup_by_key(|(half, _)| *half);
        Self::new(all.into(), as_of)
    }

    fn find(&self, alias: &Alias) -> Option<LicenseId> {
        let found = self.entries.binary_search_by_key(&alias.half(), |(half, _)| *half);
        found.ok().map(|index| self.entries[index].1)
    }

    fn weight(&self) -> usize {
        self.entries.len() + OVERHEAD
    }
}

impl Aliases {
    pub(crate) fn new(entries_max: usize) -> Self {
        let flights = (0..STRIPES).map(|_| Mutex::new(())).collect();
        let start = RwLock::new(Start { holders: HashSet::new(), none: None });
        let (sets, hasher) = (RwLock::default(), RandomState::new());
        Self { sets, start, flights, hasher, entries_max, begun: Instant::now() }
    }

    /// Up to `as_of` only `holders` have aliases.
    fn begin(&self, holders: HashSet<GuildId>, as_of: i64) {
        let none = Some(Arc::new(AliasSet::new(Arc::default(), as_of)));
        *self.start.write().unwrap_or_else(PoisonError::into_inner) = Start { holders, none };
    }

    fn get(&self, guild: GuildId) -> Option<Arc<AliasSet>> {
        if let Some(set) = self.sets.read().unwrap_or_else(PoisonError::into_inner).get(&guild) {
            set.used_ms.store(self.now_ms(), Ordering::Relaxed);
            return Some(Arc::clone(set));
        }
        let start = self.start.read().unwrap_or_else(PoisonError::into_inner);
        start.none.clone().filter(|_| !start.holders.contains(&guild))
    }

    /// Keeps a set, and drops those that were not asked for longest while all are too many.
    fn keep(&self, guild: GuildId, set: Arc<AliasSet>) {
        set.used_ms.store(self.now_ms(), Ordering::Relaxed);
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        sets.insert(guild, set);
        let mut weight: usize = sets.values().map(|set| set.weight()).sum();
        while weight > self.entries_max {
            let others = sets.iter().filter(|(other, _)| **other != guild);
            let oldest = others.min_by_key(|(_, set)| set.used_ms.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|(other, _)| *other) else { break };
            weight -= sets.remove(&oldest).map_or(0, |set| set.weight());
        }
    }

    async fn flight(&self, guild: GuildId) -> MutexGuard<'_, ()> {
        self.flights[self.hasher.hash_one(guild) as usize % STRIPES].lock().await
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What was found of a text that is no key of ours.
pub(crate) struct Aliased {
    /// The license that it was brought in with; `None` if with none of the guild.
    pub(crate) license: Option<Arc<LicenseFacts>>,
    /// Whether it opens the license still: a new key retires it.
    pub(crate) is_live: bool,
    /// Whether it could not be asked whether this is still so.
    pub(crate) degraded: bool,
}

/// What a text opens that is no key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// Nothing in this guild.
    Nothing,
    /// A license that has another key by now.
    Superseded,
    /// A license, as its current key does.
    License(OpenedKey),
}

impl Queries {
    /// What `text`, which is no key of ours, opens in `guild`.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if neither memory nor database can tell.
    pub async fn alias(&self, guild: GuildId, text: &str) -> Result<Opens, QueryError> {
        let aliased = self.core.aliased(guild, text).await?;
        Ok(match aliased.license {
            None => Opens::Nothing,
            Some(_) if !aliased.is_live => Opens::Superseded,
            Some(facts) => Opens::License(OpenedKey { license: facts.license.id, key: facts.license.key }),
        })
    }
}

impl Core {
    /// Learns which guilds have aliases, of which the log ends at `head`. If the read model is far behind, each is asked for
    /// when it is needed.
    pub(crate) async fn begin_aliases(&self, head: i64) -> Result<(), QueryError> {
        let checkpoint = self.alias_checkpoint().await?;
        if head - checkpoint > BEHIND_MAX {
            return Ok(());
        }
        let mut rows = self.sql.fetch(HOLDERS, &[]).await?;
        if head > checkpoint {
            let args = [Arg::Int(checkpoint), Arg::Int(head), Arg::Text(alias::ADDED)];
            rows.extend(self.sql.fetch(HOLDERS_OF_LOG, &args).await?);
        }
        let mut holders = HashSet::new();
        for row in &rows {
            holders.extend(row.opt_text(0)?.and_then(|guild| guild.parse::<GuildId>().ok()));
        }
        self.aliases.begin(holders, head);
        Ok(())
    }

    /// Where the read model stands; 0 in another epoch of the log.
    async fn alias_checkpoint(&self) -> Result<i64, QueryError> {
        let args = [Arg::Text(TABLE.name), Arg::Text(&self.epoch)];
        Ok(self.sql.fetch_one(CHECKPOINT, &args).await?.map_or(Ok(0), |row| row.int(0))?)
    }

    /// The license that a foreign key was brought in with. Nothing but the set is looked at for a text that is none.
    pub(crate) async fn aliased(&self, guild: GuildId, text: &str) -> Result<Aliased, QueryError> {
        let (set, degraded) = self.alias_set(guild).await?;
        let nothing = Aliased { license: None, is_live: false, degraded };
        if set.entries.is_empty() {
            return Ok(nothing);
        }
        let alias = Alias::of(&*self.mac, guild, text);
        let Some(id) = set.find(&alias) else { return Ok(nothing) };
        let license = self.fact::<LicenseFact>(&id).await?;
        let facts = license.value.filter(|facts| facts.license.guild == Some(guild));
        let whole = alias.to_string();
        let is_live = facts.as_ref().is_some_and(|facts| facts.license.aliases.contains(&whole));
        Ok(Aliased { license: facts, is_live, degraded: degraded || license.degraded })
    }

    /// The aliases of a guild, and whether it could not be asked whether these are all.
    async fn alias_set(&self, guild: GuildId) -> Result<(Arc<AliasSet>, bool), QueryError> {
        if let Some(set) = self.fresh_aliases(guild) {
            return Ok((set, false));
        }
        Box::pin(self.read_aliases(guild)).await
    }

    fn fresh_aliases(&self, guild: GuildId) -> Option<Arc<AliasSet>> {
        self.aliases.get(guild).filter(|set| self.is_whole(guild, set) && self.is_in_contact())
    }

    /// Whether this process has seen no alias that the set lacks.
    fn is_whole(&self, guild: GuildId, set: &AliasSet) -> bool {
        self.floors.alias_floor(guild) <= set.as_of
    }

    /// Reads on; what is held answers in the place of a database that does not, as cached facts do.
    async fn read_aliases(&self, guild: GuildId) -> Result<(Arc<AliasSet>, bool), QueryError> {
        let _flight = self.aliases.flight(guild).await;
        if let Some(set) = self.fresh_aliases(guild) {
            return Ok((set, false));
        }
        let held = self.aliases.get(guild).filter(|set| self.is_whole(guild, set));
        let contact = self.floors.contact();
        let down = contact.is_down(DOWN_FOR);
        let unavailable = |why: &str| Err(QueryError::Unavailable(why.to_owned()));
        let load = self.load_aliases(guild);
        let loaded = match down {
            true => unavailable("the database does not answer"),
            false if held.is_some() => {
                timeout(CONFIRMED_WITHIN, load).await.unwrap_or_else(|_| unavailable("no answer in time"))
            }
            false => load.await,
        };
        match loaded {
            Ok(set) => Ok((set, false)),
            Err(QueryError::Unavailable(why)) => {
                if !down {
                    contact.failed();
                }
                let held = held.filter(|_| contact.silence() <= self.config.stale_if_error);
                held.map(|set| (set, true)).ok_or(QueryError::Unavailable(why))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what came after the set that is held: from the read model, and from the log what that does not have yet.
    async fn load_aliases(&self, guild: GuildId) -> Result<Arc<AliasSet>, QueryError> {
        let held = self.aliases.get(guild);
        // What stands in the log up to here is seen by the reads that follow.
        let head = self.bus.head();
        let mut more = Vec::new();
        let checkpoint = self.alias_checkpoint().await?;
        let mut as_of = held.as_ref().map_or(0, |held| held.as_of);
        if checkpoint > as_of {
            self.aliases_of_view(guild, as_of, &mut more).await?;
            as_of = checkpoint;
        }
        if head > as_of || !self.is_in_contact() {
            self.aliases_of_log(guild, as_of, &mut more).await?;
            as_of = as_of.max(head);
        }
        self.floors.contact().heard();
        let set = Arc::new(AliasSet::with(held.as_deref(), more, as_of));
        self.aliases.keep(guild, Arc::clone(&set));
        Ok(set)
    }

    async fn aliases_of_view(
        &self,
        guild: GuildId,
        mut after: i64,
        into: &mut Vec<Entry>,
    ) -> Result<(), QueryError> {
        let id = guild.to_string();
        loop {
            let args = [Arg::Text(&id), Arg::Int(after), Arg::Int(PAGE)];
            let rows = self.sql.fetch_of(Some(&[guild]), AFTER, &args).await?;
            for row in &rows {
                into.extend(entry(row.text(0)?, row.text(1)?));
                after = row.int(2)?;
            }
            if rows.len() as i64 != PAGE {
                return Ok(());
            }
        }
    }

    async fn aliases_of_log(
        &self,
        guild: GuildId,
        mut after: i64,
        into: &mut Vec<Entry>,
    ) -> Result<(), QueryError> {
        loop {
            let events = self.log.aliases(guild, after, PAGE).await?;
            for event in &events {
                if let DomainEvent::License(Event::AliasAdded { alias, .. }) = event.read()?.event {
                    into.extend(entry(&alias, &event.stream.id));
                }
                after = event.position;
            }
            if events.len() as i64 != PAGE {
                return Ok(());
            }
        }
    }
}

/// What is no hash opens nothing.
fn entry(alias: &str, license: &str) -> Option<Entry> {
    Some((alias.parse::<Alias>().ok()?.half(), license.parse().ok()?))
}

#[cfg(test)]
mod tests;
