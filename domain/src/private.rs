//! Personal data inside events. A [`Private`] value cannot be serialised until it is sealed, so no event
//! can carry a name, an address or a free text in the clear. This file does no cryptography itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use crate::id::{GuildId, InvalidId, Pseudonym, StreamId};

/// Whose key seals a field: a person's, or the guild's where no person is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A person; erasing destroys the key.
    User(Pseudonym),
    /// A guild, for text that belongs to nobody in particular.
    Guild(GuildId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Guild(guild) => write!(f, "g_{guild}"),
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.strip_prefix("g_") {
            Some(guild) => guild.parse().map(Self::Guild),
            None => text.parse().map(Self::User),
        }
    }
}

/// Where a field stands: bound into the ciphertext (AAD), so that no sealed text can be moved.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    /// The stream of the event.
    pub stream: &'a StreamId,
    /// The event's sequence in that stream, from 1.
    pub sequence: u64,
    /// The name of the field, for example `reason` or `device.name`.
    pub field: &'a str,
}

impl SealContext<'_> {
    /// The additional authenticated data: stream ‖ sequence ‖ field, separated by U+001F.
    pub fn aad(&self) -> Vec<u8> {
        format!("{}\u{1f}{}\u{1f}{}", self.stream, self.sequence, self.field).into_bytes()
    }
}

/// A sealed field: `s1:<subject>:<key id>:<sequence>:<field>:<base64url(nonce ‖ ciphertext ‖ tag)>`.
/// Sequence and field are repeated in the text so that a state can open it later; whoever reads the event
/// checks them against the event ([`Private::stands_at`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SealedText(Box<str>);

/// The parts of a [`SealedText`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedParts<'a> {
    /// Whose key.
    pub subject: Subject,
    /// Which key of that subject (8 hexadecimal digits).
    pub key_id: &'a str,
    /// Sequence of the event that carries the field.
    pub sequence: u64,
    /// Name of the field.
    pub field: &'a str,
    /// base64url without padding of nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes).
    pub body: &'a str,
}

impl SealedText {
    /// Puts the parts together.
    pub fn new(subject: &Subject, key_id: &str, sequence: u64, field: &str, body: &str) -> Self {
        Self(format!("s1:{subject}:{key_id}:{sequence}:{field}:{body}").into())
    }

    /// The text as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the text apart; `None` if it is not of the form above.
    pub fn parts(&self) -> Option<SealedParts<'_>> {
        let mut rest = self.0.strip_prefix("s1:")?.splitn(5, ':');
        Some(SealedParts {
            subject: rest.next()?.parse().ok()?,
            key_id: rest.next()?,
            sequence: rest.next()?.parse().ok()?,
            field: rest.next()?,
            body: rest.next()?,
        })
    }
}

impl FromStr for SealedText {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let sealed = Self(text.into());
        if sealed.parts().is_some() {
            Ok(sealed)
        } else {
            Err(InvalidId::new("…", "a sealed field (s1:…)"))
        }
    }
}

/// What opening a sealed field gave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Unsealed {
    /// The text.
    Clear(String),
    /// The subject's key was destroyed: the person was erased.
    Erased,
    /// The text does not open under its key: it was altered, or moved from another event.
    Damaged,
}

impl Unsealed {
    /// The text to show: the field itself, `erased`, or `unreadable`.
    pub fn shown(&self) -> &str {
        match self {
            Self::Clear(text) => text,
            Self::Erased => "erased",
            Self::Damaged => "unreadable",
        }
    }

    /// The text, if it could be opened.
    pub fn clear(self) -> Option<String> {
        match self {
            Self::Clear(text) => Some(text),
            Self::Erased | Self::Damaged => None,
        }
    }
}

/// A personal field. It enters an event in the clear, with the subject whose key is to seal it, and leaves
/// the process sealed only: serialising a clear one is an error.
#[derive(Clone, PartialEq, Eq)]
pub enum Private {
    /// Not yet sealed.
    Clear {
        /// Whose key is to seal it.
        subject: Subject,
        /// The text.
        text: String,
    },
    /// As stored.
    Sealed(SealedText),
}

impl Private {
    /// A text about a person.
    pub fn of_user(user: &Pseudonym, text: impl Into<String>) -> Self {
        Self::Clear { subject: Subject::User(user.clone()), text: text.into() }
    }

    /// A text of a guild that concerns no owner.
    pub fn of_guild(guild: GuildId, text: impl Into<String>) -> Self {
        Self::Clear { subject: Subject::Guild(guild), text: text.into() }
    }

    /// A text sealed for the owner, or for the guild where there is no owner.
    pub fn of(owner: Option<&Pseudonym>, guild: GuildId, text: impl Into<String>) -> Self {
        match owner {
            Some(user) => Self::of_user(user, text),
            None => Self::of_guild(guild, text),
        }
    }

    /// Whose key seals it; `None` if a stored text is damaged.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::Clear { subject, .. } => Some(subject.clone()),
            Self::Sealed(sealed) => sealed.parts().map(|parts| parts.subject),
        }
    }

    /// Whether a stored field was sealed for exactly this sequence and field.
    pub fn stands_at(&self, sequence: u64, field: &str) -> bool {
        match self {
            Self::Clear { .. } => false,
            Self::Sealed(sealed) => {
                sealed.parts().is_some_and(|parts| parts.sequence == sequence && parts.field == field)
            }
        }
    }

    /// The text behind the field, through the port; a clear one answers itself.
    pub fn open(&self, seal: &dyn crate::ports::Seal, stream: &StreamId) -> Unsealed {
        match self {
            Self::Clear { text, .. } => Unsealed::Clear(text.clone()),
            Self::Sealed(sealed) => seal.unseal(stream, sealed),
        }
    }
}

/// Never shows the text, so that no log line can carry it.
impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear { subject, .. } => write!(f, "Private(clear, {subject})"),
            Self::Sealed(_) => f.write_str("Private(sealed)"),
        }
    }
}

impl Serialize for Private {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear { .. } => Err(S::Error::custom("a personal field was to be stored unsealed")),
            Self::Sealed(sealed) => serializer.serialize_str(sealed.as_str()),
        }
    }
}

impl<'de> Deserialize<'de> for Private {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self::Sealed).map_err(D::Error::custom)
    }
}

/// A person in an event: the pseudonym in the clear, the snowflake sealed under the person's own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// Stands for the account everywhere inside the log.
    pub id: Pseudonym,
    /// The snowflake, sealed.
    pub discord_id: Private,
}

impl Person {
    /// The person behind a Discord account.
    pub fn new(mac: &dyn crate::ports::Mac, account: crate::id::DiscordId) -> Self {
        let id = Pseudonym::of(mac, account);
        Self { discord_id: Private::of_user(&id, account.to_string()), id }
    }
}

/// Calls `visit` with the name and the value of every personal field of an event.
pub trait PrivateFields {
    /// Visits each personal field once, under a name that is unique within the event.
    fn private_fields(&mut self, visit: &mut dyn FnMut(&str, &mut Private));
}
