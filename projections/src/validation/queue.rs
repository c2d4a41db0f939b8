//! Licenses whose first valid answer is to be recorded: bounded, each once. A validation never waits for it; what
//! finds no room is dropped, and comes again with the next validation.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::id::LicenseId;
use domain::time::Timestamp;
use tokio::sync::Notify;

use super::FirstValidation;

/// The queue between validations and the worker that records them.
#[derive(Debug)]
pub struct FirstValidations {
    waiting: Mutex<Waiting>,
    wake: Notify,
    entries_max: usize,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<FirstValidation>,
    known: HashSet<LicenseId>,
}

impl FirstValidations {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), entries_max, dropped: AtomicU64::new(0) }
    }

    pub(crate) fn push(&self, license: LicenseId, validated_at: Timestamp) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.known.contains(&license) {
                return;
            }
            if waiting.order.len() >= self.entries_max {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            waiting.known.insert(license);
            waiting.order.push_back(FirstValidation { license, validated_at });
        }
        self.wake.notify_one();
    }

    /// The next one; waits for it. What is taken is no longer known, so that a validation after a failed attempt
    /// brings it again. Dropping the future loses nothing.
    pub async fn take(&self) -> FirstValidation {
        loop {
            let woken = self.wake.notified();
            if let Some(next) = self.pop() {
                // There may be more than one worker and more than one entry, and a wake is kept only once.
                self.wake.notify_one();
                return next;
            }
            woken.await;
        }
    }

    fn pop(&self) -> Option<FirstValidation> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let next = waiting.order.pop_front()?;
        waiting.known.remove(&next.license);
        Some(next)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).order.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many found no room since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn license(n: u128) -> LicenseId {
        LicenseId(Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn each_license_waits_once_and_the_queue_is_bounded() {
        let queue = FirstValidations::new(2);
        queue.push(license(1), Timestamp(10));
        queue.push(license(1), Timestamp(20));
        queue.push(license(2), Timestamp(30));
        queue.push(license(3), Timestamp(40));
        assert_eq!((queue.len(), queue.dropped()), (2, 1));
        assert_eq!(queue.take().await, FirstValidation { license: license(1), validated_at: Timestamp(10) });
        queue.push(license(1), Timestamp(50));
        assert_eq!(queue.take().await.license, license(2));
        assert_eq!(queue.take().await.validated_at, Timestamp(50));
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn a_waiting_worker_is_woken() {
        let queue = std::sync::Arc::new(FirstValidations::new(2));
        let worker = tokio::spawn({
            let queue = queue.clone();
            async move { queue.take().await }
        });
        tokio::task::yield_now().await;
        queue.push(license(7), Timestamp(1));
        assert_eq!(worker.await.unwrap().license, license(7));
    }
}
