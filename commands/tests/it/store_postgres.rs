//! What only the store in PostgreSQL does.

use std::time::Duration;

use commands::store::{AppendError, EngineConfig, Pooler, Pools, Store, StoreError, sql};
use domain::guild::Guild;
use sqlx::{Connection, Executor, PgConnection, PgPool, Row};

use crate::engines::{self, Engine};
use crate::store_lab::{Lab, append_rate, events, fresh, idempotency, key};

fn pool(store: &Store) -> PgPool {
    match store.pools() {
        Pools::Postgres(pool) => pool,
        _ => unreachable!(),
    }
}

fn url(lab: &Lab) -> &str {
    match &lab.config.engine {
        EngineConfig::Postgres { url, .. } => url,
        _ => unreachable!(),
    }
}

async fn connect(lab: &Lab) -> PgConnection {
    PgConnection::connect(url(lab)).await.unwrap()
}

/// Waits until a query answers true.
async fn until(lab: &Lab, condition: &str) {
    let mut connection = connect(lab).await;
    for _ in 0..2_000 {
        if sqlx::query_scalar::<_, bool>(condition).fetch_one(&mut connection).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("did not come true: {condition}");
}

#[tokio::test]
async fn every_statement_prepares() {
    let lab = Lab::on(Engine::Postgres).await;
    let mut connection = connect(&lab).await;
    for statement in sql::SHARED.iter().chain(&sql::postgres::ALL) {
        (&mut connection).prepare(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test]
async fn the_log_refuses_changes() {
    let lab = Lab::on(Engine::Postgres).await;
    lab.store.append(events(&fresh().1, 1, 1)).await.unwrap();
    for statement in [
        "UPDATE events SET payload = '{}'",
        "UPDATE events SET recorded_at = 0 WHERE position = 999",
        "DELETE FROM events",
        "TRUNCATE events",
        "INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET guild_id = 'x'",
    ] {
        let error = lab.sql(statement).await.unwrap_err().to_string();
        assert!(error.contains("the event log is append-only"), "{statement}: {error}");
    }
    assert_eq!(lab.store.check().await.unwrap().fault, None);
}

#[tokio::test]
async fn the_last_position_is_read_from_the_index() {
    let lab = Lab::on(Engine::Postgres).await;
    let plan = "EXPLAIN SELECT e.position, e.recorded_at FROM events AS e ORDER BY e.position DESC LIMIT 1";
    let plan: Vec<String> = sqlx::query_scalar(plan).fetch_all(&pool(&lab.store)).await.unwrap();
    assert!(plan.join("\n").contains("Index Scan Backward"), "{plan:?}");
}

#[tokio::test]
async fn appending_under_another_isolation_level_is_refused() {
    let lab = Lab::on(Engine::Postgres).await;
    let mut connection = connect(&lab).await;
    let nothing = "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', \
                   '{}', '{}', '{}', '{}', '{}', '{}', '{}'";
    for (level, allowed) in [("READ COMMITTED", true), ("REPEATABLE READ", false), ("SERIALIZABLE", false)] {
        connection.execute(format!("BEGIN ISOLATION LEVEL {level}").as_str()).await.unwrap();
        let result = connection.execute(format!("SELECT * FROM append(1000, 0, {nothing})").as_str()).await;
        match result {
            Ok(_) => assert!(allowed, "{level}"),
            Err(error) => {
                assert!(!allowed, "{level}: {error}");
                assert!(error.to_string().contains("read committed"), "{error}");
            }
        }
        connection.execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_defaults_to_serializable_is_appended_to() {
    let lab = Lab::on(Engine::Postgres).await;
    lab.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', \
             current_database()); END $$",
    )
    .await
    .unwrap();
    lab.store.clone().close().await;
    let again = Store::open(lab.config.clone()).await.unwrap();
    again.append(events(&fresh().1, 1, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_snapshot_does_not_hold_appends_up() {
    let lab = Lab::on(Engine::Postgres).await;
    let time = Duration::from_millis(300);
    append_rate(&lab.store, 8, time).await;
    let without = append_rate(&lab.store, 8, time).await;
    let mut snapshot = connect(&lab).await;
    snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let count = "SELECT count(*) FROM events";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut snapshot).await.unwrap();
    let with = append_rate(&lab.store, 8, time).await;
    println!("appends/s with 8 tasks: {without:.0} without an open snapshot, {with:.0} with one");
    assert!(with > 0.0 && lab.store.head().await.unwrap() > before, "appends go on");
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut snapshot).await.unwrap(), before);
}

#[tokio::test]
async fn opening_again_finds_everything() {
    let lab = Lab::on(Engine::Postgres).await;
    let (_, stream) = fresh();
    lab.store.append(events(&stream, 1, 2)).await.unwrap();
    lab.store.clone().close().await;
    let mut config = lab.config.clone();
    config.epoch = "ffffffffffffffff".to_owned();
    let again = Store::open(config).await.unwrap();
    assert_eq!(again.load::<Guild>(&stream).await.unwrap().version, 2);
    assert_eq!(again.epoch().await.unwrap(), lab.config.epoch, "the epoch is made once");
    assert_eq!(again.append(events(&stream, 3, 1)).await.unwrap().unwrap().first, 3);
}

#[tokio::test]
async fn instances_that_start_together_migrate_once_and_share_one_log() {
    let mut lab = Lab::on(Engine::Postgres).await;
    let EngineConfig::Postgres { url, .. } = &mut lab.config.engine else { unreachable!() };
    *url = engines::fresh_database().await;
    let opened = futures::future::join_all((0..4).map(|n| {
        let mut config = lab.config.clone();
        config.epoch = format!("{n:016}");
        Store::open(config)
    }))
    .await;
    let stores: Vec<Store> = opened.into_iter().map(Result::unwrap).collect();
    let epoch = stores[0].epoch().await.unwrap();
    let (_, stream) = fresh();
    let twins =
        futures::future::join_all(stores.iter().map(|store| store.append(events(&stream, 1, 1)))).await;
    assert_eq!(twins.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(twins.iter().filter(|result| **result == Err(AppendError::Conflict)).count(), 3);
    let (_, stream) = fresh();
    for (store, sequence) in stores.iter().cycle().zip(1..=40) {
        assert_eq!(store.epoch().await.unwrap(), epoch);
        store.append(events(&stream, sequence, 1)).await.unwrap();
    }
    let checked = stores[0].check().await.unwrap();
    assert_eq!((checked.sound, checked.fault), (41, None));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let lab = Lab::on(Engine::Postgres).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'future', true, '\\x00', 0)";
    lab.sql(newer).await.unwrap();
    let error = Store::open(lab.config.clone()).await.err().unwrap();
    assert!(matches!(error, StoreError::SchemaNewer { found: 9999, known } if known < 9999), "{error}");
    assert!(error.to_string().contains("start the newer version"), "{error}");
}

#[tokio::test]
async fn damage_is_found() {
    for (damage, position, what) in [
        ("UPDATE events SET payload = '{\"type\":\"guild.unheard_of\"}' WHERE position = 3", 3, "payload"),
        ("UPDATE events SET recorded_at = 5 WHERE position = 4", 4, "before event 3"),
        ("UPDATE events SET sequence = 9 WHERE position = 5", 5, "says it is 9"),
        ("DELETE FROM events WHERE position = 2", 2, "missing"),
    ] {
        let lab = Lab::on(Engine::Postgres).await;
        lab.store.append(events(&fresh().1, 1, 5)).await.unwrap();
        lab.sql("DROP TRIGGER events_append_only ON events").await.unwrap();
        lab.sql(damage).await.unwrap();
        let fault = lab.store.check().await.unwrap().fault.unwrap_or_else(|| panic!("not found: {damage}"));
        assert_eq!(fault.position, position, "{damage}: {}", fault.what);
        assert!(fault.what.contains(what), "{damage}: {}", fault.what);
    }
}

#[tokio::test]
async fn text_that_is_no_json_is_refused_and_the_others_are_written() {
    let lab = Lab::on(Engine::Postgres).await;
    let mut appends: Vec<_> = (0..20).map(|_| events(&fresh().1, 1, 1)).collect();
    appends[9].events[0].payload = "{".to_owned();
    let results = futures::future::join_all(appends.into_iter().map(|append| lab.store.append(append))).await;
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(_) => assert_ne!(index, 9),
            Err(error) => {
                assert_eq!(index, 9, "{error}");
                assert!(matches!(error, AppendError::Unavailable(StoreError::Refused { .. })), "{error}");
            }
        }
    }
    assert_eq!(lab.store.head().await.unwrap(), 19);
}

/// Takes the lock of the log, so that appends wait.
async fn hold_the_lock(lab: &Lab) -> PgConnection {
    let mut connection = connect(lab).await;
    connection.execute("BEGIN").await.unwrap();
    connection.execute("SELECT pg_advisory_xact_lock(4918846881367287672)").await.unwrap();
    connection
}

const APPEND_WAITS: &str = "SELECT exists(SELECT 1 FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'dca-auth append')";

#[tokio::test]
async fn a_lock_that_is_not_given_back_makes_appends_unavailable_for_a_while() {
    let mut lab = Lab::on(Engine::Postgres).await;
    lab.store.clone().close().await;
    let EngineConfig::Postgres { lock_timeout, .. } = &mut lab.config.engine else { unreachable!() };
    *lock_timeout = Duration::from_millis(200);
    let store = Store::open(lab.config.clone()).await.unwrap();
    let holder = hold_the_lock(&lab).await;
    let (_, stream) = fresh();
    let error = store.append(events(&stream, 1, 1)).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(StoreError::Unavailable { .. })), "{error}");
    holder.close().await.unwrap();
    store.append(events(&stream, 1, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_unavailable_never_a_conflict_and_then_mends() {
    let lab = Lab::on(Engine::Postgres).await;
    let (_, stream) = fresh();
    lab.store.append(events(&stream, 1, 1)).await.unwrap();
    let holder = hold_the_lock(&lab).await;
    let appends: Vec<_> = (0..10)
        .map(|_| {
            let store = lab.store.clone();
            tokio::spawn(async move { store.append(events(&fresh().1, 1, 1)).await })
        })
        .collect();
    until(&lab, APPEND_WAITS).await;
    // Every connection of the store, the one that appends included.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name LIKE 'dca-auth%'";
    let count: i64 = connect(&lab).await.fetch_one(cut).await.unwrap().get(0);
    assert!(count >= 1);
    let (mut failed, mut written) = (0, 0);
    holder.close().await.unwrap();
    for append in appends {
        match append.await.unwrap() {
            // Commands that were not yet on their way are written on the next connection.
            Ok(_) => written += 1,
            Err(AppendError::Unavailable(StoreError::Unavailable { .. })) => failed += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(failed >= 1, "the command under way fails");
    assert_eq!(lab.store.load::<Guild>(&stream).await.unwrap().version, 1, "a read mends by itself");
    assert_eq!(lab.store.head().await.unwrap(), 1 + written);
    lab.store.append(events(&stream, 2, 1)).await.unwrap();
    assert_eq!(lab.store.check().await.unwrap().fault, None);
}

#[tokio::test]
async fn idle_connections_that_died_are_not_noticed_by_callers() {
    let lab = Lab::on(Engine::Postgres).await;
    let (_, stream) = fresh();
    lab.store.append(events(&stream, 1, 1)).await.unwrap();
    // Several connections in the pool.
    futures::future::join_all((0..8).map(|_| lab.store.head())).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name LIKE 'dca-auth%'";
    connect(&lab).await.execute(cut).await.unwrap();
    for result in futures::future::join_all((0..8).map(|_| lab.store.head())).await {
        assert_eq!(result, Ok(1));
    }
    // An append is not repeated by itself, so its connection is asked first once it lay idle for a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    lab.store.append(events(&stream, 2, 1)).await.unwrap();
    lab.store.set_meta("mode", "live").await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let mut lab = Lab::on(Engine::Postgres).await;
    let EngineConfig::Postgres { url, .. } = &mut lab.config.engine else { unreachable!() };
    *url = "postgres://postgres@127.0.0.1:1/none".to_owned();
    let error = Store::open(lab.config.clone()).await.err().unwrap();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    let EngineConfig::Postgres { url, .. } = &mut lab.config.engine else { unreachable!() };
    *url = "mysql://secret:password@host/x".to_owned();
    let error = Store::open(lab.config).await.err().unwrap().to_string();
    assert!(!error.contains("password"), "{error}");
}

/// Without a pooler between; that answers stay apart behind one is tested where a pooler is.
#[tokio::test]
async fn the_forms_for_a_pooler_in_transaction_mode_work() {
    let mut lab = Lab::on(Engine::Postgres).await;
    lab.store.clone().close().await;
    let EngineConfig::Postgres { url, pooler, .. } = &mut lab.config.engine else { unreachable!() };
    *pooler = Pooler::Transaction;
    let direct = url.clone();
    let error = Store::open(lab.config.clone()).await.err().unwrap().to_string();
    assert!(error.contains("DATABASE_DIRECT_URL"), "{error}");
    let EngineConfig::Postgres { direct_url, .. } = &mut lab.config.engine else { unreachable!() };
    *direct_url = Some(direct);
    let store = Store::open(lab.config.clone()).await.unwrap();
    let (_, stream) = fresh();
    store.append(events(&stream, 1, 3)).await.unwrap();
    assert_eq!(store.append(events(&stream, 3, 1)).await, Err(AppendError::Conflict));
    let write = commands::store::Append { idempotency: Some(idempotency("k")), ..events(&stream, 4, 1) };
    store.append(write).await.unwrap();
    assert_eq!(store.load::<Guild>(&stream).await.unwrap().version, 4);
    assert_eq!(store.stream(&stream).await.unwrap().len(), 4);
    assert_eq!(store.idempotency(&key("k")).await.unwrap().unwrap().last, Some(4));
    assert_eq!(store.check().await.unwrap().fault, None);
    let kept = "SELECT count(*) FROM pg_prepared_statements";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(kept).fetch_one(&pool(&store)).await.unwrap(),
        1,
        "only this one"
    );
}
