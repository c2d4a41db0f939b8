//! Proofs of single things: that an event is in the log as a checkpoint has it, and that a later state of the log begins
//! with an earlier one. A few nodes are read for each, whatever the size of the log.

use std::ops::Range;

use domain::merkle::Hash;
use domain::merkle::proof::{consistency, inclusion};
use domain::proof::record;

use super::{LOG, SealLog, Sealed, tiles};
use crate::error::QueryError;

/// That an event is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventProof {
    /// The event's record: its leaf is the hash of this text.
    pub record: String,
    /// From the leaf to the root of the checkpoint; the leaf stands at position − 1.
    pub path: Vec<Hash>,
    /// The checkpoint.
    pub sealed: Sealed,
}

/// That the log of `to` events begins with the log of `from` events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Root of the earlier log.
    pub from_root: Hash,
    /// Root of the later log.
    pub to_root: Hash,
    /// The path between them.
    pub path: Vec<Hash>,
}

impl SealLog {
    /// Proves the event at `position` against a checkpoint of now; `None` if the log has none there.
    ///
    /// # Errors
    /// Those of [`SealLog::step`].
    pub async fn prove_event(&self, position: i64) -> Result<Option<EventProof>, QueryError> {
        let Some(index) = u64::try_from(position).ok().and_then(|position| position.checked_sub(1)) else {
            return Ok(None);
        };
        let sealed = self.checkpoint().await?;
        let Some(ranges) = inclusion(index, sealed.checkpoint.size) else { return Ok(None) };
        let Some(event) = self.log.read(position - 1, 1).await?.pop() else { return Ok(None) };
        let number = match event.guild {
            Some(guild) => Some(self.log.number_in_guild(guild, position).await?),
            None => None,
        };
        let unreadable = |error| QueryError::Damaged(format!("event {position} is no JSON: {error}"));
        let record = record(&event, number).map_err(unreadable)?;
        Ok(Some(EventProof { record, path: self.roots(LOG, &ranges).await?, sealed }))
    }

    /// Proves that the log of `to` events begins with the log of `from` events; `None` unless 0 < `from` ≤ `to` and so
    /// many events are sealed.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn prove_consistency(
        &self,
        from: i64,
        to: i64,
    ) -> Result<Option<ConsistencyProof>, QueryError> {
        if from > to || to > self.sealed_position().await? {
            return Ok(None);
        }
        let (Ok(from), Ok(to)) = (u64::try_from(from), u64::try_from(to)) else { return Ok(None) };
        let Some(mut ranges) = consistency(from, to) else { return Ok(None) };
        ranges.extend([0..from, 0..to]);
        let mut roots = self.roots(LOG, &ranges).await?;
        let (Some(to_root), Some(from_root)) = (roots.pop(), roots.pop()) else { return Ok(None) };
        Ok(Some(ConsistencyProof { from_root, to_root, path: roots }))
    }

    /// The roots over `ranges` of the leaves of a tree.
    async fn roots(&self, tree: &str, ranges: &[Range<u64>]) -> Result<Vec<Hash>, QueryError> {
        let stored = super::tiles(&self.sql, &tiles::tiles_of(tree, ranges)).await?;
        ranges.iter().map(|range| tiles::root_over(&stored, tree, range)).collect()
    }
}
