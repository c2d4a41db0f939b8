//! The log in a SQLite file: one connection that writes, a pool that reads, migrations, and the append under
//! `BEGIN IMMEDIATE`. It never opens a second writer: several of them starve each other.

use std::path::Path;
use std::time::Duration;

use domain::id::GuildId;
use domain::time::Timestamp;
use sqlite_es::SqliteEventRepository;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{
    ConnectOptions as _, Connection as _, Sqlite as Engine, SqliteConnection, SqlitePool, Transaction,
};

use super::actor::{WriteError, Written};
use super::config::Clock;
use super::error::{Clash, Meaning, StoreError};
use super::model::{Append, Claim, NewEvent, NewIdempotency};
use super::rows::{self, Prepared};
use super::sql::sqlite::MultiRow;
use super::{migrate, sql};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// Refuses another program's database before anything is written into it. A file that cannot even be read is left to
/// the opening proper, which says why.
async fn refuse_foreign(path: &Path, options: &SqliteConnectOptions) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let Ok(mut connection) = options.clone().read_only(true).connect().await else { return Ok(()) };
    let foreign: bool =
        sqlx::query_scalar(sql::sqlite::IS_FOREIGN).fetch_one(&mut connection).await.unwrap_or(false);
    connection.close().await.ok();
    if foreign {
        return Err(StoreError::Config(format!(
            "{} is the database of another program: it has tables, and none of ours. Nothing was changed in it; move \
             it away, or name another folder",
            path.display()
        )));
    }
    Ok(())
}

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
        refuse_foreign(path, &options).await?;
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
        // When the disk fails under a commit, SQLite itself rolls back, and sqlx goes on counting a transaction that is not
        // there: no other could ever begin on that connection.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
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
        let away = |error: sqlx::Error| WriteError::of(&error, || None);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(away)?;
        match insert(&mut transaction, batch, &self.clock).await {
            Ok(written) => transaction.commit().await.map(|()| written).map_err(away),
            Err(error) => Err(refused(transaction, &error, batch).await),
        }
    }
}

/// Ends a transaction that failed. SQLite does not say which value was taken, so it is asked, still under the
/// lock; what the batch itself wrote before the violation was undone by then.
async fn refused(
    mut transaction: Transaction<'_, Engine>,
    error: &sqlx::Error,
    batch: &[&Append],
) -> WriteError {
    let mut taken = None;
    if let (Meaning::Clash(Clash::Claim), [append]) = (Meaning::of(error), batch) {
        taken = find_taken(&mut transaction, append).await.unwrap_or_default();
    }
    if let Err(error) = transaction.rollback().await {
        return WriteError::of(&error, || None);
    }
    WriteError::of(error, || taken)
}

async fn find_taken<'a>(on: &mut SqliteConnection, append: &'a Append) -> sqlx::Result<Option<&'a Claim>> {
    for (index, claim) in append.claims.iter().enumerate() {
        let twice = append.claims[..index].iter().any(|c| c.scope == claim.scope && c.value == claim.value);
        if twice || rows::sqlite::claim_owner(on, Prepared::Kept, &claim.scope, &claim.value).await?.is_some()
        {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

async fn insert(on: &mut SqliteConnection, batch: &[&Append], clock: &Clock) -> sqlx::Result<Written> {
    let last: Option<(i64, i64)> = sqlx::query_as(sql::sqlite::LAST).fetch_optional(&mut *on).await?;
    let (last, last_recorded_at) = last.unwrap_or_default();
    let recorded_at = clock.now().max(Timestamp(last_recorded_at));
    let mut events: Vec<EventRow<'_>> = Vec::new();
    let mut idempotency: Vec<IdempotencyRow<'_>> = Vec::new();
    for append in batch {
        let before = last + events.len() as i64;
        events.extend(append.events.iter().zip(before + 1..).map(|(event, at)| (at, event, recorded_at)));
        let after = last + events.len() as i64;
        let positions = (after > before).then_some((before + 1, after));
        idempotency.extend(append.idempotency.iter().map(|new| (new, positions)));
    }
    insert_rows(on, &sql::sqlite::INSERT_IDEMPOTENCY, &idempotency, bind_idempotency).await?;
    insert_rows(on, &sql::sqlite::INSERT_EVENTS, &events, bind_event).await?;
    for (scope, value) in batch.iter().flat_map(|append| &append.released) {
        sqlx::query(sql::sqlite::RELEASE).bind(scope).bind(value).execute(&mut *on).await?;
    }
    let claims: Vec<&Claim> = batch.iter().flat_map(|append| &append.claims).collect();
    insert_rows(on, &sql::sqlite::INSERT_CLAIMS, &claims, bind_claim).await?;
    Ok(Written { first: (!events.is_empty()).then_some(last + 1), recorded_at })
}

type Query<'a> = sqlx::query::Query<'a, Engine, SqliteArguments<'a>>;
/// Position, event, time.
type EventRow<'a> = (i64, &'a NewEvent, Timestamp);
/// The row, and the first and last position of its command.
type IdempotencyRow<'a> = (&'a NewIdempotency, Option<(i64, i64)>);

/// Writes rows in the fewest statements of 1, 2, 4 … rows.
async fn insert_rows<'a, T: Copy>(
    on: &mut SqliteConnection,
    insert: &'static MultiRow,
    mut rows: &[T],
    bind: fn(Query<'a>, T) -> Query<'a>,
) -> sqlx::Result<()> {
    while !rows.is_empty() {
        let (text, width) = insert.for_rows(rows.len());
        let (now, later) = rows.split_at(width);
        now.iter().fold(sqlx::query(text), |query, row| bind(query, *row)).execute(&mut *on).await?;
        rows = later;
    }
    Ok(())
}

fn bind_event<'a>(query: Query<'a>, (position, event, recorded_at): EventRow<'a>) -> Query<'a> {
    query
        .bind(position)
        .bind(event.stream.kind.as_str())
        .bind(&*event.stream.id)
        .bind(event.sequence as i64)
        .bind(&event.event_type)
        .bind(&event.event_version)
        .bind(&event.payload)
        .bind(&event.metadata)
        .bind(event.guild.as_ref().map(GuildId::to_string))
        .bind(recorded_at.ms())
}

fn bind_idempotency<'a>(query: Query<'a>, (new, positions): IdempotencyRow<'a>) -> Query<'a> {
    query
        .bind(&new.key.credential)
        .bind(&new.key.method)
        .bind(&new.key.route)
        .bind(&new.key.key)
        .bind(&new.payload_hash)
        .bind(&new.outcome)
        .bind(positions.map(|(first, _)| first))
        .bind(positions.map(|(_, last)| last))
        .bind(new.created_at.ms())
}

fn bind_claim<'a>(query: Query<'a>, claim: &'a Claim) -> Query<'a> {
    let stream = &claim.stream;
    query.bind(&claim.scope).bind(&claim.value).bind(stream.kind.as_str()).bind(&*stream.id)
}
