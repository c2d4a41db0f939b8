//! Questions about sessions. Whether one is open is asked at every request of a signed-in person, so it is a cached fact as
//! licenses are; what it is refreshed with stands in `operational`.

use std::sync::Arc;

use domain::id::{Pseudonym, SessionId, StreamId};
use domain::session::Session;
use domain::time::Timestamp;

use crate::Queries;
use crate::cache::{Cache, Tier};
use crate::db::Arg;
use crate::error::QueryError;
use crate::facts::{CachedFact, Fact, guarded};
use crate::operational::Refreshes;
use crate::queries::row_value;
use crate::session_view::{OF_PERSON, SessionFacts, SessionView, StoredSession};

/// Most open sessions of a person that are listed.
pub const SESSIONS_MAX: u32 = 200;

/// A session as a fact.
pub(crate) struct SessionFact;

impl Fact for SessionFact {
    type Id = SessionId;
    type View = SessionView;
    type Value = SessionFacts;
    const READ: &'static str = guarded!("session_view");

    fn stream(id: &SessionId) -> StreamId {
        StreamId::session(*id)
    }

    fn value(session: Session, personal: StoredSession, position: i64) -> SessionFacts {
        SessionFacts::new(session, personal, position)
    }

    fn parts(facts: &SessionFacts) -> (&Session, StoredSession) {
        (&facts.session, facts.stored())
    }
}

impl CachedFact for SessionFact {
    fn tier(cache: &Cache) -> &Tier<SessionId, SessionFacts> {
        cache.sessions()
    }
}

impl Queries {
    /// A session; `None` if none has this id.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn session(&self, id: SessionId) -> Result<Option<Arc<SessionFacts>>, QueryError> {
        Ok(self.core.fact::<SessionFact>(&id).await?.value)
    }

    /// The open sessions of a person, the newest first, at most [`SESSIONS_MAX`].
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn sessions_of(
        &self,
        person: &Pseudonym,
        now: Timestamp,
    ) -> Result<Vec<SessionFacts>, QueryError> {
        let args = [Arg::Text(person.as_str()), Arg::Int(now.ms()), Arg::Int(i64::from(SESSIONS_MAX))];
        let rows = self.core.list(None, OF_PERSON, &args).await?;
        rows.iter().map(|row| Ok(row_value::<SessionFact>(row)?.1)).collect()
    }

    /// What sessions are refreshed with.
    pub fn refreshes(&self) -> Refreshes {
        Refreshes::new(self.core.sql.clone())
    }
}
