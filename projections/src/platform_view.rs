//! The read model of the platform's own people: one row. It holds pseudonyms and roles and nothing that is sealed; who they
//! are stands with the users.

use std::sync::Arc;

use domain::aggregate::Decide as _;
use domain::event::DomainEvent;
use domain::id::{Kind, Pseudonym, StreamId};
use domain::platform::{Platform, PlatformRole};
use domain::ports::Seal;
use domain::private::Private;

use crate::Queries;
use crate::cache::{Cache, Tier};
use crate::db::Kind::Int;
use crate::db::{Rows, Table};
use crate::error::QueryError;
use crate::facts::{CachedFact, Fact, guarded};
use crate::view::{Held, View, view_table};

/// The view.
pub(crate) struct PlatformView;

static TABLE: Table = view_table!("platform_view", [("updated_at", Int, "NOT NULL")], []);

impl View for PlatformView {
    type State = Platform;
    type Personal = ();
    const KIND: Kind = Kind::Platform;
    const TABLE: &'static Table = &TABLE;
    /// No row is sealed for anybody.
    const OF_SUBJECT: &'static str = "SELECT id FROM {t} WHERE id = $1";

    fn version(state: &Platform) -> u64 {
        state.version
    }

    fn evolve(state: &mut Platform, event: &DomainEvent) {
        if let DomainEvent::Platform(event) = event {
            state.evolve(event);
        }
    }

    fn fields(_: &Platform, _: &mut dyn FnMut(&Private)) {}

    fn open(_: &Platform, _: &dyn Seal) {}

    fn columns(held: &Held<Platform>, rows: &mut Rows) {
        rows.int(held.state.updated_at.ms());
    }
}

/// The platform's people as a fact. There is one of it.
pub(crate) struct PlatformFact;

/// The platform as readers get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformFacts {
    /// The fold of its events; `version` 0 stands for a platform that never had anybody.
    pub platform: Platform,
    /// Position of its last event.
    pub position: i64,
}

impl Fact for PlatformFact {
    type Id = ();
    type View = PlatformView;
    type Value = PlatformFacts;
    const READ: &'static str = guarded!("platform_view");

    fn stream((): &()) -> StreamId {
        StreamId::platform()
    }

    fn value(platform: Platform, (): (), position: i64) -> PlatformFacts {
        PlatformFacts { platform, position }
    }

    fn parts(facts: &PlatformFacts) -> (&Platform, ()) {
        (&facts.platform, ())
    }

    /// It is asked of at every request of a signed-in person, and may have no event for long.
    fn absent() -> Option<PlatformFacts> {
        Some(PlatformFacts { platform: Platform::default(), position: 0 })
    }
}

impl CachedFact for PlatformFact {
    fn tier(cache: &Cache) -> &Tier<(), PlatformFacts> {
        cache.platform()
    }
}

impl Queries {
    /// The platform's people.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn platform(&self) -> Result<Arc<PlatformFacts>, QueryError> {
        let found = self.core.fact::<PlatformFact>(&()).await?.value;
        Ok(found.unwrap_or_else(|| Arc::new(PlatformFacts { platform: Platform::default(), position: 0 })))
    }

    /// The platform role that a person may use now: nobody who is banned or erased has one.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn platform_role(&self, person: &Pseudonym) -> Result<Option<PlatformRole>, QueryError> {
        let Some(role) = self.platform().await?.platform.role(person) else { return Ok(None) };
        let user = self.user(person).await?;
        Ok(user.is_some_and(|facts| !facts.user.banned && !facts.user.erased).then_some(role))
    }
}
