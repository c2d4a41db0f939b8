//! The check of the Merkle log: every tree is computed anew from the log and compared with what is stored and with every
//! checkpoint that was ever signed. What was altered behind our back is named by its position. It changes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::event::StoredEvent;
use domain::id::GuildId;
use domain::merkle::{Hash, root_of};
use domain::proof::{Checkpoint, GuildHead, Note, fingerprint};

use super::checkpoints::ALL_TREES;
use super::{Grown, LOG, SealLog, TreeRow, tiles, tree_row};
use crate::db::Arg;
use crate::error::QueryError;

const NOTES: &str =
    "SELECT epoch, size, note FROM log_checkpoint WHERE size > $1 AND size <= $2 ORDER BY size, epoch";

pub(super) const STATEMENTS: &[&str] = &[NOTES];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealReport {
    /// Events that are sealed.
    pub sealed: i64,
    /// Events that are not yet sealed.
    pub unsealed: i64,
    /// Checkpoints that were compared.
    pub checkpoints: u64,
    /// SHA-256 of the public key of checkpoints.
    pub key_fingerprint: String,
    /// The first thing that is wrong.
    pub fault: Option<SealFault>,
}

/// Something that is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealFault {
    /// Where: the position of the event, or the first that it may be.
    pub position: i64,
    /// What is wrong.
    pub what: String,
}

/// A stop at the first fault, or because nothing answers.
enum Stop {
    Fault(SealFault),
    Failed(QueryError),
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Self {
        Self::Failed(error)
    }
}

fn fault(position: i64, what: impl Into<String>) -> Stop {
    Stop::Fault(SealFault { position, what: what.into() })
}

/// A check under way.
struct Check<'a> {
    log: &'a SealLog,
    trees: Grown,
    /// Lines of the list of guilds, by guild; those of `dirty` guilds are out of date.
    lines: BTreeMap<GuildId, Hash>,
    dirty: BTreeSet<GuildId>,
    /// Checkpoints of the page, by size.
    notes: VecDeque<(String, u64, Note)>,
    checkpoints: u64,
    /// The size of the last checkpoint that agreed.
    agreed: i64,
}

impl SealLog {
    /// Compares the log with what was sealed and signed.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer. What is wrong with the log is no error but a fault.
    pub async fn verify(&self) -> Result<SealReport, QueryError> {
        let rows = self.core.slow.fetch(ALL_TREES, &[]).await?;
        let rows: BTreeMap<String, TreeRow> = rows.iter().map(tree_row).collect::<Result<_, _>>()?;
        let sealed = rows.get(LOG).map_or(0, |row| row.size as i64);
        let mut check = Check {
            log: self,
            trees: Grown::empty(),
            lines: BTreeMap::new(),
            dirty: BTreeSet::new(),
            notes: VecDeque::new(),
            checkpoints: 0,
            agreed: 0,
        };
        let found = match check.all(sealed, &rows).await {
            Ok(()) => None,
            Err(Stop::Fault(fault)) => Some(fault),
            Err(Stop::Failed(error)) => return Err(error),
        };
        Ok(SealReport {
            sealed,
            unsealed: (self.log.head().await? - sealed).max(0),
            checkpoints: check.checkpoints,
            key_fingerprint: fingerprint(&self.sign.public_key()),
            fault: found,
        })
    }
}

impl Check<'_> {
    async fn all(&mut self, sealed: i64, rows: &BTreeMap<String, TreeRow>) -> Result<(), Stop> {
        self.load_notes(-1, 0).await?;
        self.compare_notes(0)?;
        let mut after = 0;
        while after < sealed {
            after = self.page(after, sealed).await?;
        }
        let computed = self.trees.guilds.values().chain([&self.trees.log]);
        let computed: BTreeMap<String, TreeRow> = computed
            .map(|tree| (tree.name().to_owned(), TreeRow { size: tree.size(), root: tree.root() }))
            .collect();
        let names: BTreeSet<&String> = rows.keys().chain(computed.keys()).collect();
        // A log without events has a row and no leaf.
        match names.into_iter().find(|name| rows.get(*name) != computed.get(*name)) {
            Some(name) => Err(fault(sealed, format!("the tree `{name}` is not stored as the log gives it"))),
            None => self.later_notes(sealed).await,
        }
    }

    /// A checkpoint beyond what is sealed was signed over events that are no longer there.
    async fn later_notes(&mut self, sealed: i64) -> Result<(), Stop> {
        self.load_notes(sealed, i64::MAX).await?;
        // Read after the checkpoints: what was sealed and signed since the beginning is no fault.
        let sealed = self.log.sealed_position().await?;
        let is_beyond = |size: u64| size as i64 > sealed;
        match self.notes.iter().find(|(epoch, size, _)| **epoch == *self.log.core.epoch && is_beyond(*size)) {
            Some((_, size, _)) => Err(fault(
                sealed + 1,
                format!(
                    "a checkpoint was signed over {size} events, and only {sealed} are sealed: the others are gone"
                ),
            )),
            None => Ok(()),
        }
    }

    /// Checks the events after `after`; where the next page begins.
    async fn page(&mut self, after: i64, sealed: i64) -> Result<i64, Stop> {
        let to = after.saturating_add(i64::from(self.log.core.config.rebuild_page)).min(sealed);
        self.load_notes(after, to).await?;
        let ids = tiles::leaf_tiles(LOG, &(after as u64..to as u64));
        let leaves = self.stored(to, &ids).await?;
        let events = match self.log.log.as_stored(after, to).await {
            Err(QueryError::Damaged(_)) => return Err(self.unreadable(after, to).await?),
            other => other?,
        };
        let gap = gap_after(after, &events);
        for event in events.iter().take_while(|event| event.position < gap) {
            let sealed = tiles::leaf(&leaves, LOG, event.position as u64 - 1);
            self.compare_event(event, sealed)?;
        }
        if gap <= to {
            return Err(fault(gap, format!("the event at position {gap} was sealed, and is gone")));
        }
        self.compare_tiles(to).await?;
        Ok(to)
    }

    /// The first event after `after` whose row cannot be read.
    async fn unreadable(&self, after: i64, to: i64) -> Result<Stop, QueryError> {
        for before in after..to {
            if let Err(QueryError::Damaged(what)) = self.log.log.as_stored(before, before + 1).await {
                return Ok(fault(before + 1, format!("{what}: it was altered")));
            }
        }
        Ok(fault(
            after + 1,
            format!("an event up to position {to} could not be read, and can by now; verify again"),
        ))
    }

    /// Adds an event, and compares it with the leaf that was sealed and with the checkpoints of its position.
    fn compare_event(&mut self, event: &StoredEvent, sealed: Option<Hash>) -> Result<(), Stop> {
        let position = event.position;
        let leaf = self.trees.add(event).map_err(|error| fault(position, error.to_string()))?;
        if sealed != Some(leaf) {
            let what =
                format!("the event at position {position} is not the one that was sealed: it was altered");
            return Err(fault(position, what));
        }
        self.dirty.extend(event.guild);
        self.compare_notes(position as u64)
    }

    async fn stored(&self, to: i64, ids: &[String]) -> Result<tiles::Tiles, Stop> {
        match super::tiles(&self.log.core.slow, ids).await {
            Err(QueryError::Damaged(what)) => Err(fault(to, what)),
            other => Ok(other?),
        }
    }

    /// The tiles that the page changed, against those that are stored. The last ones may have grown since.
    async fn compare_tiles(&mut self, to: i64) -> Result<(), Stop> {
        let trees = self.trees.guilds.values_mut().chain([&mut self.trees.log]);
        let computed: Vec<(String, Vec<Hash>)> = trees.flat_map(tiles::Growing::take_changed).collect();
        let ids: Vec<String> = computed.iter().map(|(id, _)| id.clone()).collect();
        let stored = self.stored(to, &ids).await?;
        let differs = |(id, hashes): &&(String, Vec<Hash>)| {
            stored.get(id).is_none_or(|stored| !stored.starts_with(hashes))
        };
        match computed.iter().find(differs) {
            Some((id, _)) => Err(fault(to, format!("the row {id} of merkle_tile is not what the log gives"))),
            None => Ok(()),
        }
    }

    async fn load_notes(&mut self, after: i64, to: i64) -> Result<(), Stop> {
        let rows = self.log.core.slow.fetch(NOTES, &[Arg::Int(after), Arg::Int(to)]).await;
        for row in rows.map_err(QueryError::from)? {
            let cells = (row.text(0), row.int(1), row.text(2));
            let (Ok(epoch), Ok(size), Ok(note)) = cells else { continue };
            self.notes.push_back((epoch.to_owned(), size as u64, Note::new(note)));
        }
        Ok(())
    }

    /// Compares every checkpoint of `size` events. A checkpoint signed again has the same signature (RFC 8032), so the
    /// note must come out the same to the last letter.
    fn compare_notes(&mut self, size: u64) -> Result<(), Stop> {
        while let Some((epoch, _, note)) = self.notes.pop_front_if(|(_, of, _)| *of == size) {
            for guild in std::mem::take(&mut self.dirty) {
                if let Some(tree) = self.trees.guilds.get(&guild) {
                    let head = GuildHead { guild_id: guild, size: tree.size(), root: tree.root() };
                    self.lines.insert(guild, head.leaf());
                }
            }
            let computed = Checkpoint {
                epoch,
                size,
                root: self.trees.log.root(),
                guilds: self.lines.len() as u64,
                guilds_root: root_of(self.lines.values().copied()),
            };
            if computed.sign(&*self.log.sign) != note {
                return Err(self.disagreement(&computed, &note));
            }
            self.checkpoints += 1;
            self.agreed = size as i64;
        }
        Ok(())
    }

    fn disagreement(&self, computed: &Checkpoint, note: &Note) -> Stop {
        let (first, size) = (self.agreed + 1, computed.size);
        if note.read().is_ok_and(|said| said.sign(&*self.log.sign) == *note) {
            let what = format!(
                "the events up to position {size} are not those that were signed: one at positions {first} to {size} was \
                 altered together with the stored tree"
            );
            return fault(first, what);
        }
        let what = format!(
            "the checkpoint of {size} events was altered, or is signed by another key than the ring's"
        );
        fault(size as i64, what)
    }
}

/// The first position after `after` that no event has.
fn gap_after(after: i64, events: &[StoredEvent]) -> i64 {
    let sound = events.iter().zip(after + 1..).take_while(|(event, position)| event.position == *position);
    after + 1 + sound.count() as i64
}
