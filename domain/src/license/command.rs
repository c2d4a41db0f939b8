//! What can be asked of a license. Time, ids and facts ride in the command; no rule stands here.

use uuid::Uuid;

use super::state::{AssignedHow, Authority, DeactivationCause, Hold, Ledger, RevokeCategory, SlotRef};
use crate::device::DeviceClaim;
use crate::id::{GuildId, LicenseId};
use crate::key::KeyVersion;
use crate::private::Person;
use crate::sharing::Suspicion;
use crate::terms::Terms;
use crate::time::{Span, Timestamp};

/// Where a license is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewTo {
    /// The type's own duration more.
    Default,
    /// This much more.
    For(Span),
    /// Exactly then.
    Until(Timestamp),
}

/// Everything a new license needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generate {
    /// Its id, made by the caller.
    pub id: LicenseId,
    /// The tenant.
    pub guild: GuildId,
    /// Slug of the type.
    pub license_type: String,
    /// The type's terms at this moment.
    pub terms: Terms,
    /// The active secret, and version 0.
    pub key: KeyVersion,
    /// The slot, if a role gives it.
    pub slot: Option<SlotRef>,
    /// Owner from the start: `license.assigned` follows in the same append.
    pub owner: Option<(Person, AssignedHow)>,
    /// Not valid before.
    pub starts_at: Option<Timestamp>,
    /// What the slot's former license passes on.
    pub ledger: Ledger,
    /// JSON text.
    pub metadata: Option<String>,
    /// JSON text.
    pub private_metadata: Option<String>,
    /// Hashes of imported foreign keys.
    pub aliases: Vec<String>,
}

/// What is asked of a license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make it.
    Generate(Box<Generate>),
    /// Give it an owner.
    Assign {
        /// The owner to be.
        owner: Person,
        /// Why.
        how: AssignedHow,
    },
    /// Activate a device, or recognise one that is active.
    ActivateDevice {
        /// Id of a new activation, made by the caller.
        id: Uuid,
        /// The device.
        claim: DeviceClaim,
        /// What the owner calls it.
        name: Option<String>,
        /// On whose authority.
        by: Authority,
        /// Its network, hashed under the license's own key, if the caller knows one.
        network: Option<String>,
        /// Whether the owner is banned: a fact that the caller loaded.
        owner_banned: bool,
    },
    /// A validation was valid at `validated_at`.
    RecordFirstValidation {
        /// When.
        validated_at: Timestamp,
    },
    /// Free one device, named by our id or by the client's.
    DeactivateDevice {
        /// `id` or `deviceId` of the device.
        device: String,
        /// On whose authority.
        by: Authority,
        /// Why.
        cause: DeactivationCause,
    },
    /// Free all devices.
    ResetDevices {
        /// On whose authority.
        by: Authority,
    },
    /// Rename a device.
    RenameDevice {
        /// `id` or `deviceId` of the device.
        device: String,
        /// The new name.
        name: String,
    },
    /// Hold it.
    Suspend {
        /// Which hold.
        hold: Hold,
    },
    /// Lift a hold.
    Resume {
        /// Which hold.
        hold: Hold,
    },
    /// Bring what the clock has done into the log.
    Settle {
        /// Announce an end that is nearer than this.
        announce_ahead: Option<Span>,
    },
    /// Move its end.
    Renew {
        /// Whereto.
        to: RenewTo,
        /// The payment that caused it; unique per guild (the caller claims it).
        external_ref: Option<String>,
    },
    /// Offer it to somebody.
    OfferTransfer {
        /// The receiver.
        to: Person,
    },
    /// Accept an offer.
    AcceptTransfer {
        /// Who accepts, fresh: a sealed person of the offer may not be moved into another event.
        by: Person,
        /// The secret of the new key.
        secret_id: u8,
    },
    /// Hand it over at once, on staff's authority.
    Transfer {
        /// The receiver.
        to: Person,
        /// The secret of the new key.
        secret_id: u8,
    },
    /// End it.
    Revoke {
        /// Why.
        category: RevokeCategory,
    },
    /// Make a new key and supersede the old one.
    Rekey {
        /// The secret of the new key.
        secret_id: u8,
    },
    /// Change its own terms.
    ChangeTerms {
        /// The new terms, whole.
        terms: Box<Terms>,
        /// A new end; `Some(None)` makes it perpetual.
        expires_at: Option<Option<Timestamp>>,
        /// Whether the caller gave a reason, which an earlier end needs.
        has_reason: bool,
        /// Devices (`id` or `deviceId`) to free, if the new limit asks for it.
        deactivate: Vec<String>,
    },
    /// Change its metadata; an outer `None` keeps what is there.
    ChangeMetadata {
        /// JSON text.
        metadata: Option<Option<String>>,
        /// JSON text.
        private_metadata: Option<Option<String>>,
    },
    /// Issue an offline license for a device.
    IssueLease {
        /// Our id, made by the caller.
        id: Uuid,
        /// The device.
        claim: DeviceClaim,
        /// For how long at most.
        ttl: Option<Span>,
        /// Whether the owner is banned.
        owner_banned: bool,
    },
    /// Take an offline license back before it lapses.
    ReleaseLease {
        /// Our id.
        id: Uuid,
    },
    /// Rules of sharing detection fired.
    SuspectSharing {
        /// Which, and what they saw.
        suspicions: Vec<Suspicion>,
        /// Whether that suspends it.
        suspend: bool,
    },
    /// Add the hash of an imported foreign key.
    AddAlias {
        /// The hash.
        alias: String,
    },
    /// The key was delivered to its owner.
    RecordDelivery {
        /// How, for example `dm`.
        channel: String,
        /// Which key.
        key: KeyVersion,
    },
    /// The last role is gone: the grace begins.
    StartRoleLoss,
    /// A role returned inside the grace.
    EndRoleLoss,
}

/// A command to a license: what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// What is asked.
    pub action: Action,
}
