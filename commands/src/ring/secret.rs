//! 32 secret bytes, and the lists that a ring keeps them in. Wiped from memory when dropped; no `Debug`, no
//! error and no log line ever shows them.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use domain::time::Timestamp;
use serde::{Serialize, Serializer, ser::Error as _};
use zeroize::{Zeroize, Zeroizing};

/// Length of every secret of the ring, in bytes.
pub(crate) const SECRET_BYTES: usize = 32;
/// Length of a secret as text: base64url without padding.
const SECRET_SYMBOLS: usize = 43;

/// 32 secret bytes. Boxed, so that moving a ring does not leave copies behind on the stack.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Box<[u8; SECRET_BYTES]>);

impl Secret {
    /// Zeros, to be filled in place.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; SECRET_BYTES]))
    }

    /// The secret itself.
    pub(crate) fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// The place to fill.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; SECRET_BYTES] {
        &mut self.0
    }

    /// Reads 43 symbols of base64url; `None` if they are anything else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text.len() != SECRET_SYMBOLS {
            return None;
        }
        let mut secret = Self::zeroed();
        BASE64URL_NOPAD.decode_mut(text.as_bytes(), secret.bytes_mut()).ok()?;
        Some(secret)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Written into the key file and nowhere else.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut symbols = Zeroizing::new([0_u8; SECRET_SYMBOLS]);
        BASE64URL_NOPAD.encode_mut(self.bytes(), symbols.as_mut());
        let text = std::str::from_utf8(symbols.as_ref()).map_err(S::Error::custom)?;
        serializer.serialize_str(text)
    }
}

/// One secret of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// Unique in its list, rising, never used again.
    pub(crate) id: u32,
    /// The secret.
    pub(crate) secret: Secret,
    /// When it was made.
    pub(crate) created_at: Timestamp,
}

/// The secrets of one purpose. The active one makes new things; the others go on proving old ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SecretList {
    active: u32,
    /// Place of the active secret; always inside `secrets`.
    #[serde(skip)]
    active_at: usize,
    secrets: Vec<Entry>,
}

impl SecretList {
    /// A list whose only secret, number 0, is active.
    pub(crate) fn of_one(secret: Secret, created_at: Timestamp) -> Self {
        Self { active: 0, active_at: 0, secrets: vec![Entry { id: 0, secret, created_at }] }
    }

    /// A list; `None` unless the ids rise and `active` is one of them.
    pub(crate) fn new(active: u32, secrets: Vec<Entry>) -> Option<Self> {
        let rising = secrets.windows(2).all(|pair| pair[0].id < pair[1].id);
        let active_at = secrets.iter().position(|entry| entry.id == active)?;
        rising.then_some(Self { active, active_at, secrets })
    }

    /// The active id.
    pub(crate) fn active(&self) -> u32 {
        self.active
    }

    /// The active secret.
    pub(crate) fn active_secret(&self) -> &Secret {
        &self.secrets[self.active_at].secret
    }

    /// The secret `id`.
    pub(crate) fn get(&self, id: u32) -> Option<&Secret> {
        self.secrets.iter().find(|entry| entry.id == id).map(|entry| &entry.secret)
    }

    /// Every secret, in the order of the ids.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.secrets
    }

    /// The id that the next secret gets: ids are never used again.
    pub(crate) fn next_id(&self) -> u32 {
        self.secrets.last().map_or(0, |entry| entry.id.saturating_add(1))
    }

    /// Adds a secret under [`SecretList::next_id`].
    pub(crate) fn add(&mut self, secret: Secret, created_at: Timestamp) {
        self.secrets.push(Entry { id: self.next_id(), secret, created_at });
    }

    /// Adds the secrets of `other` that are not here, in the order of their ids; `Err` is the id under which `other` has
    /// another secret.
    pub(crate) fn take_over(&mut self, other: &Self) -> Result<(), u32> {
        let active = self.active;
        for theirs in &other.secrets {
            match self.secrets.binary_search_by_key(&theirs.id, |ours| ours.id) {
                Ok(at) if self.secrets[at].secret == theirs.secret => {}
                Ok(_) => return Err(theirs.id),
                Err(at) => self.secrets.insert(at, theirs.clone()),
            }
        }
        self.activate(active);
        Ok(())
    }

    /// Makes `id` the active one; false if there is no such secret.
    pub(crate) fn activate(&mut self, id: u32) -> bool {
        let place = self.secrets.iter().position(|entry| entry.id == id);
        if let Some(place) = place {
            (self.active, self.active_at) = (id, place);
        }
        place.is_some()
    }
}
