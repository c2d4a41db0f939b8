//! Where each read model stands in the log. A checkpoint moves in the same transaction as the rows it stands for.

use crate::Core;
use crate::db::{Arg, Row, Tx};
use crate::error::QueryError;
use crate::model::Model;

const ALL: &str = "SELECT name, epoch, position, failed_at, error FROM projection_checkpoint";
const ADOPT: &str =
    "UPDATE projection_checkpoint SET epoch = $1 WHERE epoch = '' AND position = 0 AND name {in:$2}";
const ADVANCE: &str = "UPDATE projection_checkpoint SET position = $1, failed_at = NULL, error = NULL \
    WHERE position = $2 AND epoch = $3 AND name {in:$4}";
const STOP: &str = "UPDATE projection_checkpoint SET failed_at = $1, error = $2 \
    WHERE name = $3 AND position = $4 AND epoch = $5";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[ALL, ADOPT, ADVANCE, STOP];

/// Where a read model stands.
pub(crate) struct Checkpoint {
    pub(crate) model: Model,
    pub(crate) epoch: String,
    pub(crate) position: i64,
    pub(crate) failed_at: Option<i64>,
    pub(crate) error: Option<String>,
}

impl Checkpoint {
    /// Its position in the log of this epoch: positions of another one mean nothing here.
    pub(crate) fn in_epoch(&self, epoch: &str) -> i64 {
        if self.epoch == *epoch { self.position } else { 0 }
    }
}

/// How a read model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelHealth {
    /// Its name, as `rebuild` takes it.
    pub name: &'static str,
    /// The last position it has applied; 0 if it stands in another epoch of the log and will be rebuilt.
    pub checkpoint: i64,
    /// The event that it could not apply, and why. It stands still until the process is started anew or it is rebuilt.
    pub stopped: Option<(i64, String)>,
    /// How many aggregates it leaves out, and the position of the first.
    pub parked: Option<(i64, i64)>,
}

fn names() -> Vec<String> {
    Model::ALL.iter().map(|model| model.name().to_owned()).collect()
}

fn read(row: &Row) -> Result<Option<Checkpoint>, QueryError> {
    // Rows of unfinished rebuilds stand beside those of the read models.
    let Ok(model) = Model::named(row.text(0)?) else { return Ok(None) };
    Ok(Some(Checkpoint {
        model,
        epoch: row.text(1)?.to_owned(),
        position: row.int(2)?,
        failed_at: row.opt_int(3)?,
        error: row.opt_text(4)?.map(str::to_owned),
    }))
}

/// Where every read model stands.
pub(crate) async fn all(core: &Core) -> Result<Vec<Checkpoint>, QueryError> {
    let mut all = Vec::new();
    for row in core.sql.fetch(ALL, &[]).await? {
        all.extend(read(&row)?);
    }
    if all.len() < Model::ALL.len() {
        return Err(QueryError::Damaged(
            "a row of projection_checkpoint is missing; run the migrations".to_owned(),
        ));
    }
    Ok(all)
}

/// The same, after those that never applied anything took on the epoch of the log.
pub(crate) async fn adopt(core: &Core) -> Result<Vec<Checkpoint>, QueryError> {
    let standing = all(core).await?;
    if !standing.iter().any(|c| c.epoch.is_empty() && c.position == 0) {
        return Ok(standing);
    }
    let mut tx = core.sql.begin().await?;
    tx.execute(ADOPT, &[Arg::Text(&core.epoch), Arg::List(&names())]).await?;
    tx.commit().await?;
    all(core).await
}

/// Moves the checkpoints of `group` from `start` to `end`; false if they do not all stand at `start`.
pub(crate) async fn advance(
    tx: &mut Tx,
    epoch: &str,
    group: &[Model],
    start: i64,
    end: i64,
) -> Result<bool, QueryError> {
    let names: Vec<String> = group.iter().map(|model| model.name().to_owned()).collect();
    let args = [Arg::Int(end), Arg::Int(start), Arg::Text(epoch), Arg::List(&names)];
    Ok(tx.execute(ADVANCE, &args).await? == group.len() as u64)
}

/// Notes the event before which a read model stopped.
pub(crate) async fn stop(core: &Core, model: Model, position: i64, error: &str) -> Result<(), QueryError> {
    let mut tx = core.sql.begin().await?;
    let name = Arg::Text(model.name());
    let args = [Arg::Int(position), Arg::Text(error), name, Arg::Int(position - 1), Arg::Text(&core.epoch)];
    tx.execute(STOP, &args).await?;
    tx.commit().await?;
    Ok(())
}

impl Core {
    /// Reads where the slowest read model stands, and tells whoever waits.
    pub(crate) async fn refresh_checkpoint(&self) -> Result<i64, QueryError> {
        let standing = all(self).await?;
        let slowest = standing.iter().map(|c| c.in_epoch(&self.epoch)).min().unwrap_or(0);
        self.checkpoint.send_if_modified(|known| {
            let moved = slowest > *known;
            *known = slowest.max(*known);
            moved
        });
        Ok(slowest)
    }
}
