//! What the relay knows of each shard across connections: its session, serenity's IDENTIFY, and who serves it.
//!
//! It lives in memory only; keeping a session across processes is the tap's business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chance;
use super::config::RelayConfig;
use super::frame::Identify;
use super::tap::{Saved, Shard, Tap};

/// The relay's memory.
pub(super) struct Hub {
    pub(super) config: RelayConfig,
    pub(super) tap: Arc<dyn Tap>,
    shards: Mutex<HashMap<Shard, Entry>>,
}

#[derive(Default)]
struct Entry {
    session: Option<Saved>,
    /// The session that ended last, lest the tap, which may forget later than we, bring it back.
    dead: Option<String>,
    identify: Option<Identify>,
    /// A close code after which identifying the same way again is useless.
    useless: Option<u16>,
    owner: CancellationToken,
    served: Arc<tokio::sync::Mutex<()>>,
    last_attempt: Option<Instant>,
    failures: u32,
    latency: Option<Duration>,
}

impl Hub {
    /// An empty memory.
    pub(super) fn new(config: RelayConfig, tap: Arc<dyn Tap>) -> Self {
        Self { config, tap, shards: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Shard, Entry>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, shard: Shard, act: impl FnOnce(&mut Entry) -> T) -> T {
        act(self.lock().entry(shard).or_default())
    }

    /// Makes the caller the shard's only server: whoever served it is told to stop, and has stopped.
    /// The token is also cancelled with `root`.
    pub(super) async fn claim(
        &self,
        shard: Shard,
        root: &CancellationToken,
    ) -> (CancellationToken, OwnedMutexGuard<()>) {
        let mine = root.child_token();
        let served = self.with(shard, |entry| {
            std::mem::replace(&mut entry.owner, mine.clone()).cancel();
            Arc::clone(&entry.served)
        });
        (mine, served.lock_owned().await)
    }

    /// The shard whose session this is.
    pub(super) fn shard_of(&self, session_id: &str) -> Option<Shard> {
        let shards = self.lock();
        let mut all = shards.iter();
        all.find(|(_, entry)| entry.session.as_ref().is_some_and(|s| s.session_id == session_id))
            .map(|(s, _)| *s)
    }

    /// The shard's running session.
    pub(super) fn session(&self, shard: Shard) -> Option<Saved> {
        self.with(shard, |entry| entry.session.clone())
    }

    /// The last sequence number of the shard's session.
    pub(super) fn sequence(&self, shard: Shard) -> Option<i64> {
        self.lock().get(&shard).and_then(|entry| entry.session.as_ref()).map(|session| session.sequence)
    }

    /// A session to continue that the tap kept; refused if it is the one that just ended.
    pub(super) fn adopt(&self, shard: Shard, saved: Saved) {
        self.with(shard, |entry| {
            if entry.session.is_none() && entry.dead.as_ref() != Some(&saved.session_id) {
                entry.session = Some(saved);
            }
        });
    }

    /// A session began.
    pub(super) fn begin(&self, shard: Shard, saved: Saved) {
        self.with(shard, |entry| entry.session = Some(saved.clone()));
        self.tap.began(shard, saved);
    }

    /// The session is over.
    pub(super) fn end(&self, shard: Shard) {
        self.with(shard, |entry| {
            if let Some(session) = entry.session.take() {
                entry.dead = Some(session.session_id);
            }
        });
        self.tap.ended(shard);
    }

    /// Notes a dispatch's number; `false` if it came before.
    pub(super) fn advance(&self, shard: Shard, sequence: i64) -> bool {
        self.with(shard, |entry| match &mut entry.session {
            Some(session) if sequence <= session.sequence => false,
            Some(session) => {
                session.sequence = sequence;
                true
            }
            None => true,
        })
    }

    /// Keeps serenity's IDENTIFY for the times when the relay must identify.
    pub(super) fn keep_identify(&self, identify: Identify) {
        self.with(identify.shard, |entry| entry.identify = Some(identify));
    }

    /// Serenity's IDENTIFY.
    pub(super) fn identify(&self, shard: Shard) -> Option<Identify> {
        self.with(shard, |entry| entry.identify.clone())
    }

    /// Identifying this shard this way is useless.
    pub(super) fn give_up(&self, shard: Shard, code: u16) {
        self.with(shard, |entry| entry.useless = Some(code));
    }

    /// Whether identifying this shard was found to be useless.
    pub(super) fn given_up(&self, shard: Shard) -> bool {
        self.with(shard, |entry| entry.useless.is_some())
    }

    /// How long to wait before the next connection, which is noted as begun after that.
    pub(super) fn pace(&self, shard: Shard) -> Duration {
        let (least, most) = (self.config.reconnect_pause.start, self.config.reconnect_pause.end);
        let now = Instant::now();
        self.with(shard, |entry| {
            let Some(last) = entry.last_attempt else {
                entry.last_attempt = Some(now);
                return Duration::ZERO;
            };
            let doubled = least.saturating_mul(1 << entry.failures.min(16)).min(most);
            let pause =
                if entry.failures == 0 { least } else { doubled.mul_f64(0.5 + chance() / 2.0).max(least) };
            let at = (last + pause).max(now);
            entry.last_attempt = Some(at);
            at - now
        })
    }

    /// A connection failed before the session ran on it.
    pub(super) fn failed(&self, shard: Shard) {
        self.with(shard, |entry| entry.failures = entry.failures.saturating_add(1));
    }

    /// How many connections failed one after the other.
    pub(super) fn failures(&self, shard: Shard) -> u32 {
        self.lock().get(&shard).map_or(0, |entry| entry.failures)
    }

    /// The session runs.
    pub(super) fn succeeded(&self, shard: Shard) {
        self.with(shard, |entry| entry.failures = 0);
    }

    /// Notes how long Discord took to answer a heartbeat.
    pub(super) fn set_latency(&self, shard: Shard, latency: Option<Duration>) {
        self.with(shard, |entry| entry.latency = latency);
    }

    /// How long Discord took to answer the last heartbeat.
    pub(super) fn latency(&self, shard: Shard) -> Option<Duration> {
        self.lock().get(&shard).and_then(|entry| entry.latency)
    }
}
