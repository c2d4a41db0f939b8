//! Offline licenses: issuing a lease for an active device, and taking it back. The text that a program takes along is made
//! by whoever asks; here is the fact.

use domain::id::{LicenseId, StreamId};
use domain::key::OpenedKey;
use domain::license::{Action, Command, License};
use domain::time::Span;
use uuid::Uuid;

use crate::execute::Order;
use crate::license::{current, present};
use crate::{CommandError, Commands, Context, Done};

/// An offline license as a request asks for it.
#[derive(Debug, Clone)]
pub struct LeaseOrder {
    /// Our id of it, made by the gateway.
    pub id: Uuid,
    /// The client's name for the machine.
    pub device_id: String,
    /// Raw components, name and value; hashed here.
    pub components: Vec<(String, String)>,
    /// For how long at most; the terms say how long at the most.
    pub ttl: Option<Span>,
}

/// How a request names the license.
#[derive(Debug, Clone, Copy)]
enum Named {
    Id(LicenseId),
    Key(OpenedKey),
}

impl Commands {
    /// Issues an offline license for an active device.
    ///
    /// # Errors
    /// A refusal such as `OFFLINE_NOT_ALLOWED` or `DEVICE_NOT_ACTIVATED`.
    pub async fn issue_lease(
        &self,
        context: &Context,
        id: LicenseId,
        order: LeaseOrder,
    ) -> Result<Done<License>, CommandError> {
        self.leased(context, Named::Id(id), &order).await
    }

    /// The same for a program that holds the key.
    ///
    /// # Errors
    /// As [`Commands::issue_lease`], and [`CommandError::Superseded`].
    pub async fn issue_lease_with_key(
        &self,
        context: &Context,
        key: OpenedKey,
        order: LeaseOrder,
    ) -> Result<Done<License>, CommandError> {
        self.leased(context, Named::Key(key), &order).await
    }

    async fn leased(
        &self,
        context: &Context,
        named: Named,
        order: &LeaseOrder,
    ) -> Result<Done<License>, CommandError> {
        let id = match named {
            Named::Id(id) => id,
            Named::Key(key) => key.license,
        };
        let streams = [StreamId::license(id)];
        let attempt = || Box::pin(self.leased_once(context, named, &streams[0], order)) as _;
        self.retried(context, &streams, attempt).await
    }

    async fn leased_once(
        &self,
        context: &Context,
        named: Named,
        stream: &StreamId,
        order: &LeaseOrder,
    ) -> Result<Done<License>, CommandError> {
        let license: License = self.loaded(context, stream).await?;
        match named {
            Named::Id(_) => present(&license)?,
            Named::Key(key) => current(&license, key)?,
        }
        let owner_banned = self.owner_banned(&license).await?;
        let claim = self.claim(license.id, &order.device_id, &order.components);
        let action = Action::IssueLease { id: order.id, claim, ttl: order.ttl, owner_banned };
        self.decided(context, stream, license, Order::new(Command { now: context.now, action })).await
    }

    /// Takes an offline license back before it lapses: its slot is free at once. The text of it goes on saying what it says.
    ///
    /// # Errors
    /// `LEASE_NOT_FOUND`.
    pub async fn release_lease(
        &self,
        context: &Context,
        id: LicenseId,
        lease: Uuid,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::ReleaseLease { id: lease }).await
    }
}
