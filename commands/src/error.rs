//! Why a command did not happen: the rules refused it, somebody else was faster, or the store is away. Statuses
//! and wording of answers are the gateways' matter.

use std::borrow::Cow;

use domain::aggregate::Refuse;
use domain::id::Kind;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::{AppendError, StoreError};

/// A refusal by the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Stable code; has a heading in `docs/ERRORS.md`.
    pub code: Cow<'static, str>,
    /// What was refused, as a sentence.
    pub detail: String,
    /// What would help, as a sentence.
    pub help: String,
    /// Of an order about many things: those that stand against it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<RefusedItem>,
    /// When the same is possible again, if the clock alone is in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
}

/// One of many things that an order is about, and why it stands against the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedItem {
    /// JSON pointer into the request.
    pub pointer: String,
    /// The code of the refusal.
    pub code: Cow<'static, str>,
    /// What was refused, with the name of the thing.
    pub detail: String,
}

/// Why a command did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The rules say no.
    #[error("{}: {}", .0.code, .0.detail)]
    Refused(Refused),
    /// There is no such thing, or it belongs to another guild.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The presented license key was replaced by a newer one.
    #[error("the license key was superseded")]
    Superseded,
    /// Whoever asks may not do this. Gateways ask before, so this names a gateway that did not.
    #[error("whoever asks may not do this")]
    Forbidden,
    /// The caller saw another version.
    #[error("version {expected} was expected, and it is {actual}")]
    VersionMismatch {
        /// What the caller saw.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// A value of the right shape that cannot be meant.
    #[error("{pointer}: {detail}")]
    Invalid {
        /// JSON pointer into the request.
        pointer: String,
        /// What is wrong and what is asked.
        detail: String,
    },
    /// Others changed the same thing again and again while this was decided.
    #[error("the command lost its race {0} times")]
    Conflict(u32),
    /// A twin with the same idempotency key was first: answer from its row.
    #[error("a write with this idempotency key exists already")]
    IdempotencyTaken,
    /// The store is away; nothing was written, or it is not known whether it was.
    #[error("the event store is unavailable: {0}")]
    Unavailable(String),
    /// The log holds something that cannot be read.
    #[error("the event log is damaged: {0}")]
    Damaged(String),
}

impl CommandError {
    /// Whether the same command may succeed later, though nobody mends anything.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_) | Self::VersionMismatch { .. })
    }

    /// An impossible value at `pointer`.
    pub fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Invalid { pointer: pointer.to_owned(), detail: detail.into() }
    }

    /// The refusal of an aggregate; an absent aggregate is "not found".
    pub(crate) fn refusal(kind: Kind, refusal: &dyn Refuse) -> Self {
        if refusal.code() == "NOT_FOUND" {
            return Self::NotFound(kind.as_str());
        }
        Self::Refused(Refused {
            code: Cow::Borrowed(refusal.code()),
            detail: refusal.to_string(),
            help: refusal.help(),
            items: Vec::new(),
            again_at: refusal.again_at(),
        })
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreadable(_) | StoreError::Damaged(_) => Self::Damaged(error.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<AppendError> for CommandError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::Conflict(1),
            AppendError::IdempotencyTaken => Self::IdempotencyTaken,
            AppendError::Claimed { scope, .. } => Self::Refused(claimed(&scope)),
            AppendError::Unavailable(error) => error.into(),
        }
    }
}

/// A unique value that somebody else holds.
fn claimed(scope: &str) -> Refused {
    if scope.starts_with("alias:") {
        return Refused {
            code: "ALIAS_TAKEN".into(),
            detail: "another license of this guild has this foreign key as an alias".to_owned(),
            help: "Each foreign key opens one license; remove the duplicate row.".to_owned(),
            items: Vec::new(),
            again_at: None,
        };
    }
    Refused {
        code: "EXTERNAL_REF_USED".into(),
        detail: "another license of this guild was renewed with this externalRef".to_owned(),
        help: "An externalRef stands for one payment; use the payment's own reference.".to_owned(),
        items: Vec::new(),
        again_at: None,
    }
}
