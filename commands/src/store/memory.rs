//! The store without a database, for tests: the same rules, nothing is kept. Never used by a running product.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::event::StoredEvent;
use domain::id::StreamId;
use domain::time::Timestamp;

use super::config::Clock;
use super::error::AppendError;
use super::model::{Append, Appended, IdempotencyKey, IdempotencyRow, SubjectKeyRow};

/// A log in memory.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<StoredEvent>,
    /// Index into `log` by stream and sequence.
    streams: BTreeMap<(StreamId, u64), usize>,
    claims: HashMap<(String, String), StreamId>,
    idempotency: HashMap<IdempotencyKey, IdempotencyRow>,
    subject_keys: BTreeMap<String, SubjectKeyRow>,
    meta: BTreeMap<String, String>,
}

impl Memory {
    pub(super) fn new(clock: Clock) -> Self {
        Self { state: Mutex::default(), clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is checked before its first write, so a panic elsewhere leaves no half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, append: Append) -> Result<Option<Appended>, AppendError> {
        self.state().append(append, self.clock.now())
    }

    pub(super) fn head(&self) -> i64 {
        self.state().head()
    }

    pub(super) fn stream(&self, stream: &StreamId) -> Vec<StoredEvent> {
        let state = self.state();
        let all = (stream.clone(), 0)..=(stream.clone(), u64::MAX);
        state.streams.range(all).filter_map(|(_, index)| state.log.get(*index).cloned()).collect()
    }

    pub(super) fn range(&self, after: i64, until: i64, limit: i64) -> Vec<StoredEvent> {
        let skip = usize::try_from(after.max(0)).unwrap_or(usize::MAX);
        let take = usize::try_from(limit.min(until.saturating_sub(after)).max(0)).unwrap_or(0);
        self.state().log.iter().skip(skip).take(take).cloned().collect()
    }

    pub(super) fn idempotency(&self, key: &IdempotencyKey) -> Option<IdempotencyRow> {
        self.state().idempotency.get(key).cloned()
    }

    pub(super) fn prune_idempotency(&self, older_than: Timestamp, _: i64) -> u64 {
        let mut state = self.state();
        let before = state.idempotency.len();
        state.idempotency.retain(|_, row| row.created_at >= older_than);
        // All of them, whatever the limit: less than a full piece tells the caller that it is done.
        (before - state.idempotency.len()) as u64
    }

    pub(super) fn claim_owner(&self, scope: &str, value: &str) -> Option<StreamId> {
        self.state().claims.get(&(scope.to_owned(), value.to_owned())).cloned()
    }

    pub(super) fn meta(&self, name: &str) -> Option<String> {
        self.state().meta.get(name).cloned()
    }

    pub(super) fn set_meta(&self, name: &str, value: &str) {
        self.state().meta.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn insert_meta(&self, name: &str, value: &str) -> String {
        self.state().meta.entry(name.to_owned()).or_insert_with(|| value.to_owned()).clone()
    }

    pub(super) fn subject_keys(&self, subjects: &[String]) -> Vec<SubjectKeyRow> {
        let state = self.state();
        subjects.iter().filter_map(|subject| state.subject_keys.get(subject).cloned()).collect()
    }

    pub(super) fn insert_subject_keys(&self, rows: &[SubjectKeyRow]) {
        let mut state = self.state();
        for row in rows {
            state.subject_keys.entry(row.subject.clone()).or_insert_with(|| row.clone());
        }
    }

    pub(super) fn wrapped_by(&self, kek_id: i64, after: &str, limit: i64) -> Vec<SubjectKeyRow> {
        let state = self.state();
        let later = state.subject_keys.values().filter(|row| row.kek_id == kek_id && *row.subject > *after);
        later.take(usize::try_from(limit).unwrap_or_default()).cloned().collect()
    }

    pub(super) fn rewrap_subject_keys(&self, from: i64, rows: &[SubjectKeyRow]) -> u64 {
        let mut state = self.state();
        let mut done = 0;
        for row in rows {
            let found = state.subject_keys.get_mut(&row.subject);
            if let Some(found) = found.filter(|found| found.key_id == row.key_id && found.kek_id == from) {
                found.clone_from(row);
                done += 1;
            }
        }
        done
    }

    pub(super) fn delete_subject_key(&self, subject: &str) -> bool {
        self.state().subject_keys.remove(subject).is_some()
    }
}

impl State {
    fn head(&self) -> i64 {
        self.log.len() as i64
    }

    fn append(&mut self, append: Append, now: Timestamp) -> Result<Option<Appended>, AppendError> {
        self.check(&append)?;
        let first = self.head() + 1;
        let recorded_at = self.log.last().map_or(now, |last| last.recorded_at.max(now));
        for event in append.events {
            self.streams.insert((event.stream.clone(), event.sequence), self.log.len());
            self.log.push(StoredEvent {
                position: self.head() + 1,
                stream: event.stream,
                sequence: event.sequence,
                event_type: event.event_type,
                event_version: event.event_version,
                payload: event.payload,
                metadata: event.metadata,
                guild: event.guild,
                recorded_at,
            });
        }
        let last = self.head();
        let appended = (last >= first).then_some(Appended { first, last, recorded_at });
        for released in append.released {
            self.claims.remove(&released);
        }
        for claim in append.claims {
            self.claims.insert((claim.scope, claim.value), claim.stream);
        }
        if let Some(new) = append.idempotency {
            let row = IdempotencyRow {
                key: new.key.clone(),
                payload_hash: new.payload_hash,
                outcome: new.outcome,
                first: appended.map(|appended| appended.first),
                last: appended.map(|appended| appended.last),
                created_at: new.created_at,
            };
            self.idempotency.insert(new.key, row);
        }
        Ok(appended)
    }

    /// The rules of the log, in the order in which the databases apply them.
    fn check(&self, append: &Append) -> Result<(), AppendError> {
        if append.idempotency.as_ref().is_some_and(|new| self.idempotency.contains_key(&new.key)) {
            return Err(AppendError::IdempotencyTaken);
        }
        let stale = |event: &super::model::NewEvent| {
            self.streams.contains_key(&(event.stream.clone(), event.sequence))
        };
        if append.events.iter().any(stale) {
            return Err(AppendError::Conflict);
        }
        let mut own = std::collections::HashSet::new();
        for claim in &append.claims {
            let value = (claim.scope.clone(), claim.value.clone());
            let held = self.claims.contains_key(&value) && !append.released.contains(&value);
            if held || !own.insert(value) {
                return Err(AppendError::Claimed { scope: claim.scope.clone(), value: claim.value.clone() });
            }
        }
        Ok(())
    }
}
