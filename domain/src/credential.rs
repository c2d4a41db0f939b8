//! API keys: `dca_pub_…` and `dca_sec_…`, computed from the key ring and never stored. A forged one is refused
//! by its tag alone. The 12-byte id begins with the guild's snowflake, so that a key whose tag verifies can be
//! looked up in the guild's own stream even before any read model knows it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use subtle::ConstantTimeEq;

use crate::id::{GuildId, InvalidId};
use crate::ports::{Mac, Purpose};

const DOMAIN: &[u8] = b"dca-auth/api-key/v1";
const ID: usize = 12;
const TAG: usize = 20;
/// 32 bytes in base62 need 43 symbols.
const SYMBOLS: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What an API key may be used for at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiKeyKind {
    /// Safe inside a client program: four fixed scopes.
    Publishable,
    /// For a server of the guild's owner.
    Secret,
}

impl ApiKeyKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Publishable => "dca_pub_",
            Self::Secret => "dca_sec_",
        }
    }
}

/// One permission of an API key. Names are those of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Validate keys.
    #[serde(rename = "validate")]
    Validate,
    /// Activate devices.
    #[serde(rename = "activate")]
    Activate,
    /// Report that a device is in use.
    #[serde(rename = "heartbeat")]
    Heartbeat,
    /// Deactivate the device that asks.
    #[serde(rename = "deactivate")]
    Deactivate,
    /// Issue offline licenses.
    #[serde(rename = "certificate")]
    Certificate,
    /// Read licenses, devices and history.
    #[serde(rename = "licenses:read")]
    LicensesRead,
    /// Generate and change licenses.
    #[serde(rename = "licenses:write")]
    LicensesWrite,
    /// Revoke licenses.
    #[serde(rename = "licenses:revoke")]
    LicensesRevoke,
    /// Read license keys.
    #[serde(rename = "licenses:reveal")]
    LicensesReveal,
    /// Read the audit log.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Read the event feed.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Change webhooks.
    #[serde(rename = "webhooks:write")]
    WebhooksWrite,
}

impl Scope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::Validate,
        Self::Activate,
        Self::Heartbeat,
        Self::Deactivate,
        Self::Certificate,
        Self::LicensesRead,
        Self::LicensesWrite,
        Self::LicensesRevoke,
        Self::LicensesReveal,
        Self::AuditRead,
        Self::EventsRead,
        Self::WebhooksWrite,
    ];
    /// What every publishable key has, and no publishable key has more.
    pub const PUBLISHABLE: [Self; 4] = [Self::Validate, Self::Activate, Self::Heartbeat, Self::Deactivate];
    /// What a secret key has unless it is issued with others.
    pub const SECRET_DEFAULT: [Self; 6] = [
        Self::Validate,
        Self::Activate,
        Self::Heartbeat,
        Self::Deactivate,
        Self::Certificate,
        Self::LicensesRead,
    ];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Activate => "activate",
            Self::Heartbeat => "heartbeat",
            Self::Deactivate => "deactivate",
            Self::Certificate => "certificate",
            Self::LicensesRead => "licenses:read",
            Self::LicensesWrite => "licenses:write",
            Self::LicensesRevoke => "licenses:revoke",
            Self::LicensesReveal => "licenses:reveal",
            Self::AuditRead => "audit:read",
            Self::EventsRead => "events:read",
            Self::WebhooksWrite => "webhooks:write",
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| InvalidId::new(text, "a scope (see docs/API-DESIGN.md, \"Scopes\")"))
    }
}

/// A version of the HTTP API, by the day on which it became one: `2026-11-01`. Which there are, the API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion([u8; 10]);

impl ApiVersion {
    /// Its name in the API.
    pub fn as_str(&self) -> &str {
        // Digits and hyphens, because nothing else is parsed.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for ApiVersion {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // There are other ways to write a day, and this is the only one that is taken.
        let is_day = text.parse::<chrono::NaiveDate>().is_ok_and(|day| day.to_string() == text);
        text.as_bytes()
            .try_into()
            .ok()
            .filter(|_| is_day)
            .map(Self)
            .ok_or_else(|| InvalidId::new(text, "a version of the API (a day such as 2026-11-01)"))
    }
}

impl Serialize for ApiVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The public part of an API key: the guild's snowflake (8 bytes) and four random bytes; 24 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKeyId([u8; ID]);

impl ApiKeyId {
    /// The id of a new key of `guild`; `random` comes from the caller.
    pub fn new(guild: GuildId, random: [u8; 4]) -> Self {
        let mut bytes = [0; ID];
        bytes[..8].copy_from_slice(&guild.0.to_be_bytes());
        bytes[8..].copy_from_slice(&random);
        Self(bytes)
    }

    /// The guild that the key belongs to.
    pub fn guild(self) -> GuildId {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        GuildId(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl FromStr for ApiKeyId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| InvalidId::new(text, "an API key id (24 hexadecimal digits)"))
    }
}

impl Serialize for ApiKeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApiKeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Renders an API key.
pub fn render(mac: &dyn Mac, kind: ApiKeyKind, id: ApiKeyId) -> String {
    let mut bytes = [0; ID + TAG];
    bytes[..ID].copy_from_slice(&id.0);
    bytes[ID..].copy_from_slice(&tag(mac, kind, id));
    format!("{}{}", kind.prefix(), to_base62(bytes))
}

/// Opens an API key; `None` if its form or its tag is wrong, in which case we never made it.
pub fn open(mac: &dyn Mac, text: &str) -> Option<(ApiKeyKind, ApiKeyId)> {
    let (kind, body) = [ApiKeyKind::Publishable, ApiKeyKind::Secret]
        .into_iter()
        .find_map(|kind| Some((kind, text.strip_prefix(kind.prefix())?)))?;
    let bytes = from_base62(body)?;
    let mut id = [0; ID];
    id.copy_from_slice(&bytes[..ID]);
    let id = ApiKeyId(id);
    bool::from(tag(mac, kind, id).ct_eq(&bytes[ID..])).then_some((kind, id))
}

fn tag(mac: &dyn Mac, kind: ApiKeyKind, id: ApiKeyId) -> [u8; TAG] {
    let full = mac.mac(Purpose::ApiKey, &[DOMAIN, kind.prefix().as_bytes(), &id.0]);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&full[..TAG]);
    tag
}

/// 32 bytes as a big-endian number in 43 digits of base 62.
fn to_base62(mut number: [u8; ID + TAG]) -> String {
    let mut digits = [0_u8; SYMBOLS];
    for digit in digits.iter_mut().rev() {
        let remainder = number.iter_mut().fold(0_u32, |rest, byte| {
            let value = (rest << 8) | u32::from(*byte);
            *byte = (value / 62) as u8;
            value % 62
        });
        *digit = BASE62[remainder as usize];
    }
    digits.iter().map(|digit| *digit as char).collect()
}

/// Five digits at a time (62^5 < 2^32), in limbs of 32 bits: every request with an API key comes through here.
fn from_base62(text: &str) -> Option<[u8; ID + TAG]> {
    if text.len() != SYMBOLS {
        return None;
    }
    let mut limbs = [0_u32; (ID + TAG) / 4];
    for group in text.as_bytes().chunks(5) {
        let (mut value, mut base) = (0_u64, 1_u64);
        for symbol in group {
            value = value * 62 + u64::from(base62_value(*symbol)?);
            base *= 62;
        }
        let carry = limbs.iter_mut().rev().fold(value, |carry, limb| {
            let value = u64::from(*limb) * base + carry;
            *limb = value as u32;
            value >> 32
        });
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; ID + TAG];
    for (chunk, limb) in bytes.chunks_exact_mut(4).zip(limbs) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    Some(bytes)
}

const fn base62_value(symbol: u8) -> Option<u8> {
    match symbol {
        b'0'..=b'9' => Some(symbol - b'0'),
        b'A'..=b'Z' => Some(symbol - b'A' + 10),
        b'a'..=b'z' => Some(symbol - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
