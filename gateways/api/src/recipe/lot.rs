//! New licenses by the hundred thousand: their ids out of one seed, and how they are loaded again, part by part.

use std::ops::Range;
use std::sync::Arc;

use commands::{CommandError, Commands};
use domain::id::LicenseId;
use domain::license::License;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How many licenses a repeated bulk write loads at once.
const LOADS: usize = 8;

/// The ids of a bulk write, from one random seed, so that ten thousand ids need not be kept for a repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    seed: Uuid,
    more: Uuid,
    count: u32,
    /// The version of each license after the write.
    version: u64,
}

impl Batch {
    /// `count` new ids for licenses that have `version` events after the write.
    pub(crate) fn new(count: u32, version: u64) -> Self {
        Self { seed: Uuid::new_v4(), more: Uuid::new_v4(), count, version }
    }

    /// The ids: UUID v4 out of SHA-256(seed ‖ n); the 244 random bits of the seed cannot be guessed from them.
    pub(crate) fn ids(&self) -> Vec<LicenseId> {
        let seed = Sha256::new().chain_update(self.seed.as_bytes()).chain_update(self.more.as_bytes());
        let id = |n: u32| {
            let digest = seed.clone().chain_update(n.to_be_bytes()).finalize();
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            LicenseId(uuid::Builder::from_random_bytes(bytes).into_uuid())
        };
        (0..self.count).map(id).collect()
    }

    /// The licenses, as a repeat has them.
    pub(super) fn again(&self) -> Lot {
        Lot::Again { ids: Arc::new(self.ids()), version: self.version }
    }
}

/// New licenses. A repeat loads them part by part while it is sent: a hundred thousand at once would be neither in time nor
/// in memory.
#[derive(Debug, Clone)]
pub(crate) enum Lot {
    /// They were made just now.
    Made(Arc<Vec<License>>),
    /// They were made before, and have so many events from it.
    Again { ids: Arc<Vec<LicenseId>>, version: u64 },
}

impl Lot {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Made(licenses) => licenses.len(),
            Self::Again { ids, .. } => ids.len(),
        }
    }

    /// Some of them, as they were after the write.
    pub(crate) async fn part(
        &self,
        commands: &Commands,
        range: Range<usize>,
    ) -> Result<Vec<License>, CommandError> {
        match self {
            Self::Made(licenses) => Ok(licenses[range].to_vec()),
            Self::Again { ids, version } => {
                let loads: Vec<_> =
                    ids[range].iter().map(|id| commands.load_license_at(*id, *version)).collect();
                futures::stream::iter(loads).buffered(LOADS).try_collect().await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_the_same_ids_again_and_no_id_twice() {
        let batch = Batch::new(1_000, 1);
        let ids = batch.ids();
        assert_eq!(ids, batch.ids());
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 1_000);
        assert!(ids.iter().all(|id| id.0.get_version_num() == 4));
        assert_ne!(ids[0], Batch::new(1, 1).ids()[0]);
    }
}
