//! How processes share limits: each spends by itself and tells the others in blocks what it spent. Not before a process has
//! counted a hundred requests since its last command does it send another one, which carries all that is due; refused
//! requests spend nothing and are never told. Nobody waits for it: where Redis is away each process goes by its own count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use projections::{SharedLimits, Spent};

use super::bucket::{Bucket, Clock};
use super::class::{Class, Who};

/// So many requests are counted for each command.
const REQUESTS_PER_COMMAND: u64 = 100;
/// Buckets of one command.
const AT_ONCE: usize = 256;
/// Buckets that wait for their turn; more go by this process's count alone for a while.
const WAITING_MAX: usize = 4_096;

/// What one process tells the others.
pub(super) struct Telling {
    shared: SharedLimits,
    clock: Clock,
    /// Requests that were counted, and how many of them before the last command.
    counted: AtomicU64,
    told_at: AtomicU64,
    waiting: Mutex<Vec<Waiting>>,
    is_any_waiting: AtomicBool,
    is_under_way: AtomicBool,
}

/// A bucket that has something to tell.
struct Waiting {
    class: Class,
    who: Who,
    bucket: Arc<Bucket>,
}

impl Telling {
    pub(super) fn new(shared: SharedLimits, clock: Clock) -> Self {
        Self {
            shared,
            clock,
            counted: AtomicU64::new(0),
            told_at: AtomicU64::new(0),
            waiting: Mutex::default(),
            is_any_waiting: AtomicBool::new(false),
            is_under_way: AtomicBool::new(false),
        }
    }

    /// Counts a request, with the bucket that it was taken from unless it was refused.
    pub(super) fn count(self: &Arc<Self>, taken: Option<(Class, Who, &Arc<Bucket>)>) {
        let counted = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((class, who, bucket)) = taken
            && bucket.is_due()
        {
            self.wait(Waiting { class, who, bucket: Arc::clone(bucket) });
        }
        if self.is_time(counted) && !self.is_under_way.swap(true, Ordering::AcqRel) {
            // Another thread may have told everything since this one looked.
            if self.is_time(counted) {
                self.told_at.store(counted, Ordering::Relaxed);
                tokio::spawn(Arc::clone(self).tell());
            } else {
                self.is_under_way.store(false, Ordering::Release);
            }
        }
    }

    fn is_time(&self, counted: u64) -> bool {
        self.is_any_waiting.load(Ordering::Relaxed)
            && counted.saturating_sub(self.told_at.load(Ordering::Relaxed)) >= REQUESTS_PER_COMMAND
    }

    fn wait(&self, one: Waiting) {
        let mut waiting = self.lock();
        if waiting.len() < WAITING_MAX {
            waiting.push(one);
            self.is_any_waiting.store(true, Ordering::Relaxed);
        } else {
            one.bucket.give_up_waiting();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        // The list is whole after every call, so a panic elsewhere while it was held does no harm.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buckets of the next command.
    fn turn(&self) -> Vec<Waiting> {
        let mut waiting = self.lock();
        let first = waiting.len().min(AT_ONCE);
        let turn = waiting.drain(..first).collect();
        self.is_any_waiting.store(!waiting.is_empty(), Ordering::Relaxed);
        turn
    }

    /// One command: what this process spent, and what all have spent in answer.
    async fn tell(self: Arc<Self>) {
        let now_ns = self.clock.now_ns();
        let (mut buckets, mut spent) = (Vec::new(), Vec::new());
        for one in self.turn() {
            let tokens = one.bucket.told(now_ns);
            if tokens > 0 {
                let rule = one.bucket.rule();
                spent.push(Spent {
                    name: format!("{}\n{}", one.class.as_str(), one.who),
                    cost: Duration::from_nanos(tokens * rule.interval_ns()),
                    most: Duration::from_nanos(2 * rule.window_ns()),
                });
                buckets.push(one.bucket);
            }
        }
        if !spent.is_empty()
            && let Some(all) = self.shared.tell(&spent).await
        {
            let now_ns = self.clock.now_ns();
            for (bucket, spent) in buckets.iter().zip(all) {
                bucket.learn(now_ns, u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX));
            }
        }
        self.is_under_way.store(false, Ordering::Release);
    }
}
