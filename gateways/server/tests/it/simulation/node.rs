//! One process of the simulation: both halves over one log, put together as the server does it, with seams where faults
//! enter. Nothing runs by itself: the schedule says when it looks, folds, answers or dies.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use commands::ring::KeyRing;
use commands::seal::Vault;
use commands::store::{Pools, Store};
use commands::{Commands, Parts};
use domain::id::{DiscordId, GuildId, LicenseId, StreamId};
use domain::ports::{Floor, VaultFuture};
use domain::private::Subject;
use domain::time::Timestamp;
use projections::{Bus, Config, Db, Floors, Projector, Queries};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::sync::watch;

/// How long a process waits for a database that it does not reach.
const REACHED_WITHIN: Duration = Duration::from_millis(200);

/// What all processes share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) ring: Arc<KeyRing>,
    pub(super) path: PathBuf,
    pub(super) epoch: String,
    /// How far the clock of the log is ahead of this machine's.
    pub(super) offset_ms: Arc<AtomicI64>,
}

/// Holds up whoever loads keys, in the middle of a read.
pub(super) struct Gate {
    open: watch::Sender<bool>,
    waiting: AtomicUsize,
}

impl Gate {
    pub(super) fn set(&self, open: bool) {
        self.open.send_replace(open);
    }

    pub(super) fn holds_somebody(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // An error means that the gate is gone, and so is the process.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

struct GatedVault {
    vault: Arc<Vault>,
    gate: Arc<Gate>,
}

impl domain::ports::Vault for GatedVault {
    fn keys<'a>(&'a self, subjects: &'a [Subject]) -> VaultFuture<'a> {
        Box::pin(async move {
            self.gate.pass().await;
            domain::ports::Vault::keys(&*self.vault, subjects).await
        })
    }

    fn forget(&self, subject: &Subject) {
        self.vault.forget(subject);
    }
}

/// Floors that a process may die before it raises.
struct BrittleFloor {
    floors: Arc<Floors>,
    is_dying: Arc<AtomicBool>,
}

impl Floor for BrittleFloor {
    fn raise(&self, stream: &StreamId, position: i64) {
        if !self.is_dying.load(Ordering::SeqCst) {
            self.floors.raise(stream, position);
        }
    }

    fn raise_aliases(&self, guild: GuildId, position: i64) {
        if !self.is_dying.load(Ordering::SeqCst) {
            self.floors.raise_aliases(guild, position);
        }
    }

    fn advance(&self, position: i64) {
        if !self.is_dying.load(Ordering::SeqCst) {
            self.floors.advance(position);
        }
    }
}

/// A process.
pub(super) struct Node {
    pub(super) commands: Commands,
    pub(super) queries: Queries,
    pub(super) projector: Projector,
    pub(super) gate: Arc<Gate>,
    /// From now on its appends happen, and it does not live to hear of it.
    pub(super) is_dying: Arc<AtomicBool>,
    reading: SqlitePool,
    /// Its one reading connection, while the database cannot be reached.
    held: Option<PoolConnection<sqlx::Sqlite>>,
    /// Whether a read failed since it last heard of the log.
    pub(super) is_in_doubt: bool,
    /// How many events of each license its answers must know of.
    pub(super) known: BTreeMap<LicenseId, u64>,
    /// Of how many bans and liftings of each owner it must know.
    pub(super) bans: BTreeMap<DiscordId, u64>,
}

impl Node {
    /// A process that has just started and is ready.
    pub(super) async fn start(shared: &Shared, config: &Config) -> Self {
        let file = SqliteConnectOptions::new().filename(&shared.path).read_only(true);
        let reading = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(REACHED_WITHIN)
            .test_before_acquire(false)
            .connect_lazy_with(file);
        let Pools::Sqlite { write, .. } = shared.store.pools() else { panic!("the log is in a file") };
        let vault = Arc::new(Vault::new(
            Arc::new(shared.store.clone()),
            shared.ring.clone(),
            Arc::new(|| Timestamp(0)),
            1_000,
        ));
        let gate = Arc::new(Gate { open: watch::Sender::new(true), waiting: AtomicUsize::new(0) });
        let bus = Bus::memory();
        let floors = Arc::new(Floors::new(bus.clone()));
        let is_dying = Arc::new(AtomicBool::new(false));
        let queries = Queries::new(projections::Parts {
            replica: None,
            redis: None,
            db: Db::Sqlite { read: reading.clone(), write },
            epoch: shared.epoch.clone(),
            mac: shared.ring.clone(),
            vault: Arc::new(GatedVault { vault: vault.clone(), gate: gate.clone() }),
            floors: floors.clone(),
            bus,
            config: config.clone(),
        });
        queries.prepare().await.unwrap();
        let commands = Commands::new(Parts {
            store: shared.store.clone(),
            ring: shared.ring.clone(),
            vault,
            floor: Arc::new(BrittleFloor { floors, is_dying: is_dying.clone() }),
            simulated: true,
        });
        let projector = Projector::new(&queries);
        Self {
            commands,
            queries,
            projector,
            gate,
            is_dying,
            reading,
            held: None,
            is_in_doubt: false,
            known: BTreeMap::new(),
            bans: BTreeMap::new(),
        }
    }

    /// Lets its connections go.
    pub(super) async fn end(self) {
        drop(self.held);
        self.reading.close().await;
    }

    /// Whether the database cannot be reached from here.
    pub(super) fn is_cut_off(&self) -> bool {
        self.held.is_some()
    }

    pub(super) async fn cut_off(&mut self) {
        self.held = Some(self.reading.acquire().await.unwrap());
    }

    pub(super) fn mend(&mut self) {
        self.held = None;
    }
}
