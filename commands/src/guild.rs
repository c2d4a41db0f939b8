//! Commands to one guild.

use std::collections::BTreeSet;

use domain::guild::{Action, Command, Guild};
use domain::id::{DiscordId, GuildId, RoleId, StreamId};
use domain::private::Person;

use crate::execute::Order;
use crate::{CommandError, Commands, Context, Done};

impl Commands {
    /// Any action on a guild.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] for another guild than the context's tenant, or a refusal.
    pub async fn guild(
        &self,
        context: &Context,
        id: GuildId,
        action: Action,
    ) -> Result<Done<Guild>, CommandError> {
        if context.tenant.is_some_and(|tenant| tenant != id) {
            return Err(CommandError::NotFound("guild"));
        }
        let command = Command { now: context.now, action };
        self.run(context, StreamId::guild(id), |_: &Guild| Ok(Order::new(command.clone()))).await
    }

    /// Makes a guild known, or brings its name, owner and watched roles up to date.
    ///
    /// # Errors
    /// As [`Commands::guild`].
    pub async fn register_guild(
        &self,
        context: &Context,
        id: GuildId,
        name: String,
        owner: DiscordId,
        watched_roles: BTreeSet<RoleId>,
    ) -> Result<Done<Guild>, CommandError> {
        self.ensure_user(context, owner).await?;
        let owner = Person::new(self.ring().as_ref(), owner);
        self.guild(context, id, Action::Register { id, name, owner, watched_roles }).await
    }
}
