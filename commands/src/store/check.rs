//! A walk over the whole log that looks for what cannot be. It changes nothing and mends nothing.

use domain::event::StoredEvent;
use domain::time::Timestamp;

use super::error::StoreError;
use super::model::{LogCheck, LogFault};
use super::rows::{self, Prepared, SequenceFault};
use super::{Store, StoreError as Error};

/// Events that are read at once.
const PAGE: u32 = 1000;

/// Where the walk stands.
struct Walk {
    position: i64,
    recorded_at: Timestamp,
}

impl Walk {
    /// Looks at the next event; the fault, if there is one.
    fn step(&mut self, event: &StoredEvent) -> Option<LogFault> {
        let expected = self.position + 1;
        let fault = |position, what: String| Some(LogFault { position, what });
        if event.position != expected {
            return fault(
                expected,
                format!("event {expected} is missing; the next one is {}", event.position),
            );
        }
        if event.recorded_at < self.recorded_at {
            let what = format!(
                "event {expected} was recorded at {}, before event {}",
                event.recorded_at, self.position
            );
            return fault(expected, what);
        }
        if let Err(unreadable) = event.read() {
            return fault(expected, unreadable.to_string());
        }
        self.position = expected;
        self.recorded_at = event.recorded_at;
        None
    }
}

impl Store {
    /// Walks the log up to where it ends now: positions 1, 2, 3 … without a gap, times that never fall, every
    /// row readable, every stream numbered 1, 2, 3 … in the order of positions. Names the first fault.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; damage is not an error here but the answer.
    pub async fn check(&self) -> Result<LogCheck, StoreError> {
        let head = self.head().await?;
        let mut walk = Walk { position: 0, recorded_at: Timestamp(0) };
        let by_row = self.walk(&mut walk, head).await?;
        let by_stream = self.sequence_fault(head).await?;
        let faults = [by_row, by_stream].into_iter().flatten();
        let fault = faults.min_by_key(|fault| fault.position);
        let sound = fault.as_ref().map_or(head, |fault| fault.position - 1);
        Ok(LogCheck { head, sound, fault })
    }

    async fn walk(&self, walk: &mut Walk, head: i64) -> Result<Option<LogFault>, StoreError> {
        let mut page = PAGE;
        while walk.position < head {
            let events = match self.range(walk.position, head, page).await {
                Ok(events) => events,
                // One of these rows cannot even be decoded: go on one by one until it is met.
                Err(Error::Damaged(_)) if page > 1 => {
                    page = 1;
                    continue;
                }
                Err(Error::Damaged(what)) => {
                    return Ok(Some(LogFault { position: walk.position + 1, what }));
                }
                Err(other) => return Err(other),
            };
            if events.is_empty() {
                let position = walk.position + 1;
                return Ok(Some(LogFault { position, what: format!("event {position} is missing") }));
            }
            for event in &events {
                if let Some(fault) = walk.step(event) {
                    return Ok(Some(fault));
                }
            }
        }
        Ok(None)
    }

    async fn sequence_fault(&self, head: i64) -> Result<Option<LogFault>, StoreError> {
        let found: Option<SequenceFault> = match self {
            // Its streams are numbered by the same map that refuses a second event of a number.
            Self::Memory(_) => None,
            Self::Sqlite(opened) => {
                on_sqlite!(opened, read, "checking the numbering of streams", sequence_fault(head))?
            }
            Self::Postgres(opened) => {
                on_postgres!(opened, read, "checking the numbering of streams", sequence_fault(head))?
            }
        };
        Ok(found.map(|(position, kind, id, sequence, number)| LogFault {
            position,
            what: format!("event {position} is number {number} of {kind}:{id}, and says it is {sequence}"),
        }))
    }
}
