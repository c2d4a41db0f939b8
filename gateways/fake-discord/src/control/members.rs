//! Control of members, their roles, their direct messages, and of crowds.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Id, Outcome, Problem, id};
use crate::hub::Inner;
use crate::settings::BOT_ID;
use crate::time::iso;
use crate::world::model::{Account, Guild, Member, Message};
use crate::world::state::{Change, State};

/// Members of one crowd.
const CROWD: u64 = 200_000;

pub(super) fn route(call: &Call<'_>, guild: u64, segments: &[&str]) -> Outcome {
    match (call.method, segments) {
        ("POST", []) => join(call, guild),
        ("DELETE", [user]) => leave(call, guild, id(user)?),
        ("GET", [user]) => {
            let (inner, user) = (call.hub.lock(), id(user)?);
            known(&inner, guild, user)?;
            member(&inner, guild, user, 200)
        }
        ("PUT", [user, "roles"]) => set_roles(call, guild, id(user)?),
        ("POST" | "DELETE", [user, "roles", role]) => {
            give_or_take(call, guild, id(user)?, id(role)?, call.method == "POST")
        }
        _ => Err(Problem::new(404, "unknown route under /guilds/:g/members")),
    }
}

/// A member, or somebody who was one.
pub(super) fn shape(state: &State, guild: &Guild, user: u64) -> Value {
    let account = state.accounts.get(&user).cloned().unwrap_or_default();
    let member = guild.members.get(&user);
    let roles = member.into_iter().flat_map(|member| &member.roles).map(u64::to_string);
    json!({
        "id": user.to_string(), "username": account.username, "roles": roles.collect::<Vec<_>>(),
        "present": member.is_some(), "dmsClosed": account.dms_closed, "bot": account.bot,
    })
}

fn known(inner: &Inner, guild: u64, user: u64) -> Result<&Member, Problem> {
    let member = inner.state.guilds.get(&guild).and_then(|guild| guild.members.get(&user));
    member.ok_or_else(|| Problem::unknown(format!("member {user}")))
}

fn member(inner: &Inner, guild: u64, user: u64, status: u16) -> Outcome {
    let known = inner.state.guilds.get(&guild).ok_or_else(|| Problem::unknown(format!("guild {guild}")))?;
    Ok((status, shape(&inner.state, known, user)))
}

fn checked(inner: &Inner, guild: u64, roles: &[Id]) -> Result<BTreeSet<u64>, Problem> {
    let known = inner.state.guilds.get(&guild).map(|guild| &guild.roles);
    let missing = roles.iter().find(|role| known.is_none_or(|known| !known.contains_key(&role.0)));
    match missing {
        Some(role) => Err(Problem::unknown(format!("role {}", role.0))),
        None => Ok(roles.iter().map(|role| role.0).filter(|role| *role != guild).collect()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    id: Option<Id>,
    username: Option<String>,
    #[serde(default)]
    roles: Vec<Id>,
    #[serde(default)]
    bot: bool,
}

fn join(call: &Call<'_>, guild: u64) -> Outcome {
    let body: Join = call.body()?;
    let mut inner = call.hub.lock();
    let roles = checked(&inner, guild, &body.roles)?;
    let user = body.id.map_or_else(|| inner.next_id(), |id| id.0);
    if known(&inner, guild, user).is_ok() {
        return Err(Problem::new(409, format!("{user} is a member already")));
    }
    if user == BOT_ID {
        return Err(Problem::new(
            409,
            "the bot comes back by POST /_control/guilds with the id of the guild",
        ));
    }
    if !inner.state.accounts.contains_key(&user) {
        let username = body.username.unwrap_or_else(|| format!("user{user}"));
        let account = Account { username, bot: body.bot, dms_closed: false };
        inner.commit(vec![Change::Account { id: user, account }])?;
    }
    inner.set_member(guild, user, roles)?;
    member(&inner, guild, user, 201)
}

fn leave(call: &Call<'_>, guild: u64, user: u64) -> Outcome {
    let mut inner = call.hub.lock();
    known(&inner, guild, user)?;
    if user == BOT_ID {
        inner.kick(guild)?;
    } else {
        inner.leave(guild, user)?;
    }
    Ok((204, Value::Null))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    roles: Vec<Id>,
}

fn set_roles(call: &Call<'_>, guild: u64, user: u64) -> Outcome {
    let body: Roles = call.body()?;
    let mut inner = call.hub.lock();
    known(&inner, guild, user)?;
    let roles = checked(&inner, guild, &body.roles)?;
    inner.set_member(guild, user, roles)?;
    member(&inner, guild, user, 200)
}

fn give_or_take(call: &Call<'_>, guild: u64, user: u64, role: u64, give: bool) -> Outcome {
    let mut inner = call.hub.lock();
    let mut roles = known(&inner, guild, user)?.roles.clone();
    checked(&inner, guild, &[Id(role)])?;
    if give {
        roles.insert(role);
    } else {
        roles.remove(&role);
    }
    inner.set_member(guild, user, roles)?;
    if give { member(&inner, guild, user, 200) } else { Ok((204, Value::Null)) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Crowd {
    count: u64,
    #[serde(default)]
    roles: Vec<Id>,
    prefix: Option<String>,
    #[serde(default)]
    quiet: bool,
}

/// Many members at once, written as one change.
pub(super) fn crowd(call: &Call<'_>, guild: u64) -> Outcome {
    let body: Crowd = call.body()?;
    if body.count > CROWD {
        return Err(Problem::new(400, format!("count must be at most {CROWD}")));
    }
    let mut inner = call.hub.lock();
    let roles = checked(&inner, guild, &body.roles)?;
    let prefix = body.prefix.unwrap_or_else(|| "crowd".to_owned());
    let (mut changes, mut members) = (Vec::new(), Vec::new());
    for i in 0..body.count {
        let id = inner.next_id();
        let account = Account { username: format!("{prefix}{i}"), ..Account::default() };
        changes.push(Change::Account { id, account });
        members.push((id, Member { roles: roles.clone(), joined_ms: inner.now }));
    }
    let ids: Vec<u64> = members.iter().map(|(id, _)| *id).collect();
    changes.push(Change::Members { guild, members });
    inner.commit(changes)?;
    if !body.quiet {
        for user in &ids {
            inner.member_frame(guild, *user, "GUILD_MEMBER_ADD");
        }
    }
    let edge = |id: Option<&u64>| id.map(u64::to_string);
    Ok((201, json!({"count": ids.len(), "firstId": edge(ids.first()), "lastId": edge(ids.last())})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dms {
    closed: bool,
}

pub(super) fn users(call: &Call<'_>, user: &str, segments: &[&str]) -> Outcome {
    let user = id(user)?;
    let mut inner = call.hub.lock();
    let account = inner.state.accounts.get(&user).cloned();
    let mut account = account.ok_or_else(|| Problem::unknown(format!("user {user}")))?;
    match (call.method, segments) {
        ("PUT", ["dms"]) => {
            let body: Dms = call.body()?;
            account.dms_closed = body.closed;
            let shape =
                json!({"id": user.to_string(), "username": account.username, "dmsClosed": body.closed});
            inner.commit(vec![Change::Account { id: user, account }])?;
            Ok((200, shape))
        }
        ("GET", ["inbox"]) => {
            let channel = inner.state.dm_channel_of(user);
            let messages = channel.and_then(|channel| inner.state.messages.get(&channel));
            Ok((200, messages.into_iter().flatten().map(|(_, message)| message_shape(message)).collect()))
        }
        ("GET", ["connection"]) => {
            Ok((200, inner.state.connections.get(&user).cloned().unwrap_or(Value::Null)))
        }
        _ => Err(Problem::new(404, "unknown route under /users/:u")),
    }
}

/// `GET /_control/channels/:c/messages`, oldest first.
pub(super) fn messages(call: &Call<'_>, channel: &str) -> Outcome {
    let channel = id(channel)?;
    let inner = call.hub.lock();
    if inner.state.guild_of_channel(channel).is_none() && !inner.state.dm_channels.contains_key(&channel) {
        return Err(Problem::unknown(format!("channel {channel}")));
    }
    let messages = inner.state.messages.get(&channel).into_iter().flatten();
    Ok((200, messages.map(|(_, message)| message_shape(message)).collect()))
}

fn message_shape(message: &Message) -> Value {
    let list = |value: &Value| if value.is_null() { json!([]) } else { value.clone() };
    json!({
        "id": message.id.to_string(), "channelId": message.channel_id.to_string(), "content": message.content,
        "embeds": list(&message.embeds), "components": list(&message.components),
        "attachments": list(&message.attachments), "flags": message.flags, "nonce": message.nonce,
        "timestamp": iso(message.sent_ms), "editedTimestamp": message.edited_ms.map(iso),
    })
}
