//! Rate limits of the built program, over connections of its own: one process, two that share a Redis, and what happens
//! when that Redis is gone. What each limit counts, `gateways/api/tests/it/limits.rs` asks.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::redis::Redis;
use crate::world::{Engine, World};

/// Longer than any of these tests takes, so that nothing is refilled meanwhile.
const QUOTA: usize = 400;
const SLOW: &str = "400/24h";
/// What a process spends at most before the others know: what is counted between two commands, and what is asked while one
/// is under way.
const BLOCK: usize = 100 + 20;

/// Asks whether a key is valid, with these headers beside the API key; status and headers of the answer.
async fn ask(world: &World, api_key: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let address = format!("{}/licenses/validate", world.url());
    let mut request = client.post(address).header("X-API-Key", api_key).json(&json!({ "key": "x" }));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// How many of so many questions in turn are answered; the others must be refused in form.
async fn admitted(worlds: &[&World], api_key: &str, questions: usize) -> usize {
    let mut admitted = 0;
    for number in 0..questions {
        let answer = ask(worlds[number % worlds.len()], api_key, &[]).await;
        match answer.status().as_u16() {
            200 => admitted += 1,
            429 => {
                assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
                let problem: Value = answer.json().await.unwrap();
                assert_eq!(problem["code"], "RATE_LIMITED");
            }
            _ => panic!("{answer:?}"),
        }
    }
    admitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_bites_and_lets_go_and_strangers_do_not_get_around_it() {
    let world = World::demo_with(Engine::Sqlite, &[("DCA_LIMITS_VALIDATE", "20/2s")]).await;
    let api_key = world.api_key("publishable", None).await;
    let begin = Instant::now();
    let mut number = 0;
    loop {
        // Each time from elsewhere, if one believes it.
        number += 1;
        let stated = format!("198.51.100.{}", number % 250);
        let answer =
            ask(&world, &api_key, &[("X-Forwarded-For", &stated), ("Forwarded", "for=192.0.2.1")]).await;
        let text = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(text("ratelimit-policy"), "\"validate\";q=20;w=2");
        assert!(text("ratelimit").starts_with("\"validate\";r="), "{answer:?}");
        if answer.status() == 429 {
            assert_eq!((text("ratelimit"), text("retry-after")), ("\"validate\";r=0;t=1", "1"));
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the limit never bites");
    }
    let other = world.api_key("publishable", None).await;
    assert_eq!(ask(&world, &other, &[]).await.status(), 200, "another caller");
    while ask(&world, &api_key, &[]).await.status() == 429 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the limit never lets go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_a_trusted_proxy_count_each_by_itself() {
    let variables = [("DCA_LIMITS_VALIDATE", "2/24h"), ("DCA_HTTP_TRUSTED_PROXIES", "127.0.0.0/8")];
    let world = World::demo_with(Engine::Sqlite, &variables).await;
    let api_key = world.api_key("publishable", None).await;
    let from =
        async |stated: &str| ask(&world, &api_key, &[("X-Forwarded-For", stated)]).await.status().as_u16();
    for client in ["198.51.100.1", "198.51.100.2", "2001:db8:1::1"] {
        assert_eq!((from(client).await, from(client).await, from(client).await), (200, 200, 429), "{client}");
    }
    assert_eq!(from("192.0.2.9, 198.51.100.1").await, 429, "what he says about himself");
    let over_tls = ask(&world, &api_key, &[("X-Forwarded-Proto", "https")]).await;
    assert!(over_tls.headers().contains_key("strict-transport-security"), "{over_tls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_limits_are_on_and_off_is_off() {
    let variables = [("DCA_LIMITS_VALIDATE", "1000/10s"), ("DCA_LIMITS_READ", "off")];
    let mut world = World::demo_with(Engine::Sqlite, &variables).await;
    let (publishable, secret) =
        (world.api_key("publishable", None).await, world.api_key("secret", None).await);
    let answer = ask(&world, &publishable, &[]).await;
    assert_eq!(answer.headers()["ratelimit-policy"], "\"validate\";q=1000;w=10");
    let answer = ask(&world, &secret, &[]).await;
    assert!(!answer.headers().contains_key("ratelimit"), "{answer:?}");
    for _ in 0..50 {
        world.owner("GET", "/licenses", Value::Null).await.expect(200);
    }
    let defaults = world.cli(&["config", "print"]).await.to_string();
    assert!(defaults.contains("limits.anonymous") && defaults.contains("100/60s"), "{defaults}");
}

/// Two processes over one Redis: first; second; and the Redis.
async fn two(variables: &[(&str, &str)]) -> (World, World, Redis) {
    let (redis, engine) = (Redis::start().await, Engine::postgres().await);
    let url = redis.url();
    let variables = [&[("REDIS_URL", &*url), ("DCA_LIMITS_VALIDATE", SLOW)], variables].concat();
    let first = World::demo_with(engine.clone(), &variables).await;
    let mut second = World::empty(engine);
    let ring = first.data_dir().join("demo").join("keys").join("ring.json");
    for (name, value) in
        [&variables[..], &[("DCA_KEYS_FILE", ring.to_str().unwrap()), ("DCA_ROLE", "api")]].concat()
    {
        second.set(name, value);
    }
    second.serve().await;
    (first, second, redis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_one_limit_and_few_commands() {
    let (first, second, redis) = two(&[]).await;
    let api_key = first.api_key("publishable", None).await;
    let both = admitted(&[&first, &second], &api_key, 3 * QUOTA).await;
    assert!((QUOTA..=QUOTA + 2 * BLOCK).contains(&both), "{both} of one quota of {QUOTA}");
    // Only these commands ask Redis for its time.
    let commands = redis.calls("time");
    assert!((1..=3 * QUOTA as u64 / 100).contains(&commands), "{commands}");
    assert_eq!(admitted(&[&first, &second], &api_key, 300).await, 0);
    assert_eq!(redis.calls("time"), commands, "refused requests cost no command");
    let kept = redis.dump();
    assert!(kept.contains("dca:{limits:") && !kept.contains("127.0.0.1"), "{kept}");
    // Another caller has a bucket of his own, of which one process alone is told nothing new.
    let other = first.api_key("publishable", None).await;
    assert_eq!(admitted(&[&second], &other, QUOTA + 50).await, QUOTA);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_redis_each_process_limits_by_itself() {
    let (first, second, mut redis) = two(&[]).await;
    redis.freeze();
    let frozen = first.api_key("publishable", None).await;
    assert_eq!(admitted(&[&first], &frozen, QUOTA + 50).await, QUOTA);
    redis.thaw();
    redis.kill();
    let gone = first.api_key("publishable", None).await;
    for world in [&first, &second] {
        assert_eq!(admitted(&[world], &gone, QUOTA + 50).await, QUOTA);
    }
    // Once it is back, they count together again.
    redis.run().await;
    let begin = Instant::now();
    loop {
        let fresh = first.api_key("publishable", None).await;
        if admitted(&[&first, &second], &fresh, 3 * QUOTA).await <= QUOTA + 2 * BLOCK {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "they never count together again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lies_lets_nobody_through_and_locks_nobody_out() {
    let (first, second, redis) = two(&[]).await;
    let api_key = first.api_key("publishable", None).await;
    let mut passed = admitted(&[&first, &second], &api_key, 220).await;
    assert_eq!(passed, 220);
    for lie in ["", "nan", "inf", "-1", "9e300", "x"] {
        for name in redis.all_names().iter().filter(|name| name.starts_with("dca:{limits:")) {
            redis.put(name, lie.as_bytes());
        }
        passed += admitted(&[&first, &second], &api_key, 110).await;
    }
    // What each has counted itself stands, whatever it is told.
    assert!((QUOTA..=2 * QUOTA).contains(&passed), "{passed}");
    let other = first.api_key("publishable", None).await;
    assert_eq!(admitted(&[&first, &second], &other, 100).await, 100);
}
