//! The only door to change: a command is decided by an aggregate, sealed, and appended to the log in one
//! transaction. This crate never reads a read model and never talks to anybody outside but the event store.

use std::sync::Arc;

use domain::event::Actor;
use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::ports::Floor;

mod bulk;
mod bulk_import;
mod bulk_revoke;
mod bulk_terms;
mod context;
mod delivery;
mod device;
mod error;
mod execute;
mod expiry;
mod guild;
mod lease;
mod license;
mod locks;
mod member;
mod observe;
mod platform;
mod rights;
pub mod ring;
pub mod seal;
mod security;
mod session;
pub mod signer;
pub mod store;
mod user;

pub use bulk::{GENERATE_MAX, GenerateOrder, Generated};
pub use bulk_import::{IMPORT_MAX, ImportColumns, ImportOrder, ImportRow, Imported, import_refused};
pub use bulk_revoke::{Fate, REVOKE_MAX, Reach, Revocation, RevokeOrder, Revoked};
pub use bulk_terms::{APPLY_MAX, Application, AppliedTerms, ApplyOrder, TermsFate};
pub use context::{Context, Idempotency};
pub use device::{Activated, DeviceOrder};
pub use error::{CommandError, Refused, RefusedItem};
pub use execute::Done;
pub use lease::LeaseOrder;
pub use license::TermsOrder;
pub use observe::{Losses, Observation, ObserveMember};
pub use rights::{Held, Rights};
pub use security::Revealed;
pub use session::SessionOrder;

use crate::ring::KeyRing;
use crate::seal::Vault;
use crate::store::{IdempotencyKey, IdempotencyRow, Store};

/// What the command layer is made of.
pub struct Parts {
    /// Where events go.
    pub store: Store,
    /// Secrets.
    pub ring: Arc<KeyRing>,
    /// Keys of personal fields.
    pub vault: Arc<Vault>,
    /// Told of every event before its command answers.
    pub floor: Arc<dyn Floor>,
    /// Whether Discord is simulated; stamped into every event.
    pub simulated: bool,
}

/// The command layer. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    locks: locks::Locks,
    known_users: user::KnownUsers,
    observations: observe::Latest,
    security: security::Journal,
}

impl Commands {
    /// Puts the layer together.
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                locks: locks::Locks::default(),
                known_users: user::KnownUsers::default(),
                observations: observe::Latest::default(),
                security: security::Journal::default(),
            }),
        }
    }

    /// The event store.
    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// The key ring.
    pub fn ring(&self) -> &Arc<KeyRing> {
        &self.inner.parts.ring
    }

    /// The keys of personal fields.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.inner.parts.vault
    }

    /// A license from the log itself; version 0 means there is none.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`], [`CommandError::Damaged`].
    pub async fn load_license(&self, id: LicenseId) -> Result<domain::license::License, CommandError> {
        Ok(self.store().load(&StreamId::license(id)).await?)
    }

    /// A license as it was after `version` events.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_license_at(
        &self,
        id: LicenseId,
        version: u64,
    ) -> Result<domain::license::License, CommandError> {
        Ok(self.store().load_until(&StreamId::license(id), version).await?)
    }

    /// A guild from the log itself; version 0 means there is none.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_guild(&self, id: GuildId) -> Result<domain::guild::Guild, CommandError> {
        Ok(self.store().load(&StreamId::guild(id)).await?)
    }

    /// A guild as it was after `version` events.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_guild_at(
        &self,
        id: GuildId,
        version: u64,
    ) -> Result<domain::guild::Guild, CommandError> {
        Ok(self.store().load_until(&StreamId::guild(id), version).await?)
    }

    /// A user from the log itself; version 0 means there is none.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_user(&self, id: &Pseudonym) -> Result<domain::user::User, CommandError> {
        Ok(self.store().load(&StreamId::user(id)).await?)
    }

    /// A user as it was after `version` events.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_user_at(
        &self,
        id: &Pseudonym,
        version: u64,
    ) -> Result<domain::user::User, CommandError> {
        Ok(self.store().load_until(&StreamId::user(id), version).await?)
    }

    /// A member as it was after `version` events.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_member_at(
        &self,
        guild: GuildId,
        user: &Pseudonym,
        version: u64,
    ) -> Result<domain::member::Member, CommandError> {
        Ok(self.store().load_until(&StreamId::member(guild, user), version).await?)
    }

    /// A member from the log itself; version 0 means there is none.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_member(
        &self,
        guild: GuildId,
        user: &Pseudonym,
    ) -> Result<domain::member::Member, CommandError> {
        Ok(self.store().load(&StreamId::member(guild, user)).await?)
    }

    /// What an earlier write with this idempotency key did.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`].
    pub async fn idempotency(&self, key: &IdempotencyKey) -> Result<Option<IdempotencyRow>, CommandError> {
        Ok(self.store().idempotency(key).await?)
    }
}

impl Context {
    /// The context of a background job: it acts on every tenant, in the name of the job.
    pub fn job(name: &str, command_id: uuid::Uuid, now: domain::time::Timestamp) -> Self {
        Self {
            actor: Actor::Job(name.into()),
            rights: Rights::Everything,
            tenant: None,
            command_id,
            correlation_id: command_id.to_string(),
            causation_id: None,
            reason: None,
            trace: None,
            now,
            expected_version: None,
            idempotency: None,
        }
    }
}
