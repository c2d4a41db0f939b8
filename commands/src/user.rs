//! Commands to one user. What takes a user out of service takes his platform role in the same append.

use std::collections::HashSet;
use std::sync::Mutex;

use domain::id::{DiscordId, Pseudonym, StreamId};
use domain::platform::PlatformRole;
use domain::private::{Person, Subject};
use domain::user::{Action, Command, User};
use futures::FutureExt as _;

use crate::execute::{Order, Part, check_version};
use crate::platform::role_change;
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

    /// Lets no license of this account be valid, and takes its platform role.
    ///
    /// # Errors
    /// `ALREADY_BANNED`; `RANK_TOO_LOW`, `LAST_OWNER` if it has a platform role that whoever asks may not take.
    pub async fn ban(&self, context: &Context, user: DiscordId) -> Result<Done<User>, CommandError> {
        self.ensure_user(context, user).await?;
        self.with_platform_role(context, user, Some(Action::Ban), None).await
    }

    /// Destroys the key of everything that is sealed for this account, records it, and takes its platform role. What was
    /// erased before is erased again: nothing that was sealed for the account since then can be read any more.
    ///
    /// # Errors
    /// `NOT_FOUND`; `RANK_TOO_LOW`, `LAST_OWNER` as for [`Commands::ban`].
    pub async fn erase(&self, context: &Context, user: DiscordId) -> Result<Done<User>, CommandError> {
        let id = Pseudonym::of(self.ring().as_ref(), user);
        let (known, platform) = (self.load_user(&id).await?, self.load_platform().await?);
        if known.person.is_none() {
            return Err(CommandError::NotFound("user"));
        }
        check_version(context, &known)?;
        // Whatever keeps it from being recorded is found before anything is destroyed.
        let mut rehearsal = Part::new(StreamId::platform(), platform);
        rehearsal.decide(context, &role_change(context, &id, None, &known))?;
        // Before the event: a reader who meets it must not find the key any more.
        let subject = Subject::User(id);
        self.vault().destroy(&subject).await?;
        let done = self.with_platform_role(context, user, Some(Action::Erase), None).await?;
        // A command that was under way may have made a new key in between. Nothing that matters was sealed under it.
        self.vault().destroy(&subject).await?;
        Ok(done)
    }

    /// Lets an erased account begin anew, because its person signs in. Everything before stays unreadable: what is sealed
    /// from now on is sealed under another key.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`].
    pub async fn welcome_back(&self, context: &Context, user: DiscordId) -> Result<Done<User>, CommandError> {
        let person = Person::new(self.ring().as_ref(), user);
        self.user(context, user, Action::Return { person }).await
    }

    /// Gives an account a platform role, or takes it with `None`. Who may, the platform itself knows.
    ///
    /// # Errors
    /// `RANK_TOO_LOW`, `LAST_OWNER`, `USER_BANNED`, `USER_ERASED`; `NOT_FOUND` for an unknown account that is to lose one.
    pub async fn change_platform_role(
        &self,
        context: &Context,
        user: DiscordId,
        role: Option<PlatformRole>,
    ) -> Result<Done<User>, CommandError> {
        if role.is_some() {
            self.ensure_user(context, user).await?;
        }
        self.with_platform_role(context, user, None, role).await
    }

    /// Does something to a user and gives him a platform role, in one append.
    async fn with_platform_role(
        &self,
        context: &Context,
        user: DiscordId,
        action: Option<Action>,
        role: Option<PlatformRole>,
    ) -> Result<Done<User>, CommandError> {
        let id = Pseudonym::of(self.ring().as_ref(), user);
        let streams = [StreamId::user(&id), StreamId::platform()];
        let (commands, owned) = (self.clone(), (context.clone(), id));
        let attempt = move || {
            let (commands, (context, id), action) = (commands.clone(), owned.clone(), action.clone());
            async move { commands.change_both(&context, &id, action, role).await }.boxed()
        };
        self.retried(context, &streams, attempt).await
    }

    async fn change_both(
        &self,
        context: &Context,
        id: &Pseudonym,
        action: Option<Action>,
        role: Option<PlatformRole>,
    ) -> Result<Done<User>, CommandError> {
        let stream = StreamId::user(id);
        let known: User = self.loaded(context, &stream).await?;
        if known.person.is_none() {
            return Err(CommandError::NotFound("user"));
        }
        let mut platform = Part::new(StreamId::platform(), self.load_platform().await?);
        platform.decide(context, &role_change(context, id, role, &known))?;
        let mut user = Part::new(stream, known);
        if let Some(action) = action {
            user.decide(context, &Command { now: context.now, action })?;
        }
        let appended = self.commit(context, &mut [&mut user, &mut platform], Vec::new(), Vec::new()).await?;
        Ok(Done { state: user.state, position: appended.map(|appended| appended.last) })
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
