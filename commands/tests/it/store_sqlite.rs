//! What only the store in a file does.

use commands::store::{EngineConfig, Pools, Store, StoreError, sql};
use domain::guild::Guild;
use sqlx::{Executor, SqlitePool};

use crate::engines::Engine;
use crate::store_lab::{Lab, events, fresh};

fn pools(store: &Store) -> (SqlitePool, SqlitePool) {
    match store.pools() {
        Pools::Sqlite { read, write } => (read, write),
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn every_statement_prepares() {
    let lab = Lab::on(Engine::Sqlite).await;
    let mut connection = pools(&lab.store).1.acquire().await.unwrap();
    for statement in sql::SHARED.into_iter().chain(sql::sqlite::all()) {
        (&mut *connection).prepare(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test]
async fn the_log_refuses_changes() {
    let lab = Lab::on(Engine::Sqlite).await;
    lab.store.append(events(&fresh().1, 1, 1)).await.unwrap();
    let copy = "SELECT position, aggregate_type, aggregate_id, sequence, 'x', event_version, payload, metadata, \
                guild_id, recorded_at FROM events";
    for statement in [
        "UPDATE events SET payload = '{}'",
        "UPDATE events SET recorded_at = 0 WHERE position = 1",
        "DELETE FROM events",
        &format!("INSERT OR REPLACE INTO events {copy}"),
        &format!("REPLACE INTO events {copy}"),
    ] {
        let error = lab.sql(statement).await.unwrap_err().to_string();
        assert!(error.contains("the event log is append-only"), "{statement}: {error}");
    }
    assert_eq!(lab.store.check().await.unwrap().fault, None);
}

#[tokio::test]
async fn text_that_is_no_json_is_refused() {
    let lab = Lab::on(Engine::Sqlite).await;
    let mut append = events(&fresh().1, 1, 1);
    append.events[0].payload = "{".to_owned();
    let error = lab.store.append(append).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(lab.store.head().await.unwrap(), 0);
}

#[tokio::test]
async fn readers_cannot_write() {
    let lab = Lab::on(Engine::Sqlite).await;
    let (read, _) = pools(&lab.store);
    let error =
        sqlx::query("INSERT INTO meta VALUES ('a', 'b')").execute(&read).await.unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
}

#[tokio::test]
async fn commits_are_durable_before_they_are_answered() {
    let lab = Lab::on(Engine::Sqlite).await;
    let (_, write) = pools(&lab.store);
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&write).await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&write).await.unwrap();
    assert_eq!((journal.as_str(), synchronous), ("wal", 2));
}

#[tokio::test]
async fn opening_again_finds_everything() {
    let lab = Lab::on(Engine::Sqlite).await;
    let (_, stream) = fresh();
    lab.store.append(events(&stream, 1, 2)).await.unwrap();
    lab.store.set_meta("mode", "live").await.unwrap();
    lab.store.clone().close().await;
    let mut config = lab.config.clone();
    config.epoch = "ffffffffffffffff".to_owned();
    let again = Store::open(config).await.unwrap();
    assert_eq!(again.load::<Guild>(&stream).await.unwrap().version, 2);
    assert_eq!(again.meta("mode").await.unwrap().as_deref(), Some("live"));
    assert_eq!(again.epoch().await.unwrap(), lab.config.epoch, "the epoch is made once");
    assert_eq!(again.append(events(&stream, 3, 1)).await.unwrap().unwrap().first, 3);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let lab = Lab::on(Engine::Sqlite).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'future', 1, x'00', 0)";
    lab.sql(newer).await.unwrap();
    lab.store.clone().close().await;
    let error = Store::open(lab.config.clone()).await.err().unwrap();
    assert!(matches!(error, StoreError::SchemaNewer { found: 9999, known } if known < 9999), "{error}");
    let message = error.to_string();
    assert!(message.contains("9999") && message.contains("start the newer version"), "{message}");
}

#[tokio::test]
async fn an_edited_migration_is_refused() {
    let lab = Lab::on(Engine::Sqlite).await;
    lab.sql("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await.unwrap();
    lab.store.clone().close().await;
    let error = Store::open(lab.config.clone()).await.err().unwrap();
    assert!(matches!(&error, StoreError::Migration(why) if why.contains("migration 1")), "{error}");
}

#[tokio::test]
async fn the_database_of_another_program_is_refused_and_left_alone() {
    let lab = Lab::on(Engine::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let other = SqlitePool::connect_with(options).await.unwrap();
    other.execute("CREATE TABLE bookmarks (url TEXT)").await.unwrap();
    other.close().await;
    let before = std::fs::read(&path).unwrap();
    let mut config = lab.config.clone();
    config.engine = EngineConfig::Sqlite { path: path.clone(), readers: 1 };
    let error = Store::open(config).await.err().unwrap().to_string();
    assert!(error.contains("foreign.db") && error.contains("another program"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_folder_that_is_missing_is_named() {
    let lab = Lab::on(Engine::Sqlite).await;
    let mut config = lab.config.clone();
    config.engine = EngineConfig::Sqlite { path: "/nowhere/at/all/dca.db".into(), readers: 1 };
    let error = Store::open(config).await.err().unwrap().to_string();
    assert!(error.contains("/nowhere/at/all/dca.db") && error.contains("folder"), "{error}");
}

#[tokio::test]
async fn damage_is_found() {
    for (damage, position, what) in [
        ("UPDATE events SET payload = '{\"type\":\"guild.unheard_of\"}' WHERE position = 3", 3, "payload"),
        ("UPDATE events SET event_type = 'guild.unheard_of' WHERE position = 3", 3, "guild.unheard_of"),
        ("UPDATE events SET aggregate_type = 'house' WHERE position = 2", 2, "house"),
        ("UPDATE events SET recorded_at = 5 WHERE position = 4", 4, "before event 3"),
        ("UPDATE events SET sequence = 9 WHERE position = 5", 5, "says it is 9"),
        ("DELETE FROM events WHERE position = 2", 2, "missing"),
        ("UPDATE events SET metadata = '{}' WHERE position = 1", 1, "metadata"),
        ("UPDATE events SET payload = CAST(x'7b7dff' AS TEXT) WHERE position = 2", 2, ""),
    ] {
        let lab = Lab::on(Engine::Sqlite).await;
        lab.store.append(events(&fresh().1, 1, 5)).await.unwrap();
        let free = "DROP TRIGGER events_no_update; DROP TRIGGER events_no_delete; PRAGMA ignore_check_constraints = ON";
        lab.sql(free).await.unwrap();
        lab.sql(damage).await.unwrap();
        let checked = lab.store.check().await.unwrap();
        let fault = checked.fault.unwrap_or_else(|| panic!("not found: {damage}"));
        assert_eq!(fault.position, position, "{damage}: {}", fault.what);
        assert!(fault.what.contains(what), "{damage}: {}", fault.what);
        assert_eq!((checked.head, checked.sound), (5, position - 1));
    }
}
