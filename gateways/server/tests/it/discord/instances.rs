//! Two instances over one database: one owns the shard; when it dies the other takes over, resumes the session, and
//! nobody gets a second license.

use std::time::Duration;

use fake_discord::{FakeDiscord, Settings};
use serde_json::json;

use super::{Live, Sim, configure, health, licenses, until, wait_for_live};
use crate::world::{Engine, World};

/// How long a dead owner still counts; the test waits for it.
const LEASE_MS: &str = "3000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_owns_the_shard_and_the_other_takes_over() {
    let engine = Engine::postgres().await;
    let fake = FakeDiscord::start(Settings::local(super::TOKEN)).await.unwrap();
    let sim = Sim::at(fake.url());
    let mut first = World::empty(engine.clone());
    configure(&mut first, &fake);
    first.set("DCA_DISCORD_LEASE_MS", LEASE_MS);
    first.serve().await;
    super::connected(&mut first).await;
    let mut second = World::empty(engine);
    configure(&mut second, &fake);
    second.set("DCA_DISCORD_LEASE_MS", LEASE_MS);
    let ring = first.data_dir().join("live").join("keys").join("ring.json");
    second.set("DCA_KEYS_FILE", ring.to_str().unwrap());
    second.serve().await;
    until("the second waits", || async {
        health(&second).await.1.contains("has another instance").then_some(())
    })
    .await;
    let mut this = Live { _fake: fake, sim, world: first };
    let guild = this.guild("Two", json!({ "onRoleLoss": "revoke" })).await;
    let one = this.sim.join(&guild.id, "one", &[&guild.role]).await;
    this.sim.wait_for_key(&one, 0).await;
    let before = this.sim.sessions().await;
    assert_eq!(connected_sessions(&before), 1, "{before:#}");
    this.world.kill().await;
    // Nobody listens: this is seen by the one who takes over.
    let two = this.sim.join(&guild.id, "two", &[&guild.role]).await;
    let begin = std::time::Instant::now();
    super::connected(&mut second).await;
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    wait_for_live(&mut second, &guild.id, &two, 1).await;
    this.sim.take(&guild.id, &one, &guild.role).await;
    wait_for_live(&mut second, &guild.id, &one, 0).await;
    assert_eq!(licenses(&mut second, &guild.id, None).await.len(), 2, "one each");
    let after = this.sim.sessions().await;
    assert_eq!(
        after["identifies"], before["identifies"],
        "the session is resumed, so the budget is kept: {after:#}"
    );
    assert_eq!(this.sim.keys(&one).await.len(), 1);
    // The first comes back and waits; the second goes in good order, and the first takes over at once.
    this.world.serve().await;
    until("the first waits", || async {
        health(&this.world).await.1.contains("has another instance").then_some(())
    })
    .await;
    assert_eq!(second.stop().await, 0);
    this.connected().await;
    assert_eq!(this.sim.sessions().await["identifies"], before["identifies"]);
    this.world.verify().await;
}

fn connected_sessions(sessions: &serde_json::Value) -> usize {
    let sessions = sessions["sessions"].as_array().unwrap();
    sessions.iter().filter(|session| session["connected"] == true).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_of_sessions_is_kept_over_restarts() {
    let mut this = Live::start_with(Engine::Sqlite, &[("DCA_DISCORD_IDENTIFY_PER_DAY", "2")]).await;
    this.sim.call("PUT", "/settings", json!({ "refuseResume": true })).await;
    this.world.crash().await;
    this.connected().await;
    this.world.crash().await;
    let (status, detail) = until("the budget is used up", || async {
        let (status, detail) = health(&this.world).await;
        detail.contains("2 sessions were begun").then_some((status, detail))
    })
    .await;
    assert_eq!(status, "down", "{detail}");
    assert_eq!(this.sim.sessions().await["identifies"], 2);
    // Everything else goes on.
    assert_eq!(this.world.ask("GET", "/ready", &[], serde_json::Value::Null).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_begun_when_discord_lets_none_begin() {
    let fake = FakeDiscord::start(Settings::local(super::TOKEN)).await.unwrap();
    let sim = Sim::at(fake.url());
    sim.call("PUT", "/settings", json!({ "identifyRemaining": 0 })).await;
    let mut world = World::empty(Engine::Sqlite);
    configure(&mut world, &fake);
    world.serve().await;
    until("it is asked", || async { (sim.requests().await.len() >= 2).then_some(()) }).await;
    let sessions = sim.sessions().await;
    assert_eq!(
        (&sessions["identifies"], &sessions["refusedIdentifies"]),
        (&json!(0), &json!(0)),
        "{sessions:#}"
    );
    sim.call("PUT", "/settings", json!({ "identifyRemaining": 5 })).await;
    super::connected(&mut world).await;
    assert_eq!(sim.sessions().await["identifies"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_shards_are_followed_by_one_instance() {
    let fake = FakeDiscord::start(Settings::local(super::TOKEN)).await.unwrap();
    let sim = Sim::at(fake.url());
    sim.call("PUT", "/settings", json!({ "shards": 2 })).await;
    let mut world = World::empty(Engine::Sqlite);
    configure(&mut world, &fake);
    world.set("DCA_DISCORD_SHARDS", "2");
    world.serve().await;
    super::connected(&mut world).await;
    until("the other shard too", || async {
        health(&world).await.1.contains("shard 1 is connected").then_some(())
    })
    .await;
    let mut this = Live { _fake: fake, sim, world };
    // Two servers that Discord gives to different shards.
    let mut shards = std::collections::BTreeSet::new();
    for number in 0..2_u64 {
        let id = ((20_000_000_u64 + number) << 22).to_string();
        let made = this.sim.call("POST", "/guilds", json!({ "name": "Sharded", "id": id })).await;
        let guild = this.adopt(&made, json!({})).await;
        let user = this.sim.join(&guild.id, "u", &[&guild.role]).await;
        this.sim.wait_for_key(&user, 0).await;
        shards.insert((guild.id.parse::<u64>().unwrap() >> 22) % 2);
    }
    assert_eq!(shards.len(), 2);
    this.world.verify().await;
}
