//! Control of entitlements: what accounts bought from Discord, as subscriptions do it: CREATE at the start, UPDATE when
//! an end is known, DELETE on a refund (monetization/implementing-app-subscriptions).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Id, Outcome, Problem, id};
use crate::settings::APPLICATION_ID;
use crate::time::iso;
use crate::world::state::Change;

/// An entitlement of a subscription.
const APPLICATION_SUBSCRIPTION: u64 = 8;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Start {
    user_id: Id,
    sku_id: Id,
    guild_id: Option<Id>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct End {
    /// Unix milliseconds.
    ends_at_ms: Option<i64>,
}

pub(super) fn route(call: &Call<'_>, segments: &[&str]) -> Outcome {
    match (call.method, segments) {
        ("GET", []) => Ok((200, call.hub.lock().state.entitlements.values().cloned().collect())),
        ("POST", []) => start(call),
        ("PUT", [entitlement]) => {
            let body: End = call.body()?;
            change(call, id(entitlement)?, "ENTITLEMENT_UPDATE", |own| {
                own["ends_at"] = json!(body.ends_at_ms.map(iso));
            })
        }
        ("DELETE", [entitlement]) => {
            change(call, id(entitlement)?, "ENTITLEMENT_DELETE", |own| own["deleted"] = json!(true))
        }
        _ => Err(Problem::new(404, "unknown route under /entitlements")),
    }
}

fn start(call: &Call<'_>) -> Outcome {
    let body: Start = call.body()?;
    let mut inner = call.hub.lock();
    if !inner.state.accounts.contains_key(&body.user_id.0) {
        return Err(Problem::unknown(format!("user {}", body.user_id.0)));
    }
    let id = inner.next_id();
    let mut entitlement = json!({
        "id": id.to_string(), "sku_id": body.sku_id.0.to_string(), "application_id": APPLICATION_ID.to_string(),
        "user_id": body.user_id.0.to_string(), "type": APPLICATION_SUBSCRIPTION, "deleted": false, "consumed": false,
        "starts_at": iso(inner.now), "ends_at": null,
    });
    if let Some(guild) = body.guild_id {
        entitlement["guild_id"] = json!(guild.0.to_string());
    }
    inner.commit(vec![Change::Entitlement { id, entitlement: entitlement.clone() }])?;
    // Entitlements have no intent and go to shard 0, whatever the guild.
    inner.dispatch(None, 0, "ENTITLEMENT_CREATE", &entitlement);
    Ok((201, entitlement))
}

fn change(call: &Call<'_>, id: u64, name: &str, how: impl FnOnce(&mut Value)) -> Outcome {
    let mut inner = call.hub.lock();
    let known = inner.state.entitlements.get(&id).cloned();
    let mut entitlement = known.ok_or_else(|| Problem::unknown(format!("entitlement {id}")))?;
    how(&mut entitlement);
    let gone = entitlement["deleted"] == json!(true);
    let step = if gone {
        Change::EntitlementGone { id }
    } else {
        Change::Entitlement { id, entitlement: entitlement.clone() }
    };
    inner.commit(vec![step])?;
    inner.dispatch(None, 0, name, &entitlement);
    Ok(if gone { (204, Value::Null) } else { (200, entitlement) })
}
