//! Processes that share facts over Redis: what one has read the others find; what is old, forged, of another place or of
//! another log is not used; and without Redis nothing is missing.

use std::time::{Duration, Instant};

use domain::id::GuildId;
use projections::{Config, Queries, RedisCache, RedisLimits, TierStats};

use crate::engines::Engine;
use crate::redis::{Cluster, Redis, Sentinel};
use crate::world::{
    GUILD, World, activated, assigned, config, generated, key, license_id, of_user, pseudonym, registered,
    revoked, validate,
};

crate::on_both_engines!(
    what_one_process_read_another_finds,
    an_old_entry_is_not_used_by_whoever_heard_of_more,
    a_forged_entry_changes_no_verdict,
    entries_of_another_epoch_are_not_seen,
    an_erased_person_is_not_shown_out_of_redis,
    without_redis_everything_goes_on,
    three_masters_share_and_one_may_fail,
    a_promoted_replica_brings_nothing_back,
);

const LIMITS: RedisLimits = RedisLimits { timeout: Duration::from_millis(250), writes_max: 1_000 };

async fn joined(world: &World, url: &str) -> Queries {
    joined_with(world, url, config()).await
}

async fn joined_with(world: &World, url: &str, config: Config) -> Queries {
    let queries = world.sharing(config, RedisCache::connect(url, LIMITS).unwrap(), "e1").await;
    until(|| queries.cache_trouble().is_none()).await;
    queries
}

/// Without a cache of its own, so that every question goes to the shared one.
fn far_only() -> Config {
    Config { license_entries: 0, user_entries: 0, ..config() }
}

async fn code(queries: &Queries, n: u128) -> String {
    queries.look().await.ok();
    validate(queries, GUILD, &key(license_id(n), 0)).await.code.as_str().to_owned()
}

fn licenses(queries: &Queries) -> TierStats {
    queries.cache_stats().licenses
}

async fn until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it does not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn entry(n: u128) -> String {
    format!("dca:e1:license:{}", license_id(n))
}

/// The position that an entry begins with; 0 if there is none.
fn position(redis: &Redis, name: &str) -> i64 {
    let bytes = redis.ask(&["GETRANGE", name, "0", "15"]);
    i64::from_str_radix(std::str::from_utf8(&bytes).unwrap(), 16).unwrap_or_default()
}

async fn what_one_process_read_another_finds(engine: Engine) {
    let (mut world, redis) = (World::new(engine).await, Redis::start().await);
    let id = license_id(1);
    world.append(vec![registered(7), generated(id), assigned(id, 7), activated(id, 7, 1)]).await;
    world.projector.catch_up().await.unwrap();
    let (first, second) = (joined(&world, &redis.url()).await, joined(&world, &redis.url()).await);
    let read = first.license(id).await.unwrap().unwrap();
    assert_eq!(code(&first, 1).await, "VALID");
    assert_eq!((licenses(&first).read_model, licenses(&first).shared), (1, 0));
    until(|| redis.names().len() == 2).await;
    let before = second.sql_statements();
    assert_eq!(validate(&second, GUILD, &key(id, 0)).await.code.as_str(), "VALID");
    assert_eq!(second.sql_statements(), before, "the other process asked the database");
    assert_eq!((licenses(&second).shared, second.cache_stats().users.shared), (1, 1));
    assert_eq!(second.license(id).await.unwrap().unwrap(), read, "the very same fact");
    assert_eq!(licenses(&second).hits, 1);
    // Nothing lives there for longer than floors are kept.
    for name in redis.names() {
        let left: i64 = String::from_utf8(redis.ask(&["PTTL", &name])).unwrap().parse().unwrap();
        assert!((1..=30_000).contains(&left), "{name} lives for {left} ms");
        assert!(!redis.dump().contains(&key(id, 0)), "no key stands there");
    }
}

async fn an_old_entry_is_not_used_by_whoever_heard_of_more(engine: Engine) {
    let (mut world, redis) = (World::new(engine).await, Redis::start().await);
    world.append(vec![generated(license_id(1))]).await;
    world.projector.catch_up().await.unwrap();
    let first = joined(&world, &redis.url()).await;
    assert_eq!(code(&first, 1).await, "VALID");
    until(|| position(&redis, &entry(1)) == 1).await;
    let old = redis.ask(&["GET", &entry(1)]);
    world.append_elsewhere(vec![revoked(license_id(1))]).await;
    // Whoever starts now has a floor under the last minute, whoever runs has one as soon as it looks.
    let second = joined_with(&world, &redis.url(), far_only()).await;
    for process in [&second, &first] {
        assert_eq!(code(process, 1).await, "REVOKED");
    }
    assert_eq!((licenses(&second).shared, licenses(&second).shared_refused), (0, 1));
    until(|| position(&redis, &entry(1)) == 2).await;
    // Somebody brings the old one back, sealed as it was.
    redis.put(&entry(1), &old);
    assert_eq!(code(&second, 1).await, "REVOKED");
    assert_eq!(licenses(&second).shared_refused, 2);
    until(|| position(&redis, &entry(1)) == 2).await;
}

async fn a_forged_entry_changes_no_verdict(engine: Engine) {
    let (mut world, redis) = (World::new(engine).await, Redis::start().await);
    world.append(vec![generated(license_id(1)), generated(license_id(2)), revoked(license_id(2))]).await;
    world.projector.catch_up().await.unwrap();
    let reader = joined_with(&world, &redis.url(), far_only()).await;
    assert_eq!((code(&reader, 1).await, code(&reader, 2).await), ("VALID".into(), "REVOKED".into()));
    until(|| redis.names().len() == 2).await;
    let [valid, revoked] = [1, 2].map(|n| redis.ask(&["GET", &entry(n)]));
    let mut newer = valid.clone();
    newer[..16].copy_from_slice(b"00000000ffffffff");
    let lies: [&[u8]; 7] = [
        b"",
        b"VALID",
        &valid,
        &newer,
        &revoked[..revoked.len() - 1],
        &[&b"ffffffffffffffff".repeat(4)[..], &[0; 32], b"{}"].concat(),
        &[&b"7fffffffffffffff".repeat(4)[..], &[0; 32], &valid[96..]].concat(),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        redis.put(&entry(2), lie);
        assert_eq!(code(&reader, 2).await, "REVOKED", "lie {index}");
        assert_eq!(licenses(&reader).shared_refused, index as u64 + 1, "lie {index}");
        // The right one is back.
        until(|| redis.ask(&["GETRANGE", &entry(2), "0", "15"]) == b"0000000000000003").await;
    }
    // What is there by name and is no text at all.
    redis.ask(&["DEL", &entry(2)]);
    redis.ask(&["LPUSH", &entry(2), "x"]);
    assert_eq!(code(&reader, 2).await, "REVOKED");
    assert_eq!(code(&reader, 1).await, "VALID");
}

async fn entries_of_another_epoch_are_not_seen(engine: Engine) {
    let (mut world, redis) = (World::new(engine).await, Redis::start().await);
    world.append(vec![generated(license_id(1))]).await;
    world.projector.catch_up().await.unwrap();
    let before = joined(&world, &redis.url()).await;
    assert_eq!(code(&before, 1).await, "VALID");
    until(|| position(&redis, &entry(1)) == 1).await;
    let cache = RedisCache::connect(&redis.url(), LIMITS).unwrap();
    let restored = world.sharing(far_only(), cache, "e2").await;
    until(|| restored.cache_trouble().is_none()).await;
    redis.put(&entry(1).replace("e1", "e2"), &redis.ask(&["GET", &entry(1)]));
    assert_eq!(code(&restored, 1).await, "VALID");
    assert_eq!((licenses(&restored).shared, licenses(&restored).shared_refused), (0, 1));
}

async fn an_erased_person_is_not_shown_out_of_redis(engine: Engine) {
    let (mut world, redis) = (World::new(engine).await, Redis::start().await);
    let id = license_id(1);
    world.append(vec![registered(7), generated(id), assigned(id, 7)]).await;
    world.projector.catch_up().await.unwrap();
    let (first, second) =
        (joined(&world, &redis.url()).await, joined_with(&world, &redis.url(), far_only()).await);
    let shown = |queries: Queries| async move {
        queries.license(id).await.unwrap().unwrap().personal.user_id.clone()
    };
    let clear = domain::private::Unsealed::Clear("7".to_owned());
    assert_eq!(shown(first.clone()).await, Some(clear.clone()));
    until(|| position(&redis, &entry(1)) == 3).await;
    let old = redis.ask(&["GET", &entry(1)]);
    world.vault.erase(&domain::private::Subject::User(pseudonym(7)));
    world.append_elsewhere(vec![of_user(7, domain::user::Event::Erased { at: crate::world::NOW })]).await;
    world.projector.catch_up().await.unwrap();
    for process in [&second, &first] {
        process.look().await.unwrap();
        redis.put(&entry(1), &old);
        assert_eq!(shown(process.clone()).await, Some(domain::private::Unsealed::Erased));
    }
}

async fn without_redis_everything_goes_on(engine: Engine) {
    let (mut world, mut redis) = (World::new(engine).await, Redis::start().await);
    let ids: Vec<u128> = (1..=40).collect();
    world.append(ids.iter().map(|n| generated(license_id(*n))).collect()).await;
    world.projector.catch_up().await.unwrap();
    let (first, second) =
        (joined(&world, &redis.url()).await, joined_with(&world, &redis.url(), far_only()).await);
    let mut refused = std::collections::BTreeSet::new();
    for (index, n) in ids.iter().enumerate() {
        match index {
            5 => redis.freeze(),
            12 => redis.thaw(),
            15 => redis.kill(),
            22 => redis.run().await,
            // Everything that was shared is gone.
            25 | 30 => drop(redis.ask(&["FLUSHALL"])),
            // Whoever hears of nothing in time answers from the database again.
            32 => until(|| first.cache_trouble().is_none() && second.cache_trouble().is_none()).await,
            _ => {}
        }
        assert_eq!(code(&first, *n).await, "VALID");
        if index % 3 == 0 {
            world.append_elsewhere(vec![revoked(license_id(*n))]).await;
            refused.insert(*n);
        }
        for known in &ids[..=index] {
            let expected = if refused.contains(known) { "REVOKED" } else { "VALID" };
            assert_eq!(code(&second, *known).await, expected, "license {known} at {index}");
        }
    }
    assert_eq!(code(&first, 1).await, "REVOKED");
    until(|| !redis.names().is_empty()).await;
}

/// On PostgreSQL only: a file is never away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_degrades_what_redis_has() {
    let (mut world, redis) = (World::new(Engine::Postgres).await, Redis::start().await);
    world.append(vec![generated(license_id(1)), generated(license_id(2))]).await;
    world.projector.catch_up().await.unwrap();
    let (first, second) = (joined(&world, &redis.url()).await, joined(&world, &redis.url()).await);
    assert_eq!(code(&first, 1).await, "VALID");
    until(|| position(&redis, &entry(1)) == 1).await;
    let projections::Db::Postgres(pool) = &world.db else { unreachable!("this is PostgreSQL") };
    pool.close().await;
    assert!(second.look().await.is_err());
    let known = validate(&second, GUILD, &key(license_id(1), 0)).await;
    assert_eq!(known.code.as_str(), "VALID", "another process had read it");
    let unknown = second.validate(crate::world::ask(GUILD, &key(license_id(2), 0))).await;
    assert!(matches!(unknown, Err(projections::QueryError::Unavailable(_))), "{unknown:?}");
    let other = second.validate(crate::world::ask(GuildId(5), &key(license_id(1), 0))).await.unwrap();
    assert_eq!(other.code.as_str(), "NOT_FOUND", "it is another guild's, and that is known");
}

async fn three_masters_share_and_one_may_fail(engine: Engine) {
    let (mut world, mut cluster) = (World::new(engine).await, Cluster::start().await);
    let ids: Vec<u128> = (1..=60).collect();
    world.append(ids.iter().map(|n| generated(license_id(*n))).collect()).await;
    world.projector.catch_up().await.unwrap();
    let (first, second) =
        (joined(&world, &cluster.url()).await, joined_with(&world, &cluster.url(), far_only()).await);
    for n in &ids {
        assert_eq!(code(&first, *n).await, "VALID");
    }
    let kept = |cluster: &Cluster| cluster.masters.iter().map(|one| one.names().len()).collect::<Vec<_>>();
    until(|| kept(&cluster).iter().sum::<usize>() == ids.len()).await;
    assert!(kept(&cluster).iter().all(|part| *part > 5), "each master has its part: {:?}", kept(&cluster));
    let before = second.sql_statements();
    for n in &ids {
        assert_eq!(validate(&second, GUILD, &key(license_id(*n), 0)).await.code.as_str(), "VALID");
    }
    assert_eq!((licenses(&second).shared, second.sql_statements()), (60, before));
    cluster.masters[1].kill();
    world.append_elsewhere(ids.iter().take(30).map(|n| revoked(license_id(*n))).collect()).await;
    for n in &ids {
        let expected = if *n <= 30 { "REVOKED" } else { "VALID" };
        for process in [&first, &second] {
            assert_eq!(code(process, *n).await, expected, "license {n}");
        }
    }
}

async fn a_promoted_replica_brings_nothing_back(engine: Engine) {
    let (mut world, mut servers) = (World::new(engine).await, Sentinel::start().await);
    let ids: Vec<u128> = (1..=20).collect();
    world.append(ids.iter().map(|n| generated(license_id(*n))).collect()).await;
    world.projector.catch_up().await.unwrap();
    let (first, second) =
        (joined(&world, &servers.url()).await, joined_with(&world, &servers.url(), far_only()).await);
    for n in &ids {
        assert_eq!(code(&first, *n).await, "VALID");
    }
    until(|| servers.replica.names().len() == ids.len()).await;
    let old: Vec<_> = ids.iter().map(|n| (entry(*n), servers.replica.ask(&["GET", &entry(*n)]))).collect();
    world.append_elsewhere(ids.iter().take(10).map(|n| revoked(license_id(*n))).collect()).await;
    let check = |second: Queries| async move {
        for n in 1..=20 {
            assert_eq!(code(&second, n).await, if n <= 10 { "REVOKED" } else { "VALID" }, "license {n}");
        }
    };
    check(second.clone()).await;
    servers.fail_over().await;
    // A replica that had heard nothing of it for a while.
    old.iter().for_each(|(name, bytes)| servers.replica.put(name, bytes));
    check(second.clone()).await;
    until(|| second.cache_trouble().is_none()).await;
    check(second.clone()).await;
    let before = licenses(&second).shared;
    until_shared(&second, before).await;
}

/// Until the process finds something that is shared again.
async fn until_shared(queries: &Queries, before: u64) {
    let begin = Instant::now();
    while licenses(queries).shared == before {
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing is shared after the failover");
        code(queries, 20).await;
    }
}
