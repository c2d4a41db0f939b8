//! Why a license refuses a command. Codes are stable; nothing here decides anything.

use crate::aggregate::Refuse;
use crate::license::state::{Hold, RevokeCategory};
use crate::time::{Span, Timestamp};

/// The rules say no. `to_string` says what happened, [`Refuse::help`] what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The stream has no event.
    #[error("there is no such license")]
    NotFound,
    /// A license with this id was made before.
    #[error("a license with this id exists already")]
    AlreadyExists,
    /// It ended for good; whatever is asked of it is refused.
    #[error("the license was revoked ({})", .category.as_str())]
    Revoked {
        /// Why it was revoked.
        category: RevokeCategory,
    },
    /// It has an owner.
    #[error("the license already has an owner")]
    AlreadyAssigned,
    /// It has no owner who could offer it.
    #[error("the license has no owner")]
    NotOwned,
    /// That hold is not on it.
    #[error("the license is not held by `{}`", .hold.as_str())]
    NotSuspended {
        /// The hold that was to be lifted.
        hold: Hold,
    },
    /// It is perpetual.
    #[error("the license has no end that could move")]
    NotExpiring,
    /// Its clock waits for the first activation.
    #[error("the clock of the license has not started")]
    NotStarted,
    /// Its terms name no duration, and the command names none either.
    #[error("the terms of the license name no duration to renew it for")]
    DurationRequired,
    /// A renewal would shorten it.
    #[error("the new end {asked} lies before {earliest}")]
    ExpiryBackwards {
        /// The end asked for.
        asked: Timestamp,
        /// The earliest end that a renewal can give: the present one, or now if it has expired.
        earliest: Timestamp,
    },
    /// An earlier end needs a reason.
    #[error("an earlier end needs a reason, and none was given")]
    ReasonRequired,
    /// The new limit is lower than the use.
    #[error("{used} devices are in use, and the new limit is {limit}")]
    DevicesInUse {
        /// Slots that would stay in use.
        used: u32,
        /// The limit asked for.
        limit: u32,
    },
    /// No slot is free.
    #[error("{used} of {limit} devices are in use")]
    DeviceLimitReached {
        /// Slots in use: active devices and those with an offline license that has not lapsed.
        used: u32,
        /// The license's limit.
        limit: u32,
    },
    /// No active device has this id.
    #[error("the device is not active on this license")]
    DeviceNotActivated,
    /// The id is known and the components are not its own. The message is this one word, as in the verdict.
    #[error("components")]
    ComponentsMismatch,
    /// The owner must wait between two deactivations.
    #[error("devices were freed too recently; the next time is {again_at}")]
    ResetCooldown {
        /// When it is possible again.
        again_at: Timestamp,
    },
    /// The owner's deactivations in the window are used up.
    #[error("the {budget} deactivations in {window} are used up{}", next_time(.again_at))]
    ResetBudgetExhausted {
        /// The allowance.
        budget: u32,
        /// The sliding window of the allowance.
        window: Span,
        /// When it is possible again; `None` if the terms allow the owner none at all.
        again_at: Option<Timestamp>,
    },
    /// The new activations in the window are used up.
    #[error("the {budget} new activations in {window} are used up{}", next_time(.again_at))]
    ActivationBudgetExhausted {
        /// The allowance.
        budget: u32,
        /// The sliding window of the allowance.
        window: Span,
        /// When it is possible again.
        again_at: Option<Timestamp>,
    },
    /// It lives in a slot and moves with the role only.
    #[error("the license comes from a role and cannot be handed on")]
    RoleBound,
    /// Its terms do not let the owner hand it on.
    #[error("the terms of the license do not let its owner hand it on")]
    NotTransferable,
    /// The receiver owns it already.
    #[error("the receiver owns the license already")]
    SelfTransfer,
    /// Nothing was offered to this person.
    #[error("the license was not offered to this person")]
    TransferNotOffered,
    /// The offer lapsed.
    #[error("the offer ended at {at}")]
    OfferExpired {
        /// When it ended.
        at: Timestamp,
    },
    /// The version number of its key cannot rise any more.
    #[error("the key of the license was changed 255 times, which is the limit")]
    RekeyLimit,
    /// Its terms allow no offline license.
    #[error("the terms of the license allow no offline license")]
    OfflineNotAllowed,
    /// No offline license with this id is in the field.
    #[error("there is no such offline license, or it has lapsed")]
    LeaseNotFound,
    /// Its owner is banned.
    #[error("the owner of the license is banned")]
    UserBanned,
    /// It is held.
    #[error("the license is suspended ({})", .hold.as_str())]
    Suspended {
        /// The strongest hold.
        hold: Hold,
    },
    /// It begins later.
    #[error("the license is not valid before {starts_at}")]
    NotYetValid {
        /// When it begins.
        starts_at: Timestamp,
    },
    /// It ended by the clock.
    #[error("the license expired at {at}")]
    Expired {
        /// End and grace.
        at: Timestamp,
    },
    /// Its terms require an owner.
    #[error("the license needs an owner and has none")]
    NotAssigned,
}

fn next_time(again_at: &Option<Timestamp>) -> String {
    again_at.map(|at| format!("; the next time is {at}")).unwrap_or_default()
}

impl Refusal {
    /// Every code, each once, in alphabetical order.
    pub const CODES: &'static [&'static str] = &[
        "ACTIVATION_BUDGET_EXHAUSTED",
        "ALREADY_ASSIGNED",
        "ALREADY_EXISTS",
        "DEVICES_IN_USE",
        "DEVICE_LIMIT_REACHED",
        "DEVICE_NOT_ACTIVATED",
        "DURATION_REQUIRED",
        "EXPIRED",
        "EXPIRY_BACKWARDS",
        "LEASE_NOT_FOUND",
        "NOT_ASSIGNED",
        "NOT_EXPIRING",
        "NOT_FOUND",
        "NOT_OWNED",
        "NOT_STARTED",
        "NOT_SUSPENDED",
        "NOT_TRANSFERABLE",
        "NOT_YET_VALID",
        "OFFER_EXPIRED",
        "OFFLINE_NOT_ALLOWED",
        "REASON_REQUIRED",
        "REKEY_LIMIT",
        "RESET_BUDGET_EXHAUSTED",
        "RESET_COOLDOWN",
        "REVOKED",
        "ROLE_BOUND",
        "SELF_TRANSFER",
        "SUSPENDED",
        "TRANSFER_NOT_OFFERED",
        "USER_BANNED",
    ];
}

impl Refuse for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Revoked { .. } => "REVOKED",
            Self::AlreadyAssigned => "ALREADY_ASSIGNED",
            Self::NotOwned => "NOT_OWNED",
            Self::NotSuspended { .. } => "NOT_SUSPENDED",
            Self::NotExpiring => "NOT_EXPIRING",
            Self::NotStarted => "NOT_STARTED",
            Self::DurationRequired => "DURATION_REQUIRED",
            Self::ExpiryBackwards { .. } => "EXPIRY_BACKWARDS",
            Self::ReasonRequired => "REASON_REQUIRED",
            Self::DevicesInUse { .. } => "DEVICES_IN_USE",
            Self::DeviceLimitReached { .. } => "DEVICE_LIMIT_REACHED",
            Self::DeviceNotActivated | Self::ComponentsMismatch => "DEVICE_NOT_ACTIVATED",
            Self::ResetCooldown { .. } => "RESET_COOLDOWN",
            Self::ResetBudgetExhausted { .. } => "RESET_BUDGET_EXHAUSTED",
            Self::ActivationBudgetExhausted { .. } => "ACTIVATION_BUDGET_EXHAUSTED",
            Self::RoleBound => "ROLE_BOUND",
            Self::NotTransferable => "NOT_TRANSFERABLE",
            Self::SelfTransfer => "SELF_TRANSFER",
            Self::TransferNotOffered => "TRANSFER_NOT_OFFERED",
            Self::OfferExpired { .. } => "OFFER_EXPIRED",
            Self::RekeyLimit => "REKEY_LIMIT",
            Self::OfflineNotAllowed => "OFFLINE_NOT_ALLOWED",
            Self::LeaseNotFound => "LEASE_NOT_FOUND",
            Self::UserBanned => "USER_BANNED",
            Self::Suspended { .. } => "SUSPENDED",
            Self::NotYetValid { .. } => "NOT_YET_VALID",
            Self::Expired { .. } => "EXPIRED",
            Self::NotAssigned => "NOT_ASSIGNED",
        }
    }

    fn help(&self) -> String {
        match self {
            Self::ResetCooldown { again_at }
            | Self::ResetBudgetExhausted { again_at: Some(again_at), .. }
            | Self::ActivationBudgetExhausted { again_at: Some(again_at), .. } => {
                format!(
                    "Try again at {again_at}, or ask the staff of the server, whom this limit does not bind."
                )
            }
            Self::ExpiryBackwards { earliest, .. } => {
                format!(
                    "Name an end at or after {earliest}; staff can shorten a license by changing its terms."
                )
            }
            Self::NotYetValid { starts_at } => format!("Wait until {starts_at}."),
            other => other.fixed_help().to_owned(),
        }
    }

    fn again_at(&self) -> Option<Timestamp> {
        match self {
            Self::ResetCooldown { again_at } => Some(*again_at),
            Self::ResetBudgetExhausted { again_at, .. }
            | Self::ActivationBudgetExhausted { again_at, .. } => *again_at,
            _ => None,
        }
    }
}

impl Refusal {
    const fn fixed_help(&self) -> &'static str {
        match self {
            Self::NotFound => "Check the license id and the server that it belongs to.",
            Self::AlreadyExists => "Use the license that is there, or generate one with another id.",
            Self::Revoked { .. } => "Revocation is final; generate a new license if one is due.",
            Self::AlreadyAssigned => "Transfer the license instead, or use one without an owner.",
            Self::NotOwned => "Assign the license to somebody first.",
            Self::NotSuspended { .. } => "Look at the holds of the license and name one that is there.",
            Self::NotExpiring => "Nothing is to be done: the license is perpetual.",
            Self::NotStarted => "Activate a device or validate the key first; the clock starts then.",
            Self::DurationRequired => "Say how long with `for`, or until when with `until`.",
            Self::ReasonRequired => "Repeat the command with a reason; it is kept in the history.",
            Self::DevicesInUse { .. } => {
                "Name devices to deactivate, or wait until their offline licenses lapse, or choose a higher limit."
            }
            Self::DeviceLimitReached { .. } => {
                "Free a device first: DELETE /licenses/{id}/deactivate?deviceId=…, `/device remove` in Discord, or \
                 the devices page. A device with an offline license frees its slot when that lapses."
            }
            Self::DeviceNotActivated => "Activate the device first, or name one that is active.",
            Self::ComponentsMismatch => {
                "The deviceId belongs to another machine. Deactivate the device and activate it again, or use an id \
                 of its own for this machine."
            }
            Self::ResetBudgetExhausted { .. }
            | Self::ResetCooldown { .. }
            | Self::ActivationBudgetExhausted { .. } => {
                "Ask the staff of the server, whom this limit does not bind."
            }
            Self::RoleBound => "Give the role to the receiver; the license follows the role.",
            Self::NotTransferable => "Ask the staff of the server to transfer the license.",
            Self::SelfTransfer => "Name another receiver.",
            Self::TransferNotOffered => "Ask the owner to offer the license to this account.",
            Self::OfferExpired { .. } => "Ask the owner to offer the license again.",
            Self::RekeyLimit => "Revoke the license and generate a new one.",
            Self::OfflineNotAllowed => {
                "Staff can allow offline licenses with `offlineLeaseMax` in the terms."
            }
            Self::LeaseNotFound => "Look at the devices of the license for those with an offline license.",
            Self::UserBanned => {
                "Ask the staff of the server; the license works again when the ban is lifted."
            }
            Self::Suspended { hold: Hold::RoleLoss } => {
                "The license resumes when its owner has the role again."
            }
            Self::Suspended { .. } => "Ask the staff of the server to resume the license.",
            Self::NotYetValid { .. } => "Wait until the license begins.",
            Self::Expired { .. } => "Renew the license.",
            Self::NotAssigned => "Redeem the key first, or let staff assign the license.",
            Self::ExpiryBackwards { .. } => {
                "Name a later end; staff can shorten a license by changing its terms."
            }
        }
    }
}
