//! Request Guild Members (opcode 8): members of a guild in chunks of a thousand, to the session that asked.

use serde_json::{Value, json};

use super::Connection;
use super::close::{self, Close};
use super::intents::GUILD_MEMBERS;
use crate::world::shapes;

const CHUNK: usize = 1_000;
/// Members by id or by name in one request.
const SOME: usize = 100;

pub(super) fn send(connection: &Connection, data: &Value) -> Result<(), Close> {
    let guild_id = id_of(data.get("guild_id").unwrap_or(&Value::Null)).ok_or(close::DECODE_ERROR)?;
    let Some(session_id) = connection.session.as_deref() else { return Err(close::NOT_AUTHENTICATED) };
    let mut inner = connection.hub.lock();
    let Some(intents) = inner.sessions.get_mut(session_id).map(|session| session.intents) else {
        return Err(close::NOT_AUTHENTICATED);
    };
    let wanted = Wanted::of(data).ok_or(close::DECODE_ERROR)?;
    if wanted.is_all() && intents & GUILD_MEMBERS == 0 {
        return Err(close::DISALLOWED_INTENTS);
    }
    if !inner.is_in(guild_id) {
        return Ok(());
    }
    let Some(guild) = inner.state.guilds.get(&guild_id).filter(|guild| !guild.outage) else { return Ok(()) };
    let mut not_found = Vec::new();
    let state = &inner.state;
    let members: Vec<Value> = match &wanted {
        Wanted::Ids(ids) => {
            let missing = ids.iter().filter(|id| !guild.members.contains_key(id));
            not_found.extend(missing.map(u64::to_string));
            ids.iter()
                .filter_map(|id| guild.members.get(id).map(|member| shapes::member(state, *id, member)))
                .collect()
        }
        Wanted::Named { prefix, limit } => guild
            .members
            .iter()
            .filter(|(id, _)| {
                let name = state.accounts.get(id).map_or("", |account| account.username.as_str());
                name.to_lowercase().starts_with(&prefix.to_lowercase())
            })
            .take(if *limit == 0 { usize::MAX } else { *limit })
            .map(|(id, member)| shapes::member(state, *id, member))
            .collect(),
    };
    let chunks: Vec<&[Value]> = if members.is_empty() { vec![&[]] } else { members.chunks(CHUNK).collect() };
    let (now, replay_max, count) = (inner.now, inner.tunables.replay_max, chunks.len());
    for (i, chunk) in chunks.into_iter().enumerate() {
        let mut event = json!({
            "guild_id": guild_id.to_string(), "members": chunk, "chunk_index": i, "chunk_count": count,
            "not_found": not_found,
        });
        if let Some(nonce) = data.get("nonce").filter(|nonce| !nonce.is_null()) {
            event["nonce"] = nonce.clone();
        }
        if let Some(session) = inner.sessions.get_mut(session_id) {
            let frame = session.dispatch("GUILD_MEMBERS_CHUNK", &event.to_string(), replay_max);
            inner.journal.sent(now, session_id, frame);
        }
    }
    Ok(())
}

enum Wanted {
    Ids(Vec<u64>),
    Named { prefix: String, limit: usize },
}

impl Wanted {
    fn of(data: &Value) -> Option<Self> {
        if let Some(ids) = data.get("user_ids").filter(|ids| !ids.is_null()) {
            let ids: Vec<u64> = match ids {
                Value::Array(ids) => ids.iter().map(id_of).collect::<Option<_>>()?,
                one => vec![id_of(one)?],
            };
            return (ids.len() <= SOME).then_some(Self::Ids(ids));
        }
        let prefix = data.get("query")?.as_str()?.to_owned();
        let limit = usize::try_from(data.get("limit")?.as_u64()?).ok()?;
        (prefix.is_empty() || limit <= SOME).then_some(Self::Named { prefix, limit })
    }

    fn is_all(&self) -> bool {
        matches!(self, Self::Named { prefix, limit } if prefix.is_empty() && *limit == 0)
    }
}

fn id_of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
