//! Versions of the API: which one a request is answered in, and which one an API key keeps.

use axum::http::Method;
use domain::credential::{self, ApiKeyId, ApiKeyKind};
use domain::guild::Action;
use serde_json::json;

use crate::world::{GRACE, GUILD, World};

const HEADER: &str = "dca-version";
const FIRST: &str = "2026-11-01";

#[tokio::test]
async fn every_answer_names_its_version_and_a_request_may_ask_for_one() {
    let world = World::new().await;
    let key = world.secret().await;
    let validate = || world.post("/licenses/validate").key(&key);
    for reply in [
        world.get("/live").empty().await,
        world.get("/nowhere").empty().await,
        world.get("/licenses").empty().await,
        world.get("/docs").empty().await,
        world.ask(Method::DELETE, "/live").empty().await,
        world.get("/licenses?key=x").empty().await,
        world.get("/licenses").key(&key).empty().await,
        world.get("/licenses").token(GRACE).header(HEADER, FIRST).empty().await,
        validate().json(&json!({ "key": "x" })).await,
        validate().header(HEADER, FIRST).json(&json!({ "key": "x" })).await,
        validate().json(&json!({})).await,
    ] {
        let named: Vec<_> = reply.headers.get_all(HEADER).iter().collect();
        assert_eq!(named, [FIRST], "{reply:?}");
    }
}

#[tokio::test]
async fn a_version_that_there_is_not_is_refused_with_those_that_there_are() {
    let world = World::new().await;
    let key = world.secret().await;
    for unknown in ["2026-11-02", "2999-01-01", "2026-11-1", "latest", "", "2026-11-01, 2026-11-01"] {
        for ask in
            [world.get("/live"), world.get("/licenses").key(&key), world.post("/licenses/validate").key(&key)]
        {
            let reply = ask.header(HEADER, unknown).json(&json!({ "key": "x" })).await;
            assert_eq!(reply.problem(400), "INVALID_REQUEST", "{unknown}");
            assert_eq!(reply.pointer(), "DCA-Version");
            assert!(reply.body["detail"].as_str().unwrap().contains(FIRST), "{reply:?}");
            assert_eq!(reply.header(HEADER), Some(FIRST));
        }
    }
}

#[tokio::test]
async fn an_api_key_keeps_the_version_of_its_issue() {
    let world = World::new().await;
    // As keys were issued before there were versions.
    let id = ApiKeyId::new(GUILD, [7; 4]);
    let (kind, name) = (ApiKeyKind::Secret, Some("before".to_owned()));
    let action = Action::IssueApiKey { id, kind, scopes: None, name, expires_at: None, version: None };
    world.commands.guild(&world.context(), GUILD, action).await.unwrap();
    let before = credential::render(world.commands.ring().as_ref(), kind, id);
    let path = format!("/guilds/{GUILD}/api-keys");
    let issued = world.post(&path).token(GRACE).json(&json!({ "kind": "secret" })).await.ok(201);
    assert_eq!(issued["version"], FIRST);
    let listed = world.get(&path).token(GRACE).empty().await.ok(200);
    let versions: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, [FIRST, FIRST]);
    let all = world.get(&format!("/guilds/{GUILD}/history?limit=200")).token(GRACE).empty().await.ok(200);
    let events = all["data"].as_array().unwrap().iter();
    let kept: Vec<_> = events
        .filter(|entry| entry["type"] == "guild.api_key_issued")
        .map(|entry| entry["data"]["apiVersion"].as_str())
        .collect();
    assert_eq!(kept, [None, Some(FIRST)]);
    let key = issued["key"].as_str().unwrap();
    for key in [key, &before] {
        assert_eq!(world.get("/licenses").key(key).empty().await.header(HEADER), Some(FIRST));
    }
}
