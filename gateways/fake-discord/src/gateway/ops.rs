//! What a client may say: heartbeat, IDENTIFY, RESUME, presence, members. Refuses with the close codes of Discord.

use std::time::Instant;

use serde_json::{Value, json};

use super::Connection;
use super::chunks;
use super::close::{self, Close};
use super::intents::{GUILDS, VALID};
use super::session::{Out, Session};
use crate::hub::Inner;
use crate::settings::APPLICATION_ID;
use crate::world::shapes;

const HEARTBEAT: u64 = 1;
const IDENTIFY: u64 = 2;
const PRESENCE: u64 = 3;
const VOICE_STATE: u64 = 4;
const RESUME: u64 = 6;
const REQUEST_MEMBERS: u64 = 8;
const SOUNDBOARD: u64 = 31;

/// Does what a payload asks for.
pub(super) fn take(connection: &mut Connection, payload: &Value) -> Result<(), Close> {
    let op = payload.get("op").and_then(Value::as_u64).ok_or(close::DECODE_ERROR)?;
    let data = payload.get("d").unwrap_or(&Value::Null);
    forget_ended(connection);
    match op {
        HEARTBEAT => {
            heartbeat(connection);
            Ok(())
        }
        IDENTIFY if connection.session.is_some() => Err(close::ALREADY_AUTHENTICATED),
        IDENTIFY => identify(connection, data),
        RESUME if connection.session.is_some() => Err(close::ALREADY_AUTHENTICATED),
        RESUME => resume(connection, data),
        PRESENCE | VOICE_STATE | SOUNDBOARD | REQUEST_MEMBERS if connection.session.is_none() => {
            Err(close::NOT_AUTHENTICATED)
        }
        PRESENCE | VOICE_STATE | SOUNDBOARD => Ok(()),
        REQUEST_MEMBERS => chunks::send(connection, data),
        _ => Err(close::UNKNOWN_OPCODE),
    }
}

/// A session that was ended while its socket stayed (op 9) is none: the same socket may identify again.
fn forget_ended(connection: &mut Connection) {
    let ended = |id: &String| connection.hub.lock().sessions.get_mut(id).is_none();
    if connection.session.as_ref().is_some_and(ended) {
        connection.session = None;
    }
}

fn heartbeat(connection: &mut Connection) {
    connection.heard = Instant::now();
    let acknowledge = {
        let mut inner = connection.hub.lock();
        inner.sessions.heartbeats += 1;
        inner.tunables.ack_heartbeats
    };
    if acknowledge {
        connection.reply(11, &Value::Null);
    }
}

fn check_token(connection: &Connection, data: &Value) -> Result<(), Close> {
    let token = data.get("token").and_then(Value::as_str).ok_or(close::DECODE_ERROR)?;
    let token = token.strip_prefix("Bot ").unwrap_or(token);
    if token == connection.hub.fixed.token { Ok(()) } else { Err(close::AUTHENTICATION_FAILED) }
}

fn identify(connection: &mut Connection, data: &Value) -> Result<(), Close> {
    check_token(connection, data)?;
    let intents = data.get("intents").and_then(Value::as_u64).ok_or(close::DECODE_ERROR)?;
    if !data.get("properties").is_some_and(Value::is_object) {
        return Err(close::DECODE_ERROR);
    }
    let shard = shard_of(data)?;
    if intents & !VALID != 0 {
        return Err(close::INVALID_INTENTS);
    }
    let compress = data.get("compress").and_then(Value::as_bool).unwrap_or(false);
    let ws_url = connection.hub.fixed.ws_url.clone();
    let mut inner = connection.hub.lock();
    if intents & inner.tunables.denied() != 0 {
        return Err(close::DISALLOWED_INTENTS);
    }
    if inner.tunables.identify_remaining == 0 {
        inner.sessions.refused_identifies += 1;
        drop(inner);
        connection.reply(9, &json!(false));
        return Ok(());
    }
    inner.tunables.identify_remaining -= 1;
    inner.sessions.identifies += 1;
    let id = format!("{:032x}", u128::from(inner.next_id()) << 32 | u128::from(connection.socket.connection));
    let mut session = Session::new(id.clone(), shard, intents, compress);
    session.attach(connection.socket.clone());
    inner.sessions.add(session);
    greet(&mut inner, &id, shard, &ws_url);
    drop(inner);
    connection.session = Some(id);
    Ok(())
}

/// READY, then the guilds of the shard one by one. A guild in outage stays unavailable until it ends.
fn greet(inner: &mut Inner, id: &str, shard: (u64, u64), ws_url: &str) {
    let mine = |guild: u64| (guild >> 22) % shard.1 == shard.0;
    let guilds: Vec<u64> = inner.guilds().map(|(id, _)| id).filter(|id| mine(*id)).collect();
    let unavailable: Vec<Value> =
        guilds.iter().map(|id| json!({"id": id.to_string(), "unavailable": true})).collect();
    let ready = json!({
        "v": 10, "user": shapes::current_bot(&inner.state), "guilds": unavailable, "session_id": id,
        "resume_gateway_url": ws_url, "session_type": "normal", "shard": [shard.0, shard.1],
        "application": {"id": APPLICATION_ID.to_string(), "flags": 0}, "private_channels": [], "relationships": [],
        "_trace": [],
    });
    let mut events = vec![("READY", ready)];
    for guild_id in guilds {
        if let Some(guild) = inner.state.guilds.get(&guild_id).filter(|guild| !guild.outage) {
            events.push(("GUILD_CREATE", shapes::guild_create(&inner.state, guild_id, guild)));
        }
    }
    let (now, replay_max) = (inner.now, inner.tunables.replay_max);
    for (name, data) in events {
        let Some(session) = inner.sessions.get_mut(id) else { return };
        if name == "READY" || session.intents & GUILDS != 0 {
            let frame = session.dispatch(name, &data.to_string(), replay_max);
            inner.journal.sent(now, id, frame);
        }
    }
}

fn shard_of(data: &Value) -> Result<(u64, u64), Close> {
    let Some(shard) = data.get("shard").filter(|shard| !shard.is_null()) else { return Ok((0, 1)) };
    let shard = shard.as_array().ok_or(close::DECODE_ERROR)?;
    let [id, count] = shard.as_slice() else { return Err(close::INVALID_SHARD) };
    match (id.as_u64(), count.as_u64()) {
        (Some(id), Some(count)) if id < count => Ok((id, count)),
        _ => Err(close::INVALID_SHARD),
    }
}

fn resume(connection: &mut Connection, data: &Value) -> Result<(), Close> {
    check_token(connection, data)?;
    let id = data.get("session_id").and_then(Value::as_str).ok_or(close::DECODE_ERROR)?;
    let seq = data.get("seq").and_then(Value::as_u64).ok_or(close::DECODE_ERROR)?;
    let mut inner = connection.hub.lock();
    let (refused, now, replay_max) = (inner.tunables.refuse_resume, inner.now, inner.tunables.replay_max);
    let found = inner.sessions.get_mut(id).filter(|session| !refused && session.can_replay(seq));
    let Some(session) = found else {
        // What cannot be resumed never can be again.
        inner.sessions.remove(id);
        inner.sessions.refused_resumes += 1;
        drop(inner);
        connection.reply(9, &json!(false));
        return Ok(());
    };
    if seq > session.seq {
        return Err(close::INVALID_SEQ);
    }
    session.attach(connection.socket.clone());
    session.replay(seq);
    let frame = session.dispatch("RESUMED", r#"{"_trace":[]}"#, replay_max);
    inner.journal.sent(now, id, frame);
    inner.sessions.resumes += 1;
    drop(inner);
    connection.session = Some(id.to_owned());
    Ok(())
}

/// What the control API can do to the sockets of sessions.
pub(crate) fn act(inner: &mut Inner, action: &str, session: Option<&str>) -> Option<()> {
    let raw = |op: u8, data: Value| Out::Frame {
        text: json!({"op": op, "d": data, "s": null, "t": null}).to_string().into(),
        zlib: false,
    };
    let mut ended = Vec::new();
    for target in inner.sessions.iter_mut().filter(|one| session.is_none_or(|id| one.id == id)) {
        match action {
            "cut" => target.detach(Out::Cut),
            "close" => target.detach(Out::Close(close::UNKNOWN_ERROR)),
            "silence" => target.send(Out::Silence),
            "reconnect" => target.send(raw(7, Value::Null)),
            "heartbeat" => target.send(raw(1, Value::Null)),
            "invalidate" => {
                target.send(raw(9, json!(false)));
                ended.push(target.id.clone());
            }
            // Resumable: the session stays.
            "invalidateResumable" => target.send(raw(9, json!(true))),
            _ => return None,
        }
    }
    for id in ended {
        inner.sessions.remove(&id);
    }
    Some(())
}
