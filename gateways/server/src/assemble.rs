//! Puts a process together: the one place that picks engines. It opens the store, checks mode and key ring, and
//! hands the same floors, clock and keys to both halves. It serves nothing and decides nothing about licenses.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use commands::Commands;
use commands::ring::KeyRing;
use commands::seal::{SubjectKeyTable, Vault};
use commands::signer::Signer;
use commands::store::{EngineConfig, Pooler, Pools, Store, StoreConfig, StoreError};
use domain::time::Span;
use projections::{Bus, Db, Floors, Queries, RedisCache, SealLog};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::folder::Folder;
use crate::keys;
use crate::mode::Mode;
use crate::role::Roles;

/// The row of the database that says which mode it is in.
const MODE: &str = "mode";
/// The row that keeps how far the demo's clock is ahead.
const CLOCK_OFFSET: &str = "clock_offset_ms";
/// The row that says that the demo's story was played to its end.
const SEEDED: &str = "seeded";
/// How soon a process of a demo knows that another one has moved the clock.
const FOLLOW: Duration = Duration::from_millis(100);
/// How every SQLite file begins.
const SQLITE_HEAD: &[u8] = b"SQLite format 3\0";

/// The halves of a process, not yet serving.
pub(crate) struct Assembled {
    /// The door to change.
    pub(crate) commands: Commands,
    /// The door to read.
    pub(crate) queries: Queries,
    /// The Merkle log.
    pub(crate) seal_log: SealLog,
    /// The event store.
    pub(crate) store: Store,
    /// The one clock.
    pub(crate) clock: Clock,
    /// Demo or live, as the database says.
    pub(crate) mode: Mode,
    /// Whether Discord is a simulation.
    pub(crate) simulated: bool,
    /// For `status`.
    pub(crate) engine: Engine,
    /// What this process does, for `status`.
    pub(crate) roles: Vec<&'static str>,
}

/// Names of the engines, as `status` shows them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    /// `sqlite` or `postgres`.
    pub(crate) store: &'static str,
    /// `memory` or `nats`.
    pub(crate) bus: &'static str,
    /// `memory` or `redis`.
    pub(crate) cache: &'static str,
    /// Whether a replica is read.
    pub(crate) replica: bool,
}

/// Opens everything. The folder's lock is held by the caller.
///
/// # Errors
/// A database of the other mode, a newer schema, a foreign file, a missing or foreign key ring, each with its
/// remedy; or an engine that cannot be reached.
pub(crate) async fn open(config: &Config, roles: &Roles, folder: &Folder) -> Outcome<Assembled> {
    let offset = Arc::new(AtomicI64::new(0));
    let clock = Clock::sharing(Arc::clone(&offset));
    let (engine_config, engine) = engine(config, folder)?;
    let store = Store::open(StoreConfig {
        engine: engine_config,
        epoch: keys::random_hex::<8>()?,
        clock_offset_ms: offset,
        limits: config.append,
    })
    .await
    .map_err(|error| store_failure(config, folder, &error))?;
    check_mode(&store, folder).await?;
    if folder.mode() == Mode::Demo {
        // Before a key ring is made, which would have to be everybody's.
        check_made(&store, roles).await?;
        clock.set(kept_offset(&store).await.map_err(|error| away(&error))?);
    }
    let ring = Arc::new(keys::ring_of(&store, config, folder, clock.now()).await?);
    halves(config, store, ring, clock, folder.mode(), engine).await
}

async fn halves(
    config: &Config,
    store: Store,
    ring: Arc<KeyRing>,
    clock: Clock,
    mode: Mode,
    engine: Engine,
) -> Outcome<Assembled> {
    let now = clock.clone();
    let table: Arc<dyn SubjectKeyTable> = Arc::new(store.clone());
    let vault = Arc::new(Vault::new(
        table,
        Arc::clone(&ring),
        Arc::new(move || now.now()),
        config.reading.subject_keys,
    ));
    let epoch = store.epoch().await.map_err(|error| away(&error))?;
    let bus = match &config.nats.url {
        Some(url) => Bus::nats(url, &epoch).await.map_err(|error| {
            Failure::new(format!("`nats.url` is {error}"))
                .help("Write nats://host:port or tls://host:port; leave it out to do without NATS.")
        })?,
        None => Bus::memory(),
    };
    let database = &config.database;
    let replica = database.replica_url.as_deref().map(|url| Db::replica(url, database.pool_max));
    let replica = replica.transpose().map_err(|error| {
        Failure::new(format!("`database.replica_url` is {error}"))
            .help("Write it as `database.url`, or leave it out to do without a replica.")
    })?;
    let redis = config.redis.url.as_deref().map(|url| RedisCache::connect(url, config.redis.limits));
    let redis = redis.transpose().map_err(|error| {
        Failure::new(format!("`redis.url` is {error}"))
            .help("Write it as `config.default.toml` shows, or leave it out to do without Redis.")
    })?;
    let floors = Arc::new(Floors::new(bus.clone()));
    let queries = Queries::new(projections::Parts {
        db: self::database(&store)?,
        replica,
        epoch,
        mac: ring.clone(),
        vault: vault.clone(),
        floors: floors.clone(),
        bus,
        redis,
        config: projections::Config { pooler: pooler(config), ..config.reading.config.clone() },
    });
    let commands = Commands::new(commands::Parts {
        store: store.clone(),
        ring,
        vault,
        floor: floors,
        simulated: simulated(config, mode),
    });
    let seal_log = SealLog::new(&queries, Arc::new(Signer::of_log(commands.ring())));
    let simulated = simulated(config, mode);
    let roles = config.roles.names();
    Ok(Assembled { commands, queries, seal_log, store, clock, mode, simulated, engine, roles })
}

impl Assembled {
    /// Whether the demo's story still has to be played to its end.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn is_seeded(&self) -> Outcome<bool> {
        is_seeded(&self.store).await
    }

    /// Records that the demo's story was played to its end.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub(crate) async fn set_seeded(&self) -> Outcome<()> {
        self.store.set_meta(SEEDED, "1").await.map_err(|error| away(&error))
    }

    /// Keeps how far the demo's clock is ahead, then moves it. A crash in between moves it at the next start.
    ///
    /// # Errors
    /// If the store cannot be written; the clock then stands where it stood.
    pub(crate) async fn keep_offset(&self, offset: Span) -> Outcome<()> {
        self.store.set_meta(CLOCK_OFFSET, &offset.ms().to_string()).await.map_err(|error| away(&error))?;
        self.clock.set(offset);
        Ok(())
    }

    /// Goes as far ahead as another process of this demo has moved the clock.
    ///
    /// # Errors
    /// If the store cannot be read; the clock then stands where it stood.
    pub(crate) async fn follow_clock(&self) -> Result<(), StoreError> {
        let kept = kept_offset(&self.store).await?;
        self.clock.set(kept.max(self.clock.offset()));
        Ok(())
    }

    /// Follows the clock of a demo that other processes may share, until `stop` is cancelled.
    pub(crate) async fn keep_following_clock(self: Arc<Self>, stop: CancellationToken) {
        let mut is_lost = false;
        while stop.run_until_cancelled(tokio::time::sleep(FOLLOW)).await.is_some() {
            let followed = self.follow_clock().await;
            if let (Err(error), false) = (&followed, is_lost) {
                tracing::warn!(%error, "the demo's clock cannot be read; it goes on as it is");
            }
            is_lost = followed.is_err();
        }
    }
}

/// How far the demo's clock is ahead, as the database has it.
async fn kept_offset(store: &Store) -> Result<Span, StoreError> {
    Ok(Span(store.meta(CLOCK_OFFSET).await?.and_then(|text| text.parse().ok()).unwrap_or_default()))
}

/// Whether Discord is a simulation: in a demo, and where a stand-in is configured in its place.
fn simulated(config: &Config, mode: Mode) -> bool {
    mode == Mode::Demo || config.discord.place.is_stand_in
}

fn engine(config: &Config, folder: &Folder) -> Outcome<(EngineConfig, Engine)> {
    let database = &config.database;
    let bus = if config.nats.url.is_some() { "nats" } else { "memory" };
    let replica = database.replica_url.is_some();
    let cache = if config.redis.url.is_some() { "redis" } else { "memory" };
    match &database.url {
        Some(url) => {
            let engine = EngineConfig::Postgres {
                url: url.clone(),
                direct_url: database.direct_url.clone(),
                pooler: database.pooler,
                pool_max: database.pool_max,
                lock_timeout: database.lock_timeout,
                statement_timeout: config.reading.config.statement_timeout,
            };
            Ok((engine, Engine { store: "postgres", bus, cache, replica }))
        }
        None => {
            let path = folder.database();
            refuse_foreign_file(&path)?;
            let engine = EngineConfig::Sqlite { path, readers: database.readers };
            Ok((engine, Engine { store: "sqlite", bus, cache, replica }))
        }
    }
}

/// A file of another kind in the database's place is refused before anything could write into it.
fn refuse_foreign_file(path: &std::path::Path) -> Outcome<()> {
    use std::io::Read as _;
    let Ok(file) = std::fs::File::open(path) else { return Ok(()) };
    let mut head = Vec::new();
    let read = file.take(SQLITE_HEAD.len() as u64).read_to_end(&mut head);
    if read.is_ok() && (head.is_empty() || head == SQLITE_HEAD) {
        return Ok(());
    }
    Err(Failure::new(format!("{} is not a database of DCA-Auth, nor any SQLite file", path.display()))
        .help("Move that file away, or name another folder with --data-dir."))
}

/// A process with a part of the roles joins a demo, and makes none.
async fn check_made(store: &Store, roles: &Roles) -> Outcome<()> {
    if roles.is_whole() || is_seeded(store).await? {
        return Ok(());
    }
    let what = format!(
        "this demo is not made yet, and a process that is only {} does not make one",
        roles.names().join(", ")
    );
    Err(Failure::new(what).help("Serve it once without --role; others can then join it with --role."))
}

async fn is_seeded(store: &Store) -> Outcome<bool> {
    Ok(store.meta(SEEDED).await.map_err(|error| away(&error))?.is_some())
}

async fn check_mode(store: &Store, folder: &Folder) -> Outcome<()> {
    let asked = folder.mode();
    let found = store.insert_meta_if_absent(MODE, asked.as_str()).await.map_err(|error| away(&error))?;
    if found == asked.as_str() {
        return Ok(());
    }
    Err(Failure::new(format!("this database is in {found} mode, and it was to be opened in {asked} mode"))
        .help(format!("Start with --mode {found}, or name another database for the {asked} mode.")))
}

fn database(store: &Store) -> Outcome<Db> {
    match store.pools() {
        Pools::Sqlite { read, write } => Ok(Db::Sqlite { read, write }),
        Pools::Postgres(pool) => Ok(Db::Postgres(pool)),
        Pools::Memory => Err(Failure::new("a store without a database has no read models")),
    }
}

fn pooler(config: &Config) -> projections::Pooler {
    match config.database.pooler {
        Pooler::None | Pooler::Session => projections::Pooler::Session,
        Pooler::Transaction => projections::Pooler::Transaction,
    }
}

/// The store could not be opened: where, why, and what to do.
fn store_failure(config: &Config, folder: &Folder, error: &StoreError) -> Failure {
    let place = match config.database.url {
        Some(_) => "the PostgreSQL database of `database.url`".to_owned(),
        None => folder.database().display().to_string(),
    };
    let help = match config.database.url {
        Some(_) => "Check the address (host, port, name, password) and that the server takes connections.",
        None => {
            "If the file is damaged, restore a backup; if it belongs to something else, name another --data-dir."
        }
    };
    Failure::new(format!("{place} cannot be opened: {error}")).help(help)
}

/// The store is open and did not answer.
pub(crate) fn away(error: &StoreError) -> Failure {
    Failure::new(format!("the database did not answer: {error}"))
        .help("Check that it can be reached, then try again.")
}
