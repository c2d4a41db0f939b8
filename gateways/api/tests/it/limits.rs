//! How many requests a caller may send: that a limit bites and lets go, that callers do not touch each other, where an
//! address comes from, and what is told about it. Two processes and real connections: `gateways/server/tests/it/limits.rs`.

use std::time::{Duration, Instant};

use api::{ForwardedBy, Proxies, Rates};
use serde_json::json;

use crate::world::{ADA, BOB, Config, GUILD, Reply, World};

/// Longer than any of these tests takes, so that nothing is refilled meanwhile.
const SLOW: &str = "3/24h";

async fn limited(change: impl FnOnce(&mut Rates)) -> World {
    let mut rates = Rates::default();
    change(&mut rates);
    World::with(Config { rates, ..Config::default() }).await
}

/// The number behind `name=` in a header.
fn number(reply: &Reply, header: &str, name: &str) -> u32 {
    let text = reply.header(header).unwrap_or_else(|| panic!("no {header}: {reply:?}"));
    let found = text.split(';').find_map(|part| part.strip_prefix(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// A refusal in form, of the limit with this name.
#[track_caller]
fn is_refused(reply: &Reply, limit: &str) {
    assert_eq!(reply.problem(429), "RATE_LIMITED");
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(
        detail.contains(&format!("`{limit}`")) && detail.contains(&format!("`limits.{limit}`")),
        "{detail}"
    );
    let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1 && wait == number(reply, "ratelimit", "t"), "{reply:?}");
    assert_eq!(number(reply, "ratelimit", "r"), 0);
    assert!(reply.header("ratelimit").unwrap().starts_with(&format!("\"{limit}\";")), "{reply:?}");
}

#[tokio::test]
async fn a_limit_bites_and_says_what_is_left_until_then() {
    let world = limited(|rates| rates.read = Some(SLOW.parse().unwrap())).await;
    let secret = world.secret().await;
    for left in [2, 1, 0] {
        let reply = world.get("/licenses").key(&secret).empty().await;
        assert_eq!(reply.header("ratelimit-policy"), Some("\"read\";q=3;w=86400"));
        assert_eq!(reply.header("ratelimit"), Some(&*format!("\"read\";r={left};t=28800")));
        reply.ok(200);
    }
    let refused = world.get("/licenses").key(&secret).empty().await;
    is_refused(&refused, "read");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"read\";q=3;w=86400"));
    // What it may not see costs it as much; what is of another kind is counted apart.
    is_refused(&world.get("/guilds/9").key(&secret).empty().await, "read");
    let made = world.post("/licenses/x/suspend").key(&secret).empty().await;
    assert_eq!(made.problem(404), "NOT_FOUND");
    assert!(made.header("ratelimit").unwrap().starts_with("\"write\";"), "errors say it too: {made:?}");
}

#[tokio::test]
async fn a_limit_lets_go_again() {
    let world = limited(|rates| rates.read = Some("2/1s".parse().unwrap())).await;
    let ask = async || world.get("/licenses").token(ADA).empty().await;
    let begin = Instant::now();
    while ask().await.status == 200 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the limit never bites");
    }
    while ask().await.status == 429 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the limit never lets go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_refused_write_was_not_done_and_its_key_is_as_good_as_new() {
    let world = limited(|rates| rates.bulk = Some("1/1s".parse().unwrap())).await;
    let body = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 1 });
    let generate = async |key: &str| {
        let ask = world.post("/admin/licenses/generate").token("operator").header("idempotency-key", key);
        ask.json(&body).await
    };
    let begin = Instant::now();
    let (mut made, mut number) = (0, 0);
    let refused = loop {
        number += 1;
        let key = format!("write {number}");
        match generate(&key).await.status.as_u16() {
            429 => break key,
            _ => made += 1,
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the limit never bites");
    };
    let done = loop {
        let reply = generate(&refused).await;
        if reply.status != 429 {
            break reply;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the limit never lets go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(done.header("idempotency-replayed"), None);
    done.ok(201);
    world.settled().await;
    let listed = world.get("/licenses").token("operator").empty().await.ok(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), made + 1);
}

#[tokio::test]
async fn callers_do_not_touch_each_other() {
    let world = limited(|rates| rates.read = Some(SLOW.parse().unwrap())).await;
    let keys = [world.secret().await, world.secret().await];
    for _ in 0..4 {
        world.get("/licenses").key(&keys[0]).empty().await;
        world.get("/licenses").token(ADA).empty().await;
    }
    is_refused(&world.get("/licenses").key(&keys[0]).empty().await, "read");
    is_refused(&world.get("/licenses").token(ADA).empty().await, "read");
    world.get("/licenses").key(&keys[1]).empty().await.ok(200);
    world.get("/licenses").token(BOB).empty().await.ok(200);
    world.get("/licenses").token("operator").empty().await.ok(200);
}

#[tokio::test]
async fn clients_of_a_publishable_key_count_each_by_itself_and_secret_keys_not_at_all() {
    let world = limited(|rates| rates.validate = Some(SLOW.parse().unwrap())).await;
    let (publishable, secret) = (world.publishable().await, world.secret().await);
    let (_, key) = world.license("team").await;
    let body = json!({ "key": key });
    let ask = async |api_key: &str, peer: &str| {
        world.post("/licenses/validate").key(api_key).from(peer).json(&body).await
    };
    for left in [2, 1, 0] {
        let reply = ask(&publishable, "203.0.113.7").await;
        assert_eq!(number(&reply, "ratelimit", "r"), left);
        reply.ok(200);
    }
    is_refused(&ask(&publishable, "203.0.113.7").await, "validate");
    ask(&publishable, "203.0.113.8").await.ok(200);
    // A client with a network of IPv6 has as many addresses as it likes.
    for host in ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:1:0:ffff::3"] {
        ask(&publishable, host).await.ok(200);
    }
    is_refused(&ask(&publishable, "2001:db8:1::4").await, "validate");
    ask(&publishable, "2001:db8:1:1::1").await.ok(200);
    for _ in 0..10 {
        let reply = ask(&secret, "203.0.113.7").await;
        assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), (None, None));
        reply.ok(200);
    }
    // A heartbeat is what every client sends, too.
    let beat = json!({ "key": key, "deviceId": "one" });
    let reply = world.post("/licenses/heartbeat").key(&publishable).from("203.0.113.7").json(&beat).await;
    is_refused(&reply, "validate");
}

#[tokio::test]
async fn the_address_that_a_stranger_states_changes_nothing() {
    let rates = Rates { validate: Some(SLOW.parse().unwrap()), ..Rates::default() };
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], ForwardedBy::XForwardedFor);
    let world = World::with(Config { rates, proxies, ..Config::default() }).await;
    let (publishable, (_, key)) = (world.publishable().await, world.license("team").await);
    let ask = async |peer: &str, stated: &str| {
        let ask = world.post("/licenses/validate").key(&publishable).from(peer);
        let ask = ask.header("x-forwarded-for", stated).header("forwarded", &format!("for={stated}"));
        ask.json(&json!({ "key": key })).await
    };
    for number in 0..3 {
        ask("203.0.113.7", &format!("198.51.100.{number}")).await.ok(200);
    }
    is_refused(&ask("203.0.113.7", "198.51.100.9").await, "validate");
    // Behind a proxy of ours each of its clients counts by itself, and what those state about themselves is nothing.
    for number in 0..3 {
        ask("10.0.0.1", &format!("198.51.100.{number}, 192.0.2.5")).await.ok(200);
    }
    is_refused(&ask("10.0.0.2", "198.51.100.9, 192.0.2.5, 10.0.0.1").await, "validate");
    ask("10.0.0.1", "192.0.2.6").await.ok(200);
}

#[tokio::test]
async fn who_tries_credentials_is_stopped_and_those_beside_him_are_not() {
    let world = limited(|rates| rates.anonymous = Some(SLOW.parse().unwrap())).await;
    let secret = world.secret().await;
    let forged = format!("{}{}", &secret[..20], "A".repeat(secret.len() - 20));
    let guess = async |peer: &str| world.get("/licenses").key(&forged).from(peer).empty().await;
    for left in [2, 1, 0] {
        let reply = guess("203.0.113.7").await;
        assert_eq!(number(&reply, "ratelimit", "r"), left);
        assert_eq!(reply.problem(401), "INVALID_CREDENTIAL");
    }
    is_refused(&guess("203.0.113.7").await, "anonymous");
    // Any other failure from there counts together with these.
    let token = world.get("/licenses").header("authorization", "Bearer x.y.z").from("203.0.113.7");
    is_refused(&token.empty().await, "anonymous");
    is_refused(&world.get("/licenses").from("203.0.113.7").empty().await, "anonymous");
    // A token that has expired is no guess: it was made here.
    let token = world.token(ADA);
    world.advance(domain::time::Span::seconds(3_600));
    for _ in 0..5 {
        let late =
            world.get("/licenses").from("198.51.100.9").header("authorization", &format!("Bearer {token}"));
        assert_eq!(late.empty().await.problem(401), "CREDENTIAL_EXPIRED");
    }
    world.get("/licenses").key(&secret).from("203.0.113.7").empty().await.ok(200);
    world.get("/live").from("203.0.113.7").empty().await.ok(200);
    assert_eq!(guess("203.0.113.8").await.problem(401), "INVALID_CREDENTIAL");
}

#[tokio::test]
async fn signing_in_is_limited_by_address_before_anything_is_read() {
    let world = limited(|rates| rates.auth = Some(SLOW.parse().unwrap())).await;
    for left in [2, 1, 0] {
        let reply = world.post("/auth/nothing").from("203.0.113.7").json(&json!({})).await;
        assert_eq!(reply.problem(404), "NOT_FOUND");
        assert_eq!(number(&reply, "ratelimit", "r"), left);
    }
    is_refused(&world.post("/auth/nothing").from("203.0.113.7").json(&json!({})).await, "auth");
    is_refused(&world.get("/auth/nothing").token(ADA).from("203.0.113.7").empty().await, "auth");
    world.get("/auth/nothing").from("203.0.113.8").empty().await.problem(404);
}

#[tokio::test]
async fn much_work_at_once_has_a_limit_of_its_own() {
    let world = limited(|rates| rates.bulk = Some(SLOW.parse().unwrap())).await;
    let body = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 1 });
    let generate = async || world.post("/admin/licenses/generate").token("operator").json(&body).await;
    for _ in 0..3 {
        generate().await.ok(201);
    }
    is_refused(&generate().await, "bulk");
    let export = world.get(&format!("/guilds/{GUILD}/audit-log/export")).token("operator").empty().await;
    is_refused(&export, "bulk");
    world.get("/licenses").token("operator").empty().await.ok(200);
}

#[tokio::test]
async fn one_too_many_is_refused_without_looking_anything_up() {
    let world = limited(|rates| {
        rates.read = Some(SLOW.parse().unwrap());
        rates.validate = Some(SLOW.parse().unwrap());
    })
    .await;
    let (publishable, secret) = (world.publishable().await, world.secret().await);
    let read = async || world.get("/licenses").key(&secret).empty().await;
    let validate =
        async || world.post("/licenses/validate").key(&publishable).json(&json!({ "key": "x" })).await;
    for _ in 0..3 {
        read().await.ok(200);
        validate().await.ok(200);
    }
    // Even the key itself would be looked up in the cache, or else in the database.
    let before = format!("{:?}", world.queries.cache_stats().guilds);
    for _ in 0..5 {
        is_refused(&read().await, "read");
        is_refused(&validate().await, "validate");
    }
    assert_eq!(format!("{:?}", world.queries.cache_stats().guilds), before);
}

#[tokio::test]
async fn off_is_off() {
    let world = limited(|rates| {
        *rates = Rates {
            validate: None,
            validate_secret: None,
            read: None,
            write: None,
            bulk: None,
            auth: None,
            anonymous: None,
            buckets_max: 1_000,
        };
    })
    .await;
    for _ in 0..1_100 {
        let reply = world.get("/licenses").empty().await;
        assert_eq!(reply.problem(401), "CREDENTIAL_REQUIRED");
        assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), (None, None));
    }
}
