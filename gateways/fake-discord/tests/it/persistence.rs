//! What survives a restart, and files that are refused.

use std::path::Path;

use fake_discord::{FakeDiscord, Settings, World as Seed, WorldGuild, WorldMember, WorldRole};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{GUILDS, TOKEN, World};

fn settings(path: &Path) -> Settings {
    Settings { state_file: Some(path.to_owned()), ..Settings::local(TOKEN) }
}

/// The same world at another start.
async fn again(world: World, path: &Path) -> World {
    let World { fake, http, guild, pro, ada } = world;
    // Dropped, not stopped: nothing is left to write at the end.
    drop(fake);
    let fake = FakeDiscord::start(settings(path)).await.unwrap();
    World { fake, http, guild, pro, ada }
}

#[tokio::test]
async fn everything_durable_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let world = World::with(settings(&path)).await;
    let commands = format!("/applications/{}/commands", world.fake.application_id());
    world.api(Method::PUT, &commands, json!([{"name": "license", "description": "d"}])).await;
    world.set_roles(&world.ada, &[&world.pro]).await;
    let dm = world.dm(&world.ada).await;
    let messages = format!("/channels/{dm}/messages");
    let body = json!({"content": "key", "nonce": "n", "enforce_nonce": true});
    let (_, sent) = world.api(Method::POST, &messages, body.clone()).await;
    world.must(Method::PUT, &format!("/users/{}/dms", world.ada), json!({"closed": true})).await;
    let (_, ready) = world.online(GUILDS).await;
    let before = world.must(Method::GET, "/state", Value::Null).await;
    let mut world = world;
    for _ in 0..2 {
        world = again(world, &path).await;
        assert_eq!(world.must(Method::GET, "/state", Value::Null).await, before);
        assert_eq!(world.get(&commands).await.1[0]["name"], "license");
        assert_eq!(world.inbox(&world.ada).await[0]["id"], sent["id"]);
        assert_eq!(world.dm(&world.ada).await, dm);
        // The nonce is remembered with its message.
        world.must(Method::PUT, &format!("/users/{}/dms", world.ada), json!({"closed": false})).await;
        assert_eq!(world.api(Method::POST, &messages, body.clone()).await.1["id"], sent["id"]);
        world.must(Method::PUT, &format!("/users/{}/dms", world.ada), json!({"closed": true})).await;
        let mut socket = world.connect().await;
        socket
            .say(json!({"op": 6, "d": {"token": TOKEN, "session_id": ready["session_id"], "seq": 1}}))
            .await;
        assert_eq!(socket.until_op(9).await["d"], false);
    }
    let made = world.make(&format!("/guilds/{}/roles", world.guild), json!({"name": "later"})).await;
    assert!(made.parse::<u64>().unwrap() > sent["id"].as_str().unwrap().parse::<u64>().unwrap());
}

#[tokio::test]
async fn a_cut_off_last_line_is_dropped_and_other_damage_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let world = World::with(settings(&path)).await;
    drop(world);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}[{{\"Acc")).unwrap();
    let fake = FakeDiscord::start(settings(&path)).await.unwrap();
    drop(fake);
    let lines: Vec<&str> = whole.lines().collect();
    assert!(lines.len() > 2);
    for (what, text, says) in [
        ("torn in the middle", format!("{}\n[{{\"Acc\n{}\n", lines[0], lines[1]), "damaged at line 2"),
        ("foreign", "{\"name\": \"something else\"}\n".to_owned(), "is not a state file"),
        ("no line", "nonsense".to_owned(), "is not a state file"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = FakeDiscord::start(settings(&path)).await.unwrap_err().to_string();
        assert!(error.contains(says), "{what}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{what}: the file was touched");
    }
}

#[tokio::test]
async fn the_world_of_the_settings_is_the_first_state_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let guild = WorldGuild {
        id: 500,
        name: "Seeded".to_owned(),
        owner_id: 1,
        roles: vec![WorldRole { id: 501, name: "Pro".to_owned(), position: 150, ..WorldRole::default() }],
        members: vec![WorldMember { id: 2, username: "Ada".to_owned(), roles: vec![501], bot: false }],
        ..WorldGuild::default()
    };
    let seeded = || Settings { world: Seed { guilds: vec![guild.clone()] }, ..settings(&path) };
    let world = World::with(seeded()).await;
    let member = world.get("/guilds/500/members/2").await.1;
    assert_eq!((&member["user"]["username"], &member["roles"]), (&json!("Ada"), &json!(["501"])));
    // The bot's role stands above those that were there.
    let (status, _) = world.api(Method::DELETE, "/guilds/500/members/2/roles/501", Value::Null).await;
    assert_eq!(status, 204);
    drop(world);
    let fake = FakeDiscord::start(seeded()).await.unwrap();
    let member = reqwest::Client::new().get(format!("{}/api/v10/guilds/500/members/2", fake.url()));
    let member: Value =
        member.header("authorization", format!("Bot {TOKEN}")).send().await.unwrap().json().await.unwrap();
    assert_eq!(member["roles"], json!([]));
    let url = fake.url().to_owned();
    fake.stop().await;
    assert!(reqwest::get(format!("{url}/api/v10/gateway")).await.is_err());
}
