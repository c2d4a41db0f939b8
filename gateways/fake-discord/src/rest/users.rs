//! The account that asks: the bot, or a person by a bearer token with scopes. Opens direct-message channels and
//! keeps role connections.

use serde_json::{Value, json};

use super::check::{self, Errors, Field, Kind, may, must};
use super::reply::{Refusal, Reply, ok};
use super::{Call, Who, id, id_of};
use crate::settings::{APPLICATION_ID, BOT_ID};
use crate::world::model::{Grant, Guild};
use crate::world::shapes;
use crate::world::state::Change;

const OPEN_DM: &[Field] = &[must("recipient_id", Kind::Snowflake)];
const CONNECTION: &[Field] = &[
    may("platform_name", Kind::Text(0, 50)),
    may("platform_username", Kind::Text(0, 100)),
    may("metadata", Kind::Any),
];

pub(super) fn route(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    match (call.method, segments) {
        ("GET", ["@me"]) => me(call),
        ("GET", ["@me", "guilds"]) => guilds(call),
        ("GET", ["@me", "guilds", guild, "member"]) => own_member(call, id(guild)?),
        ("POST", ["@me", "channels"]) => open_dm(call),
        ("GET", ["@me", "applications", app, "role-connection"]) => connection(call, id(app)?),
        ("PUT", ["@me", "applications", app, "role-connection"]) => set_connection(call, id(app)?),
        ("GET", [user]) if call.who == Who::Bot => {
            let user = id(user)?;
            let known = call.inner.state.accounts.contains_key(&user);
            if known { ok(shapes::user(&call.inner.state, user)) } else { Err(Refusal::code(10_013)) }
        }
        _ => Err(Refusal::no_route()),
    }
}

/// The grant behind a bearer token, if it has the scope.
pub(crate) fn scoped<'a>(call: &'a Call<'_>, scope: &str) -> Result<&'a Grant, Refusal> {
    let Who::User(grant) = call.who else { return Err(Refusal::unauthorized()) };
    let grant = call.inner.state.grants.get(&grant).ok_or_else(|| Refusal::code(50_025))?;
    if grant.scopes.iter().any(|own| own == scope) { Ok(grant) } else { Err(Refusal::code(50_026)) }
}

fn me(call: &Call<'_>) -> Reply {
    if call.who == Who::Bot {
        return ok(shapes::current_bot(&call.inner.state));
    }
    let grant = scoped(call, "identify")?;
    let mut shape = shapes::user(&call.inner.state, grant.user_id);
    shape["locale"] = json!("en-US");
    shape["mfa_enabled"] = json!(false);
    shape["premium_type"] = json!(0);
    if grant.scopes.iter().any(|scope| scope == "email") {
        let name = shape["username"].as_str().unwrap_or_default().to_lowercase();
        shape["email"] = json!(format!("{name}@example.com"));
        shape["verified"] = json!(true);
    }
    ok(shape)
}

fn guilds(call: &Call<'_>) -> Reply {
    let user = if call.who == Who::Bot { BOT_ID } else { scoped(call, "guilds")?.user_id };
    let limit = call.limit(200, 200)?;
    let (after, before) = (call.number("after")?, call.number("before")?);
    let fits = |id: u64, guild: &Guild| {
        guild.members.contains_key(&user)
            && after.is_none_or(|after| id > after)
            && before.is_none_or(|before| id < before)
    };
    let mut shown: Vec<Value> = call
        .inner
        .state
        .guilds
        .iter()
        .filter(|(id, guild)| fits(**id, guild))
        .map(|(id, guild)| shapes::partial_guild(*id, guild, user))
        .collect();
    // Backwards, the nearest ones count.
    if before.is_some() && after.is_none() && shown.len() > limit {
        shown.drain(..shown.len() - limit);
    }
    shown.truncate(limit);
    ok(Value::Array(shown))
}

fn own_member(call: &Call<'_>, guild_id: u64) -> Reply {
    let user = if call.who == Who::Bot { BOT_ID } else { scoped(call, "guilds.members.read")?.user_id };
    let guild = call.inner.state.guilds.get(&guild_id).ok_or_else(|| Refusal::code(10_004))?;
    let member = guild.members.get(&user).ok_or_else(|| Refusal::code(10_004))?;
    ok(shapes::member(&call.inner.state, user, member))
}

fn open_dm(call: &mut Call<'_>) -> Reply {
    if call.who != Who::Bot {
        return Err(Refusal::unauthorized());
    }
    check::body(call.body, OPEN_DM)?;
    let user = id_of(call.body.get("recipient_id")).unwrap_or(0);
    if user == BOT_ID {
        return Err(Refusal::code(50_033));
    }
    if !call.inner.state.accounts.contains_key(&user) {
        return Err(Refusal::code(10_013));
    }
    let channel = call.inner.dm_channel(user)?;
    ok(shapes::dm_channel(&call.inner.state, channel, user))
}

fn connection(call: &Call<'_>, app: u64) -> Reply {
    if app != APPLICATION_ID {
        return Err(Refusal::code(10_002));
    }
    let user = scoped(call, "role_connections.write")?.user_id;
    let empty = json!({"platform_name": null, "platform_username": null, "metadata": {}});
    ok(call.inner.state.connections.get(&user).cloned().unwrap_or(empty))
}

fn set_connection(call: &mut Call<'_>, app: u64) -> Reply {
    if app != APPLICATION_ID {
        return Err(Refusal::code(10_002));
    }
    let user = scoped(call, "role_connections.write")?.user_id;
    check::body(call.body, CONNECTION)?;
    let mut errors = Errors::default();
    let metadata = call.body.get("metadata").cloned().unwrap_or_else(|| json!({}));
    match metadata.as_object() {
        None => errors.add(
            &["metadata".to_owned()],
            "DICT_TYPE_CONVERT",
            "Only dictionaries may be used in a DictType",
        ),
        Some(members) => {
            for (key, value) in members {
                let known = call.inner.state.role_metadata.iter().any(|record| record["key"] == json!(key));
                let path = ["metadata".to_owned(), key.clone()];
                if !known {
                    errors.add(&path, "UNKNOWN_MEMBER", "No metadata record has this key.");
                } else if value.as_str().is_none_or(|text| text.chars().count() > 100) {
                    errors.add(&path, "BASE_TYPE_MAX_LENGTH", "Must be text of 100 or fewer in length.");
                }
            }
        }
    }
    errors.into_result()?;
    let text = |name: &str| call.body.get(name).cloned().unwrap_or(Value::Null);
    let connection = json!({
        "platform_name": text("platform_name"), "platform_username": text("platform_username"), "metadata": metadata,
    });
    call.inner.commit(vec![Change::Connection { user, connection: connection.clone() }])?;
    ok(connection)
}

impl crate::hub::Inner {
    /// The direct-message channel of an account with the bot; always the same one.
    pub(crate) fn dm_channel(&mut self, user: u64) -> Result<u64, crate::hub::StoreError> {
        if let Some(channel) = self.state.dm_channel_of(user) {
            return Ok(channel);
        }
        let id = self.next_id();
        self.commit(vec![Change::DmChannel { id, user }])?;
        Ok(id)
    }
}
