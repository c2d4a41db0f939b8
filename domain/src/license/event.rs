//! What can have happened to a license. Wire names of events and their members never change.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::{
    AssignedHow, Authority, DeactivationCause, Device, Hold, Lease, Ledger, RevokeCategory, SlotRef,
};
use crate::id::{GuildId, LicenseId, Pseudonym};
use crate::key::KeyVersion;
use crate::private::{Person, Private, PrivateFields};
use crate::terms::{Terms, nullable};
use crate::time::Timestamp;

/// What happened to a license.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
#[expect(
    clippy::large_enum_variant,
    reason = "the large variant is the first of every stream; events are few at once"
)]
pub enum Event {
    /// It was made.
    #[serde(rename = "license.generated")]
    Generated {
        /// Its id.
        license_id: LicenseId,
        /// The tenant.
        guild_id: GuildId,
        /// Slug of its type.
        license_type: String,
        /// Its copy of the terms.
        terms: Terms,
        /// Secret and version of its key.
        key: KeyVersion,
        /// The slot it lives in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<SlotRef>,
        /// When.
        at: Timestamp,
        /// Not valid before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starts_at: Option<Timestamp>,
        /// End, if its clock runs from now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// What the slot's former license passed on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ledger: Option<Ledger>,
        /// Sealed JSON text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Private>,
        /// Sealed JSON text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private_metadata: Option<Private>,
    },
    /// It got an owner.
    #[serde(rename = "license.assigned")]
    Assigned {
        /// The owner.
        owner: Person,
        /// How.
        how: AssignedHow,
        /// When.
        at: Timestamp,
    },
    /// A device was activated.
    #[serde(rename = "license.device_activated")]
    DeviceActivated {
        /// The device; `activatedAt` is the instant.
        device: Device,
        /// On whose authority. Absent for a program that holds the key; in older events for everybody.
        #[serde(default = "by_client", skip_serializing_if = "is_client")]
        by: Authority,
        /// The client's network: its block of addresses, hashed under the license's own key. Absent where the address
        /// is not the client's own, where nobody watches for sharing, and in older events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<String>,
        /// End, if this started the clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    /// It was validated for the first time since it was activated or renewed.
    #[serde(rename = "license.became_active")]
    BecameActive {
        /// When it was validated.
        at: Timestamp,
        /// End, if this started the clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    /// A device was freed.
    #[serde(rename = "license.device_deactivated")]
    DeviceDeactivated {
        /// Our id of the device.
        id: Uuid,
        /// The client's name for it.
        device_id: String,
        /// On whose authority.
        by: Authority,
        /// Why.
        cause: DeactivationCause,
        /// When.
        at: Timestamp,
    },
    /// A device was renamed.
    #[serde(rename = "license.device_renamed")]
    DeviceRenamed {
        /// Our id of the device.
        id: Uuid,
        /// Sealed.
        device_name: Private,
        /// When.
        at: Timestamp,
    },
    /// All devices were freed at once.
    #[serde(rename = "license.devices_reset")]
    DevicesReset {
        /// On whose authority.
        by: Authority,
        /// Why.
        cause: DeactivationCause,
        /// Which devices that were, by our id.
        ids: Vec<Uuid>,
        /// When.
        at: Timestamp,
    },
    /// A hold was put on.
    #[serde(rename = "license.suspended")]
    Suspended {
        /// Which.
        hold: Hold,
        /// When.
        at: Timestamp,
    },
    /// A hold was lifted.
    #[serde(rename = "license.resumed")]
    Resumed {
        /// Which.
        hold: Hold,
        /// When.
        at: Timestamp,
    },
    /// Its end came near.
    #[serde(rename = "license.expiry_announced")]
    ExpiryAnnounced {
        /// The end.
        expires_at: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// It ended by the clock.
    #[serde(rename = "license.expired")]
    Expired {
        /// The exact instant: `expiresAt` and grace.
        at: Timestamp,
    },
    /// Its end moved.
    #[serde(rename = "license.renewed")]
    Renewed {
        /// The new end.
        expires_at: Timestamp,
        /// The payment that caused it, sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_ref: Option<Private>,
        /// When.
        at: Timestamp,
    },
    /// It ended for good.
    #[serde(rename = "license.revoked")]
    Revoked {
        /// Why.
        category: RevokeCategory,
        /// When.
        at: Timestamp,
    },
    /// Its owner offered it to somebody.
    #[serde(rename = "license.transfer_offered")]
    TransferOffered {
        /// The receiver.
        to: Person,
        /// Until when the offer stands.
        expires_at: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// It was handed on.
    #[serde(rename = "license.transferred")]
    Transferred {
        /// The former owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Pseudonym>,
        /// The new one.
        to: Person,
        /// When.
        at: Timestamp,
    },
    /// It got a new key.
    #[serde(rename = "license.rekeyed")]
    Rekeyed {
        /// Secret and version of the new key.
        key: KeyVersion,
        /// When.
        at: Timestamp,
    },
    /// Its own terms changed.
    #[serde(rename = "license.terms_changed")]
    TermsChanged {
        /// The new terms, whole.
        terms: Terms,
        /// The end from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// When.
        at: Timestamp,
    },
    /// Its metadata changed. An absent member is unchanged, `null` is cleared: a sealed text may not be
    /// repeated in another event.
    #[serde(rename = "license.metadata_changed")]
    MetadataChanged {
        /// Sealed JSON text.
        #[serde(default, with = "nullable", skip_serializing_if = "Option::is_none")]
        metadata: Option<Option<Private>>,
        /// Sealed JSON text.
        #[serde(default, with = "nullable", skip_serializing_if = "Option::is_none")]
        private_metadata: Option<Option<Private>>,
        /// When.
        at: Timestamp,
    },
    /// An offline license was issued.
    #[serde(rename = "license.offline_lease_issued")]
    OfflineLeaseIssued {
        /// The lease.
        lease: Lease,
        /// When.
        at: Timestamp,
    },
    /// An offline license ended, by the clock or before.
    #[serde(rename = "license.offline_lease_released")]
    OfflineLeaseReleased {
        /// Which.
        id: Uuid,
        /// Whether it lapsed by the clock.
        lapsed: bool,
        /// When; for a lapse the exact instant.
        at: Timestamp,
    },
    /// A rule of sharing detection fired.
    #[serde(rename = "license.sharing_suspected")]
    SharingSuspected {
        /// Which rule.
        rule: String,
        /// What it saw, in numbers only.
        evidence: String,
        /// When.
        at: Timestamp,
    },
    /// The hash of an imported foreign key was added.
    #[serde(rename = "license.alias_added")]
    AliasAdded {
        /// The hash.
        alias: String,
        /// When.
        at: Timestamp,
    },
    /// A foreign key stopped to open this license.
    #[serde(rename = "license.alias_retired")]
    AliasRetired {
        /// The hash.
        alias: String,
        /// When.
        at: Timestamp,
    },
    /// The key was delivered.
    #[serde(rename = "license.delivered")]
    Delivered {
        /// How.
        channel: String,
        /// Which key.
        key: KeyVersion,
        /// When.
        at: Timestamp,
    },
    /// The last role is gone; the grace runs.
    #[serde(rename = "license.role_loss_started")]
    RoleLossStarted {
        /// When the loss takes effect.
        ends_at: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A role returned inside the grace.
    #[serde(rename = "license.role_loss_ended")]
    RoleLossEnded {
        /// When.
        at: Timestamp,
    },
}

crate::aggregate::wire_names!(Event {
    Generated => "license.generated", "1";
    Assigned => "license.assigned", "1";
    DeviceActivated => "license.device_activated", "1";
    BecameActive => "license.became_active", "1";
    DeviceDeactivated => "license.device_deactivated", "1";
    DeviceRenamed => "license.device_renamed", "1";
    DevicesReset => "license.devices_reset", "1";
    Suspended => "license.suspended", "1";
    Resumed => "license.resumed", "1";
    ExpiryAnnounced => "license.expiry_announced", "1";
    Expired => "license.expired", "1";
    Renewed => "license.renewed", "1";
    Revoked => "license.revoked", "1";
    TransferOffered => "license.transfer_offered", "1";
    Transferred => "license.transferred", "1";
    Rekeyed => "license.rekeyed", "1";
    TermsChanged => "license.terms_changed", "1";
    MetadataChanged => "license.metadata_changed", "1";
    OfflineLeaseIssued => "license.offline_lease_issued", "1";
    OfflineLeaseReleased => "license.offline_lease_released", "1";
    SharingSuspected => "license.sharing_suspected", "1";
    AliasAdded => "license.alias_added", "1";
    AliasRetired => "license.alias_retired", "1";
    Delivered => "license.delivered", "1";
    RoleLossStarted => "license.role_loss_started", "1";
    RoleLossEnded => "license.role_loss_ended", "1";
});

const fn by_client() -> Authority {
    Authority::Client
}

fn is_client(by: &Authority) -> bool {
    *by == Authority::Client
}

impl Event {
    /// The business time of this event. It never lies after the command that caused it; what the clock did is
    /// dated at the exact instant.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::DeviceActivated { device, .. } => device.activated_at,
            Self::Generated { at, .. }
            | Self::Assigned { at, .. }
            | Self::BecameActive { at, .. }
            | Self::DeviceDeactivated { at, .. }
            | Self::DeviceRenamed { at, .. }
            | Self::DevicesReset { at, .. }
            | Self::Suspended { at, .. }
            | Self::Resumed { at, .. }
            | Self::ExpiryAnnounced { at, .. }
            | Self::Expired { at, .. }
            | Self::Renewed { at, .. }
            | Self::Revoked { at, .. }
            | Self::TransferOffered { at, .. }
            | Self::Transferred { at, .. }
            | Self::Rekeyed { at, .. }
            | Self::TermsChanged { at, .. }
            | Self::MetadataChanged { at, .. }
            | Self::OfflineLeaseIssued { at, .. }
            | Self::OfflineLeaseReleased { at, .. }
            | Self::SharingSuspected { at, .. }
            | Self::AliasAdded { at, .. }
            | Self::AliasRetired { at, .. }
            | Self::Delivered { at, .. }
            | Self::RoleLossStarted { at, .. }
            | Self::RoleLossEnded { at, .. } => *at,
        }
    }
}

impl PrivateFields for Event {
    fn private_fields(&mut self, visit: &mut dyn FnMut(&str, &mut Private)) {
        let mut each = |name: &str, field: &mut Option<Private>| {
            if let Some(field) = field {
                visit(name, field);
            }
        };
        match self {
            Self::Generated { metadata, private_metadata, .. } => {
                each("metadata", metadata);
                each("privateMetadata", private_metadata);
            }
            Self::MetadataChanged { metadata, private_metadata, .. } => {
                metadata.iter_mut().for_each(|field| each("metadata", field));
                private_metadata.iter_mut().for_each(|field| each("privateMetadata", field));
            }
            Self::Assigned { owner, .. } => visit("owner.discordId", &mut owner.discord_id),
            Self::DeviceActivated { device, .. } => each("device.name", &mut device.name),
            Self::DeviceRenamed { device_name, .. } => visit("deviceName", device_name),
            Self::Renewed { external_ref, .. } => each("externalRef", external_ref),
            Self::TransferOffered { to, .. } | Self::Transferred { to, .. } => {
                visit("to.discordId", &mut to.discord_id);
            }
            Self::BecameActive { .. }
            | Self::DeviceDeactivated { .. }
            | Self::DevicesReset { .. }
            | Self::Suspended { .. }
            | Self::Resumed { .. }
            | Self::ExpiryAnnounced { .. }
            | Self::Expired { .. }
            | Self::Revoked { .. }
            | Self::Rekeyed { .. }
            | Self::TermsChanged { .. }
            | Self::OfflineLeaseIssued { .. }
            | Self::OfflineLeaseReleased { .. }
            | Self::SharingSuspected { .. }
            | Self::AliasAdded { .. }
            | Self::AliasRetired { .. }
            | Self::Delivered { .. }
            | Self::RoleLossStarted { .. }
            | Self::RoleLossEnded { .. } => {}
        }
    }
}
