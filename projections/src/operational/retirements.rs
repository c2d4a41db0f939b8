//! License-key secrets that are being retired, and how far that is: a row outlives whoever works on it. What is done
//! for each license is a job's matter; nothing here changes one.

use domain::license::License;
use domain::time::Timestamp;

use crate::db::{Arg, Row, Sql};
use crate::error::QueryError;
use crate::view::parsed;

/// Asked for again, it begins again: somebody may have made a license with the secret since.
const REQUEST: &str = "INSERT INTO key_retirement (secret_id, requested_at, passed_position, rekeyed, refused, finished_at) \
    VALUES ($1, {now_ms}, 0, 0, 0, NULL) \
    ON CONFLICT (secret_id) DO UPDATE SET passed_position = 0, refused = 0, finished_at = NULL \
    WHERE key_retirement.finished_at IS NOT NULL";
const PROGRESS: &str = "UPDATE key_retirement SET passed_position = $2, rekeyed = rekeyed + CAST($3 AS BIGINT), \
    refused = CAST($4 AS BIGINT) WHERE secret_id = $1";
const FINISH: &str =
    "UPDATE key_retirement SET finished_at = {now_ms} WHERE secret_id = $1 AND finished_at IS NULL";
const ALL: &str = "SELECT secret_id, requested_at, passed_position, rekeyed, refused, finished_at \
    FROM key_retirement ORDER BY secret_id";
/// The secret stands in no column: retiring one is rare, and a license more in every index is not.
const LICENSES: &str = "SELECT state, first_position FROM license_view WHERE first_position > $1 \
    ORDER BY first_position LIMIT $2";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[REQUEST, PROGRESS, FINISH, ALL, LICENSES];

/// How far a retirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retirement {
    /// Number of the secret in the list of license keys.
    pub secret_id: u8,
    /// When it was first asked for.
    pub requested_at: Timestamp,
    /// Licenses made up to this position were looked at in the pass that is going on.
    pub passed_position: i64,
    /// Licenses that got a new key.
    pub rekeyed: u64,
    /// Licenses that could get none, in this pass.
    pub refused: u64,
    /// When nothing was left.
    pub finished_at: Option<Timestamp>,
}

/// Retirements of secrets. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Retirements {
    sql: Sql,
}

impl Retirements {
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Asks for the retirement of a secret. One that goes on goes on; one that has ended begins again.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn request(&self, secret_id: u8) -> Result<(), QueryError> {
        self.sql.run(REQUEST, &[Arg::Int(i64::from(secret_id))]).await?;
        Ok(())
    }

    /// Every retirement that was ever asked for.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn all(&self) -> Result<Vec<Retirement>, QueryError> {
        self.sql.fetch(ALL, &[]).await?.iter().map(read).collect()
    }

    /// Keeps how far the pass is: `rekeyed` is what was done since the last call, `refused` what could not be done in
    /// the whole pass.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn progress(
        &self,
        secret_id: u8,
        passed_position: i64,
        rekeyed: u64,
        refused: u64,
    ) -> Result<(), QueryError> {
        let whole = |count: u64| Arg::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let args =
            [Arg::Int(i64::from(secret_id)), Arg::Int(passed_position), whole(rekeyed), whole(refused)];
        self.sql.run(PROGRESS, &args).await?;
        Ok(())
    }

    /// Nothing is left of it.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn finish(&self, secret_id: u8) -> Result<(), QueryError> {
        self.sql.run(FINISH, &[Arg::Int(i64::from(secret_id))]).await?;
        Ok(())
    }

    /// Up to `limit` licenses, in the order in which they were made, after the one made at `passed_position`; each with
    /// that position.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn licenses(
        &self,
        passed_position: i64,
        limit: u32,
    ) -> Result<Vec<(i64, License)>, QueryError> {
        let args = [Arg::Int(passed_position), Arg::Int(i64::from(limit))];
        let rows = self.sql.fetch(LICENSES, &args).await?;
        rows.iter().map(|row| Ok((row.int(1)?, parsed(row, 0)?))).collect()
    }
}

fn read(row: &Row) -> Result<Retirement, QueryError> {
    let number = row.int(0)?;
    let secret_id = u8::try_from(number).map_err(|_| {
        QueryError::Damaged(format!(
            "a row of key_retirement names the secret {number}, which cannot be; delete the row"
        ))
    })?;
    Ok(Retirement {
        secret_id,
        requested_at: Timestamp(row.int(1)?),
        passed_position: row.int(2)?,
        rekeyed: row.int(3)?.unsigned_abs(),
        refused: row.int(4)?.unsigned_abs(),
        finished_at: row.opt_int(5)?.map(Timestamp),
    })
}
