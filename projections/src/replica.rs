//! A copy of the primary that follows it at a distance. Facts come from it only if it has applied what this process has
//! seen of the log, lists only if it shows what this process has said that they show; whatever it cannot give, the primary
//! does. Nothing is ever written to it, and neither the log nor a lease is read there.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::Core;
use crate::db::{Arg, Db, Row, Sql, Tenants};
use crate::error::QueryError;
use crate::pause::Pause;

/// How long a caller waits for a connection to the replica before the primary is asked.
const ACQUIRE: Duration = Duration::from_millis(500);
/// Longest wait for an answer of the replica.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// For so long after a failure it is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// How the log names it.
const WHOM: &str = "replica";

/// How far its read models are.
const CHECKPOINT: &str =
    "SELECT min(CASE WHEN epoch = $1 THEN position ELSE 0 END) FROM projection_checkpoint";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[CHECKPOINT];

/// Why there is no replica.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// No address of a PostgreSQL server. What it is is not repeated, because it may hold a password.
    #[error("no address of a PostgreSQL server: {0}")]
    Address(String),
}

impl Db {
    /// A PostgreSQL server that is only read, with at most `pool_max` connections, which are opened when they are needed.
    ///
    /// # Errors
    /// [`ReplicaError::Address`].
    pub fn replica(url: &str, pool_max: u32) -> Result<Self, ReplicaError> {
        let options: PgConnectOptions =
            url.parse().map_err(|error: sqlx::Error| ReplicaError::Address(error.to_string()))?;
        let options = options.application_name("dca-auth").options([("default_transaction_read_only", "on")]);
        let pool = PgPoolOptions::new().max_connections(pool_max.max(1)).acquire_timeout(ACQUIRE);
        Ok(Self::Postgres(pool.connect_lazy_with(options)))
    }
}

/// The replica.
pub(crate) struct Replica {
    sql: Sql,
    pause: Pause,
}

impl Replica {
    /// `sql` is what the primary is asked through.
    pub(crate) fn new(db: Db, sql: &Sql) -> Self {
        Self { sql: sql.of(db).with_timeout(ANSWER_MAX), pause: Pause::new(PAUSE) }
    }

    /// What is wrong with it; `None` if nothing is.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.pause.holds().then(|| "the replica does not answer; the primary is asked instead".to_owned())
    }

    /// The first row of a query.
    pub(crate) async fn fetch_one(&self, text: &str, args: &[Arg<'_>]) -> Option<Row> {
        self.pause.ask(WHOM, self.sql.fetch_one(text, args)).await.flatten()
    }

    /// The rows of a list, if its read models have applied `position`.
    async fn list(
        &self,
        tenants: Tenants<'_>,
        (text, args): (&str, &[Arg<'_>]),
        epoch: &str,
        position: i64,
    ) -> Option<Vec<Row>> {
        let rows = async {
            let row = self.sql.fetch_one(CHECKPOINT, &[Arg::Text(epoch)]).await?;
            let checkpoint = row.map_or(Ok(None), |row| row.opt_int(0))?.unwrap_or(0);
            // What it shows now is not older than what it showed a moment ago.
            Ok::<_, QueryError>(if checkpoint >= position {
                Some(self.sql.fetch_of(tenants, text, args).await?)
            } else {
                None
            })
        };
        self.pause.ask(WHOM, rows).await.flatten()
    }
}

impl Core {
    /// The rows of a list of read models: from the replica if it shows all that this process knows to be shown, else
    /// from the primary.
    pub(crate) async fn list(
        &self,
        tenants: Tenants<'_>,
        text: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, QueryError> {
        let shown = *self.checkpoint.borrow();
        if let Some(replica) = &self.replica
            && let Some(rows) = replica.list(tenants, (text, args), &self.epoch, shown).await
        {
            return Ok(rows);
        }
        Ok(self.sql.fetch_of(tenants, text, args).await?)
    }
}
