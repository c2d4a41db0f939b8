//! The terms of a license type, and of each license as a copy from its issue. No behaviour beyond defaults
//! and the check of a draft.

use serde::{Deserialize, Serialize};

use crate::device::DeviceMatch;
use crate::id::RoleId;
use crate::time::Span;

/// Most devices that a type may allow.
pub const DEVICES_MAX: u32 = 1_000;
/// Most new activations that a budget may allow: as many instants may stand in a ledger.
pub const ACTIVATIONS_MAX: u32 = 1_000;
/// Most entitlements that a type may name.
pub const ENTITLEMENTS_MAX: usize = 64;

/// When the clock of a license with a duration starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryBasis {
    /// At the issue, or at `startsAt` if that is later.
    #[default]
    Creation,
    /// At the first device or the first valid answer.
    FirstActivation,
}

/// What the loss of the last role does to a license, after `roleLossGrace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRoleLoss {
    /// It is revoked; a returning role makes a new one with a new key.
    #[default]
    Revoke,
    /// It is suspended; a returning role resumes it with the same key.
    Suspend,
    /// Nothing.
    Keep,
}

/// The policy of a license. `None` means none: no limit, no end, no grace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    /// Devices at once; `None` is no limit.
    pub max_devices: Option<u32>,
    /// How long it lasts; `None` is perpetual.
    pub duration: Option<Span>,
    /// When that time begins.
    pub expiry_basis: ExpiryBasis,
    /// After `expiresAt`, how long it stays valid with the code `IN_GRACE`.
    pub expiry_grace: Option<Span>,
    /// Whether a validation must name an active device.
    pub require_device: bool,
    /// How a request is matched with a device.
    pub device_match: DeviceMatch,
    /// Whether it is worth nothing without an owner.
    pub require_owner: bool,
    /// What it entitles to, sorted, each once.
    pub entitlements: Vec<String>,
    /// What the loss of the last role does.
    pub on_role_loss: OnRoleLoss,
    /// How long after the loss of the last role that happens.
    pub role_loss_grace: Option<Span>,
    /// Least time between two deactivations by the owner.
    pub device_reset_cooldown: Option<Span>,
    /// Deactivations by the owner in one `deviceResetWindow`.
    pub device_reset_budget: Option<u32>,
    /// New activations by the owner or a program with the key in one `deviceResetWindow`. It came later than the
    /// others: where it is absent there is no budget, and where there is none it is not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_budget: Option<u32>,
    /// The sliding window of both budgets.
    pub device_reset_window: Span,
    /// A device unseen for so long is deactivated by the cleanup job.
    pub inactive_device_after: Option<Span>,
    /// Longest offline license; `None` allows none.
    pub offline_lease_max: Option<Span>,
    /// Whether the owner may hand it on.
    pub transferable: bool,
    /// The role that its owner has while it is assigned and active.
    pub grants_role_id: Option<RoleId>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            max_devices: None,
            duration: None,
            expiry_basis: ExpiryBasis::Creation,
            expiry_grace: None,
            require_device: false,
            device_match: DeviceMatch::Id,
            require_owner: false,
            entitlements: Vec::new(),
            on_role_loss: OnRoleLoss::Revoke,
            role_loss_grace: None,
            device_reset_cooldown: None,
            device_reset_budget: None,
            activation_budget: None,
            device_reset_window: Span::days(30),
            inactive_device_after: None,
            offline_lease_max: None,
            transferable: false,
            grants_role_id: None,
        }
    }
}

impl Terms {
    /// `expiryGrace`, zero where there is none.
    pub fn grace(&self) -> Span {
        self.expiry_grace.unwrap_or_default()
    }

    /// `roleLossGrace`, zero where there is none.
    pub fn loss_grace(&self) -> Span {
        self.role_loss_grace.unwrap_or_default()
    }

    /// The first thing that is wrong with these terms: the member's name and what is asked of it.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let bad_device_limit = self.max_devices.is_some_and(|n| n == 0 || n > DEVICES_MAX);
        let bad_budget = self.activation_budget.is_some_and(|n| n == 0 || n > ACTIVATIONS_MAX);
        let bad_name =
            |name: &String| name.is_empty() || name.len() > 64 || name.chars().any(char::is_control);
        if bad_device_limit {
            Some(("maxDevices", "must be from 1 to 1000, or null for no limit"))
        } else if self.duration.is_some_and(Span::is_zero) {
            Some(("duration", "must be longer than zero, or null for a perpetual license"))
        } else if self.entitlements.len() > ENTITLEMENTS_MAX || self.entitlements.iter().any(bad_name) {
            Some(("entitlements", "must be at most 64 names of 1 to 64 bytes without control characters"))
        } else if bad_budget {
            Some(("activationBudget", "must be from 1 to 1000, or null for no budget"))
        } else if self.device_reset_window.is_zero() {
            Some(("deviceResetWindow", "must be longer than zero"))
        } else if self.duration.is_none() && self.expiry_basis == ExpiryBasis::FirstActivation {
            Some(("expiryBasis", "needs a duration: a perpetual license has no clock to start"))
        } else if self.offline_lease_max.is_some_and(Span::is_zero) {
            Some(("offlineLeaseMax", "must be longer than zero, or null for no offline licenses"))
        } else {
            None
        }
    }
}

/// Changes to terms as a request gives them: an absent member keeps what is there, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TermsChange {
    /// See [`Terms::max_devices`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub max_devices: Option<Option<u32>>,
    /// See [`Terms::duration`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Option<Span>>,
    /// See [`Terms::expiry_basis`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_basis: Option<ExpiryBasis>,
    /// See [`Terms::expiry_grace`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub expiry_grace: Option<Option<Span>>,
    /// See [`Terms::require_device`]. Absent at the first definition: true exactly if `maxDevices` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_device: Option<bool>,
    /// See [`Terms::device_match`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_match: Option<DeviceMatch>,
    /// See [`Terms::require_owner`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_owner: Option<bool>,
    /// See [`Terms::entitlements`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitlements: Option<Vec<String>>,
    /// See [`Terms::on_role_loss`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_role_loss: Option<OnRoleLoss>,
    /// See [`Terms::role_loss_grace`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub role_loss_grace: Option<Option<Span>>,
    /// See [`Terms::device_reset_cooldown`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub device_reset_cooldown: Option<Option<Span>>,
    /// See [`Terms::device_reset_budget`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub device_reset_budget: Option<Option<u32>>,
    /// See [`Terms::activation_budget`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub activation_budget: Option<Option<u32>>,
    /// See [`Terms::device_reset_window`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_reset_window: Option<Span>,
    /// See [`Terms::inactive_device_after`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub inactive_device_after: Option<Option<Span>>,
    /// See [`Terms::offline_lease_max`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub offline_lease_max: Option<Option<Span>>,
    /// See [`Terms::transferable`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transferable: Option<bool>,
    /// See [`Terms::grants_role_id`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub grants_role_id: Option<Option<RoleId>>,
}

impl TermsChange {
    /// The terms of a new type: defaults, with a device required whenever their number is limited and the
    /// draft does not say otherwise.
    pub fn define(&self) -> Terms {
        let mut terms = self.applied_to(&Terms::default());
        if self.require_device.is_none() {
            terms.require_device = terms.max_devices.is_some();
        }
        terms
    }

    /// `base` with these changes.
    pub fn applied_to(&self, base: &Terms) -> Terms {
        let mut entitlements = self.entitlements.clone().unwrap_or_else(|| base.entitlements.clone());
        entitlements.sort();
        entitlements.dedup();
        Terms {
            max_devices: self.max_devices.unwrap_or(base.max_devices),
            duration: self.duration.unwrap_or(base.duration),
            expiry_basis: self.expiry_basis.unwrap_or(base.expiry_basis),
            expiry_grace: self.expiry_grace.unwrap_or(base.expiry_grace),
            require_device: self.require_device.unwrap_or(base.require_device),
            device_match: self.device_match.unwrap_or(base.device_match),
            require_owner: self.require_owner.unwrap_or(base.require_owner),
            entitlements,
            on_role_loss: self.on_role_loss.unwrap_or(base.on_role_loss),
            role_loss_grace: self.role_loss_grace.unwrap_or(base.role_loss_grace),
            device_reset_cooldown: self.device_reset_cooldown.unwrap_or(base.device_reset_cooldown),
            device_reset_budget: self.device_reset_budget.unwrap_or(base.device_reset_budget),
            activation_budget: self.activation_budget.unwrap_or(base.activation_budget),
            device_reset_window: self.device_reset_window.unwrap_or(base.device_reset_window),
            inactive_device_after: self.inactive_device_after.unwrap_or(base.inactive_device_after),
            offline_lease_max: self.offline_lease_max.unwrap_or(base.offline_lease_max),
            transferable: self.transferable.unwrap_or(base.transferable),
            grants_role_id: self.grants_role_id.unwrap_or(base.grants_role_id),
        }
    }
}

/// Tells an absent member (outer `None`) from `null` (inner `None`).
pub mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes the inner value.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(s)
    }

    /// Reads a present member, null included.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(d).map(Some)
    }
}

#[cfg(test)]
mod tests;
