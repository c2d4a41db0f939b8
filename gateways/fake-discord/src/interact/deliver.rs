//! Brings an interaction to the application: over the gateway, or signed to its URL, never both. Also finds out, as
//! Discord does, whether a URL checks signatures before it is accepted.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ed25519_dalek::Signer;
use serde_json::{Value, json};

use super::build::Made;
use crate::hub::Hub;
use crate::rest::accept_callback;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Registers the interaction and sends it off; does not wait for the answer.
pub(crate) fn send(hub: &Arc<Hub>, made: Made) {
    let Made { pending, object } = made;
    let id = pending.id;
    let guild = object["guild_id"].as_str().and_then(|id| id.parse().ok());
    let mut inner = hub.lock();
    inner.interactions.add(pending);
    let Some(url) = inner.tunables.interactions_url.clone() else {
        inner.dispatch(guild, 0, "INTERACTION_CREATE", &object);
        return;
    };
    drop(inner);
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        let Some((status, body)) = post(&hub, &url, &object, true).await else { return };
        let mut inner = hub.lock();
        let now = inner.now;
        let mut entry = json!({"interactionId": id.to_string(), "status": status, "url": url});
        if status == 200
            && let Err(refusal) = accept_callback(&mut inner, id, &body, json!([]))
        {
            entry["refused"] = json!(refusal.status);
        }
        entry["body"] = body;
        inner.journal.add(now, "interaction", entry);
        drop(inner);
        hub.changed.notify_waiters();
    });
}

/// Whether the URL answers PING, and refuses one that is signed wrongly; else what it did.
pub(crate) async fn probe(hub: &Hub, url: &str) -> Result<(), String> {
    let ping = json!({
        "id": "1", "application_id": crate::settings::APPLICATION_ID.to_string(), "type": 1, "token": "ping",
        "version": 1, "user": null, "entitlements": [],
    });
    match post(hub, url, &ping, true).await {
        Some((200, body)) if body["type"] == json!(1) => {}
        Some((status, _)) => return Err(format!("the URL answered PING with {status} instead of PONG")),
        None => return Err("the URL cannot be reached".to_owned()),
    }
    match post(hub, url, &ping, false).await {
        Some((401, _)) => Ok(()),
        Some((status, _)) => Err(format!("the URL answered a wrong signature with {status} instead of 401")),
        None => Err("the URL cannot be reached".to_owned()),
    }
}

/// One signed POST; status and JSON of the answer.
async fn post(hub: &Hub, url: &str, object: &Value, honest: bool) -> Option<(u16, Value)> {
    let body = object.to_string();
    let timestamp = (hub.fixed.hooks.now_ms() / 1_000).to_string();
    let mut signature = hub.fixed.key.sign(format!("{timestamp}{body}").as_bytes()).to_bytes();
    if !honest {
        signature[0] ^= 0xFF;
    }
    let request = hub
        .fixed
        .http
        .post(url)
        .timeout(TIMEOUT)
        .header("content-type", "application/json")
        .header("user-agent", "Discord-Interactions/1.0 (+https://discord.com)")
        .header("x-signature-ed25519", HEXLOWER.encode(&signature))
        .header("x-signature-timestamp", timestamp)
        .body(body);
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}
