//! Comparing live read models with ones built anew, row for row at the same checkpoint. It changes nothing that anybody
//! reads; its tables are dropped at the end.

use std::sync::Arc;

use super::build::Build;
use crate::Core;
use crate::db::{Arg, Tx};
use crate::error::QueryError;
use crate::event_log::EventLog;
use crate::model::Model;
use crate::parked::Parked;

/// Comparisons at a moving checkpoint before the runner is asked to wait.
const MOVING_MAX: u32 = 5;
/// Differing rows that are named.
const NAMED_MAX: i64 = 10;
/// Aggregates that are left out and named.
const PARKED_NAMED_MAX: u32 = 100;

const POSITION: &str = "SELECT position FROM projection_checkpoint WHERE name = $1 AND epoch = $2";
/// PostgreSQL only, as is the holding.
const PATIENT: &str = "SET LOCAL idle_in_transaction_session_timeout = '10min'";
const HOLD: &str = "UPDATE projection_checkpoint SET position = position WHERE name = $1";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// What is wrong with the order of the log; `None` if nothing is.
    pub log: Option<String>,
    /// One entry a read model.
    pub models: Vec<ModelReport>,
    /// Aggregates that a read model leaves out; the first hundred.
    pub parked: Vec<Parked>,
}

/// What was found about one read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelReport {
    /// Its name.
    pub name: &'static str,
    /// The checkpoint at which it was compared.
    pub position: i64,
    /// Rows of the live table.
    pub rows: i64,
    /// The first rows that differ; none if both tables are equal.
    pub differences: Vec<Difference>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The live table has it in a form that the log does not give, or should not have it.
    Live(String),
    /// The log gives it in a form that the live table does not have.
    Rebuilt(String),
}

impl VerifyReport {
    /// Whether the log is whole, every read model equals what the log gives, and none leaves anything out.
    pub fn is_clean(&self) -> bool {
        let equal = self.models.iter().all(|model| model.differences.is_empty());
        self.log.is_none() && equal && self.parked.is_empty()
    }
}

/// The statements that compare a read model with `target`: how many rows, and what stands in one table only.
fn comparisons(model: Model, target: &str) -> [String; 3] {
    let (name, columns, key) = (model.name(), model.table().column_names(), model.table().columns[0].0);
    let only = |here: &str, there: &str| {
        format!(
            "SELECT CAST({key} AS TEXT) FROM (SELECT {columns} FROM {here} EXCEPT SELECT {columns} FROM {there}) AS d \
             ORDER BY 1 LIMIT $1"
        )
    };
    [format!("SELECT count(*) FROM {name}"), only(name, target), only(target, name)]
}

/// Every statement of this file, with the live tables on both sides.
pub(crate) fn statements() -> Vec<String> {
    let compared = Model::ALL.into_iter().flat_map(|model| comparisons(model, model.name()));
    compared.chain([POSITION.to_owned(), HOLD.to_owned()]).collect()
}

pub(super) async fn run(core: &Arc<Core>) -> Result<VerifyReport, QueryError> {
    let log = EventLog::new(core.slow.clone()).disorder().await?;
    let mut models = Vec::new();
    for model in Model::ALL {
        let mut build = Build::begin(core, model, "check").await?;
        let report = report(core, &mut build).await;
        build.discard("check").await?;
        models.push(report?);
    }
    let parked = crate::parked::list(core, PARKED_NAMED_MAX).await?;
    Ok(VerifyReport { log, models, parked })
}

async fn report(core: &Core, build: &mut Build<'_>) -> Result<ModelReport, QueryError> {
    for _ in 0..MOVING_MAX {
        if let Some(report) = compared(core, build).await? {
            return Ok(report);
        }
    }
    // The live table moves faster than it is compared: the runner of this process waits, and that of any other one at
    // the row of the checkpoint. SQLite has one writer and no other process.
    let _gate = core.gate.write().await;
    let held = match core.slow.lock_timeout() {
        Some(_) => Some(hold(core, build.model()).await?),
        None => None,
    };
    let report = compared(core, build).await;
    drop(held);
    report?.ok_or_else(|| {
        QueryError::Unavailable(format!(
            "{} moved while it was held; verify it once more",
            build.model().name()
        ))
    })
}

async fn hold(core: &Core, model: Model) -> Result<Tx, QueryError> {
    let mut tx = core.slow.begin().await?;
    // It says nothing while others compare.
    tx.execute(PATIENT, &[]).await?;
    tx.execute(HOLD, &[Arg::Text(model.name())]).await?;
    Ok(tx)
}

async fn position(core: &Core, tx: &mut Tx, model: Model) -> Result<i64, QueryError> {
    let rows = tx.fetch(POSITION, &[Arg::Text(model.name()), Arg::Text(&core.epoch)]).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.int(0))?)
}

/// Brings the new table to the live checkpoint and compares in one snapshot; `None` if the live one moved meanwhile.
async fn compared(core: &Core, build: &mut Build<'_>) -> Result<Option<ModelReport>, QueryError> {
    let model = build.model();
    let mut now = core.slow.snapshot().await?;
    let live = position(core, &mut now, model).await?;
    drop(now);
    build.advance(live, &mut |_| {}).await?;
    let mut snapshot = core.slow.snapshot().await?;
    let position = position(core, &mut snapshot, model).await?;
    if position != build.position() {
        return Ok(None);
    }
    let [count, only_live, only_rebuilt] = comparisons(model, build.target());
    let rows = snapshot.fetch(&count, &[]).await?.first().map_or(Ok(0), |row| row.int(0))?;
    let mut differences = Vec::new();
    for row in snapshot.fetch(&only_live, &[Arg::Int(NAMED_MAX)]).await? {
        differences.push(Difference::Live(row.text(0)?.to_owned()));
    }
    for row in snapshot.fetch(&only_rebuilt, &[Arg::Int(NAMED_MAX)]).await? {
        differences.push(Difference::Rebuilt(row.text(0)?.to_owned()));
    }
    Ok(Some(ModelReport { name: model.name(), position, rows, differences }))
}
