//! Slots that staff block: roles give no license of the type any more, and the one that they gave ends.

use domain::id::RoleId;
use serde_json::{Value, json};

use crate::world::{ADA, GRACE, GUILD, Reply, World};

const ROLE: RoleId = RoleId(42);

async fn with_rule() -> World {
    let world = World::new().await;
    let rule = json!({ "roleId": ROLE.to_string(), "type": "pro" });
    world.post(&format!("/guilds/{GUILD}/role-rules")).token(GRACE).json(&rule).await.ok(201);
    world
}

async fn post(world: &World, what: &str, body: Value) -> Reply {
    world.post(&format!("/guilds/{GUILD}/members/{ADA}/{what}")).token(GRACE).json(&body).await
}

#[tokio::test]
async fn a_blocked_slot_has_no_license_until_it_is_unblocked() {
    let world = with_rule().await;
    let seen = world.observe(ADA, &[ROLE]).await;
    let license = seen["licenses"][0]["id"].as_str().unwrap().to_owned();
    let blocked = post(&world, "block", json!({ "type": "pro", "reason": "resold" })).await;
    assert!(blocked.header("etag").is_some() && blocked.header("dca-position").is_some());
    let slot = &blocked.ok(200)["slots"][0];
    assert_eq!((&slot["blocked"], &slot["open"]), (&json!(true), &json!(false)));
    let path = format!("/licenses/{license}");
    assert_eq!(world.get(&path).token(GRACE).empty().await.ok(200)["status"], "revoked");
    let history = world.get(&format!("{path}/history")).token(GRACE).empty().await.ok(200);
    let last = history["data"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["type"], &last["data"]["category"], &last["reason"]),
        (&json!("license.revoked"), &json!("manual"), &json!("resold"))
    );
    // The role stays, and gives nothing.
    let seen = world.observe(ADA, &[ROLE]).await;
    assert_eq!(seen["licenses"].as_array().unwrap().len(), 1, "{seen:#}");
    assert_eq!(seen["licenses"][0]["status"], "revoked");
    // Again is no change.
    let head = world.queries.current_head().await.unwrap();
    post(&world, "block", json!({ "type": "pro" })).await.ok(200);
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    post(&world, "unblock", json!({ "type": "pro" })).await.ok(200);
    let seen = world.observe(ADA, &[ROLE]).await;
    let live = seen["licenses"].as_array().unwrap().iter().find(|one| one["status"] != "revoked").unwrap();
    assert_ne!(live["id"].as_str().unwrap(), license, "the next generation is another license");
}

#[tokio::test]
async fn a_slot_whose_license_is_gone_is_blocked_all_the_same() {
    let world = with_rule().await;
    world.observe(ADA, &[ROLE]).await;
    world.observe(ADA, &[]).await;
    let head = world.queries.current_head().await.unwrap();
    let slot = post(&world, "block", json!({ "type": "pro" })).await.ok(200)["slots"][0].clone();
    assert_eq!((&slot["blocked"], &slot["open"]), (&json!(true), &json!(false)));
    assert_eq!(world.queries.current_head().await.unwrap(), head + 1, "nothing but the block is written");
    let seen = world.observe(ADA, &[ROLE]).await;
    assert!(seen["licenses"].as_array().unwrap().iter().all(|one| one["status"] == "revoked"), "{seen:#}");
}

#[tokio::test]
async fn a_block_is_done_once_for_a_key_and_only_where_there_is_a_slot() {
    let world = with_rule().await;
    let path = format!("/guilds/{GUILD}/members/{ADA}/block");
    let body = json!({ "type": "pro" });
    assert_eq!(post(&world, "block", body.clone()).await.problem(404), "NOT_FOUND");
    world.observe(ADA, &[ROLE]).await;
    assert_eq!(post(&world, "block", json!({ "type": "none" })).await.problem(409), "SLOT_NOT_FOUND");
    assert_eq!(post(&world, "block", json!({})).await.problem(400), "INVALID_REQUEST");
    assert_eq!(post(&world, "block", json!({ "type": "pro", "x": 1 })).await.problem(400), "INVALID_REQUEST");
    let stale = world.post(&path).token(GRACE).header("if-match", "\"1\"").json(&body).await;
    assert_eq!(stale.problem(412), "VERSION_MISMATCH");
    let first = world.post(&path).token(GRACE).header("idempotency-key", "k").json(&body).await.ok(200);
    let again = world.post(&path).token(GRACE).header("idempotency-key", "k").json(&body).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(200), first);
    // It ends a license, so a key needs the scope for that.
    let writes = world.api_key(GUILD, json!({ "kind": "secret", "scopes": ["licenses:write"] })).await;
    assert_eq!(world.post(&path).key(&writes).json(&body).await.problem(403), "MISSING_SCOPE");
}
