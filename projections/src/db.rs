//! SQL for both engines: the one place of this crate that branches on the engine. Every statement is one text with
//! `$1` placeholders; what the engines spell differently (lists, types of columns, batch upserts) is filled in here.
//! It knows no read model and no event.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, Postgres, Row as _, Sqlite, Transaction};

mod failure;
mod table;
mod wall;

pub(crate) use failure::DbError;
pub(crate) use table::{Cells, Kind, Rows, Table};
pub(crate) use wall::Tenants;

/// The database, as opened by whoever assembles the process.
#[derive(Debug, Clone)]
pub enum Db {
    /// The embedded engine: one writer connection (shared with the append actor) and a read-only pool, both WAL.
    Sqlite {
        /// Read-only connections.
        read: SqlitePool,
        /// The one writer.
        write: SqlitePool,
    },
    /// PostgreSQL, primary.
    Postgres(PgPool),
}

/// Which pooler stands between the process and PostgreSQL. It is stated, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// None, or one that gives a connection for a session.
    #[default]
    Session,
    /// One that gives a connection for a transaction (PgBouncer): each statement stands in a transaction of its own
    /// and no statement stays prepared, because another client's statement would be found under its name.
    Transaction,
}

/// Unix milliseconds by the database's own clock.
const NOW_SQLITE: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
const NOW_POSTGRES: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";

/// Puts `form`, with the placeholder for its `@`, where `open` and the placeholder and `}` stand.
fn fill(text: &mut String, open: &str, form: &str) {
    while let Some((start, end)) = text.find(open).and_then(|s| Some((s, s + text[s..].find('}')?))) {
        let filled = form.replace('@', &text[start + open.len()..end]);
        text.replace_range(start..=end, &filled);
    }
}

/// A bound value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arg<'a> {
    Text(&'a str),
    Int(i64),
    /// For `{in:$n}`.
    List(&'a [String]),
}

/// A row of either engine. Columns are counted from 0.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn text(&self, column: usize) -> Result<&str, DbError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    pub(crate) fn opt_text(&self, column: usize) -> Result<Option<&str>, DbError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, DbError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    pub(crate) fn opt_int(&self, column: usize) -> Result<Option<i64>, DbError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }
}

/// The database with what every statement goes through: the count, the time limit, the pooler.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    db: Db,
    statements: Arc<AtomicU64>,
    timeout: Duration,
    pooler: Pooler,
}

impl Sql {
    pub(crate) fn new(db: Db, timeout: Duration, pooler: Pooler) -> Self {
        Self { db, statements: Arc::default(), timeout, pooler }
    }

    /// The same database with another time limit.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Another database of the same kind, counted apart.
    pub(crate) fn of(&self, db: Db) -> Self {
        Self { db, statements: Arc::default(), ..self.clone() }
    }

    /// Statements sent since the start.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    /// Fills in what the engines spell differently: `{in:$n}` (a list), `{each:$n}` (a list as rows of one column
    /// `value`), `{now_ms}` (the database's own clock), `{int}` and `{strict}` (columns and tables).
    pub(crate) fn render<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !text.contains('{') {
            return Cow::Borrowed(text);
        }
        let mut text = match self.db {
            Db::Sqlite { .. } => text
                .replace("{int}", "INTEGER")
                .replace("{strict}", " STRICT")
                .replace("{now_ms}", NOW_SQLITE),
            Db::Postgres(_) => {
                text.replace("{int}", "BIGINT").replace("{strict}", "").replace("{now_ms}", NOW_POSTGRES)
            }
        };
        let (within, rows) = match self.db {
            Db::Sqlite { .. } => ("IN (SELECT value FROM json_each(@))", "json_each(@)"),
            Db::Postgres(_) => ("= ANY(@)", "UNNEST(CAST(@ AS TEXT[])) AS listed (value)"),
        };
        fill(&mut text, "{in:", within);
        fill(&mut text, "{each:", rows);
        Cow::Owned(text)
    }

    /// Runs `work` within the time limit. What was begun when it ran out may have happened or not.
    pub(crate) async fn within<T, E: From<DbError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(DbError::no_answer(self.timeout).into()),
        }
    }

    /// One statement that writes, in a transaction of its own, within the time limit; the rows that it returns.
    pub(crate) async fn write(&self, text: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        let work = async {
            let mut tx = self.begin().await?;
            let rows = tx.fetch(text, args).await?;
            tx.commit().await?;
            Ok(rows)
        };
        self.within(work).await
    }

    /// The same for a statement that returns nothing; how many rows it changed.
    pub(crate) async fn run(&self, text: &str, args: &[Arg<'_>]) -> Result<u64, DbError> {
        let work = async {
            let mut tx = self.begin().await?;
            let changed = tx.execute(text, args).await?;
            tx.commit().await?;
            Ok(changed)
        };
        self.within(work).await
    }

    /// All rows of a query, from the reading side, within the time limit.
    pub(crate) async fn fetch(&self, text: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        self.fetch_of(None, text, args).await
    }

    /// The same for tenants: PostgreSQL gives no row of any other, whatever the query says.
    pub(crate) async fn fetch_of(
        &self,
        tenants: Tenants<'_>,
        text: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, DbError> {
        self.count();
        let text = self.render(text);
        let rows = async {
            match &self.db {
                Db::Sqlite { read, .. } => {
                    let rows = sqlx::query_with(&text, sqlite(args)?).fetch_all(read).await?;
                    Ok(rows.into_iter().map(Row::Sqlite).collect())
                }
                Db::Postgres(pool) if tenants.is_some() || self.pooler == Pooler::Transaction => {
                    let begin = tenants.map_or(Cow::Borrowed("BEGIN"), |guilds| wall::begin(guilds).into());
                    let mut tx = begin_postgres(pool, begin).await?;
                    let persistent = self.pooler == Pooler::Session;
                    let query = sqlx::query_with(&text, postgres(args)?).persistent(persistent);
                    let rows = query.fetch_all(&mut *tx).await?;
                    tx.commit().await?;
                    Ok(rows.into_iter().map(Row::Postgres).collect())
                }
                Db::Postgres(pool) => {
                    let rows = sqlx::query_with(&text, postgres(args)?).fetch_all(pool).await?;
                    Ok(rows.into_iter().map(Row::Postgres).collect())
                }
            }
        };
        match tokio::time::timeout(self.timeout, rows).await {
            Ok(rows) => rows,
            Err(_) => Err(DbError::no_answer(self.timeout)),
        }
    }

    /// The first row of a query.
    pub(crate) async fn fetch_one(&self, text: &str, args: &[Arg<'_>]) -> Result<Option<Row>, DbError> {
        Ok(self.fetch(text, args).await?.into_iter().next())
    }

    /// A transaction that writes, and whose first statement does. On SQLite it holds the one writer from here on, so
    /// whoever calls has everything ready; the lock comes with the first statement. BEGIN IMMEDIATE would take it at
    /// once, but sqlx cannot be interrupted in it: a future dropped there leaves the one writer inside a transaction
    /// that nobody ends.
    pub(crate) async fn begin(&self) -> Result<Tx, DbError> {
        self.count();
        let begun = async {
            Ok::<_, DbError>(match &self.db {
                Db::Sqlite { write, .. } => Open::Sqlite(write.begin().await?),
                Db::Postgres(pool) => Open::Postgres(begin_postgres(pool, "BEGIN").await?),
            })
        };
        Ok(Tx { transaction: self.within(begun).await?, sql: self.clone() })
    }

    /// A transaction that reads one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<Tx, DbError> {
        self.count();
        const READ_ONLY: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let begun = async {
            Ok::<_, DbError>(match &self.db {
                Db::Sqlite { read, .. } => Open::Sqlite(read.begin().await?),
                Db::Postgres(pool) => Open::Postgres(begin_postgres(pool, READ_ONLY).await?),
            })
        };
        Ok(Tx { transaction: self.within(begun).await?, sql: self.clone() })
    }

    /// What bounds the wait for the lock of a table that is about to be renamed; nothing on SQLite, whose readers
    /// keep their snapshot.
    pub(crate) fn lock_timeout(&self) -> Option<&'static str> {
        match self.db {
            Db::Sqlite { .. } => None,
            Db::Postgres(_) => Some("SET LOCAL lock_timeout = '2s'"),
        }
    }

    /// The batch upsert of `rows`; on SQLite for one row of them.
    pub(crate) fn upsert(&self, rows: &Rows) -> String {
        match self.db {
            Db::Sqlite { .. } => rows.table.upsert_sqlite(&rows.target, 1),
            Db::Postgres(_) => rows.table.upsert_postgres(&rows.target),
        }
    }

    /// Prepares a statement without running it: how many columns it gives.
    ///
    /// For the test that every text is understood by both engines.
    pub(crate) async fn prepare(&self, text: &str) -> Result<(), DbError> {
        use sqlx::Executor as _;
        let text = self.render(text);
        match &self.db {
            Db::Sqlite { write, .. } => write.describe(&text).await.map(|_| ())?,
            Db::Postgres(pool) => pool.prepare(&text).await.map(|_| ())?,
        }
        Ok(())
    }
}

enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// An open transaction; dropped without `commit`, it never happened. Each statement has the time limit of its [`Sql`]: a
/// server that falls silent in the middle holds up nobody for longer.
pub(crate) struct Tx {
    transaction: Open,
    sql: Sql,
}

impl Tx {
    pub(crate) async fn fetch(&mut self, text: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        self.sql.count();
        let text = self.sql.render(text);
        let persistent = self.sql.pooler == Pooler::Session;
        let transaction = &mut self.transaction;
        let rows = async {
            match transaction {
                Open::Sqlite(tx) => {
                    let rows = sqlx::query_with(&text, sqlite(args)?).fetch_all(&mut **tx).await?;
                    Ok(rows.into_iter().map(Row::Sqlite).collect())
                }
                Open::Postgres(tx) => {
                    let query = sqlx::query_with(&text, postgres(args)?).persistent(persistent);
                    let rows = query.fetch_all(&mut **tx).await?;
                    Ok(rows.into_iter().map(Row::Postgres).collect())
                }
            }
        };
        self.sql.within(rows).await
    }

    /// Runs a statement; rows it changed.
    pub(crate) async fn execute(&mut self, text: &str, args: &[Arg<'_>]) -> Result<u64, DbError> {
        self.sql.count();
        let text = self.sql.render(text);
        let persistent = self.sql.pooler == Pooler::Session;
        let transaction = &mut self.transaction;
        let changed = async {
            match transaction {
                Open::Sqlite(tx) => {
                    let done = sqlx::query_with(&text, sqlite(args)?).execute(&mut **tx).await?;
                    Ok(done.rows_affected())
                }
                Open::Postgres(tx) => {
                    let query = sqlx::query_with(&text, postgres(args)?).persistent(persistent);
                    Ok(query.execute(&mut **tx).await?.rows_affected())
                }
            }
        };
        self.sql.within(changed).await
    }

    /// Inserts or replaces all `rows` by their key, many with one statement.
    pub(crate) async fn upsert(&mut self, rows: &Rows) -> Result<(), DbError> {
        let persistent = self.sql.pooler == Pooler::Session;
        let sql = &self.sql;
        match &mut self.transaction {
            Open::Sqlite(tx) => {
                for chunk in rows.small_chunks() {
                    sql.count();
                    let text = rows.table.upsert_sqlite(&rows.target, chunk.len());
                    let query = sqlx::query_with(&text, sqlite_rows(rows, chunk)?);
                    sql.within(async { Ok::<_, DbError>(query.execute(&mut **tx).await?) }).await?;
                }
            }
            Open::Postgres(tx) => {
                let text = rows.table.upsert_postgres(&rows.target);
                for chunk in rows.chunks() {
                    sql.count();
                    let query = sqlx::query_with(&text, postgres_rows(rows, &chunk)?).persistent(persistent);
                    sql.within(async { Ok::<_, DbError>(query.execute(&mut **tx).await?) }).await?;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn commit(self) -> Result<(), DbError> {
        let Self { transaction, sql } = self;
        sql.count();
        let committed = async {
            match transaction {
                Open::Sqlite(tx) => tx.commit().await?,
                Open::Postgres(tx) => tx.commit().await?,
            }
            Ok(())
        };
        sql.within(committed).await
    }
}

fn add(added: Result<(), sqlx::error::BoxDynError>) -> Result<(), DbError> {
    added.map_err(|error| DbError::from(sqlx::Error::Encode(error)))
}

/// Begins a transaction in a task of its own, which ends whether or not somebody still waits for it: sqlx does not roll
/// back a BEGIN that was sent and not awaited, and the pool would hand the connection on in the middle of it.
async fn begin_postgres(
    pool: &PgPool,
    statement: impl Into<Cow<'static, str>>,
) -> Result<Transaction<'static, Postgres>, DbError> {
    let statement = statement.into();
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await }).await;
    Ok(begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
}

/// The cells of `chunk`, row by row.
fn sqlite_rows(rows: &Rows, chunk: Range<usize>) -> Result<SqliteArguments<'_>, DbError> {
    let mut arguments = SqliteArguments::default();
    for row in chunk {
        for cells in &rows.columns {
            add(match cells {
                Cells::Text(cells) => arguments.add(cells[row].as_deref()),
                Cells::Int(cells) => arguments.add(cells[row]),
            })?;
        }
    }
    Ok(arguments)
}

/// The cells of `chunk` as one array a column.
fn postgres_rows(rows: &Rows, chunk: &Range<usize>) -> Result<PgArguments, DbError> {
    let mut arguments = PgArguments::default();
    for cells in &rows.columns {
        add(match cells {
            Cells::Text(cells) => arguments.add(&cells[chunk.clone()]),
            Cells::Int(cells) => arguments.add(&cells[chunk.clone()]),
        })?;
    }
    Ok(arguments)
}

fn sqlite<'a>(args: &[Arg<'a>]) -> Result<SqliteArguments<'a>, DbError> {
    let mut arguments = SqliteArguments::default();
    for arg in args {
        add(match arg {
            Arg::Text(text) => arguments.add(*text),
            Arg::Int(number) => arguments.add(*number),
            Arg::List(list) => arguments.add(serde_json::Value::from(*list).to_string()),
        })?;
    }
    Ok(arguments)
}

fn postgres(args: &[Arg<'_>]) -> Result<PgArguments, DbError> {
    let mut arguments = PgArguments::default();
    for arg in args {
        add(match arg {
            Arg::Text(text) => arguments.add(*text),
            Arg::Int(number) => arguments.add(*number),
            Arg::List(list) => arguments.add(*list),
        })?;
    }
    Ok(arguments)
}
