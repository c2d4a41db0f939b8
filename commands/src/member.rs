//! Commands to one member that touch no license. Observing roles stands in `observe.rs`.

use domain::id::{DiscordId, GuildId, Pseudonym, StreamId};
use domain::member::{Action, Command, Member};

use crate::execute::Order;
use crate::{CommandError, Commands, Context, Done};

impl Commands {
    pub(crate) async fn member(
        &self,
        context: &Context,
        guild: GuildId,
        user: &Pseudonym,
        action: Action,
    ) -> Result<Done<Member>, CommandError> {
        if context.tenant.is_some_and(|tenant| tenant != guild) {
            return Err(CommandError::NotFound("member"));
        }
        let command = Command { now: context.now, action };
        self.run(context, StreamId::member(guild, user), |_: &Member| Ok(Order::new(command.clone()))).await
    }

    /// Lets sources open a slot again after staff revoked its license. The next observation opens it.
    ///
    /// # Errors
    /// A refusal if the slot is not blocked.
    pub async fn unblock_slot(
        &self,
        context: &Context,
        guild: GuildId,
        user: DiscordId,
        license_type: &str,
    ) -> Result<Done<Member>, CommandError> {
        let user = Pseudonym::of(self.ring().as_ref(), user);
        self.member(context, guild, &user, Action::Unblock { license_type: license_type.to_owned() }).await
    }
}
