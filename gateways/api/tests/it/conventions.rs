//! Versions, positions, lists: what every answer has.

use serde_json::json;

use crate::world::{Config, World};

#[tokio::test]
async fn if_match_guards_a_write() {
    let world = World::new().await;
    let (id, _) = world.license("pro").await;
    let suspend = async |tag: &str| {
        world.post(&format!("/licenses/{id}/suspend")).token("operator").header("if-match", tag).empty().await
    };
    let stale = suspend("\"7\"").await;
    assert_eq!(stale.problem(412), "VERSION_MISMATCH");
    assert!(stale.body["detail"].as_str().unwrap().contains("it is 1"));
    let odd = suspend("7").await;
    assert_eq!((odd.problem(400), odd.pointer()), ("INVALID_REQUEST", "If-Match"));
    let done = suspend("\"1\"").await;
    assert_eq!(done.header("etag"), Some("\"2\""));
    done.ok(200);
}

#[tokio::test]
async fn a_read_can_wait_for_a_write() {
    let world = World::new().await;
    let secret = world.secret().await;
    for n in 1..=5 {
        let body = json!({ "guildId": crate::world::GUILD.to_string(), "type": "pro", "count": 1 });
        let made = world.post("/admin/licenses/generate").token("operator").json(&body).await;
        let position = made.header("dca-position").unwrap().to_owned();
        let listed =
            world.get("/licenses").key(&secret).header("dca-min-position", &position).empty().await.ok(200);
        assert_eq!(listed["data"].as_array().unwrap().len(), n);
    }
    let ask = async |position: &str| {
        world.get("/licenses").key(&secret).header("dca-min-position", position).empty().await
    };
    assert_eq!(ask("00112233445566aa.99999").await.problem(400), "POSITION_UNKNOWN");
    assert_eq!(ask("ffffffffffffffff.1").await.problem(400), "POSITION_UNKNOWN");
    let odd = ask("soon").await;
    assert_eq!((odd.problem(400), odd.pointer()), ("INVALID_REQUEST", "DCA-Min-Position"));
    ask("00112233445566aa.1").await.ok(200);
}

#[tokio::test]
async fn a_write_with_nothing_to_do_has_a_position_too() {
    let world = World::new().await;
    let (id, _) = world.license("pro").await;
    for _ in 0..2 {
        let reply = world.post(&format!("/licenses/{id}/suspend")).token("operator").empty().await;
        assert!(reply.header("dca-position").is_some());
        assert_eq!(reply.header("etag"), Some("\"2\""));
        reply.ok(200);
    }
}

#[tokio::test]
async fn a_read_model_that_stays_behind_is_a_503_and_single_things_are_not() {
    let limits =
        api::Limits { min_position_timeout: std::time::Duration::from_millis(20), ..api::Limits::default() };
    let world = World::with(Config { limits, stalled: true, ..Config::default() }).await;
    let secret = world.secret().await;
    let (id, key) = world.license("team").await;
    let reply = world.post(&format!("/licenses/{id}/suspend")).key(&secret).empty().await;
    let position = reply.header("dca-position").unwrap().to_owned();
    let ask = world.get("/licenses").key(&secret).header("dca-min-position", &position);
    let reply = ask.empty().await;
    assert_eq!(reply.problem(503), "READ_MODEL_BEHIND");
    assert_eq!(reply.header("retry-after"), Some("1"));
    // What this process wrote it shows at once, whatever the read models do.
    let one = world.get(&format!("/licenses/{id}")).key(&secret).empty().await.ok(200);
    assert_eq!(one["status"], "suspended");
    let verdict = world.post("/licenses/validate").key(&secret).json(&json!({ "key": key })).await.ok(200);
    assert_eq!(verdict["code"], "SUSPENDED");
}
