//! Identifiers as types, so that a guild is never mistaken for a user. Parsing is strict; nothing here
//! looks anything up.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use crate::ports::{Mac, Purpose};

/// Why a text is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    /// The text as given, cut to 64 characters.
    pub text: String,
    /// What would have been accepted, with its article.
    pub expected: &'static str,
}

impl InvalidId {
    /// The refusal of `text`, which should have been `expected`.
    pub fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), expected }
    }
}

macro_rules! snowflake {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_snowflake(text).map(Self).ok_or_else(|| InvalidId::new(text, $expected))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

snowflake!(
    /// A Discord server, which is the tenant. Decimal text in JSON.
    GuildId,
    "a Discord server id (1 to 20 decimal digits, no leading zero)"
);
snowflake!(
    /// A Discord role.
    RoleId,
    "a Discord role id (1 to 20 decimal digits, no leading zero)"
);
snowflake!(
    /// A Discord channel.
    ChannelId,
    "a Discord channel id (1 to 20 decimal digits, no leading zero)"
);
snowflake!(
    /// A Discord account as Discord names it. Personal: inside events only its [`Pseudonym`] stands in the clear.
    DiscordId,
    "a Discord user id (1 to 20 decimal digits, no leading zero)"
);

fn parse_snowflake(text: &str) -> Option<u64> {
    let plain = !text.is_empty()
        && text.len() <= 20
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}

/// A license. UUID v4 when made by hand, in bulk or by import; UUID v8 when it comes from a role
/// (see [`LicenseId::for_slot`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LicenseId(pub Uuid);

impl Default for LicenseId {
    fn default() -> Self {
        Self(Uuid::nil())
    }
}

impl LicenseId {
    /// The id of the license that lives in a slot: the first 16 bytes of a keyed hash over
    /// (guild, pseudonym, type, generation), marked as UUID v8 (RFC 9562). A repeated grant therefore
    /// meets the same license instead of making a second one.
    pub fn for_slot(
        mac: &dyn Mac,
        guild: GuildId,
        user: &Pseudonym,
        license_type: &str,
        generation: u32,
    ) -> Self {
        let tag = mac.mac(
            Purpose::RoleLicense,
            &[
                &guild.0.to_be_bytes(),
                &(user.as_str().len() as u32).to_be_bytes(),
                user.as_str().as_bytes(),
                &(license_type.len() as u32).to_be_bytes(),
                license_type.as_bytes(),
                &generation.to_be_bytes(),
            ],
        );
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&tag[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for LicenseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for LicenseId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = "a license id (a UUID such as 8f14e45f-ceea-467f-9b2b-7c2f1a2f3c4d)";
        hyphenated(text).map(Self).ok_or_else(|| InvalidId::new(text, expected))
    }
}

/// A session: a random UUID (v4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl Default for SessionId {
    fn default() -> Self {
        Self(Uuid::nil())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hyphenated(text).map(Self).ok_or_else(|| InvalidId::new(text, "a session id (a UUID)"))
    }
}

/// A UUID in its one form of 36 characters.
fn hyphenated(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::parse_str(text).ok() } else { None }
}

/// A person inside events: `u_` and base32 (RFC 4648, lower case, no padding) of the first 16 bytes of
/// HMAC-SHA256(subject pepper, snowflake). It stays after erasure, so that a ban survives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym(Box<str>);

impl Pseudonym {
    /// The pseudonym of a Discord account under this deployment's subject pepper.
    pub fn of(mac: &dyn Mac, account: DiscordId) -> Self {
        let tag = mac.mac(Purpose::SubjectPepper, &[account.to_string().as_bytes()]);
        Self(format!("u_{}", base32_lower().encode(&tag[..16])).into())
    }

    /// The pseudonym as text, `u_` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pseudonym {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let body = text.strip_prefix("u_").filter(|b| b.len() == 26);
        let plain = body.is_some_and(|b| b.bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7')));
        if plain {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(text, "a pseudonym (u_ and 26 symbols)"))
        }
    }
}

impl Serialize for Pseudonym {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pseudonym {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// RFC 4648 base32 in lower case without padding.
pub(crate) fn base32_lower() -> &'static Encoding {
    static ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
        let mut spec = Specification::new();
        spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
        #[expect(clippy::expect_used, reason = "the alphabet is a constant of 32 distinct symbols")]
        spec.encoding().expect("a valid base32 alphabet")
    });
    &ENCODING
}

/// The kind of an aggregate, as stored in `aggregate_type`. Wire names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One license.
    License,
    /// One user in one guild: observed roles and slots.
    Member,
    /// One Discord server: types, rules, staff, credentials.
    Guild,
    /// One Discord account across guilds.
    User,
    /// One sign-in of one person.
    Session,
    /// The platform's own people; there is one.
    Platform,
    /// What happened to the security of a guild or the platform, of one day and one process. No aggregate.
    Security,
}

impl Kind {
    /// Every kind, in a fixed order.
    pub const ALL: [Self; 7] =
        [Self::License, Self::Member, Self::Guild, Self::User, Self::Session, Self::Platform, Self::Security];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::License => "license",
            Self::Member => "member",
            Self::Guild => "guild",
            Self::User => "user",
            Self::Session => "session",
            Self::Platform => "platform",
            Self::Security => "security",
        }
    }
}

impl FromStr for Kind {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| InvalidId::new(text, "an aggregate kind"))
    }
}

/// One stream of events: the kind of its aggregate and the aggregate's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// What the stream is about.
    pub kind: Kind,
    /// A UUID (license, session), `<guild>:<pseudonym>` (member), a snowflake (guild), a pseudonym (user), `platform`, or
    /// `<guild or platform>:<day>:<process>` (security).
    pub id: Box<str>,
}

impl StreamId {
    /// The stream of a license.
    pub fn license(id: LicenseId) -> Self {
        Self { kind: Kind::License, id: id.to_string().into() }
    }

    /// The stream of a member: one user in one guild.
    pub fn member(guild: GuildId, user: &Pseudonym) -> Self {
        Self { kind: Kind::Member, id: format!("{guild}:{user}").into() }
    }

    /// The stream of a guild.
    pub fn guild(id: GuildId) -> Self {
        Self { kind: Kind::Guild, id: id.to_string().into() }
    }

    /// The stream of a user.
    pub fn user(id: &Pseudonym) -> Self {
        Self { kind: Kind::User, id: id.as_str().into() }
    }

    /// The one stream of the platform.
    pub fn platform() -> Self {
        Self { kind: Kind::Platform, id: "platform".into() }
    }

    /// The stream of what one process saw on the day of `at` of the security of a guild, or of the platform.
    pub fn security(guild: Option<GuildId>, at: crate::time::Timestamp, process: &str) -> Self {
        let scope = guild.map_or_else(|| "platform".to_owned(), |guild| guild.to_string());
        let instant = at.to_string();
        let day = instant.split_once('T').map_or(instant.as_str(), |(day, _)| day);
        Self { kind: Kind::Security, id: format!("{scope}:{day}:{process}").into() }
    }

    /// The stream of a session.
    pub fn session(id: SessionId) -> Self {
        Self { kind: Kind::Session, id: id.to_string().into() }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}
