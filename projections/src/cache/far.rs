//! The cache that processes share, in Redis: one server, one behind sentinels, or a cluster. Nothing rests on it. What it
//! holds is sealed, lives for seconds, and is used only where the floors allow it; when it is away, slow, empty or full of
//! lies, readers ask the database instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::id::StreamId;
use domain::ports::Mac;
use fred::clients::{Client, WithOptions};
use fred::interfaces::{ClientLike, EventInterface as _, KeysInterface as _, LuaInterface as _};
use fred::types::Builder;
use fred::types::config::{Config, Options, ReconnectPolicy, UnresponsiveConfig};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::entry::{Entry, Place};
use super::limits::SharedLimits;
use crate::pause::Pause;

/// Longest use of an entry, counted from before its fact was read; less than a floor is kept.
pub(crate) const ENTRY_KEPT: Duration = Duration::from_secs(30);
/// So far ahead may the clock of another process be before its entries are refused.
const SKEW_MAX: Duration = Duration::from_secs(5);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection on which nothing was answered for so long is given up.
const UNRESPONSIVE: Duration = Duration::from_secs(2);
/// Pauses between two tries to reach a server, in milliseconds.
const RECONNECT_MS: (u32, u32) = (50, 1_000);
/// For so long after a failure nobody waits for an answer again.
const PAUSE: Duration = Duration::from_millis(250);
/// How the log names it.
const WHOM: &str = "Redis";

/// Writes ARGV[1] for ARGV[2] ms unless what is there is newer. An entry begins with its position and its as-of position,
/// 16 hexadecimal digits each; anything else is replaced.
const WRITE: &str = "\
    local old = redis.call('GETRANGE', KEYS[1], 0, 31) \
    local op, oa = tonumber(string.sub(old, 1, 16), 16), tonumber(string.sub(old, 17, 32), 16) \
    local np, na = tonumber(string.sub(ARGV[1], 1, 16), 16), tonumber(string.sub(ARGV[1], 17, 32), 16) \
    if op and oa and (op > np or (op == np and oa > na)) then return 0 end \
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
    return 1";

/// Why there is no shared cache.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// No address of a Redis server. What it is is not repeated, because it may hold a password.
    #[error("no address of a Redis server, of sentinels or of a cluster: {0}")]
    Address(String),
}

/// Limits of the shared cache.
#[derive(Debug, Clone, Copy)]
pub struct RedisLimits {
    /// How long a reader waits for an answer before it asks the database.
    pub timeout: Duration,
    /// Entries that are being written; more are not.
    pub writes_max: usize,
}

/// A connection to Redis. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct RedisCache {
    client: WithOptions<Client>,
    writes: Arc<Semaphore>,
    pause: Arc<Pause>,
}

impl std::fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCache").field("state", &self.client.state()).finish_non_exhaustive()
    }
}

impl RedisCache {
    /// Connects in the background to `url`, as fred reads it: `redis://`, `redis-sentinel://` or `redis-cluster://`, with
    /// `rediss` for TLS. A server that does not answer is tried again and again; until it does, nothing is shared.
    ///
    /// # Errors
    /// [`RedisError::Address`] for what is no such address.
    pub fn connect(url: &str, limits: RedisLimits) -> Result<Self, RedisError> {
        let address = |error: fred::error::Error| RedisError::Address(error.details().to_owned());
        let config = Config::from_url(url).map_err(address)?;
        let (first, most) = RECONNECT_MS;
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT;
                connection.internal_command_timeout = CONNECT;
                connection.unresponsive =
                    UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE), interval: UNRESPONSIVE / 4 };
            })
            .set_policy(ReconnectPolicy::new_exponential(0, first, most, 2))
            .build()
            .map_err(address)?;
        report(&client);
        client.connect();
        let options = Options {
            fail_fast: true,
            max_attempts: Some(1),
            timeout: Some(limits.timeout),
            ..Options::default()
        };
        Ok(Self {
            client: client.with_options(&options),
            writes: Arc::new(Semaphore::new(limits.writes_max)),
            pause: Arc::new(Pause::new(PAUSE)),
        })
    }

    /// What is wrong with the way to Redis; `None` if nothing is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let away = !self.client.is_connected() || self.pause.holds();
        away.then(|| "Redis does not answer; facts are read from the database instead".to_owned())
    }

    /// The bytes of an entry; `None` if there is none, or if Redis does not answer in time.
    async fn read(&self, name: &str) -> Option<fred::bytes::Bytes> {
        self.pause.ask(WHOM, self.client.get::<Option<fred::bytes::Bytes>, _>(name)).await.flatten()
    }

    async fn write(&self, name: &str, bytes: Vec<u8>, kept: Duration) {
        let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX).to_string();
        let values = vec![fred::bytes::Bytes::from(bytes), kept.into()];
        self.pause.ask(WHOM, self.client.eval::<i64, _, _, _>(WRITE, name, values)).await;
    }

    /// Runs a script that answers with a list of numbers; `None` if Redis does not answer in time.
    pub(super) async fn eval(
        &self,
        script: &'static str,
        names: Vec<String>,
        values: Vec<i64>,
    ) -> Option<Vec<i64>> {
        self.pause.ask(WHOM, self.client.eval::<Vec<i64>, _, _, _>(script, names, values)).await
    }

    async fn remove(&self, name: &str) {
        self.pause.ask(WHOM, self.client.del::<i64, _>(name)).await;
    }
}

/// Tells the log when Redis comes and goes, once each.
fn report(client: &Client) {
    let away = Arc::new(AtomicBool::new(false));
    let back = Arc::clone(&away);
    client.on_error(move |(error, _)| {
        if !away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the connection to Redis is gone; facts are read from the database instead");
        }
        async { Ok(()) }
    });
    client.on_reconnect(move |server| {
        back.store(false, Ordering::Relaxed);
        tracing::info!(%server, "connected to Redis");
        async { Ok(()) }
    });
}

/// The shared tier of the cache: sealed entries of one log in Redis.
pub(crate) struct Far {
    redis: RedisCache,
    mac: Arc<dyn Mac>,
    epoch: Box<str>,
}

/// What was found of a fact.
pub(crate) enum Found<V> {
    /// Nothing that can be used.
    Nothing,
    /// Something that was not sealed by us for this place, or that cannot be read.
    Refused,
    /// A fact.
    Fact {
        value: V,
        position: i64,
        as_of: i64,
        /// How long it may be used.
        left: Duration,
    },
}

impl Far {
    pub(crate) fn new(redis: RedisCache, mac: Arc<dyn Mac>, epoch: &str) -> Self {
        Self { redis, mac, epoch: epoch.into() }
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.redis.trouble()
    }

    /// Rate limits over the same server.
    pub(crate) fn limits(&self) -> SharedLimits {
        SharedLimits::new(self.redis.clone(), Arc::clone(&self.mac), &self.epoch)
    }

    /// The fact about `stream`; `decode` reads it from bytes that we sealed.
    pub(crate) async fn get<V>(
        &self,
        stream: &StreamId,
        decode: impl FnOnce(&[u8], i64) -> Option<V>,
    ) -> Found<V> {
        let place = Place { epoch: &self.epoch, stream };
        let name = place.name();
        let Some(bytes) = self.redis.read(&name).await else { return Found::Nothing };
        let opened = Entry::open(&*self.mac, place, &bytes);
        let read = opened.and_then(|entry| Some((entry, decode(entry.facts, entry.position)?)));
        let Some((entry, value)) = read else {
            // It would stand in the way of the right one.
            self.redis.remove(&name).await;
            return Found::Refused;
        };
        match left(entry.valid_until_ms, now_ms()) {
            Some(left) => Found::Fact { value, position: entry.position, as_of: entry.as_of, left },
            None => Found::Nothing,
        }
    }

    /// Writes a fact, without anybody waiting for it. `read_at` is an instant before it was read.
    pub(crate) fn put(&self, stream: &StreamId, position: i64, as_of: i64, read_at: Instant, facts: &[u8]) {
        let kept = ENTRY_KEPT.saturating_sub(read_at.elapsed());
        let Ok(permit) = Arc::clone(&self.redis.writes).try_acquire_owned() else { return };
        if kept.is_zero() || self.redis.pause.holds() {
            return;
        }
        let valid_until_ms = now_ms().saturating_add(kept.as_millis() as i64);
        let place = Place { epoch: &self.epoch, stream };
        let bytes = Entry { position, as_of, valid_until_ms, facts }.seal(&*self.mac, place);
        let (redis, name) = (self.redis.clone(), place.name());
        tokio::spawn(async move {
            redis.write(&name, bytes, kept).await;
            drop(permit);
        });
    }
}

/// How long an entry may still be used; `None` if it may not, be it too old or from a clock that is far ahead.
fn left(valid_until_ms: i64, now_ms: i64) -> Option<Duration> {
    let left = Duration::from_millis(u64::try_from(valid_until_ms.checked_sub(now_ms)?).ok()?);
    (!left.is_zero() && left <= ENTRY_KEPT + SKEW_MAX).then_some(left.min(ENTRY_KEPT))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
