//! After a day's work a dump of the whole database and the server's log hold no key, no token, no secret; events and
//! log name no person.

use serde_json::{Value, json};

use crate::leaks::ring_secrets;
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(dump_and_log_hold_no_secret_and_no_person);

async fn dump_and_log_hold_no_secret_and_no_person(engine: Engine) {
    let mut world = World::demo(engine).await;
    let status = world.cli(&["status"]).await;
    let mut secrets = vec![world.token().await];
    let mut personal = vec!["why-canary".to_owned(), "note-canary".to_owned(), "name-canary".to_owned()];

    let publishable = world.api_key("publishable", None).await;
    let secret = world.api_key("secret", Some("validate,licenses:read,licenses:write")).await;
    let body = json!({
        "guildId": world.facts.guild, "type": "pro", "count": 3, "assignTo": world.facts.ada,
        "metadata": { "note": "note-canary" }, "privateMetadata": { "note": "note-canary" }, "reason": "why-canary",
    });
    let made = world.owner("POST", "/admin/licenses/generate", body).await.expect(201);
    for license in made["data"].as_array().unwrap() {
        secrets.push(license["key"].as_str().unwrap().to_owned());
    }
    let key = secrets[1].clone();
    let activate = json!({ "key": key, "deviceId": "machine", "deviceName": "name-canary" });
    world.with_key(&publishable, "POST", "/licenses/activate", activate).await.expect(201);
    let validate = json!({ "key": key, "deviceId": "machine" });
    assert_eq!(
        world.with_key(&secret, "POST", "/licenses/validate", validate.clone()).await.expect(200)["code"],
        "VALID"
    );
    // Requests that fail are where secrets find their way into logs.
    let bearer = format!("Bearer {}", secrets[0]);
    for (path, headers, body) in [
        ("/licenses/validate", vec![("X-API-Key", publishable.as_str())], json!({ "key": key, "typo": key })),
        ("/licenses/validate", vec![("X-API-Key", key.as_str())], validate.clone()),
        ("/licenses/validate", vec![("Authorization", bearer.as_str())], validate),
    ] {
        let refused = world.ask("POST", path, &headers, body).await;
        assert!((400..500).contains(&refused.status), "{refused:?}");
    }
    world.ask("GET", &format!("/licenses?apiKey={secret}"), &[], Value::Null).await;
    let body = json!({ "guildId": world.facts.guild, "userId": world.facts.ada, "roles": [world.facts.pro] });
    world.owner("POST", "/_demo/members/observe", body).await.expect(200);
    world.advance("P1D").await;
    secrets.push(world.token().await);
    secrets.extend([publishable, secret]);
    let ring = ring_secrets(&world.data_dir());
    assert!(ring.len() > 5);
    secrets.extend(ring);
    for id in status["demo"]["members"].as_object().unwrap().values() {
        personal.push(id.as_str().unwrap().to_owned());
    }

    assert_eq!(world.stop().await, 0);
    let (dump, log) = (world.dump().await, world.log());
    assert!(dump.lines().count() > 300 && !log.is_empty());
    for secret in secrets.iter().flat_map(|secret| [secret.clone(), secret.replace('-', "")]) {
        assert!(!dump.contains(&secret), "the database holds {secret}");
        assert!(!log.contains(&secret), "the log holds {secret}");
    }
    let events: Vec<&str> =
        dump.lines().filter(|line| line.split('|').next().unwrap().ends_with("events")).collect();
    assert!(events.len() > 200, "{}", events.len());
    let names = status["demo"]["members"].as_object().unwrap().keys();
    let quoted: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    for text in personal.iter().chain(&quoted) {
        assert!(!log.contains(text.as_str()), "the log names {text}");
        let found = events.iter().find(|event| event.contains(text.as_str()));
        assert!(found.is_none(), "an event names {text}: {}", found.unwrap());
    }
}
