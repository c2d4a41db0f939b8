//! Events as the log holds them: one enum over all aggregates, the metadata that every event has, and the record
//! that readers of the log get. Nothing here reads or writes the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use crate::id::{GuildId, InvalidId, Kind, Pseudonym, StreamId};
use crate::private::{Private, PrivateFields};
use crate::time::Timestamp;

/// Who caused an event. Written as one word: `operator`, `bot`, `user:u_…`, `apikey:<id>`, `job:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Whoever can read the data folder or holds the platform owner's token.
    Operator,
    /// The Discord bot, following roles.
    Bot,
    /// A signed-in person.
    User(Pseudonym),
    /// An API key, by its id.
    ApiKey(crate::credential::ApiKeyId),
    /// A background job, by its name.
    Job(Box<str>),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Bot => f.write_str("bot"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::ApiKey(id) => write!(f, "apikey:{id}"),
            Self::Job(name) => write!(f, "job:{name}"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once(':') {
            None if text == "operator" => Ok(Self::Operator),
            None if text == "bot" => Ok(Self::Bot),
            Some(("user", id)) => id.parse().map(Self::User),
            Some(("apikey", id)) => id.parse().map(Self::ApiKey),
            Some(("job", name)) => Ok(Self::Job(name.into())),
            _ => Err(InvalidId::new(text, "an actor")),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What every event carries beside its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The event's own id. It never changes, whatever happens to positions.
    pub id: Uuid,
    /// Who caused it.
    pub actor: Actor,
    /// Free text, sealed (field `reason`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Private>,
    /// The request or the run that it belongs to.
    pub correlation_id: String,
    /// The command, or the event, that caused it.
    pub causation_id: String,
    /// W3C `traceparent` of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// True in the demo: Discord was simulated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
}

/// An event of any aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most events are those of licenses, and a box for each would cost more than it saves"
)]
pub enum DomainEvent {
    /// Of a license.
    License(crate::license::Event),
    /// Of a member.
    Member(crate::member::Event),
    /// Of a guild.
    Guild(crate::guild::Event),
    /// Of a user.
    User(crate::user::Event),
    /// Of a session.
    Session(crate::session::Event),
    /// Of the platform.
    Platform(crate::platform::Event),
    /// About security.
    Security(crate::security::Event),
}

impl DomainEvent {
    /// Wire name and version.
    pub fn wire(&self) -> (String, String) {
        use cqrs_es::DomainEvent as _;
        match self {
            Self::License(event) => (event.event_type(), event.event_version()),
            Self::Member(event) => (event.event_type(), event.event_version()),
            Self::Guild(event) => (event.event_type(), event.event_version()),
            Self::User(event) => (event.event_type(), event.event_version()),
            Self::Session(event) => (event.event_type(), event.event_version()),
            Self::Platform(event) => (event.event_type(), event.event_version()),
            Self::Security(event) => (event.event_type(), event.event_version()),
        }
    }

    /// The payload as stored.
    ///
    /// # Errors
    /// If a personal field is not sealed.
    pub fn payload(&self) -> serde_json::Result<String> {
        match self {
            Self::License(event) => serde_json::to_string(event),
            Self::Member(event) => serde_json::to_string(event),
            Self::Guild(event) => serde_json::to_string(event),
            Self::User(event) => serde_json::to_string(event),
            Self::Session(event) => serde_json::to_string(event),
            Self::Platform(event) => serde_json::to_string(event),
            Self::Security(event) => serde_json::to_string(event),
        }
    }
}

macro_rules! from_event {
    ($($variant:ident($event:ty)),+) => {
        $(impl From<$event> for DomainEvent {
            fn from(event: $event) -> Self {
                Self::$variant(event)
            }
        })+
    };
}
from_event!(
    License(crate::license::Event),
    Member(crate::member::Event),
    Guild(crate::guild::Event),
    User(crate::user::Event),
    Session(crate::session::Event),
    Platform(crate::platform::Event),
    Security(crate::security::Event)
);

impl PrivateFields for DomainEvent {
    fn private_fields(&mut self, visit: &mut dyn FnMut(&str, &mut Private)) {
        match self {
            Self::License(event) => event.private_fields(visit),
            Self::Member(event) => event.private_fields(visit),
            Self::Guild(event) => event.private_fields(visit),
            Self::User(event) => event.private_fields(visit),
            Self::Session(event) => event.private_fields(visit),
            Self::Platform(event) => event.private_fields(visit),
            Self::Security(event) => event.private_fields(visit),
        }
    }
}

/// A row of the log as stored: JSON texts, not yet understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Global, gapless, from 1, in commit order.
    pub position: i64,
    /// The stream.
    pub stream: StreamId,
    /// Its place in the stream, from 1.
    pub sequence: u64,
    /// Wire name.
    pub event_type: String,
    /// Version of the payload.
    pub event_version: String,
    /// JSON text.
    pub payload: String,
    /// JSON text.
    pub metadata: String,
    /// The tenant; none for users, sessions and the platform.
    pub guild: Option<GuildId>,
    /// When the log took it; non-decreasing in position.
    pub recorded_at: Timestamp,
}

/// A row of the log, understood: upcast, parsed, and every sealed field checked to stand where it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Global, gapless, from 1, in commit order.
    pub position: i64,
    /// The stream.
    pub stream: StreamId,
    /// Its place in the stream, from 1.
    pub sequence: u64,
    /// What happened.
    pub event: DomainEvent,
    /// Who, why, in which connection.
    pub metadata: Metadata,
    /// The tenant; none for users, sessions and the platform.
    pub guild: Option<GuildId>,
    /// When the log took it.
    pub recorded_at: Timestamp,
}

/// Why a row of the log cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {position} ({event_type} v{event_version} of {stream}) cannot be read: {why}")]
pub struct Unreadable {
    /// Where it stands.
    pub position: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Its wire name.
    pub event_type: String,
    /// Its version.
    pub event_version: String,
    /// What is wrong with it.
    pub why: String,
}

impl StoredEvent {
    /// Understands the row.
    ///
    /// # Errors
    /// [`Unreadable`] for an unknown name or version, a payload of another shape, or a sealed field that was
    /// moved here from elsewhere.
    pub fn read(&self) -> Result<Recorded, Unreadable> {
        let refuse = |why: String| Unreadable {
            position: self.position,
            stream: self.stream.clone(),
            event_type: self.event_type.clone(),
            event_version: self.event_version.clone(),
            why,
        };
        let mut event = self.event().map_err(refuse)?;
        let mut metadata: Metadata =
            serde_json::from_str(&self.metadata).map_err(|e| refuse(format!("its metadata: {e}")))?;
        let mut moved = None;
        let mut check = |name: &str, field: &mut Private| {
            if !field.stands_at(self.sequence, name) {
                moved = Some(name.to_owned());
            }
        };
        event.private_fields(&mut check);
        if let Some(reason) = &mut metadata.reason {
            check("reason", reason);
        }
        if let Some(name) = moved {
            return Err(refuse(format!("its sealed field `{name}` was sealed for another place")));
        }
        Ok(Recorded {
            position: self.position,
            stream: self.stream.clone(),
            sequence: self.sequence,
            event,
            metadata,
            guild: self.guild,
            recorded_at: self.recorded_at,
        })
    }

    fn event(&self) -> Result<DomainEvent, String> {
        let upcast = crate::upcast::upcast(&self.event_type, &self.event_version, &self.payload)?;
        let payload = upcast.as_deref().unwrap_or(&self.payload);
        let parsed = match self.stream.kind {
            Kind::License => serde_json::from_str(payload).map(DomainEvent::License),
            Kind::Member => serde_json::from_str(payload).map(DomainEvent::Member),
            Kind::Guild => serde_json::from_str(payload).map(DomainEvent::Guild),
            Kind::User => serde_json::from_str(payload).map(DomainEvent::User),
            Kind::Session => serde_json::from_str(payload).map(DomainEvent::Session),
            Kind::Platform => serde_json::from_str(payload).map(DomainEvent::Platform),
            Kind::Security => serde_json::from_str(payload).map(DomainEvent::Security),
        };
        parsed.map_err(|e| format!("its payload: {e}"))
    }
}

#[cfg(test)]
mod tests;
