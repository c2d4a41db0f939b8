//! The application itself: where its gateway is, who it is, its commands, linked-role metadata and entitlements.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::check::{self, Errors, Field, Kind, may, must};
use super::reply::{Refusal, Reply, ok};
use super::{Call, Who, commands, id};
use crate::settings::{APPLICATION_ID, BOT_ID};
use crate::world::seed::BOT_NAME;
use crate::world::shapes;
use crate::world::state::Change;

const METADATA: &[Field] = &[
    must("type", Kind::Int(1, 8)),
    must("key", Kind::Text(1, 50)),
    must("name", Kind::Text(1, 100)),
    may("name_localizations", Kind::Any),
    must("description", Kind::Text(1, 200)),
    may("description_localizations", Kind::Any),
];
/// Metadata records of an application.
const RECORDS: usize = 5;

/// `GET /gateway` and `GET /gateway/bot`.
pub(super) fn gateway(call: &Call<'_>, segments: &[&str]) -> Reply {
    let url = &call.hub.fixed.ws_url;
    match (call.method, segments) {
        ("GET", []) => ok(json!({"url": url})),
        ("GET", ["bot"]) => {
            let tunables = &call.inner.tunables;
            ok(json!({
                "url": url, "shards": tunables.shards,
                "session_start_limit": {
                    "total": 1000, "remaining": tunables.identify_remaining, "reset_after": tunables.reset_after_ms,
                    "max_concurrency": 1,
                },
            }))
        }
        _ => Err(Refusal::no_route()),
    }
}

/// The application object. Open to the bot only.
pub(crate) fn current(call: &Call<'_>) -> Reply {
    if call.who != Who::Bot {
        return Err(Refusal::unauthorized());
    }
    // GATEWAY_GUILD_MEMBERS_LIMITED: what an application in few guilds has when the intent is switched on.
    let flags = if call.inner.tunables.has_members() { 1 << 15 } else { 0 };
    let owner = call.inner.guilds().next().map_or(1, |(_, guild)| guild.owner_id.max(1));
    ok(json!({
        "id": APPLICATION_ID.to_string(), "name": BOT_NAME, "icon": null, "description": "", "rpc_origins": [],
        "bot_public": true, "bot_require_code_grant": false, "owner": shapes::user(&call.inner.state, owner),
        "bot": shapes::user(&call.inner.state, BOT_ID), "summary": "",
        "verify_key": HEXLOWER.encode(call.hub.fixed.key.verifying_key().as_bytes()), "team": null, "flags": flags,
        "tags": [], "redirect_uris": [], "interactions_endpoint_url": call.inner.tunables.interactions_url,
        "role_connections_verification_url": null, "approximate_guild_count": call.inner.guilds().count(),
    }))
}

pub(super) fn route(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    let Some((app, rest)) = segments.split_first() else { return Err(Refusal::no_route()) };
    if *app == "@me" {
        return if rest.is_empty() && call.method == "GET" {
            current(call)
        } else {
            Err(Refusal::no_route())
        };
    }
    if call.who != Who::Bot {
        return Err(Refusal::unauthorized());
    }
    if id(app)? != APPLICATION_ID {
        return Err(Refusal::code(10_002));
    }
    match (call.method, rest) {
        (_, ["commands", rest @ ..]) => commands::route(call, None, rest),
        (_, ["guilds", guild, "commands", rest @ ..]) => {
            let guild = id(guild)?;
            if call.inner.is_in(guild) {
                commands::route(call, Some(guild), rest)
            } else {
                Err(Refusal::code(50_001))
            }
        }
        ("GET", ["role-connections", "metadata"]) => ok(json!(call.inner.state.role_metadata)),
        ("PUT", ["role-connections", "metadata"]) => set_metadata(call),
        ("GET", ["entitlements"]) => entitlements(call),
        ("GET", ["skus"]) => ok(json!([])),
        _ => Err(Refusal::no_route()),
    }
}

/// List Entitlements, with the filters that an application has use for.
fn entitlements(call: &Call<'_>) -> Reply {
    let limit = call.limit(100, 100)?;
    let (after, before) = (call.number("after")?, call.number("before")?);
    let is = |name: &str, own: &Value| call.query.get(name).is_none_or(|asked| own == &json!(asked));
    let skus: Option<Vec<&str>> = call.query.get("sku_ids").map(|ids| ids.split(',').collect());
    let current = call.query.get("exclude_ended").is_some_and(|exclude| exclude == "true");
    let now = crate::time::iso(call.inner.now);
    let fits = |(id, own): &(&u64, &Value)| {
        is("user_id", &own["user_id"])
            && is("guild_id", &own["guild_id"])
            && after.is_none_or(|after| **id > after)
            && before.is_none_or(|before| **id < before)
            && skus.as_ref().is_none_or(|skus| own["sku_id"].as_str().is_some_and(|sku| skus.contains(&sku)))
            && !(current && own["ends_at"].as_str().is_some_and(|ends| ends <= now.as_str()))
    };
    let found = call.inner.state.entitlements.iter().filter(fits).take(limit);
    ok(Value::Array(found.map(|(_, own)| own.clone()).collect()))
}

fn set_metadata(call: &mut Call<'_>) -> Reply {
    let mut errors = Errors::default();
    check::check(call.body, &Kind::List(RECORDS, &Kind::Object(METADATA)), &mut Vec::new(), &mut errors);
    for (i, record) in call.body.as_array().into_iter().flatten().enumerate() {
        let key = record["key"].as_str().unwrap_or_default();
        if !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            errors.add(
                &[i.to_string(), "key".to_owned()],
                "STRING_TYPE_REGEX",
                "String value did not match validation regex.",
            );
        }
    }
    errors.into_result()?;
    let records: Vec<Value> = call.body.as_array().cloned().unwrap_or_default();
    call.inner.commit(vec![Change::RoleMetadata(records.clone())])?;
    ok(Value::Array(records))
}
