//! What a command carries beside its content: who, why, when, in which connection. Clock and randomness were
//! read by the gateway; nothing here reads them.

use domain::event::Actor;
use domain::id::GuildId;
use domain::time::Timestamp;
use uuid::Uuid;

use crate::rights::Rights;
use crate::store::IdempotencyKey;

/// The connection that a command comes in.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who causes it.
    pub actor: Actor,
    /// What he may do. Every decision is checked against it.
    pub rights: Rights,
    /// The guild whose aggregates it may touch: anything of another guild is not found. `None` is the platform.
    pub tenant: Option<GuildId>,
    /// Random, made by the gateway; ids of events are derived from it.
    pub command_id: Uuid,
    /// The request, or the run of a job.
    pub correlation_id: String,
    /// The event or message that caused it, if there was one.
    pub causation_id: Option<String>,
    /// Free text; sealed into the metadata of each event.
    pub reason: Option<String>,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// The version that the caller saw (`If-Match`).
    pub expected_version: Option<u64>,
    /// Makes a repeat of the same write harmless.
    pub idempotency: Option<Idempotency>,
}

/// An idempotency key with what is needed to answer a repeat.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Credential, method, route and key.
    pub key: IdempotencyKey,
    /// Hash of the payload: a repeat with another payload is refused.
    pub payload_hash: String,
    /// How the gateway renders the answer again.
    pub recipe: serde_json::Value,
}
