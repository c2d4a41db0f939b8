//! A guild's types, rules and API keys.

use domain::time::Span;
use serde_json::json;

use crate::world::{ADA, GRACE, GUILD, World};

#[tokio::test]
async fn staff_see_their_guild() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}");
    let reply = world.get(&path).token(GRACE).empty().await;
    assert!(reply.header("etag").is_some());
    let body = reply.ok(200);
    assert_eq!(
        (&body["id"], &body["name"], &body["ownerId"]),
        (&json!(GUILD.to_string()), &json!("Test"), &json!(GRACE))
    );
    assert_eq!(body["settings"]["keyPrefix"], "DCA");
    assert_eq!(world.get(&path).token(ADA).empty().await.problem(404), "NOT_FOUND");
    assert_eq!(world.get("/guilds/31337").token("operator").empty().await.problem(404), "NOT_FOUND");
    assert_eq!(world.get("/guilds/x").token("operator").empty().await.problem(404), "NOT_FOUND");
}

#[tokio::test]
async fn types_are_defined_and_changed() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}/license-types");
    let draft = json!({ "slug": "gold", "name": "Gold", "terms": { "maxDevices": 3, "duration": "P1D" } });
    let reply = world.post(&path).token(GRACE).json(&draft).await;
    assert!(reply.header("etag").is_some() && reply.header("dca-position").is_some());
    let body = reply.ok(201);
    assert_eq!((&body["slug"], &body["terms"]["maxDevices"]), (&json!("gold"), &json!(3)));
    assert_eq!(body["terms"]["requireDevice"], true);
    assert_eq!(world.post(&path).token(GRACE).json(&draft).await.problem(409), "TYPE_EXISTS");
    let change = json!({ "terms": { "duration": null } });
    let changed = world.patch(&format!("{path}/gold")).token(GRACE).json(&change).await.ok(200);
    assert_eq!((&changed["terms"]["duration"], &changed["terms"]["maxDevices"]), (&json!(null), &json!(3)));
    let unknown = world.patch(&format!("{path}/none")).token(GRACE).json(&change).await;
    assert_eq!(unknown.problem(404), "TYPE_NOT_FOUND");
    let listed = world.get(&path).token(GRACE).empty().await.ok(200);
    let slugs: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|row| row["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs, ["gold", "pro", "team"]);
    for (draft, status, pointer) in [
        (json!({ "slug": "A!", "name": "A" }), 422, "/slug"),
        (json!({ "slug": "a", "name": "" }), 422, "/name"),
        (json!({ "slug": "a", "name": "A", "terms": { "maxDevices": 0 } }), 422, "/terms/maxDevices"),
        (json!({ "slug": "a", "name": "A", "terms": { "maxDevices": "2" } }), 400, "/terms/maxDevices"),
        (json!({ "slug": "a" }), 400, "/name"),
    ] {
        let reply = world.post(&path).token(GRACE).json(&draft).await;
        reply.problem(status);
        assert_eq!(reply.pointer(), pointer);
    }
}

#[tokio::test]
async fn rules_map_roles_to_types() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}/role-rules");
    let rule = json!({ "roleId": "42", "type": "pro" });
    let set = world.post(&path).token(GRACE).json(&rule).await.ok(201);
    assert_eq!((&set["roleId"], &set["type"]), (&json!("42"), &json!("pro")));
    assert_eq!(world.post(&path).token(GRACE).json(&rule).await.problem(409), "RULE_EXISTS");
    let listed = world.get(&path).token(GRACE).empty().await.ok(200);
    assert_eq!(listed["data"], json!([set]));
    let odd = world.post(&path).token(GRACE).json(&json!({ "roleId": "43", "type": "none" })).await;
    assert_eq!((odd.problem(422), odd.pointer()), ("INVALID_VALUE", "/type"));
}

#[tokio::test]
async fn an_api_key_is_shown_once() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}/api-keys");
    let request = json!({ "kind": "secret", "name": "CI" });
    let issued = world.post(&path).token(GRACE).json(&request).await.ok(201);
    assert!(issued["key"].as_str().unwrap().starts_with("dca_sec_"));
    let scopes = ["validate", "activate", "heartbeat", "deactivate", "certificate", "licenses:read"];
    assert_eq!(issued["scopes"], json!(scopes));
    let listed = world.get(&path).token(GRACE).empty().await.ok(200);
    assert_eq!(listed["data"][0]["id"], issued["id"]);
    assert_eq!(listed["data"][0].get("key"), None);
}

#[tokio::test]
async fn an_api_key_ends_at_its_time_and_by_revocation() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}/api-keys");
    let request = json!({ "kind": "secret", "expiresAt": world.now().after(Span::days(1)) });
    let key = world.api_key(GUILD, request).await;
    world.get("/licenses").key(&key).empty().await.ok(200);
    world.advance(Span::days(1));
    let expired = world.get("/licenses").key(&key).empty().await;
    assert_eq!(expired.problem(401), "CREDENTIAL_EXPIRED");
    assert!(expired.header("www-authenticate").unwrap().contains("expired"));
    let other = world.post(&path).token(GRACE).json(&json!({ "kind": "secret" })).await.ok(201);
    let (id, key) = (other["id"].as_str().unwrap(), other["key"].as_str().unwrap());
    world.get("/licenses").key(key).empty().await.ok(200);
    let revoked = world.delete(&format!("{path}/{id}")).token(GRACE).empty().await.ok(200);
    assert!(revoked["revokedAt"].is_string() && revoked.get("key").is_none());
    assert_eq!(world.get("/licenses").key(key).empty().await.problem(401), "INVALID_CREDENTIAL");
    for unknown in ["aabbccddeeff001122334455", "nonsense"] {
        assert_eq!(world.delete(&format!("{path}/{unknown}")).token(GRACE).empty().await.status, 404);
    }
}

#[tokio::test]
async fn an_api_key_is_not_issued_with_what_cannot_be() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}/api-keys");
    for (request, status, pointer) in [
        (json!({ "kind": "odd" }), 400, "/kind"),
        (json!({ "kind": "secret", "scopes": ["everything"] }), 400, "/scopes/0"),
        (json!({ "kind": "secret", "expiresAt": "2020-01-01T00:00:00Z" }), 422, "/expiresAt"),
        (json!({}), 400, "/kind"),
    ] {
        let reply = world.post(&path).token(GRACE).json(&request).await;
        reply.problem(status);
        assert_eq!(reply.pointer(), pointer);
    }
    let wide = json!({ "kind": "publishable", "scopes": ["licenses:read"] });
    assert_eq!(world.post(&path).token(GRACE).json(&wide).await.problem(422), "SCOPE_NOT_ALLOWED");
}

#[tokio::test]
async fn no_api_key_issues_api_keys() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}/api-keys");
    let secret = world.secret().await;
    let request = json!({ "kind": "publishable" });
    assert_eq!(world.post(&path).key(&secret).json(&request).await.problem(403), "FORBIDDEN");
    assert_eq!(world.get(&path).key(&secret).empty().await.problem(403), "FORBIDDEN");
    assert_eq!(world.get(&path).token(ADA).empty().await.problem(404), "NOT_FOUND");
}
