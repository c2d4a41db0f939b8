//! The client's own record: counters, the window of invalid answers, and what stops it.
//!
//! It never decides about limits; it only says whether anything may be sent at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::EgressError;

/// What the client has seen, for an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressHealth {
    /// Why nothing is sent: `unauthorized`, `breaker`, `stopped`; `None` while it works.
    pub halted: Option<&'static str>,
    /// How many calls wait for their turn.
    pub waiting: usize,
    /// How many requests went on the wire.
    pub requests: u64,
    /// Answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// How many answers were 429.
    pub rate_limited: u64,
    /// Invalid answers inside the window.
    pub invalid_in_window: u32,
    /// The last failure that was not an answer, without ids.
    pub last_error: Option<String>,
}

/// Counters and stops, behind one short lock.
pub(super) struct Watch {
    invalid_max: usize,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    unauthorized: bool,
    stopped: bool,
    invalid: VecDeque<Instant>,
    health: EgressHealth,
}

impl State {
    fn forget(&mut self, now: Instant, window: Duration) {
        while self.invalid.front().is_some_and(|at| now.saturating_duration_since(*at) >= window) {
            self.invalid.pop_front();
        }
    }
}

impl Watch {
    /// A watch that opens the breaker at so many invalid answers in the window.
    pub(super) fn new(invalid_max: u32, window: Duration) -> Self {
        let invalid_max = usize::try_from(invalid_max).unwrap_or(usize::MAX).max(1);
        Self { invalid_max, window, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may be sent now.
    pub(super) fn permit(&self) -> Result<(), EgressError> {
        let mut state = self.lock();
        if state.stopped {
            return Err(EgressError::Stopped);
        }
        if state.unauthorized {
            return Err(EgressError::Unauthorized);
        }
        state.forget(Instant::now(), self.window);
        match state.invalid.front() {
            Some(oldest) if state.invalid.len() >= self.invalid_max => {
                Err(EgressError::Breaker { until: *oldest + self.window })
            }
            _ => Ok(()),
        }
    }

    /// A request goes on the wire.
    pub(super) fn sent(&self) {
        self.lock().health.requests += 1;
    }

    /// An answer came.
    pub(super) fn answered(&self, status: u16, invalid: bool, unauthorized: bool) {
        let mut state = self.lock();
        *state.health.by_status.entry(status).or_default() += 1;
        if status == 429 {
            state.health.rate_limited += 1;
        }
        state.unauthorized |= unauthorized;
        if invalid {
            if state.invalid.len() >= self.invalid_max {
                state.invalid.pop_front();
            }
            state.invalid.push_back(Instant::now());
        }
    }

    /// No usable answer came.
    pub(super) fn failed(&self, what: String) {
        self.lock().health.last_error = Some(what);
    }

    /// A new token is in place.
    pub(super) fn resume(&self) {
        self.lock().unauthorized = false;
    }

    /// Nothing more, ever.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
    }

    /// The record as it stands.
    pub(super) fn health(&self, waiting: usize) -> EgressHealth {
        let halted = match self.permit() {
            Ok(()) => None,
            Err(EgressError::Unauthorized) => Some("unauthorized"),
            Err(EgressError::Stopped) => Some("stopped"),
            Err(_) => Some("breaker"),
        };
        let mut state = self.lock();
        state.forget(Instant::now(), self.window);
        let invalid_in_window = u32::try_from(state.invalid.len()).unwrap_or(u32::MAX);
        EgressHealth { halted, waiting, invalid_in_window, ..state.health.clone() }
    }
}
