//! Limits that processes share over Redis: what each has spent adds up, on one server and on a cluster; what somebody else
//! wrote there is nothing; and without Redis there is no answer.

use std::time::{Duration, Instant};

use projections::{RedisCache, RedisLimits, SharedLimits, Spent};

use crate::engines::Engine;
use crate::redis::{Cluster, Redis};
use crate::world::{World, config};

const LIMITS: RedisLimits = RedisLimits { timeout: Duration::from_millis(250), writes_max: 10 };
const PATIENCE: Duration = Duration::from_secs(30);

async fn limits(world: &World, url: &str, epoch: &str) -> SharedLimits {
    let queries = world.sharing(config(), RedisCache::connect(url, LIMITS).unwrap(), epoch).await;
    let begin = Instant::now();
    while queries.cache_trouble().is_some() {
        assert!(begin.elapsed() < PATIENCE, "Redis is not reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    queries.shared_limits().unwrap()
}

fn spent(name: &str, cost_s: u64) -> Spent {
    Spent { name: name.to_owned(), cost: Duration::from_secs(cost_s), most: Duration::from_secs(1_000) }
}

/// Tells until somebody answers, as a busy server may need a second try.
async fn told(limits: &SharedLimits, all: &[Spent]) -> Vec<Duration> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = limits.tell(all).await {
            assert_eq!(answer.len(), all.len());
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "nobody answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// So much, less what was refilled since `begin`.
#[track_caller]
fn is_about(answer: Duration, seconds: u64, begin: Instant) {
    let most = Duration::from_secs(seconds);
    let least = most.saturating_sub(begin.elapsed() + Duration::from_millis(1));
    assert!((least..=most).contains(&answer), "{answer:?} instead of {most:?}");
}

async fn adds_up(first: &SharedLimits, second: &SharedLimits) {
    let begin = Instant::now();
    is_about(told(first, &[spent("a", 100)]).await[0], 100, begin);
    let both = told(second, &[spent("b", 7), spent("a", 50)]).await;
    is_about(both[0], 7, begin);
    is_about(both[1], 150, begin);
    is_about(told(first, &[spent("a", 5_000)]).await[0], 1_000, begin);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_process_spent_adds_up() {
    let (world, redis) = (World::new(Engine::Sqlite).await, Redis::start().await);
    let url = redis.url();
    let (first, second) = (limits(&world, &url, "e1").await, limits(&world, &url, "e1").await);
    adds_up(&first, &second).await;
    let begin = Instant::now();
    is_about(told(&limits(&world, &url, "e2").await, &[spent("a", 1)]).await[0], 1, begin);
    let names = redis.all_names();
    assert!(names.len() == 3 && names.iter().all(|name| name.starts_with("dca:{limits:e")), "{names:?}");
    assert!(names.iter().all(|name| redis.ask(&["PTTL", name]) != b"-1"), "each goes by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_limits_are_told_to_a_cluster_in_one_command() {
    let (world, cluster) = (World::new(Engine::Sqlite).await, Cluster::start().await);
    let url = cluster.url();
    let (first, second) = (limits(&world, &url, "e1").await, limits(&world, &url, "e1").await);
    adds_up(&first, &second).await;
    let begin = Instant::now();
    let many: Vec<Spent> = (0..256).map(|n| spent(&format!("limit {n}"), 1 + n)).collect();
    for (n, answer) in (0..).zip(told(&second, &many).await) {
        is_about(answer, 1 + n, begin);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_wrote_there_is_nothing() {
    let (world, redis) = (World::new(Engine::Sqlite).await, Redis::start().await);
    let limits = limits(&world, &redis.url(), "e1").await;
    told(&limits, &[spent("a", 100)]).await;
    let name = redis.all_names().remove(0);
    for lie in ["", "x", "nan", "inf", "-1", "0", "9e300", "99999999999999999999"] {
        redis.put(&name, lie.as_bytes());
        let begin = Instant::now();
        is_about(told(&limits, &[spent("a", 10)]).await[0], 10, begin);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_there_is_no_answer() {
    let (world, mut redis) = (World::new(Engine::Sqlite).await, Redis::start().await);
    let limits = limits(&world, &redis.url(), "e1").await;
    told(&limits, &[spent("a", 100)]).await;
    redis.freeze();
    assert_eq!(limits.tell(&[spent("a", 1)]).await, None, "frozen");
    redis.thaw();
    redis.kill();
    assert_eq!(limits.tell(&[spent("a", 1)]).await, None, "gone");
    redis.run().await;
    // Who had no answer may have been heard all the same.
    assert!(told(&limits, &[spent("a", 1)]).await[0] > Duration::ZERO);
}
