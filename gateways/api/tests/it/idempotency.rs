//! `Idempotency-Key`: a repeat has the answer of the first, and no effect.

use serde_json::{Value, json};

use crate::world::{ADA, Ask, GUILD, Reply, World};

#[track_caller]
fn same(first: &Reply, repeat: &Reply) {
    assert_eq!(repeat.status, first.status, "{repeat:?}");
    assert_eq!(repeat.header("idempotency-replayed"), Some("true"), "{repeat:?}");
    assert_eq!(first.header("idempotency-replayed"), None);
    let without_request = |body: &Value| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().remove("requestId");
        body
    };
    assert_eq!(without_request(&repeat.body), without_request(&first.body));
    assert_eq!(repeat.header("etag"), first.header("etag"));
    if first.status.is_success() {
        assert!(repeat.header("dca-position").is_some());
    }
}

/// Sends each call twice under one key.
async fn twice<'w>(ask: impl Fn(&str) -> Ask<'w>, calls: Vec<(String, Value)>) {
    for (n, (path, body)) in calls.iter().enumerate() {
        let call = async || ask(path).header("idempotency-key", &format!("k-{n}")).json(body).await;
        let first = call().await;
        assert!(first.status.is_success(), "{path}: {first:?}");
        same(&first, &call().await);
    }
}

#[tokio::test]
async fn every_write_to_a_license_is_answered_again() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, key) = world.license("pro").await;
    let (other, _) = world.license("team").await;
    let device = json!({ "key": key, "deviceId": "a" });
    let on = |what: &str, body: Value| (format!("/licenses/{id}/{what}"), body);
    let calls = vec![
        ("/licenses/activate".to_owned(), device.clone()),
        ("/licenses/deactivate".to_owned(), device),
        on("assign", json!({ "userId": ADA })),
        on("suspend", json!({})),
        on("resume", json!({})),
        on("rekey", json!({})),
        (format!("/licenses/{other}/renew"), json!({ "for": "P1D" })),
        on("metadata", json!({ "metadata": { "a": 1 } })),
        on("terms", json!({ "terms": { "maxDevices": 5 } })),
        on("revoke", json!({ "category": "abuse" })),
    ];
    twice(|path| world.post(path).key(&secret), calls).await;
}

#[tokio::test]
async fn every_write_elsewhere_is_answered_again() {
    let world = World::new().await;
    let generate = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 30, "assignTo": ADA });
    let calls = vec![
        ("/admin/licenses/generate".to_owned(), generate),
        (format!("/guilds/{GUILD}/license-types"), json!({ "slug": "gold", "name": "Gold" })),
        (format!("/guilds/{GUILD}/role-rules"), json!({ "roleId": "9", "type": "pro" })),
        (format!("/guilds/{GUILD}/api-keys"), json!({ "kind": "secret" })),
        (format!("/admin/users/{ADA}/ban"), json!({ "reason": "x" })),
        (format!("/admin/users/{ADA}/unban"), json!({})),
    ];
    twice(|path| world.post(path).token("operator"), calls).await;
}

#[tokio::test]
async fn a_repeat_shows_the_state_of_its_own_write() {
    let world = World::new().await;
    let (id, _) = world.license("pro").await;
    let suspend = async || {
        let ask =
            world.post(&format!("/licenses/{id}/suspend")).token("operator").header("idempotency-key", "one");
        ask.empty().await
    };
    let first = suspend().await;
    world.post(&format!("/licenses/{id}/resume")).token("operator").empty().await.ok(200);
    same(&first, &suspend().await);
    let now = world.get(&format!("/licenses/{id}")).token("operator").empty().await.ok(200);
    assert_eq!(now["status"], "generated");
}

#[tokio::test]
async fn refusals_are_repeated_and_faults_of_the_request_are_not() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let (id, key) = world.license("pro").await;
    world.post(&format!("/licenses/{id}/suspend")).token("operator").empty().await.ok(200);
    let call = async |body: Value| {
        world.post("/licenses/activate").key(&api_key).header("idempotency-key", "x").json(&body).await
    };
    assert_eq!(call(json!({ "key": key })).await.problem(400), "INVALID_REQUEST");
    let body = json!({ "key": key, "deviceId": "a" });
    let first = call(body.clone()).await;
    assert_eq!(first.problem(409), "SUSPENDED");
    world.post(&format!("/licenses/{id}/resume")).token("operator").empty().await.ok(200);
    same(&first, &call(body).await);
}

#[tokio::test]
async fn another_payload_is_refused_and_another_credential_is_another_key() {
    let world = World::new().await;
    let (one, two) = (world.publishable().await, world.publishable().await);
    let (_, key) = world.license("pro").await;
    let call = async |api_key: &str, device: &str| {
        let body = json!({ "key": key, "deviceId": device });
        world.post("/licenses/activate").key(api_key).header("idempotency-key", "same").json(&body).await
    };
    call(&one, "a").await.ok(201);
    assert_eq!(call(&one, "b").await.problem(422), "IDEMPOTENCY_KEY_REUSED");
    call(&two, "b").await.ok(201);
}

#[tokio::test]
async fn a_twin_in_flight_never_acts_twice() {
    let world = World::new().await;
    let call = async || {
        let body = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 200 });
        world
            .post("/admin/licenses/generate")
            .token("operator")
            .header("idempotency-key", "bulk")
            .json(&body)
            .await
    };
    let (a, b) = tokio::join!(call(), call());
    let (first, twin) = if a.status == 201 { (a, b) } else { (b, a) };
    first.names_each_once();
    if twin.status == 201 {
        assert_eq!(twin.body, first.body);
    } else {
        assert_eq!(twin.problem(409), "IDEMPOTENCY_IN_FLIGHT");
        assert_eq!(twin.header("retry-after"), Some("1"));
    }
    world.settled().await;
    let listed = world.get("/licenses?limit=200").token("operator").empty().await.ok(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 200);
    assert_eq!(listed["nextCursor"], Value::Null);
}

impl Reply {
    /// Checks that a bulk answer names each license once.
    #[track_caller]
    fn names_each_once(&self) {
        let ids: std::collections::BTreeSet<&str> =
            self.body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 200);
    }
}

#[tokio::test]
async fn validate_and_heartbeat_pay_no_attention_to_the_key() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    for text in ["x", "y"] {
        let ask = world.post("/licenses/validate").key(&api_key).header("idempotency-key", "same");
        let reply = ask.json(&json!({ "key": text })).await;
        assert_eq!(reply.header("idempotency-replayed"), None);
        reply.ok(200);
    }
    for bad in ["", "ü", &"x".repeat(256)] {
        let ask = world.post("/licenses/redeem").token(ADA).header("idempotency-key", bad);
        let reply = ask.json(&json!({ "key": "x" })).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", "Idempotency-Key"));
    }
}
