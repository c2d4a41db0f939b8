//! A store on any engine with what its tests need: events that are real, and ways to look past the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use commands::store::{
    Append, AppendLimits, Claim, EngineConfig, IdempotencyKey, NewEvent, NewIdempotency, Pooler, Pools,
    Store, StoreConfig,
};
use domain::event::{Actor, Metadata};
use domain::guild;
use domain::id::{GuildId, StreamId};
use domain::time::Timestamp;
use tempfile::TempDir;

use crate::engines::{self, Engine};

/// A store, opened, and how to open it again.
pub(crate) struct Lab {
    pub(crate) store: Store,
    pub(crate) config: StoreConfig,
    /// Kept until the end of the test.
    _folder: Option<Arc<TempDir>>,
}

impl Lab {
    pub(crate) async fn on(engine: Engine) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let engine = match engine {
            Engine::Memory => EngineConfig::Memory,
            Engine::Sqlite => EngineConfig::Sqlite { path: folder.path().join("dca.db"), readers: 4 },
            Engine::Postgres => EngineConfig::Postgres {
                url: engines::fresh_database().await,
                direct_url: None,
                pooler: Pooler::None,
                pool_max: 8,
                lock_timeout: Duration::from_secs(5),
                statement_timeout: Duration::from_secs(5),
            },
        };
        let config = StoreConfig {
            engine,
            epoch: "00112233445566ff".to_owned(),
            clock_offset_ms: Arc::new(AtomicI64::new(0)),
            limits: AppendLimits::default(),
        };
        let store = Store::open(config.clone()).await.unwrap();
        Self { store, config, _folder: Some(folder) }
    }

    /// This store and others over the same log, as other processes would open it.
    pub(crate) async fn instances(&self) -> Vec<Store> {
        let mut stores = vec![self.store.clone()];
        let others = match self.config.engine {
            EngineConfig::Memory => 0,
            EngineConfig::Sqlite { .. } => 1,
            EngineConfig::Postgres { .. } => 3,
        };
        for _ in 0..others {
            stores.push(Store::open(self.config.clone()).await.unwrap());
        }
        stores
    }

    /// Runs a statement on the database itself.
    pub(crate) async fn sql(&self, statement: &str) -> Result<(), sqlx::Error> {
        match self.store.pools() {
            Pools::Memory => unreachable!("a store in memory has no SQL"),
            Pools::Sqlite { write, .. } => sqlx::raw_sql(statement).execute(&write).await.map(drop),
            Pools::Postgres(pool) => sqlx::raw_sql(statement).execute(&pool).await.map(drop),
        }
    }
}

pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// A stream that no other call gives.
pub(crate) fn fresh() -> (GuildId, StreamId) {
    static NEXT: AtomicU64 = AtomicU64::new(100_000_000_000_000_000);
    let guild = GuildId(NEXT.fetch_add(1, Ordering::Relaxed));
    (guild, StreamId::guild(guild))
}

/// An event without personal fields at a place of a stream.
pub(crate) fn event(stream: &StreamId, sequence: u64) -> NewEvent {
    let event =
        if sequence % 2 == 1 { guild::Event::Left { at: NOW } } else { guild::Event::Rejoined { at: NOW } };
    of(stream, sequence, event)
}

/// Any event at a place of a stream.
pub(crate) fn of(stream: &StreamId, sequence: u64, event: guild::Event) -> NewEvent {
    let event = domain::event::DomainEvent::from(event);
    let (event_type, event_version) = event.wire();
    let metadata = Metadata {
        id: uuid::Uuid::new_v4(),
        actor: Actor::Operator,
        reason: None,
        correlation_id: "test".to_owned(),
        causation_id: "test".to_owned(),
        trace: None,
        simulated: false,
    };
    NewEvent {
        stream: stream.clone(),
        sequence,
        event_type,
        event_version,
        payload: event.payload().unwrap(),
        metadata: serde_json::to_string(&metadata).unwrap(),
        guild: stream.id.parse().ok(),
    }
}

/// `count` events of one stream from `first` on.
pub(crate) fn events(stream: &StreamId, first: u64, count: u64) -> Append {
    Append {
        events: (first..first + count).map(|sequence| event(stream, sequence)).collect(),
        ..Append::default()
    }
}

pub(crate) fn claim(scope: &str, value: &str, stream: &StreamId) -> Claim {
    Claim { scope: scope.to_owned(), value: value.to_owned(), stream: stream.clone() }
}

pub(crate) fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey {
        credential: "apikey:1".to_owned(),
        method: "POST".to_owned(),
        route: "/v1/licenses".to_owned(),
        key: key.to_owned(),
    }
}

pub(crate) fn idempotency(name: &str) -> NewIdempotency {
    NewIdempotency {
        key: key(name),
        payload_hash: "hash".to_owned(),
        outcome: r#"{"status":201}"#.to_owned(),
        created_at: NOW,
    }
}

/// Appends one-event commands on new streams from `tasks` tasks for `time`; gives appends per second.
pub(crate) async fn append_rate(store: &Store, tasks: usize, time: Duration) -> f64 {
    let begin = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let store = store.clone();
        running.spawn(async move {
            let mut count = 0_u32;
            while begin.elapsed() < time {
                let (_, stream) = fresh();
                store.append(events(&stream, 1, 1)).await.unwrap();
                count += 1;
            }
            count
        });
    }
    let total: u32 = running.join_all().await.into_iter().sum();
    f64::from(total) / begin.elapsed().as_secs_f64()
}

/// Reads the log as a projector does, `position > checkpoint` only, until `until` is met or time is up.
pub(crate) async fn follow(store: &Store, until: impl Fn() -> Option<i64>) -> BTreeMap<i64, (StreamId, u64)> {
    let mut seen = BTreeMap::new();
    let mut checkpoint = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let end = until();
        for event in store.range(checkpoint, i64::MAX, 1000).await.unwrap() {
            checkpoint = event.position;
            seen.insert(event.position, (event.stream, event.sequence));
        }
        if end.is_some_and(|end| checkpoint >= end) || Instant::now() > deadline {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}
