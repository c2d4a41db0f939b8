//! A read model under construction: a table of another name, the position it stands at, and the fold that fills it.
//! The log is read and understood ahead of what is being folded; rows are written while the next are rendered.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::task::{JoinError, JoinHandle};

use super::Progress;
use crate::Core;
use crate::db::{Arg, DbError, Rows, Tx};
use crate::error::QueryError;
use crate::event_log::EventLog;
use crate::model::{Builder, Entry, Model};
use crate::parked::{self, Known, Parked};
use crate::view::{Erasures, Sources};

const BEGIN: &str = "INSERT INTO projection_checkpoint (name, epoch, position, generation) VALUES ($1, $2, 0, 1) \
    ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, position = 0, \
    generation = projection_checkpoint.generation + 1 RETURNING generation";
const MINE: &str = "UPDATE projection_checkpoint SET position = $3 WHERE name = $1 AND generation = $2";

const NEWEST: &str = "SELECT generation FROM projection_checkpoint WHERE name = $1";

/// Every statement of this file that has a text of its own.
pub(crate) const STATEMENTS: &[&str] = &[BEGIN, MINE, NEWEST];

/// Pages of the log that are read ahead.
const AHEAD: usize = 3;
/// Parts of the table that are being written at once; SQLite takes them one after the other.
const STORING: usize = 2;

/// A read model under construction.
pub(super) struct Build<'a> {
    core: &'a Arc<Core>,
    model: Model,
    target: String,
    generation: i64,
    builder: Builder,
    position: i64,
    /// Up to here, whoever was erased had lost the key before any row was rendered.
    begun_at: i64,
    /// Aggregates that are left out.
    parked: Vec<Parked>,
}

type Page = JoinHandle<Result<Vec<Entry>, QueryError>>;

impl<'a> Build<'a> {
    /// Makes the empty table `<name>__<suffix>`. A build of the same name that was begun before, by whomever, is void
    /// from here on: it finds another generation at its next write.
    pub(super) async fn begin(core: &'a Arc<Core>, model: Model, suffix: &str) -> Result<Self, QueryError> {
        let target = format!("{}__{suffix}", model.name());
        let begun_at = core.log.head().await?;
        let mut tx = core.slow.begin().await?;
        let rows = tx.fetch(BEGIN, &[Arg::Text(&target), Arg::Text(&core.epoch)]).await?;
        let generation = rows.first().map_or(Ok(1), |row| row.int(0))?;
        tx.execute(&format!("DROP TABLE IF EXISTS {target}"), &[]).await?;
        tx.execute(&format!("DROP TABLE IF EXISTS {}__old", model.name()), &[]).await?;
        tx.execute(&model.table().create(&target), &[]).await?;
        tx.wall(model.table(), &target).await?;
        tx.commit().await?;
        let builder = Builder::new(model, &target);
        let parked = Vec::new();
        Ok(Self { core, model, target, generation, builder, position: 0, begun_at, parked })
    }

    pub(super) fn model(&self) -> Model {
        self.model
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Aggregates that are left out, because they cannot be followed.
    pub(super) fn parked(&self) -> &[Parked] {
        &self.parked
    }

    /// Makes the indexes, once most rows are there.
    pub(super) async fn index(&self) -> Result<(), QueryError> {
        for text in self.model.table().create_indexes(&self.target, self.generation) {
            let mut tx = self.core.slow.begin().await?;
            self.check(&mut tx).await?;
            tx.execute(&text, &[]).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Applies the log up to `to` and writes all rows.
    pub(super) async fn advance(
        &mut self,
        to: i64,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), QueryError> {
        let step = i64::from(self.core.config.rebuild_page);
        let mut pages: VecDeque<Page> = VecDeque::new();
        let mut asked = self.position;
        while self.position < to {
            while asked < to && pages.len() < AHEAD {
                let limit = step.min(to - asked);
                pages.push_back(tokio::spawn(page(self.core.log.clone(), self.model, asked, limit)));
                asked += limit;
            }
            let Some(page) = pages.pop_front() else { break };
            let entries = page.await.map_err(|error| ended(&error))??;
            self.take(&entries).await?;
            progress(Progress { done: self.position, total: to });
        }
        self.write().await
    }

    async fn take(&mut self, entries: &[Entry]) -> Result<(), QueryError> {
        let sources = Sources { sql: &self.core.slow, vault: &*self.core.vault };
        self.builder.apply(sources, entries, Erasures::RenderAfter(self.begun_at)).await?;
        self.position = entries.last().map_or(self.position, |entry| entry.stored.position);
        if self.builder.is_full(self.core.config.rebuild_entries) {
            self.write().await?;
            self.builder.clear();
        }
        Ok(())
    }

    /// Writes the rows that changed; the next are rendered while the database takes the last ones.
    async fn write(&mut self) -> Result<(), QueryError> {
        let (core, generation) = (self.core, self.generation);
        let mut storing = FuturesUnordered::new();
        loop {
            let rendered = self.builder.render(&*core.vault).await?;
            let last = rendered.is_none();
            storing.extend(
                rendered.map(|rows| tokio::spawn(store(core.clone(), self.target.clone(), generation, rows))),
            );
            while storing.len() > STORING || (last && !storing.is_empty()) {
                storing.next().await.transpose().map_err(|error| ended(&error))?.transpose()?;
            }
            if last {
                return self.leave_out().await;
            }
        }
    }

    /// Removes the rows of those that were found to be impossible to follow, now that no earlier row of theirs can come.
    async fn leave_out(&mut self) -> Result<(), QueryError> {
        let found = self.builder.take_parked();
        if found.is_empty() {
            return Ok(());
        }
        if self.model.of_subject().is_some() {
            let mut tx = self.core.slow.begin().await?;
            self.check(&mut tx).await?;
            for one in &found {
                tx.execute(&parked::remove(&self.target), &[Arg::Text(&one.id)]).await?;
            }
            tx.commit().await?;
        }
        self.parked.extend(found);
        Known::default().has_room(&self.parked, self.core.config.parked_max)
    }

    /// Whether no other build of this name was begun since; the row that says so is locked.
    pub(super) async fn is_mine(&self, tx: &mut Tx) -> Result<bool, DbError> {
        mine(tx, &self.target, self.generation, self.position).await
    }

    async fn check(&self, tx: &mut Tx) -> Result<(), QueryError> {
        if self.is_mine(tx).await? { Ok(()) } else { Err(void(&self.target)) }
    }

    /// Drops `<name>__<suffix>`, if it is there.
    pub(super) async fn discard(&self, suffix: &str) -> Result<(), QueryError> {
        let mut tx = self.core.slow.begin().await?;
        tx.execute(&format!("DROP TABLE IF EXISTS {}__{suffix}", self.model.name()), &[]).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn ended(error: &JoinError) -> QueryError {
    QueryError::Damaged(format!("a build was ended: {error}"))
}

fn void(target: &str) -> QueryError {
    QueryError::Unavailable(format!("another build of {target} was started; this one ended"))
}

async fn mine(tx: &mut Tx, target: &str, generation: i64, position: i64) -> Result<bool, DbError> {
    let args = [Arg::Text(target), Arg::Int(generation), Arg::Int(position)];
    Ok(tx.execute(MINE, &args).await? == 1)
}

/// Writes rows. The generation is read after the table was locked by the first row, and whoever begins anew drops the
/// table after the generation rose: so nothing is written into a table that is not ours.
async fn store(core: Arc<Core>, target: String, generation: i64, rows: Rows) -> Result<(), QueryError> {
    let mut tx = core.slow.begin().await?;
    tx.upsert(&rows).await?;
    let newest = tx.fetch(NEWEST, &[Arg::Text(&target)]).await?;
    if newest.first().map_or(Ok(0), |row| row.int(0))? != generation {
        return Err(void(&target));
    }
    tx.commit().await?;
    Ok(())
}

/// A page of the log, with those events understood that `model` needs. Understanding is work for a thread of its own.
async fn page(log: EventLog, model: Model, after: i64, limit: i64) -> Result<Vec<Entry>, QueryError> {
    let stored = log.read(after, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
    if stored.len() as i64 != limit {
        return Err(QueryError::Damaged(format!(
            "the log ends before position {}; restore it from a backup",
            after + limit
        )));
    }
    let understood = tokio::task::spawn_blocking(move || {
        let entries: Vec<Entry> = stored.into_iter().map(Entry::new).collect();
        for entry in entries.iter().filter(|entry| model.reads(entry.stored.stream.kind)) {
            // What cannot be understood is refused by the fold, which says so.
            let _ = entry.read();
        }
        entries
    });
    understood
        .await
        .map_err(|error| QueryError::Damaged(format!("a page of the log could not be read: {error}")))
}
