//! Redis is wiped, killed, frozen, filled with lies, or fails over, while programs work and nothing else answers them from
//! memory: what one process revokes the others refuse in the published time, and nothing revoked comes back.

use super::invariants;
use super::load::Load;
use super::site::Site;
use crate::discord::until;
use crate::redis::{Cluster, Redis, Sentinel};
use crate::world::Engine;

/// Entries that are put back at once.
const PUT_BACK: usize = 40;

/// Two processes without a cache of their own for licenses and their owners, so that Redis is asked for each.
async fn start(redis: &str) -> Site {
    let variables = [("REDIS_URL", redis), ("DCA_CACHE_LICENSES", "0"), ("DCA_CACHE_USERS", "1")];
    let mut site = Site::start(Engine::postgres().await, &variables).await;
    site.join().await;
    site
}

/// Waits, while programs work, until there is something in Redis: who was cut off tries again after a second at most.
async fn is_used(redis: &Redis) {
    until("facts stand in Redis", || async { (!redis.names().is_empty()).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_flushed_killed_or_frozen_loses_nothing() {
    let mut redis = Redis::start().await;
    let mut site = start(&redis.url()).await;
    let load = Load::start(&site);
    for _ in 0..2 {
        load.more(30).await;
        is_used(&redis).await;
        redis.ask(&["FLUSHALL"]);
        load.more(30).await;
        redis.freeze();
        load.more(30).await;
        redis.thaw();
        load.more(30).await;
        redis.kill();
        load.more(30).await;
        redis.run().await;
    }
    is_used(&redis).await;
    load.more(30).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
}

/// Somebody with access to Redis keeps what was true, and puts it back when it no longer is; or gives one license the facts
/// of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lies_changes_no_answer() {
    let redis = Redis::start().await;
    let mut site = start(&redis.url()).await;
    let load = Load::start(&site);
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    for round in 0..8 {
        load.more(25).await;
        for (name, bytes) in &kept {
            redis.put(name, bytes);
        }
        let names: Vec<String> = redis.names().into_iter().take(PUT_BACK).collect();
        kept = names.iter().map(|name| (name.clone(), redis.ask(&["GET", name]))).collect();
        if round % 2 == 1 {
            let others = kept.clone();
            for ((name, _), (_, bytes)) in kept.iter().zip(others.iter().skip(1)) {
                redis.put(name, bytes);
            }
        }
    }
    let seen = load.end().await;
    assert!(!kept.is_empty(), "nobody has put anything into Redis");
    invariants::hold(&mut site, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_fails_over_under_load() {
    let mut servers = Sentinel::start().await;
    let mut site = start(&servers.url()).await;
    let load = Load::start(&site);
    load.more(60).await;
    servers.fail_over().await;
    is_used(&servers.replica).await;
    load.more(60).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_a_master_under_load() {
    let mut cluster = Cluster::start().await;
    let mut site = start(&cluster.url()).await;
    let load = Load::start(&site);
    for master in 0..2 {
        load.more(40).await;
        cluster.masters[master].kill();
        load.more(40).await;
        cluster.masters[master].run().await;
    }
    load.more(40).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
}
