//! The log in PostgreSQL: pool, migrations and the one call that appends. The rules of the log stand in the
//! function `append()` of the migration; nothing here computes a position.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cqrs_es::persist::{PersistedEventRepository as _, PersistenceError, SerializedEvent};
use domain::aggregate::Decide;
use domain::id::StreamId;
use domain::time::Timestamp;
use postgres_es::PostgresEventRepository;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool, Transaction};

use super::actor::{WriteError, Written};
use super::columns::Columns;
use super::config::{Clock, Pooler};
use super::error::{Meaning, StoreError};
use super::fold::Row;
use super::loader::{Loader, Unread};
use super::migrate;
use super::model::{Append, Claim};
use super::rows::Prepared;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// A connection that lay idle for longer is asked whether it lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// For so long after a connection was lost, every older one is asked before it is used.
const SUSPICION: Duration = Duration::from_secs(30);
/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server keeps a transaction whose owner says nothing.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// How long a connection has to prove that it lives.
const PROOF: Duration = Duration::from_secs(1);

/// The log in PostgreSQL.
pub struct Postgres {
    pub(super) pool: PgPool,
    streams: PostgresEventRepository,
    loader: Option<Loader>,
    pub(super) pooler: Pooler,
    health: Arc<Health>,
    statement_timeout: Duration,
}

/// When a connection was last found dead, and when one last gave no answer at all, in milliseconds after `since`; 0 for
/// never.
struct Health {
    since: Instant,
    lost_ms: AtomicU64,
    silent_ms: AtomicU64,
}

impl Health {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn new() -> Self {
        Self { since: Instant::now(), lost_ms: AtomicU64::new(0), silent_ms: AtomicU64::new(0) }
    }

    fn note_loss(&self) {
        self.lost_ms.store(self.elapsed_ms().max(1), Ordering::Relaxed);
    }

    fn note_silence(&self) {
        self.note_loss();
        self.silent_ms.store(self.elapsed_ms().max(1), Ordering::Relaxed);
    }

    /// Whether a connection of that age is as good as dead: one of its time gave no answer. Each of them would let its
    /// caller wait as long, one after the other.
    fn gives_up(&self, age: Duration) -> bool {
        let silent_ms = self.silent_ms.load(Ordering::Relaxed);
        silent_ms > 0 && age >= Duration::from_millis(self.elapsed_ms().saturating_sub(silent_ms))
    }

    /// Whether a connection of that age and idleness has to prove that it lives.
    fn doubts(&self, age: Duration, idle: Duration) -> bool {
        let lost_ms = self.lost_ms.load(Ordering::Relaxed);
        let ago = Duration::from_millis(self.elapsed_ms().saturating_sub(lost_ms));
        idle > TRUSTED_IDLE || (lost_ms > 0 && ago < SUSPICION && age >= ago)
    }

    /// Whether an idle connection answers, in the time that it has for it.
    async fn proves(&self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        let answer = answers(connection).await;
        if answer.is_none() {
            self.note_silence();
        }
        answer.transpose().map(|answer| answer.is_some())
    }
}

/// What a connection says when it is asked whether it lives; `None` if it says nothing.
async fn answers(connection: &mut PgConnection) -> Option<sqlx::Result<()>> {
    tokio::time::timeout(PROOF, connection.ping()).await.ok()
}

/// How to reach the database.
pub(super) struct Address<'a> {
    pub(super) url: &'a str,
    pub(super) direct_url: Option<&'a str>,
    pub(super) pooler: Pooler,
    pub(super) pool_max: u32,
    pub(super) lock_timeout: Duration,
    pub(super) statement_timeout: Duration,
}

impl Postgres {
    /// Connects, brings the schema up to date, and gives the writer for the append actor.
    pub(super) async fn open(address: &Address<'_>, clock: Clock) -> Result<(Self, Writer), StoreError> {
        let options = parse(address.url)?;
        let direct = match (address.pooler, address.direct_url) {
            (Pooler::Transaction, None) => {
                return Err(StoreError::Config(
                    "behind a pooler in transaction mode migrations need a direct connection: \
                     set DATABASE_DIRECT_URL"
                        .to_owned(),
                ));
            }
            (_, Some(url)) => parse(url)?,
            (_, None) => options.clone(),
        };
        migrate_at(&direct).await?;
        let health = Arc::new(Health::new());
        let pool = pool(&options, address, &health);
        let setup = setup(address);
        let own = |name: &str| OwnConnection::new(&options, name, setup.clone());
        let writer = Writer {
            own: own("dca-auth append"),
            pooler: address.pooler,
            lock_timeout: address.lock_timeout,
            clock,
        };
        let streams = PostgresEventRepository::new(pool.clone());
        let statement_timeout = address.statement_timeout;
        // Behind a pooler a connection of one's own is none.
        let loader = (prepared(address.pooler) == Prepared::Kept)
            .then(|| Loader::start(|| own("dca-auth load"), statement_timeout));
        Ok((Self { pool, streams, loader, pooler: address.pooler, health, statement_timeout }, writer))
    }

    /// The rows of a stream, read together with others that are asked for; `None` if they have to be read alone.
    pub(super) async fn rows(&self, stream: &StreamId) -> Result<Option<Vec<Row>>, StoreError> {
        let Some(loader) = &self.loader else { return Ok(None) };
        match loader.rows(stream).await {
            Ok(rows) => Ok(Some(rows)),
            Err(Unread::Lost) => Ok(None),
            Err(Unread::Silent) => {
                self.health.note_loss();
                let silent = silent(self.statement_timeout);
                Err(StoreError::of("loading a stream", &silent))
            }
        }
    }

    /// The rows of a stream, within the time of a statement.
    pub(super) async fn events<A: Decide>(&self, id: &str) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let read = tokio::time::timeout(self.statement_timeout, self.streams.get_events::<A>(id)).await;
        read.unwrap_or_else(|_| {
            Err(PersistenceError::ConnectionError(Box::new(silent(self.statement_timeout))))
        })
    }

    /// Runs a statement within its time; a server that says nothing at all is an error like any other.
    pub(super) async fn within<T>(&self, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        match tokio::time::timeout(self.statement_timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(silent(self.statement_timeout)),
        }
    }

    /// Whether statements may be kept prepared.
    pub(super) fn prepared(&self) -> Prepared {
        prepared(self.pooler)
    }

    /// A connection for a few statements; inside a transaction where a pooler asks for one.
    pub(super) async fn session(&self) -> sqlx::Result<Session> {
        Ok(match self.pooler {
            Pooler::None | Pooler::Session => Session::Plain(self.pool.acquire().await?),
            Pooler::Transaction => {
                // In a task of its own, which ends whether or not somebody still waits for it: sqlx does not roll back a
                // BEGIN that was sent and not awaited, and the pool would hand the connection on in the middle of it.
                let pool = self.pool.clone();
                let begun = tokio::spawn(async move { pool.begin().await }).await;
                Session::Wrapped(begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
            }
        })
    }

    /// Whether a read may fare better on another connection, because the one it had was dead; then it is remembered that
    /// connections die at the moment. A server that did not answer in time is not asked twice: its caller waits already.
    pub(super) fn is_worth_a_repeat(&self, error: &sqlx::Error) -> bool {
        let lost = matches!(Meaning::of(error), Meaning::Away);
        if lost {
            self.health.note_loss();
        }
        lost && !is_silence(error)
    }
}

/// The error of a server that did not answer.
fn silent(limit: Duration) -> sqlx::Error {
    let text = format!("no answer within {} ms", limit.as_millis());
    std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
}

/// Whether the server did not answer in time.
fn is_silence(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::TimedOut,
        sqlx::Error::PoolTimedOut => true,
        _ => false,
    }
}

/// A borrowed connection.
pub(super) enum Session {
    Plain(PoolConnection<sqlx::Postgres>),
    Wrapped(Transaction<'static, sqlx::Postgres>),
}

impl Deref for Session {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        match self {
            Self::Plain(connection) => connection,
            Self::Wrapped(transaction) => transaction,
        }
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Plain(connection) => connection,
            Self::Wrapped(transaction) => transaction,
        }
    }
}

impl Session {
    pub(super) async fn finish(self) -> sqlx::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Wrapped(transaction) => transaction.commit().await,
        }
    }
}

fn prepared(pooler: Pooler) -> Prepared {
    match pooler {
        Pooler::None | Pooler::Session => Prepared::Kept,
        Pooler::Transaction => Prepared::Anew,
    }
}

fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    PgConnectOptions::from_str(url).map_err(|error| {
        // The URL itself holds a password, so it is not repeated.
        StoreError::Config(format!(
            "the PostgreSQL URL cannot be read ({error}); it has the form postgres://user@host/database"
        ))
    })
}

/// What each connection is told at its start; `None` behind a pooler that would give it to somebody else. The server ends a
/// transaction whose owner has fallen silent, and a connection whose other end is gone: when the network fails in the
/// middle of a transaction, its locks would else be held for hours.
fn setup(address: &Address<'_>) -> Option<Arc<str>> {
    (address.pooler != Pooler::Transaction).then(|| {
        let (lock_ms, idle_ms) = (address.lock_timeout.as_millis(), IDLE_IN_TRANSACTION.as_millis());
        format!(
            "SET lock_timeout = {lock_ms}; SET idle_in_transaction_session_timeout = {idle_ms}; \
             SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
             SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
        )
        .into()
    })
}

fn pool(options: &PgConnectOptions, address: &Address<'_>, health: &Arc<Health>) -> PgPool {
    let setup = setup(address);
    let (health, releasing) = (Arc::clone(health), Arc::clone(health));
    PgPoolOptions::new()
        .max_connections(address.pool_max.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A ping before each use costs a tenth of the throughput; it is done where there is reason to doubt.
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            let health = Arc::clone(&health);
            Box::pin(async move {
                if health.gives_up(about.age) {
                    return Ok(false);
                }
                if health.doubts(about.age, about.idle_for) {
                    return health.proves(connection).await;
                }
                Ok(true)
            })
        })
        // sqlx asks a connection that comes back whether it lives, and waits for the answer without an end: of a server
        // that has fallen silent, no connection would ever come back, nor make room for another.
        .after_release(move |connection, about| {
            let health = Arc::clone(&releasing);
            Box::pin(async move {
                // What was given up in the middle of a statement may be busy with it for longer: that says nothing of others.
                Ok(!health.gives_up(about.age) && matches!(answers(connection).await, Some(Ok(()))))
            })
        })
        .after_connect(move |connection, _| {
            let setup = setup.clone();
            Box::pin(async move { set_up(connection, setup.as_deref()).await })
        })
        .connect_lazy_with(options.clone().application_name("dca-auth"))
}

async fn set_up(connection: &mut PgConnection, setup: Option<&str>) -> sqlx::Result<()> {
    if let Some(setup) = setup {
        connection.execute(setup).await?;
    }
    Ok(())
}

async fn migrate_at(options: &PgConnectOptions) -> Result<(), StoreError> {
    let away = |error: sqlx::Error| StoreError::of("connecting to PostgreSQL", &error);
    let options = options.clone().application_name("dca-auth migrations");
    let mut connection = PgConnection::connect_with(&options).await.map_err(away)?;
    let migrated = migrate::run(&mut connection, &MIGRATIONS).await;
    // Closing gives the lock back after a failure, too.
    let _ = connection.close().await;
    migrated
}

/// A connection beside the pool, made when it is needed.
pub(super) struct OwnConnection {
    options: PgConnectOptions,
    setup: Option<Arc<str>>,
    kept: Option<(PgConnection, Instant)>,
}

impl OwnConnection {
    fn new(options: &PgConnectOptions, name: &str, setup: Option<Arc<str>>) -> Self {
        Self { options: options.clone().application_name(name), setup, kept: None }
    }

    /// The connection, which lives as far as anybody can know. Whoever takes it keeps it again if it is in order.
    pub(super) async fn take(&mut self) -> sqlx::Result<PgConnection> {
        if let Some((mut connection, used)) = self.kept.take() {
            if used.elapsed() <= TRUSTED_IDLE || matches!(answers(&mut connection).await, Some(Ok(()))) {
                return Ok(connection);
            }
            tracing::info!("a connection to the database was lost; connecting again");
        }
        let connecting = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            set_up(&mut connection, self.setup.as_deref()).await?;
            Ok(connection)
        };
        let connected = tokio::time::timeout(ACQUIRE_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(silent(ACQUIRE_TIMEOUT)))
    }

    pub(super) fn keep(&mut self, connection: PgConnection) {
        self.kept = Some((connection, Instant::now()));
    }

    pub(super) async fn close(&mut self) {
        if let Some((connection, _)) = self.kept.take() {
            // The server forgets a connection that was not closed in form just as well.
            let _ = connection.close().await;
        }
    }
}

/// Appends batches on a connection of its own.
pub(super) struct Writer {
    own: OwnConnection,
    pooler: Pooler,
    lock_timeout: Duration,
    clock: Clock,
}

impl Writer {
    /// Appends commands in one call, all or nothing. If this future is dropped before its end, the connection
    /// goes with it.
    pub(super) async fn write(&mut self, batch: &[&Append]) -> Result<Written, WriteError> {
        let mut connection = self.own.take().await.map_err(|error| WriteError::of(&error, || None))?;
        let result = self.call(&mut connection, batch).await;
        let failed = match result {
            Ok((first, recorded_at)) => {
                self.own.keep(connection);
                return Ok(Written { first, recorded_at: Timestamp(recorded_at) });
            }
            Err(error) => WriteError::of(&error, || taken(&error, batch)),
        };
        if !matches!(failed, WriteError::Away(_)) {
            self.own.keep(connection);
        }
        Err(failed)
    }

    pub(super) async fn close(&mut self) {
        self.own.close().await;
    }

    async fn call(
        &self,
        connection: &mut PgConnection,
        batch: &[&Append],
    ) -> sqlx::Result<(Option<i64>, i64)> {
        let columns = Columns::of(batch);
        let lock_timeout_ms = i64::try_from(self.lock_timeout.as_millis()).unwrap_or(i64::MAX);
        let query = columns.bind(lock_timeout_ms, self.clock.offset_ms());
        match prepared(self.pooler) {
            Prepared::Kept => query.fetch_one(connection).await,
            Prepared::Anew => {
                let mut transaction = Connection::begin(connection).await?;
                let row = query.persistent(false).fetch_one(&mut *transaction).await?;
                transaction.commit().await?;
                Ok(row)
            }
        }
    }
}

/// The claim that a violation is about: PostgreSQL's detail is `Key (scope, value)=(…, …) already exists.`
fn taken<'a>(error: &sqlx::Error, batch: &[&'a Append]) -> Option<&'a Claim> {
    let detail = match error {
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>()?.detail()?,
        _ => return None,
    };
    let mut claims = batch.iter().flat_map(|append| &append.claims);
    claims.find(|claim| detail.contains(&format!("=({}, {})", claim.scope, claim.value)))
}
