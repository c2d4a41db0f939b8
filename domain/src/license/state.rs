//! What a license is made of. Its rules stand in `decide.rs` and `evolve.rs` beside this file.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::device::Component;
use crate::id::{GuildId, LicenseId, Pseudonym};
use crate::key::KeyVersion;
use crate::private::{Person, Private};
use crate::terms::Terms;
use crate::time::Timestamp;

/// The stored part of the state machine; holds and the clock come on top (see [`License::status`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// No event yet.
    #[default]
    Absent,
    /// Made, without an owner.
    Generated,
    /// Has an owner.
    Assigned,
    /// Has had a device.
    Activated,
    /// Was validated.
    Active,
    /// Came back from expiry and was not validated since.
    Renewed,
    /// Ended for good.
    Revoked,
}

/// What a license is at an instant: one function of stored state, holds and clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, without an owner.
    Generated,
    /// Has an owner.
    Assigned,
    /// Has had a device.
    Activated,
    /// Was validated.
    Active,
    /// Came back from expiry.
    Renewed,
    /// Held.
    Suspended,
    /// Past its end and its grace.
    Expired,
    /// Ended for good.
    Revoked,
}

/// Why a license is held. Several may hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// By staff.
    Admin,
    /// By an automatic rule.
    Policy,
    /// Its owner lost the last role; the role's return lifts it.
    RoleLoss,
}

/// Why a license was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeCategory {
    /// By staff, for a reason of their own.
    Manual,
    /// Money was returned.
    Refund,
    /// A payment was reversed.
    Chargeback,
    /// Obtained by deception.
    Fraud,
    /// Used against the rules.
    Abuse,
    /// Its key became public.
    Leaked,
    /// Its owner lost the last role. The only category that leaves the slot open to a next generation.
    RoleLost,
}

impl Hold {
    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Policy => "policy",
            Self::RoleLoss => "role_loss",
        }
    }
}

impl RevokeCategory {
    /// The wire name, which is also the detail of a `REVOKED` verdict.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::Fraud => "fraud",
            Self::Abuse => "abuse",
            Self::Leaked => "leaked",
            Self::RoleLost => "role_lost",
        }
    }
}

impl Status {
    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Assigned => "assigned",
            Self::Activated => "activated",
            Self::Active => "active",
            Self::Renewed => "renewed",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Authority {
    /// Whether the owner's limits (cooldown and budget of resets, budget of activations) apply.
    pub const fn is_limited(self) -> bool {
        matches!(self, Self::Owner | Self::Client)
    }
}

/// The slot that a role license lives in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotRef {
    /// The member.
    pub user: Pseudonym,
    /// 1 for the first license of the slot.
    pub generation: u32,
}

/// An active device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Our id of this activation.
    pub id: Uuid,
    /// The client's name for the machine.
    pub device_id: String,
    /// What the owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Private>,
    /// Its hashed fingerprint, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// When it was activated.
    pub activated_at: Timestamp,
}

/// An offline license in the field: it keeps its slot until it lapses, whether or not its device is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Our id.
    pub id: Uuid,
    /// The machine, as the client names it.
    pub device_id: String,
    /// When it lapses.
    pub until: Timestamp,
}

/// What a license passes on to the next generation of its slot, so that a new license does not refresh the
/// allowances or free the slots of leases.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Instants of the owner's deactivations, oldest first; those older than every window are dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<Timestamp>,
    /// Leases not yet lapsed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<Lease>,
    /// Instants of the new activations that an `activationBudget` counts, oldest first and never more than it ever
    /// allowed. Nothing is noted under terms without one.
    #[serde(default, skip_serializing_if = "<[Timestamp]>::is_empty")]
    pub activations: Box<[Timestamp]>,
}

/// An offer to hand a license on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Who may accept.
    pub to: Person,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A license: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct License {
    /// Events applied.
    pub version: u64,
    /// Its id.
    pub id: LicenseId,
    /// The tenant.
    pub guild: Option<GuildId>,
    /// Slug of its type.
    pub license_type: String,
    /// Its own copy of the terms.
    pub terms: Terms,
    /// The stored part of its status.
    pub stage: Stage,
    /// Secret and version of its key.
    pub key: KeyVersion,
    /// Who owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Person>,
    /// The slot it lives in, if it comes from a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotRef>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Not valid before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// End, grace excluded; `None` while perpetual or while the clock has not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether `license.expired` stands in the log for this end.
    pub expired_recorded: bool,
    /// Whether `license.expiry_announced` stands in the log for this end.
    pub expiry_announced: bool,
    /// What holds it, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// When the loss of its roles takes effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_loss_ends_at: Option<Timestamp>,
    /// Why it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevokeCategory>,
    /// Active devices, in order of activation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Resets, leases and counted activations.
    pub ledger: Ledger,
    /// An open offer, which few licenses have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<Offer>>,
    /// Live aliases: hashes of imported foreign keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// JSON text of the metadata that everyone with access sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Private>,
    /// JSON text of the metadata for staff and secret keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_metadata: Option<Private>,
    /// Key version that was last delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<KeyVersion>,
}

/// On whose authority something happens; it decides what the owner's limits apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// The owner, signed in.
    Owner,
    /// A program that holds the license key: counted as the owner.
    Client,
    /// Staff, or a secret key with the scope.
    Staff,
    /// A job, or the bot following roles.
    Job,
}

/// How a license got its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignedHow {
    /// Staff named him.
    Assign,
    /// He took it with the key.
    Redeem,
    /// A role gave it.
    Role,
}

/// Why devices were deactivated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeactivationCause {
    /// Somebody asked.
    Requested,
    /// Unseen for `inactiveDeviceAfter`.
    Inactive,
    /// The license was handed on.
    Transfer,
    /// A lower device limit named it.
    TermsChanged,
}
