//! Commands to one session.

use domain::id::{DiscordId, SessionId, StreamId};
use domain::private::Person;
use domain::session::{Action, Command, How, Session, Surface};
use domain::time::Timestamp;

use crate::execute::Order;
use crate::{CommandError, Commands, Context, Done};

/// A sign-in.
#[derive(Debug, Clone)]
pub struct SessionOrder {
    /// Random, made by the gateway.
    pub id: SessionId,
    /// Whose.
    pub user: DiscordId,
    /// Where its tokens are kept.
    pub surface: Surface,
    /// What the program said that it is.
    pub client: Option<String>,
    /// When it is over in any case.
    pub until: Timestamp,
}

impl Commands {
    async fn session(
        &self,
        context: &Context,
        id: SessionId,
        action: Action,
    ) -> Result<Done<Session>, CommandError> {
        let command = Command { now: context.now, action };
        self.run(context, StreamId::session(id), |_: &Session| Ok(Order::new(command.clone()))).await
    }

    /// Begins a session of an account, which is known from then on.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`].
    pub async fn start_session(
        &self,
        context: &Context,
        order: SessionOrder,
    ) -> Result<Done<Session>, CommandError> {
        self.ensure_user(context, order.user).await?;
        let SessionOrder { id, user, surface, client, until } = order;
        let person = Person::new(self.ring().as_ref(), user);
        self.session(context, id, Action::Start { id, person, surface, client, until }).await
    }

    /// Ends a session; what is over already stays as it is.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn end_session(
        &self,
        context: &Context,
        id: SessionId,
        how: How,
    ) -> Result<Done<Session>, CommandError> {
        self.session(context, id, Action::End(how)).await
    }

    /// A session from the log itself; version 0 means there is none.
    ///
    /// # Errors
    /// As [`Commands::load_license`].
    pub async fn load_session(&self, id: SessionId) -> Result<Session, CommandError> {
        Ok(self.store().load(&StreamId::session(id)).await?)
    }
}
