//! The runner of the read models: takes the events after the common checkpoint, applies them to every read model that
//! stands there, and writes rows and checkpoints in one transaction. It applies position = checkpoint + 1 only, so that
//! a crash, a repeat or a second runner can neither skip an event nor apply one twice. An aggregate that cannot be followed
//! is left out, and holds up no other. It has no side effects.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{self, Checkpoint};
use crate::db::Rows;
use crate::error::QueryError;
use crate::model::{Entry, Model};
use crate::parked::{self, Known, Parked};
use crate::view::Sources;
use crate::{Core, Queries};

/// Attempts at an event before its aggregate is left out.
const ATTEMPTS: u32 = 3;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The runner. A second one over the same database does no harm: whoever comes second finds the checkpoints moved.
pub struct Projector {
    core: Arc<Core>,
    /// Read models that this runner gave up, until it is started anew.
    stopped: HashMap<Model, i64>,
    /// What is left out, as this runner knows it; each batch compares it with what stands.
    known: Option<Known>,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Events up to this position were applied.
    Applied(i64),
    /// There is nothing after this position.
    Idle(i64),
    /// The checkpoints moved in between: another runner, or a rebuild.
    Moved,
}

impl Projector {
    /// The runner of what `queries` reads.
    pub fn new(queries: &Queries) -> Self {
        Self { core: queries.core.clone(), stopped: HashMap::new(), known: None }
    }

    /// Runs until `shutdown`. A database that does not answer is tried again, at longer and longer intervals up to five
    /// seconds; nothing ends this but `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let work = async {
            let mut woken = self.core.bus.subscribe();
            let mut backoff = BACKOFF_MIN;
            loop {
                match self.step().await {
                    Ok(Step::Idle(position)) => {
                        backoff = BACKOFF_MIN;
                        let wake = woken.wait_for(|head| *head > position);
                        let _ = timeout(self.core.config.poll, wake).await;
                    }
                    Ok(Step::Applied(_) | Step::Moved) => backoff = BACKOFF_MIN,
                    Err(error) => {
                        tracing::warn!(%error, "the read models could not be brought up to date; tried again");
                        sleep(backoff).await;
                        backoff = (backoff * 2).min(BACKOFF_MAX);
                    }
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }

    /// Applies events until there are none left; the position reached.
    ///
    /// # Errors
    /// Those of [`Projector::step`].
    pub async fn catch_up(&mut self) -> Result<i64, QueryError> {
        loop {
            if let Step::Idle(position) = self.step().await? {
                return Ok(position);
            }
        }
    }

    /// Applies one batch.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer. An event that cannot be applied is no error here: its
    /// aggregate is left out of the read model, and stands in [`Queries::parked`]. If there are too many of those, the
    /// model stops, and says so in [`Queries::models`].
    pub async fn step(&mut self) -> Result<Step, QueryError> {
        let core = self.core.clone();
        let _gate = core.gate.read().await;
        let checkpoints = self.standing(&core).await?;
        let Some(start) = checkpoints.iter().map(|c| c.position).min() else {
            return Ok(Step::Idle(core.bus.head()));
        };
        let group: Vec<Model> = checkpoints.iter().filter(|c| c.position == start).map(|c| c.model).collect();
        let ahead = checkpoints.iter().map(|c| c.position - start).filter(|distance| *distance > 0).min();
        let limit =
            ahead.map_or(core.config.batch, |d| u32::try_from(d).unwrap_or(u32::MAX).min(core.config.batch));
        let entries: Vec<Entry> = core.log.read(start, limit).await?.into_iter().map(Entry::new).collect();
        let Some(end) = entries.last().map(|entry| entry.stored.position) else {
            return Ok(Step::Idle(start));
        };
        let mut known = match self.known.take() {
            Some(known) => known,
            None => parked::known(&core).await?,
        };
        match apply(&core, &group, start, &entries, &mut known).await {
            Ok(true) => self.known = Some(known),
            Ok(false) => return Ok(Step::Moved),
            Err(error @ QueryError::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, start, end, "a batch could not be applied; each read model is tried alone");
                for model in group {
                    self.alone(&core, model, start, &entries).await?;
                }
            }
        }
        core.refresh_checkpoint().await?;
        Ok(Step::Applied(end))
    }

    /// Where each read model stands that is to move on. One that stands in another epoch of the log is built anew.
    async fn standing(&self, core: &Arc<Core>) -> Result<Vec<Checkpoint>, QueryError> {
        let mut standing = checkpoint::adopt(core).await?;
        for foreign in standing.iter_mut().filter(|c| c.epoch != *core.epoch) {
            tracing::warn!(
                model = foreign.model.name(),
                "the log was restored since; the read model is rebuilt"
            );
            foreign.position = crate::rebuild::run(core, foreign.model, &mut |_| {}).await?.position;
            foreign.epoch = core.epoch.to_string();
        }
        standing.retain(|c| !self.stopped.contains_key(&c.model));
        Ok(standing)
    }

    /// Applies a batch to one read model, in smaller and smaller parts, up to the event that it cannot take.
    async fn alone(
        &mut self,
        core: &Core,
        model: Model,
        start: i64,
        entries: &[Entry],
    ) -> Result<(), QueryError> {
        let (mut done, mut size, mut attempt) = (0, entries.len(), 1);
        while done < entries.len() {
            let part = &entries[done..entries.len().min(done + size)];
            let at = start + done as i64;
            let mut known = parked::known(core).await?;
            match apply(core, &[model], at, part, &mut known).await {
                Ok(true) => done += part.len(),
                Ok(false) => return Ok(()),
                Err(error @ QueryError::Unavailable(_)) => return Err(error),
                Err(_) if size > 1 => size /= 2,
                Err(_) if attempt < ATTEMPTS => {
                    sleep(BACKOFF_MIN * attempt).await;
                    attempt += 1;
                }
                Err(error) => match leave_out(core, model, at, &part[0], &error, &known).await? {
                    LeftOut::Yes => (done, attempt) = (done + 1, 1),
                    LeftOut::Moved => return Ok(()),
                    LeftOut::Impossible => {
                        let position = at + 1;
                        tracing::error!(%error, model = model.name(), position, "a read model stopped at an event");
                        checkpoint::stop(core, model, position, &error.to_string()).await?;
                        self.stopped.insert(model, position);
                        return Ok(());
                    }
                },
            }
        }
        Ok(())
    }
}

/// What came of leaving an aggregate out.
enum LeftOut {
    Yes,
    /// The checkpoint moved in between.
    Moved,
    /// The event is not one of an aggregate that this model keeps, or too many are left out already.
    Impossible,
}

/// Passes an event that the database does not take, and leaves its aggregate out.
async fn leave_out(
    core: &Core,
    model: Model,
    start: i64,
    entry: &Entry,
    error: &QueryError,
    known: &Known,
) -> Result<LeftOut, QueryError> {
    let stream = &entry.stored.stream;
    let one = [Parked::new(model.name(), stream.kind.as_str(), &stream.id, start + 1, &error.to_string())];
    if !model.reads(stream.kind) || known.has_room(&one, core.config.parked_max).is_err() {
        return Ok(LeftOut::Impossible);
    }
    let mut tx = core.sql.begin().await?;
    if !checkpoint::advance(&mut tx, &core.epoch, &[model], start, start + 1).await? {
        return Ok(LeftOut::Moved);
    }
    parked::park(&mut tx, &one).await?;
    tx.commit().await?;
    Ok(LeftOut::Yes)
}

/// Applies events that begin right after `start` to the read models of `group`, which stand there: everything is
/// prepared first, then written in one transaction. False if they stand there no more, or leave out others than are
/// `known`; what is left out from here on is known afterwards.
async fn apply(
    core: &Core,
    group: &[Model],
    start: i64,
    entries: &[Entry],
    known: &mut Known,
) -> Result<bool, QueryError> {
    let sources = Sources { sql: &core.sql, vault: &*core.vault };
    let (mut rows, mut left_out): (Vec<Rows>, Vec<Parked>) = Default::default();
    for model in group {
        let prepared = model.prepare(sources, entries, known).await?;
        rows.extend(prepared.rows);
        left_out.extend(prepared.parked);
    }
    known.has_room(&left_out, core.config.parked_max)?;
    let mut tx = core.sql.begin().await?;
    // The checkpoint rows are locked before the tables, here and where a rebuild swaps them.
    if !checkpoint::advance(&mut tx, &core.epoch, group, start, start + entries.len() as i64).await? {
        return Ok(false);
    }
    // Others leave out and bring back, too; a rebuild may even do so without moving the checkpoint.
    if parked::known_here(&mut tx).await? != *known {
        return Ok(false);
    }
    parked::park(&mut tx, &left_out).await?;
    for rows in rows.iter().filter(|rows| !rows.is_empty()) {
        tx.upsert(rows).await?;
    }
    tx.commit().await?;
    known.add(&left_out);
    Ok(true)
}
