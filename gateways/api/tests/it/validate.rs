//! `POST /licenses/validate`: the verdicts as they are answered, and who sees what.

use domain::time::Span;
use serde_json::{Value, json};

use crate::world::{ADA, GUILD, OTHER_GUILD, World};

async fn verdict(world: &World, api_key: &str, body: Value) -> Value {
    world.post("/licenses/validate").key(api_key).json(&body).await.ok(200)
}

#[tokio::test]
async fn a_valid_key_is_answered_with_license_and_device() {
    let world = World::new().await;
    let api_key = world.secret().await;
    let (id, key) = world.license_of("pro", ADA).await;
    let asked = json!({ "key": key, "deviceId": "pc-1", "deviceName": "Desk" });
    world.post("/licenses/activate").key(&api_key).json(&asked).await.ok(201);
    let body = json!({ "key": key, "deviceId": "pc-1", "type": "pro", "entitlements": [], "nonce": "n-1" });
    let answer = verdict(&world, &api_key, body).await;
    assert_eq!(answer["valid"], true);
    assert_eq!(answer["code"], "VALID");
    assert_eq!(answer["nonce"], "n-1");
    assert_eq!(answer["degraded"], false);
    assert!(answer["position"].as_str().unwrap().starts_with("00112233445566aa."));
    assert!(answer["timestamp"].as_str().unwrap().ends_with('Z'));
    let license = &answer["license"];
    assert_eq!(license["id"], id.as_str());
    assert_eq!(license["guildId"], GUILD.to_string());
    assert_eq!(license["userId"], ADA);
    assert_eq!((&license["maxDevices"], &license["deviceCount"]), (&json!(2), &json!(1)));
    assert_eq!(license["keyVersion"], 0);
    let device = &answer["device"];
    assert_eq!(device["licenseId"], id.as_str());
    assert_eq!(device["deviceId"], "pc-1");
    assert_eq!(device["deviceName"], "Desk");
    assert_eq!(device["lastSeen"], answer["timestamp"]);
    let members: Vec<&String> = license.as_object().unwrap().keys().collect();
    assert_eq!(members.len(), 19, "{members:?}");
}

#[tokio::test]
async fn a_publishable_key_sees_neither_owner_nor_private_metadata() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let request = json!({
        "guildId": GUILD.to_string(), "type": "team", "count": 1, "assignTo": ADA,
        "metadata": { "plan": "gold" }, "privateMetadata": { "note": "x" },
    });
    let (_, key) = world.licenses(request).await.remove(0);
    let answer = verdict(&world, &api_key, json!({ "key": key })).await;
    assert_eq!(answer["license"]["metadata"], json!({ "plan": "gold" }));
    assert_eq!(answer["license"].get("userId"), None);
    assert_eq!(answer["license"].get("privateMetadata"), None);
    let secret = world.secret().await;
    let answer = verdict(&world, &secret, json!({ "key": key })).await;
    assert_eq!(answer["license"]["privateMetadata"], json!({ "note": "x" }));
}

#[tokio::test]
async fn keys_that_open_nothing_are_answers_without_a_license() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let (id, key) = world.license("team").await;
    let typo = key.replace(&key[key.len() - 6..], "000000");
    let foreign = world.api_key(OTHER_GUILD, json!({ "kind": "publishable" })).await;
    for (api_key, text, code) in [
        (&api_key, typo.as_str(), "MALFORMED_KEY"),
        (&api_key, "x", "MALFORMED_KEY"),
        (&foreign, key.as_str(), "NOT_FOUND"),
    ] {
        let answer = verdict(&world, api_key, json!({ "key": text })).await;
        assert_eq!((&answer["code"], &answer["valid"]), (&json!(code), &json!(false)));
        assert_eq!((&answer["license"], &answer["device"]), (&Value::Null, &Value::Null));
    }
    world.post(&format!("/licenses/{id}/rekey")).token("operator").empty().await.ok(200);
    let answer = verdict(&world, &api_key, json!({ "key": key })).await;
    assert_eq!((&answer["code"], &answer["license"]), (&json!("KEY_SUPERSEDED"), &Value::Null));
}

#[tokio::test]
async fn what_the_license_says_is_answered_at_once() {
    let world = World::new().await;
    let api_key = world.secret().await;
    let (id, key) = world.license("team").await;
    let code = async |body: Value| verdict(&world, &api_key, body).await["code"].as_str().unwrap().to_owned();
    assert_eq!(code(json!({ "key": key })).await, "VALID");
    assert_eq!(code(json!({ "key": key, "type": "pro" })).await, "TYPE_MISMATCH");
    assert_eq!(code(json!({ "key": key, "entitlements": ["export"] })).await, "ENTITLEMENTS_MISSING");
    assert_eq!(code(json!({ "key": key, "deviceId": "pc" })).await, "DEVICE_NOT_ACTIVATED");
    let (_, pro) = world.license("pro").await;
    assert_eq!(code(json!({ "key": pro })).await, "DEVICE_REQUIRED");
    world.post(&format!("/licenses/{id}/suspend")).token("operator").empty().await.ok(200);
    assert_eq!(code(json!({ "key": key })).await, "SUSPENDED");
    world.post(&format!("/licenses/{id}/resume")).token("operator").empty().await.ok(200);
    world.advance(Span::days(31));
    assert_eq!(code(json!({ "key": key })).await, "IN_GRACE");
    world.advance(Span::days(3));
    assert_eq!(code(json!({ "key": key })).await, "EXPIRED");
    let revoke = json!({ "category": "refund", "reason": "paid back" });
    world.post(&format!("/licenses/{id}/revoke")).token("operator").json(&revoke).await.ok(200);
    let answer = verdict(&world, &api_key, json!({ "key": key })).await;
    assert_eq!((&answer["code"], &answer["detail"]), (&json!("REVOKED"), &json!("refund")));
    assert_eq!(answer["license"]["status"], "revoked");
}

#[tokio::test]
async fn validation_takes_an_api_key_with_the_scope_only() {
    let world = World::new().await;
    let body = json!({ "key": "x" });
    let reply = world.post("/licenses/validate").token("operator").json(&body).await;
    assert_eq!(reply.problem(403), "FORBIDDEN");
    let narrow = world.api_key(GUILD, json!({ "kind": "secret", "scopes": ["activate"] })).await;
    let reply = world.post("/licenses/validate").key(&narrow).json(&body).await;
    assert_eq!(reply.problem(403), "MISSING_SCOPE");
    assert!(reply.body["detail"].as_str().unwrap().contains("`validate`"));
}
