//! Reading one aggregate: from the cache while the floors allow it, from the read model if that is known to be new
//! enough and follows it, else from the aggregate's own stream. Whoever asks after an event was appended here, or heard of,
//! sees it.
//! Nothing here says what a fact means.

use std::hash::Hash;
use std::sync::Arc;

use domain::event::StoredEvent;
use domain::guild::Guild;
use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::license::{License, Personal};
use domain::member::Member;
use domain::private::{Subject, Unsealed};
use domain::user::User;
use tokio::time::Instant;

use crate::Core;
use crate::cache::{Cache, Counters, Found, Slot, Tier};
use crate::db::{Arg, Row};
use crate::error::QueryError;
use crate::floors::FloorKey;
use crate::guild_view::{GuildFacts, GuildView};
use crate::license_view::{LicenseFacts, LicenseView, StoredPersonal};
use crate::member_view::{MemberFacts, MemberView};
use crate::sessions::SessionFact;
use crate::user_view::{StoredUser, UserFacts, UserView};
use crate::view::{View, parsed};

/// How long a caller waits for the database to confirm what the cache has, and may still use if it does not.
pub(crate) const CONFIRMED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);
/// For so long after a failure the database is not asked again on behalf of a caller who waits.
pub(crate) const DOWN_FOR: std::time::Duration = std::time::Duration::from_secs(2);

/// A row and the checkpoint it belongs to, in one statement.
macro_rules! guarded {
    ($view:literal) => {
        concat!(
            "SELECT c.position, v.position, v.state, v.personal, p.position FROM projection_checkpoint c LEFT JOIN ",
            $view,
            " v ON v.id = $1 LEFT JOIN projection_parked p ON p.model = c.name AND p.aggregate_id = $1 \
             WHERE c.name = '",
            $view,
            "' AND c.epoch = $2"
        )
    };
}

pub(crate) use guarded;

/// What reads each fact.
pub(crate) const STATEMENTS: &[&str] =
    &[LicenseFact::READ, GuildFact::READ, UserFact::READ, MemberFact::READ, SessionFact::READ];

/// An aggregate that can be read.
pub(crate) trait Fact {
    type Id: Hash + Eq + Clone + Send + Sync + 'static;
    type View: View;
    type Value: Send + Sync + 'static;
    /// Reads its row and the checkpoint.
    const READ: &'static str;

    fn stream(id: &Self::Id) -> StreamId;
    fn value(
        state: <Self::View as View>::State,
        personal: <Self::View as View>::Personal,
        position: i64,
    ) -> Self::Value;
    /// The state and what is personal about it, as they were given to [`Fact::value`].
    fn parts(value: &Self::Value) -> (&<Self::View as View>::State, <Self::View as View>::Personal);
    /// What stands for an aggregate without events, if it is worth remembering that there are none.
    fn absent() -> Option<Self::Value> {
        None
    }
}

/// An aggregate whose facts are cached.
pub(crate) trait CachedFact: Fact {
    fn tier(cache: &Cache) -> &Tier<Self::Id, Self::Value>;
}

pub(crate) struct LicenseFact;

impl Fact for LicenseFact {
    type Id = LicenseId;
    type View = LicenseView;
    type Value = LicenseFacts;
    const READ: &'static str = guarded!("license_view");

    fn stream(id: &LicenseId) -> StreamId {
        StreamId::license(*id)
    }

    fn value(mut license: License, personal: StoredPersonal, position: i64) -> LicenseFacts {
        let mut personal = Personal::from(personal);
        // Lists were read one by one, with room for four; thousands of facts are kept, and most have one or two.
        license.devices.shrink_to_fit();
        personal.device_names.shrink_to_fit();
        LicenseFacts { license, personal, position }
    }

    fn parts(facts: &LicenseFacts) -> (&License, StoredPersonal) {
        (&facts.license, facts.personal.clone().into())
    }
}

impl CachedFact for LicenseFact {
    fn tier(cache: &Cache) -> &Tier<LicenseId, LicenseFacts> {
        cache.licenses()
    }
}

pub(crate) struct GuildFact;

impl Fact for GuildFact {
    type Id = GuildId;
    type View = GuildView;
    type Value = GuildFacts;
    const READ: &'static str = guarded!("guild_view");

    fn stream(id: &GuildId) -> StreamId {
        StreamId::guild(*id)
    }

    fn value(guild: Guild, people: <GuildView as View>::Personal, position: i64) -> GuildFacts {
        let people = people.into_iter().map(|(person, opened)| (person, opened.into())).collect();
        GuildFacts { guild, people, position }
    }

    fn parts(facts: &GuildFacts) -> (&Guild, <GuildView as View>::Personal) {
        let people = facts.people.iter().cloned();
        (&facts.guild, people.map(|(person, shown)| (person, shown.into())).collect())
    }
}

impl CachedFact for GuildFact {
    fn tier(cache: &Cache) -> &Tier<GuildId, GuildFacts> {
        cache.guilds()
    }
}

pub(crate) struct UserFact;

impl Fact for UserFact {
    type Id = Pseudonym;
    type View = UserView;
    type Value = UserFacts;
    const READ: &'static str = guarded!("user_view");

    fn stream(id: &Pseudonym) -> StreamId {
        StreamId::user(id)
    }

    fn value(user: User, personal: StoredUser, position: i64) -> UserFacts {
        UserFacts::new(user, personal, position)
    }

    fn parts(facts: &UserFacts) -> (&User, StoredUser) {
        (&facts.user, facts.stored())
    }

    /// Every validation asks for the owner's flags, and an owner need not have signed in yet.
    fn absent() -> Option<UserFacts> {
        Some(UserFacts::new(User::default(), StoredUser::default(), 0))
    }
}

impl CachedFact for UserFact {
    fn tier(cache: &Cache) -> &Tier<Pseudonym, UserFacts> {
        cache.users()
    }
}

pub(crate) struct MemberFact;

impl Fact for MemberFact {
    type Id = (GuildId, Pseudonym);
    type View = MemberView;
    type Value = MemberFacts;
    const READ: &'static str = guarded!("member_view");

    fn stream((guild, user): &(GuildId, Pseudonym)) -> StreamId {
        StreamId::member(*guild, user)
    }

    fn value(member: Member, personal: <MemberView as View>::Personal, position: i64) -> MemberFacts {
        MemberFacts { member, discord_id: personal.map(Unsealed::from), position }
    }

    fn parts(facts: &MemberFacts) -> (&Member, <MemberView as View>::Personal) {
        (&facts.member, facts.discord_id.clone().map(Into::into))
    }
}

/// An answer from [`Core::fact`].
pub(crate) struct Got<V> {
    /// The fact; `None` if no event ever happened to it.
    pub(crate) value: Option<Arc<V>>,
    /// Whether it could not be asked whether this is still so.
    pub(crate) degraded: bool,
}

impl<V> Got<V> {
    fn of(slot: &Slot<V>, degraded: bool) -> Self {
        Self { value: slot.value.clone(), degraded }
    }
}

/// A fact that was just read.
struct Loaded<V> {
    value: Option<V>,
    position: i64,
    as_of: i64,
    from_stream: bool,
    /// An instant before it was read.
    read_at: Instant,
}

impl Core {
    /// The fact behind `id`, from the nearest place that can be trusted.
    pub(crate) async fn fact<F: CachedFact>(&self, id: &F::Id) -> Result<Got<F::Value>, QueryError> {
        let tier = F::tier(&self.cache);
        if let Some(slot) = tier.get(id) {
            if self.is_fresh(&slot) {
                Counters::count(&tier.counters.hits);
                return Ok(Got::of(&slot, false));
            }
            Counters::count(&tier.counters.outdated);
        }
        // In a box of its own: who asks has a small future, which is cheap to move, as long as the answer is near.
        Box::pin(self.fill::<F>(id)).await
    }

    fn is_fresh<V>(&self, slot: &Slot<V>) -> bool {
        self.floors.allow_cached(slot.key, slot.position, slot.as_of)
            && Instant::now() <= slot.fresh_until
            && self.is_in_contact()
    }

    /// Whether the log was heard of lately enough that an answer may rest on the floors.
    pub(crate) fn is_in_contact(&self) -> bool {
        self.floors.contact().silence() <= self.config.contact_bound
    }

    async fn fill<F: CachedFact>(&self, id: &F::Id) -> Result<Got<F::Value>, QueryError> {
        let tier = F::tier(&self.cache);
        let _flight = tier.flight(id).await;
        if let Some(slot) = tier.get(id)
            && self.is_fresh(&slot)
        {
            Counters::count(&tier.counters.hits);
            return Ok(Got::of(&slot, false));
        }
        if self.is_in_contact()
            && let Some(slot) = self.shared::<F>(id).await
        {
            return Ok(Got::of(&slot, false));
        }
        let down = self.floors.contact().is_down(DOWN_FOR);
        let loaded = match down {
            true => Err(QueryError::Unavailable("the database does not answer".to_owned())),
            false if self.stale_near::<F>(id).is_some() => {
                let confirmed = tokio::time::timeout(CONFIRMED_WITHIN, self.load::<F>(id)).await;
                confirmed.unwrap_or_else(|_| Err(QueryError::Unavailable("no answer in time".to_owned())))
            }
            false => self.load::<F>(id).await,
        };
        match loaded {
            Ok(loaded) => {
                let source =
                    if loaded.from_stream { &tier.counters.stream } else { &tier.counters.read_model };
                Counters::count(source);
                Ok(self.keep::<F>(id, loaded).await)
            }
            Err(QueryError::Unavailable(text)) => {
                if !down {
                    self.floors.contact().failed();
                }
                let stale = self.stale::<F>(id).await.ok_or(QueryError::Unavailable(text))?;
                Counters::count(&tier.counters.stale_answers);
                Ok(stale)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a fact that was read from the database into the cache, near and shared.
    async fn keep<F: CachedFact>(&self, id: &F::Id, loaded: Loaded<F::Value>) -> Got<F::Value> {
        let Loaded { position, as_of, read_at, .. } = loaded;
        let Some(value) = loaded.value.or_else(F::absent).map(Arc::new) else {
            return Got { value: None, degraded: false };
        };
        let fresh_until = read_at + self.config.ttl;
        let slot = Slot { value: Some(value), key: self.key::<F>(id), position, as_of, fresh_until };
        let (slot, allowed) = self.insert::<F>(id, slot);
        if allowed
            && let Some(far) = self.cache.far()
            && let Some(facts) = slot.value.as_deref().and_then(encoded::<F>)
        {
            far.put(&F::stream(id), position, as_of, read_at, &facts);
        }
        Got::of(&slot, false)
    }

    /// Puts a fact into the cache of this process, then looks at the floors once more: an event that was heard of in
    /// between must not be hidden by this late fill. Whether it may stay.
    fn insert<F: CachedFact>(&self, id: &F::Id, slot: Slot<F::Value>) -> (Arc<Slot<F::Value>>, bool) {
        let (tier, slot) = (F::tier(&self.cache), Arc::new(slot));
        tier.insert(id.clone(), Arc::clone(&slot));
        let allowed = self.floors.allow_fill(slot.key, slot.position, slot.as_of);
        if !allowed {
            tier.remove(id);
        }
        (slot, allowed)
    }

    /// The fact as another process read it, if the floors of this one allow it.
    async fn shared<F: CachedFact>(&self, id: &F::Id) -> Option<Arc<Slot<F::Value>>> {
        let counters = &F::tier(&self.cache).counters;
        let (value, position, as_of, left) = match self.cache.far()?.get(&F::stream(id), decoded::<F>).await {
            Found::Fact { value, position, as_of, left } => (value, position, as_of, left),
            Found::Refused => {
                Counters::count(&counters.shared_refused);
                return None;
            }
            Found::Nothing => return None,
        };
        let key = self.key::<F>(id);
        let fresh_until = Instant::now() + left.min(self.config.ttl);
        let slot = Slot { value: Some(Arc::new(value)), key, position, as_of, fresh_until };
        let (slot, allowed) = if self.floors.allow_fill(key, position, as_of) {
            self.insert::<F>(id, slot)
        } else {
            (Arc::new(slot), false)
        };
        Counters::count(if allowed { &counters.shared } else { &counters.shared_refused });
        allowed.then_some(slot)
    }

    /// What the cache still has while the database does not answer, for as long as that may be used.
    async fn stale<F: CachedFact>(&self, id: &F::Id) -> Option<Got<F::Value>> {
        if self.floors.contact().silence() > self.config.stale_if_error {
            return None;
        }
        let slot = match self.stale_near::<F>(id) {
            Some(slot) => slot,
            None => self.shared::<F>(id).await?,
        };
        Some(Got::of(&slot, true))
    }

    /// The same in this process.
    fn stale_near<F: CachedFact>(&self, id: &F::Id) -> Option<Arc<Slot<F::Value>>> {
        let usable =
            |slot: &Arc<Slot<F::Value>>| self.floors.allow_cached(slot.key, slot.position, slot.as_of);
        F::tier(&self.cache).get(id).filter(usable)
    }

    fn key<F: Fact>(&self, id: &F::Id) -> FloorKey {
        self.floors.key(&F::stream(id))
    }

    /// The fact behind `id`, without the cache.
    pub(crate) async fn uncached<F: Fact>(&self, id: &F::Id) -> Result<Option<F::Value>, QueryError> {
        Ok(self.load::<F>(id).await?.value)
    }

    /// Reads the row with its checkpoint, from a replica that has applied what this process has seen, else from the primary;
    /// if that may hide an event that this process knows of, or if there is no row, the stream itself.
    async fn load<F: Fact>(&self, id: &F::Id) -> Result<Loaded<F::Value>, QueryError> {
        let stream = F::stream(id);
        let read_at = Instant::now();
        if !self.is_in_contact() {
            // Nobody knows how far the read model is behind, and what it lacks was not heard of either.
            return self.load_stream::<F>(&stream).await;
        }
        let args = [Arg::Text(&stream.id), Arg::Text(&self.epoch)];
        if let Some(replica) = &self.replica {
            let seen = self.bus.head();
            if let Some(row) = replica.fetch_one(F::READ, &args).await
                && row.int(0)? >= seen
                && let Some(loaded) = self.row_value::<F>(&stream, &row, read_at)?
            {
                return Ok(loaded);
            }
        }
        let row = self.sql.fetch_one(F::READ, &args).await?;
        let loaded = row.map_or(Ok(None), |row| self.row_value::<F>(&stream, &row, read_at))?;
        match loaded {
            Some(loaded) => Ok(loaded),
            None => self.load_stream::<F>(&stream).await,
        }
    }

    /// What a row says, unless that may hide an event that this process knows of, or the row is missing where its absence
    /// proves nothing.
    fn row_value<F: Fact>(
        &self,
        stream: &StreamId,
        row: &Row,
        read_at: Instant,
    ) -> Result<Option<Loaded<F::Value>>, QueryError> {
        let (checkpoint, position) = (row.int(0)?, row.opt_int(1)?);
        if row.opt_int(4)?.is_some() {
            // The read model leaves it out, whatever stood there: only its own events can tell.
            return Ok(None);
        }
        if !self.floors.allow_fill(self.floors.key(stream), position.unwrap_or(0), checkpoint) {
            return Ok(None);
        }
        let value = match position {
            Some(position) => Some(F::value(parsed(row, 2)?, parsed(row, 3)?, position)),
            // Nothing is remembered of the others: a key that verifies proves that its license was made.
            None if F::absent().is_none() => return Ok(None),
            None => None,
        };
        let position = position.unwrap_or(0);
        Ok(Some(Loaded { value, position, as_of: checkpoint, from_stream: false, read_at }))
    }

    async fn load_stream<F: Fact>(&self, stream: &StreamId) -> Result<Loaded<F::Value>, QueryError> {
        // What stands in the log up to here is seen by the read that follows.
        let (as_of, read_at) = (self.bus.head(), Instant::now());
        let events = self.log.stream(stream).await?;
        self.floors.contact().heard();
        let Some(last) = events.last().map(|event| event.position) else {
            return Ok(Loaded { value: None, position: 0, as_of, from_stream: true, read_at });
        };
        let state = folded::<F::View>(&events).map_err(unreadable)?;
        let personal = self.personal::<F::View>(&state).await?;
        Ok(Loaded {
            value: Some(F::value(state, personal, last)),
            position: last,
            as_of: as_of.max(last),
            from_stream: true,
            read_at,
        })
    }

    /// Opens the personal fields of a state.
    pub(crate) async fn personal<V: View>(&self, state: &V::State) -> Result<V::Personal, QueryError> {
        let mut subjects = std::collections::BTreeSet::new();
        V::fields(state, &mut |field| subjects.extend(field.subject()));
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let seal = self.vault.keys(&subjects).await?;
        Ok(V::open(state, &*seal))
    }
}

/// A fact as it travels between processes; `None`, with which it is not shared, if it cannot be written.
fn encoded<F: Fact>(value: &F::Value) -> Option<Vec<u8>> {
    serde_json::to_vec(&F::parts(value)).ok()
}

fn decoded<F: Fact>(bytes: &[u8], position: i64) -> Option<F::Value> {
    let (state, personal) = serde_json::from_slice(bytes).ok()?;
    Some(F::value(state, personal, position))
}

/// Nothing is said of an aggregate whose own events cannot be understood: what they took away may not be given.
fn unreadable(error: QueryError) -> QueryError {
    match error {
        QueryError::Damaged(why) => QueryError::Unreadable(why),
        other => other,
    }
}

/// The fold of a stream.
pub(crate) fn folded<V: View>(events: &[StoredEvent]) -> Result<V::State, QueryError> {
    let mut state = V::State::default();
    for event in events {
        V::evolve(&mut state, &event.read()?.event);
    }
    Ok(state)
}
