//! Two hundred programs want one of three device slots at the same time: exactly three get one.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(exactly_three_of_two_hundred_get_a_slot);

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
