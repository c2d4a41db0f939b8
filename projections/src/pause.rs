//! Leaving somebody alone for a moment after he did not answer, so that one who swallows questions costs one asker his
//! time, and not all of them.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Until when nobody asks.
#[derive(Debug)]
pub(crate) struct Pause {
    base: Instant,
    until_ms: AtomicU64,
    length: Duration,
}

impl Pause {
    /// Pauses of this length.
    pub(crate) fn new(length: Duration) -> Self {
        Self { base: Instant::now(), until_ms: AtomicU64::new(0), length }
    }

    fn ms(&self, instant: Instant) -> u64 {
        u64::try_from(instant.duration_since(self.base).as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn holds(&self) -> bool {
        self.ms(Instant::now()) < self.until_ms.load(Ordering::Relaxed)
    }

    /// The answer, if `whom` gives one; after a failure nobody asks for a moment.
    pub(crate) async fn ask<T, E: Display>(
        &self,
        whom: &'static str,
        question: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        if self.holds() {
            return None;
        }
        match question.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(%error, whom, "there is no answer; the primary is asked instead");
                self.until_ms.fetch_max(self.ms(Instant::now() + self.length), Ordering::Relaxed);
                None
            }
        }
    }
}
