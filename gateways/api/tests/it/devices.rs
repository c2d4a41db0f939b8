//! Activating, using, naming and freeing devices.

use domain::time::Span;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, OTHER_GUILD, World};

#[tokio::test]
async fn a_device_is_activated_once_and_recognised_after() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let (id, key) = world.license("pro").await;
    let asked = json!({ "key": key, "deviceId": "a", "deviceName": "One", "components": [{ "name": "cpu", "value": "x" }] });
    let first = world.post("/licenses/activate").key(&api_key).json(&asked).await;
    assert_eq!(first.header("etag"), Some("\"2\""));
    assert!(first.header("dca-position").unwrap().starts_with("00112233445566aa."));
    let first = first.ok(201);
    assert_eq!(first["license"]["status"], "activated");
    assert_eq!(first["license"].get("userId"), None);
    assert_eq!(first["device"]["deviceName"], "One");
    let again = world.post("/licenses/activate").key(&api_key).json(&asked).await.ok(200);
    assert_eq!(again["device"]["id"], first["device"]["id"]);
    world
        .post("/licenses/activate")
        .key(&api_key)
        .json(&json!({ "key": key, "deviceId": "b" }))
        .await
        .ok(201);
    let full =
        world.post("/licenses/activate").key(&api_key).json(&json!({ "key": key, "deviceId": "c" })).await;
    assert_eq!(full.problem(409), "DEVICE_LIMIT_REACHED");
    assert!(full.body["detail"].as_str().unwrap().contains(&"deactivate".to_owned()));
    let listed = world.get(&format!("/licenses/{id}/devices")).token("operator").empty().await.ok(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    assert_eq!(listed["nextCursor"], Value::Null);
}

const WITH_KEY: [&str; 3] = ["/licenses/activate", "/licenses/heartbeat", "/licenses/deactivate"];

#[tokio::test]
async fn a_key_that_opens_nothing_is_a_400_or_a_404() {
    let world = World::new().await;
    let api_key = world.secret().await;
    let foreign = world.api_key(OTHER_GUILD, json!({ "kind": "secret" })).await;
    let (id, key) = world.license("pro").await;
    for path in WITH_KEY {
        let ask = async |api_key: &str, key: &str| {
            world.post(path).key(api_key).json(&json!({ "key": key, "deviceId": "a" })).await
        };
        assert_eq!(ask(&api_key, "DCA-nonsense").await.problem(400), "MALFORMED_KEY", "{path}");
        assert_eq!(ask(&foreign, &key).await.problem(404), "NOT_FOUND", "{path}");
    }
    world.post(&format!("/licenses/{id}/rekey")).token("operator").empty().await.ok(200);
    let body = json!({ "key": key, "deviceId": "a" });
    for path in WITH_KEY {
        assert_eq!(world.post(path).key(&api_key).json(&body).await.problem(404), "KEY_SUPERSEDED", "{path}");
    }
}

#[tokio::test]
async fn every_other_verdict_is_a_409_where_a_decision_is_no_answer() {
    let world = World::new().await;
    let api_key = world.secret().await;
    let (id, key) = world.license("pro").await;
    let body = json!({ "key": key, "deviceId": "a" });
    let ask = async |path: &str| world.post(path).key(&api_key).json(&body).await;
    assert_eq!(ask("/licenses/heartbeat").await.problem(409), "DEVICE_NOT_ACTIVATED");
    assert_eq!(ask("/licenses/deactivate").await.problem(409), "DEVICE_NOT_ACTIVATED");
    world.post(&format!("/licenses/{id}/suspend")).token("operator").empty().await.ok(200);
    assert_eq!(ask("/licenses/activate").await.problem(409), "SUSPENDED");
    assert_eq!(ask("/licenses/heartbeat").await.problem(409), "SUSPENDED");
}

#[tokio::test]
async fn a_heartbeat_is_seen_and_a_device_can_give_its_slot_back() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let (id, key) = world.license("pro").await;
    let body = json!({ "key": key, "deviceId": "a" });
    world.post("/licenses/activate").key(&api_key).json(&body).await.ok(201);
    world.advance(Span::hours(2));
    let beat = world.post("/licenses/heartbeat").key(&api_key).json(&body).await.ok(200);
    let listed = world.get(&format!("/licenses/{id}/devices")).token("operator").empty().await.ok(200);
    assert_eq!(listed["data"][0]["lastSeen"], beat["device"]["lastSeen"]);
    assert_ne!(listed["data"][0]["lastSeen"], listed["data"][0]["activatedAt"]);
    let freed = world.post("/licenses/deactivate").key(&api_key).json(&body).await.ok(200);
    assert_eq!(freed["deviceCount"], 0);
}

#[tokio::test]
async fn an_owner_renames_and_frees_devices_within_limits_and_staff_without() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let (id, key) = world.license_of("pro", ADA).await;
    for device in ["a", "b"] {
        world
            .post("/licenses/activate")
            .key(&api_key)
            .json(&json!({ "key": key, "deviceId": device }))
            .await
            .ok(201);
    }
    let rename = json!({ "deviceName": "Laptop" });
    let path = format!("/licenses/{id}/devices/a");
    let renamed = world.patch(&path).token(ADA).json(&rename).await.ok(200);
    assert_eq!((&renamed["deviceId"], &renamed["deviceName"]), (&json!("a"), &json!("Laptop")));
    assert_eq!(world.patch(&path).token(BOB).json(&rename).await.problem(404), "NOT_FOUND");
    let unknown = world.patch(&format!("/licenses/{id}/devices/zz")).token(ADA).json(&rename).await;
    assert_eq!(unknown.problem(404), "NOT_FOUND");
    let free = format!("/licenses/{id}/deactivate");
    let nothing = world.delete(&free).token(ADA).empty().await;
    assert_eq!((nothing.problem(400), nothing.pointer()), ("INVALID_REQUEST", "?deviceId"));
    let both = world.delete(&format!("{free}?deviceId=a&all=true")).token(ADA).empty().await;
    assert_eq!(both.problem(400), "INVALID_REQUEST");
    let freed = world.delete(&format!("{free}?deviceId=a")).token(ADA).empty().await.ok(200);
    assert_eq!(freed["deviceCount"], 1);
    let soon = world.delete(&format!("{free}?deviceId=b")).token(ADA).empty().await;
    assert_eq!(soon.problem(409), "RESET_COOLDOWN");
    let freed = world.delete(&format!("{free}?all=true")).token("operator").empty().await.ok(200);
    assert_eq!(freed["deviceCount"], 0);
}

#[tokio::test]
async fn an_owner_activates_with_his_token_and_nobody_else_does() {
    let world = World::new().await;
    let (_, key) = world.license_of("pro", ADA).await;
    let body = json!({ "key": key, "deviceId": "a" });
    let answer = world.post("/licenses/activate").token(ADA).json(&body).await.ok(201);
    assert_eq!(answer["license"]["userId"], ADA);
    assert_eq!(answer["license"].get("privateMetadata"), None);
    assert_eq!(world.post("/licenses/activate").token(BOB).json(&body).await.problem(404), "NOT_FOUND");
    assert_eq!(world.post("/licenses/heartbeat").token(ADA).json(&body).await.problem(403), "FORBIDDEN");
}
