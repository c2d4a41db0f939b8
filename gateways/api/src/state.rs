//! What every handler has: the two doors (commands and queries), the clock, the tokens' keys, limits. Built by
//! the server once; nothing here is changed afterwards save the set of writes in flight.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commands::Commands;
use commands::signer::Signer;
use commands::store::IdempotencyKey;
use domain::ports::Mac;
use domain::time::Timestamp;
use projections::{Queries, SealLog};

use crate::identity::Identity;
use crate::operator::Operator;
use crate::proxies::Proxies;
use crate::rates::{Limiter, Rates};
use crate::refusals::Refusals;
use crate::session::SessionRules;
use crate::signature::AnswerKeys;
use crate::token::TokenKeys;

/// Where the instant of every request comes from; the demo's clock can be moved forward.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Whether Discord is simulated. The demo has endpoints that move its clock and its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Simulated Discord.
    Demo,
    /// The real one, or none.
    Live,
}

/// Limits of a request.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest body in bytes.
    pub body_max_bytes: usize,
    /// Within this time a body must have arrived.
    pub body_timeout: Duration,
    /// Within this time a request must be answered.
    pub request_timeout: Duration,
    /// How long a read waits for `DCA-Min-Position`.
    pub min_position_timeout: Duration,
    /// Most licenses of one `POST /admin/licenses/generate`.
    pub generate_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            min_position_timeout: Duration::from_secs(2),
            generate_max: 10_000,
        }
    }
}

/// Names that requests may address this server by; others are refused, so that a foreign page cannot reach a
/// loopback server by a name of its own (DNS rebinding).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// `127.0.0.1`, `[::1]` and `localhost`, each with `port`.
    pub fn loopback(port: u16) -> Self {
        Self(["127.0.0.1", "[::1]", "localhost"].map(|name| format!("{name}:{port}")).to_vec())
    }

    /// Exactly these values of `Host`, for example `auth.example.org` or `127.0.0.1:8787`.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    pub(crate) fn allows(&self, host: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    pub(crate) fn listed(&self) -> String {
        self.0.join(", ")
    }
}

/// What the API is made of.
pub struct Parts {
    /// The door to change.
    pub commands: Commands,
    /// The door to read.
    pub queries: Queries,
    /// The instant of a request.
    pub clock: Clock,
    /// Keys of access tokens.
    pub tokens: TokenKeys,
    /// Who says who somebody is; `None` and nobody can sign in.
    pub identity: Option<Arc<dyn Identity>>,
    /// Where browsers reach this server: scheme, host and port, without a slash at the end.
    pub public_url: String,
    /// How sessions live.
    pub sessions: SessionRules,
    /// The process around the API.
    pub operator: Arc<dyn Operator>,
    /// Demo or live.
    pub mode: Mode,
    /// Names that requests may use; `None` takes any.
    pub hosts: Option<Hosts>,
    /// Limits of a request.
    pub limits: Limits,
    /// How many requests callers may send.
    pub rates: Rates,
    /// Proxies in front, who say for whom they ask.
    pub proxies: Proxies,
}

/// What every handler has. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    seal_log: SealLog,
    answer_keys: AnswerKeys,
    limiter: Limiter,
    refusals: Refusals,
    in_flight: Mutex<HashSet<IdempotencyKey>>,
}

impl ApiState {
    /// Puts it together.
    pub fn new(parts: Parts) -> Self {
        let sign = Arc::new(Signer::of_log(parts.commands.ring()));
        let seal_log = SealLog::new(&parts.queries, sign);
        let answer_keys = AnswerKeys::new(parts.commands.ring());
        let limiter = Limiter::new(&parts.rates, parts.queries.shared_limits());
        let (refusals, in_flight) = (Refusals::default(), Mutex::default());
        Self { inner: Arc::new(Inner { parts, seal_log, answer_keys, limiter, refusals, in_flight }) }
    }

    /// The instant of a request: asked once each.
    pub fn now(&self) -> Timestamp {
        (self.inner.parts.clock)()
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.inner.parts.commands
    }

    pub(crate) fn queries(&self) -> &Queries {
        &self.inner.parts.queries
    }

    pub(crate) fn seal_log(&self) -> &SealLog {
        &self.inner.seal_log
    }

    pub(crate) fn answer_keys(&self) -> &AnswerKeys {
        &self.inner.answer_keys
    }

    pub(crate) fn mac(&self) -> &dyn Mac {
        self.inner.parts.commands.ring().as_ref()
    }

    pub(crate) fn tokens(&self) -> &TokenKeys {
        &self.inner.parts.tokens
    }

    pub(crate) fn identity(&self) -> Option<&dyn Identity> {
        self.inner.parts.identity.as_deref()
    }

    pub(crate) fn public_url(&self) -> &str {
        &self.inner.parts.public_url
    }

    /// Whether browsers reach this server over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url().starts_with("https://")
    }

    pub(crate) fn sessions(&self) -> &SessionRules {
        &self.inner.parts.sessions
    }

    pub(crate) fn operator(&self) -> &dyn Operator {
        self.inner.parts.operator.as_ref()
    }

    pub(crate) fn mode(&self) -> Mode {
        self.inner.parts.mode
    }

    pub(crate) fn hosts(&self) -> Option<&Hosts> {
        self.inner.parts.hosts.as_ref()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.parts.limits
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.inner.limiter
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.inner.refusals
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.inner.parts.proxies
    }

    /// Marks a write as being done by this process; `None` if its twin is.
    pub(crate) fn begin(&self, key: IdempotencyKey) -> Option<InFlight> {
        let is_new = self.lock().insert(key.clone());
        is_new.then(|| InFlight { state: self.clone(), key })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<IdempotencyKey>> {
        // A set of keys is whole after every call, so a panic elsewhere while it was held does no harm.
        self.inner.in_flight.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A write with an idempotency key that this process is doing; dropped when it is answered.
pub(crate) struct InFlight {
    state: ApiState,
    key: IdempotencyKey,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.lock().remove(&self.key);
    }
}
