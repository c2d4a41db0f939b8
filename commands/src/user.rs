//! Commands to one user.

use std::collections::HashSet;
use std::sync::Mutex;

use domain::id::{DiscordId, Pseudonym, StreamId};
use domain::private::Person;
use domain::user::{Action, Command, User};

use crate::execute::Order;
use crate::{CommandError, Commands, Context, Done};

/// Accounts that this process knows to be registered, so that it need not ask the log again. Forgets everything
/// when it is full: a registration is only repeated then, and a repeat changes nothing.
#[derive(Default)]
pub(crate) struct KnownUsers(Mutex<HashSet<Pseudonym>>);

const KNOWN_MAX: usize = 100_000;

impl KnownUsers {
    fn contains(&self, user: &Pseudonym) -> bool {
        self.0.lock().is_ok_and(|known| known.contains(user))
    }

    fn insert(&self, user: Pseudonym) {
        if let Ok(mut known) = self.0.lock() {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(user);
        }
    }
}

impl Commands {
    async fn user(
        &self,
        context: &Context,
        user: DiscordId,
        action: Action,
    ) -> Result<Done<User>, CommandError> {
        let id = Pseudonym::of(self.ring().as_ref(), user);
        let command = Command { now: context.now, action };
        self.run(context, StreamId::user(&id), |_: &User| Ok(Order::new(command.clone()))).await
    }

    /// Makes an account known: `user.registered` the first time any part sees it.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`].
    pub async fn ensure_user(&self, context: &Context, user: DiscordId) -> Result<Pseudonym, CommandError> {
        let person = Person::new(self.ring().as_ref(), user);
        let id = person.id.clone();
        if !self.inner.known_users.contains(&id) {
            let context =
                Context { idempotency: None, expected_version: None, reason: None, ..context.clone() };
            self.user(&derived(&context, &id), user, Action::Register { person }).await?;
            self.inner.known_users.insert(id.clone());
        }
        Ok(id)
    }

    /// Lets no license of this account be valid.
    ///
    /// # Errors
    /// `ALREADY_BANNED`.
    pub async fn ban(&self, context: &Context, user: DiscordId) -> Result<Done<User>, CommandError> {
        self.ensure_user(context, user).await?;
        self.user(context, user, Action::Ban).await
    }

    /// Takes a ban back.
    ///
    /// # Errors
    /// `NOT_BANNED`.
    pub async fn unban(&self, context: &Context, user: DiscordId) -> Result<Done<User>, CommandError> {
        self.user(context, user, Action::Unban).await
    }

    /// Takes what Discord says about an account.
    ///
    /// # Errors
    /// `USER_ERASED`.
    pub async fn change_profile(
        &self,
        context: &Context,
        user: DiscordId,
        username: Option<String>,
        email: Option<String>,
    ) -> Result<Done<User>, CommandError> {
        self.ensure_user(context, user).await?;
        self.user(context, user, Action::ChangeProfile { username, email }).await
    }
}

/// A context of its own for the registration that a command causes, so that ids of events stay unique.
fn derived(context: &Context, user: &Pseudonym) -> Context {
    use sha2::{Digest, Sha256};
    let digest =
        Sha256::new().chain_update(context.command_id.as_bytes()).chain_update(user.as_str()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Context {
        command_id: uuid::Builder::from_custom_bytes(bytes).into_uuid(),
        causation_id: Some(context.command_id.to_string()),
        ..context.clone()
    }
}
