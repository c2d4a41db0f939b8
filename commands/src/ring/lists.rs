//! The lists of a key ring that can be rotated, by name. Nothing here is secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RingError;

/// Most license-key secrets that a ring can ever have: a key has five bits for the id.
pub const LICENSE_SECRETS_MAX: u32 = 32;
/// Most secrets that any other list can ever have: three centuries of monthly rotation.
const SECRETS_MAX: u32 = 4_096;

/// One list of secrets that can be rotated. The names are those of the file, of the database row and of
/// `dca-auth keys add --kind LIST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum List {
    /// Tags of license keys; ids 0 to 31.
    License,
    /// Wrapping of the subjects' data keys.
    Encryption,
    /// Ed25519 keys of access tokens.
    Access,
    /// Ed25519 keys of signed answers.
    Response,
    /// Ed25519 keys of offline licenses.
    Certificate,
    /// Tags of cache entries.
    Cache,
}

impl List {
    /// Every list, in the order of the file.
    pub const ALL: [Self; 6] =
        [Self::License, Self::Encryption, Self::Access, Self::Response, Self::Certificate, Self::Cache];

    /// The name in file, database and command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::License => "license",
            Self::Encryption => "encryption",
            Self::Access => "access",
            Self::Response => "response",
            Self::Certificate => "certificate",
            Self::Cache => "cache",
        }
    }

    /// How many secrets the list can ever have.
    pub(super) const fn most(self) -> u32 {
        match self {
            Self::License => LICENSE_SECRETS_MAX,
            _ => SECRETS_MAX,
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for List {
    type Err = RingError;
    fn from_str(text: &str) -> Result<Self, RingError> {
        Self::ALL.into_iter().find(|list| list.as_str() == text).ok_or_else(|| RingError::NoSuchList {
            text: text.chars().take(32).collect(),
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// One secret by its list and its number there, written as `license-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId {
    /// The list.
    pub list: List,
    /// The number in the list.
    pub id: u32,
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.list, self.id)
    }
}

impl FromStr for SecretId {
    type Err = RingError;
    fn from_str(text: &str) -> Result<Self, RingError> {
        let read = |text: &str| {
            let (list, id) = text.split_once('-')?;
            Some(Self { list: list.parse().ok()?, id: id.parse().ok()? })
        };
        // Read back what is written: `license-01` is no second name of `license-1`.
        read(text).filter(|read| read.to_string() == text).ok_or_else(|| RingError::NoSecretId {
            text: text.chars().take(32).collect(),
            lists: List::ALL.map(List::as_str).join(", "),
        })
    }
}

/// Something for each list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerList<T> {
    /// For [`List::License`].
    pub license: T,
    /// For [`List::Encryption`].
    pub encryption: T,
    /// For [`List::Access`].
    pub access: T,
    /// For [`List::Response`].
    pub response: T,
    /// For [`List::Certificate`].
    pub certificate: T,
    /// For [`List::Cache`].
    pub cache: T,
}

/// The id of the active secret of each list: a row of the database beside the root's fingerprint, as JSON.
/// Lists that a later version adds are passed over on reading.
pub type ActiveIds = PerList<u32>;

impl<T> PerList<T> {
    /// Makes one for each list, in the order of [`List::ALL`].
    ///
    /// # Errors
    /// The first error of `make`.
    pub(super) fn try_make<E>(mut make: impl FnMut(List) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            license: make(List::License)?,
            encryption: make(List::Encryption)?,
            access: make(List::Access)?,
            response: make(List::Response)?,
            certificate: make(List::Certificate)?,
            cache: make(List::Cache)?,
        })
    }

    /// The same lists, each with what `change` makes of it.
    pub(super) fn map<U>(&self, change: impl Fn(&T) -> U) -> PerList<U> {
        PerList {
            license: change(&self.license),
            encryption: change(&self.encryption),
            access: change(&self.access),
            response: change(&self.response),
            certificate: change(&self.certificate),
            cache: change(&self.cache),
        }
    }

    /// What belongs to `list`.
    pub const fn get(&self, list: List) -> &T {
        match list {
            List::License => &self.license,
            List::Encryption => &self.encryption,
            List::Access => &self.access,
            List::Response => &self.response,
            List::Certificate => &self.certificate,
            List::Cache => &self.cache,
        }
    }

    /// What belongs to `list`, to be changed.
    pub(super) const fn get_mut(&mut self, list: List) -> &mut T {
        match list {
            List::License => &mut self.license,
            List::Encryption => &mut self.encryption,
            List::Access => &mut self.access,
            List::Response => &mut self.response,
            List::Certificate => &mut self.certificate,
            List::Cache => &mut self.cache,
        }
    }
}
