//! Control of gateway sessions: what they are, cutting and invalidating them, and frames that Discord did not mean.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Id, Outcome, Problem};
use crate::gateway::ops;
use crate::gateway::session::Out;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Action {
    action: String,
    session_id: Option<String>,
}

pub(super) fn sessions(call: &Call<'_>) -> Outcome {
    match call.method {
        "GET" => Ok((200, call.hub.lock().sessions.shown())),
        "POST" => {
            let body: Action = call.body()?;
            let mut inner = call.hub.lock();
            if let Some(id) = &body.session_id
                && inner.sessions.get_mut(id).is_none()
            {
                return Err(Problem::unknown(format!("session {id}")));
            }
            let known =
                ["cut", "close", "silence", "reconnect", "heartbeat", "invalidate", "invalidateResumable"];
            if !known.contains(&body.action.as_str()) {
                return Err(Problem::new(400, format!("action must be one of: {}", known.join(", "))));
            }
            ops::act(&mut inner, &body.action, body.session_id.as_deref());
            Ok((200, inner.sessions.shown()))
        }
        _ => Err(Problem::new(404, "unknown route; /gateway takes GET and POST")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Frames {
    guild_id: Option<Id>,
    raw: Option<Value>,
    dispatch: Option<Dispatch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dispatch {
    t: String,
    d: Value,
}

pub(super) fn frames(call: &Call<'_>) -> Outcome {
    let body: Frames = call.body()?;
    let mut inner = call.hub.lock();
    let guild = body.guild_id.map(|id| id.0);
    match (body.raw, body.dispatch) {
        (Some(raw), None) => {
            // Text goes out as it is, so that it may be no JSON at all.
            let text = raw.as_str().map_or_else(|| raw.to_string(), str::to_owned);
            let frame = || Out::Frame { text: text.as_str().into(), zlib: false };
            let mut count = 0;
            match guild {
                Some(guild) => inner.sessions.of(Some(guild), 0).for_each(|session| {
                    session.send(frame());
                    count += 1;
                }),
                None => inner.sessions.iter_mut().for_each(|session| {
                    session.send(frame());
                    count += 1;
                }),
            }
            Ok((200, json!({"sessions": count})))
        }
        (None, Some(Dispatch { t, d }))
            if t.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') =>
        {
            let count = inner.sessions.of(guild, 0).count();
            inner.dispatch_anyway(guild, 0, &t, &d);
            Ok((200, json!({"sessions": count})))
        }
        (None, Some(_)) => Err(Problem::new(400, "dispatch.t must be the name of an event, in capitals")),
        _ => Err(Problem::new(400, "give raw or dispatch")),
    }
}
