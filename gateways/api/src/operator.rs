//! What the API asks of the process that hosts it: health, the operator's doings, the demo's clock. The server
//! implements it; nothing here knows how.

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use domain::id::{DiscordId, GuildId, RoleId};
use domain::time::{Span, Timestamp};
use utoipa::ToSchema;

use crate::error::Code;

/// How well one component works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It works.
    Ok,
    /// It works in part, or late.
    Degraded,
    /// It does not work.
    Down,
    /// It is switched off.
    Off,
}

/// One component in `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HealthComponent)]
pub struct Component {
    /// For example `store`, `readModels`, `discord`.
    pub name: String,
    /// How well it works.
    pub status: Condition,
    /// How long a probe took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How many events it is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_events: Option<i64>,
    /// What is wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why the operator's wish was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// The request names something that does not exist, or cannot be meant: the member and what is asked of it.
    #[error("{member}: {detail}")]
    Invalid {
        /// The member of the request.
        member: &'static str,
        /// What is wrong and what is accepted.
        detail: String,
    },
    /// It cannot be done as things are: why, and what to do about it.
    #[error("{detail}")]
    Refused {
        /// What clients compare.
        code: Code,
        /// A sentence.
        detail: String,
    },
    /// The same is being done already.
    #[error("{0}")]
    Busy(String),
    /// Something that is needed does not answer; the same wish may succeed later.
    #[error("{0}")]
    Unavailable(String),
}

/// What the operator wants of the key ring. Secrets are named by list and number, `license-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWish {
    /// Every secret, and who lacks it.
    List,
    /// One more secret in a list.
    Add {
        /// Name of the list.
        kind: String,
    },
    /// New things are to be made with a secret.
    Activate {
        /// Its id.
        id: String,
    },
    /// Add, and activate when every running process knows it.
    Rotate {
        /// Name of the list.
        kind: String,
        /// How long that may take.
        wait: Span,
    },
    /// A new key for each license whose key was made with a secret.
    Retire {
        /// Its id.
        id: String,
        /// Only say what would be done.
        dry_run: bool,
    },
}

/// Why an interaction of Discord's is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InteractionError {
    /// Its signature is missing, wrong or too old.
    #[error("{0}")]
    Unsigned(String),
    /// It is signed and cannot be understood.
    #[error("{0}")]
    Unreadable(String),
    /// There is no bot here, or what is needed to check the signature is not known.
    #[error("{0}")]
    Unavailable(String),
}

/// The host of the API. Object-safe, so that tests and tools can stand in for the server.
pub trait Operator: Send + Sync {
    /// Whether this process may take traffic: migrations done, read models caught up at start, not draining.
    fn is_ready(&self) -> bool;

    /// Every component with its condition, for `GET /health`.
    fn health(&self) -> BoxFuture<'_, Vec<Component>>;

    /// What `dca-auth status` prints.
    ///
    /// # Errors
    /// [`OperatorError::Unavailable`].
    fn status(&self) -> BoxFuture<'_, Result<Value, OperatorError>>;

    /// Checks the log and compares live read models with a rebuild.
    ///
    /// # Errors
    /// [`OperatorError::Busy`], [`OperatorError::Unavailable`].
    fn verify(&self) -> BoxFuture<'_, Result<Value, OperatorError>>;

    /// Rebuilds a read model from the log.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`] for an unknown name, and those of [`Operator::verify`].
    fn rebuild<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Value, OperatorError>>;

    /// Moves the demo's clock forward, keeps it, and runs the work that is due; returns the new time. Called in
    /// the demo only.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`] if the clock would leave its range, [`OperatorError::Unavailable`].
    fn advance_clock(&self, by: Span) -> BoxFuture<'_, Result<Timestamp, OperatorError>>;

    /// Runs a job now, and answers with what it did.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`] for an unknown name, [`OperatorError::Unavailable`] if it failed.
    fn run_job<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Value, OperatorError>>;

    /// Shows or changes the key ring. No secret is ever in the answer.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`] for a list or id that cannot be, [`OperatorError::Refused`], [`OperatorError::Busy`],
    /// [`OperatorError::Unavailable`].
    fn keys(&self, wish: KeyWish) -> BoxFuture<'_, Result<Value, OperatorError>>;

    /// Lets the Discord bot go on after somebody mended what it had stopped for.
    ///
    /// # Errors
    /// [`OperatorError::Unavailable`] if there is no bot here, or the store does not answer.
    fn resume_discord(&self) -> BoxFuture<'_, Result<Value, OperatorError>>;

    /// Checks and answers an interaction that Discord posted; the texts are the headers of its signature.
    ///
    /// # Errors
    /// [`InteractionError`].
    fn interaction<'a>(
        &'a self,
        signature: &'a str,
        timestamp: &'a str,
        body: &'a [u8],
    ) -> BoxFuture<'a, Result<Value, InteractionError>>;

    /// Whether the demo's simulated Discord is in this process, which alone can say who has which role.
    ///
    /// # Errors
    /// [`OperatorError::Unavailable`] names where it is.
    fn check_simulates(&self) -> Result<(), OperatorError>;

    /// Makes the demo's simulated Discord agree with roles that were told to the API; `None` is somebody who left.
    fn simulate_member(&self, guild: GuildId, user: DiscordId, roles: Option<Vec<RoleId>>);
}
