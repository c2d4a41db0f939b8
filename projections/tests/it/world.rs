//! A deployment in small: a database of its own with the migrations, a writer of events that stands in for the write
//! side, and the read side over it. The benches include this file by path.

#![allow(dead_code, reason = "each binary uses its own part of this")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::event::{Actor, DomainEvent, Metadata};
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym, StreamId};
use domain::key::{KeyVersion, Prefix, render};
use domain::license::{AssignedHow, Authority, Device, Event as LicenseEvent};
use domain::ports::{Floor as _, Mac};
use domain::private::{Person, Private};
use domain::terms::Terms;
use domain::time::Timestamp;
use projections::{Answer, Ask, Bus, Config, Db, Floors, Parts, Projector, Queries, RedisCache};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use uuid::Uuid;

use crate::engines::{Engine, fresh_database};
use crate::support::{TestRing, TestVault};

pub(crate) const GUILD: GuildId = GuildId(100);
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) queries: Queries,
    pub(crate) projector: Projector,
    pub(crate) floors: Arc<Floors>,
    pub(crate) vault: Arc<TestVault>,
    recorded_at: AtomicI64,
    sequences: Mutex<HashMap<StreamId, i64>>,
    actor: Mutex<Option<Actor>>,
    _folder: tempfile::TempDir,
}

/// An event to be appended.
pub(crate) struct New {
    pub(crate) stream: StreamId,
    pub(crate) guild: Option<GuildId>,
    pub(crate) event: DomainEvent,
    pub(crate) reason: Option<String>,
}

pub(crate) fn config() -> Config {
    Config {
        poll: Duration::from_millis(20),
        batch: 100,
        rebuild_page: 250,
        rebuild_entries: 200,
        ..Config::default()
    }
}

async fn sqlite(folder: &Path) -> Db {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("test.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5));
    let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite");
    Migrator::new(migrations).await.unwrap().run(&write).await.unwrap();
    let read =
        SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await.unwrap();
    Db::Sqlite { read, write }
}

async fn postgres() -> Db {
    let url = fresh_database().await;
    let pool =
        PgPoolOptions::new().max_connections(8).test_before_acquire(false).connect(&url).await.unwrap();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
    Migrator::new(migrations).await.unwrap().run(&pool).await.unwrap();
    Db::Postgres(pool)
}

impl World {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with(engine, config()).await
    }

    pub(crate) async fn with(engine: Engine, config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = match engine {
            Engine::Sqlite => sqlite(folder.path()).await,
            Engine::Postgres => postgres().await,
            Engine::Memory => panic!("the read side needs a database"),
        };
        let vault = Arc::new(TestVault::default());
        let (queries, floors) = read_side(&db, &vault, config, "e1", Bus::memory(), None);
        queries.prepare().await.unwrap();
        let projector = Projector::new(&queries);
        Self {
            db,
            queries,
            projector,
            floors,
            vault,
            recorded_at: AtomicI64::new(NOW.ms()),
            sequences: Mutex::default(),
            actor: Mutex::default(),
            _folder: folder,
        }
    }

    /// Another process over the same database.
    pub(crate) async fn another(&self, config: Config) -> (Queries, Arc<Floors>) {
        let (queries, floors) = read_side(&self.db, &self.vault, config, "e1", Bus::memory(), None);
        queries.prepare().await.unwrap();
        (queries, floors)
    }

    /// Another process that hears of others by `bus`.
    pub(crate) async fn on_bus(&self, config: Config, bus: Bus) -> (Queries, Arc<Floors>) {
        let (queries, floors) = read_side(&self.db, &self.vault, config, "e1", bus, None);
        queries.prepare().await.unwrap();
        (queries, floors)
    }

    /// Another process that shares facts by `redis`, in an epoch of the log.
    pub(crate) async fn sharing(&self, config: Config, redis: RedisCache, epoch: &str) -> Queries {
        let (queries, _) = read_side(&self.db, &self.vault, config, epoch, Bus::memory(), Some(redis));
        queries.prepare().await.unwrap();
        queries
    }

    /// A process after the log was restored, which gave it another epoch.
    pub(crate) async fn restored(&self, epoch: &str) -> Queries {
        let (queries, _) = read_side(&self.db, &self.vault, config(), epoch, Bus::memory(), None);
        queries.prepare().await.unwrap();
        queries
    }

    /// Who appends from now on; `None`: in turn the bot and an operator.
    pub(crate) fn act_as(&self, actor: Option<Actor>) {
        *self.actor.lock().unwrap() = actor;
    }

    /// Appends as another process would: nothing is raised here. The position of the last event.
    pub(crate) async fn append_elsewhere(&self, events: Vec<New>) -> i64 {
        self.write(events).await.last().map_or(0, |(_, position)| *position)
    }

    /// Appends as this process does: floors are raised before the call returns.
    pub(crate) async fn append(&self, events: Vec<New>) -> i64 {
        let aliased: Vec<Option<GuildId>> = events
            .iter()
            .map(|new| new.guild.filter(|_| new.event.wire().0 == domain::alias::ADDED))
            .collect();
        let written = self.write(events).await;
        for (guild, (_, position)) in aliased.iter().zip(&written) {
            guild.iter().for_each(|guild| self.floors.raise_aliases(*guild, *position));
        }
        let mut last = 0;
        for (stream, position) in written {
            self.floors.raise(&stream, position);
            last = position;
        }
        self.floors.advance(last);
        last
    }

    async fn write(&self, events: Vec<New>) -> Vec<(StreamId, i64)> {
        let first = self.number("SELECT coalesce(max(position), 0) FROM events").await;
        let rows: Vec<EventRow> =
            events.iter().zip(first + 1..).map(|(new, position)| self.row(new, position)).collect();
        match &self.db {
            Db::Sqlite { write, .. } => {
                let mut tx = write.begin().await.unwrap();
                for row in rows {
                    let insert = "INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
                    let query =
                        sqlx::query(insert).bind(row.position).bind(row.kind).bind(row.id).bind(row.sequence);
                    let query = query.bind(row.event_type).bind(row.event_version).bind(row.payload);
                    query.bind(row.metadata).bind(row.guild).bind(row.at).execute(&mut *tx).await.unwrap();
                }
                tx.commit().await.unwrap();
            }
            Db::Postgres(pool) => {
                let insert = "INSERT INTO events SELECT a, b, c, d, e, f, g::json, h::json, i, j FROM UNNEST($1::bigint[], \
                    $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
                    $10::bigint[]) AS t (a, b, c, d, e, f, g, h, i, j)";
                fn column<T>(rows: &[EventRow], cell: impl Fn(&EventRow) -> T) -> Vec<T> {
                    rows.iter().map(cell).collect()
                }
                sqlx::query(insert)
                    .bind(column(&rows, |row| row.position))
                    .bind(column(&rows, |row| row.kind))
                    .bind(column(&rows, |row| row.id.clone()))
                    .bind(column(&rows, |row| row.sequence))
                    .bind(column(&rows, |row| row.event_type.clone()))
                    .bind(column(&rows, |row| row.event_version.clone()))
                    .bind(column(&rows, |row| row.payload.clone()))
                    .bind(column(&rows, |row| row.metadata.clone()))
                    .bind(column(&rows, |row| row.guild.clone()))
                    .bind(column(&rows, |row| row.at))
                    .execute(pool)
                    .await
                    .unwrap();
            }
        }
        events.into_iter().map(|new| new.stream).zip(first + 1..).collect()
    }

    fn row(&self, new: &New, position: i64) -> EventRow {
        let mut sequences = self.sequences.lock().unwrap();
        let sequence = sequences.entry(new.stream.clone()).or_insert(0);
        *sequence += 1;
        let mut event = new.event.clone();
        self.vault.seal_event(&mut event, &new.stream, *sequence as u64);
        let reason = new.reason.clone().map(|text| {
            let mut reason = Private::of_guild(GUILD, text);
            self.vault.seal_field(&mut reason, &new.stream, *sequence as u64, "reason");
            reason
        });
        let in_turn = if position % 3 == 0 { Actor::Bot } else { Actor::Operator };
        let metadata = Metadata {
            id: Uuid::from_u128(position as u128),
            actor: self.actor.lock().unwrap().clone().unwrap_or(in_turn),
            reason,
            correlation_id: format!("request-{}", position / 5),
            causation_id: format!("command-{position}"),
            trace: None,
            simulated: false,
        };
        let (event_type, event_version) = event.wire();
        EventRow {
            position,
            kind: new.stream.kind.as_str(),
            id: new.stream.id.to_string(),
            sequence: *sequence,
            event_type,
            event_version,
            payload: event.payload().unwrap(),
            metadata: serde_json::to_string(&metadata).unwrap(),
            guild: new.guild.map(|guild| guild.to_string()),
            at: self.recorded_at.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Appends an event that nobody can read, as another process would; its position.
    pub(crate) async fn poison(&self, stream: &StreamId, event_type: &str) -> i64 {
        let sequence = {
            let mut sequences = self.sequences.lock().unwrap();
            let sequence = sequences.entry(stream.clone()).or_insert(0);
            *sequence += 1;
            *sequence
        };
        let position = self.number("SELECT max(position) + 1 FROM events").await;
        self.execute(&format!(
            "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
             metadata, guild_id, recorded_at) SELECT {position}, '{}', '{}', {sequence}, '{event_type}', '1', \
             '{{\"type\":\"{event_type}\",\"what\":1}}', metadata, NULL, recorded_at FROM events WHERE position = 1",
            stream.kind.as_str(),
            stream.id
        ))
        .await;
        position
    }

    /// The clock of the log.
    pub(crate) fn pass(&self, span: Duration) {
        self.recorded_at.fetch_add(span.as_millis() as i64, Ordering::Relaxed);
    }

    pub(crate) async fn execute(&self, sql: &str) {
        match &self.db {
            Db::Sqlite { write, .. } => drop(sqlx::query(sql).execute(write).await.unwrap()),
            Db::Postgres(pool) => drop(sqlx::query(sql).execute(pool).await.unwrap()),
        }
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match &self.db {
            Db::Sqlite { write, .. } => sqlx::query_scalar(sql).fetch_one(write).await.unwrap(),
            Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
        }
    }

    pub(crate) async fn validate(&self, id: LicenseId) -> Answer {
        validate(&self.queries, GUILD, &key(id, 0)).await
    }
}

struct EventRow {
    position: i64,
    kind: &'static str,
    id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: String,
    metadata: String,
    guild: Option<String>,
    at: i64,
}

fn read_side(
    db: &Db,
    vault: &Arc<TestVault>,
    config: Config,
    epoch: &str,
    bus: Bus,
    redis: Option<RedisCache>,
) -> (Queries, Arc<Floors>) {
    let floors = Arc::new(Floors::new(bus.clone()));
    let mac: Arc<dyn Mac> = Arc::new(TestRing);
    let parts = Parts {
        db: db.clone(),
        replica: None,
        epoch: epoch.to_owned(),
        mac,
        vault: vault.clone(),
        floors: floors.clone(),
        bus,
        redis,
        config,
    };
    (Queries::new(parts), floors)
}

pub(crate) fn ask<'a>(guild: GuildId, key: &'a str) -> Ask<'a> {
    Ask { guild, key, device: None, license_type: None, entitlements: &[], now: NOW }
}

pub(crate) async fn validate(queries: &Queries, guild: GuildId, key: &str) -> Answer {
    queries.validate(ask(guild, key)).await.unwrap()
}

pub(crate) fn key(id: LicenseId, version: u8) -> String {
    render(&TestRing, &Prefix::default(), id, KeyVersion { secret_id: 1, version }).unwrap()
}

pub(crate) fn license_id(n: u128) -> LicenseId {
    LicenseId(
        uuid::Builder::from_random_bytes(
            (n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_be_bytes(),
        )
        .into_uuid(),
    )
}

pub(crate) fn person(n: u64) -> Person {
    Person::new(&TestRing, DiscordId(n))
}

pub(crate) fn pseudonym(n: u64) -> Pseudonym {
    person(n).id
}

pub(crate) fn of_license(id: LicenseId, event: LicenseEvent) -> New {
    New { stream: StreamId::license(id), guild: Some(GUILD), event: event.into(), reason: None }
}

pub(crate) fn of_user(n: u64, event: domain::user::Event) -> New {
    New { stream: StreamId::user(&pseudonym(n)), guild: None, event: event.into(), reason: None }
}

pub(crate) fn registered(n: u64) -> New {
    of_user(n, domain::user::Event::Registered { person: person(n), at: NOW })
}

pub(crate) fn generated(id: LicenseId) -> New {
    of_license(
        id,
        LicenseEvent::Generated {
            license_id: id,
            guild_id: GUILD,
            license_type: "pro".to_owned(),
            terms: Terms::default(),
            key: KeyVersion { secret_id: 1, version: 0 },
            slot: None,
            at: NOW,
            starts_at: None,
            expires_at: None,
            ledger: None,
            metadata: Some(Private::of_guild(GUILD, r#"{"note":"m"}"#)),
            private_metadata: None,
        },
    )
}

pub(crate) fn assigned(id: LicenseId, owner: u64) -> New {
    of_license(id, LicenseEvent::Assigned { owner: person(owner), how: AssignedHow::Assign, at: NOW })
}

pub(crate) fn activated(id: LicenseId, owner: u64, device: u128) -> New {
    let device = Device {
        id: Uuid::from_u128(device),
        device_id: format!("machine-{device}"),
        name: Some(Private::of_user(&pseudonym(owner), format!("Laptop {device}"))),
        components: Vec::new(),
        activated_at: NOW,
    };
    of_license(
        id,
        LicenseEvent::DeviceActivated { device, by: Authority::Client, network: None, expires_at: None },
    )
}

pub(crate) fn became_active(id: LicenseId) -> New {
    of_license(id, LicenseEvent::BecameActive { at: NOW, expires_at: None })
}

pub(crate) fn revoked(id: LicenseId) -> New {
    of_license(id, LicenseEvent::Revoked { category: domain::license::RevokeCategory::Fraud, at: NOW })
}
