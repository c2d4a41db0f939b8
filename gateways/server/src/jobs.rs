//! Background work: what the clock has done goes into the log at most a second late; first validations are
//! recorded; last sights are written; old idempotency rows are pruned; shared keys are watched for. Every loop is bounded, tries again with
//! growing pauses, and loses nothing by being killed: whatever it did not do is still due at the next start.

mod sharing;

use std::sync::Arc;
use std::time::Duration;

use commands::{CommandError, Commands, Context};
use domain::id::{GuildId, LicenseId};
use domain::time::{Span, Timestamp};
use futures::StreamExt as _;
use projections::{Activations, Due, FirstValidation, GuildFacts, Queries, QueryError};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config;

/// The lease of whoever does what is due, and how long it lasts. Two at once would do no harm, only the same twice.
const LEASE: &str = "worker";
const LEASE_TTL: Duration = Duration::from_secs(2);
/// Longest sleep of the due loop: nothing fires later than this.
const TICK: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Most licenses looked at in one pass when those before them do not change.
const DUE_MAX: u32 = 100_000;
/// How long the list of guilds that want announcements is used.
const GUILDS_FRESH: Duration = Duration::from_secs(5);
/// How long one pass waits for the read models to show what it did.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

/// The jobs of one process.
#[derive(Clone)]
pub(crate) struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    commands: Commands,
    queries: Queries,
    clock: Clock,
    limits: config::Jobs,
    /// New devices, of which the rules of sharing judge.
    activations: Activations,
    /// This process, as the lease names it.
    holder: String,
    /// How long a session may be idle.
    idle: Span,
    /// One pass at a time, so that `clock advance` and the loop do not do the same work twice.
    pass: Mutex<()>,
    /// Guilds that want coming ends announced, as they were when last looked at.
    announcing: Mutex<Announcing>,
}

/// Whether the list of guilds is read again before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guilds {
    /// Only if the log has moved, and not more often than every few seconds.
    AsKnown,
    /// In any case.
    Read,
}

/// Guilds that want coming ends announced, and how long ahead.
#[derive(Default)]
struct Announcing {
    guilds: Vec<(GuildId, Span)>,
    /// The head of the log when the guilds were read.
    head: i64,
    read: Option<Instant>,
}

/// Why a job failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The read side.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The change.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Jobs {
    /// Jobs over the two halves.
    pub(crate) fn new(
        commands: Commands,
        queries: Queries,
        clock: Clock,
        limits: config::Jobs,
        idle: Span,
        holder: String,
    ) -> Self {
        let (pass, announcing) = (Mutex::default(), Mutex::default());
        let activations = queries.activations();
        let inner = Inner { commands, queries, clock, limits, activations, idle, holder, pass, announcing };
        Self { inner: Arc::new(inner) }
    }

    /// Records the first validations that this process answered, until `stop` is cancelled.
    pub(crate) fn record_validations(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        let (jobs, token) = (self.clone(), stop.clone());
        tasks.spawn(async move { jobs.first_validations(token).await });
    }

    /// Starts the loops of the worker. They end when `stop` is cancelled, each after the piece of work that it is doing.
    pub(crate) fn start(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        let (jobs, token) = (self.clone(), stop.clone());
        tasks.spawn(async move { jobs.due_loop(token).await });
        let (jobs, token) = (self.clone(), stop.clone());
        tasks.spawn(async move { jobs.prune_loop(token).await });
        let (jobs, token) = (self.clone(), stop.clone());
        tasks.spawn(async move { jobs.sharing_loop(token).await });
    }

    async fn due_loop(&self, stop: CancellationToken) {
        let mut failures = 0;
        let mut swept = Instant::now();
        while !stop.is_cancelled() {
            let sweep = swept.elapsed() >= self.inner.limits.sweep;
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.look(sweep) => done,
            };
            if sweep {
                swept = Instant::now();
            }
            let pause = match done {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    failures += 1;
                    let pause = self.pause(failures);
                    tracing::warn!(job = "due", %error, "due work failed; it is tried again in {pause:?}");
                    pause
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what is due, if the index says that something is, or if everything is to be looked at; then says for how
    /// long nothing will be.
    async fn look(&self, sweep: bool) -> Result<Duration, JobError> {
        let next = self.inner.queries.next_due().await?;
        // The lease is asked for only then: an idle process writes nothing.
        if (sweep || next.is_some_and(|due| due <= self.inner.clock.now())) && self.is_its_turn().await? {
            self.run_due().await?;
        }
        self.announce(Guilds::AsKnown).await?;
        let next = self.inner.queries.next_due().await?;
        // What is due and did not change just now (the guild is frozen, or the index lags) waits for the next tick.
        let ahead = next.map(|due| (due - self.inner.clock.now()).ms()).filter(|ms| *ms > 0);
        Ok(ahead.map_or(TICK, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()).min(TICK)))
    }

    /// Whether this process does what is due, and no other one.
    async fn is_its_turn(&self) -> Result<bool, JobError> {
        let leases = self.inner.queries.leases();
        Ok(leases.acquire(LEASE, &self.inner.holder, LEASE_TTL).await?.is_some())
    }

    /// Does everything that is due at this moment and returns when the read models show it.
    ///
    /// # Errors
    /// The first failure after the configured number of tries; the work is then still due.
    pub(crate) async fn run_due(&self) -> Result<(), JobError> {
        let _one = self.inner.pass.lock().await;
        let now = self.inner.clock.now();
        let mut limit = self.inner.limits.due_batch;
        loop {
            let due = self.inner.queries.due(now, limit).await?;
            let full = due.len() >= limit as usize;
            if due.is_empty() {
                return Ok(());
            }
            if self.settle_all(due, now).await? {
                continue;
            }
            // Nothing changed: these wait for something else, or the index is behind. Others may stand after them.
            if !full || limit >= DUE_MAX {
                return Ok(());
            }
            limit = limit.saturating_mul(4).min(DUE_MAX);
        }
    }

    /// Announces ends that have come near, in the guilds that want it.
    ///
    /// # Errors
    /// As [`Jobs::run_due`].
    pub(crate) async fn announce(&self, guilds: Guilds) -> Result<(), JobError> {
        let _one = self.inner.pass.lock().await;
        let (queries, now) = (&self.inner.queries, self.inner.clock.now());
        for (guild, ahead) in self.announcing(guilds).await? {
            loop {
                let near = queries.expiring(guild, now, ahead, self.inner.limits.due_batch).await?;
                let due: Vec<Due> = near
                    .into_iter()
                    .map(|license| Due { license, guild, member: None, role_loss: false })
                    .collect();
                if due.is_empty() || !self.settle_all(due, now).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Guilds that want announcements.
    async fn announcing(&self, guilds: Guilds) -> Result<Vec<(GuildId, Span)>, JobError> {
        let mut known = self.inner.announcing.lock().await;
        let head = self.inner.queries.head();
        let fresh = known.read.is_some_and(|read| known.head == head || read.elapsed() < GUILDS_FRESH);
        if !fresh || guilds == Guilds::Read {
            let guilds = self.inner.queries.guilds().await?;
            let wants = |facts: &GuildFacts| facts.guild.id.zip(facts.guild.settings.expiring_ahead);
            *known = Announcing {
                guilds: guilds.iter().filter_map(wants).collect(),
                head,
                read: Some(Instant::now()),
            };
        }
        Ok(known.guilds.clone())
    }

    /// Settles some licenses at once; says whether that changed anything, and returns when the read models show it.
    async fn settle_all(&self, due: Vec<Due>, now: Timestamp) -> Result<bool, JobError> {
        let parallel = self.inner.limits.due_parallel;
        let work = futures::stream::iter(due).map(|due| self.settle(due, now)).buffer_unordered(parallel);
        let done: Vec<Result<Option<i64>, JobError>> = work.collect().await;
        let (mut last, mut failed) = (None, None);
        for result in done {
            match result {
                Ok(position) => last = last.max(position),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(position) = last {
            self.inner.queries.wait_for(position, SHOWN_WITHIN).await?;
        }
        // One license that cannot be settled holds up no other: it fails the pass only when nothing else moves.
        match failed {
            Some(error) if last.is_none() => Err(error),
            _ => Ok(last.is_some()),
        }
    }

    /// One license whose time has come, tried again if the store is away.
    async fn settle(&self, due: Due, now: Timestamp) -> Result<Option<i64>, JobError> {
        let name = if due.role_loss { "role-loss" } else { "expiry" };
        self.tried(|| async {
            let context = Context::job(name, Uuid::new_v4(), now);
            let commands = &self.inner.commands;
            let position = match (&due.member, due.role_loss) {
                (Some(member), true) => {
                    commands.member_due(&context, due.guild, member).await.map(|seen| seen.position)
                }
                _ => {
                    let guild = self.inner.queries.guild(due.guild).await?;
                    let ahead = guild.and_then(|facts| facts.guild.settings.expiring_ahead);
                    commands.settle(&context, due.license, ahead).await.map(|done| done.position)
                }
            };
            match position {
                // Revoked meanwhile: then the clock has nothing to do here.
                Err(CommandError::Refused(_)) => Ok(None),
                other => Ok(other?),
            }
        })
        .await
    }

    async fn first_validations(&self, stop: CancellationToken) {
        let queue = self.inner.queries.first_validations();
        loop {
            let FirstValidation { license, validated_at } = tokio::select! {
                () = stop.cancelled() => return,
                taken = queue.take() => taken,
            };
            if let Err(error) = self.record(license, validated_at).await {
                tracing::warn!(job = "first-validation", %license, %error, "the next validation brings it again");
            }
        }
    }

    async fn record(&self, license: LicenseId, validated_at: Timestamp) -> Result<(), JobError> {
        self.tried(|| async {
            let context = Context::job("first-validation", Uuid::new_v4(), self.inner.clock.now());
            match self.inner.commands.record_first_validation(&context, license, validated_at).await {
                // Suspended or revoked meanwhile: then there is nothing to record.
                Ok(_) | Err(CommandError::Refused(_) | CommandError::NotFound(_)) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn prune_loop(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.inner.limits.prune) => {}
            }
            let keep = i64::try_from(self.inner.limits.idempotency_keep.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp(self.inner.clock.now().ms().saturating_sub(keep));
            match self.inner.commands.store().prune_idempotency(before).await {
                Ok(0) => {}
                Ok(rows) => {
                    tracing::info!(job = "prune", rows, "idempotency rows older than {before} were deleted");
                }
                Err(error) => {
                    tracing::warn!(job = "prune", %error, "pruning failed; it is tried again later");
                }
            }
            let now = self.inner.clock.now();
            let idle_since = Timestamp(now.ms().saturating_sub(self.inner.idle.ms()));
            if let Err(error) = self.inner.queries.refreshes().prune(now, idle_since).await {
                tracing::warn!(job = "prune", %error, "sign-ins could not be pruned; it is tried again later");
            }
        }
    }

    /// Tries a piece of work again while the store is away, up to the configured number of times.
    async fn tried<T, F>(&self, work: impl Fn() -> F) -> Result<T, JobError>
    where
        F: Future<Output = Result<T, JobError>>,
    {
        let mut failures = 0;
        loop {
            match work().await {
                Err(error) if error.may_pass() && failures + 1 < self.inner.limits.tries => {
                    failures += 1;
                    tokio::time::sleep(self.pause(failures)).await;
                }
                result => return result,
            }
        }
    }

    /// The pause after the n-th failure: doubled each time, up to a minute.
    fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.inner.limits.retry_pause.saturating_mul(factor).min(PAUSE_MAX)
    }
}

impl JobError {
    /// Whether the same work may succeed a moment later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Query(error) => matches!(error, QueryError::Unavailable(_) | QueryError::Behind { .. }),
            Self::Command(error) => matches!(error, CommandError::Unavailable(_) | CommandError::Conflict(_)),
        }
    }
}
