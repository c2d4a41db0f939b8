//! Keys that another system gave, end to end: brought in with a file, they open their licenses wherever a key is taken, until
//! the license gets a new key; in the guild that has them and in no other, in every process and after every restart.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::discord::{Live, PATIENCE};
use crate::on_every_engine_and_two_instances;
use crate::world::{Answer, Engine, World};

on_every_engine_and_two_instances!(
    a_foreign_key_opens_its_license_wherever_a_key_is_taken,
    a_foreign_key_is_one_guilds_only,
);

const FILE: &str = "type,key\nold,Schl\u{fc}ssel-1\nold,OLD-2\nold,OLD-3\n";
/// The first of them as somebody else may write it.
const FIRST: &str = " Schlu\u{308}ssel-1  ";

/// Sends a file of licenses as the owner of the platform.
pub(crate) async fn import(world: &mut World, query: &str, file: &str) -> Value {
    let bearer = format!("Bearer {}", world.token().await);
    let request = world.request("POST", &format!("/admin/licenses/import?{query}"));
    let request = request.header("Authorization", bearer).header("Content-Type", "text/csv");
    let (status, text) = world.send(request.body(file.to_owned())).await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn validated(world: &World, api_key: &str, key: &str, device: &str) -> Value {
    let mut body = json!({ "key": key, "deviceId": device });
    if device.is_empty() {
        body = json!({ "key": key });
    }
    world.with_key(api_key, "POST", "/licenses/validate", body).await.expect(200)
}

async fn code(world: &World, api_key: &str, key: &str, device: &str) -> String {
    let told = validated(world, api_key, key, device).await;
    assert_eq!(
        told["license"].is_null(),
        told["code"] == "MALFORMED_KEY" || told["code"] == "KEY_SUPERSEDED"
    );
    told["code"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{:#}", answer.body);
}

struct Old {
    world: World,
    api_key: String,
}

impl Old {
    async fn keyed(&self, what: &str, key: &str) -> Answer {
        let body = json!({ "key": key, "deviceId": "laptop" });
        self.world.with_key(&self.api_key, "POST", &format!("/licenses/{what}"), body).await
    }

    async fn person(&self, user: &str, what: &str, body: Value) -> Answer {
        let issued = self.world.cli(&["admin", "token", "--user", user]).await;
        let bearer = format!("Bearer {}", issued["accessToken"].as_str().unwrap());
        self.world.ask("POST", &format!("/licenses/{what}"), &[("Authorization", &bearer)], body).await
    }

    /// The verdict, of both instances where there are two: from then on both know what was written before.
    async fn code(&self, key: &str) -> String {
        let first = code(&self.world, &self.api_key, key, "laptop").await;
        assert_eq!(code(&self.world, &self.api_key, key, "laptop").await, first, "{key}");
        first
    }
}

async fn a_foreign_key_opens_its_license_wherever_a_key_is_taken(engine: Engine) {
    let mut world = World::demo(engine).await;
    let guild = world.facts.guild.clone();
    let query = format!("guildId={guild}");
    let terms = json!({ "maxDevices": 1, "requireOwner": false });
    let define = json!({ "slug": "old", "name": "Old", "terms": terms });
    world.owner("POST", &format!("/guilds/{guild}/license-types"), define).await.expect(201);
    let api_key = world.api_key("secret", None).await;
    assert_eq!(code(&world, &api_key, "OLD-2", "laptop").await, "MALFORMED_KEY");
    assert_eq!(import(&mut world, &query, FILE).await, json!({ "created": 3, "existing": 0 }));
    let mut old = Old { world, api_key };
    let first = used(&old).await;
    redeemed(&old, &guild).await;

    // The same file makes nothing, and neither does it once the keys are no keys any more.
    assert_eq!(import(&mut old.world, &query, FILE).await, json!({ "created": 0, "existing": 3 }));
    old.world.owner("POST", &format!("/licenses/{first}/rekey"), json!({})).await.expect(200);
    let second = validated(&old.world, &old.api_key, "OLD-2", "phone").await["license"]["id"].clone();
    let grace = json!({ "toUserId": old.world.facts.grace });
    let transfer = format!("/licenses/{}/transfer", second.as_str().unwrap());
    old.world.owner("POST", &transfer, grace).await.expect(200);
    for round in 0..4 {
        for key in [FIRST, "OLD-2"] {
            assert_eq!(old.code(key).await, "KEY_SUPERSEDED", "{key} in round {round}");
            refused(&old.keyed("activate", key).await, 404, "KEY_SUPERSEDED");
        }
        assert_eq!(old.code("OLD-3").await, "DEVICE_NOT_ACTIVATED", "in round {round}");
        assert_eq!(old.code("OLD-4").await, "MALFORMED_KEY", "in round {round}");
        assert_eq!(import(&mut old.world, &query, FILE).await, json!({ "created": 0, "existing": 3 }));
        match round {
            0 => assert_eq!(old.world.stop().await, 0),
            1 => old.world.kill().await,
            2 => drop(old.world.cli(&["rebuild", "all"]).await),
            _ => continue,
        }
        if round < 2 {
            old.world.serve().await;
        }
    }
    old.world.verify().await;
}

/// A program goes through all that it may do with the first key; the id of the license.
async fn used(old: &Old) -> String {
    assert_eq!(old.code(FIRST).await, "DEVICE_NOT_ACTIVATED");
    refused(&old.keyed("heartbeat", FIRST).await, 409, "DEVICE_NOT_ACTIVATED");
    let made = old.keyed("activate", FIRST).await.expect(201);
    let id = made["license"]["id"].as_str().unwrap().to_owned();
    assert_eq!(old.code(FIRST).await, "VALID");
    assert_eq!(old.keyed("heartbeat", "Schl\u{fc}ssel-1").await.expect(200)["license"]["id"], *id);
    // The key of ours opens the same.
    let shown = old.world.with_key(&old.api_key, "GET", &format!("/licenses/{id}"), Value::Null).await;
    assert_eq!(shown.expect(200)["deviceCount"], 1);
    assert_eq!(old.keyed("deactivate", FIRST).await.expect(200)["deviceCount"], 0);
    assert_eq!(old.code(FIRST).await, "DEVICE_NOT_ACTIVATED");
    for what in ["activate", "heartbeat", "deactivate"] {
        refused(&old.keyed(what, "OLD-9").await, 400, "MALFORMED_KEY");
    }
    id
}

/// People, of whom nobody knows the guild unless they say it.
async fn redeemed(old: &Old, guild: &str) {
    let (ada, grace) = (&old.world.facts.ada, &old.world.facts.grace);
    refused(&old.person(ada, "redeem", json!({ "key": "OLD-2" })).await, 400, "MALFORMED_KEY");
    let asked = |key: &str| json!({ "key": key, "guildId": guild });
    refused(&old.person(ada, "redeem", asked("OLD-9")).await, 400, "MALFORMED_KEY");
    let elsewhere = json!({ "key": "OLD-2", "guildId": "1" });
    refused(&old.person(ada, "redeem", elsewhere).await, 400, "MALFORMED_KEY");
    assert_eq!(old.person(ada, "redeem", asked(" OLD-2")).await.expect(200)["userId"], **ada);
    refused(&old.person(grace, "redeem", asked("OLD-2")).await, 409, "ALREADY_ASSIGNED");
    let device = json!({ "key": "OLD-2", "guildId": guild, "deviceId": "phone" });
    refused(&old.person(grace, "activate", device.clone()).await, 404, "NOT_FOUND");
    let made = old.person(ada, "activate", device).await.expect(201);
    assert_eq!(made["license"]["userId"], **ada);
    assert_eq!(code(&old.world, &old.api_key, "OLD-2", "phone").await, "VALID");
}

/// A guild with the type `pro`, and a secret key of it.
async fn guild(this: &mut Live, name: &str) -> (String, String) {
    let guild = this.guild(name, json!({})).await;
    let issued = this.world.cli(&["apikey", "issue", "--guild", &guild.id, "--kind", "secret"]).await;
    (guild.id, issued["key"].as_str().unwrap().to_owned())
}

async fn a_foreign_key_is_one_guilds_only(engine: Engine) {
    let mut this = Live::start(engine).await;
    let (first, first_key) = guild(&mut this, "First").await;
    let (second, second_key) = guild(&mut this, "Second").await;
    let file = "type,key\npro,OLD-1\n";
    assert_eq!(import(&mut this.world, &format!("guildId={first}"), file).await["created"], 1);
    assert_eq!(code(&this.world, &first_key, "OLD-1", "").await, "VALID");
    // Elsewhere it is as good as anything else.
    let (known, garbage) = (
        validated(&this.world, &second_key, "OLD-1", "").await,
        validated(&this.world, &second_key, "nothing", "").await,
    );
    for member in ["code", "valid", "detail", "license", "device", "degraded"] {
        assert_eq!(known[member], garbage[member], "{member}");
    }
    assert_eq!(known["code"], "MALFORMED_KEY");
    let activate = |key: &str, guild: Value| json!({ "key": key, "deviceId": "d", "guildId": guild });
    for guild in [Value::Null, json!(second)] {
        let answer =
            this.world.with_key(&second_key, "POST", "/licenses/activate", activate("OLD-1", guild)).await;
        refused(&answer, 400, "MALFORMED_KEY");
    }
    let answer =
        this.world.with_key(&second_key, "POST", "/licenses/activate", activate("OLD-1", json!(first))).await;
    refused(&answer, 404, "NOT_FOUND");
    // It may have a license of its own for the same key.
    assert_eq!(import(&mut this.world, &format!("guildId={second}"), file).await["created"], 1);
    let (one, two) = (
        validated(&this.world, &first_key, "OLD-1", "").await,
        validated(&this.world, &second_key, "OLD-1", "").await,
    );
    assert_eq!((&one["code"], &two["code"]), (&json!("VALID"), &json!("VALID")));
    assert_ne!(one["license"]["id"], two["license"]["id"]);
}

/// How long another process may not know of it.
const BOUND: Duration = Duration::from_secs(2);

async fn within_the_bound(world: &World, api_key: &str, key: &str, from: &str, to: &str) {
    let begin = Instant::now();
    loop {
        let asked = begin.elapsed();
        match &*code(world, api_key, key, "").await {
            code if code == to => return,
            code => assert!(code == from && asked < BOUND, "{key} is {code}, asked {asked:?} later"),
        }
    }
}

/// Two processes without NATS: what one brings in or takes back, the other knows within the bound, asked before or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_knows_of_a_foreign_key_within_the_bound() {
    let engine = Engine::postgres().await;
    let mut this = Live::start(engine.clone()).await;
    let mut second = World::empty(engine);
    second.live();
    let ring = this.world.data_dir().join("live").join("keys").join("ring.json");
    for (name, value) in [("DCA_KEYS_FILE", ring.to_str().unwrap()), ("DCA_ROLE", "api")] {
        second.set(name, value);
    }
    second.serve().await;
    let (guild, api_key) = guild(&mut this, "Two").await;
    let begin = Instant::now();
    while second.with_key(&api_key, "POST", "/licenses/validate", json!({ "key": "x" })).await.status != 200 {
        assert!(begin.elapsed() < PATIENCE, "the other process does not know the API key");
    }
    for n in 0..5 {
        let key = format!("OLD-{n}");
        assert_eq!(code(&second, &api_key, &key, "").await, "MALFORMED_KEY");
        let file = format!("type,key\npro,{key}\n");
        assert_eq!(import(&mut this.world, &format!("guildId={guild}"), &file).await["created"], 1);
        assert_eq!(code(&this.world, &api_key, &key, "").await, "VALID", "where it was brought in, at once");
        within_the_bound(&second, &api_key, &key, "MALFORMED_KEY", "VALID").await;
        let id = validated(&second, &api_key, &key, "").await["license"]["id"].as_str().unwrap().to_owned();
        this.world.owner("POST", &format!("/licenses/{id}/rekey"), json!({})).await.expect(200);
        assert_eq!(code(&this.world, &api_key, &key, "").await, "KEY_SUPERSEDED");
        within_the_bound(&second, &api_key, &key, "VALID", "KEY_SUPERSEDED").await;
    }
    second.crash().await;
    assert_eq!(code(&second, &api_key, "OLD-0", "").await, "KEY_SUPERSEDED");
}
