//! The log in a SQLite file: one connection that writes, a pool that reads, migrations, and the append under
//! `BEGIN IMMEDIATE`. It never opens a second writer: several of them starve each other.

use std::path::Path;
use std::time::Duration;

use domain::id::GuildId;
use domain::time::Timestamp;
use serde_json::json;
use sqlite_es::SqliteEventRepository;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite as Engine, SqliteConnection, SqlitePool, Transaction};

use super::actor::{WriteError, Written};
use super::config::Clock;
use super::error::{Clash, Meaning, StoreError};
use super::model::{Append, Claim};
use super::rows::{self, Prepared};
use super::{migrate, sql};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// What an append is called in messages.
const DOING: &str = "appending events";

/// The log in a file.
pub struct Sqlite {
    pub(super) read: SqlitePool,
    pub(super) write: SqlitePool,
    pub(super) streams: SqliteEventRepository,
}

impl Sqlite {
    /// Opens the file, makes it if it is missing, and brings the schema up to date.
    pub(super) async fn open(path: &Path, readers: u32, clock: Clock) -> Result<(Self, Writer), StoreError> {
        let failed = |error: sqlx::Error| match StoreError::of("opening the database file", &error) {
            StoreError::Unavailable { why, .. } => StoreError::Config(format!(
                "the database file {} cannot be opened ({why}); check that its folder exists and can be written",
                path.display()
            )),
            other => other,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(false)
            // Without it INSERT OR REPLACE would delete rows of the log past its triggers.
            .pragma("recursive_triggers", "ON");
        let writer = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL may lose the last commits when the power fails; commands were answered by then.
            .synchronous(SqliteSynchronous::Full);
        let write = pool(1).connect_with(writer).await.map_err(failed)?;
        {
            let mut connection = write.acquire().await.map_err(failed)?;
            migrate::run(&mut *connection, &MIGRATIONS).await?;
        }
        let read = pool(readers.max(1)).connect_lazy_with(options.read_only(true));
        let streams = SqliteEventRepository::new(read.clone());
        let writer = Writer { pool: write.clone(), clock };
        Ok((Self { read, write, streams }, writer))
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// Appends batches on the writing connection.
pub(super) struct Writer {
    pool: SqlitePool,
    clock: Clock,
}

impl Writer {
    /// Appends commands in one transaction, all or nothing. If this future is dropped, it is rolled back.
    pub(super) async fn write(&mut self, batch: &[&Append]) -> Result<Written, WriteError> {
        let away = |error: sqlx::Error| WriteError::of(DOING, &error, || None);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(away)?;
        match insert(&mut transaction, batch, &self.clock).await {
            Ok(written) => transaction.commit().await.map(|()| written).map_err(away),
            Err(error) => Err(refused(transaction, &error, batch).await),
        }
    }
}

/// Ends a transaction that failed. SQLite does not say which value was taken, so it is asked, still under the
/// lock; what the batch itself wrote before the violation was undone by then.
async fn refused(mut transaction: Transaction<'_, Engine>, error: &sqlx::Error, batch: &[&Append]) -> WriteError {
    let mut taken = None;
    if let (Meaning::Clash(Clash::Claim), [append]) = (Meaning::of(error), batch) {
        taken = find_taken(&mut transaction, append).await.unwrap_or_default();
    }
    if let Err(error) = transaction.rollback().await {
        return WriteError::of(DOING, &error, || None);
    }
    WriteError::of(DOING, error, || taken)
}

async fn find_taken<'a>(on: &mut SqliteConnection, append: &'a Append) -> sqlx::Result<Option<&'a Claim>> {
    for (index, claim) in append.claims.iter().enumerate() {
        let twice = append.claims[..index].iter().any(|c| c.scope == claim.scope && c.value == claim.value);
        if twice || rows::sqlite::claim_owner(on, Prepared::Kept, &claim.scope, &claim.value).await?.is_some() {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

async fn insert(on: &mut SqliteConnection, batch: &[&Append], clock: &Clock) -> sqlx::Result<Written> {
    let last: Option<(i64, i64)> = sqlx::query_as(sql::sqlite::LAST).fetch_optional(&mut *on).await?;
    let (last, last_recorded_at) = last.unwrap_or_default();
    let recorded_at = clock.now().max(Timestamp(last_recorded_at));
    let rows = Rows::of(batch)?;
    if let Some(idempotency) = &rows.idempotency {
        sqlx::query(sql::sqlite::INSERT_IDEMPOTENCY).bind(last).bind(idempotency).execute(&mut *on).await?;
    }
    if let Some(events) = &rows.events {
        let query = sqlx::query(sql::sqlite::INSERT_EVENTS).bind(last).bind(recorded_at.ms()).bind(events);
        query.execute(&mut *on).await?;
    }
    if let Some(released) = &rows.released {
        sqlx::query(sql::sqlite::RELEASE).bind(released).execute(&mut *on).await?;
    }
    if let Some(claims) = &rows.claims {
        sqlx::query(sql::sqlite::INSERT_CLAIMS).bind(claims).execute(&mut *on).await?;
    }
    Ok(Written { first: rows.events.map(|_| last + 1), recorded_at })
}

/// A batch as JSON arrays of rows; `None` where there is no row.
struct Rows {
    events: Option<String>,
    released: Option<String>,
    claims: Option<String>,
    idempotency: Option<String>,
}

impl Rows {
    fn of(batch: &[&Append]) -> sqlx::Result<Self> {
        let events: Vec<_> = batch
            .iter()
            .flat_map(|append| &append.events)
            .map(|event| {
                let guild = event.guild.as_ref().map(GuildId::to_string);
                let (kind, id) = (event.stream.kind.as_str(), &event.stream.id);
                let (name, version) = (&event.event_type, &event.event_version);
                (kind, id, event.sequence, name, version, &event.payload, &event.metadata, guild)
            })
            .collect();
        let released: Vec<_> = batch.iter().flat_map(|append| &append.released).collect();
        let claims: Vec<_> = batch
            .iter()
            .flat_map(|append| &append.claims)
            .map(|claim| (&claim.scope, &claim.value, claim.stream.kind.as_str(), &claim.stream.id))
            .collect();
        Ok(Self {
            events: text(&events)?,
            released: text(&released)?,
            claims: text(&claims)?,
            idempotency: text(&idempotency(batch))?,
        })
    }
}

/// Idempotency rows; first and last position count from the last position before the batch.
fn idempotency(batch: &[&Append]) -> Vec<serde_json::Value> {
    let mut rows = Vec::new();
    let mut before = 0;
    for append in batch {
        let after = before + append.events.len();
        if let Some(new) = &append.idempotency {
            let (first, last) = if after > before { (Some(before + 1), Some(after)) } else { (None, None) };
            let key = &new.key;
            rows.push(json!([
                key.credential,
                key.method,
                key.route,
                key.key,
                new.payload_hash,
                new.outcome,
                first,
                last,
                new.created_at.ms()
            ]));
        }
        before = after;
    }
    rows
}

fn text<T: serde::Serialize>(rows: &[T]) -> sqlx::Result<Option<String>> {
    if rows.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(rows).map(Some).map_err(|error| sqlx::Error::Encode(error.into()))
}
