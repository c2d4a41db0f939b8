//! Rate limits as Discord has them (topics/rate-limits): one window per bucket and major parameter, one global, and
//! the count of invalid requests that gets an address banned. Measured by monotonic time, not by the host's clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::rest::route::Route;

/// How long an invalid request counts.
const INVALID_WINDOW: Duration = Duration::from_secs(600);
/// Windows kept before the ended ones are thrown away.
const WINDOWS: usize = 10_000;

/// Requests per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limit {
    pub(crate) limit: u64,
    pub(crate) per_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    ends: Instant,
    used: u64,
}

/// All limits and their counters.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) enabled: bool,
    pub(crate) buckets: BTreeMap<String, Limit>,
    pub(crate) global: Limit,
    windows: HashMap<String, Window>,
    all: Option<Window>,
    requests: u64,
    sent: BTreeMap<&'static str, u64>,
    invalid: VecDeque<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = [
            ("POST /channels/*/messages", 5, 5_000),
            ("GET /guilds/*/members", 10, 10_000),
            ("GET /guilds/*/members/search", 10, 10_000),
            ("GET /guilds/*/members/*", 5, 1_000),
            ("* /guilds/*/members/*/roles/*", 10, 10_000),
            ("POST /users/@me/channels", 10, 10_000),
        ];
        let buckets = limits.map(|(route, limit, per_ms)| (route.to_owned(), Limit { limit, per_ms }));
        Self {
            enabled: true,
            buckets: BTreeMap::from(buckets),
            global: Limit { limit: 50, per_ms: 1_000 },
            windows: HashMap::new(),
            all: None,
            requests: 0,
            sent: BTreeMap::new(),
            invalid: VecDeque::new(),
        }
    }
}

/// The rate-limit headers of an answer.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// A request that comes too early.
#[derive(Debug)]
pub(crate) struct TooMany {
    /// `user`, `global` or `shared`.
    pub(crate) scope: &'static str,
    pub(crate) retry_after: f64,
    pub(crate) headers: Headers,
}

impl Limits {
    /// Counts a request; gives the headers of its bucket, if it has one.
    pub(crate) fn take(&mut self, route: &Route) -> Result<Headers, TooMany> {
        self.requests += 1;
        if !self.enabled {
            return Ok(Headers::new());
        }
        let now = Instant::now();
        if !route.is_of_interaction()
            && let Err(left) = spend(self.all.get_or_insert(fresh(now, self.global)), now, self.global)
        {
            return Err(too_many("global", left, vec![("x-ratelimit-global", "true".to_owned())]));
        }
        let Some((pattern, limit)) = self.bucket_of(route) else { return Ok(Headers::new()) };
        if self.windows.len() > WINDOWS {
            self.windows.retain(|_, window| window.ends > now);
        }
        let key = format!("{pattern} {}", route.major());
        let window = self.windows.entry(key).or_insert_with(|| fresh(now, limit));
        let spent = spend(window, now, limit);
        let left = window.ends.saturating_duration_since(now);
        let remaining = limit.limit.saturating_sub(window.used);
        let headers = headers(&pattern, limit, remaining, left);
        match spent {
            Ok(()) => Ok(headers),
            Err(left) => Err(too_many("user", left, headers)),
        }
    }

    /// The entry that fits best: the one with most words of its own.
    fn bucket_of(&self, route: &Route) -> Option<(String, Limit)> {
        let fitting = self.buckets.iter().filter(|(pattern, _)| route.matches(pattern));
        let best = fitting.max_by_key(|(pattern, _)| {
            let own = pattern.split(['/', ' ']).filter(|word| *word != "*").count();
            (own, pattern.len())
        });
        best.map(|(pattern, limit)| (pattern.clone(), *limit))
    }

    /// Counts what was answered.
    pub(crate) fn answered(&mut self, status: u16, scope: Option<&'static str>) {
        if let Some(scope) = scope {
            *self.sent.entry(scope).or_default() += 1;
        }
        if matches!(status, 401 | 403) || (status == 429 && scope != Some("shared")) {
            self.invalid.push_back(Instant::now());
            self.forget_invalid();
        }
    }

    fn forget_invalid(&mut self) {
        let now = Instant::now();
        while self.invalid.front().is_some_and(|first| now.duration_since(*first) > INVALID_WINDOW) {
            self.invalid.pop_front();
        }
        while self.invalid.len() > 20_000 {
            self.invalid.pop_front();
        }
    }

    /// Forgets the windows, so that new limits hold at once.
    pub(crate) fn restart(&mut self) {
        self.windows.clear();
        self.all = None;
    }

    /// What `GET /_control/limits` shows.
    pub(crate) fn shown(&mut self) -> Value {
        self.forget_invalid();
        let sent = |scope: &str| self.sent.get(scope).copied().unwrap_or(0);
        json!({
            "enabled": self.enabled, "buckets": self.buckets, "global": self.global, "requests": self.requests,
            "tooMany": {"user": sent("user"), "global": sent("global"), "shared": sent("shared")},
            "invalidRequests": self.invalid.len(),
        })
    }
}

fn fresh(now: Instant, limit: Limit) -> Window {
    Window { ends: now + Duration::from_millis(limit.per_ms), used: 0 }
}

/// Uses one of the window; the time that is left when nothing is.
fn spend(window: &mut Window, now: Instant, limit: Limit) -> Result<(), Duration> {
    if now >= window.ends {
        *window = fresh(now, limit);
    }
    if window.used >= limit.limit {
        return Err(window.ends - now);
    }
    window.used += 1;
    Ok(())
}

fn too_many(scope: &'static str, left: Duration, headers: Headers) -> TooMany {
    TooMany { scope, retry_after: round_up(left), headers }
}

/// Milliseconds, never less than what is left.
fn round_up(left: Duration) -> f64 {
    (left.as_secs_f64() * 1_000.0).ceil() / 1_000.0
}

fn headers(pattern: &str, limit: Limit, remaining: u64, left: Duration) -> Headers {
    let after = round_up(left);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let hash = HEXLOWER.encode(&Sha256::digest(pattern.as_bytes())[..16]);
    vec![
        ("x-ratelimit-limit", limit.limit.to_string()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-reset", format!("{:.3}", now + after)),
        ("x-ratelimit-reset-after", format!("{after:.3}")),
        ("x-ratelimit-bucket", hash),
    ]
}
