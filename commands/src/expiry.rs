//! What the clock does to licenses, brought into the log: expiry, lapsed leases, announced ends.

use domain::id::{LicenseId, StreamId};
use domain::license::{Action, Command, License};
use domain::time::Span;

use crate::execute::Order;
use crate::license::present;
use crate::{CommandError, Commands, Context, Done};

impl Commands {
    /// Records what the clock has done to a license by `context.now`; nothing if it has done nothing.
    ///
    /// # Errors
    /// [`CommandError::NotFound`].
    pub async fn settle(
        &self,
        context: &Context,
        id: LicenseId,
        announce_ahead: Option<Span>,
    ) -> Result<Done<License>, CommandError> {
        let command = Command { now: context.now, action: Action::Settle { announce_ahead } };
        self.run(context, StreamId::license(id), |license: &License| {
            present(license)?;
            Ok(Order::new(command.clone()))
        })
        .await
    }
}
