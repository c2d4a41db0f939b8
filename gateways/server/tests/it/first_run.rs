//! The first minutes: an empty folder becomes a working demo, survives restarts and crashes, and whatever is wrong
//! with the surroundings is named together with its remedy.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::discord::until;
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    the_printed_request_answers_valid_and_goes_on_doing_so,
    a_crash_while_the_demo_is_made_is_made_good,
    a_second_server_is_refused_and_names_the_first,
    the_other_mode_is_refused,
    a_foreign_or_missing_ring_is_refused,
    a_newer_schema_is_refused,
    commands_work_with_and_without_a_server,
);

/// How a refused start looks: exit code 1, what is wrong, what to do, and no trace of the inside.
#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: "), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
    for inside in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!text.contains(inside), "{text}");
    }
}

/// The last validation that the banner printed, sent again: its answer.
async fn pasted(world: &World) -> Value {
    let printed = world.printed();
    let line = printed
        .lines()
        .rfind(|line| line.trim_start().starts_with("curl ") && line.contains("/licenses/validate"))
        .unwrap()
        .trim()
        .to_owned();
    let quoted: Vec<&str> = line.split('\'').collect();
    let path = line.split_whitespace().nth(2).unwrap().strip_prefix(world.url()).unwrap();
    let headers: Vec<(&str, &str)> =
        [quoted[1], quoted[3]].map(|header| header.split_once(": ").unwrap()).to_vec();
    let body: Value = serde_json::from_str(quoted[5]).unwrap();
    assert!(headers.iter().any(|(name, value)| *name == "X-API-Key" && value.starts_with("dca_pub_")));
    world.ask("POST", path, &headers, body).await.expect(200)
}

async fn the_printed_request_answers_valid_and_goes_on_doing_so(engine: Engine) {
    let mut world = World::demo(engine).await;
    let printed = world.printed();
    for word in ["DCA-Auth", "demo", "simulated", "data", world.url()] {
        assert!(printed.contains(word), "`{word}` is missing in {printed}");
    }
    assert_eq!(pasted(&world).await["code"], "VALID");
    let before = world.cli(&["status"]).await;
    assert_eq!(before["discord"], "simulated");
    assert!(before["position"].as_i64().unwrap() > 200, "{before:#}");
    for license in
        ["generated", "assigned", "activated", "active", "suspended", "expired", "renewed", "revoked"]
    {
        let path = format!("/licenses?guildId={}&status={license}", world.facts.guild);
        let found = world.owner("GET", &path, Value::Null).await.expect(200);
        assert!(!found["data"].as_array().unwrap().is_empty(), "the demo has no license that is {license}");
    }
    let health = world.ask("GET", "/health", &[], Value::Null).await.expect(200);
    assert_eq!(health["status"], "ok", "{health:#}");

    assert_eq!(world.stop().await, 0);
    assert!(!world.data_dir().join("demo/run.json").exists());
    world.serve().await;
    assert_eq!(pasted(&world).await["code"], "VALID");
    world.crash().await;
    assert_eq!(pasted(&world).await["code"], "VALID");
    let after = world.cli(&["status"]).await;
    // First validations come into the log a moment after their answers.
    assert!(after["position"].as_i64() >= before["position"].as_i64());
    world.verify().await;
}

async fn a_crash_while_the_demo_is_made_is_made_good(engine: Engine) {
    let mut world = World::empty(engine);
    for millis in [150, 400, 700] {
        let mut command = world.program();
        command.args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(world.data_dir());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        child.kill().await.unwrap();
    }
    world.serve().await;
    assert_eq!(pasted(&world).await["code"], "VALID");
    let status = world.cli(&["status"]).await;
    let undisturbed = World::demo(Engine::Sqlite).await;
    assert_eq!(status["position"], undisturbed.cli(&["status"]).await["position"]);
    world.verify().await;
}

async fn a_second_server_is_refused_and_names_the_first(engine: Engine) {
    let world = World::demo(engine).await;
    let second = world.run(&["serve", "--demo", "--listen", "127.0.0.1:0"]).await;
    refused(&second, &[&world.pid().to_string(), world.url(), "help: "]);
}

async fn the_other_mode_is_refused(engine: Engine) {
    let mut world = World::demo(engine).await;
    assert_eq!(world.stop().await, 0);
    if world.database_url().is_none() {
        let live = world.data_dir().join("live");
        std::fs::create_dir_all(&live).unwrap();
        std::fs::copy(world.data_dir().join("demo/dca-auth.db"), live.join("dca-auth.db")).unwrap();
    }
    let other = world.run(&["serve", "--mode", "live", "--listen", "127.0.0.1:0"]).await;
    refused(&other, &["demo mode", "live mode", "--mode demo"]);
}

async fn a_foreign_or_missing_ring_is_refused(engine: Engine) {
    let mut world = World::demo(engine).await;
    assert_eq!(world.stop().await, 0);
    let ring = world.data_dir().join("demo/keys/ring.json");
    let kept = std::fs::read(&ring).unwrap();
    std::fs::remove_file(&ring).unwrap();
    let serve = ["serve", "--demo", "--listen", "127.0.0.1:0"];
    refused(&world.run(&serve).await, &["ring.json", "DCA_KEYS_FILE"]);
    assert!(!ring.exists(), "a new ring was made for an old database");

    let mut stranger = World::empty(Engine::Sqlite);
    stranger.serve().await;
    std::fs::copy(stranger.data_dir().join("demo/keys/ring.json"), &ring).unwrap();
    refused(&world.run(&serve).await, &["key ring", "DCA_KEYS_FILE"]);

    std::fs::write(&ring, kept).unwrap();
    world.serve().await;
    assert_eq!(pasted(&world).await["code"], "VALID");
}

async fn a_newer_schema_is_refused(engine: Engine) {
    let mut world = World::demo(engine).await;
    assert_eq!(world.stop().await, 0);
    world.pretend_newer_schema().await;
    let output = world.run(&["serve", "--demo", "--listen", "127.0.0.1:0"]).await;
    refused(&output, &["9999", "newer"]);
}

async fn commands_work_with_and_without_a_server(engine: Engine) {
    let mut world = World::demo(engine).await;
    let guild = world.facts.guild.clone();
    for served in [true, false] {
        if !served {
            assert_eq!(world.stop().await, 0);
        }
        let status = world.cli(&["status"]).await;
        assert_eq!(status["url"].is_string(), served, "{status:#}");
        assert_eq!(status["demo"]["guildId"], guild.as_str());
        world.cli(&["clock", "advance", "PT1H"]).await;
        let made =
            world.cli(&["license", "generate", "--guild", &guild, "--type", "trial", "--count", "2"]).await;
        let id = made["data"][0]["id"].as_str().unwrap().to_owned();
        world.cli(&["license", "suspend", &id, "--reason", "looking into it"]).await;
        assert_eq!(world.cli(&["license", "show", &id]).await["status"], "suspended");
        world.cli(&["license", "resume", &id]).await;
        let told = world.cli(&["license", "history", &id]).await;
        assert_eq!(told["data"].as_array().unwrap().len(), 3, "{told:#}");
        assert_eq!(told["data"][1]["reason"], "looking into it");
        let listed =
            world.cli(&["license", "list", "--guild", &guild, "--type", "trial", "--limit", "2"]).await;
        assert_eq!(listed["data"].as_array().unwrap().len(), 2);
        world.cli(&["license", "revoke", &id, "--category", "fraud"]).await;
        assert_eq!(world.cli(&["license", "show", &id]).await["status"], "revoked");
        let again = world.run(&["license", "renew", &id, "--json"]).await;
        assert_eq!(again.status.code(), Some(3), "{again:?}");
        assert!(String::from_utf8_lossy(&again.stderr).contains("REVOKED"), "{again:?}");
        assert_eq!(
            world.run(&["license", "show", &uuid::Uuid::nil().to_string()]).await.status.code(),
            Some(3)
        );
        let key = world.cli(&["apikey", "issue", "--guild", &guild, "--kind", "publishable"]).await;
        assert!(key["id"].is_string() && key["key"].as_str().unwrap().starts_with("dca_pub_"), "{key:#}");
        let token = world.cli(&["admin", "token", "--user", &world.facts.grace]).await;
        assert!(token["accessToken"].is_string());
        let built = world.cli(&["rebuild", "license_view"]).await;
        assert_eq!(built["rebuilt"][0]["name"], "license_view", "{built:#}");
        assert_eq!(world.run(&["rebuild", "nothing"]).await.status.code(), Some(3));
        assert_eq!(world.run(&["healthcheck"]).await.status.code(), Some(if served { 0 } else { 1 }));
        world.verify().await;
    }
    world.serve().await;
    let grace = world.cli(&["admin", "token", "--user", &world.facts.grace]).await;
    let bearer = format!("Bearer {}", grace["accessToken"].as_str().unwrap());
    let headers = [("Authorization", bearer.as_str())];
    let path = format!("/guilds/{guild}");
    assert_eq!(world.ask("GET", &path, &headers, Value::Null).await.expect(200)["name"], "Northwind Games");
    assert_eq!(world.ask("GET", "/_admin/status", &headers, Value::Null).await.status, 403);
    assert_eq!(world.run(&["license", "nonsense"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_second_instance_of_one_database_needs_the_ring_of_the_first() {
    let engine = Engine::postgres().await;
    let mut first = World::demo(engine.clone()).await;
    let mut second = World::empty(engine);
    refused(&second.run(&DEMO).await, &["ring.json", "DCA_KEYS_FILE"]);
    let ring = first.data_dir().join("demo/keys/ring.json");
    second.set("DCA_KEYS_FILE", ring.to_str().unwrap());
    second.serve().await;
    first.cli(&["clock", "advance", "PT1H"]).await;
    let now = async |world: &World| {
        let clock = world.ask("GET", "/_demo/clock", &[], Value::Null).await.expect(200);
        clock["now"].as_str().unwrap().to_owned()
    };
    let moved = now(&first).await;
    until("the other instance follows the clock", || async { (now(&second).await >= moved).then_some(()) })
        .await;
    assert_eq!(second.cli(&["status"]).await["position"], first.cli(&["status"]).await["position"]);

    // What one instance takes back, the other refuses at once, or as soon as it has heard of it.
    second.facts = first.facts.clone();
    let (id, key) = second.generate("studio", 1).await.remove(0);
    let ada = first.facts.ada.clone();
    first.owner("POST", &format!("/licenses/{id}/assign"), json!({ "userId": ada })).await.expect(200);
    let api_key = first.api_key("publishable", None).await;
    let ask = json!({ "key": key });
    let code = async |world: &World| {
        world.with_key(&api_key, "POST", "/licenses/validate", ask.clone()).await.expect(200)["code"].clone()
    };
    assert_eq!((code(&first).await, code(&second).await), (json!("VALID"), json!("VALID")));
    first.owner("POST", &format!("/licenses/{id}/revoke"), json!({ "category": "fraud" })).await.expect(200);
    assert_eq!(code(&first).await, "REVOKED");
    let begin = std::time::Instant::now();
    while code(&second).await != "REVOKED" {
        assert!(begin.elapsed() < Duration::from_secs(2), "the other instance still says VALID");
    }
}

#[tokio::test]
async fn a_process_with_some_roles_joins_a_demo_that_is_made() {
    let engine = Engine::postgres().await;
    let mut part = World::empty(engine.clone());
    part.set("DCA_ROLE", "api");
    refused(&part.run(&DEMO).await, &["not made yet", "without --role"]);
    let first = World::demo(engine).await;
    let ring = first.data_dir().join("demo/keys/ring.json");
    part.set("DCA_KEYS_FILE", ring.to_str().unwrap());
    part.serve().await;
    let status = part.cli(&["status"]).await;
    assert_eq!((&status["roles"], &status["simulator"]), (&json!(["api"]), &Value::Null), "{status:#}");
    // Who has which role is said by the simulated Discord, which is in the other process.
    let roles = &first.facts.pro;
    let (guild, user) = (&first.facts.guild, &first.facts.ada);
    let observe = ["member", "observe", "--guild", guild, "--user", user, "--roles", roles, "--json"];
    let told = part.run(&observe).await;
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stderr).contains("has not the role `bot`"), "{told:?}");
    first.cli(&observe[..observe.len() - 1]).await;
    let list = ["license", "list", "--guild", guild, "--user", user, "--type", "pro"];
    until("the other process shows it", || async {
        part.cli(&list).await["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
}

/// A server that must not start, on SQLite; `prepare` makes the surroundings wrong.
async fn start_in(prepare: impl FnOnce(&Path), environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let world = World::empty(Engine::Sqlite);
    prepare(&world.data_dir());
    let mut command = world.program();
    command.args(arguments).arg("--data-dir").arg(world.data_dir());
    for (name, value) in environment {
        command.env(name, value);
    }
    tokio::time::timeout(Duration::from_secs(20), command.output()).await.expect("it ends").unwrap()
}

const DEMO: [&str; 4] = ["serve", "--demo", "--listen", "127.0.0.1:0"];

#[tokio::test]
async fn no_arguments_in_an_empty_folder_serve_a_demo() {
    let mut world = World::empty(Engine::Sqlite);
    world.serve_with(&[]).await;
    let status = world.cli(&["status"]).await;
    assert_eq!((status["mode"].as_str(), status["engine"]["store"].as_str()), (Some("demo"), Some("sqlite")));
    assert_eq!(pasted(&world).await["code"], "VALID");
}

#[tokio::test]
async fn a_busy_port_is_named_with_a_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = start_in(|_| {}, &[], &["serve", "--demo", "--listen", &address]).await;
    refused(&output, &[&address, "in use", "--listen"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_with_a_remedy() {
    let output = start_in(|data| std::fs::write(data, "a file").unwrap(), &[], &DEMO).await;
    refused(&output, &["cannot be written", "--data-dir"]);
}

#[tokio::test]
async fn a_foreign_file_in_the_place_of_the_database_is_left_alone() {
    let foreign = "these are somebody's notes, and no database at all";
    let world = World::empty(Engine::Sqlite);
    let path = world.data_dir().join("demo/dca-auth.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, foreign).unwrap();
    refused(&world.run(&DEMO).await, &["dca-auth.db", "not a database"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
}

#[tokio::test]
async fn a_misspelt_key_is_named_with_the_nearest_one_and_its_source() {
    let output = start_in(|_| {}, &[("DCA_CACHE_LICENCES", "5")], &DEMO).await;
    refused(&output, &["DCA_CACHE_LICENCES", "did you mean `DCA_CACHE_LICENSES`?", "environment variable"]);
    let write = |data: &Path| {
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(data.join("config.toml"), "[htp]\nbody_max_bytes = 2048\n").unwrap();
    };
    refused(
        &start_in(write, &[], &DEMO).await,
        &["htp.body_max_bytes", "`http.body_max_bytes`", "config.toml"],
    );
    for arguments in [&DEMO[..], &["serve", "--listen", "127.0.0.1:0"]] {
        refused(
            &start_in(|_| {}, &[("DCA_ROLE", "api")], arguments).await,
            &["api alone", "SQLite", "DATABASE_URL"],
        );
    }
    refused(&start_in(|_| {}, &[("REDIS_URL", "http://x")], &DEMO).await, &["redis.url", "redis://"]);
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_a_proxy_and_never_shows_a_demo() {
    let output = start_in(|_| {}, &[], &["serve", "--demo", "--listen", "0.0.0.0:0"]).await;
    refused(&output, &["0.0.0.0", "demo"]);
    let output = start_in(|_| {}, &[], &["serve", "--mode", "live", "--listen", "0.0.0.0:0"]).await;
    refused(&output, &["0.0.0.0", "--trusted-proxy"]);
}

#[tokio::test]
async fn a_live_server_without_discord_says_so_and_has_no_demo() {
    let mut world = World::empty(Engine::Sqlite);
    world.serve_with(&["serve", "--mode", "live", "--listen", "127.0.0.1:0"]).await;
    let status = world.cli(&["status"]).await;
    assert_eq!((status["discord"].as_str(), status["demo"].is_null()), (Some("off"), true), "{status:#}");
    let health = world.ask("GET", "/health", &[], Value::Null).await.expect(200);
    let discord =
        health["components"].as_array().unwrap().iter().find(|one| one["name"] == "discord").unwrap();
    assert_eq!(discord["status"], "off");
    assert!(discord["detail"].is_string());
    assert_eq!(world.ask("POST", "/_demo/clock", &[], json!({ "advance": "P1D" })).await.status, 404);
    assert_eq!(world.run(&["clock", "advance", "P1D"]).await.status.code(), Some(3));
    assert_eq!(world.run(&["admin", "token", "--user", "1"]).await.status.code(), Some(3));
    assert_eq!(world.stop().await, 0);
    // A folder with a live database is never a demo by default.
    world.serve_with(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(world.cli(&["status"]).await["mode"], "live");
    assert_eq!(world.stop().await, 0);
    world.serve().await;
    assert_eq!(world.cli(&["status"]).await["mode"], "demo");
    assert_eq!(world.stop().await, 0);
    let both = world.run(&["status"]).await;
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    assert!(String::from_utf8_lossy(&both.stderr).contains("--mode"), "{both:?}");
    assert_eq!(world.cli(&["status", "--mode", "live"]).await["mode"], "live");
}
