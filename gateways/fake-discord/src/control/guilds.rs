//! Control of guilds, roles, channels and outages.

use serde::Deserialize;
use serde_json::{Value, json};

use super::members;
use super::{Call, Id, Outcome, Problem, id};
use crate::gateway::intents::GUILDS;
use crate::hub::Inner;
use crate::settings::{BOT_ID, WorldGuild};
use crate::world::model::{Channel, Guild, Role};
use crate::world::permissions::{SEND_MESSAGES, VIEW_CHANNEL};
use crate::world::shapes;
use crate::world::state::{Change, State};

pub(super) fn route(call: &Call<'_>, segments: &[&str]) -> Outcome {
    let Some((guild, rest)) = segments.split_first() else { return create(call) };
    let guild = id(guild)?;
    if !call.hub.lock().state.guilds.contains_key(&guild) {
        return Err(Problem::unknown(format!("guild {guild}")));
    }
    match (call.method, rest) {
        ("GET", []) => one(&call.hub.lock(), guild, 200),
        ("PUT", []) => edit(call, guild),
        ("DELETE", []) => kick(call, guild),
        ("POST", ["outage"]) => outage(call, guild),
        ("POST", ["roles"]) => create_role(call, guild),
        ("PUT", ["roles", role]) => edit_role(call, guild, id(role)?),
        ("DELETE", ["roles", role]) => delete_role(call, guild, id(role)?),
        ("POST", ["channels"]) => create_channel(call, guild),
        ("PUT", ["channels", channel]) => edit_channel(call, guild, id(channel)?),
        ("DELETE", ["channels", channel]) => delete_channel(call, guild, id(channel)?),
        ("POST", ["crowd"]) => members::crowd(call, guild),
        (_, ["members", rest @ ..]) => members::route(call, guild, rest),
        _ => Err(Problem::new(404, format!("unknown route {} /guilds/:g/{}", call.method, rest.join("/")))),
    }
}

/// What `GET /_control/state` shows.
pub(super) fn state(state: &State) -> Value {
    let guilds: Vec<Value> = state.guilds.iter().map(|(id, guild)| guild_shape(state, *id, guild)).collect();
    json!({"guilds": guilds})
}

fn guild_shape(state: &State, id: u64, guild: &Guild) -> Value {
    let roles: Vec<Value> = guild.roles.iter().map(|(id, role)| role_shape(*id, role)).collect();
    let present = guild.members.keys().map(|user| members::shape(state, guild, *user));
    let gone =
        guild.former.iter().filter(|user| **user != BOT_ID).map(|user| members::shape(state, guild, *user));
    let channels = guild.channels.iter().map(|(id, channel)| channel_shape(*id, channel));
    json!({
        "id": id.to_string(), "name": guild.name, "ownerId": guild.owner_id.to_string(), "outage": guild.outage,
        "kicked": !guild.members.contains_key(&BOT_ID), "roles": roles, "members": present.chain(gone).collect::<Vec<_>>(),
        "channels": channels.collect::<Vec<_>>(),
    })
}

fn role_shape(id: u64, role: &Role) -> Value {
    json!({
        "id": id.to_string(), "name": role.name, "position": role.position,
        "permissions": role.permissions.to_string(), "managed": role.managed,
    })
}

fn channel_shape(id: u64, channel: &Channel) -> Value {
    json!({
        "id": id.to_string(), "name": channel.name, "canSend": channel.denied & SEND_MESSAGES == 0,
        "canView": channel.denied & VIEW_CHANNEL == 0,
    })
}

fn one(inner: &Inner, id: u64, status: u16) -> Outcome {
    let guild = inner.state.guilds.get(&id).ok_or_else(|| Problem::unknown(format!("guild {id}")))?;
    Ok((status, guild_shape(&inner.state, id, guild)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewGuild {
    name: Option<String>,
    owner_id: Option<Id>,
    id: Option<Id>,
}

fn create(call: &Call<'_>) -> Outcome {
    if call.method != "POST" {
        return Err(Problem::new(404, "unknown route; GET /_control/state lists guilds"));
    }
    let body: NewGuild = call.body()?;
    let mut inner = call.hub.lock();
    let id = body.id.map_or_else(|| inner.next_id(), |id| id.0);
    if inner.is_in(id) {
        return Err(Problem::new(409, format!("the guild {id} exists already")));
    }
    // Without an owner somebody is made for it: a guild always has one.
    let owner_id = body.owner_id.map_or_else(|| inner.next_id(), |id| id.0);
    let name = body.name.unwrap_or_else(|| format!("guild{id}"));
    inner.open_guild(&WorldGuild { id, name, owner_id, ..WorldGuild::default() })?;
    one(&inner, id, 201)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EditGuild {
    name: Option<String>,
    owner_id: Option<Id>,
}

fn edit(call: &Call<'_>, guild: u64) -> Outcome {
    let body: EditGuild = call.body()?;
    let mut inner = call.hub.lock();
    if let Some(owner) = body.owner_id {
        let member = inner.state.guilds.get(&guild).is_some_and(|guild| guild.members.contains_key(&owner.0));
        if !member {
            return Err(Problem::unknown(format!("member {}", owner.0)));
        }
    }
    let known = inner.state.guilds.get(&guild).map(|guild| (guild.name.clone(), guild.owner_id));
    let (name, owner) = known.unwrap_or_default();
    inner.edit_guild(guild, body.name.unwrap_or(name), body.owner_id.map_or(owner, |id| id.0))?;
    one(&inner, guild, 200)
}

fn kick(call: &Call<'_>, guild: u64) -> Outcome {
    let mut inner = call.hub.lock();
    if !inner.is_in(guild) {
        return Err(Problem::unknown(format!("guild {guild} with the bot in it")));
    }
    inner.kick(guild)?;
    Ok((204, Value::Null))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outage {
    on: bool,
}

fn outage(call: &Call<'_>, guild: u64) -> Outcome {
    let body: Outage = call.body()?;
    let mut inner = call.hub.lock();
    inner.set_outage(guild, body.on)?;
    one(&inner, guild, 200)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleBody {
    id: Option<Id>,
    name: Option<String>,
    position: Option<i64>,
    permissions: Option<Id>,
    managed: Option<bool>,
}

fn create_role(call: &Call<'_>, guild: u64) -> Outcome {
    let body: RoleBody = call.body()?;
    let mut inner = call.hub.lock();
    let id = body.id.map_or_else(|| inner.next_id(), |id| id.0);
    if inner.state.guilds.get(&guild).is_some_and(|guild| guild.roles.contains_key(&id)) {
        return Err(Problem::new(409, format!("the role {id} exists already")));
    }
    let role = Role {
        name: body.name.unwrap_or_else(|| "new role".to_owned()),
        position: body.position.unwrap_or(1),
        permissions: body.permissions.map_or(0, |bits| bits.0),
        managed: body.managed.unwrap_or(false),
        bot_id: None,
    };
    inner.put_role(guild, id, role.clone())?;
    Ok((201, role_shape(id, &role)))
}

fn edit_role(call: &Call<'_>, guild: u64, id: u64) -> Outcome {
    let body: RoleBody = call.body()?;
    let mut inner = call.hub.lock();
    let known = inner.state.guilds.get(&guild).and_then(|guild| guild.roles.get(&id)).cloned();
    let mut role = known.ok_or_else(|| Problem::unknown(format!("role {id}")))?;
    role.name = body.name.unwrap_or(role.name);
    role.position = body.position.unwrap_or(role.position);
    role.permissions = body.permissions.map_or(role.permissions, |bits| bits.0);
    role.managed = body.managed.unwrap_or(role.managed);
    inner.put_role(guild, id, role.clone())?;
    Ok((200, role_shape(id, &role)))
}

fn delete_role(call: &Call<'_>, guild: u64, id: u64) -> Outcome {
    let mut inner = call.hub.lock();
    if !inner.state.guilds.get(&guild).is_some_and(|guild| guild.roles.contains_key(&id)) {
        return Err(Problem::unknown(format!("role {id}")));
    }
    if id == guild {
        return Err(Problem::new(400, "@everyone cannot be deleted"));
    }
    inner.delete_role(guild, id)?;
    Ok((204, Value::Null))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChannelBody {
    id: Option<Id>,
    name: Option<String>,
    can_send: Option<bool>,
    can_view: Option<bool>,
}

fn create_channel(call: &Call<'_>, guild: u64) -> Outcome {
    let body: ChannelBody = call.body()?;
    let mut inner = call.hub.lock();
    let id = body.id.map_or_else(|| inner.next_id(), |id| id.0);
    if inner.state.guild_of_channel(id).is_some() {
        return Err(Problem::new(409, format!("the channel {id} exists already")));
    }
    put_channel(
        &mut inner,
        guild,
        id,
        Channel { name: "channel".to_owned(), ..Channel::default() },
        body,
        true,
    )
}

fn edit_channel(call: &Call<'_>, guild: u64, id: u64) -> Outcome {
    let body: ChannelBody = call.body()?;
    let mut inner = call.hub.lock();
    let known = inner.state.guilds.get(&guild).and_then(|guild| guild.channels.get(&id)).cloned();
    let channel = known.ok_or_else(|| Problem::unknown(format!("channel {id}")))?;
    put_channel(&mut inner, guild, id, channel, body, false)
}

fn delete_channel(call: &Call<'_>, guild: u64, id: u64) -> Outcome {
    let mut inner = call.hub.lock();
    let known = inner.state.guilds.get(&guild).and_then(|guild| guild.channels.get(&id)).cloned();
    let channel = known.ok_or_else(|| Problem::unknown(format!("channel {id}")))?;
    inner.commit(vec![Change::ChannelGone { guild, id }])?;
    inner.dispatch(Some(guild), GUILDS, "CHANNEL_DELETE", &shapes::channel(guild, id, &channel));
    Ok((204, Value::Null))
}

fn put_channel(
    inner: &mut Inner,
    guild: u64,
    id: u64,
    mut channel: Channel,
    body: ChannelBody,
    is_new: bool,
) -> Outcome {
    channel.name = body.name.unwrap_or(channel.name);
    for (may, bit) in [(body.can_send, SEND_MESSAGES), (body.can_view, VIEW_CHANNEL)] {
        match may {
            Some(true) => channel.denied &= !bit,
            Some(false) => channel.denied |= bit,
            None => {}
        }
    }
    inner.commit(vec![Change::Channel { guild, id, channel: channel.clone() }])?;
    let data = shapes::channel(guild, id, &channel);
    inner.dispatch(Some(guild), GUILDS, if is_new { "CHANNEL_CREATE" } else { "CHANNEL_UPDATE" }, &data);
    Ok((if is_new { 201 } else { 200 }, channel_shape(id, &channel)))
}
