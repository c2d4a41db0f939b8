//! The global gate: so many requests in any one second over all routes, and none while Discord closed it.
//!
//! It never counts by averages: the last N departures are remembered, so no second ever sees more than N.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A second, and a little more, so that two clocks never disagree about it.
const WINDOW: Duration = Duration::from_millis(1_010);

/// The gate that every request passes last.
pub(super) struct Gate {
    per_second: usize,
    /// Held while waiting, so that waiters leave in the order in which they came.
    departures: tokio::sync::Mutex<VecDeque<Instant>>,
    closed_until: Mutex<Option<Instant>>,
}

impl Gate {
    /// A gate for so many requests a second; at least one.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = usize::try_from(per_second.max(1)).unwrap_or(1);
        Self {
            per_second,
            departures: tokio::sync::Mutex::new(VecDeque::with_capacity(per_second)),
            closed_until: Mutex::new(None),
        }
    }

    /// Waits for a departure; the error says for how long the gate is closed if that is beyond `patience`.
    pub(super) async fn pass(&self, patience: Duration) -> Result<(), Duration> {
        let mut departures = self.departures.lock().await;
        loop {
            let now = Instant::now();
            if let Some(until) = self.closed(now) {
                if until - now > patience {
                    return Err(until - now);
                }
                tokio::time::sleep_until(until).await;
                continue;
            }
            while departures.front().is_some_and(|left| now >= *left + WINDOW) {
                departures.pop_front();
            }
            match departures.front() {
                Some(oldest) if departures.len() >= self.per_second => {
                    tokio::time::sleep_until(*oldest + WINDOW).await;
                }
                _ => {
                    departures.push_back(now);
                    return Ok(());
                }
            }
        }
    }

    /// Nothing leaves for this long.
    pub(super) fn close(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut closed = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = Some(closed.map_or(until, |was| was.max(until)));
    }

    fn closed(&self, now: Instant) -> Option<Instant> {
        let closed = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        closed.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_second_sees_more_than_its_number() {
        let gate = Gate::new(5);
        let mut left = Vec::new();
        for _ in 0..12 {
            gate.pass(Duration::MAX).await.unwrap();
            left.push(Instant::now());
        }
        for six in left.windows(6) {
            assert!(six[5] - six[0] >= Duration::from_secs(1));
        }
    }

    #[tokio::test]
    async fn a_closed_gate_lets_nobody_through_and_says_when_it_is_too_long() {
        let gate = Gate::new(50);
        let pause = Duration::from_millis(300);
        let began = Instant::now();
        gate.close(pause);
        assert!(gate.pass(pause / 10).await.is_err());
        gate.pass(pause * 100).await.unwrap();
        assert!(began.elapsed() >= pause);
    }
}
