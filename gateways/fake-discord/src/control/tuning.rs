//! Control of settings, limits, faults, clock and jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Call, Outcome, Problem};
use crate::faults::Fault;
use crate::interact::deliver;
use crate::limits::Limit;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsBody {
    heartbeat_interval_ms: Option<u64>,
    denied_intents: Option<u64>,
    refuse_resume: Option<bool>,
    identify_remaining: Option<u64>,
    reset_after_ms: Option<u64>,
    ack_heartbeats: Option<bool>,
    replay_max: Option<usize>,
    /// `null` goes back to the gateway.
    #[serde(default, deserialize_with = "given")]
    interactions_url: Option<Option<String>>,
    member_intent: Option<bool>,
    shards: Option<u64>,
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) async fn settings(call: &Call<'_>) -> Outcome {
    match call.method {
        "GET" => {}
        "PUT" => {
            let body: SettingsBody = call.body()?;
            if let Some(Some(url)) = &body.interactions_url {
                if !is_loopback(url) {
                    return Err(Problem::new(400, "interactionsUrl must be an http URL of this machine"));
                }
                deliver::probe(call.hub, url).await.map_err(|why| Problem::new(400, why))?;
            }
            if body.heartbeat_interval_ms == Some(0) || body.shards == Some(0) {
                return Err(Problem::new(400, "heartbeatIntervalMs and shards must be above 0"));
            }
            let mut inner = call.hub.lock();
            let own = &mut inner.tunables;
            own.heartbeat_interval_ms = body.heartbeat_interval_ms.unwrap_or(own.heartbeat_interval_ms);
            own.denied_intents = body.denied_intents.unwrap_or(own.denied_intents);
            own.refuse_resume = body.refuse_resume.unwrap_or(own.refuse_resume);
            own.identify_remaining = body.identify_remaining.unwrap_or(own.identify_remaining);
            own.reset_after_ms = body.reset_after_ms.unwrap_or(own.reset_after_ms);
            own.ack_heartbeats = body.ack_heartbeats.unwrap_or(own.ack_heartbeats);
            own.replay_max = body.replay_max.unwrap_or(own.replay_max);
            own.member_intent = body.member_intent.unwrap_or(own.member_intent);
            own.shards = body.shards.unwrap_or(own.shards);
            if let Some(url) = body.interactions_url {
                own.interactions_url = url;
            }
        }
        _ => return Err(Problem::new(404, "unknown route; /settings takes GET and PUT")),
    }
    Ok((200, json!(call.hub.lock().tunables)))
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    url.scheme() == "http" && matches!(host, "127.0.0.1" | "[::1]" | "localhost")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    buckets: Option<BTreeMap<String, Option<Limit>>>,
    global: Option<Limit>,
    enabled: Option<bool>,
}

pub(super) fn limits(call: &Call<'_>) -> Outcome {
    let mut inner = call.hub.lock();
    let limits = &mut inner.limits;
    match call.method {
        "GET" => {}
        "PUT" => {
            let body: LimitsBody = call.body()?;
            for (route, limit) in body.buckets.unwrap_or_default() {
                if !route.contains(" /") {
                    return Err(Problem::new(400, format!("the bucket {route:?} is not \"METHOD /path\"")));
                }
                match limit {
                    Some(limit) => limits.buckets.insert(route, limit),
                    None => limits.buckets.remove(&route),
                };
            }
            limits.global = body.global.unwrap_or(limits.global);
            limits.enabled = body.enabled.unwrap_or(limits.enabled);
            limits.restart();
        }
        _ => return Err(Problem::new(404, "unknown route; /limits takes GET and PUT")),
    }
    Ok((200, limits.shown()))
}

pub(super) fn faults(call: &Call<'_>) -> Outcome {
    let mut inner = call.hub.lock();
    match call.method {
        "GET" => Ok((200, json!(inner.faults.all()))),
        "POST" => {
            let fault: Fault = call.body()?;
            if let Some(problem) = fault.problem() {
                return Err(Problem::new(400, problem));
            }
            let added = inner.faults.add(fault).ok_or_else(|| Problem::new(400, "too many faults wait"))?;
            Ok((201, json!(added)))
        }
        "DELETE" => {
            inner.faults.clear();
            Ok((204, Value::Null))
        }
        _ => Err(Problem::new(404, "unknown route; /faults takes GET, POST and DELETE")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    #[serde(rename = "advanceS")]
    advance_s: u64,
}

pub(super) async fn clock(call: &Call<'_>) -> Outcome {
    if call.method == "POST" {
        let body: Advance = call.body()?;
        call.hub.fixed.hooks.advance(body.advance_s).await.map_err(|why| Problem::new(400, why))?;
    }
    let now = call.hub.fixed.hooks.now_ms();
    Ok((200, json!({"nowMs": now, "now": crate::time::iso(now)})))
}

pub(super) async fn job(call: &Call<'_>, name: &str) -> Outcome {
    match call.hub.fixed.hooks.run_job(name).await {
        Ok(Some(result)) => Ok((200, result)),
        Ok(None) => Err(Problem::unknown(format!("job {name}"))),
        Err(why) => Err(Problem::new(500, why)),
    }
}
