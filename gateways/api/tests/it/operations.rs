//! `/`, probes, the operator's addresses, the demo's.

use serde_json::{Value, json};

use crate::world::{ADA, Config, GUILD, World};

#[tokio::test]
async fn the_server_says_what_it_is_and_how_it_does() {
    let world = World::new().await;
    let about = world.get("/").empty().await.ok(200);
    assert_eq!((&about["name"], &about["mode"]), (&json!("DCA-Auth"), &json!("demo")));
    assert_eq!(world.get("/live").empty().await.ok(200)["status"], "ok");
    assert_eq!(world.get("/ready").empty().await.ok(200)["status"], "ready");
    let health = world.get("/health").empty().await.ok(200);
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["components"][0], json!({ "name": "store", "status": "ok", "latencyMs": 0.5 }));
}

#[tokio::test]
async fn the_operators_addresses_take_the_owners_token_only() {
    let world = World::new().await;
    assert_eq!(
        world.get("/_admin/status").token("operator").empty().await.ok(200)["url"],
        "http://127.0.0.1:1"
    );
    let busy = world.post("/_admin/verify").token("operator").empty().await;
    assert_eq!(busy.problem(409), "BUSY");
    let rebuild = async |body: Value| world.post("/_admin/rebuild").token("operator").json(&body).await;
    assert_eq!(rebuild(json!({ "name": "license_view" })).await.ok(200)["name"], "license_view");
    let odd = rebuild(json!({ "name": "odd" })).await;
    assert_eq!((odd.problem(422), odd.pointer()), ("INVALID_VALUE", "/name"));
    let secret = world.secret().await;
    let refused = world.post("/_admin/keys/license-1/activate").token("operator").empty().await;
    assert_eq!(refused.problem(409), "SECRET_NOT_KNOWN");
    for ask in [
        world.get("/_admin/status").token(ADA),
        world.get("/_admin/keys").token(ADA),
        world.get("/_admin/status").key(&secret),
    ] {
        assert_eq!(ask.empty().await.problem(403), "FORBIDDEN");
    }
    for path in ["/_admin/verify", "/_admin/keys", "/_demo/clock", "/_demo/members/observe"] {
        assert_eq!(world.post(path).token(ADA).json(&json!({})).await.problem(403), "FORBIDDEN", "{path}");
    }
}

#[tokio::test]
async fn the_demo_has_a_clock_and_members() {
    let world = World::new().await;
    let before = world.get("/_demo/clock").empty().await.ok(200)["now"].as_str().unwrap().to_owned();
    let moved =
        world.post("/_demo/clock").token("operator").json(&json!({ "advance": "P30D" })).await.ok(200);
    assert!(moved["now"].as_str().unwrap() > before.as_str());
    for (body, status) in
        [(json!({ "advance": "PT0S" }), 422), (json!({ "advance": "30 days" }), 400), (json!({}), 400)]
    {
        let reply = world.post("/_demo/clock").token("operator").json(&body).await;
        reply.problem(status);
        assert_eq!(reply.pointer(), "/advance");
    }
    let seen = world.observe(ADA, &[]).await;
    assert_eq!((&seen["guildId"], &seen["userId"]), (&json!(GUILD.to_string()), &json!(ADA)));
    let unknown = json!({ "guildId": "9", "userId": ADA, "roles": [] });
    assert_eq!(
        world.post("/_demo/members/observe").token("operator").json(&unknown).await.problem(404),
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn a_live_server_has_no_demo() {
    let world = World::with(Config { live: true, ..Config::default() }).await;
    assert_eq!(world.get("/").empty().await.ok(200)["mode"], "live");
    assert_eq!(world.get("/_demo/clock").token("operator").empty().await.problem(404), "NOT_FOUND");
    let reply = world.post("/_demo/members/observe").token("operator").json(&json!({})).await;
    assert_eq!(reply.problem(404), "NOT_FOUND");
}
