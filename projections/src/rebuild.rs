//! Building a read model anew from the log, beside the live one, and swapping the two in one transaction. Readers never
//! see an error or a half-built table; the runner goes on meanwhile. It reads the log only, never a broker, and has no
//! side effects.

mod build;
mod verify;

use std::sync::Arc;

pub use verify::{Difference, ModelReport, VerifyReport};

use crate::db::{Arg, DbError};
use crate::error::QueryError;
use crate::model::Model;
use crate::parked;
use crate::{Core, Queries};
use build::Build;

pub(crate) use build::STATEMENTS as BUILD_STATEMENTS;
pub(crate) use verify::statements as verify_statements;

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events applied.
    pub done: i64,
    /// Events in the log when this was reported.
    pub total: i64,
}

/// A finished rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The position that the new table stood at when it went live.
    pub position: i64,
}

/// Attempts to swap while something holds the table.
const SWAPS_MAX: u32 = 20;

pub(crate) const SWAP: &str = "UPDATE projection_checkpoint SET position = $1, epoch = $2, failed_at = NULL, error = NULL \
    WHERE name = $3 AND (position <= $1 OR epoch <> $2)";

/// Builds the read model `name` anew and swaps it in. `progress` is called after each page of the log.
///
/// # Errors
/// [`QueryError::UnknownModel`]; [`QueryError::Unavailable`] if the database does not answer or another rebuild of the
/// same read model was started; [`QueryError::Damaged`] if more aggregates cannot be followed than may be left out. The
/// live table then stays as it was.
pub async fn rebuild(
    queries: &Queries,
    name: &str,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Rebuilt, QueryError> {
    run(&queries.core, Model::named(name)?, progress).await
}

/// Builds every read model into a table of its own and compares it with the live one, row for row, at the same
/// checkpoint; looks also whether the log is whole.
///
/// # Errors
/// [`QueryError::Unavailable`] if the database does not answer, [`QueryError::Damaged`] if an event cannot be applied.
/// A difference is no error but part of the report.
pub async fn verify(queries: &Queries) -> Result<VerifyReport, QueryError> {
    verify::run(&queries.core).await
}

/// The names of all read models.
pub fn names() -> Vec<&'static str> {
    Model::ALL.map(Model::name).to_vec()
}

pub(crate) async fn run(
    core: &Arc<Core>,
    model: Model,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Rebuilt, QueryError> {
    let mut build = Build::begin(core, model, "next").await?;
    build.advance(core.log.head().await?, progress).await?;
    build.index().await?;
    for attempt in 1.. {
        build.advance(core.log.head().await?, progress).await?;
        match swap(core, &build).await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) if error.transient && attempt < SWAPS_MAX => {
                tracing::debug!(%error, attempt, "the rebuilt table could not be swapped in; tried again");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    build.discard("old").await?;
    core.refresh_checkpoint().await?;
    Ok(Rebuilt { position: build.position() })
}

/// Puts the new table in the place of the live one; false if the live one is ahead by now. The checkpoint row is locked
/// before the tables, as in the runner.
async fn swap(core: &Core, build: &Build<'_>) -> Result<bool, DbError> {
    let name = build.model().name();
    let target = build.target();
    let mut tx = core.slow.begin().await?;
    if let Some(limit) = core.sql.lock_timeout() {
        tx.execute(limit, &[]).await?;
    }
    let args = [Arg::Int(build.position()), Arg::Text(&core.epoch), Arg::Text(name)];
    if tx.execute(SWAP, &args).await? != 1 || !build.is_mine(&mut tx).await? {
        return Ok(false);
    }
    parked::replace(&mut tx, build.model(), build.parked()).await?;
    tx.execute(&format!("ALTER TABLE {name} RENAME TO {name}__old"), &[]).await?;
    tx.execute(&format!("ALTER TABLE {target} RENAME TO {name}"), &[]).await?;
    tx.commit().await?;
    Ok(true)
}
