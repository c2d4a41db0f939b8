//! The append actor: one task per store that takes the commands which wait and writes them in one call of the
//! database. A command stays atomic; it is answered once. Nothing here decides or reads.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::id::StreamId;
use domain::time::Timestamp;
use sqlx::Error as SqlError;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};

use super::config::AppendLimits;
use super::error::{AppendError, Clash, Meaning, StoreError};
use super::model::{Append, Appended, Claim};
use super::{postgres, sqlite};

/// What an append is called in messages.
pub(super) const DOING: &str = "appending events";

type Answer = Result<Option<Appended>, AppendError>;

/// A batch that was written.
pub(super) struct Written {
    /// Position of its first event, if it had any.
    pub(super) first: Option<i64>,
    pub(super) recorded_at: Timestamp,
}

/// A batch that was not.
pub(super) enum WriteError {
    /// A rule of the log stood against it; said exactly if the batch was one command.
    Clash(AppendError),
    /// The database refused the statement or its values.
    Refused(StoreError),
    /// The database is away: no other command will fare better.
    Away(StoreError),
}

impl WriteError {
    /// What an error means for a batch; `taken` finds the claim that it is about.
    pub(super) fn of<'a>(error: &SqlError, taken: impl FnOnce() -> Option<&'a Claim>) -> Self {
        match Meaning::of(error) {
            Meaning::Clash(Clash::Stream) => Self::Clash(AppendError::Conflict),
            Meaning::Clash(Clash::Idempotency) => Self::Clash(AppendError::IdempotencyTaken),
            Meaning::Clash(Clash::Claim) => {
                let (scope, value) =
                    taken().map(|claim| (claim.scope.clone(), claim.value.clone())).unwrap_or_default();
                Self::Clash(AppendError::Claimed { scope, value })
            }
            Meaning::Refused | Meaning::Damaged => Self::Refused(StoreError::of(DOING, error)),
            Meaning::Away => Self::Away(StoreError::of(DOING, error)),
        }
    }
}

/// Who writes the batches.
#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub(super) enum Writer {
    Sqlite(sqlite::Writer),
    Postgres(postgres::Writer),
}

impl Writer {
    async fn write(&mut self, batch: &[&Append]) -> Result<Written, WriteError> {
        match self {
            Self::Sqlite(writer) => writer.write(batch).await,
            Self::Postgres(writer) => writer.write(batch).await,
        }
    }

    async fn close(&mut self) {
        match self {
            Self::Sqlite(_) => {}
            Self::Postgres(writer) => writer.close().await,
        }
    }
}

struct Job {
    append: Append,
    answer: oneshot::Sender<Answer>,
}

#[expect(clippy::large_enum_variant, reason = "all messages but the last one are appends")]
enum Message {
    Append(Job),
    /// Write what waits, then stop.
    Close(oneshot::Sender<()>),
}

/// The sending side of the actor.
pub(super) struct Actor {
    queue: mpsc::Sender<Message>,
    patience: Duration,
    closing: AtomicBool,
}

impl Actor {
    /// Starts the actor on the current runtime. It ends when it is closed, or with the last handle.
    pub(super) fn start(writer: Writer, limits: AppendLimits) -> Self {
        let (queue, messages) = mpsc::channel(limits.queue.max(1));
        let worker = Worker {
            writer,
            batch_events: limits.batch_events.max(1),
            timeout: limits.timeout,
            waiting: VecDeque::new(),
            waiting_weight: 0,
        };
        tokio::spawn(worker.run(messages));
        Self { queue, patience: limits.timeout, closing: AtomicBool::new(false) }
    }

    /// Hands a command to the actor and waits for its answer.
    pub(super) async fn append(&self, append: Append) -> Answer {
        let (answer, answered) = oneshot::channel();
        let message = Message::Append(Job { append, answer });
        self.queue.send_timeout(message, self.patience).await.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => StoreError::Unavailable {
                doing: "queueing an append",
                why: "the queue of appends stayed full; nothing was written".to_owned(),
            },
            SendTimeoutError::Closed(_) => self.stopped(),
        })?;
        // The actor answers every command that it took, unless it died over it.
        answered.await.unwrap_or_else(|_| Err(self.stopped().into()))
    }

    fn stopped(&self) -> StoreError {
        if self.closing.load(Ordering::Relaxed) {
            return StoreError::Closed;
        }
        StoreError::Unavailable {
            doing: DOING,
            why: "the append actor died; restart this process".to_owned(),
        }
    }

    /// Lets the actor write what waits, and stops it.
    pub(super) async fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            // An actor that died is closed, too.
            let _ = closed.await;
        }
    }
}

struct Worker {
    writer: Writer,
    batch_events: usize,
    timeout: Duration,
    waiting: VecDeque<Job>,
    /// The sum of [`weight`] over `waiting`.
    waiting_weight: usize,
}

impl Worker {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut closing = Vec::new();
        loop {
            if self.waiting.is_empty() {
                match messages.recv().await {
                    Some(message) => self.take(message, &mut messages, &mut closing),
                    None => break,
                }
            }
            while self.waiting_weight < self.batch_events
                && let Ok(message) = messages.try_recv()
            {
                self.take(message, &mut messages, &mut closing);
            }
            let batch = self.next_batch();
            if !batch.is_empty() {
                self.settle(batch).await;
            }
        }
        self.writer.close().await;
        for done in closing {
            // Whoever asked may have gone away meanwhile.
            let _ = done.send(());
        }
    }

    fn take(
        &mut self,
        message: Message,
        messages: &mut mpsc::Receiver<Message>,
        closing: &mut Vec<oneshot::Sender<()>>,
    ) {
        match message {
            Message::Append(job) => {
                self.waiting_weight += weight(&job.append);
                self.waiting.push_back(job);
            }
            Message::Close(done) => {
                messages.close();
                closing.push(done);
            }
        }
    }

    /// Takes the commands, in their order, that can be written together.
    fn next_batch(&mut self) -> Vec<Job> {
        let mut batch = Vec::new();
        let mut touched = Touched::default();
        let mut batch_weight = 0;
        while let Some(job) = self.waiting.pop_front() {
            let weight = weight(&job.append);
            let untouched = touched.add(&job.append);
            if !batch.is_empty() && (batch_weight + weight > self.batch_events || !untouched) {
                self.waiting.push_front(job);
                break;
            }
            batch_weight += weight;
            self.waiting_weight -= weight;
            batch.push(job);
        }
        batch
    }

    /// Writes a batch and answers every command in it. A batch that a rule or the database refuses is halved
    /// until the command that is to blame stands alone: the others lose nothing by it, and one offender among n
    /// costs about 2 log n calls. If the database is away, it is away for all of them.
    async fn settle(&mut self, batch: Vec<Job>) {
        let mut rest = vec![batch];
        while let Some(mut jobs) = rest.pop() {
            let appends: Vec<&Append> = jobs.iter().map(|job| &job.append).collect();
            let written = match tokio::time::timeout(self.timeout, self.writer.write(&appends)).await {
                Ok(written) => written,
                Err(_) => Err(WriteError::Away(self.too_slow())),
            };
            match written {
                Ok(written) => answer_written(jobs, &written),
                Err(WriteError::Clash(_) | WriteError::Refused(_)) if jobs.len() > 1 => {
                    let later = jobs.split_off(jobs.len() / 2);
                    rest.push(later);
                    rest.push(jobs);
                }
                Err(WriteError::Clash(error)) => answer_all(jobs, &error),
                Err(WriteError::Refused(error)) => answer_all(jobs, &error.into()),
                Err(WriteError::Away(error)) => {
                    tracing::warn!(%error, "appends cannot be written");
                    let error = error.into();
                    answer_all(jobs, &error);
                    rest.drain(..).for_each(|jobs| answer_all(jobs, &error));
                }
            }
        }
    }

    fn too_slow(&self) -> StoreError {
        StoreError::Unavailable {
            doing: DOING,
            why: format!("no answer within {} ms", self.timeout.as_millis()),
        }
    }
}

/// How much room a command takes in a batch: its rows, at least one.
fn weight(append: &Append) -> usize {
    (append.events.len() + append.claims.len() + append.released.len()).max(1)
}

fn answer_written(jobs: Vec<Job>, written: &Written) {
    let mut next = written.first.unwrap_or_default();
    for job in jobs {
        let count = job.append.events.len() as i64;
        let appended = Appended { first: next, last: next + count - 1, recorded_at: written.recorded_at };
        next += count;
        // Whoever asked may have gone away; his events stand nevertheless.
        let _ = job.answer.send(Ok((count > 0).then_some(appended)));
    }
}

fn answer_all(jobs: Vec<Job>, error: &AppendError) {
    for job in jobs {
        // As above.
        let _ = job.answer.send(Err(error.clone()));
    }
}

/// What the commands of a batch write. Two that write the same thing do not go together: one of them would have
/// to fail, and a value let go by one and taken by the other would depend on the order inside one call.
#[derive(Default)]
struct Touched {
    events: HashSet<(StreamId, u64)>,
    values: HashSet<(String, String)>,
    keys: HashSet<super::model::IdempotencyKey>,
}

impl Touched {
    /// Notes what a command writes; says whether all of it was untouched.
    fn add(&mut self, append: &Append) -> bool {
        let mut fresh = true;
        for event in &append.events {
            fresh &= self.events.insert((event.stream.clone(), event.sequence));
        }
        let claimed = append.claims.iter().map(|claim| (claim.scope.clone(), claim.value.clone()));
        // A command may let go of a value and take it again, so its own values are one set.
        let own: HashSet<_> = claimed.chain(append.released.iter().cloned()).collect();
        for value in own {
            fresh &= self.values.insert(value);
        }
        if let Some(new) = &append.idempotency {
            fresh &= self.keys.insert(new.key.clone());
        }
        fresh
    }
}
