//! The key ring is rotated while the program runs: a secret is added, is known everywhere before anything is made with it,
//! and a leaked one is retired. Several processes are several data folders over one PostgreSQL, each with a key file.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::discord::{Live, until, verdict};
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    a_rotated_ring_makes_new_keys_and_takes_the_old_ones,
    commands_rotate_without_a_server_too,
    a_leaked_secret_is_retired,
    a_leaked_secret_of_encryption_is_retired,
    what_cannot_be_is_refused_by_name,
);

/// Asks the program, and gives the code of the failure.
async fn refused(world: &World, arguments: &[&str]) -> (String, String) {
    let output = world.run(&[arguments, &["--json"]].concat()).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} was done");
    let failure: Value = serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"));
    (failure["code"].as_str().unwrap_or_default().to_owned(), failure.to_string())
}

fn ring_of(world: &World) -> PathBuf {
    let mode = if world.data_dir().join("live").exists() { "live" } else { "demo" };
    world.data_dir().join(mode).join("keys").join("ring.json")
}

/// The row of `keys list` about one secret.
async fn secret(world: &World, id: &str) -> Value {
    let list = world.cli(&["keys", "list"]).await;
    list["data"].as_array().unwrap().iter().find(|row| row["id"] == id).cloned().unwrap_or_default()
}

/// A type whose licenses are valid as they are made.
async fn free(world: &mut World) {
    let body = json!({ "slug": "free", "name": "Free", "terms": {} });
    world.owner("POST", &format!("/guilds/{}/license-types", world.facts.guild), body).await.expect(201);
}

async fn a_rotated_ring_makes_new_keys_and_takes_the_old_ones(engine: Engine) {
    let mut world = World::demo(engine).await;
    free(&mut world).await;
    let api_key = world.api_key("publishable", None).await;
    let (_, before) = world.generate("free", 1).await.remove(0);
    assert_eq!(secret(&world, "license-0").await["active"], true);
    let added = world.cli(&["keys", "add", "--kind", "license"]).await;
    assert_eq!((&added["id"], &added["active"]), (&json!("license-1"), &json!(false)));
    assert_eq!(secret(&world, "license-1").await["active"], false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(ring_of(&world)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    until("every process knows it", || async {
        let list = world.cli(&["keys", "list"]).await;
        let knows = |process: &Value| process["secrets"].as_array().unwrap().contains(&json!("license-1"));
        list["processes"].as_array().unwrap().iter().all(knows).then_some(())
    })
    .await;
    let activated = world.cli(&["keys", "activate", "license-1"]).await;
    assert_eq!(activated["notYetFollowedBy"], json!([]));
    let (_, after) = world.generate("free", 1).await.remove(0);
    for key in [&before, &after] {
        assert_eq!(verdict(&world, &api_key, key, None).await, "VALID");
    }
    // Every other list as well: tokens of both secrets are taken, and what was sealed before opens.
    for kind in ["encryption", "access", "response", "certificate", "cache"] {
        let rotated = world.cli(&["keys", "rotate", "--kind", kind]).await;
        assert_eq!(rotated["id"], format!("{kind}-1"));
    }
    let path = format!("/licenses?limit=200&guildId={}", world.facts.guild);
    let shown = world.owner("GET", &path, Value::Null).await.expect(200);
    let owners = shown["data"].as_array().unwrap().iter().filter_map(|license| license["userId"].as_str());
    assert!(owners.filter(|owner| owner.parse::<u64>().is_ok()).count() >= 5, "{shown:#}");
    world.crash().await;
    assert_eq!(secret(&world, "license-1").await["active"], true, "the database kept it");
    assert_eq!(verdict(&world, &api_key, &before, None).await, "VALID");
    world.verify().await;
    let ring = std::fs::read_to_string(ring_of(&world)).unwrap();
    let ring: Value = serde_json::from_str(&ring).unwrap();
    let shown = world.cli(&["keys", "list"]).await.to_string() + &world.dump().await + &world.log();
    for list in ["license", "encryption", "access", "response", "certificate", "cache"] {
        for one in ring[list]["secrets"].as_array().unwrap() {
            assert!(!shown.contains(one["secret"].as_str().unwrap()), "a secret of {list} is shown");
        }
    }
}

async fn commands_rotate_without_a_server_too(engine: Engine) {
    let mut world = World::demo(engine).await;
    free(&mut world).await;
    let api_key = world.api_key("publishable", None).await;
    // A server that was killed counts as running elsewhere, but not for a command that has its folder.
    let killed = format!("process {}", world.pid());
    world.kill().await;
    assert_eq!(world.cli(&["keys", "rotate", "--kind", "license"]).await["id"], "license-1");
    let running = world.cli(&["keys", "list"]).await["processes"].clone();
    assert!(running.is_array() && !running.to_string().contains(&killed), "{running:#}");
    world.serve().await;
    let (_, key) = world.generate("free", 1).await.remove(0);
    assert_eq!(verdict(&world, &api_key, &key, None).await, "VALID");
    assert_eq!(secret(&world, "license-1").await["active"], true);
}

async fn a_leaked_secret_is_retired(engine: Engine) {
    let mut world = World::demo(engine).await;
    free(&mut world).await;
    let api_key = world.api_key("publishable", None).await;
    let made = world.generate("free", 30).await;
    let (revoked, ended) = world.generate("free", 1).await.remove(0);
    world.owner("POST", &format!("/licenses/{revoked}/revoke"), json!({})).await.expect(200);
    world.cli(&["keys", "rotate", "--kind", "license"]).await;
    let preview = world.cli(&["keys", "retire", "license-0", "--dry-run"]).await;
    assert!(preview["wouldRekey"].as_u64().unwrap() >= 30, "{preview:#}");
    assert!(preview["revoked"].as_u64().unwrap() >= 1, "{preview:#}");
    assert_eq!(verdict(&world, &api_key, &made[0].1, None).await, "VALID", "a dry run changes nothing");
    let done = world.cli(&["keys", "retire", "license-0"]).await;
    assert_eq!(done["rekeyed"], preview["wouldRekey"], "{done:#}");
    assert_eq!(done["refused"], 0);
    for (id, key) in &made {
        assert_eq!(verdict(&world, &api_key, key, None).await, "KEY_SUPERSEDED");
        let shown = world.owner("GET", &format!("/licenses/{id}"), Value::Null).await.expect(200);
        assert_eq!(shown["keyVersion"], 1);
    }
    assert_eq!(verdict(&world, &api_key, &ended, None).await, "REVOKED");
    let again = world.cli(&["keys", "retire", "license-0", "--dry-run"]).await;
    assert_eq!(again["wouldRekey"], 0);
    assert_eq!(world.cli(&["keys", "retire", "license-0"]).await["rekeyed"], done["rekeyed"]);
    let listed = world.cli(&["keys", "list"]).await;
    assert_eq!(listed["retirements"][0]["id"], "license-0", "{listed:#}");
    let (code, _) = refused(&world, &["keys", "activate", "license-0"]).await;
    assert_eq!(code, "SECRET_RETIRED");
    let path = format!("/licenses/{}/history", made[0].0);
    let told = world.owner("GET", &path, Value::Null).await.expect(200);
    let last = told["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["type"], "license.rekeyed", "{last:#}");
    assert!(last["actor"].to_string().contains("retire-key"), "{last:#}");
    world.verify().await;
}

async fn a_leaked_secret_of_encryption_is_retired(engine: Engine) {
    let mut world = World::demo(engine).await;
    let path = format!("/licenses?limit=200&guildId={}", world.facts.guild);
    let before = world.owner("GET", &path, Value::Null).await.expect(200);
    let owners = before["data"].as_array().unwrap().iter().filter_map(|license| license["userId"].as_str());
    assert!(owners.filter(|owner| owner.parse::<u64>().is_ok()).count() >= 5, "{before:#}");
    let (code, text) = refused(&world, &["keys", "retire", "encryption-0"]).await;
    assert_eq!(code, "SECRET_ACTIVE");
    assert!(text.contains("keys rotate --kind encryption"), "{text}");
    world.cli(&["keys", "rotate", "--kind", "encryption"]).await;
    let preview = world.cli(&["keys", "retire", "encryption-0", "--dry-run"]).await;
    assert!(preview["wouldRewrap"].as_u64().unwrap() >= 20, "{preview:#}");
    let done = world.cli(&["keys", "retire", "encryption-0"]).await;
    assert_eq!(done["rewrapped"], preview["wouldRewrap"], "{done:#}");
    assert_eq!(done["damaged"], 0);
    assert_eq!(world.cli(&["keys", "retire", "encryption-0", "--dry-run"]).await["wouldRewrap"], 0);
    // No copy of a key is left in a cache after a start, so what is shown was opened by the new secret.
    world.crash().await;
    let after = world.owner("GET", &path, Value::Null).await.expect(200);
    assert_eq!(after["data"], before["data"]);
    world.verify().await;
}

async fn what_cannot_be_is_refused_by_name(engine: Engine) {
    let world = World::demo(engine).await;
    for (arguments, code, named) in [
        (&["keys", "add", "--kind", "licence"][..], "INVALID_VALUE", "license, encryption"),
        (&["keys", "activate", "license-7"], "SECRET_NOT_FOUND", "license-7"),
        (&["keys", "activate", "seven"], "INVALID_VALUE", "license-1"),
        (&["keys", "retire", "license-0"], "SECRET_ACTIVE", "keys rotate --kind license"),
        (&["keys", "retire", "license-9"], "SECRET_NOT_FOUND", "license-9"),
        (&["keys", "retire", "access-0"], "INVALID_VALUE", "access"),
    ] {
        let (found, text) = refused(&world, arguments).await;
        assert_eq!(found, code, "{arguments:?}: {text}");
        assert!(text.contains(named), "{arguments:?}: {text}");
    }
}

/// Two servers over one database: `second` has a copy of the key file of `first`.
async fn two(variables: &[(&str, &str)]) -> (World, World) {
    let engine = Engine::postgres().await;
    let mut first = World::empty(engine.clone());
    let mut second = World::empty(engine);
    for world in [&mut first, &mut second] {
        world.live();
        for (name, value) in variables {
            world.set(name, value);
        }
    }
    first.serve().await;
    copy_ring(&first, &second);
    second.serve().await;
    (first, second)
}

fn copy_ring(from: &World, to: &World) {
    let target = to.data_dir().join("live").join("keys").join("ring.json");
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    let fresh = target.with_extension("copy");
    std::fs::copy(ring_of(from), &fresh).unwrap();
    std::fs::rename(&fresh, &target).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_activated_only_when_every_process_knows_it() {
    let (first, mut second) = two(&[("DCA_KEYS_LAPSE_MS", "3000")]).await;
    first.cli(&["keys", "add", "--kind", "license"]).await;
    let (code, text) = refused(&first, &["keys", "activate", "license-1"]).await;
    assert_eq!(code, "SECRET_NOT_KNOWN", "{text}");
    assert!(text.contains(second.url()) && !text.contains(first.url()), "who lacks it is named: {text}");
    assert!(secret(&first, "license-1").await["notKnownTo"][0].as_str().unwrap().contains(second.url()));
    assert_eq!(secret(&second, "license-1").await["inThisRing"], false);
    let health = first.ask("GET", "/health", &[], Value::Null).await.body;
    let keys = health["components"].as_array().unwrap().iter().find(|one| one["name"] == "keys").unwrap();
    assert!(keys["detail"].as_str().unwrap().contains("`license-1` is not known to 1 of 2"), "{health:#}");
    assert!(!health.to_string().contains(second.url()), "anybody may ask: {health:#}");
    let (code, text) = refused(&first, &["keys", "rotate", "--kind", "cache", "--wait", "PT1S"]).await;
    assert_eq!(code, "SECRET_NOT_KNOWN", "{text}");
    let (code, text) = refused(&second, &["keys", "add", "--kind", "license"]).await;
    assert_eq!(code, "SECRET_NOT_KNOWN", "two secrets would have one id: {text}");
    // The running process reads its file again by itself.
    copy_ring(&first, &second);
    until("the second knows it", || async {
        (secret(&first, "license-1").await["notKnownTo"] == json!([])).then_some(())
    })
    .await;
    let activated = second.cli(&["keys", "activate", "license-1"]).await;
    assert_eq!(activated["notYetFollowedBy"], json!([]), "both go by it when the command returns");
    assert_eq!(secret(&first, "license-1").await["active"], true);
    // A process that is killed is waited for as long as it may be alive, and no longer.
    second.kill().await;
    let rotated = first.cli(&["keys", "rotate", "--kind", "response"]).await;
    assert_eq!(rotated["id"], "response-1");
    // It comes back with a file that lacks what is active by now.
    let mut command = second.program();
    command.args(["serve", "--mode", "live"]).arg("--data-dir").arg(second.data_dir());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("`response-1`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_one_process_are_taken_by_the_other_from_the_first_moment() {
    let engine = Engine::postgres().await;
    let mut this = Live::start_with(engine.clone(), &[]).await;
    let guild = this.guild("Two", json!({})).await;
    let mut second = World::empty(engine);
    second.live();
    second.set("DCA_KEYS_FILE", ring_of(&this.world).to_str().unwrap());
    second.serve().await;
    let issued = this.world.cli(&["apikey", "issue", "--guild", &guild.id, "--kind", "publishable"]).await;
    let api_key = issued["key"].as_str().unwrap();
    let user = this.sim.join(&guild.id, "ada", &[&guild.role]).await;
    let before = this.sim.wait_for_key(&user, 0).await;
    this.world.cli(&["keys", "rotate", "--kind", "license"]).await;
    let order = json!({ "guildId": guild.id, "type": "standard", "count": 5 });
    for (from, to) in [(true, false), (false, true)] {
        let made = if from { &mut this.world } else { &mut second };
        let types =
            made.owner("GET", &format!("/guilds/{}/license-types", guild.id), Value::Null).await.expect(200);
        let mut order = order.clone();
        order["type"] = types["data"][0]["slug"].clone();
        let answer = made.owner("POST", "/admin/licenses/generate", order).await.expect(201);
        let taken = if to { &this.world } else { &second };
        for one in answer["data"].as_array().unwrap() {
            let code = verdict(taken, api_key, one["key"].as_str().unwrap(), None).await;
            assert_ne!(code, "NOT_FOUND", "a key of the other process is no forged one");
            assert_ne!(code, "MALFORMED_KEY");
        }
    }
    assert_eq!(verdict(&second, api_key, &before, None).await, "VALID");
}

/// The owner of a license from a role gets the new key the way he got the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_delivered_as_the_one_before_was() {
    let mut this = Live::start_with(Engine::postgres().await, &[("DCA_DISCORD_SLOT_PAUSE_MS", "0")]).await;
    let guild = this.guild("Leaky", json!({})).await;
    let issued = this.world.cli(&["apikey", "issue", "--guild", &guild.id, "--kind", "publishable"]).await;
    let api_key = issued["key"].as_str().unwrap();
    let user = this.sim.join(&guild.id, "ada", &[&guild.role]).await;
    let before = this.sim.wait_for_key(&user, 0).await;
    this.world.cli(&["keys", "rotate", "--kind", "license"]).await;
    let preview = this.world.cli(&["keys", "retire", "license-0", "--dry-run"]).await;
    assert_eq!((&preview["wouldRekey"], &preview["wouldDeliver"]), (&json!(1), &json!(1)), "{preview:#}");
    this.world.cli(&["keys", "retire", "license-0"]).await;
    let after = this.sim.wait_for_key(&user, 1).await;
    assert_ne!(before, after);
    assert_eq!(verdict(&this.world, api_key, &before, None).await, "KEY_SUPERSEDED");
    assert_eq!(verdict(&this.world, api_key, &after, None).await, "VALID");
    let inbox = this.sim.inbox(&user).await;
    assert!(inbox[1]["content"].as_str().unwrap().contains("new key"), "{inbox:#?}");
}

/// A retirement that is cut off is finished by whoever comes next, and nobody gets two new keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retirement_survives_the_process_that_works_on_it() {
    let small = [("DCA_JOBS_DUE_BATCH", "5"), ("DCA_JOBS_DUE_PARALLEL", "1")];
    let mut world = World::demo_with(Engine::postgres().await, &small).await;
    free(&mut world).await;
    let api_key = world.api_key("publishable", None).await;
    let made = world.generate("free", 400).await;
    world.cli(&["keys", "rotate", "--kind", "license"]).await;
    let token = format!("Bearer {}", world.token().await);
    let owner = [("Authorization", &*token)];
    let asked = world.try_ask("POST", "/_admin/keys/license-0/retire", &owner, json!({}));
    let killed = async {
        until("the first new keys", || async {
            let listed = world.ask("GET", "/_admin/keys", &owner, Value::Null).await.body;
            listed["retirements"][0]["rekeyed"].as_u64().filter(|count| *count > 0)
        })
        .await;
        let pid = world.pid().to_string();
        assert!(tokio::process::Command::new("kill").args(["-KILL", &pid]).status().await.unwrap().success());
    };
    let (answer, ()) = tokio::join!(asked, killed);
    assert!(answer.is_err(), "it was killed in the middle of the work: {answer:?}");
    world.crash().await;
    until("the retirement ends", || async {
        let listed = world.cli(&["keys", "list"]).await;
        (!listed["retirements"][0]["finishedAt"].is_null()).then_some(())
    })
    .await;
    for (id, key) in made.iter().step_by(7) {
        assert_eq!(verdict(&world, &api_key, key, None).await, "KEY_SUPERSEDED");
        let shown = world.owner("GET", &format!("/licenses/{id}"), Value::Null).await.expect(200);
        assert_eq!(shown["keyVersion"], 1, "one new key");
    }
    world.verify().await;
}

/// Two copies of one key file that were added to apart have the same root, and two secrets under one id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_secrets_under_one_id_are_refused_by_name() {
    let engine = Engine::postgres().await;
    let mut first = World::empty(engine.clone());
    first.live();
    first.serve().await;
    let mut apart = World::empty(Engine::Sqlite);
    apart.live();
    copy_ring(&first, &apart);
    apart.serve().await;
    for world in [&first, &apart] {
        world.cli(&["keys", "add", "--kind", "license"]).await;
    }
    let mut second = World::empty(engine);
    second.live();
    copy_ring(&apart, &second);
    let mut command = second.program();
    command.args(["serve", "--mode", "live"]).arg("--data-dir").arg(second.data_dir());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("two different secrets are known as `license-1`"),
        "{said}"
    );
    // A running process keeps what it has, says what is wrong, and goes on following what is activated.
    let good = std::fs::read(ring_of(&first)).unwrap();
    copy_ring(&apart, &first);
    let keys = |status: &'static str| {
        let first = &first;
        until("the health of the ring", move || async move {
            let health = first.ask("GET", "/health", &[], Value::Null).await.body;
            let components = health["components"].as_array().unwrap();
            components.iter().any(|one| one["name"] == "keys" && one["status"] == status).then_some(())
        })
    };
    keys("degraded").await;
    assert!(first.log().contains("two different secrets are known as `license-1`"), "{}", first.log());
    let (code, text) = refused(&first, &["keys", "activate", "license-1"]).await;
    assert!(code == "UNAVAILABLE" && text.contains("Nothing was activated"), "{text}");
    std::fs::write(ring_of(&second), &good).unwrap();
    second.serve().await;
    second.cli(&["keys", "activate", "license-1"]).await;
    assert_eq!(secret(&first, "license-1").await["active"], true);
    std::fs::write(ring_of(&first), good).unwrap();
    keys("ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rings_over_one_database_are_refused_with_both_fingerprints() {
    let engine = Engine::postgres().await;
    let mut first = World::empty(engine.clone());
    first.live();
    first.serve().await;
    let other = World::demo(Engine::Sqlite).await;
    let mut second = World::empty(engine);
    second.live();
    second.set("DCA_KEYS_FILE", ring_of(&other).to_str().unwrap());
    let mut command = second.program();
    command.args(["serve", "--mode", "live"]).arg("--data-dir").arg(second.data_dir());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for world in [&first, &other] {
        let fingerprint = world.cli(&["keys", "list"]).await["ring"].as_str().unwrap().to_owned();
        assert!(said.contains(&fingerprint), "{fingerprint} is named: {said}");
    }
}

/// A license key has one byte for its version: after 255 new keys there is no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_license_that_can_get_no_other_key_is_counted_and_named() {
    let mut world = World::demo(Engine::Sqlite).await;
    free(&mut world).await;
    let (id, _) = world.generate("free", 1).await.remove(0);
    for _ in 0..255 {
        world.owner("POST", &format!("/licenses/{id}/rekey"), json!({})).await.expect(200);
    }
    world.cli(&["keys", "rotate", "--kind", "license"]).await;
    let done = world.cli(&["keys", "retire", "license-0"]).await;
    assert_eq!(done["refused"], 1, "{done:#}");
    let log = world.log();
    assert!(log.contains(&id) && log.contains("REKEY_LIMIT"), "{log}");
    let again = world.cli(&["keys", "retire", "license-0"]).await;
    assert_eq!((&again["refused"], &again["rekeyed"]), (&json!(1), &done["rekeyed"]), "{again:#}");
}
