//! Following the log: every process looks at its end now and then, so that what other processes appended is heard of,
//! puts a floor under each stream it meets, and wakes whoever waits. It reads ids and positions only.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::alias;
use domain::id::{Kind, Pseudonym};
use domain::ports::Floor as _;
use domain::private::Subject;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::Core;
use crate::error::QueryError;
use crate::event_log::Seen;
use crate::floors::FLOOR_KEPT;

/// Events that one look brings.
const PAGE: i64 = 5_000;
/// A look at the log that takes longer failed.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// How often the cache forgets what nobody may need any more.
const FORGET: Duration = Duration::from_secs(60);
/// Longest pause before it is tried again.
const AGAIN: Duration = Duration::from_millis(250);

impl Core {
    /// Puts floors under the streams of the log's last minute, before the first question is answered. What lies before
    /// them is only trusted from a read model that has passed it.
    pub(crate) async fn begin(&self) -> Result<(), QueryError> {
        let moment = self.floors.contact().moment();
        let head = self.log.head().await?;
        let mut from = head;
        let mut since = None;
        while from > 0 {
            let page = self.log.seen((from - PAGE).max(0), from).await?;
            let newest = page.last().map(|event| event.recorded_at);
            let since =
                *since.get_or_insert_with(|| newest.map_or(0, |at| at.ms()) - FLOOR_KEPT.as_millis() as i64);
            let recent = page.iter().rev().take_while(|event| event.recorded_at.ms() > since);
            let count = recent.inspect(|event| self.put_floor(event)).count();
            from -= count as i64;
            if count < page.len() || self.floors.len() >= crate::floors::FLOORS_MAX {
                break;
            }
        }
        self.floors.distrust_before(from);
        self.tail.store(head, Ordering::Release);
        self.floors.hear(head);
        self.floors.contact().looked(moment);
        self.refresh_checkpoint().await?;
        self.begin_aliases(head).await?;
        Ok(())
    }

    /// Looks at the end of the log once; whether there was more than one look brings.
    pub(crate) async fn look(&self) -> Result<bool, QueryError> {
        let moment = self.floors.contact().moment();
        let after = self.tail.load(Ordering::Acquire);
        let seen = self.log.seen(after, after + PAGE).await?;
        let last = seen.last().map_or(after, |event| event.position);
        for event in &seen {
            self.heed(event);
        }
        self.tail.fetch_max(last, Ordering::AcqRel);
        self.floors.hear(last);
        self.floors.tidy();
        let more = seen.len() as i64 == PAGE;
        if !more {
            self.floors.contact().looked(moment);
        }
        Ok(more)
    }

    fn put_floor(&self, event: &Seen) {
        if let Some(guild) = event.guild.filter(|_| event.event_type == alias::ADDED) {
            self.floors.raise_aliases(guild, event.position);
        }
        event.stream.iter().for_each(|stream| self.floors.raise(stream, event.position));
    }

    fn heed(&self, event: &Seen) {
        self.put_floor(event);
        let Some(stream) = &event.stream else { return };
        if stream.kind == Kind::User && event.event_type == "user.erased" {
            if let Ok(person) = stream.id.parse::<Pseudonym>() {
                self.vault.forget(&Subject::User(person));
            }
            // Facts of many aggregates may show the person; which ones, only the read models know.
            self.floors.distrust_before(event.position);
        }
    }
}

/// Follows the log and writes what waits to be written, until `shutdown`. A database that does not answer is asked
/// again at the next look.
pub(crate) async fn run(core: Arc<Core>, shutdown: CancellationToken) {
    let follow = async {
        let mut ticks = interval(core.config.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = core.bus.called() => {}
            }
            if !look_until_done(&core).await {
                // Whoever called does not call twice.
                ticks.reset_after(core.config.poll.min(AGAIN));
            }
        }
    };
    let flush = async {
        let mut ticks = interval(core.config.last_seen_flush);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = core.last_seen.flush().await {
                tracing::warn!(%error, "when devices were last seen could not be written; it is kept and tried again");
            }
        }
    };
    let forget = async {
        let mut ticks = interval(FORGET);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            core.cache.forget_older(core.config.stale_if_error);
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = async { tokio::join!(follow, flush, forget, core.bus.run()); } => {}
    }
    if let Err(error) = core.last_seen.flush().await {
        tracing::warn!(%error, "when devices were last seen could not be written before the end");
    }
}

/// Looks until there is no more to see; false if it could not.
async fn look_until_done(core: &Core) -> bool {
    loop {
        let failure = match timeout(LOOK_MAX, core.look()).await {
            Ok(Ok(true)) => continue,
            // Where the read models stand, a process without a projector hears nowhere else.
            Ok(Ok(false)) if core.bus.head() > *core.checkpoint.borrow() => {
                match timeout(LOOK_MAX, core.refresh_checkpoint()).await {
                    Ok(Err(error)) => error.to_string(),
                    Ok(Ok(_)) | Err(_) => return true,
                }
            }
            Ok(Ok(false)) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} ms", LOOK_MAX.as_millis()),
        };
        core.floors.contact().failed();
        tracing::debug!(failure, "the log could not be looked at; tried again in a moment");
        return false;
    }
}
