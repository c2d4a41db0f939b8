//! Commands to the platform's own people. They stand in one aggregate, because the rules about them are rules over all of
//! them: one first owner, and a last one who stays.

use domain::event::Actor;
use domain::id::{DiscordId, Kind, Pseudonym, StreamId};
use domain::platform::{Action, By, Command, Fitness, Platform, PlatformRole, Refusal, claim};
use domain::user::User;

use crate::execute::Order;
use crate::{CommandError, Commands, Context, Done};

/// The change of a person's role, as whoever acts asks for it.
pub(crate) fn role_change(
    context: &Context,
    user: &Pseudonym,
    role: Option<PlatformRole>,
    known: &User,
) -> Command {
    let by = match &context.actor {
        Actor::User(asking) => By::Person(asking.clone()),
        Actor::Operator | Actor::Bot | Actor::ApiKey(_) | Actor::Job(_) => By::Operator,
    };
    let action = Action::ChangeRole { user: user.clone(), role, by, fitness: fitness(known) };
    Command { now: context.now, action }
}

fn fitness(user: &User) -> Fitness {
    match (user.banned, user.erased) {
        (true, _) => Fitness::Banned,
        (false, true) => Fitness::Erased,
        (false, false) => Fitness::Fit,
    }
}

impl Commands {
    /// The platform's people from the log itself; version 0 means that there were none yet.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_platform(&self) -> Result<Platform, CommandError> {
        Ok(self.store().load(&StreamId::platform()).await?)
    }

    /// The same as it was after `version` events.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_platform_at(&self, version: u64) -> Result<Platform, CommandError> {
        Ok(self.store().load_until(&StreamId::platform(), version).await?)
    }

    /// The claim that whoever signs in with it owns the platform by; `None` while it has an owner.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn platform_claim(&self) -> Result<Option<String>, CommandError> {
        let (platform, epoch) = (self.load_platform().await?, self.store().epoch().await?);
        Ok(claim::render(self.ring().as_ref(), &epoch, &platform))
    }

    /// The number of the ownership that a claim is good for.
    ///
    /// # Errors
    /// `CLAIM_VOID`.
    pub async fn open_claim(&self, text: &str) -> Result<u32, CommandError> {
        let (platform, epoch) = (self.load_platform().await?, self.store().epoch().await?);
        let number = claim::open(self.ring().as_ref(), &epoch, &platform, text);
        number.ok_or_else(|| CommandError::refusal(Kind::Platform, &Refusal::ClaimVoid))
    }

    /// Makes an account the owner of a platform that has none. `number` is that of the ownership, as the claim says it. Of
    /// two at the same moment one is first, and the other meets an owner.
    ///
    /// # Errors
    /// `CLAIM_VOID`, `USER_BANNED`, `USER_ERASED`.
    pub async fn claim_platform(
        &self,
        context: &Context,
        user: DiscordId,
        number: u32,
    ) -> Result<Done<Platform>, CommandError> {
        let id = self.ensure_user(context, user).await?;
        let fitness = fitness(&self.load_user(&id).await?);
        let action = Action::Claim { user: id, number, fitness };
        let command = Command { now: context.now, action };
        self.run(context, StreamId::platform(), |_: &Platform| Ok(Order::new(command.clone()))).await
    }
}
