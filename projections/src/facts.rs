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
use crate::cache::{Cache, Counters, Slot, Tier};
use crate::db::Arg;
use crate::error::QueryError;
use crate::floors::FloorKey;
use crate::guild_view::{GuildFacts, GuildView};
use crate::license_view::{LicenseFacts, LicenseView, StoredPersonal};
use crate::member_view::{MemberFacts, MemberView};
use crate::user_view::{StoredUser, UserFacts, UserView};
use crate::view::{View, parsed};

/// How long a caller waits for the database to confirm what the cache has, and may still use if it does not.
const CONFIRMED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);
/// For so long after a failure the database is not asked again on behalf of a caller who waits.
const DOWN_FOR: std::time::Duration = std::time::Duration::from_secs(2);

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

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] =
    &[LicenseFact::READ, GuildFact::READ, UserFact::READ, MemberFact::READ];

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

    fn value(license: License, personal: StoredPersonal, position: i64) -> LicenseFacts {
        LicenseFacts { license, personal: Personal::from(personal), position }
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
}

impl Core {
    /// The fact behind `id`, from the nearest place that can be trusted.
    pub(crate) async fn fact<F: CachedFact>(&self, id: &F::Id) -> Result<Got<F::Value>, QueryError> {
        let tier = F::tier(&self.cache);
        if let Some(slot) = tier.get(id).await
            && self.is_fresh(&slot)
        {
            Counters::count(&tier.counters.hits);
            return Ok(Got::of(&slot, false));
        }
        self.fill::<F>(id).await
    }

    fn is_fresh<V>(&self, slot: &Slot<V>) -> bool {
        self.floors.allow_cached(slot.key, slot.position, slot.as_of)
            && slot.filled.elapsed() <= self.config.ttl
            && self.floors.contact().silence() <= self.config.contact_bound
    }

    async fn fill<F: CachedFact>(&self, id: &F::Id) -> Result<Got<F::Value>, QueryError> {
        let tier = F::tier(&self.cache);
        let _flight = tier.flight(id).await;
        if let Some(slot) = tier.get(id).await
            && self.is_fresh(&slot)
        {
            Counters::count(&tier.counters.hits);
            return Ok(Got::of(&slot, false));
        }
        let down = self.floors.contact().is_down(DOWN_FOR);
        let loaded = match down {
            true => Err(QueryError::Unavailable("the database does not answer".to_owned())),
            false if self.stale::<F>(id).await.is_some() => {
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

    /// Puts a fact into the cache, then looks at the floors once more: an event that was heard of in between must not
    /// be hidden by this late fill.
    async fn keep<F: CachedFact>(&self, id: &F::Id, loaded: Loaded<F::Value>) -> Got<F::Value> {
        let key = self.key::<F>(id);
        let (position, as_of) = (loaded.position, loaded.as_of);
        let value = loaded.value.or_else(F::absent).map(Arc::new);
        let got = Got { value: value.clone(), degraded: false };
        if value.is_some() {
            let slot = Slot { value, key, position, as_of, filled: Instant::now() };
            let tier = F::tier(&self.cache);
            tier.insert(id.clone(), Arc::new(slot)).await;
            if !self.floors.allow_fill(key, position, as_of) {
                tier.remove(id).await;
            }
        }
        got
    }

    /// What the cache still has while the database does not answer, for as long as that may be used.
    async fn stale<F: CachedFact>(&self, id: &F::Id) -> Option<Got<F::Value>> {
        let tier = F::tier(&self.cache);
        let slot = tier.get(id).await?;
        let usable = self.floors.allow_cached(slot.key, slot.position, slot.as_of)
            && self.floors.contact().silence() <= self.config.stale_if_error;
        usable.then(|| Got::of(&slot, true))
    }

    fn key<F: Fact>(&self, id: &F::Id) -> FloorKey {
        self.floors.key(&F::stream(id))
    }

    /// The fact behind `id`, without the cache.
    pub(crate) async fn uncached<F: Fact>(&self, id: &F::Id) -> Result<Option<F::Value>, QueryError> {
        Ok(self.load::<F>(id).await?.value)
    }

    /// Reads the row with its checkpoint; if that may hide an event that this process knows of, or if there is no row,
    /// the stream itself.
    async fn load<F: Fact>(&self, id: &F::Id) -> Result<Loaded<F::Value>, QueryError> {
        let stream = F::stream(id);
        let key = self.floors.key(&stream);
        if self.floors.contact().silence() > self.config.contact_bound {
            // Nobody knows how far the read model is behind, and what it lacks was not heard of either.
            return self.load_stream::<F>(&stream).await;
        }
        let args = [Arg::Text(&stream.id), Arg::Text(&self.epoch)];
        let Some(row) = self.sql.fetch_one(F::READ, &args).await? else {
            return self.load_stream::<F>(&stream).await;
        };
        let (checkpoint, position) = (row.int(0)?, row.opt_int(1)?);
        if row.opt_int(4)?.is_some() {
            // The read model leaves it out, whatever stood there: only its own events can tell.
            return self.load_stream::<F>(&stream).await;
        }
        if !self.floors.allow_fill(key, position.unwrap_or(0), checkpoint) {
            return self.load_stream::<F>(&stream).await;
        }
        let value = match position {
            Some(position) => Some(F::value(parsed(&row, 2)?, parsed(&row, 3)?, position)),
            // Nothing is remembered of the others: a key that verifies proves that its license was made.
            None if F::absent().is_none() => return self.load_stream::<F>(&stream).await,
            None => None,
        };
        Ok(Loaded { value, position: position.unwrap_or(0), as_of: checkpoint, from_stream: false })
    }

    async fn load_stream<F: Fact>(&self, stream: &StreamId) -> Result<Loaded<F::Value>, QueryError> {
        // What stands in the log up to here is seen by the read that follows.
        let as_of = self.bus.head();
        let events = self.log.stream(stream).await?;
        self.floors.contact().heard();
        let Some(last) = events.last().map(|event| event.position) else {
            return Ok(Loaded { value: None, position: 0, as_of, from_stream: true });
        };
        let state = folded::<F::View>(&events).map_err(unreadable)?;
        let personal = self.personal::<F::View>(&state).await?;
        Ok(Loaded {
            value: Some(F::value(state, personal, last)),
            position: last,
            as_of: as_of.max(last),
            from_stream: true,
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
