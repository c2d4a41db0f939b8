//! One command at a time on one aggregate within this process, so that commands of one process never lose races
//! against each other. Correctness does not rest on it: the log refuses a stale version by itself.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use domain::id::StreamId;
use tokio::sync::{Mutex, MutexGuard};

const STRIPES: usize = 1024;

/// Striped locks over streams.
pub(crate) struct Locks {
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Locks {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Locks {
    /// Waits for the stripe of a stream.
    pub(crate) async fn one(&self, stream: &StreamId) -> MutexGuard<'_, ()> {
        self.stripes[self.stripe(stream)].lock().await
    }

    /// Waits for the stripes of several streams, in one order for everybody, so that nobody waits in a circle.
    pub(crate) async fn all<'s>(
        &self,
        streams: impl IntoIterator<Item = &'s StreamId>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let stripes: BTreeSet<usize> = streams.into_iter().map(|stream| self.stripe(stream)).collect();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(self.stripes[stripe].lock().await);
        }
        guards
    }

    fn stripe(&self, stream: &StreamId) -> usize {
        (self.hasher.hash_one(stream) as usize) % STRIPES
    }
}
