//! The configuration: what it holds, and which values are possible. Where values come from stands in
//! `config/layers.rs`, how one is read in `config/read.rs`, how all are shown in `config/print.rs`. Nothing here
//! acts on a value.

mod discord;
mod http;
mod layers;
mod print;
mod read;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use commands::store::{AppendLimits, Pooler};

pub(crate) use discord::{Application, Discord, Place};
pub(crate) use http::{Http, Tls};
pub(crate) use layers::{Inputs, Layers, Problem};
pub(crate) use print::{print_json, print_text};
use read::Reader;

use crate::failure::{Failure, Outcome};
use crate::mode::Mode;
use crate::role::Roles;

/// Keys whose values are never shown.
pub(crate) const SECRETS: [&str; 7] = [
    "database.url",
    "database.direct_url",
    "database.replica_url",
    "nats.url",
    "redis.url",
    "discord.token",
    "discord.client_secret",
];

/// One day in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Folder of the data.
    pub(crate) data_dir: PathBuf,
    /// The mode, if it is stated.
    pub(crate) mode: Option<Mode>,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// What this process does.
    pub(crate) roles: Roles,
    /// How logs look.
    pub(crate) log: Log,
    /// Where the log of events is kept.
    pub(crate) database: Database,
    /// How processes wake each other; holds a password, and is never shown.
    pub(crate) nats: Nats,
    /// The cache that processes share.
    pub(crate) redis: Redis,
    /// The key ring, if it does not stand in the data folder.
    pub(crate) keys_file: Option<PathBuf>,
    /// How a process keeps its key ring.
    pub(crate) keys: Keys,
    /// The HTTP side.
    pub(crate) http: Http,
    /// The append actor.
    pub(crate) append: AppendLimits,
    /// The read side, pooler excepted.
    pub(crate) reading: Reading,
    /// Discord.
    pub(crate) discord: Discord,
    /// How sessions live.
    pub(crate) sessions: api::SessionRules,
    /// Background work.
    pub(crate) jobs: Jobs,
    /// How long /ready answers 503 before the listener closes.
    pub(crate) linger: Duration,
    /// How long requests in flight may take after that.
    pub(crate) drain: Duration,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// JSON.
    Json,
}

/// Logs.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// How they are written.
    pub(crate) format: LogFormat,
    /// Which are written.
    pub(crate) filter: String,
}

/// The database.
#[derive(Clone)]
pub(crate) struct Database {
    /// PostgreSQL; `None` is SQLite in the data folder.
    pub(crate) url: Option<String>,
    /// PostgreSQL past a pooler.
    pub(crate) direct_url: Option<String>,
    /// A copy that is only read; `None` if there is none.
    pub(crate) replica_url: Option<String>,
    /// What stands in between.
    pub(crate) pooler: Pooler,
    /// Connections of this process.
    pub(crate) pool_max: u32,
    /// Connections that read an SQLite file.
    pub(crate) readers: u32,
    /// How long a statement waits for a lock.
    pub(crate) lock_timeout: Duration,
}

/// Never shows the addresses.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("server", &self.url.is_some()).finish_non_exhaustive()
    }
}

/// NATS.
#[derive(Clone)]
pub(crate) struct Nats {
    /// Its addresses; `None` is no NATS.
    pub(crate) url: Option<String>,
}

/// Never shows the addresses.
impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("server", &self.url.is_some()).finish_non_exhaustive()
    }
}

/// Redis.
#[derive(Clone)]
pub(crate) struct Redis {
    /// Its address; `None` is no Redis.
    pub(crate) url: Option<String>,
    /// How it is asked.
    pub(crate) limits: projections::RedisLimits,
}

/// Never shows the address.
impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("server", &self.url.is_some()).finish_non_exhaustive()
    }
}

/// The read side.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// Its own limits.
    pub(crate) config: projections::Config,
    /// Keys of personal fields kept in memory.
    pub(crate) subject_keys: usize,
}

/// Background work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jobs {
    /// Licenses taken at once.
    pub(crate) due_batch: u32,
    /// How many of them at the same time.
    pub(crate) due_parallel: usize,
    /// How often everything that is due is looked for.
    pub(crate) sweep: Duration,
    /// How long outcomes of writes are kept.
    pub(crate) idempotency_keep: Duration,
    /// How often older ones are deleted.
    pub(crate) prune: Duration,
    /// Tries of a job.
    pub(crate) tries: u32,
    /// Pause before the second try.
    pub(crate) retry_pause: Duration,
    /// Shortest pause between two looks for shared keys.
    pub(crate) sharing: Duration,
    /// Events of the log that one look takes at once.
    pub(crate) sharing_batch: u32,
}

/// How a process keeps its key ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// How often file and database are looked at.
    pub(crate) poll: Duration,
    /// After how long without a sign a process counts as ended.
    pub(crate) lapse: Duration,
}

impl Config {
    /// Whether any server, or a part of one, is configured, so that this cannot be a first look at the demo.
    pub(crate) fn names_servers(&self) -> bool {
        self.database.url.is_some()
            || self.nats.url.is_some()
            || self.redis.url.is_some()
            || !self.roles.is_whole()
    }

    /// Reads and judges everything.
    ///
    /// # Errors
    /// Every problem at once.
    pub(crate) fn read(layers: &Layers) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(layers);
        let r = &mut reader;
        let config = Self {
            data_dir: PathBuf::from(r.text("data_dir")),
            mode: r.parsed("mode", "`demo`, `live` or empty"),
            listen: r
                .parsed("listen", "an address with a port, such as 127.0.0.1:8420")
                .unwrap_or(([127, 0, 0, 1], 0).into()),
            roles: Roles::of(r.list("role", "`api`, `bot`, `projector` and `worker`")),
            log: log(r),
            database: database(r),
            nats: nats(r),
            redis: redis(r),
            keys_file: Some(r.text("keys.file")).filter(|path| !path.is_empty()).map(PathBuf::from),
            keys: Keys {
                poll: r.millis("keys.poll_ms", 50..=10_000),
                lapse: r.millis("keys.lapse_ms", 3_000..=600_000),
            },
            http: http::http(r),
            append: AppendLimits {
                queue: r.number("append.queue", 1..=1_000_000),
                batch_events: r.number("append.batch_events", 1..=100_000),
                timeout: r.millis("append.timeout_ms", 100..=600_000),
            },
            reading: reading(r),
            discord: discord::discord(r),
            sessions: http::sessions(r),
            jobs: jobs(r),
            linger: r.millis("shutdown.linger_ms", 0..=600_000),
            drain: r.millis("shutdown.drain_ms", 0..=600_000),
        };
        if config.data_dir.as_os_str().is_empty() {
            r.refuse("data_dir", "must name a folder");
        }
        let problems = reader.problems();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// Reads everything for a command that cannot go on without.
    ///
    /// # Errors
    /// One failure that lists every problem.
    pub(crate) fn load(inputs: &Inputs) -> Outcome<Self> {
        let layers = Layers::collect(inputs)?;
        Self::read(&layers).map_err(|problems| refusal(&problems))
    }
}

/// One failure for all problems.
pub(crate) fn refusal(problems: &[Problem]) -> Failure {
    let help =
        "`dca-auth config print` shows every key with its value; `dca-auth config check` checks again.";
    let what = match problems {
        [only] => format!("configuration: {only}"),
        many => {
            let lines: Vec<String> = many.iter().map(|problem| format!("\n  {problem}")).collect();
            format!("configuration: {} keys are wrong:{}", many.len(), lines.concat())
        }
    };
    Failure::new(what).help(help)
}

fn log(r: &mut Reader<'_>) -> Log {
    let words = [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
    Log { format: r.word("log.format", &words, LogFormat::Auto), filter: r.text("log.filter") }
}

fn database(r: &mut Reader<'_>) -> Database {
    let poolers =
        [("none", Pooler::None), ("session", Pooler::Session), ("transaction", Pooler::Transaction)];
    let pool_max: u32 = r.number("database.pool_max", 2..=100_000);
    let instances: u32 = r.number("database.instances", 1..=10_000);
    let pooler = r.word("database.pooler", &poolers, Pooler::None);
    let (url, direct_url) = (r.secret("database.url"), r.secret("database.direct_url"));
    let replica_url = r.secret("database.replica_url");
    let plain = r.flag("database.allow_plain");
    for (key, url) in
        [("database.url", &url), ("database.direct_url", &direct_url), ("database.replica_url", &replica_url)]
    {
        if let Some(wrong) = url.as_deref().and_then(|url| refused_address(url, plain)) {
            r.refuse(key, wrong);
        }
    }
    if pooler == Pooler::Transaction && url.is_some() && direct_url.is_none() {
        r.refuse(
            "database.direct_url",
            "must be set with database.pooler = \"transaction\": migrations go past the pooler",
        );
    }
    if replica_url.is_some() && url.is_none() {
        r.refuse("database.replica_url", "is the copy of a PostgreSQL database, and database.url names none");
    }
    Database {
        url,
        direct_url,
        replica_url,
        pooler,
        pool_max: (pool_max / instances).max(2),
        readers: r.number("database.readers", 1..=64),
        lock_timeout: r.millis("database.lock_timeout_ms", 1..=600_000),
    }
}

fn nats(r: &mut Reader<'_>) -> Nats {
    let (url, plain) = (r.secret("nats.url"), r.flag("nats.allow_plain"));
    if let Some(wrong) =
        url.as_deref().and_then(|url| url.split(',').find_map(|one| refused_nats(one, plain)))
    {
        r.refuse("nats.url", wrong);
    }
    Nats { url }
}

/// What is wrong with the address of a NATS server; the address itself is never repeated, because it may hold a password.
fn refused_nats(url: &str, allow_plain: bool) -> Option<&'static str> {
    match url.trim().split_once("://") {
        Some(("tls", rest)) if !rest.is_empty() => None,
        Some(("nats", rest)) if !rest.is_empty() => (!allow_plain && !is_local(url.trim())).then_some(
            "names a server on another machine without TLS; write tls://… instead, or state nats.allow_plain = true",
        ),
        _ => Some("must be addresses that begin with nats:// or tls://, with commas between them"),
    }
}

fn redis(r: &mut Reader<'_>) -> Redis {
    let (url, plain) = (r.secret("redis.url"), r.flag("redis.allow_plain"));
    if let Some(wrong) = url.as_deref().and_then(|url| refused_redis(url, plain)) {
        r.refuse("redis.url", wrong);
    }
    let limits = projections::RedisLimits {
        timeout: r.millis("redis.timeout_ms", 1..=60_000),
        writes_max: r.number("redis.writes", 1..=1_000_000),
    };
    Redis { url, limits }
}

/// What is wrong with the address of Redis; the address itself is never repeated, because it may hold a password.
fn refused_redis(url: &str, allow_plain: bool) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    match scheme {
        "rediss" | "rediss-sentinel" | "rediss-cluster" if !rest.is_empty() => None,
        "redis" | "redis-sentinel" | "redis-cluster" if !rest.is_empty() => {
            let nodes = rest.split_once('?').map_or("", |(_, query)| query);
            let mut nodes = nodes.split('&').filter_map(|pair| pair.strip_prefix("node="));
            let local = is_local(url) && nodes.all(|node| is_local(&format!("node://{node}")));
            (!allow_plain && !local).then_some(
                "names a server on another machine without TLS; write rediss in place of redis, or state \
                 redis.allow_plain = true",
            )
        }
        _ => Some(
            "must begin with redis://, redis-sentinel:// or redis-cluster://, or with rediss in their place for TLS",
        ),
    }
}

/// What is wrong with a database's address; the address itself is never repeated, because it holds a password.
fn refused_address(url: &str, allow_plain: bool) -> Option<&'static str> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Some("must begin with postgres:// or postgresql://");
    }
    let safe =
        ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full"].iter().any(|mode| url.contains(mode));
    if allow_plain || safe || is_local(url) {
        return None;
    }
    Some(
        "names a server on another machine without TLS; add ?sslmode=verify-full to the address, or state \
         database.allow_plain = true",
    )
}

/// Whether the host of the address is this machine: loopback, or a socket.
fn is_local(url: &str) -> bool {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (place, query) = after.split_once('?').unwrap_or((after, ""));
    let authority = place.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let bare = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let stated = query.split('&').find_map(|pair| pair.strip_prefix("host="));
    let host = stated.unwrap_or(bare);
    host.is_empty()
        || host == "localhost"
        || host.starts_with('/')
        || host.starts_with("%2F")
        || host.starts_with("%2f")
        || std::net::IpAddr::from_str(host).is_ok_and(|address| address.is_loopback())
}

fn reading(r: &mut Reader<'_>) -> Reading {
    let config = projections::Config {
        license_entries: r.number("cache.licenses", 0..=100_000_000),
        guild_entries: r.number("cache.guilds", 1..=100_000_000),
        user_entries: r.number("cache.users", 1..=100_000_000),
        session_entries: r.number("cache.sessions", 1..=100_000_000),
        alias_entries: r.number("cache.aliases", 1..=100_000_000),
        ttl: r.millis("cache.ttl_ms", 0..=3_600_000),
        stale_if_error: r.millis("cache.stale_if_error_ms", 0..=DAY_MS),
        contact_bound: r.millis("cache.contact_bound_ms", 100..=DAY_MS),
        poll: r.millis("projector.poll_ms", 10..=60_000),
        statement_timeout: r.millis("database.statement_timeout_ms", 10..=600_000),
        batch: r.number("projector.batch", 1..=100_000),
        parked_max: r.number("projector.parked_max", 0..=1_000_000),
        first_validations: r.number("jobs.first_validations", 1..=10_000_000),
        last_seen_entries: r.number("jobs.last_seen", 1..=100_000_000),
        last_seen_flush: r.millis("jobs.last_seen_flush_ms", 100..=3_600_000),
        rebuild_page: r.number("rebuild.page", 1..=100_000),
        rebuild_entries: r.number("rebuild.entries", 1..=100_000_000),
        seal_batch: r.number("audit.seal_batch", 1..=100_000),
        seal_pace: r.millis("audit.seal_pace_ms", 10..=60_000),
        checkpoint_every: r.millis("audit.checkpoint_ms", 100..=DAY_MS),
        ..projections::Config::default()
    };
    Reading { config, subject_keys: r.number("cache.subject_keys", 1..=100_000_000) }
}

fn jobs(r: &mut Reader<'_>) -> Jobs {
    Jobs {
        due_batch: r.number("jobs.due_batch", 1..=10_000),
        due_parallel: r.number("jobs.due_parallel", 1..=256),
        sweep: r.millis("jobs.sweep_ms", 1_000..=DAY_MS),
        idempotency_keep: r.millis("jobs.idempotency_keep_ms", 60_000..=30 * DAY_MS),
        prune: r.millis("jobs.prune_ms", 1_000..=DAY_MS),
        tries: r.number("jobs.tries", 1..=100),
        retry_pause: r.millis("jobs.retry_pause_ms", 1..=60_000),
        sharing: r.millis("jobs.sharing_ms", 10..=60_000),
        sharing_batch: r.number("jobs.sharing_batch", 1..=10_000),
    }
}
