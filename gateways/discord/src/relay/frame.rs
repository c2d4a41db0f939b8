//! The gateway's frames: what the relay must know of them, and the few it makes itself.
//!
//! Nothing here is ever logged or shown: frames carry the token, events carry people.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::tap::{Saved, Shard};

/// A frame of Discord.
pub(super) enum FromDiscord {
    /// Op 0.
    Dispatch { sequence: Option<i64>, kind: String, data: Value },
    /// Op 1: a heartbeat is wanted now.
    WantsHeartbeat,
    /// Op 7: a new connection is wanted.
    Reconnect,
    /// Op 9.
    Invalid { resumable: bool },
    /// Op 10.
    Hello { interval_ms: u64 },
    /// Op 11.
    Ack,
}

/// A frame of serenity.
pub(super) enum FromSerenity {
    /// Op 1.
    Heartbeat,
    /// Op 2, whole.
    Identify(Identify),
    /// Op 6.
    Resume { session_id: String, sequence: i64 },
    /// Anything else; passed on.
    Other,
}

/// An IDENTIFY as serenity sent it. It holds the token, so it has no `Debug`.
#[derive(Clone)]
pub(super) struct Identify {
    pub(super) shard: Shard,
    pub(super) text: Utf8Bytes,
    token: String,
}

impl Identify {
    /// The RESUME with this IDENTIFY's token.
    pub(super) fn resume(&self, session_id: &str, sequence: i64) -> Message {
        text(&json!({"op": 6, "d": {"token": self.token, "session_id": session_id, "seq": sequence}}))
    }
}

/// Reads a data frame of Discord. The error says what is wrong and quotes nothing.
pub(super) fn from_discord(message: &Message, max_bytes: usize) -> Result<FromDiscord, String> {
    let value = match message {
        Message::Text(text) => serde_json::from_str(text.as_str()),
        Message::Binary(bytes) => serde_json::from_slice(&inflate(bytes, max_bytes)?),
        _ => return Err("not a data frame".into()),
    };
    let value: Value = value.map_err(|why| format!("not JSON: {:?}", why.classify()))?;
    let Value::Object(mut frame) = value else { return Err("JSON, but not an object".into()) };
    let Some(op) = frame.get("op").and_then(Value::as_u64) else { return Err("no op".into()) };
    Ok(match op {
        0 => return dispatch(&mut frame),
        1 => FromDiscord::WantsHeartbeat,
        7 => FromDiscord::Reconnect,
        9 => FromDiscord::Invalid { resumable: frame.get("d").and_then(Value::as_bool).unwrap_or(false) },
        10 => {
            let interval = frame.get("d").and_then(|d| d["heartbeat_interval"].as_u64());
            FromDiscord::Hello { interval_ms: interval.ok_or("a HELLO without an interval")? }
        }
        11 => FromDiscord::Ack,
        _ => return Err(format!("unknown op {op}")),
    })
}

fn dispatch(frame: &mut Map<String, Value>) -> Result<FromDiscord, String> {
    let Some(Value::String(kind)) = frame.remove("t") else { return Err("a dispatch without a name".into()) };
    let sequence = frame.get("s").and_then(Value::as_i64);
    Ok(FromDiscord::Dispatch { sequence, kind, data: frame.remove("d").unwrap_or(Value::Null) })
}

fn inflate(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    let mut plain = Vec::with_capacity(bytes.len().saturating_mul(3).min(max_bytes));
    let mut reader = ZlibDecoder::new(bytes).take(limit.saturating_add(1));
    reader.read_to_end(&mut plain).map_err(|_| "a binary frame that is not zlib")?;
    if plain.len() > max_bytes {
        return Err(format!("a compressed frame larger than {max_bytes} bytes"));
    }
    Ok(plain)
}

/// Reads a frame of serenity; `None` if it is none that the gateway knows.
pub(super) fn from_serenity(message: &Message) -> Option<FromSerenity> {
    let Message::Text(text) = message else { return None };
    let frame: Value = serde_json::from_str(text.as_str()).ok()?;
    let d = &frame["d"];
    Some(match frame["op"].as_u64()? {
        1 => FromSerenity::Heartbeat,
        2 => FromSerenity::Identify(Identify {
            shard: shard(&d["shard"])?,
            text: text.clone(),
            token: d["token"].as_str()?.to_owned(),
        }),
        6 => FromSerenity::Resume {
            session_id: d["session_id"].as_str()?.to_owned(),
            sequence: d["seq"].as_i64().unwrap_or(0),
        },
        _ => FromSerenity::Other,
    })
}

/// An IDENTIFY without a shard is the only shard there is.
fn shard(value: &Value) -> Option<Shard> {
    if value.is_null() {
        return Some((0, 1));
    }
    let number = |at: usize| value.get(at).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    Some((number(0)?, number(1)?))
}

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

/// HELLO for serenity.
pub(super) fn hello(interval_ms: u64) -> Message {
    text(&json!({"op": 10, "d": {"heartbeat_interval": interval_ms}}))
}

/// The answer to serenity's heartbeat.
pub(super) fn ack() -> Message {
    text(&json!({"op": 11}))
}

/// A heartbeat for Discord.
pub(super) fn heartbeat(sequence: Option<i64>) -> Message {
    text(&json!({"op": 1, "d": sequence}))
}

/// Tells serenity that its session is unknown.
pub(super) fn unknown_session() -> Message {
    text(&json!({"op": 9, "d": false}))
}

/// The READY that serenity must get before a resumed session's events.
pub(super) fn ready(saved: &Saved) -> Message {
    text(&json!({"op": 0, "t": "READY", "s": saved.sequence.max(0), "d": saved.ready}))
}

/// RESUMED with a sequence number, which serenity cannot read it without.
pub(super) fn resumed(sequence: i64, data: &Value) -> Message {
    text(&json!({"op": 0, "t": "RESUMED", "s": sequence.max(0), "d": data}))
}
