//! Guilds, their roles, channels and members, and the giving and taking of roles with Discord's hierarchy.

use serde_json::{Value, json};

use super::check::{self, Field, Kind, may};
use super::reply::{Refusal, Reply, done, ok};
use super::{Call, id};
use crate::settings::BOT_ID;
use crate::world::model::Guild;
use crate::world::{permissions, shapes};

const EDIT_MEMBER: &[Field] =
    &[may("nick", Kind::Text(0, 32)), may("roles", Kind::List(250, &Kind::Snowflake))];

pub(super) fn route(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    let method = call.method;
    let Some((guild, rest)) = segments.split_first() else { return Err(Refusal::no_route()) };
    match (method, rest) {
        ("GET", []) => get(call, id(guild)?),
        ("GET", ["roles"]) => ok(json!(shapes::roles(open(call, id(guild)?)?))),
        ("GET", ["channels"]) => channels(call, id(guild)?),
        ("GET", ["members"]) => list(call, id(guild)?),
        ("GET", ["members", "search"]) => search(call, id(guild)?),
        ("GET", ["members", user]) => member(call, id(guild)?, own_id(user)?),
        ("PATCH", ["members", user]) => edit_member(call, id(guild)?, own_id(user)?),
        ("PUT" | "DELETE", ["members", user, "roles", role]) => {
            let ids = (id(guild)?, own_id(user)?, id(role)?);
            give_or_take(call, ids, method == "PUT")
        }
        _ => Err(Refusal::no_route()),
    }
}

fn own_id(segment: &str) -> Result<u64, Refusal> {
    if segment == "@me" { Ok(BOT_ID) } else { id(segment) }
}

/// The guild, if the bot may ask about it.
fn open<'a>(call: &'a Call<'_>, guild_id: u64) -> Result<&'a Guild, Refusal> {
    let guild = call.inner.state.guilds.get(&guild_id).ok_or_else(|| Refusal::code(10_004))?;
    if !guild.members.contains_key(&BOT_ID) {
        return Err(Refusal::code(50_001));
    }
    if guild.outage {
        return Err(Refusal::new(503, 0, "503: Service Unavailable"));
    }
    Ok(guild)
}

fn get(call: &Call<'_>, guild_id: u64) -> Reply {
    // A guild that the bot is not in is unknown to it.
    if !call.inner.is_in(guild_id) {
        return Err(Refusal::code(10_004));
    }
    let guild = open(call, guild_id)?;
    let mut shape = shapes::guild(guild_id, guild);
    if call.query.get("with_counts").is_some_and(|with| with == "true") {
        shape["approximate_member_count"] = json!(guild.members.len());
        shape["approximate_presence_count"] = json!(guild.members.len());
    }
    ok(shape)
}

fn channels(call: &Call<'_>, guild_id: u64) -> Reply {
    let guild = open(call, guild_id)?;
    let shapes = guild.channels.iter().map(|(id, channel)| shapes::channel(guild_id, *id, channel));
    ok(Value::Array(shapes.collect()))
}

fn list(call: &Call<'_>, guild_id: u64) -> Reply {
    let guild = open(call, guild_id)?;
    let limit = call.limit(1, 1_000)?;
    let after = call.number("after")?.unwrap_or(0);
    if !call.inner.tunables.has_members() {
        return Err(Refusal::code(50_001));
    }
    let state = &call.inner.state;
    let after = guild.members.range(after.saturating_add(1)..).take(limit);
    ok(Value::Array(after.map(|(id, member)| shapes::member(state, *id, member)).collect()))
}

fn search(call: &Call<'_>, guild_id: u64) -> Reply {
    let guild = open(call, guild_id)?;
    let limit = call.limit(1, 1_000)?;
    let Some(query) = call.query.get("query").filter(|query| !query.is_empty()) else {
        let mut errors = check::Errors::default();
        errors.add(&["query".to_owned()], "BASE_TYPE_REQUIRED", "This field is required");
        return errors.into_result().and_then(|()| ok(json!([])));
    };
    let (state, query) = (&call.inner.state, query.to_lowercase());
    let fits = |user: &u64| {
        state.accounts.get(user).is_some_and(|account| account.username.to_lowercase().starts_with(&query))
    };
    let found = guild.members.iter().filter(|(user, _)| fits(user)).take(limit);
    ok(Value::Array(found.map(|(user, member)| shapes::member(state, *user, member)).collect()))
}

fn member(call: &Call<'_>, guild_id: u64, user: u64) -> Reply {
    let guild = open(call, guild_id)?;
    let member = known_member(call, guild, user)?;
    ok(shapes::member(&call.inner.state, user, member))
}

fn known_member<'a>(
    call: &Call<'_>,
    guild: &'a Guild,
    user: u64,
) -> Result<&'a crate::world::model::Member, Refusal> {
    let code = if call.inner.state.accounts.contains_key(&user) { 10_007 } else { 10_013 };
    guild.members.get(&user).ok_or_else(|| Refusal::code(code))
}

fn give_or_take(call: &mut Call<'_>, (guild_id, user, role): (u64, u64, u64), give: bool) -> Reply {
    let guild = open(call, guild_id)?;
    let mut roles = known_member(call, guild, user)?.roles.clone();
    may_give(guild_id, guild, role)?;
    if give {
        roles.insert(role);
    } else {
        roles.remove(&role);
    }
    call.inner.set_member(guild_id, user, roles)?;
    done()
}

/// Whether the bot may give or take the role: it needs the permission and a higher role, and nobody but its
/// integration gives a managed role.
fn may_give(guild_id: u64, guild: &Guild, role_id: u64) -> Result<(), Refusal> {
    let role = guild.roles.get(&role_id).ok_or_else(|| Refusal::code(10_011))?;
    let allowed = permissions::in_guild(guild_id, guild, BOT_ID) & permissions::MANAGE_ROLES != 0;
    let above = permissions::is_above(guild_id, guild, BOT_ID, role_id, role);
    if allowed && above && !role.managed && role_id != guild_id { Ok(()) } else { Err(Refusal::code(50_013)) }
}

fn edit_member(call: &mut Call<'_>, guild_id: u64, user: u64) -> Reply {
    check::body(call.body, EDIT_MEMBER)?;
    let guild = open(call, guild_id)?;
    let before = known_member(call, guild, user)?.roles.clone();
    let Some(wanted) = call.body.get("roles").and_then(Value::as_array) else {
        return member(call, guild_id, user);
    };
    let wanted = wanted.iter().filter_map(|id| super::id_of(Some(id))).collect();
    for role in before.symmetric_difference(&wanted) {
        may_give(guild_id, guild, *role)?;
    }
    call.inner.set_member(guild_id, user, wanted)?;
    member(call, guild_id, user)
}
