//! Several processes over one log: they hear of each other over NATS, every event reaches the stream for programs outside,
//! and without NATS everything goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use fake_discord::{FakeDiscord, Settings};

use crate::discord::{self, Live, PATIENCE, Sim, licenses, until, verdict, wait_for_live};
use crate::nats::Nats;
use crate::pgbouncer::PgBouncer;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::world::{Engine, World};

/// How often a process looks at the log by itself; whatever it hears of sooner came over NATS.
const LOOK_MS: &str = "60000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_hear_of_each_other_over_nats() {
    let mut nats = Nats::start().await;
    let engine = Engine::postgres().await;
    let url = nats.url();
    let mut this =
        Live::start_with(engine.clone(), &[("NATS_URL", &url), ("DCA_PROJECTOR_POLL_MS", LOOK_MS)]).await;
    let mut second = World::empty(engine);
    second.live();
    for (name, value) in [("NATS_URL", &*url), ("DCA_PROJECTOR_POLL_MS", LOOK_MS)] {
        second.set(name, value);
    }
    let ring = this.world.data_dir().join("live").join("keys").join("ring.json");
    second.set("DCA_KEYS_FILE", ring.to_str().unwrap());
    second.serve().await;
    assert_eq!(second.cli(&["status"]).await["engine"]["bus"], "nats");
    let guild = this.guild("Two", json!({})).await;
    let issued = this.world.cli(&["apikey", "issue", "--guild", &guild.id, "--kind", "publishable"]).await;
    let api_key = issued["key"].as_str().unwrap();
    let mut revoked = Vec::new();
    for name in ["one", "two", "three"] {
        let user = this.sim.join(&guild.id, name, &[&guild.role]).await;
        let key = this.sim.wait_for_key(&user, 0).await;
        let license = wait_for_live(&mut this.world, &guild.id, &user, 1).await.remove(0);
        assert_eq!(
            verdict(&second, api_key, &key, None).await,
            "VALID",
            "the other process has it in its cache"
        );
        if name == "two" {
            nats.kill();
            bus_is(&second, "degraded").await;
            nats.run().await;
            for world in [&this.world, &second] {
                bus_is(world, "ok").await;
            }
        }
        let path = format!("/licenses/{}/revoke", license["id"].as_str().unwrap());
        this.world.owner("POST", &path, json!({})).await.expect(200);
        let begin = Instant::now();
        while verdict(&second, api_key, &key, None).await != "REVOKED" {
            assert!(begin.elapsed() < PATIENCE, "the other process goes on taking the key of {name}");
        }
        revoked.push(key);
    }
    let position = this.world.cli(&["status"]).await["position"].clone();
    until("the stream has every event", || async { (messages(&nats).await == position).then_some(()) }).await;
    // The one that copied is killed, the other takes over.
    let user = this.sim.join(&guild.id, "four", &[&guild.role]).await;
    this.sim.wait_for_key(&user, 0).await;
    this.world.kill().await;
    let position = second.cli(&["status"]).await["position"].clone();
    until("the other process copies", || async { (messages(&nats).await == position).then_some(()) }).await;
    second.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_share_the_work() {
    let (nats, engine) = (Nats::start().await, Engine::postgres().await);
    let fake = FakeDiscord::start(Settings::local(discord::TOKEN)).await.unwrap();
    let sim = Sim::at(fake.url());
    let url = nats.url();
    let mut processes = Vec::new();
    let mut ring = None;
    for role in ["projector", "worker", "bot", "api"] {
        let mut world = World::empty(engine.clone());
        discord::configure(&mut world, &fake);
        world.set("NATS_URL", &url);
        world.set("DCA_ROLE", role);
        match &ring {
            None => ring = Some(world.data_dir().join("live").join("keys").join("ring.json")),
            Some(ring) => world.set("DCA_KEYS_FILE", ring.to_str().unwrap()),
        }
        world.serve().await;
        assert_eq!(world.cli(&["status"]).await["roles"], json!([role]));
        processes.push(world);
    }
    let (api, mut bot) = (processes.pop().unwrap(), processes.pop().unwrap());
    discord::connected(&mut bot).await;
    let elsewhere = bot.owner("GET", "/licenses", Value::Null).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (503, "UNAVAILABLE"), "{:#}", elsewhere.body);
    let mut this = Live { _fake: fake, sim, world: api };
    let guild = this.guild("Parted", json!({ "duration": "PT5S", "expiryBasis": "creation" })).await;
    let issued = this.world.cli(&["apikey", "issue", "--guild", &guild.id, "--kind", "publishable"]).await;
    let api_key = issued["key"].as_str().unwrap();
    let user = this.sim.join(&guild.id, "ada", &[]).await;
    this.sim.give(&guild.id, &user, &guild.role).await;
    let key = this.sim.wait_for_key(&user, 0).await;
    assert_eq!(verdict(&this.world, api_key, &key, None).await, "VALID");
    let license = licenses(&mut this.world, &guild.id, Some(&user)).await.remove(0);
    let path = format!("/licenses/{}/history", license["id"].as_str().unwrap());
    let mut seen = Vec::new();
    let begin = Instant::now();
    // What the API recorded, and what the worker found due.
    while !["license.became_active", "license.expired"].iter().all(|one| seen.contains(&(*one).to_owned())) {
        assert!(begin.elapsed() < PATIENCE, "{seen:?}");
        let told = this.world.owner("GET", &path, Value::Null).await.expect(200);
        let entries = told["data"].as_array().unwrap();
        seen = entries.iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect();
    }
    assert_eq!(seen.iter().filter(|one| *one == "license.expired").count(), 1, "{seen:?}");
    // Without the projector commands and verdicts go on; what it missed it makes up for.
    processes[0].kill().await;
    let second = this.sim.join(&guild.id, "bob", &[&guild.role]).await;
    let key = this.sim.wait_for_key(&second, 0).await;
    assert_eq!(verdict(&this.world, api_key, &key, None).await, "VALID");
    processes[0].serve().await;
    wait_for_live(&mut this.world, &guild.id, &second, 1).await;
    processes[0].verify().await;
}

/// Through a pooler in transaction mode statements of one client meet different connections. What must not happen is that
/// an answer is somebody else's, so every answer is compared, and no error is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_through_a_pooler_belongs_to_its_question() {
    let engine = Engine::postgres().await;
    let direct = engine.database_url().unwrap().to_owned();
    let pooler = PgBouncer::before(&direct).await;
    let variables = [
        ("DATABASE_URL", &*pooler.url()),
        ("DCA_DATABASE_DIRECT_URL", &direct),
        ("DCA_DATABASE_POOLER", "transaction"),
        ("DCA_CACHE_LICENSES", "0"),
    ];
    let mut world = World::demo_with(engine, &variables).await;
    let made = world.generate("pro", 16).await;
    let secret = world.api_key("secret", None).await;
    let token = format!("Bearer {}", world.token().await);
    let world = std::sync::Arc::new(world);
    let mut tasks = tokio::task::JoinSet::new();
    for (id, key) in made {
        let (world, secret, token) = (world.clone(), secret.clone(), token.clone());
        tasks.spawn(async move {
            let (device, mut compared) = (format!("device of {id}"), 0);
            let asked = json!({ "key": key, "deviceId": device });
            let bound =
                world.with_key(&secret, "POST", "/licenses/activate", asked.clone()).await.expect(201);
            assert_eq!(bound["license"]["id"], *id, "{bound:#}");
            for _ in 0..25 {
                let told =
                    world.with_key(&secret, "POST", "/licenses/validate", asked.clone()).await.expect(200);
                assert_eq!(
                    (&told["code"], &told["license"]["id"]),
                    (&json!("VALID"), &json!(id)),
                    "{told:#}"
                );
                let owner = [("Authorization", &*token)];
                let path = format!("/licenses/{id}");
                let shown = world.ask("GET", &path, &owner, Value::Null).await.expect(200);
                assert_eq!(shown["id"], *id, "{shown:#}");
                let devices =
                    world.ask("GET", &format!("{path}/devices"), &owner, Value::Null).await.expect(200);
                assert_eq!(devices["data"].as_array().unwrap().len(), 1, "{devices:#}");
                for (what, code) in [("suspend", "SUSPENDED"), ("resume", "VALID")] {
                    let at = format!("{path}/{what}");
                    let changed = world.ask("POST", &at, &owner, json!({})).await.expect(200);
                    assert_eq!(changed["id"], *id, "{changed:#}");
                    let told = world
                        .with_key(&secret, "POST", "/licenses/validate", asked.clone())
                        .await
                        .expect(200);
                    assert_eq!(
                        (&told["code"], &told["license"]["id"]),
                        (&json!(code), &json!(id)),
                        "{told:#}"
                    );
                }
                compared += 7;
            }
            compared
        });
    }
    let compared: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(compared, 16 * 25 * 7);
    world.verify().await;
}

pub(crate) async fn bus_is(world: &World, status: &str) {
    until("the state of the bus", || async {
        let health = world.ask("GET", "/health", &[], Value::Null).await.body;
        let components = health["components"].as_array().unwrap();
        components.iter().any(|one| one["name"] == "bus" && one["status"] == status).then_some(())
    })
    .await;
}

/// How many messages the one stream has, asked as any program may: in the protocol's own words.
pub(crate) async fn messages(nats: &Nats) -> Value {
    let socket = TcpStream::connect(nats.url().trim_start_matches("nats://")).await.unwrap();
    let mut socket = BufReader::new(socket);
    let ask = "CONNECT {\"verbose\":false}\r\nSUB answers 1\r\nPUB $JS.API.STREAM.LIST answers 0\r\n\r\n";
    socket.write_all(ask.as_bytes()).await.unwrap();
    let answer = async {
        loop {
            let mut line = String::new();
            socket.read_line(&mut line).await.unwrap();
            if let Some(head) = line.strip_prefix("MSG ") {
                let mut body = vec![0; head.split_whitespace().last().unwrap().parse().unwrap()];
                socket.read_exact(&mut body).await.unwrap();
                return serde_json::from_slice::<Value>(&body).unwrap();
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.expect("NATS answers");
    answer["streams"][0]["state"]["messages"].clone()
}

/// How long a revoked key may be taken by another process.
const BOUND: Duration = Duration::from_secs(2);

/// Revokes a license on one process, and asks another one until it refuses the key: within the bound.
async fn revoked_within_the_bound(first: &mut World, second: &World, api_key: &str, id: &str, key: &str) {
    first.owner("POST", &format!("/licenses/{id}/revoke"), json!({})).await.expect(200);
    let revoked_at = Instant::now();
    loop {
        let asked = revoked_at.elapsed();
        match &*verdict(second, api_key, key, None).await {
            "REVOKED" => return,
            code => assert!(code == "VALID" && asked < BOUND, "{code}, asked {asked:?} after the revoke"),
        }
    }
}

/// A second process reads from a copy that is ten seconds behind and has no cache of its own: whatever it answers, a
/// revoked key is refused within the bound, and what was just made is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lags_brings_nothing_back() {
    let primary = Postgres::start().await;
    let mut this = Live::start(Engine::Postgres(primary.url())).await;
    let guild = this.guild("Copied", json!({})).await;
    let issued = this.world.cli(&["apikey", "issue", "--guild", &guild.id, "--kind", "publishable"]).await;
    let api_key = issued["key"].as_str().unwrap();
    let body = json!({ "guildId": guild.id, "type": "pro", "count": 30 });
    let made = this.world.owner("POST", "/admin/licenses/generate", body).await.expect(201);
    let made: Vec<(String, String)> = made["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one["key"].as_str().unwrap().to_owned()))
        .collect();
    let copy = primary.copy(Duration::from_secs(10)).await;
    let mut second = World::empty(Engine::Postgres(primary.url()));
    second.live();
    let ring = this.world.data_dir().join("live").join("keys").join("ring.json");
    for (name, value) in [
        ("DATABASE_REPLICA_URL", &*copy.url()),
        ("DCA_KEYS_FILE", ring.to_str().unwrap()),
        ("DCA_ROLE", "api"),
        ("DCA_CACHE_LICENSES", "0"),
    ] {
        second.set(name, value);
    }
    second.serve().await;
    let before = reads(&copy).await;
    for (_, key) in &made {
        assert_eq!(verdict(&second, api_key, key, None).await, "VALID");
    }
    // It counts them with a delay.
    until("the copy was asked", || async { (reads(&copy).await > before).then_some(()) }).await;
    for (id, key) in &made[..10] {
        revoked_within_the_bound(&mut this.world, &second, api_key, id, key).await;
    }
    // The copy has none of this yet, and says nothing about it.
    let listed = licenses(&mut second, &guild.id, None).await;
    assert_eq!(listed.iter().filter(|one| one["status"] == "revoked").count(), 10);
    for (_, key) in &made[..10] {
        assert_eq!(verdict(&second, api_key, key, None).await, "REVOKED");
    }
    // Without it everything goes on.
    drop(copy);
    for (index, (_, key)) in made.iter().enumerate() {
        let expected = if index < 10 { "REVOKED" } else { "VALID" };
        assert_eq!(verdict(&second, api_key, key, None).await, expected);
    }
    assert_eq!(licenses(&mut second, &guild.id, None).await.len(), 30);
}

/// Rows that a server has read of the read model of licenses, since it was started.
async fn reads(server: &Postgres) -> i64 {
    use sqlx::{Connection as _, Row as _};
    let mut connection = sqlx::PgConnection::connect(&server.url()).await.unwrap();
    let query =
        "SELECT coalesce(idx_scan, 0) + seq_scan FROM pg_stat_user_tables WHERE relname = 'license_view'";
    sqlx::query(query).fetch_one(&mut connection).await.unwrap().get(0)
}

/// The process that revokes is cut off from Redis, and there is no NATS: another one refuses the key within the bound
/// all the same, and so it does when Redis is full of what it had before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_holds_without_nats_and_with_redis_cut_from_the_writer() {
    let redis = Redis::start().await;
    let engine = Engine::postgres().await;
    let url = redis.url();
    let mut this = Live::start(engine.clone()).await;
    let mut second = World::empty(engine);
    second.live();
    let ring = this.world.data_dir().join("live").join("keys").join("ring.json");
    for (name, value) in
        [("REDIS_URL", &*url), ("DCA_KEYS_FILE", ring.to_str().unwrap()), ("DCA_ROLE", "api")]
    {
        second.set(name, value);
    }
    second.serve().await;
    assert_eq!(second.cli(&["status"]).await["engine"]["cache"], "redis");
    let guild = this.guild("Cut", json!({})).await;
    let issued = this.world.cli(&["apikey", "issue", "--guild", &guild.id, "--kind", "publishable"]).await;
    let api_key = issued["key"].as_str().unwrap();
    let body = json!({ "guildId": guild.id, "type": "pro", "count": 20 });
    let made = this.world.owner("POST", "/admin/licenses/generate", body).await.expect(201);
    for one in made["data"].as_array().unwrap() {
        let (id, key) = (one["id"].as_str().unwrap(), one["key"].as_str().unwrap());
        until("the other process has put it into Redis", || async {
            assert_eq!(verdict(&second, api_key, key, None).await, "VALID");
            redis.names().iter().any(|name| name.contains(id)).then_some(())
        })
        .await;
        revoked_within_the_bound(&mut this.world, &second, api_key, id, key).await;
    }
}

/// As in compose.yaml: the tables and the ring are made apart, and every process is given the ring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_begins_with_migrate() {
    let engine = Engine::postgres().await;
    let mut first = World::empty(engine.clone());
    first.set("DCA_KEYS_FILE", "");
    let made = first.cli(&["migrate"]).await;
    assert_eq!((&made["store"], &made["mode"]), (&json!("postgres"), &json!("live")));
    let ring = made["ring"].as_str().unwrap().to_owned();
    assert_eq!(first.cli(&["migrate"]).await, made, "once more, and nothing changes");
    let mut api = World::empty(engine.clone());
    api.live();
    api.set("DCA_KEYS_FILE", &ring);
    api.set("DCA_ROLE", "api");
    api.serve().await;
    assert_eq!(api.cli(&["status"]).await["roles"], json!(["api"]));
    // A folder that is served needs none, and says so; another ring does not get in.
    let refused = api.run(&["migrate"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("in use") && said.contains("help: "), "{said}");
    let stranger = World::empty(engine);
    let refused = stranger.run(&["migrate"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("ring.json"), "{said}");
}
