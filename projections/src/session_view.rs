//! The read model of sessions: one row a sign-in.

use domain::aggregate::Decide as _;
use domain::event::DomainEvent;
use domain::id::{DiscordId, Kind, StreamId};
use domain::ports::Seal;
use domain::private::{Private, Unsealed};
use domain::session::Session;
use serde::{Deserialize, Serialize};

use crate::db::Kind::{Int, Text};
use crate::db::{Rows, Table};
use crate::view::{Held, Opened, View, view_table};

/// The view.
pub(crate) struct SessionView;

static TABLE: Table = view_table!(
    "session_view",
    [
        ("user_id", Text, "NULL"),
        ("started_at", Int, "NOT NULL"),
        ("until", Int, "NOT NULL"),
        ("ended_at", Int, "NULL"),
    ],
    [("user", "(user_id, first_position)")]
);

/// What is personal about a session, as it stands in the column.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StoredSession {
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_id: Option<Opened>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Opened>,
}

impl View for SessionView {
    type State = Session;
    type Personal = StoredSession;
    const KIND: Kind = Kind::Session;
    const TABLE: &'static Table = &TABLE;
    const OF_SUBJECT: &'static str = "SELECT id FROM {t} WHERE user_id = $1";

    fn version(state: &Session) -> u64 {
        state.version
    }

    fn evolve(state: &mut Session, event: &DomainEvent) {
        if let DomainEvent::Session(event) = event {
            state.evolve(event);
        }
    }

    fn fields(state: &Session, visit: &mut dyn FnMut(&Private)) {
        state.person.iter().for_each(|person| visit(&person.discord_id));
        state.client.iter().for_each(&mut *visit);
    }

    fn open(state: &Session, seal: &dyn Seal) -> StoredSession {
        let stream = StreamId::session(state.id);
        let open = |field: &Private| field.open(seal, &stream).into();
        StoredSession {
            discord_id: state.person.as_ref().map(|person| open(&person.discord_id)),
            client: state.client.as_ref().map(open),
        }
    }

    fn columns(held: &Held<Session>, rows: &mut Rows) {
        let session = &held.state;
        rows.text(session.person.as_ref().map(|person| person.id.as_str().to_owned()))
            .int(session.started_at.ms())
            .int(session.until.ms())
            .int(session.ended.map(|ended| ended.at.ms()));
    }
}

/// A session as readers get it. What was erased, or cannot be opened, is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// The fold of its events.
    pub session: Session,
    /// Whose it is.
    pub account: Option<DiscordId>,
    /// What the program said that it is.
    pub client: Option<String>,
    /// Position of its last event.
    pub position: i64,
}

impl SessionFacts {
    pub(crate) fn new(session: Session, stored: StoredSession, position: i64) -> Self {
        let clear = |field: Option<Opened>| Unsealed::from(field?).clear();
        let account = clear(stored.discord_id).and_then(|text| text.parse().ok());
        Self { session, account, client: clear(stored.client), position }
    }

    /// What is personal, as it was given to [`SessionFacts::new`]; what could not be opened is not there.
    pub(crate) fn stored(&self) -> StoredSession {
        StoredSession {
            discord_id: self.account.map(|account| Opened::Clear(account.to_string())),
            client: self.client.clone().map(Opened::Clear),
        }
    }
}

/// Sessions of a person that have not ended and are not over at `$2`, the newest first.
pub(crate) const OF_PERSON: &str = "SELECT state, personal, position, first_position FROM session_view \
    WHERE user_id = $1 AND ended_at IS NULL AND until > $2 ORDER BY first_position DESC LIMIT $3";
