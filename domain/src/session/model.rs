//! What a session is made of, what can be asked of one and what can have happened. The rules stand in `decide.rs`.

use serde::{Deserialize, Serialize};

use crate::aggregate::Refuse;
use crate::id::SessionId;
use crate::private::{Person, Private, PrivateFields};
use crate::time::Timestamp;

/// Where its tokens are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surface {
    /// In cookies of a browser.
    Browser,
    /// By a program that got them in the body of an answer.
    #[default]
    Client,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its person signed out.
    SignedOut,
    /// Its person ended it from another session.
    EndedElsewhere,
    /// A refresh token was used that a later one had replaced: somebody has a copy.
    TokenReused,
    /// The platform owner ended it.
    Operator,
}

impl How {
    /// The word in events and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::EndedElsewhere => "ended_elsewhere",
            Self::TokenReused => "token_reused",
            Self::Operator => "operator",
        }
    }
}

/// The end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub how: How,
}

/// A session: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Session {
    /// Events applied.
    pub version: u64,
    /// Its id; nil before the first event.
    pub id: SessionId,
    /// Whose; `None` before the first event.
    pub person: Option<Person>,
    /// Where its tokens are kept.
    pub surface: Surface,
    /// What the program said that it is (`User-Agent`).
    pub client: Option<Private>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it is over in any case.
    pub until: Timestamp,
    /// Its end, if that was before.
    pub ended: Option<Ended>,
}

impl Session {
    /// Whether it is still good at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.person.is_some() && self.ended.is_none() && now < self.until
    }
}

/// What is asked of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin.
    Start {
        /// Random.
        id: SessionId,
        /// Whose.
        person: Person,
        /// Where its tokens are kept.
        surface: Surface,
        /// What the program says that it is.
        client: Option<String>,
        /// When it is over in any case.
        until: Timestamp,
    },
    /// End; again is no change.
    End(How),
}

/// A command to a session: what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// What is asked.
    pub action: Action,
}

/// What happened to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// Somebody signed in.
    #[serde(rename = "session.started")]
    Started {
        /// The session.
        id: SessionId,
        /// Who.
        person: Person,
        /// Where the tokens are kept.
        surface: Surface,
        /// Sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Private>,
        /// When it is over in any case.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// It is over before its time.
    #[serde(rename = "session.ended")]
    Ended {
        /// Why.
        how: How,
        /// When.
        at: Timestamp,
    },
}

crate::aggregate::wire_names!(Event {
    Started => "session.started", "1";
    Ended => "session.ended", "1";
});

impl PrivateFields for Event {
    fn private_fields(&mut self, visit: &mut dyn FnMut(&str, &mut Private)) {
        match self {
            Self::Started { person, client, .. } => {
                visit("person.discordId", &mut person.discord_id);
                if let Some(client) = client {
                    visit("client", client);
                }
            }
            Self::Ended { .. } => {}
        }
    }
}

/// Why a session's command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such session.
    #[error("this session is not known")]
    NotFound,
    /// Its id is taken.
    #[error("this session began already")]
    AlreadyStarted,
}

impl Refusal {
    /// Every code, each once, in alphabetical order.
    pub const CODES: &'static [&'static str] = &["CONFLICT", "NOT_FOUND"];
}

impl Refuse for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyStarted => "CONFLICT",
        }
    }

    fn help(&self) -> String {
        match self {
            Self::NotFound => "List the sessions to see which are there.",
            Self::AlreadyStarted => "Sign in again.",
        }
        .to_owned()
    }
}
