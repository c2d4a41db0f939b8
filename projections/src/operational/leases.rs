//! Who works under a name: one holder at a time, by the database's own clock, so that clocks of processes that differ
//! do no harm. Each change of holder raises a token; whoever writes for a name checks it where he writes. Nothing here
//! waits or renews by itself.

use std::time::Duration;

use domain::time::Timestamp;

use super::whole_ms;
use crate::db::{Arg, Row, Sql, Tx};
use crate::error::QueryError;

const ACQUIRE: &str = "INSERT INTO lease (name, holder, token, expires_at) \
    VALUES ($1, $2, 1, {now_ms} + CAST($3 AS BIGINT)) \
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at, \
    token = CASE WHEN lease.holder = excluded.holder THEN lease.token ELSE lease.token + 1 END \
    WHERE lease.holder = excluded.holder OR lease.expires_at <= {now_ms} \
    RETURNING name, holder, token, expires_at";
const RELEASE: &str =
    "UPDATE lease SET holder = '', expires_at = 0 WHERE name = $1 AND holder = $2 AND token = $3";
const HOLDER: &str =
    "SELECT name, holder, token, expires_at FROM lease WHERE name = $1 AND expires_at > {now_ms}";
/// Changes nothing, but locks the row until the transaction ends: nobody takes the lease over in between.
const FENCE: &str = "UPDATE lease SET token = token \
    WHERE name = $1 AND holder = $2 AND token = $3 AND expires_at > {now_ms}";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[ACQUIRE, RELEASE, HOLDER, FENCE];

/// A name that somebody works under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub name: String,
    /// Who. No two processes, nor two runs of one, use the same.
    pub holder: String,
    /// Rises at each change of holder, and after each release.
    pub token: i64,
    /// Until when, by the database's clock.
    pub expires_at: Timestamp,
}

/// Leases by name. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Leases {
    sql: Sql,
}

impl Leases {
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Takes or renews `name` for `holder` for `ttl` from now; `None` while somebody else holds it. A renewal, even a
    /// late one that nobody forestalled, keeps the token.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer; the lease may have been taken all the same.
    pub async fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, QueryError> {
        let args = [Arg::Text(name), Arg::Text(holder), Arg::Int(whole_ms(ttl))];
        self.sql.write(ACQUIRE, &args).await?.first().map(read).transpose()
    }

    /// Lets it go, if it is still this holder's.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn release(&self, lease: &Lease) -> Result<(), QueryError> {
        self.sql.run(RELEASE, &args(lease)).await?;
        Ok(())
    }

    /// Who holds `name` now.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn holder(&self, name: &str) -> Result<Option<Lease>, QueryError> {
        self.sql.fetch_one(HOLDER, &[Arg::Text(name)]).await?.as_ref().map(read).transpose()
    }
}

/// Whether `lease` is in force with this token; then it stays so until the end of the transaction.
pub(crate) async fn in_force(tx: &mut Tx, lease: &Lease) -> Result<bool, QueryError> {
    Ok(tx.execute(FENCE, &args(lease)).await? == 1)
}

fn args(lease: &Lease) -> [Arg<'_>; 3] {
    [Arg::Text(&lease.name), Arg::Text(&lease.holder), Arg::Int(lease.token)]
}

fn read(row: &Row) -> Result<Lease, QueryError> {
    Ok(Lease {
        name: row.text(0)?.to_owned(),
        holder: row.text(1)?.to_owned(),
        token: row.int(2)?,
        expires_at: Timestamp(row.int(3)?),
    })
}
