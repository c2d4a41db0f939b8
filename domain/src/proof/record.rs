//! The record of an event: the one spelling of it that is hashed into the trees, and that an export shows. It is a line
//! of JSON with its members in this order. Payload and metadata stand in it as stored, byte for byte, because both
//! engines keep their texts; sealed fields stay sealed, so that an erasure changes no record.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::StoredEvent;
use crate::id::GuildId;
use crate::time::Timestamp;

/// The epoch of the log is not in it: after a restore the same events are still the same. The checkpoint names it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    position: i64,
    /// The tenant, and the event's place among the tenant's events, from 1; neither for users.
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<GuildId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    sequence: u64,
    r#type: &'a str,
    version: &'a str,
    recorded_at: Timestamp,
    payload: Box<RawValue>,
    metadata: Box<RawValue>,
}

/// The record of `event`, which is the `number`-th of its guild.
///
/// # Errors
/// If payload or metadata are no JSON, which the database refuses to take.
pub fn record(event: &StoredEvent, number: Option<u64>) -> serde_json::Result<String> {
    serde_json::to_string(&Record {
        position: event.position,
        guild_id: event.guild,
        number,
        aggregate_type: event.stream.kind.as_str(),
        aggregate_id: &event.stream.id,
        sequence: event.sequence,
        r#type: &event.event_type,
        version: &event.event_version,
        recorded_at: event.recorded_at,
        payload: on_one_line(&event.payload)?,
        metadata: on_one_line(&event.metadata)?,
    })
}

/// A line break in JSON stands between two tokens only, where a space says the same.
fn on_one_line(json: &str) -> serde_json::Result<Box<RawValue>> {
    if json.contains(['\n', '\r']) {
        RawValue::from_string(json.replace(['\n', '\r'], " "))
    } else {
        RawValue::from_string(json.to_owned())
    }
}
