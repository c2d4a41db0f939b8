//! The one clock of a server: the system's, plus an offset that only grows. The offset is zero in live mode; in
//! the demo it is a row of the database, and `dca-auth clock advance` moves it. Every other part is given an
//! instant; nothing else in the product asks the system what time it is in order to decide something.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use domain::time::{Span, Timestamp};

/// System time plus offset. Clones share the offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that shares `offset_ms` with the append of the store, so that `recordedAt` and business time agree.
    pub(crate) fn sharing(offset_ms: Arc<AtomicI64>) -> Self {
        Self { offset_ms }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let system = i64::try_from(system).unwrap_or(i64::MAX);
        Timestamp(system.saturating_add(self.offset().ms()))
    }

    /// How far ahead of the system it runs.
    pub(crate) fn offset(&self) -> Span {
        Span(self.offset_ms.load(Ordering::Acquire))
    }

    /// Sets the offset. Only the seed of a demo, before anything is served, sets one that lies behind.
    pub(crate) fn set(&self, offset: Span) {
        self.offset_ms.store(offset.ms(), Ordering::Release);
    }
}
