//! Data keys that were unwrapped lately: bounded in number and in age. The age is a promise, because a key that
//! another process destroyed must not live on here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::private::Subject;
use tokio::time::Instant;

use super::keys::DataKey;

/// Two halves: the younger is filled, and once it is full, or as old as a key may be, the elder is dropped and
/// the younger takes its place.
pub(super) struct KeyCache {
    capacity: usize,
    kept_for: Duration,
    young: HashMap<Subject, Cached>,
    old: HashMap<Subject, Cached>,
    young_since: Option<Instant>,
    era: u64,
}

struct Cached {
    key: Arc<DataKey>,
    read_at: Instant,
}

impl KeyCache {
    /// A cache of at most `capacity` keys (two if it is 1), each for `kept_for` after the store was asked for it.
    pub(super) fn new(capacity: usize, kept_for: Duration) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { capacity, kept_for, young, old, young_since: None, era: 0 }
    }

    /// The era; every [`forget`](Self::forget) begins another.
    pub(super) fn era(&self) -> u64 {
        self.era
    }

    /// A key, unless it is too old.
    pub(super) fn get(&self, subject: &Subject, now: Instant) -> Option<Arc<DataKey>> {
        let cached = self.young.get(subject).or_else(|| self.old.get(subject))?;
        (now.duration_since(cached.read_at) < self.kept_for).then(|| Arc::clone(&cached.key))
    }

    /// Keeps a key for which the store was asked at `read_at`, in `era`. If a key was forgotten since then, it may
    /// have been this one, so nothing is kept.
    pub(super) fn put(&mut self, subject: Subject, key: Arc<DataKey>, read_at: Instant, era: u64) {
        if era != self.era || self.capacity == 0 {
            return;
        }
        let aged = self.young_since.is_some_and(|since| read_at.duration_since(since) >= self.kept_for);
        if aged || self.young.len() >= (self.capacity / 2).max(1) {
            self.old = std::mem::take(&mut self.young);
            self.young_since = None;
        }
        self.young_since.get_or_insert(read_at);
        self.old.remove(&subject);
        self.young.insert(subject, Cached { key, read_at });
    }

    /// Drops a key.
    pub(super) fn forget(&mut self, subject: &Subject) {
        self.era += 1;
        self.young.remove(subject);
        self.old.remove(subject);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
