//! Several processes over one log: they hear of each other over NATS, every event reaches the stream for programs outside,
//! and without NATS everything goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::discord::{Live, PATIENCE, until, verdict, wait_for_live};
use crate::nats::Nats;
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

async fn bus_is(world: &World, status: &str) {
    until("the state of the bus", || async {
        let health = world.ask("GET", "/health", &[], Value::Null).await.body;
        let components = health["components"].as_array().unwrap();
        components.iter().any(|one| one["name"] == "bus" && one["status"] == status).then_some(())
    })
    .await;
}

/// How many messages the one stream has, asked as any program may: in the protocol's own words.
async fn messages(nats: &Nats) -> Value {
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
