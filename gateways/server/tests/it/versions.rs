//! The version of the API that an API key keeps, through the command line, the log and another start.

use serde_json::json;

use crate::on_every_engine;
use crate::world::{Engine, World};

on_every_engine!(an_api_key_is_answered_in_the_version_that_it_was_issued_in);

async fn an_api_key_is_answered_in_the_version_that_it_was_issued_in(engine: Engine) {
    let mut world = World::demo(engine).await;
    let key = world.api_key("secret", None).await;
    let path = format!("/guilds/{}/api-keys", world.facts.guild);
    for _ in 0..2 {
        let listed = world.owner("GET", &path, json!(null)).await.expect(200);
        let keys = listed["data"].as_array().unwrap();
        // The demo's own key is from before there were versions.
        assert!(keys.len() == 2 && keys.iter().all(|key| key["version"] == "2026-11-01"), "{listed:#}");
        let ask = |version: Option<&str>| {
            let mut ask = world.request("POST", "/licenses/validate").header("X-API-Key", &key);
            if let Some(version) = version {
                ask = ask.header("DCA-Version", version);
            }
            ask.json(&json!({ "key": "x" })).send()
        };
        for version in [None, Some("2026-11-01")] {
            let answer = ask(version).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["dca-version"], "2026-11-01");
        }
        let refused = ask(Some("2026-10-31")).await.unwrap();
        assert_eq!(refused.status(), 400);
        assert!(refused.text().await.unwrap().contains("`2026-11-01`"));
        world.crash().await;
    }
    world.verify().await;
}
