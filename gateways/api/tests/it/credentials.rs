//! Credentials: what is taken, what is refused and how.

use domain::time::Span;
use serde_json::json;

use crate::world::{ADA, World};

#[tokio::test]
async fn every_address_asks_for_a_credential() {
    let world = World::new().await;
    let id = "00000000-0000-4000-8000-000000000000";
    for path in [
        "/licenses",
        &format!("/licenses/{id}"),
        &format!("/licenses/{id}/history"),
        "/admin/audit-log",
        "/admin/licenses/export",
        "/guilds/1",
        "/_admin/status",
        "/_admin/keys",
    ] {
        let reply = world.get(path).empty().await;
        assert_eq!(reply.problem(401), "CREDENTIAL_REQUIRED", "{path}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
    for path in [
        "/licenses/validate",
        "/licenses/activate",
        "/licenses/heartbeat",
        "/licenses/deactivate",
        "/licenses/redeem",
        "/admin/licenses/generate",
        "/admin/licenses/revoke",
        "/admin/licenses/import",
        "/admin/users/1/ban",
        "/_admin/verify",
        "/_admin/keys",
        "/_admin/keys/rotate",
        "/_admin/keys/license-0/activate",
        "/_admin/keys/license-0/retire",
        "/_demo/clock",
    ] {
        assert_eq!(world.post(path).json(&json!({})).await.problem(401), "CREDENTIAL_REQUIRED", "{path}");
    }
}

#[tokio::test]
async fn forged_and_altered_credentials_are_refused_without_a_look_at_the_database() {
    let world = World::new().await;
    let good = world.secret().await;
    let last = if good.ends_with('A') { 'B' } else { 'A' };
    let altered = format!("{}{last}", &good[..good.len() - 1]);
    let publishable = good.replace("dca_sec_", "dca_pub_");
    let before = world.queries.sql_statements();
    for bad in [altered.as_str(), &publishable, "dca_sec_", "dca_sec_x", "x", ""] {
        let reply = world.get("/licenses").key(bad).empty().await;
        assert_eq!(reply.problem(401), "INVALID_CREDENTIAL", "{bad}");
        assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
    }
    for bad in ["Bearer a.b.c", "Bearer", "Basic abc", "Bearer "] {
        let reply = world.get("/licenses").header("authorization", bad).empty().await;
        assert_eq!(reply.problem(401), "INVALID_CREDENTIAL", "{bad}");
    }
    assert_eq!(world.queries.sql_statements(), before);
    let bearer = format!("Bearer {good}");
    world.get("/licenses").header("authorization", &bearer).empty().await.ok(200);
    let two = world.get("/licenses").key(&good).token("operator").empty().await;
    assert_eq!(two.problem(400), "INVALID_REQUEST");
}

#[tokio::test]
async fn tokens_follow_the_movable_clock() {
    let world = World::new().await;
    let token = format!("Bearer {}", world.token(ADA));
    world.get("/licenses").header("authorization", &token).empty().await.ok(200);
    world.advance(Span::seconds(361));
    let reply = world.get("/licenses").header("authorization", &token).empty().await;
    assert_eq!(reply.problem(401), "CREDENTIAL_EXPIRED");
    world.get("/licenses").token(ADA).empty().await.ok(200);
    assert_eq!(world.get("/licenses").token("not a person").empty().await.problem(401), "INVALID_CREDENTIAL");
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_revoked_one_never_again() {
    let world = World::new().await;
    for _ in 0..3 {
        let key = world.publishable().await;
        world.post("/licenses/validate").key(&key).json(&json!({ "key": "x" })).await.ok(200);
    }
}
