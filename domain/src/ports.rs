//! What the rules ask of the outside: narrow traits, signatures only. `commands` and `server` implement them;
//! `server` hands them to both halves. The rules themselves never wait: [`Vault`], the one asynchronous trait,
//! loads keys before the synchronous call, and only the halves use it.

use std::future::Future;
use std::pin::Pin;

use crate::id::{GuildId, StreamId};
use crate::private::{SealContext, SealedText, Subject, Unsealed};

/// What a keyed hash is for. Each purpose has a key of its own, derived from the ring's root by HKDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Snowflake to pseudonym.
    SubjectPepper,
    /// Imported foreign keys.
    Alias,
    /// Ids of licenses that come from roles.
    RoleLicense,
    /// Device components, each under a key of its license.
    Fingerprint,
    /// Tags of API keys.
    ApiKey,
    /// Webhook secrets.
    WebhookSecret,
    /// Tags of refresh tokens.
    RefreshToken,
    /// PKCE verifiers of sign-ins that are under way, and what ties such a sign-in to a browser.
    SignIn,
    /// Tokens against requests that another page made a browser send.
    Csrf,
    /// Claims of the platform's ownership in a printed sign-in link.
    PlatformClaim,
    /// Salts of the fingerprints in offline licenses.
    Certificate,
}

/// Keyed hashes under the ring.
pub trait Mac: Send + Sync {
    /// HMAC-SHA256 over the concatenated parts under the key of `purpose`.
    fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32];

    /// HMAC-SHA256 under the license-key secret `secret_id` (0 to 31); `None` if this ring has no such secret.
    fn license_key_mac(&self, secret_id: u8, parts: &[&[u8]]) -> Option<[u8; 32]>;

    /// The secret that new license keys are made with.
    fn active_license_secret(&self) -> u8;

    /// HMAC-SHA256 over the concatenated parts under the active cache secret, with the id of that secret.
    fn cache_mac(&self, parts: &[&[u8]]) -> (u32, [u8; 32]);

    /// The same under the cache secret `id`; `None` if this ring has no such secret.
    fn cache_mac_under(&self, id: u32, parts: &[&[u8]]) -> Option<[u8; 32]>;
}

/// Sealing of personal fields (AES-256-GCM, one data key a subject). The subjects' keys are loaded before.
pub trait Seal: Send + Sync {
    /// Seals `clear` for `subject`.
    ///
    /// # Errors
    /// [`SealError`] if the subject's key was not loaded or was destroyed.
    fn seal(&self, subject: &Subject, context: SealContext<'_>, clear: &str)
    -> Result<SealedText, SealError>;

    /// Opens a sealed text of `stream`; [`Unsealed::Erased`] if its key was destroyed.
    fn unseal(&self, stream: &StreamId, sealed: &SealedText) -> Unsealed;
}

/// Why a field could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The caller forgot to load the key: a fault of the program.
    #[error("the key of subject {0} is not loaded")]
    NotLoaded(Subject),
    /// The operating system gave no randomness, or the text is longer than the cipher takes.
    #[error("a field of subject {subject} could not be sealed: {reason}")]
    Failed {
        /// Whose field.
        subject: Subject,
        /// What went wrong.
        reason: &'static str,
    },
}

/// The keys of personal fields for whoever only reads: it never creates one. `commands` implements it.
pub trait Vault: Send + Sync {
    /// Loads the keys of `subjects` into a snapshot. A subject whose key was destroyed (or never made) reads as
    /// [`Unsealed::Erased`]; one that was not asked for, as [`Unsealed::Damaged`]. Take a new snapshot for each
    /// batch and keep none longer than a few seconds: a snapshot does not hear of an erasure.
    fn keys<'a>(&'a self, subjects: &'a [Subject]) -> VaultFuture<'a>;

    /// Drops a key that this process may have cached. Whoever reads `user.erased` from the log calls it before
    /// reading on, so that what is sealed for a person who came back opens at once under the new key.
    fn forget(&self, subject: &Subject);
}

/// What [`Vault::keys`] answers with.
pub type VaultFuture<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Seal>, VaultUnavailable>> + Send + 'a>>;

/// Why the keys of personal fields could not be loaded. Nothing was read as erased because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultUnavailable {
    /// The store did not answer: the same call may succeed later.
    #[error("{0}")]
    Store(String),
    /// A stored key cannot be read, or does not open under this process's key ring: trying again does not help.
    #[error("{0}")]
    Ring(String),
}

/// A detached Ed25519 signature under one of the ring's signing keys.
pub trait Sign: Send + Sync {
    /// The id of the active key, as published in the key set.
    fn key_id(&self) -> String;

    /// The public key, 32 bytes.
    fn public_key(&self) -> [u8; 32];

    /// Signs `message`; 64 bytes.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// What the process has seen of the log: no cached fact older than its floor is used (see `projections`).
pub trait Floor: Send + Sync {
    /// An event of `stream` stands at `position`: cached facts of it below that are stale.
    fn raise(&self, stream: &StreamId, position: i64);

    /// A license of `guild` got an alias at `position`: sets of the guild's aliases that end below that lack it.
    fn raise_aliases(&self, guild: GuildId, position: i64);

    /// The log reaches `position`: whoever follows it has something to read.
    fn advance(&self, position: i64);
}
