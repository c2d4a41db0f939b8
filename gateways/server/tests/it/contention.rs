//! Two hundred programs want one of three device slots at the same time: exactly three get one. Fifty tries of one write are
//! one write.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    exactly_three_of_two_hundred_get_a_slot,
    fifty_writes_with_one_key_have_one_effect,
);

async fn exactly_three_of_two_hundred_get_a_slot(engine: Engine) {
    let mut world = World::demo(engine).await;
    let path = format!("/guilds/{}/license-types", world.facts.guild);
    let body = json!({ "slug": "three", "name": "Three", "terms": { "maxDevices": 3 } });
    world.owner("POST", &path, body).await.expect(201);
    let (id, key) = world.generate("three", 1).await.remove(0);
    let api_key = world.api_key("publishable", None).await;
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let (world, api_key) = (Arc::clone(&world), api_key.clone());
            let body = json!({ "key": key, "deviceId": format!("machine-{number}") });
            tokio::spawn(async move { world.with_key(&api_key, "POST", "/licenses/activate", body).await })
        })
        .collect();
    let mut taken = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        match answer.status {
            201 => taken += 1,
            _ => {
                assert_eq!(
                    (answer.status, answer.code()),
                    (409, "DEVICE_LIMIT_REACHED"),
                    "{:#}",
                    answer.body
                );
            }
        }
    }
    assert_eq!(taken, 3);
    let mut world = Arc::into_inner(world).unwrap();
    let license = world.owner("GET", &format!("/licenses/{id}"), Value::Null).await.expect(200);
    assert_eq!(license["deviceCount"], 3);
    world.crash().await;
    let license = world.owner("GET", &format!("/licenses/{id}"), Value::Null).await.expect(200);
    assert_eq!(license["deviceCount"], 3);
    world.verify().await;
}

async fn fifty_writes_with_one_key_have_one_effect(engine: Engine) {
    let mut world = World::demo(engine).await;
    let path = format!("/guilds/{}/license-types", world.facts.guild);
    world.owner("POST", &path, json!({ "slug": "once", "name": "Once", "terms": {} })).await.expect(201);
    let secret = world.api_key("secret", Some("licenses:read,licenses:write")).await;
    let body = json!({ "guildId": world.facts.guild, "type": "once", "count": 3 });
    let post = async |world: &World, body: &Value| {
        let headers = [("X-API-Key", secret.as_str()), ("Idempotency-Key", "one-order")];
        world.ask("POST", "/admin/licenses/generate", &headers, body.clone()).await
    };
    // A twin that is under way in the same process is asked again later, as the answer says.
    let until_done = async || loop {
        let answer = post(&world, &body).await;
        if answer.code() != "IDEMPOTENCY_IN_FLIGHT" {
            return answer;
        }
    };
    let all = futures::future::join_all((0..50).map(|_| until_done())).await;
    let first = all[0].clone().expect(201)["data"].clone();
    for answer in all {
        assert_eq!(answer.expect(201)["data"], first, "the same licenses with the same keys");
    }
    let other = json!({ "guildId": world.facts.guild, "type": "once", "count": 4 });
    world.crash().await;
    assert_eq!(post(&world, &body).await.expect(201)["data"], first, "a restart forgets no key");
    let refused = post(&world, &other).await;
    assert_eq!((refused.status, refused.code()), (422, "IDEMPOTENCY_KEY_REUSED"));
    world.verify().await;
    let list = format!("/licenses?guildId={}&type=once&limit=200", world.facts.guild);
    let made = world.owner("GET", &list, Value::Null).await.expect(200);
    assert_eq!(made["data"].as_array().unwrap().len(), 3, "{made:#}");
}
