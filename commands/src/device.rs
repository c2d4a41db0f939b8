//! Commands to the devices of one license: what binds one, frees one, or names one.

use domain::device::{Component, DeviceClaim};
use domain::id::{LicenseId, StreamId};
use domain::key::OpenedKey;
use domain::license::{Action, Authority, Command, DeactivationCause, License};
use domain::ports::Mac;
use domain::sharing;
use uuid::Uuid;

use crate::execute::Order;
use crate::license::current;
use crate::{CommandError, Commands, Context, Done};

/// A device as a request describes it.
#[derive(Debug, Clone)]
pub struct DeviceOrder {
    /// Id of a new activation, made by the gateway.
    pub id: Uuid,
    /// The client's name for the machine.
    pub device_id: String,
    /// What the owner calls it.
    pub name: Option<String>,
    /// On whose authority.
    pub by: Authority,
    /// Raw components, name and value; hashed here.
    pub components: Vec<(String, String)>,
    /// The block of addresses that it comes from, if that is the device's own; hashed here.
    pub network: Option<String>,
}

/// A device that is active after [`Commands::activate`].
#[derive(Debug, Clone)]
pub struct Activated {
    /// The license.
    pub done: Done<License>,
    /// Our id of the device.
    pub device: Uuid,
    /// Whether it was activated just now; otherwise it was active before.
    pub created: bool,
}

impl Commands {
    /// Activates a device, or recognises it.
    ///
    /// # Errors
    /// [`CommandError::Superseded`], [`CommandError::NotFound`], a refusal such as `DEVICE_LIMIT_REACHED`
    /// or `ACTIVATION_BUDGET_EXHAUSTED`.
    pub async fn activate(
        &self,
        context: &Context,
        key: OpenedKey,
        order: DeviceOrder,
    ) -> Result<Activated, CommandError> {
        let claim = self.claim(key.license, &order.device_id, &order.components);
        let streams = [StreamId::license(key.license)];
        let attempt = || Box::pin(self.activate_once(context, key, &streams[0], &order, &claim)) as _;
        let done: Done<License> = self.retried(context, &streams, attempt).await?;
        let created = done.state.devices.iter().any(|device| device.id == order.id);
        let device = if created { Some(order.id) } else { known_device(&done.state, &claim) };
        match device {
            Some(device) => Ok(Activated { done, device, created }),
            None => Err(CommandError::Damaged(format!(
                "license {} lost a device while it was activated",
                key.license
            ))),
        }
    }

    async fn activate_once(
        &self,
        context: &Context,
        key: OpenedKey,
        stream: &StreamId,
        order: &DeviceOrder,
        claim: &DeviceClaim,
    ) -> Result<Done<License>, CommandError> {
        let license: License = self.loaded(context, stream).await?;
        current(&license, key)?;
        let owner_banned = self.owner_banned(&license).await?;
        let hashed = |block: &String| sharing::network_hash(self.ring().as_ref(), license.id, block);
        let action = Action::ActivateDevice {
            id: order.id,
            claim: claim.clone(),
            name: order.name.clone(),
            by: order.by,
            network: order.network.as_ref().map(hashed),
            owner_banned,
        };
        let order = Order::new(Command { now: context.now, action });
        self.decided(context, stream, license, order).await
    }

    /// Hashes the components of a device under the license's own key.
    pub(crate) fn claim(
        &self,
        license: LicenseId,
        device_id: &str,
        components: &[(String, String)],
    ) -> DeviceClaim {
        let mac: &dyn Mac = self.ring().as_ref();
        let mut components: Vec<Component> =
            components.iter().map(|(name, value)| Component::hashed(mac, license, name, value)).collect();
        components.sort();
        DeviceClaim { device_id: device_id.to_owned(), components }
    }

    /// Whether the owner is banned; nobody is not.
    pub(crate) async fn owner_banned(&self, license: &License) -> Result<bool, CommandError> {
        match &license.owner {
            Some(owner) => Ok(self.load_user(&owner.id).await?.banned),
            None => Ok(false),
        }
    }

    /// Frees a device, named by our id or by the client's.
    ///
    /// # Errors
    /// A refusal such as `RESET_COOLDOWN`.
    pub async fn deactivate(
        &self,
        context: &Context,
        id: LicenseId,
        device: &str,
        by: Authority,
    ) -> Result<Done<License>, CommandError> {
        let cause = DeactivationCause::Requested;
        self.license(context, id, Action::DeactivateDevice { device: device.to_owned(), by, cause }).await
    }

    /// Frees a device on behalf of a program that holds the key.
    ///
    /// # Errors
    /// As [`Commands::deactivate`], and [`CommandError::Superseded`].
    pub async fn deactivate_with_key(
        &self,
        context: &Context,
        key: OpenedKey,
        device: &str,
        by: Authority,
    ) -> Result<Done<License>, CommandError> {
        let cause = DeactivationCause::Requested;
        self.with_key(context, key, Action::DeactivateDevice { device: device.to_owned(), by, cause }).await
    }

    /// Frees every device.
    ///
    /// # Errors
    /// As [`Commands::deactivate`].
    pub async fn reset_devices(
        &self,
        context: &Context,
        id: LicenseId,
        by: Authority,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::ResetDevices { by }).await
    }

    /// Renames a device.
    ///
    /// # Errors
    /// A refusal if there is no such active device.
    pub async fn rename_device(
        &self,
        context: &Context,
        id: LicenseId,
        device: &str,
        name: String,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::RenameDevice { device: device.to_owned(), name }).await
    }
}

fn known_device(license: &License, claim: &DeviceClaim) -> Option<Uuid> {
    match domain::device::recognise(&license.devices, license.terms.device_match, claim) {
        domain::device::Recognition::Known(device) => Some(device.id),
        _ => None,
    }
}
