//! The event store: the log, what is written in one transaction with it, and the streams that commands are
//! decided on. It knows no rule of the domain, and projectors do not read through it: they have `projections`.

use std::sync::Arc;

use cqrs_es::persist::PersistedEventRepository;
use domain::aggregate::Decide;
use domain::event::StoredEvent;
use domain::id::StreamId;
use domain::time::Timestamp;
use futures::future::BoxFuture;

mod actor;
mod columns;
mod config;
mod error;
mod fold;
mod loader;
mod memory;
mod migrate;
mod model;
mod postgres;
mod rows;
pub mod sql;
mod sqlite;

pub use config::{AppendLimits, EngineConfig, Pooler, StoreConfig};
pub use error::{AppendError, StoreError};
pub use memory::Memory;
pub use model::{
    Append, Appended, Claim, IdempotencyKey, IdempotencyRow, LogCheck, LogFault, NewEvent, NewIdempotency,
    SubjectKeyRow,
};
pub use postgres::Postgres;
pub use sqlite::Sqlite;

use actor::Actor;
use config::Clock;
use rows::Prepared;

/// Rows that one statement prunes at most, so that appends are not kept waiting.
const PRUNED_AT_ONCE: i64 = 1000;

/// The event store. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub enum Store {
    /// In memory, for tests.
    Memory(Arc<Memory>),
    /// In a file.
    Sqlite(Arc<Opened<Sqlite>>),
    /// In PostgreSQL.
    Postgres(Arc<Opened<Postgres>>),
}

/// An engine with its append actor.
pub struct Opened<E> {
    engine: E,
    actor: Actor,
}

/// The pools of a store, for those who keep read models in the same database.
#[derive(Debug, Clone)]
pub enum Pools {
    /// There is no database.
    Memory,
    /// One file.
    Sqlite {
        /// Connections that only read.
        read: sqlx::SqlitePool,
        /// The only connection that writes; the append actor shares it.
        write: sqlx::SqlitePool,
    },
    /// One server.
    Postgres(sqlx::PgPool),
}

/// Runs one statement on SQLite: on the reading pool, or on the connection that writes.
macro_rules! on_sqlite {
    ($opened:expr, $pool:ident, $doing:literal, $statement:ident($($argument:expr),*)) => {{
        let run = async {
            let mut connection = $opened.engine.$pool.acquire().await?;
            rows::sqlite::$statement(&mut connection, Prepared::Kept, $($argument),*).await
        };
        run.await.map_err(|error: sqlx::Error| StoreError::of($doing, &error))
    }};
}

/// Runs one statement on PostgreSQL. `read` is tried once more when its connection turns out to be dead; `write`
/// is not, because it may have happened.
macro_rules! on_postgres {
    ($opened:expr, read, $doing:literal, $statement:ident($($argument:expr),*)) => {
        on_postgres!($opened, 1, $doing, $statement($($argument),*))
    };
    ($opened:expr, write, $doing:literal, $statement:ident($($argument:expr),*)) => {
        on_postgres!($opened, 0, $doing, $statement($($argument),*))
    };
    ($opened:expr, $repeats:literal, $doing:literal, $statement:ident($($argument:expr),*)) => {{
        let engine = &$opened.engine;
        let mut repeats = $repeats;
        loop {
            let run = async {
                let mut session = engine.session().await?;
                let found = rows::postgres::$statement(&mut session, engine.prepared(), $($argument),*).await?;
                session.finish().await?;
                Ok(found)
            };
            match engine.within(run).await {
                Ok(found) => break Ok(found),
                Err(error) if engine.is_worth_a_repeat(&error) && repeats > 0 => repeats -= 1,
                Err(error) => break Err(StoreError::of($doing, &error)),
            }
        }
    }};
}

/// One operation that every engine has, matched once.
macro_rules! on_each {
    ($store:expr, $kind:ident $pool:ident, $doing:literal, $statement:ident($($argument:expr),*)) => {
        match $store {
            Store::Memory(memory) => Ok(memory.$statement($($argument),*)),
            Store::Sqlite(opened) => on_sqlite!(opened, $pool, $doing, $statement($($argument),*)),
            Store::Postgres(opened) => on_postgres!(opened, $kind, $doing, $statement($($argument),*)),
        }
    };
}

// After the macros, which it uses.
mod check;

impl Store {
    /// Opens a store: connects, brings the schema up to date, gives a new log its epoch, starts the append actor
    /// on the current runtime.
    ///
    /// # Errors
    /// [`StoreError::SchemaNewer`], [`StoreError::Migration`], [`StoreError::Config`], or
    /// [`StoreError::Unavailable`].
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let clock = Clock(config.clock_offset_ms);
        let limits = config.limits;
        let store = match config.engine {
            EngineConfig::Memory => Self::Memory(Arc::new(Memory::new(clock))),
            EngineConfig::Sqlite { path, readers } => {
                let (engine, writer) = Sqlite::open(&path, readers, clock).await?;
                Self::Sqlite(Opened::start(engine, actor::Writer::Sqlite(writer), limits))
            }
            EngineConfig::Postgres { url, direct_url, pooler, pool_max, lock_timeout, statement_timeout } => {
                let address = postgres::Address {
                    url: &url,
                    direct_url: direct_url.as_deref(),
                    pooler,
                    pool_max,
                    lock_timeout,
                    statement_timeout,
                };
                let (engine, writer) = Postgres::open(&address, clock).await?;
                Self::Postgres(Opened::start(engine, actor::Writer::Postgres(writer), limits))
            }
        };
        store.insert_meta_if_absent("epoch", &config.epoch).await?;
        Ok(store)
    }

    /// Appends one command's events, claims and idempotency row, all or nothing. `None` if it had no events.
    ///
    /// When several rules stand against it, a taken idempotency key is reported before a stale version, and that
    /// before a taken value: a repeat is answered from its row, and a stale decision is decided again.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, append: Append) -> Result<Option<Appended>, AppendError> {
        append.check()?;
        if append.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Memory(memory) => memory.append(append),
            Self::Sqlite(opened) => opened.actor.append(append).await,
            Self::Postgres(opened) => opened.actor.append(append).await,
        }
    }

    /// An aggregate from its stream, read on the primary. An empty stream gives the default, at version 0.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a row that cannot be understood, [`StoreError::Unavailable`].
    pub fn load<'a, A: Decide + 'a>(&'a self, stream: &'a StreamId) -> BoxFuture<'a, Result<A, StoreError>> {
        self.load_until(stream, u64::MAX)
    }

    /// An aggregate as it was after its first `version` events, or as it is if it has fewer.
    ///
    /// # Errors
    /// As [`Store::load`].
    ///
    /// A boxed future, because the compiler cannot prove for every lifetime that the unnamed futures of the
    /// stream readers may change threads; it can for the lifetime at hand.
    pub fn load_until<'a, A: Decide + 'a>(
        &'a self,
        stream: &'a StreamId,
        version: u64,
    ) -> BoxFuture<'a, Result<A, StoreError>> {
        Box::pin(self.read_and_fold(stream, version))
    }

    async fn read_and_fold<A: Decide>(&self, stream: &StreamId, version: u64) -> Result<A, StoreError> {
        const DOING: &str = "loading a stream";
        let failed = |error| match fold::cause(error) {
            Ok(error) => StoreError::of(DOING, &error),
            Err(why) => StoreError::Unavailable { doing: DOING, why },
        };
        let events = match self {
            Self::Sqlite(opened) => {
                opened.engine.streams.get_events::<A>(&stream.id).await.map_err(failed)?
            }
            Self::Postgres(opened) if opened.engine.prepared() == Prepared::Kept => {
                let engine = &opened.engine;
                if version == u64::MAX
                    && let Some(rows) = engine.rows(stream).await?
                {
                    return fold::fold(stream, rows, version);
                }
                match engine.events::<A>(&stream.id).await {
                    Ok(events) => events,
                    Err(error) => match fold::cause(error) {
                        // Reading again on a connection that was asked whether it lives harms nothing.
                        Ok(error) if engine.is_worth_a_repeat(&error) => {
                            engine.events::<A>(&stream.id).await.map_err(failed)?
                        }
                        Ok(error) => return Err(StoreError::of(DOING, &error)),
                        Err(why) => return Err(StoreError::Unavailable { doing: DOING, why }),
                    },
                }
            }
            Self::Memory(_) | Self::Postgres(_) => {
                return fold::fold(
                    stream,
                    self.stream(stream).await?.into_iter().map(fold::Row::from),
                    version,
                );
            }
        };
        fold::fold(stream, events.into_iter().map(fold::Row::from), version)
    }

    /// A whole stream as stored, with positions and times, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Unavailable`].
    pub async fn stream(&self, stream: &StreamId) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = match self {
            Self::Memory(memory) => return Ok(memory.stream(stream)),
            Self::Sqlite(opened) => on_sqlite!(opened, read, "reading a stream", stream(stream))?,
            Self::Postgres(opened) => on_postgres!(opened, read, "reading a stream", stream(stream))?,
        };
        rows.into_iter().map(rows::stored).collect()
    }

    /// At most `limit` events after position `after`, up to position `until`, in order.
    ///
    /// # Errors
    /// As [`Store::stream`].
    pub async fn range(&self, after: i64, until: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = i64::from(limit);
        let rows = match self {
            Self::Memory(memory) => return Ok(memory.range(after, until, limit)),
            Self::Sqlite(opened) => on_sqlite!(opened, read, "reading the log", range(after, until, limit))?,
            Self::Postgres(opened) => {
                on_postgres!(opened, read, "reading the log", range(after, until, limit))?
            }
        };
        rows.into_iter().map(rows::stored).collect()
    }

    /// The last position; 0 for an empty log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn head(&self) -> Result<i64, StoreError> {
        on_each!(self, read read, "reading the last position", head())
    }

    /// What was written under an idempotency key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn idempotency(&self, key: &IdempotencyKey) -> Result<Option<IdempotencyRow>, StoreError> {
        on_each!(self, read read, "reading an idempotency row", idempotency(key))
    }

    /// Removes the idempotency rows made before `older_than`; gives their number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn prune_idempotency(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let removed = on_each!(
                self, write write, "pruning idempotency rows", prune_idempotency(older_than, PRUNED_AT_ONCE)
            )?;
            total += removed;
            if removed < PRUNED_AT_ONCE as u64 {
                return Ok(total);
            }
        }
    }

    /// The stream that holds a claimed value.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn claim_owner(&self, scope: &str, value: &str) -> Result<Option<StreamId>, StoreError> {
        let owner = match self {
            Self::Memory(memory) => return Ok(memory.claim_owner(scope, value)),
            Self::Sqlite(opened) => on_sqlite!(opened, read, "reading a claim", claim_owner(scope, value))?,
            Self::Postgres(opened) => {
                on_postgres!(opened, read, "reading a claim", claim_owner(scope, value))?
            }
        };
        let stream = owner.map(|(kind, id)| rows::stream_id(&kind, id)).transpose();
        stream.map_err(|why| StoreError::Damaged(format!("the claim of `{scope}`: {why}")))
    }

    /// The epoch of this log: new at every restore, so that positions of two lives of it are never mistaken.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Damaged`] if somebody removed it.
    pub async fn epoch(&self) -> Result<String, StoreError> {
        self.meta("epoch")
            .await?
            .ok_or_else(|| StoreError::Damaged("table meta has no row `epoch`".to_owned()))
    }

    /// A fact about the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        on_each!(self, read read, "reading a fact about the database", meta(name))
    }

    /// Sets a fact about the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn set_meta(&self, name: &str, value: &str) -> Result<(), StoreError> {
        on_each!(self, write write, "setting a fact about the database", set_meta(name, value))
    }

    /// Sets a fact about the database unless it is set; gives the value that stands now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn insert_meta_if_absent(&self, name: &str, value: &str) -> Result<String, StoreError> {
        on_each!(self, write write, "setting a fact about the database", insert_meta(name, value))
    }

    /// The wrapped keys of those subjects that have one, in no order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn subject_keys(&self, subjects: &[String]) -> Result<Vec<SubjectKeyRow>, StoreError> {
        on_each!(self, read read, "reading subject keys", subject_keys(subjects))
    }

    /// Stores keys, each unless its subject has one already: read them again to learn which stand.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn insert_subject_keys_if_absent(&self, rows: &[SubjectKeyRow]) -> Result<(), StoreError> {
        // One order for everybody, so that two instances that store the same subjects do not wait in a circle.
        let mut rows = rows.to_vec();
        rows.sort_by(|a, b| a.subject.cmp(&b.subject));
        on_each!(self, write write, "storing subject keys", insert_subject_keys(&rows))
    }

    /// The keys that the key-encryption key `kek_id` wraps, in the order of their subjects, from after `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn subject_keys_wrapped_by(
        &self,
        kek_id: i64,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SubjectKeyRow>, StoreError> {
        on_each!(self, read read, "reading subject keys", wrapped_by(kek_id, after, limit))
    }

    /// Puts other wrappings in the place of those by the key-encryption key `from`; a key that was destroyed meanwhile stays
    /// so. How many it were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: some may have been put; repeat it.
    pub async fn rewrap_subject_keys(&self, from: i64, rows: &[SubjectKeyRow]) -> Result<u64, StoreError> {
        on_each!(self, write write, "wrapping subject keys anew", rewrap_subject_keys(from, rows))
    }

    /// Destroys the key of a subject: what was sealed under it cannot be opened again. Says whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the key may be gone or not; repeat it.
    pub async fn delete_subject_key(&self, subject: &str) -> Result<bool, StoreError> {
        on_each!(self, write write, "destroying a subject key", delete_subject_key(subject))
    }

    /// The pools, for read models in the same database.
    pub fn pools(&self) -> Pools {
        match self {
            Self::Memory(_) => Pools::Memory,
            Self::Sqlite(opened) => {
                Pools::Sqlite { read: opened.engine.read.clone(), write: opened.engine.write.clone() }
            }
            Self::Postgres(opened) => Pools::Postgres(opened.engine.pool.clone()),
        }
    }

    /// Writes what waits to be appended, then closes the database. Later appends of any clone get
    /// [`StoreError::Closed`].
    pub async fn close(self) {
        match self {
            Self::Memory(_) => {}
            Self::Sqlite(opened) => {
                opened.actor.close().await;
                opened.engine.read.close().await;
                opened.engine.write.close().await;
            }
            Self::Postgres(opened) => {
                opened.actor.close().await;
                opened.engine.pool.close().await;
            }
        }
    }
}

impl<E> Opened<E> {
    fn start(engine: E, writer: actor::Writer, limits: AppendLimits) -> Arc<Self> {
        Arc::new(Self { engine, actor: Actor::start(writer, limits) })
    }
}
