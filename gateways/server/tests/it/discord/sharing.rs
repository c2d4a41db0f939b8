//! Keys that are shared: who is suspected, what staff are told and what becomes of the license; each once, whatever dies
//! meanwhile and however many watch.

use fake_discord::{FakeDiscord, Settings};
use serde_json::{Value, json};

use super::{Guild, Live, Sim, configure, until, verdict};
use crate::on_every_engine_and_two_instances;
use crate::world::{Answer, Engine, World};

on_every_engine_and_two_instances!(
    a_shared_key_is_told_of_and_suspended,
    a_suspicion_is_told_once_whatever_dies,
    who_is_not_watched_or_does_nothing_unusual_is_left_alone,
);

/// The proxies of the tests are on this machine.
const PROXIES: [(&str, &str); 1] = [("DCA_HTTP_TRUSTED_PROXIES", "127.0.0.0/8")];

/// A license and the API key of a program that has its key.
#[derive(Debug, Clone)]
struct Copied {
    id: String,
    key: String,
    api_key: String,
}

async fn api_key(world: &mut World, guild: &Guild, kind: &str) -> String {
    let path = format!("/guilds/{}/api-keys", guild.id);
    let issued = world.owner("POST", &path, json!({ "kind": kind })).await.expect(201);
    issued["key"].as_str().unwrap().to_owned()
}

async fn copied(world: &mut World, guild: &Guild, api_key: &str) -> Copied {
    let body = json!({ "guildId": guild.id, "type": "pro", "count": 1 });
    let made = world.owner("POST", "/admin/licenses/generate", body).await.expect(201)["data"][0].clone();
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    Copied { id: text("id"), key: text("key"), api_key: api_key.to_owned() }
}

async fn watch(world: &mut World, guild: &Guild, sharing: Value) {
    let path = format!("/guilds/{}/settings", guild.id);
    world.owner("PATCH", &path, json!({ "sharing": sharing })).await.expect(200);
}

impl Copied {
    /// Somebody who comes from this address.
    async fn asks(&self, world: &World, what: &str, device: &str, from: &str) -> Answer {
        let headers = [("X-API-Key", self.api_key.as_str()), ("X-Forwarded-For", from)];
        let body = json!({ "key": self.key, "deviceId": device });
        world.ask("POST", &format!("/licenses/{what}"), &headers, body).await
    }

    /// So many different devices in turn, each from a network of its own.
    async fn goes_around(&self, world: &World, devices: std::ops::Range<u8>) {
        for number in devices {
            let (device, from) = (format!("device-{number}"), format!("198.51.{number}.7"));
            self.asks(world, "activate", &device, &from).await.expect(201);
            // Once it is suspended nobody can free anything with the key, and nobody needs to.
            self.asks(world, "deactivate", &device, &from).await.expect(200);
        }
    }

    async fn history(&self, world: &mut World) -> Vec<Value> {
        let path = format!("/licenses/{}/history?limit=200", self.id);
        world.owner("GET", &path, Value::Null).await.expect(200)["data"].as_array().unwrap().clone()
    }

    /// The rules that fired, with what they saw.
    async fn suspicions(&self, world: &mut World) -> Vec<(String, Value)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let history = self.history(world).await;
        let told = history.iter().filter(|event| event["type"] == "license.sharing_suspected");
        told.map(|event| {
            assert_eq!(event["actor"], "job:sharing");
            let evidence = serde_json::from_str(&text(&event["data"]["evidence"])).unwrap();
            (text(&event["data"]["rule"]), evidence)
        })
        .collect()
    }

    async fn wait_for_suspicions(&self, world: &mut World, count: usize) -> Vec<(String, Value)> {
        let begin = std::time::Instant::now();
        loop {
            let found = self.suspicions(world).await;
            if found.len() >= count {
                assert_eq!(found.len(), count, "{found:#?}");
                return found;
            }
            assert!(begin.elapsed() < super::PATIENCE, "{found:#?} and not {count}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// What both rules see of six devices from six networks.
fn both() -> Vec<(String, Value)> {
    let evidence = json!({ "count": 6, "limit": 5, "window": "P1D" });
    ["devices", "networks"].map(|rule| (rule.to_owned(), evidence.clone())).to_vec()
}

/// What the log channel says about a license.
async fn alerts(sim: &Sim, guild: &Guild, license: &str) -> Vec<String> {
    let told = sim.channel(&guild.log).await;
    let texts = told.iter().map(|message| message["content"].as_str().unwrap().to_owned());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains(license))
        .collect()
}

async fn a_shared_key_is_told_of_and_suspended(engine: Engine) {
    let mut this = Live::start_with(engine, &PROXIES).await;
    let guild = this.guild("Shared", json!({ "maxDevices": 1 })).await;
    let world = &mut this.world;
    watch(world, &guild, json!({ "detect": true, "autoSuspend": true })).await;
    let program = api_key(world, &guild, "publishable").await;
    let shared = copied(world, &guild, &program).await;
    shared.goes_around(world, 0..5).await;
    shared.asks(world, "activate", "device-5", "198.51.5.7").await.expect(201);
    assert_eq!(shared.wait_for_suspicions(world, 2).await, both());
    let steps: Vec<Value> =
        shared.history(world).await.iter().rev().take(3).map(|event| event["type"].clone()).collect();
    assert_eq!(
        steps,
        ["license.suspended", "license.sharing_suspected", "license.sharing_suspected"],
        "one append, after the sixth device"
    );
    assert_eq!(verdict(world, &program, &shared.key, Some("device-5")).await, "SUSPENDED");
    let sim = this.sim.clone();
    let lines = until("staff are told", || async {
        let lines = alerts(&sim, &guild, &shared.id).await;
        (lines.len() == 2).then_some(lines)
    })
    .await;
    assert!(lines[0].contains("6 different devices in 24 h, more than 5"), "{lines:?}");
    assert!(lines[1].contains("from 6 networks in 24 h, more than 5"), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("**Pro**") && line.contains("suspended")), "{lines:?}");
    // Where somebody came from stands nowhere: not in the log, not in a table, not in a cache.
    let kept = this.world.dump().await + &this.world.log();
    assert!(!kept.contains("198.51."), "an address was kept");
    let world = &mut this.world;
    let networks: std::collections::BTreeSet<String> = shared
        .history(world)
        .await
        .iter()
        .filter_map(|event| event["data"]["network"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(networks.len(), 6, "{networks:?}");

    // Staff have looked: the same six are not held against it again, and another six are.
    let resume = format!("/licenses/{}/resume", shared.id);
    world.owner("POST", &resume, json!({ "by": "policy", "reason": "a workshop" })).await.expect(200);
    assert_eq!(verdict(world, &program, &shared.key, Some("device-5")).await, "VALID");
    shared.asks(world, "deactivate", "device-5", "198.51.5.7").await.expect(200);
    shared.goes_around(world, 6..11).await;
    let other = copied(world, &guild, &program).await;
    other.goes_around(world, 0..5).await;
    other.asks(world, "activate", "device-5", "198.51.5.7").await.expect(201);
    other.wait_for_suspicions(world, 2).await;
    // The log is followed in its order, so the first license was looked at before the second.
    assert_eq!(shared.suspicions(world).await.len(), 2);
    shared.asks(world, "activate", "device-11", "198.51.11.7").await.expect(201);
    shared.wait_for_suspicions(world, 4).await;
    assert_eq!(verdict(world, &program, &shared.key, Some("device-11")).await, "SUSPENDED");
    this.world.verify().await;
}

async fn a_suspicion_is_told_once_whatever_dies(engine: Engine) {
    let mut this = Live::start_with(engine, &PROXIES).await;
    let guild = this.guild("Killed", json!({ "maxDevices": 1 })).await;
    watch(&mut this.world, &guild, json!({ "detect": true })).await;
    let program = api_key(&mut this.world, &guild, "publishable").await;
    let mut all = Vec::new();
    for round in 0..4 {
        let shared = copied(&mut this.world, &guild, &program).await;
        shared.goes_around(&this.world, 0..6).await;
        if round % 2 == 0 {
            // Somewhere between the sixth device and the end of what follows from it.
            this.world.crash().await;
        }
        assert_eq!(shared.wait_for_suspicions(&mut this.world, 2).await, both());
        if round % 2 == 1 {
            this.world.crash().await;
        }
        assert_ne!(verdict(&this.world, &program, &shared.key, None).await, "SUSPENDED");
        all.push(shared);
    }
    // More of the same is nothing new in the same window.
    for shared in &all {
        shared.goes_around(&this.world, 6..8).await;
    }
    let last = copied(&mut this.world, &guild, &program).await;
    last.goes_around(&this.world, 0..6).await;
    last.wait_for_suspicions(&mut this.world, 2).await;
    let sim = this.sim.clone();
    for shared in &all {
        assert_eq!(shared.suspicions(&mut this.world).await, both());
        let told = until("staff are told", || async {
            let lines = alerts(&sim, &guild, &shared.id).await;
            (!lines.is_empty()).then_some(lines)
        })
        .await;
        assert!(told.len() <= 2, "{told:#?}");
    }
    this.world.verify().await;
}

async fn who_is_not_watched_or_does_nothing_unusual_is_left_alone(engine: Engine) {
    let mut this = Live::start_with(engine, &PROXIES).await;
    let watched = this.guild("Watched", json!({ "maxDevices": 1 })).await;
    let other = this.guild("Unwatched", json!({ "maxDevices": 1 })).await;
    let strict = this.guild("Strict", json!({ "maxDevices": 1 })).await;
    let world = &mut this.world;
    watch(world, &watched, json!({ "detect": true, "autoSuspend": true })).await;
    watch(world, &strict, json!({ "detect": true, "devices": 9, "networks": 1 })).await;
    let program = api_key(world, &watched, "publishable").await;
    let (backend, client) =
        (api_key(world, &strict, "secret").await, api_key(world, &strict, "publishable").await);
    let elsewhere = api_key(world, &other, "publishable").await;
    // Not watched: neither suspected, nor is it kept where anybody came from.
    let unwatched = copied(world, &other, &elsewhere).await;
    unwatched.goes_around(world, 0..8).await;
    // Five machines in a day, and a laptop that comes from everywhere.
    let owner = copied(world, &watched, &program).await;
    owner.goes_around(world, 0..4).await;
    for ride in 20..28 {
        let from = format!("203.0.{ride}.9");
        owner.asks(world, "activate", "laptop", &from).await.expect(201);
        owner.asks(world, "deactivate", "laptop", &from).await.expect(200);
    }
    // A backend has one address for all of its customers, which is none of theirs.
    let served = copied(world, &strict, &backend).await;
    served.goes_around(world, 0..6).await;
    // Whoever comes last is seen last.
    let last = copied(world, &strict, &client).await;
    last.asks(world, "activate", "here", "198.51.1.7").await.expect(201);
    last.asks(world, "deactivate", "here", "198.51.1.7").await.expect(200);
    last.asks(world, "activate", "there", "198.51.2.7").await.expect(201);
    let evidence = json!({ "count": 2, "limit": 1, "window": "P1D" });
    assert_eq!(last.wait_for_suspicions(world, 1).await, [("networks".to_owned(), evidence)]);
    for innocent in [&unwatched, &owner, &served] {
        assert_eq!(innocent.suspicions(world).await, [], "{innocent:?}");
    }
    for nowhere in [&unwatched, &served] {
        let history = nowhere.history(world).await;
        assert!(history.iter().all(|event| event["data"].get("network").is_none()), "{history:#?}");
    }
    assert_eq!(this.sim.channel(&other.log).await, Vec::<Value>::new());
    this.world.verify().await;
}

async fn go_around(world: &World, all: &[Copied]) {
    futures::future::join_all(all.iter().map(|shared| shared.goes_around(world, 0..7))).await;
}

/// Two processes that watch, and many licenses at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_watch_tell_each_suspicion_once() {
    let engine = Engine::postgres().await;
    let fake = FakeDiscord::start(Settings::local(super::TOKEN)).await.unwrap();
    let sim = Sim::at(fake.url());
    let mut first = World::empty(engine.clone());
    configure(&mut first, &fake);
    first.set(PROXIES[0].0, PROXIES[0].1);
    first.serve().await;
    super::connected(&mut first).await;
    let mut second = World::empty(engine);
    configure(&mut second, &fake);
    second.set(PROXIES[0].0, PROXIES[0].1);
    second.set("DCA_ROLE", "api,worker");
    let ring = first.data_dir().join("live").join("keys").join("ring.json");
    second.set("DCA_KEYS_FILE", ring.to_str().unwrap());
    second.serve().await;
    let mut this = Live { _fake: fake, sim, world: first };
    let guild = this.guild("Twice", json!({ "maxDevices": 1 })).await;
    watch(&mut this.world, &guild, json!({ "detect": true })).await;
    let program = api_key(&mut this.world, &guild, "publishable").await;
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(copied(&mut this.world, &guild, &program).await);
    }
    let (one, two) = all.split_at(3);
    tokio::join!(go_around(&this.world, one), go_around(&second, two));
    for shared in &all {
        shared.wait_for_suspicions(&mut this.world, 2).await;
    }
    // Whoever held the lease is gone; the other goes on from where he stood.
    this.world.kill().await;
    let late = copied(&mut second, &guild, &program).await;
    late.goes_around(&second, 0..6).await;
    assert_eq!(late.wait_for_suspicions(&mut second, 2).await, both());
    for shared in &all {
        assert_eq!(shared.suspicions(&mut second).await.len(), 2);
    }
    second.verify().await;
}
