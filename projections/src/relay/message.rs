//! An event as it goes out over NATS: its subject and its body. The body is the stored event, personal fields sealed as
//! they are in the log.

use domain::event::StoredEvent;
use serde::Serialize;
use serde_json::value::RawValue;

/// The header with the event's position.
pub(super) const POSITION: &str = "Dca-Position";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    epoch: &'a str,
    position: i64,
    /// The log has no gaps; whoever has another one has missed something.
    previous_position: i64,
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    sequence: u64,
    r#type: &'a str,
    version: &'a str,
    guild_id: Option<String>,
    recorded_at: String,
    payload: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
}

/// `dca.<epoch>.event.<type of aggregate>.<event>.<guild, or _>`.
pub(super) fn subject(epoch: &str, event: &StoredEvent) -> String {
    let guild = event.guild.map_or_else(|| "_".to_owned(), |guild| guild.to_string());
    format!("dca.{epoch}.event.{}.{guild}", event.event_type)
}

/// The body as JSON; over `max_bytes` it comes without payload and metadata, which the log still has.
pub(super) fn body(epoch: &str, event: &StoredEvent, max_bytes: usize) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Body {
        epoch,
        position: event.position,
        previous_position: event.position - 1,
        aggregate_type: event.stream.kind.as_str(),
        aggregate_id: &event.stream.id,
        sequence: event.sequence,
        r#type: &event.event_type,
        version: &event.event_version,
        guild_id: event.guild.map(|guild| guild.to_string()),
        recorded_at: event.recorded_at.to_string(),
        payload: Some(serde_json::from_str(&event.payload)?),
        metadata: Some(serde_json::from_str(&event.metadata)?),
    };
    let whole = serde_json::to_vec(&body)?;
    if whole.len() <= max_bytes {
        return Ok(whole);
    }
    (body.payload, body.metadata) = (None, None);
    serde_json::to_vec(&body)
}
