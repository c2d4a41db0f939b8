//! Why a member's command is refused. Nothing here decides; it only names the reason and what would help.

use crate::aggregate::Refuse;

/// Why a member's command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// He was never seen with a mapped or watched role.
    #[error("this member is not known")]
    NotFound,
    /// The observation is about somebody else: a fault of the caller.
    #[error("the observation is about another member")]
    OtherMember,
    /// A change was planned from a state that has changed since.
    #[error("the plan for the license type `{license_type}` does not fit the member: {mismatch}")]
    StalePlan {
        /// Slug of the type.
        license_type: String,
        /// What does not fit.
        mismatch: &'static str,
    },
    /// No rule ever gave him a license of this type.
    #[error("this member has no slot for the license type `{license_type}`")]
    SlotNotFound {
        /// Slug of the type.
        license_type: String,
    },
}

impl Refusal {
    /// Every code, each once, in alphabetical order.
    pub const CODES: &'static [&'static str] =
        &["INVALID_VALUE", "NOT_FOUND", "SLOT_NOT_FOUND", "STALE_PLAN"];
}

impl Refuse for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::OtherMember => "INVALID_VALUE",
            Self::StalePlan { .. } => "STALE_PLAN",
            Self::SlotNotFound { .. } => "SLOT_NOT_FOUND",
        }
    }

    fn help(&self) -> String {
        match self {
            Self::NotFound => {
                "Check the Discord user id; a member is known once he has a role that a rule maps."
            }
            Self::OtherMember => "Send the observation to the member whom it is about.",
            Self::StalePlan { .. } => "Load the member and his licenses again and plan from them.",
            Self::SlotNotFound { .. } => {
                "Check the license type; only a type that a role gave him can be blocked."
            }
        }
        .to_owned()
    }
}
