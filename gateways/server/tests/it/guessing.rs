//! Somebody who guesses license keys, with an API key as it stands in every client: limits bite, no store is asked, and
//! programs that have a key are answered all the while. The million, and how long answers take beside it, `dca-auth bench
//! guess` shows.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use commands::ring::{KeyRing, os_random};
use domain::id::LicenseId;
use domain::key::{self, KeyVersion, Prefix};
use domain::time::Timestamp;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::aliases::import;
use crate::redis::Redis;
use crate::world::{Engine, World};

const GUESSES: usize = 10_000;
const AT_ONCE: usize = 16;
/// What one client address may ask in the time of the test, which is shorter than a day.
const QUOTA: usize = 1_000;
const LIMIT: &str = "1000/24h";
/// PostgreSQL's processes tell what they have counted about once a second.
const COUNTED: Duration = Duration::from_secs(2);

/// Transactions of PostgreSQL and commands of Redis so far.
async fn asked(url: &str, redis: &Redis) -> (i64, i64) {
    tokio::time::sleep(COUNTED).await;
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let text = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let transactions: i64 = sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap();
    let told = String::from_utf8(redis.ask(&["INFO", "stats"])).unwrap();
    let commands = told.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
    (transactions, commands.trim().parse().unwrap())
}

/// A program of the tenant's, which asks for its key again and again until it is stopped; how often it was answered.
async fn program(
    address: String,
    api_key: String,
    key: String,
    end: tokio_util::sync::CancellationToken,
) -> usize {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({ "key": key, "deviceId": "one" });
    let mut answered = 0;
    while !end.is_cancelled() {
        let request = client.post(&address).header("X-API-Key", &api_key).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["code"], "VALID", "{answer:#}");
        answered += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    answered
}

/// Guesses, each another key: some that this deployment could have made, some that are none. How many were answered.
async fn guess(address: String, api_key: String, count: usize, ring: Arc<KeyRing>) -> usize {
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let client = reqwest::Client::builder().no_proxy().local_address(from).build().unwrap();
    let mut answered = 0;
    for number in 0..count {
        let forged =
            key::render(&*ring, &Prefix::default(), LicenseId(Uuid::new_v4()), KeyVersion::default());
        let text = if number % 4 == 0 { format!("no-key-{}", Uuid::new_v4()) } else { forged.unwrap() };
        let request = client.post(&address).header("X-API-Key", &api_key).json(&json!({ "key": text }));
        let answer = request.send().await.unwrap();
        match answer.status().as_u16() {
            200 => {
                let told: Value = answer.json().await.unwrap();
                assert!(told["code"] == "NOT_FOUND" || told["code"] == "MALFORMED_KEY", "{told:#}");
                answered += 1;
            }
            429 => assert!(answer.headers().contains_key("retry-after"), "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_are_limited_ask_nobody_and_disturb_nobody() {
    let (redis, engine) = (Redis::start().await, Engine::postgres().await);
    let url = engine.database_url().unwrap().to_owned();
    let variables = [("REDIS_URL", &*redis.url()), ("DCA_LIMITS_VALIDATE", LIMIT)];
    let mut world = World::demo_with(engine, &variables).await;
    let (secret, publishable) =
        (world.api_key("secret", None).await, world.api_key("publishable", None).await);
    let (_, key) = world.generate("pro", 1).await.remove(0);
    // From here on a text that is no key of ours may be one of another system.
    let query = format!("guildId={}", world.facts.guild);
    assert_eq!(import(&mut world, &query, "type,key\npro,OLD-1\n").await["created"], 1);
    let device = json!({ "key": key, "deviceId": "one" });
    world.with_key(&secret, "POST", "/licenses/activate", device.clone()).await.expect(201);
    world.with_key(&secret, "POST", "/licenses/validate", device).await.expect(200);

    let address = format!("{}/licenses/validate", world.url());
    let end = tokio_util::sync::CancellationToken::new();
    let tenant = tokio::spawn(program(address.clone(), secret, key, end.clone()));
    let begin = Instant::now();
    let first = asked(&url, &redis).await;
    let second = asked(&url, &redis).await;
    let alone = begin.elapsed() / 2;
    let ring = Arc::new(KeyRing::generate(Timestamp::default(), &mut os_random).unwrap());
    let begin = Instant::now();
    let mut guessers = JoinSet::new();
    for _ in 0..AT_ONCE {
        guessers.spawn(guess(address.clone(), publishable.clone(), GUESSES / AT_ONCE, Arc::clone(&ring)));
    }
    let answered: usize = guessers.join_all().await.into_iter().sum();
    let third = asked(&url, &redis).await;
    let longer = begin.elapsed().as_secs_f64() / alone.as_secs_f64();
    end.cancel();
    assert!(tenant.await.unwrap() > 10, "the tenant's program was hardly answered");

    // One process spends at most its quota, and what it had counted before it told Redis.
    assert!((QUOTA..=QUOTA + 120).contains(&answered), "{answered} of {GUESSES} guesses were answered");
    // What is asked without guesses, in as long a time, and a little more; each guess that asks would show.
    let usual =
        |before: i64, after: i64| ((after - before) as f64 * longer * 2.0) as i64 + GUESSES as i64 / 20;
    let more = |before: i64, after: i64| after - before;
    let (idle, busy) = (usual(first.0, second.0), more(second.0, third.0));
    assert!(busy <= idle, "{busy} transactions beside guesses, where {idle} are usual at most");
    let (idle, busy) = (usual(first.1, second.1), more(second.1, third.1));
    assert!(busy <= idle, "{busy} commands of Redis beside guesses, where {idle} are usual at most");
}
