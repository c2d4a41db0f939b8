//! Entries in a real Redis: what is written stays until something newer is, and nothing outlives its time.

use std::sync::Arc;
use std::time::Duration;

use domain::id::{GuildId, StreamId};
use tokio::time::Instant;

use super::{ENTRY_KEPT, Far, Found, RedisCache, RedisLimits, left};
use crate::cache::entry::tests::Ring;

#[path = "../../../tests/it/redis.rs"]
mod redis;

const WRITES: usize = 8;

async fn far(redis: &redis::Redis) -> Far {
    let limits = RedisLimits { timeout: Duration::from_secs(5), writes_max: WRITES };
    let cache = RedisCache::connect(&redis.url(), limits).unwrap();
    let far = Far::new(cache, Arc::new(Ring { active: 1, known: vec![1] }), "e1");
    let begin = Instant::now();
    while far.trouble().is_some() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not connect");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    far
}

async fn written(far: &Far, position: i64, as_of: i64, read_at: Instant) {
    let facts = format!("{position} as of {as_of}");
    far.put(&StreamId::guild(GuildId(7)), position, as_of, read_at, facts.as_bytes());
    let _all = far.redis.writes.acquire_many(WRITES as u32).await.unwrap();
}

async fn found(far: &Far) -> Option<String> {
    let text = |facts: &[u8], _| String::from_utf8(facts.to_vec()).ok();
    match far.get(&StreamId::guild(GuildId(7)), text).await {
        Found::Fact { value, left, .. } => {
            assert!(left <= ENTRY_KEPT);
            Some(value)
        }
        Found::Nothing | Found::Refused => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_write_replaces_nothing_newer() {
    let redis = redis::Redis::start().await;
    let (far, now) = (far(&redis).await, Instant::now());
    for ((position, as_of), expected) in [
        ((5, 20), "5 as of 20"),
        ((4, 30), "5 as of 20"),
        ((5, 19), "5 as of 20"),
        ((5, 21), "5 as of 21"),
        ((6, 6), "6 as of 6"),
    ] {
        written(&far, position, as_of, now).await;
        assert_eq!(found(&far).await.as_deref(), Some(expected), "after {position} as of {as_of}");
    }
    // What is no entry stands in nobody's way.
    let name = redis.names().remove(0);
    for rubbish in ["", "rubbish", "ffffffffffffffffffffffffffffffff and more"] {
        redis.put(&name, rubbish.as_bytes());
        assert_eq!(found(&far).await, None);
        written(&far, 6, 6, now).await;
        assert_eq!(found(&far).await.as_deref(), Some("6 as of 6"), "after {rubbish}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_is_counted_from_before_the_fact_was_read() {
    let redis = redis::Redis::start().await;
    let far = far(&redis).await;
    let Some(long_ago) = Instant::now().checked_sub(ENTRY_KEPT) else {
        panic!("the machine was just started")
    };
    written(&far, 5, 5, long_ago).await;
    assert_eq!(found(&far).await, None);
    assert!(redis.names().is_empty(), "it was not even written");
    written(&far, 5, 5, long_ago + Duration::from_secs(2)).await;
    let left: i64 = String::from_utf8(redis.ask(&["PTTL", &redis.names()[0]])).unwrap().parse().unwrap();
    assert!((1..=2_000).contains(&left), "{left} ms");
}

#[test]
fn an_entry_of_a_clock_far_ahead_is_refused() {
    let ms = |seconds: i64| 1_800_000_000_000 + seconds * 1_000;
    assert_eq!(left(ms(30), ms(0)), Some(ENTRY_KEPT));
    assert_eq!(left(ms(1), ms(0)), Some(Duration::from_secs(1)));
    assert_eq!(left(ms(35), ms(0)), Some(ENTRY_KEPT), "a clock that is a little ahead");
    for (until, now) in [(36, 0), (0, 0), (0, 1), (1_000_000, 0)] {
        assert_eq!(left(ms(until), ms(now)), None, "{until} at {now}");
    }
    assert_eq!(left(i64::MAX, i64::MIN), None);
}
