//! The control API: whom it answers, and how it refuses.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{GUILDS, MEMBERS, World};

#[tokio::test]
async fn foreign_hosts_and_origins_reach_nothing() {
    let world = World::start().await;
    let url = world.fake.url();
    let port = url.rsplit(':').next().unwrap();
    let (own, local) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let (six, own_origin) = (format!("[::1]:{port}"), format!("http://{local}"));
    for (host, origin, expected) in [
        (own.as_str(), None, 200),
        (&local, None, 200),
        (&six, None, 200),
        (&own, Some(own_origin.as_str()), 200),
        ("evil.example", None, 403),
        ("127.0.0.1:1", None, 403),
        ("127.0.0.1", None, 403),
        (&own, Some("http://evil.example"), 403),
        (&own, Some("null"), 403),
        (&own, Some("http://127.0.0.1:1"), 403),
        (&own, Some(""), 403),
    ] {
        for path in ["/_control/state", "/api/v10/gateway", "/oauth2/authorize"] {
            let mut request = world.http.get(format!("{url}{path}")).header("host", host);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let status = request.send().await.unwrap().status().as_u16();
            // The consent page is open, but nothing was asked of it.
            let expected = if path.starts_with("/oauth2") && expected == 200 { 400 } else { expected };
            assert_eq!(status, expected, "{host} {origin:?} {path}");
        }
    }
}

#[tokio::test]
async fn wrong_bodies_and_unknown_ids_are_named() {
    let world = World::start().await;
    let guild = world.guild.clone();
    let members = format!("/guilds/{guild}/members");
    for (method, path, body, status, named) in [
        (Method::POST, "/guilds".to_owned(), json!({"name": "x", "colour": 1}), 400, "colour"),
        (Method::PUT, "/settings".to_owned(), json!({"heartbeat": 1}), 400, "heartbeat"),
        (Method::POST, "/guilds/5/roles".to_owned(), json!({"name": "x"}), 404, "guild 5"),
        (Method::DELETE, format!("/guilds/{guild}/roles/5"), json!({}), 404, "role 5"),
        (Method::DELETE, format!("/guilds/{guild}/roles/{guild}"), json!({}), 400, "@everyone"),
        (Method::POST, members.clone(), json!({"username": "x", "roles": ["5"]}), 404, "role 5"),
        (Method::POST, members.clone(), json!({"id": world.ada}), 409, "member already"),
        (Method::POST, members.clone(), json!({"id": u64::MAX.to_string()}), 400, "not an id"),
        (Method::PUT, format!("{members}/5/roles"), json!({"roles": []}), 404, "member 5"),
        (Method::PUT, "/users/5/dms".to_owned(), json!({"closed": true}), 404, "user 5"),
        (Method::GET, "/users/5/inbox".to_owned(), Value::Null, 404, "user 5"),
        (Method::POST, "/jobs/sweep/run".to_owned(), json!({}), 404, "sweep"),
        (
            Method::PUT,
            "/settings".to_owned(),
            json!({"interactionsUrl": "http://example.com"}),
            400,
            "this machine",
        ),
        (Method::POST, "/nonsense".to_owned(), json!({}), 404, "nonsense"),
        (
            Method::PUT,
            "/limits".to_owned(),
            json!({"buckets": {"x": {"limit": 1, "perMs": 1}}}),
            400,
            "METHOD",
        ),
    ] {
        let answer = world.control(method, &path, body).await;
        assert_eq!(answer.0, status, "{path}: {}", answer.1);
        let error = answer.1["error"].as_str().unwrap();
        assert!(error.contains(named), "{path}: {error}");
    }
    let large = "x".repeat(1 << 20);
    let answer = world.control(Method::POST, "/guilds", json!({"name": large})).await;
    assert_eq!(answer.0, 413);
}

#[tokio::test]
async fn members_play_through_their_life() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    let members = format!("/guilds/{}/members", world.guild);
    let bob = json!({"id": "4711", "username": "Bob", "roles": [world.pro]});
    assert_eq!(world.make(&members, bob).await, "4711");
    let added = socket.until("GUILD_MEMBER_ADD").await["d"].clone();
    assert_eq!((&added["user"]["username"], &added["roles"]), (&json!("Bob"), &json!([world.pro])));
    let role = format!("{members}/4711/roles/{}", world.pro);
    assert_eq!(world.control(Method::DELETE, &role, Value::Null).await.0, 204);
    assert_eq!(socket.until("GUILD_MEMBER_UPDATE").await["d"]["roles"], json!([]));
    let given = world.must(Method::POST, &role, Value::Null).await;
    assert_eq!(given["roles"], json!([world.pro]));
    assert_eq!(socket.until("GUILD_MEMBER_UPDATE").await["d"]["roles"], json!([world.pro]));
    assert_eq!(world.control(Method::DELETE, &format!("{members}/4711"), Value::Null).await.0, 204);
    assert_eq!(socket.until("GUILD_MEMBER_REMOVE").await["d"]["user"]["id"], "4711");
    world.make(&members, json!({"id": 4711})).await;
    let back = socket.until("GUILD_MEMBER_ADD").await["d"].clone();
    assert_eq!((&back["user"]["username"], &back["roles"]), (&json!("Bob"), &json!([])));
}

#[tokio::test]
async fn the_library_plays_a_moderator() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    let (guild, pro): (u64, u64) = (world.guild.parse().unwrap(), world.pro.parse().unwrap());
    world.fake.set_member(guild, 99, Some(&[pro])).unwrap();
    assert_eq!(socket.until("GUILD_MEMBER_ADD").await["d"]["user"]["username"], "user99");
    world.fake.set_member(guild, 99, Some(&[])).unwrap();
    assert_eq!(socket.until("GUILD_MEMBER_UPDATE").await["d"]["roles"], json!([]));
    world.fake.set_member(guild, 99, None).unwrap();
    socket.until("GUILD_MEMBER_REMOVE").await;
    assert!(world.fake.set_member(guild, 99, Some(&[5])).is_err());
    assert!(world.fake.set_member(5, 99, None).is_err());
    assert!(world.fake.set_member(guild, world.fake.bot_id(), None).is_err());
}

#[tokio::test]
async fn the_journal_goes_on_where_one_left_off_and_holds_no_secrets() {
    let world = World::start().await;
    let (_socket, _) = world.online(GUILDS).await;
    world.get("/users/@me").await;
    let entries = world.journal().await;
    let kinds: BTreeSet<&str> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["control", "gateway-in", "gateway-out", "rest"]));
    assert!(!json!(entries).to_string().contains(crate::world::TOKEN));
    let last = entries.last().unwrap()["seq"].as_u64().unwrap();
    world.get("/gateway").await;
    let next = world.must(Method::GET, &format!("/journal?after={last}&limit=1"), Value::Null).await;
    assert_eq!((&next["entries"][0]["path"], &next["dropped"]), (&json!("/gateway"), &json!(0)));
}

#[tokio::test]
async fn a_loud_crowd_is_heard() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS | MEMBERS).await;
    world
        .must(Method::POST, &format!("/guilds/{}/crowd", world.guild), json!({"count": 5, "quiet": true}))
        .await;
    assert_eq!(socket.events().await, [""; 0]);
    world.must(Method::POST, &format!("/guilds/{}/crowd", world.guild), json!({"count": 5})).await;
    assert_eq!(socket.events().await, ["GUILD_MEMBER_ADD"; 5]);
}

#[tokio::test]
async fn the_clock_goes_forward() {
    let world = World::start().await;
    let before = world.must(Method::GET, "/clock", Value::Null).await["nowMs"].as_i64().unwrap();
    let after =
        world.must(Method::POST, "/clock", json!({"advanceS": 3_600})).await["nowMs"].as_i64().unwrap();
    assert!(after - before >= 3_600_000, "{before} {after}");
    assert_eq!(world.control(Method::POST, "/clock", json!({"advanceS": -1})).await.0, 400);
}

#[tokio::test]
async fn entitlements_begin_end_and_are_refunded() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let body = json!({"userId": world.ada, "skuId": "5"});
    let id = world.make("/entitlements", body).await;
    let created = socket.until("ENTITLEMENT_CREATE").await["d"].clone();
    assert_eq!(
        (&created["user_id"], &created["sku_id"], &created["ends_at"]),
        (&json!(world.ada), &json!("5"), &Value::Null)
    );
    let list = format!("/applications/{}/entitlements", world.fake.application_id());
    for (query, count) in
        [("", 1), ("?sku_ids=4,5", 1), ("?sku_ids=4", 0), ("?user_id=1", 0), ("?exclude_ended=true", 1)]
    {
        assert_eq!(world.get(&format!("{list}{query}")).await.1.as_array().unwrap().len(), count, "{query}");
    }
    let path = format!("/entitlements/{id}");
    world.must(Method::PUT, &path, json!({"endsAtMs": 0})).await;
    assert_eq!(socket.until("ENTITLEMENT_UPDATE").await["d"]["ends_at"], "1970-01-01T00:00:00.000000+00:00");
    assert_eq!(world.get(&format!("{list}?exclude_ended=true")).await.1, json!([]));
    assert_eq!(world.control(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(socket.until("ENTITLEMENT_DELETE").await["d"]["deleted"], true);
    assert_eq!(world.control(Method::DELETE, &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn channels_and_messages_can_be_deleted_under_the_bot() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS | 1 << 9).await;
    let channels = format!("/guilds/{}/channels", world.guild);
    let channel = world.make(&channels, json!({"name": "log"})).await;
    let (_, message) =
        world.api(Method::POST, &format!("/channels/{channel}/messages"), json!({"content": "x"})).await;
    let path = format!("/channels/{channel}/messages/{}", message["id"].as_str().unwrap());
    assert_eq!(world.control(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(socket.until("MESSAGE_DELETE").await["d"]["id"], message["id"]);
    assert_eq!(world.get(&path).await.1["code"], 10_008);
    assert_eq!(world.control(Method::DELETE, &format!("{channels}/{channel}"), Value::Null).await.0, 204);
    assert_eq!(socket.until("CHANNEL_DELETE").await["d"]["id"], json!(channel));
    assert_eq!(world.get(&format!("/channels/{channel}")).await.1["code"], 10_003);
}
