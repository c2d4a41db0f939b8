//! How the parts of a process are, for `GET /health`. What follows the log is well while it is less than a second's work
//! behind and gets on; what stands still is not, however little it lacks. Nothing here mends anything.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::{Component, Condition};
use projections::{ModelHealth, QueryError};
use tokio::time::Instant;

use crate::assemble::Assembled;

/// More than a second's work.
const LATE_EVENTS: i64 = 10_000;
/// What follows the log is told of events at once, and looks for them every second: who has not moved for so long while
/// there is more to do stands still.
const STILL: Duration = Duration::from_secs(30);

/// What is remembered from one question to the next.
#[derive(Default)]
pub(crate) struct Health {
    read_models: Pace,
    seal: Pace,
}

impl Health {
    /// Every part of `assembled`.
    pub(crate) async fn of(&self, assembled: &Assembled) -> Vec<Component> {
        let asked = Instant::now();
        let head = assembled.store.head().await;
        let latency_ms = Some(asked.elapsed().as_secs_f64() * 1_000.0);
        let store = match &head {
            Ok(_) => component("store", Condition::Ok, None),
            Err(error) => component("store", Condition::Down, Some(error.to_string())),
        };
        let head = head.ok();
        let sealed = assembled.seal_log.sealed_position().await.ok();
        let models = assembled.queries.models().await;
        vec![Component { latency_ms, ..store }, self.reading(models, head), self.sealing(sealed, head)]
    }

    /// How the read models are, whoever keeps them. Which aggregates they leave out is for the operator's eyes alone.
    fn reading(&self, models: Result<Vec<ModelHealth>, QueryError>, head: Option<i64>) -> Component {
        let models = match models {
            Ok(models) => models,
            Err(error) => return component("readModels", Condition::Degraded, Some(error.to_string())),
        };
        let slowest = models.iter().map(|model| model.checkpoint).min();
        let trouble: Vec<String> = models.iter().filter_map(reading_trouble).collect();
        let pace = self.read_models.following("readModels", slowest, head);
        match trouble.is_empty() {
            true => pace,
            false => Component { status: Condition::Degraded, detail: Some(trouble.join("; ")), ..pace },
        }
    }

    /// The Merkle log. A log that is shorter than it was is no lateness.
    fn sealing(&self, sealed: Option<i64>, head: Option<i64>) -> Component {
        let pace = self.seal.following("auditLog", sealed, head);
        match sealed.zip(head) {
            Some((sealed, head)) if head < sealed => {
                let cut = "the log ends before what was sealed: it was cut off; `dca-auth verify` says where";
                Component { status: Condition::Down, detail: Some(cut.to_owned()), ..pace }
            }
            _ => pace,
        }
    }
}

/// Where something that follows the log was seen, and since when it is there.
#[derive(Default)]
struct Pace(Mutex<Option<(i64, Instant)>>);

impl Pace {
    /// A part that has got to `position` of a log that ends at `head`. What is not known is as bad as what is late.
    fn following(&self, name: &str, position: Option<i64>, head: Option<i64>) -> Component {
        let Some((position, head)) = position.zip(head) else {
            return component(name, Condition::Degraded, None);
        };
        let (lag, still) = ((head - position).max(0), self.still(position, head));
        let (condition, detail) = match lag {
            _ if still >= STILL => {
                let seconds = still.as_secs();
                let detail =
                    format!("stands still at event {position} for {seconds} s: see the log of the process");
                (Condition::Degraded, Some(detail))
            }
            0..=LATE_EVENTS => (Condition::Ok, None),
            _ => (Condition::Degraded, None),
        };
        Component { lag_events: Some(lag), ..component(name, condition, detail) }
    }

    /// For how long it has been where it is although there was more, as far as was asked.
    fn still(&self, position: i64, head: i64) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if position >= head {
            *seen = None;
            return Duration::ZERO;
        }
        match *seen {
            Some((before, since)) if before == position => since.elapsed(),
            _ => {
                *seen = Some((position, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// A part without which everything goes on, if slower.
pub(crate) fn dispensable(name: &'static str, trouble: Option<String>) -> Component {
    let condition = if trouble.is_some() { Condition::Degraded } else { Condition::Ok };
    component(name, condition, trouble)
}

fn component(name: &str, status: Condition, detail: Option<String>) -> Component {
    Component { name: name.to_owned(), status, latency_ms: None, lag_events: None, detail }
}

/// What is wrong with a read model, and what mends it.
fn reading_trouble(model: &ModelHealth) -> Option<String> {
    let name = model.name;
    if let Some((position, _)) = &model.stopped {
        return Some(format!(
            "{name} stopped at event {position}; `dca-auth rebuild {name}` once that can be read"
        ));
    }
    let (count, first) = model.parked?;
    Some(format!(
        "{name} leaves out {count} aggregates, the first at event {first}; `dca-auth verify` names them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_stands_still_is_not_well_and_what_moves_is() {
        let health = Health::default();
        let status = |sealed, head| health.sealing(Some(sealed), Some(head)).status;
        assert_eq!(status(7, 7), Condition::Ok);
        assert_eq!(status(7, 9), Condition::Ok);
        tokio::time::advance(STILL - Duration::from_secs(1)).await;
        assert_eq!(status(7, 12), Condition::Ok);
        assert_eq!(status(8, 12), Condition::Ok);
        tokio::time::advance(STILL - Duration::from_secs(1)).await;
        assert_eq!(status(8, 12), Condition::Ok);
        tokio::time::advance(Duration::from_secs(1)).await;
        let still = health.sealing(Some(8), Some(12));
        assert_eq!((still.status, still.lag_events), (Condition::Degraded, Some(4)));
        assert_eq!(
            still.detail.as_deref(),
            Some("stands still at event 8 for 30 s: see the log of the process")
        );
        assert_eq!(status(12, 12), Condition::Ok);
        tokio::time::advance(STILL).await;
        assert_eq!(status(12, 13), Condition::Ok);
    }

    #[test]
    fn lateness_and_ignorance_are_degraded_and_a_log_that_was_cut_off_is_down() {
        let health = Health::default();
        let sealing = |sealed, head| health.sealing(sealed, head);
        assert_eq!(sealing(Some(0), Some(LATE_EVENTS)).status, Condition::Ok);
        assert_eq!(sealing(Some(0), Some(LATE_EVENTS + 1)).status, Condition::Degraded);
        assert_eq!(sealing(None, Some(1)).status, Condition::Degraded);
        assert_eq!(sealing(Some(9), Some(4)).status, Condition::Down);
        let unread = health.reading(Err(QueryError::Unavailable("gone".to_owned())), Some(1));
        assert_eq!(unread.status, Condition::Degraded);
    }
}
