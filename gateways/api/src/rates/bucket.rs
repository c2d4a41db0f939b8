//! One bucket of tokens as a single number: until when what was spent is not refilled (the generic cell rate algorithm,
//! ITU-T I.371, Annex A). Taking one is one exchange of that number; nothing waits here, and nothing runs to refill it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use super::rate::Rate;

/// Of its quota a process spends this share, and at most this many, before it tells the others.
const BLOCK_SHARE: u32 = 20;
const BLOCK_MAX: u32 = 100;

/// Monotonic time, in nanoseconds since the limiter was made: what the clock of the demo or of the machine does is no
/// matter of limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now_ns(self) -> u64 {
        // In 584 years it stands still.
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What a bucket goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    interval_ns: u64,
    window_ns: u64,
    /// Tokens that are spent before others are told.
    block: u32,
}

impl Rule {
    pub(super) fn of(rate: Rate) -> Self {
        let interval_ns = rate.interval().as_nanos() as u64;
        let block = (rate.quota() / BLOCK_SHARE).clamp(1, BLOCK_MAX);
        Self { interval_ns, window_ns: interval_ns * u64::from(rate.quota()), block }
    }

    pub(super) fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    pub(super) fn window_ns(&self) -> u64 {
        self.window_ns
    }
}

/// A token was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Tokens that are left.
    pub(super) left: u32,
    /// In so long there is one more.
    pub(super) more_in_ns: u64,
}

/// The bucket of one caller.
#[derive(Debug)]
pub(super) struct Bucket {
    rule: Rule,
    /// What was spent is refilled at this instant.
    refilled_at_ns: AtomicU64,
    /// Tokens that nobody else was told of.
    untold: AtomicU32,
    /// Whether it waits for its turn to be told.
    waits: AtomicBool,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(rule: Rule) -> Self {
        Self {
            rule,
            refilled_at_ns: AtomicU64::new(0),
            untold: AtomicU32::new(0),
            waits: AtomicBool::new(false),
        }
    }

    pub(super) fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Takes a token; or says in how many nanoseconds there is one.
    pub(super) fn take(&self, now_ns: u64) -> Result<Taken, u64> {
        let Rule { interval_ns, window_ns, .. } = self.rule;
        let mut seen = self.refilled_at_ns.load(Ordering::Relaxed);
        loop {
            let spent = seen.saturating_sub(now_ns) + interval_ns;
            if spent > window_ns {
                return Err(spent - window_ns);
            }
            let next = now_ns + spent;
            match self.refilled_at_ns.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => {
                    let left = u32::try_from((window_ns - spent) / interval_ns).unwrap_or(u32::MAX);
                    return Ok(Taken { left, more_in_ns: (spent - 1) % interval_ns + 1 });
                }
                Err(other) => seen = other,
            }
        }
    }

    /// Notes that a token was spent; whether it is time to tell others, which is said once until [`Bucket::told`].
    pub(super) fn is_due(&self) -> bool {
        let untold = self.untold.fetch_add(1, Ordering::Relaxed) + 1;
        untold >= self.rule.block && !self.waits.swap(true, Ordering::Relaxed)
    }

    /// It does not wait any more: another token will make it due again.
    pub(super) fn give_up_waiting(&self) {
        self.waits.store(false, Ordering::Relaxed);
    }

    /// Tokens to tell others of. What was refilled meanwhile concerns nobody.
    pub(super) fn told(&self, now_ns: u64) -> u64 {
        self.give_up_waiting();
        let untold = u64::from(self.untold.swap(0, Ordering::Relaxed));
        let spent = self.refilled_at_ns.load(Ordering::Relaxed).saturating_sub(now_ns);
        untold.min(spent.div_ceil(self.rule.interval_ns))
    }

    /// Learns what all together have spent, this process's share up to its last telling included.
    pub(super) fn learn(&self, now_ns: u64, spent_ns: u64) {
        let own = u64::from(self.untold.load(Ordering::Relaxed)) * self.rule.interval_ns;
        // Whoever can write there could say anything; twice the window is the longest that anybody is kept waiting.
        let spent = spent_ns.saturating_add(own).min(2 * self.rule.window_ns);
        self.refilled_at_ns.fetch_max(now_ns.saturating_add(spent), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn bucket(rate: &str) -> Bucket {
        Bucket::full(Rule::of(rate.parse().unwrap()))
    }

    #[test]
    fn a_full_bucket_gives_its_quota_at_once_and_is_refilled_steadily() {
        let bucket = bucket("5/10s");
        for left in (0..5).rev() {
            let taken = bucket.take(7 * SECOND).unwrap();
            assert_eq!((taken.left, taken.more_in_ns), (left, 2 * SECOND));
        }
        assert_eq!(bucket.take(7 * SECOND), Err(2 * SECOND));
        assert_eq!(bucket.take(8 * SECOND), Err(SECOND), "to be refused costs nothing");
        assert_eq!(bucket.take(9 * SECOND), Ok(Taken { left: 0, more_in_ns: 2 * SECOND }));
        assert_eq!(bucket.take(9 * SECOND), Err(2 * SECOND));
        for _ in 0..5 {
            bucket.take(100 * SECOND).unwrap();
        }
        assert!(bucket.take(100 * SECOND).is_err(), "it never holds more than its quota");
    }

    #[test]
    fn over_a_long_time_the_rate_is_kept_whatever_comes() {
        let bucket = bucket("10/1s");
        let taken = (0..100_000_u64).filter(|n| bucket.take(n * SECOND / 1_000).is_ok()).count();
        // 100 seconds of ten, and what it held in the beginning.
        assert!((1_000..=1_010).contains(&taken), "{taken}");
    }

    #[test]
    fn threads_share_one_quota() {
        let bucket = bucket("1000/1h");
        let taken = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).filter(|_| bucket.take(SECOND).is_ok()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn a_block_is_told_once_and_without_what_was_refilled() {
        let bucket = bucket("100/100s");
        let due = |_| {
            bucket.take(SECOND).unwrap();
            bucket.is_due()
        };
        assert_eq!((0..8).map(due).filter(|due| *due).count(), 1, "a block is five");
        assert_eq!(bucket.told(SECOND), 8);
        assert_eq!(bucket.told(SECOND), 0);
        assert_eq!((0..5).map(due).filter(|due| *due).count(), 1);
        assert_eq!(bucket.told(500 * SECOND), 0, "all of it was refilled long ago");
    }

    #[test]
    fn what_others_spent_is_gone_here_too_and_never_for_ever() {
        let bucket = bucket("10/10s");
        bucket.learn(SECOND, 4 * SECOND);
        assert_eq!(bucket.take(SECOND).unwrap().left, 5);
        bucket.learn(SECOND, SECOND);
        assert_eq!(bucket.take(SECOND).unwrap().left, 4, "less than is known changes nothing");
        bucket.learn(SECOND, u64::MAX);
        assert_eq!(bucket.take(SECOND), Err(11 * SECOND));
    }
}
