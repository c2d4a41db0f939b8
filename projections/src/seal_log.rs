//! The Merkle log: a tree over all events and one over each guild's, grown behind the log and never in an append, and
//! signed checkpoints of them. One process does it at a time, by a lease; that no event is left out, doubled or out of
//! order is kept by the row of the tree, which moves on from where it stood and in one transaction with its nodes. So
//! anybody may seal at any time, and a crash loses nothing. It never changes an event.

mod checkpoints;
mod export;
mod proofs;
mod tiles;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::event::StoredEvent;
use domain::id::GuildId;
use domain::merkle::{Hash, leaf_hash};
use domain::ports::Sign;
use domain::proof::record;
use tokio_util::sync::CancellationToken;

use crate::db::Kind::{Int, Text};
use crate::db::{Arg, Row, Rows, Sql, Table};
use crate::error::QueryError;
use crate::event_log::EventLog;
use crate::operational::{Lease, Leases};
use crate::{Core, Queries};
use tiles::{Growing, Tiles};

pub use checkpoints::Sealed;
pub use export::GuildExport;
pub use proofs::{ConsistencyProof, EventProof};
pub use verify::{SealFault, SealReport};

/// The name of the tree over all events, and of the lease.
const LOG: &str = "log";
const NAME: &str = "seal-log";
/// How long the lease lasts without being renewed, and when it is.
const LEASE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_millis(1_500);
/// How long one statement may take. Each handles one batch, so one that takes longer has a server that fell silent.
const STATEMENT: Duration = Duration::from_secs(10);
/// Tiles read with one statement.
const TILES_MAX: usize = 1_000;

const TREES: &str = "SELECT id, size, root FROM merkle_tree WHERE id {in:$1}";
const TILES: &str = "SELECT id, hashes FROM merkle_tile WHERE id {in:$1}";
const ADVANCE: &str =
    "UPDATE merkle_tree SET size = $1, root = $2, position = $1 WHERE id = $3 AND size = $4";

/// Every fixed statement of this folder.
pub(crate) const STATEMENTS: [&[&str]; 3] =
    [&[TREES, TILES, ADVANCE], checkpoints::STATEMENTS, verify::STATEMENTS];

static TREE: Table = Table {
    name: "merkle_tree",
    columns: &[
        ("id", Text, "NOT NULL"),
        ("size", Int, "NOT NULL"),
        ("root", Text, "NOT NULL"),
        ("position", Int, "NOT NULL"),
    ],
    indexes: &[],
};
static TILE: Table = Table {
    name: "merkle_tile",
    columns: &[("id", Text, "NOT NULL"), ("hashes", Text, "NOT NULL")],
    indexes: &[],
};

/// The tables that are written in batches.
pub(crate) fn tables() -> [&'static Table; 2] {
    [&TREE, &TILE]
}

/// The Merkle log of one log. Cheap to clone.
#[derive(Clone)]
pub struct SealLog {
    core: Arc<Core>,
    /// The log and the database, for statements of a batch each.
    log: EventLog,
    sql: Sql,
    sign: Arc<dyn Sign>,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealStep {
    /// Events up to this position were sealed.
    Sealed(i64),
    /// There is nothing after this position.
    Idle(i64),
    /// Somebody else sealed the same events first.
    Moved,
}

/// A row of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TreeRow {
    size: u64,
    root: Hash,
}

impl SealLog {
    /// The Merkle log of what `queries` reads; `sign` signs its checkpoints.
    pub fn new(queries: &Queries, sign: Arc<dyn Sign>) -> Self {
        let core = queries.core.clone();
        let sql = core.sql.with_timeout(STATEMENT);
        Self { log: EventLog::new(sql.clone()), sql, core, sign }
    }

    /// Seals and signs until `shutdown`, in the name of `holder`, which no other process has. Nothing ends this but
    /// `shutdown`.
    pub async fn run(self, holder: String, shutdown: CancellationToken) {
        let mut held: Option<Lease> = None;
        let work = async {
            let (mut told, mut signed) = (String::new(), None);
            loop {
                match self.turn(&holder, &mut held, &mut signed).await {
                    Ok(()) => told.clear(),
                    Err(error) => {
                        // The same trouble is told once.
                        let why = error.to_string();
                        if why != told {
                            tracing::warn!(why, "events are not sealed; tried again and again");
                            told = why;
                        }
                    }
                }
                tokio::time::sleep(self.core.config.seal_pace).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
        if let Some(lease) = held
            && let Err(error) = self.leases().release(&lease).await
        {
            tracing::debug!(%error, "the lease of the sealer could not be let go; it ends by itself");
        }
    }

    /// Seals what there is and signs what is due, if that is anything and nobody else does it. An idle process writes
    /// nothing.
    async fn turn(
        &self,
        holder: &str,
        held: &mut Option<Lease>,
        signed: &mut Option<Instant>,
    ) -> Result<(), QueryError> {
        let position = self.sealed_position().await?;
        let is_time = signed.is_none_or(|at: Instant| at.elapsed() >= self.core.config.checkpoint_every);
        let must_sign = is_time && self.is_unsigned(position).await?;
        if self.log.head().await? == position && !must_sign {
            return Ok(());
        }
        *held = self.leases().acquire(NAME, holder, LEASE).await?;
        let mut renewed = Instant::now();
        while held.is_some() && !matches!(self.step().await?, SealStep::Idle(_)) {
            if renewed.elapsed() >= RENEW {
                *held = self.leases().acquire(NAME, holder, LEASE).await?;
                renewed = Instant::now();
            }
        }
        if held.is_some() && is_time {
            self.sign_sealed().await?;
            *signed = Some(Instant::now());
        }
        Ok(())
    }

    fn leases(&self) -> Leases {
        Leases::new(self.core.sql.clone())
    }

    /// Seals everything that the log has now; the position reached.
    ///
    /// # Errors
    /// Those of [`SealLog::step`].
    pub async fn catch_up(&self) -> Result<i64, QueryError> {
        loop {
            if let SealStep::Idle(position) = self.step().await? {
                return Ok(position);
            }
        }
    }

    /// Seals one batch.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer; [`QueryError::Damaged`] if the log has less than was
    /// sealed, or an event or a node cannot be read.
    pub async fn step(&self) -> Result<SealStep, QueryError> {
        let start = self.sealed_position().await?;
        let events = self.log.read(start, self.core.config.seal_batch).await?;
        let Some(end) = events.last().map(|event| event.position) else {
            let head = self.log.head().await?;
            if head < start {
                return Err(QueryError::Damaged(format!(
                    "the log ends at position {head}, and {start} events were sealed: the others were cut off; \
                     restore it from a backup"
                )));
            }
            return Ok(SealStep::Idle(start));
        };
        let grown = self.grow(start, &events).await?;
        let mut tx = self.sql.begin().await?;
        let (log, root) = (&grown.log, grown.log.root().to_string());
        let args = [Arg::Int(log.size() as i64), Arg::Text(&root), Arg::Text(LOG), Arg::Int(start)];
        if tx.execute(ADVANCE, &args).await? == 0 {
            return Ok(SealStep::Moved);
        }
        let (trees, tiles) = grown.rows();
        for rows in [tiles, trees].iter().filter(|rows| !rows.is_empty()) {
            tx.upsert(rows).await?;
        }
        tx.commit().await?;
        Ok(SealStep::Sealed(end))
    }

    /// The trees with `events` added, which follow position `start`.
    async fn grow(&self, start: i64, events: &[StoredEvent]) -> Result<Grown, QueryError> {
        let guilds: BTreeSet<GuildId> = events.iter().filter_map(|event| event.guild).collect();
        let names: Vec<String> = guilds.iter().map(GuildId::to_string).collect();
        // Read after the position: if somebody seals in between, the position has moved, and nothing of this is written.
        let mut sizes = self.trees(&names).await?;
        let size_of =
            |name: &str, sizes: &BTreeMap<String, TreeRow>| sizes.get(name).map_or(0, |row| row.size);
        sizes.insert(LOG.to_owned(), TreeRow { size: start as u64, root: domain::merkle::empty_root() });
        let edges =
            sizes.iter().flat_map(|(name, row)| Growing::edge_tiles(name, row.size)).collect::<Vec<_>>();
        let stored = tiles(&self.sql, &edges).await?;
        let open = |name: &str| Growing::open(name.to_owned(), size_of(name, &sizes), &stored);
        let log = open(LOG)?;
        let trees = guilds.iter().map(|guild| Ok((*guild, open(&guild.to_string())?)));
        let mut grown =
            Grown { log, guilds: trees.collect::<Result<_, QueryError>>()?, last: BTreeMap::new() };
        for event in events {
            grown.add(event)?;
        }
        Ok(grown)
    }

    /// The position up to which the log is sealed.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn sealed_position(&self) -> Result<i64, QueryError> {
        let rows = self.trees(&[LOG.to_owned()]).await?;
        Ok(rows.get(LOG).map_or(0, |row| row.size as i64))
    }

    async fn trees(&self, names: &[String]) -> Result<BTreeMap<String, TreeRow>, QueryError> {
        let rows = self.sql.fetch(TREES, &[Arg::List(names)]).await?;
        rows.iter().map(tree_row).collect()
    }
}

/// Trees with more leaves than are stored.
struct Grown {
    log: Growing,
    guilds: BTreeMap<GuildId, Growing>,
    /// Position of the last event of each guild.
    last: BTreeMap<GuildId, i64>,
}

impl Grown {
    /// Trees without leaves.
    fn empty() -> Self {
        Self { log: Growing::empty(LOG.to_owned()), guilds: BTreeMap::new(), last: BTreeMap::new() }
    }

    /// Adds an event, whose guild's number is the next one; its leaf.
    fn add(&mut self, event: &StoredEvent) -> Result<Hash, QueryError> {
        let tree = event.guild.map(|guild| {
            self.last.insert(guild, event.position);
            self.guilds.entry(guild).or_insert_with(|| Growing::empty(guild.to_string()))
        });
        let leaf = leaf(event, tree.as_ref().map(|tree| tree.size() + 1))?;
        if let Some(tree) = tree {
            tree.push(leaf);
        }
        self.log.push(leaf);
        Ok(leaf)
    }

    /// What is to be written: the guilds' trees, and the tiles of all.
    fn rows(mut self) -> (Rows, Rows) {
        let (mut trees, mut tiles) = (Rows::new(&TREE, TREE.name), Rows::new(&TILE, TILE.name));
        for (guild, tree) in &self.guilds {
            let position = self.last.get(guild).copied().unwrap_or_default();
            trees.text(tree.name().to_owned()).int(tree.size() as i64);
            trees.text(tree.root().to_string()).int(position);
        }
        for tree in self.guilds.values_mut().chain([&mut self.log]) {
            for (id, hashes) in tree.take_changed() {
                tiles.text(id).text(tiles::text(&hashes));
            }
        }
        (trees, tiles)
    }
}

fn leaf(event: &StoredEvent, number: Option<u64>) -> Result<Hash, QueryError> {
    let unreadable = |error| QueryError::Damaged(format!("event {} is no JSON: {error}", event.position));
    Ok(leaf_hash(record(event, number).map_err(unreadable)?.as_bytes()))
}

fn tree_row(row: &Row) -> Result<(String, TreeRow), QueryError> {
    let id = row.text(0)?.to_owned();
    let damaged = || QueryError::Damaged(format!("the row {id} of merkle_tree cannot be read"));
    let size = u64::try_from(row.int(1)?).map_err(|_| damaged())?;
    let root = row.text(2)?.parse().map_err(|_| damaged())?;
    Ok((id, TreeRow { size, root }))
}

/// The tiles of these ids that there are.
async fn tiles(sql: &Sql, ids: &[String]) -> Result<Tiles, QueryError> {
    let mut found = Tiles::new();
    for ids in ids.chunks(TILES_MAX) {
        for row in sql.fetch(TILES, &[Arg::List(ids)]).await? {
            let id = row.text(0)?.to_owned();
            let hashes = tiles::parsed(&id, row.text(1)?)?;
            found.insert(id, hashes);
        }
    }
    Ok(found)
}
