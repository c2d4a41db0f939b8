//! What goes into the store and what comes out of it, as plain rows. Nothing here knows an engine.

use std::collections::HashMap;

use domain::id::{GuildId, StreamId};
use domain::time::Timestamp;

use super::error::StoreError;

/// An event that is to be appended: sealed and written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The stream.
    pub stream: StreamId,
    /// Its place in the stream, from 1: one more than the version that the command was decided on.
    pub sequence: u64,
    /// Wire name.
    pub event_type: String,
    /// Version of the payload.
    pub event_version: String,
    /// JSON text; kept byte for byte.
    pub payload: String,
    /// JSON text; kept byte for byte.
    pub metadata: String,
    /// The tenant; none for users.
    pub guild: Option<GuildId>,
}

/// A value that only one aggregate may hold, taken in the same append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What kind of value, for example `alias:<guild>`.
    pub scope: String,
    /// The value.
    pub value: String,
    /// Who holds it from now on.
    pub stream: StreamId,
}

/// What makes two writes the same write.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey {
    /// Who writes, as one word (`apikey:…`, `user:…`).
    pub credential: String,
    /// HTTP method.
    pub method: String,
    /// Route with its placeholders filled in.
    pub route: String,
    /// The caller's `Idempotency-Key`.
    pub key: String,
}

/// An idempotency row that is to be written with an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIdempotency {
    /// Its key.
    pub key: IdempotencyKey,
    /// Hash of the payload: a repeat with another payload is refused by whoever reads the row.
    pub payload_hash: String,
    /// What a repeat is answered from, as JSON text.
    pub outcome: String,
    /// When the write was decided; rows are pruned by it.
    pub created_at: Timestamp,
}

/// A stored idempotency row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Its key.
    pub key: IdempotencyKey,
    /// Hash of the payload.
    pub payload_hash: String,
    /// What a repeat is answered from, as JSON text.
    pub outcome: String,
    /// Position of the first event of the write; `None` if it made none.
    pub first: Option<i64>,
    /// Position of the last event of the write; `None` if it made none.
    pub last: Option<i64>,
    /// When the write was decided.
    pub created_at: Timestamp,
}

/// One command's share of the log: all of it is written, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Append {
    /// Events of any number of streams; sequences of one stream rise by one.
    pub events: Vec<NewEvent>,
    /// Values to take.
    pub claims: Vec<Claim>,
    /// Values to let go (scope, value), before `claims` are taken.
    pub released: Vec<(String, String)>,
    /// The row that makes a repeat harmless.
    pub idempotency: Option<NewIdempotency>,
}

impl Append {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.claims.is_empty()
            && self.released.is_empty()
            && self.idempotency.is_none()
    }

    /// Refuses what no log could take: a sequence of 0, or a gap or a repeat within one stream.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let mut next = HashMap::new();
        for event in &self.events {
            let expected = *next.entry(&event.stream).or_insert(event.sequence);
            if event.sequence == 0 || event.sequence != expected {
                return Err(StoreError::Malformed(format!(
                    "event {} of {} stands where event {expected} should stand",
                    event.sequence, event.stream
                )));
            }
            next.insert(&event.stream, expected + 1);
        }
        Ok(())
    }
}

/// Where the events of an append stand. They stand in the order in which they were given, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event.
    pub first: i64,
    /// Position of the last event.
    pub last: i64,
    /// When the log took them.
    pub recorded_at: Timestamp,
}

/// The wrapped data key of a person or a guild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKeyRow {
    /// Whose key: `u_…` or `g_…`.
    pub subject: String,
    /// Which key of that subject.
    pub key_id: String,
    /// Which key-encryption key of the ring wraps it.
    pub kek_id: i64,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a walk over the whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCheck {
    /// The last position that was looked at.
    pub head: i64,
    /// How many events were sound before the first fault.
    pub sound: i64,
    /// The first fault, by position.
    pub fault: Option<LogFault>,
}

/// Something in the log that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFault {
    /// Where.
    pub position: i64,
    /// What, as a sentence.
    pub what: String,
}
