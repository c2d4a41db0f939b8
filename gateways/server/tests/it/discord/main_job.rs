//! The main job, through the control API and HTTP alone: a role, a key in the inbox, devices, the role taken, the license
//! gone; and all of it still there after a crash.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Sim, connected, health, until, verdict, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    a_role_gives_a_license_and_takes_it,
    a_suspended_license_returns_with_its_role
);

async fn activate(world: &World, api_key: &str, key: &str, device: &str) -> u16 {
    let body = json!({ "key": key, "deviceId": device });
    world.with_key(api_key, "POST", "/licenses/activate", body).await.status
}

/// Waits until a key gets this verdict, and says how long that took.
async fn becomes(world: &World, api_key: &str, key: &str, device: Option<&str>, code: &str) -> Duration {
    let begin = Instant::now();
    until(code, || async { (verdict(world, api_key, key, device).await == code).then_some(()) }).await;
    begin.elapsed()
}

async fn history(world: &mut World, id: &str) -> Vec<Value> {
    let page = world.owner("GET", &format!("/licenses/{id}/history"), Value::Null).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

fn types(history: &[Value]) -> Vec<&str> {
    history.iter().map(|entry| entry["type"].as_str().unwrap()).collect()
}

async fn a_role_gives_a_license_and_takes_it(engine: Engine) {
    let mut world = World::demo(engine).await;
    let sim = Sim::of(&world).await;
    let api_key = world.api_key("publishable", None).await;
    let (guild, ada, pro) = (world.facts.guild.clone(), world.facts.ada.clone(), world.facts.pro.clone());
    assert!(sim.inbox(&ada).await.is_empty());
    assert_eq!(health(&world).await.0, "ok");
    sim.give(&guild, &ada, &pro).await;
    let key = sim.wait_for_key(&ada, 0).await;
    assert_eq!(verdict(&world, &api_key, &key, None).await, "DEVICE_REQUIRED");
    assert_eq!(activate(&world, &api_key, &key, "one").await, 201);
    assert_eq!(activate(&world, &api_key, &key, "two").await, 201);
    assert_eq!(activate(&world, &api_key, &key, "three").await, 409);
    assert_eq!(verdict(&world, &api_key, &key, Some("one")).await, "VALID");
    let license = wait_for_live(&mut world, &guild, &ada, 1).await.remove(0);
    let id = license["id"].as_str().unwrap().to_owned();
    world.crash().await;
    let sim = Sim::of(&world).await;
    let sessions = sim.sessions().await;
    assert_eq!(sessions["refusedResumes"], 0, "a demo's Discord is as new as its process: {sessions:#}");
    connected(&mut world).await;
    assert_eq!(verdict(&world, &api_key, &key, Some("two")).await, "VALID");
    assert_eq!(sim.keys(&ada).await, std::slice::from_ref(&key), "nothing is sent twice");
    sim.take(&guild, &ada, &pro).await;
    let took = becomes(&world, &api_key, &key, Some("one"), "REVOKED").await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let told = history(&mut world, &id).await;
    let expected = [
        "license.generated",
        "license.assigned",
        "license.delivered",
        "license.device_activated",
        "license.device_activated",
        "license.became_active",
        "license.revoked",
    ];
    assert_eq!(types(&told), expected, "{told:#?}");
    for entry in &told {
        assert!(entry["actor"].is_string() && entry["correlationId"].is_string(), "{entry:#}");
    }
    assert_eq!((&told[0]["actor"], &told[6]["actor"]), (&json!("bot"), &json!("bot")));
    assert_eq!(told[6]["data"]["category"], "role_lost");
    world.crash().await;
    assert_eq!(verdict(&world, &api_key, &key, Some("one")).await, "REVOKED");
    assert_eq!(history(&mut world, &id).await, told);
    // The role comes back: the next license of the slot, with a key of its own.
    let sim = Sim::of(&world).await;
    sim.give(&guild, &ada, &pro).await;
    let next = wait_for_live(&mut world, &guild, &ada, 1).await.remove(0);
    assert_ne!(next["id"], id.as_str());
    assert_eq!(verdict(&world, &api_key, &key, Some("one")).await, "REVOKED");
    world.verify().await;
}

async fn a_suspended_license_returns_with_its_role(engine: Engine) {
    let mut world = World::demo(engine).await;
    let sim = Sim::of(&world).await;
    let api_key = world.api_key("publishable", None).await;
    let (guild, ada, team) = (world.facts.guild.clone(), world.facts.ada.clone(), world.facts.team.clone());
    sim.give(&guild, &ada, &team).await;
    let key = sim.wait_for_key(&ada, 0).await;
    assert_eq!(activate(&world, &api_key, &key, "one").await, 201);
    assert_eq!(verdict(&world, &api_key, &key, Some("one")).await, "VALID");
    sim.take(&guild, &ada, &team).await;
    let ending = |license: &Value| license["roleLossEndsAt"].is_string();
    let begin = Instant::now();
    while !ending(&wait_for_live(&mut world, &guild, &ada, 1).await[0]) {
        assert!(begin.elapsed() < super::PATIENCE);
    }
    assert_eq!(verdict(&world, &api_key, &key, Some("one")).await, "VALID", "the grace runs");
    // One clock for server and stand-in, whoever moves it.
    sim.call("POST", "/clock", json!({ "advanceS": 3_600 })).await;
    let now = world.ask("GET", "/_demo/clock", &[], Value::Null).await.expect(200)["now"].clone();
    world.clock_stands_at(now.as_str().unwrap()).await;
    assert_eq!(verdict(&world, &api_key, &key, Some("one")).await, "SUSPENDED");
    sim.give(&guild, &ada, &team).await;
    becomes(&world, &api_key, &key, Some("one"), "VALID").await;
    world.advance("P31D").await;
    assert_eq!(verdict(&world, &api_key, &key, Some("one")).await, "EXPIRED");
    let license = wait_for_live(&mut world, &guild, &ada, 1).await.remove(0);
    let id = license["id"].as_str().unwrap().to_owned();
    assert_eq!(license["status"], "expired");
    // A source that returns to an expired license renews it: the same key.
    sim.take(&guild, &ada, &team).await;
    let begin = Instant::now();
    while !ending(&wait_for_live(&mut world, &guild, &ada, 1).await[0]) {
        assert!(begin.elapsed() < super::PATIENCE);
    }
    sim.give(&guild, &ada, &team).await;
    becomes(&world, &api_key, &key, Some("one"), "VALID").await;
    let told = history(&mut world, &id).await;
    for name in ["license.suspended", "license.resumed", "license.expired", "license.renewed"] {
        assert!(types(&told).contains(&name), "{name}: {:?}", types(&told));
    }
    assert_eq!(sim.keys(&ada).await, [key], "the same key needs no second message");
    world.verify().await;
}
