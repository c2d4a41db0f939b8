//! Rate limits: how many requests of one kind one caller may send. Each process counts by itself, without a lock and
//! without asking anybody; where processes share a Redis they tell each other now and then (`rates/telling.rs`). Which
//! caller it is, `extract/principal.rs` knows.

mod bucket;
mod class;
mod rate;
mod telling;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use projections::SharedLimits;
use quick_cache::sync::Cache;

use self::bucket::{Bucket, Clock, Rule};
pub(crate) use self::class::{Class, Who};
pub use self::rate::Rate;
use self::telling::Telling;
use crate::error::{ApiError, Code};

/// What a caller may send at all (draft-ietf-httpapi-ratelimit-headers-10).
pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it, and when there will be more.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

const NS_PER_S: u64 = 1_000_000_000;

/// The limits; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Validate and heartbeat, of each publishable key and client address.
    pub validate: Option<Rate>,
    /// The same, of each secret key.
    pub validate_secret: Option<Rate>,
    /// Reads, of each credential.
    pub read: Option<Rate>,
    /// Writes, of each credential.
    pub write: Option<Rate>,
    /// Generate, import, revoke many, export; of each credential.
    pub bulk: Option<Rate>,
    /// Signing in and out, of each client address.
    pub auth: Option<Rate>,
    /// Refused credentials, of each client address.
    pub anonymous: Option<Rate>,
    /// Buckets kept in memory; of more the least used go, and are full when they come again.
    pub buckets_max: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            validate: Rate::new(1_000, 10),
            validate_secret: None,
            read: Rate::new(1_000, 10),
            write: Rate::new(1_000, 10),
            bulk: Rate::new(600, 60),
            auth: Rate::new(300, 60),
            anonymous: Rate::new(100, 60),
            buckets_max: 50_000,
        }
    }
}

impl Rates {
    const fn of(&self, class: Class) -> Option<Rate> {
        match class {
            Class::Validate => self.validate,
            Class::ValidateSecret => self.validate_secret,
            Class::Read => self.read,
            Class::Write => self.write,
            Class::Bulk => self.bulk,
            Class::Auth => self.auth,
            Class::Anonymous => self.anonymous,
        }
    }
}

/// How a caller stands with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    class: Class,
    left: u32,
    /// In so many seconds there is more.
    more_in_s: u32,
}

/// One limit, ready to be counted with.
struct Limit {
    rate: Rate,
    rule: Rule,
    policy: HeaderValue,
}

/// Counts.
pub(crate) struct Limiter {
    limits: [Option<Limit>; Class::ALL.len()],
    buckets: Cache<(Class, Who), Arc<Bucket>>,
    clock: Clock,
    telling: Option<Arc<Telling>>,
}

impl Limiter {
    /// Counts with these limits, together with others if `shared`.
    pub(crate) fn new(rates: &Rates, shared: Option<SharedLimits>) -> Self {
        let limit = |class: Class| {
            rates.of(class).map(|rate| Limit { rate, rule: Rule::of(rate), policy: class.policy(rate) })
        };
        let clock = Clock::start();
        Self {
            limits: Class::ALL.map(limit),
            buckets: Cache::new(rates.buckets_max),
            clock,
            telling: shared.map(|shared| Arc::new(Telling::new(shared, clock))),
        }
    }

    fn limit(&self, class: Class) -> Option<&Limit> {
        self.limits.get(class as usize)?.as_ref()
    }

    /// Counts a request; how its sender then stands, `None` where nothing limits him.
    ///
    /// # Errors
    /// The refusal of a request too many, and how its sender stands.
    pub(crate) fn admit(&self, class: Class, who: Who) -> Result<Option<Standing>, (ApiError, Standing)> {
        let class = class.for_whom(who);
        let Some(limit) = self.limit(class) else { return Ok(None) };
        let bucket = self.bucket(limit, (class, who));
        let taken = bucket.take(self.clock.now_ns());
        if let Some(telling) = &self.telling {
            telling.count(taken.is_ok().then_some((class, who, &bucket)));
        }
        let seconds = |ns: u64| u32::try_from(ns.div_ceil(NS_PER_S)).unwrap_or(u32::MAX).max(1);
        match taken {
            Ok(taken) => Ok(Some(Standing { class, left: taken.left, more_in_s: seconds(taken.more_in_ns) })),
            Err(wait_ns) => {
                let standing = Standing { class, left: 0, more_in_s: seconds(wait_ns) };
                Err((refusal(limit.rate, who, standing), standing))
            }
        }
    }

    fn bucket(&self, limit: &Limit, name: (Class, Who)) -> Arc<Bucket> {
        if let Some(known) = self.buckets.get(&name) {
            return known;
        }
        let made = || Ok::<_, Infallible>(Arc::new(Bucket::full(limit.rule)));
        match self.buckets.get_or_insert_with(&name, made) {
            Ok(bucket) => bucket,
            Err(never) => match never {},
        }
    }

    /// Writes how a caller stands.
    pub(crate) fn tell(&self, standing: Standing, headers: &mut HeaderMap) {
        let Some(limit) = self.limit(standing.class) else { return };
        headers.insert(POLICY, limit.policy.clone());
        let mut text = String::with_capacity(48);
        // Writing into a text cannot fail.
        let _ = write!(text, "\"{}\";r={};t={}", standing.class.as_str(), standing.left, standing.more_in_s);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(LIMIT, value);
        }
    }
}

fn refusal(rate: Rate, who: Who, standing: Standing) -> ApiError {
    let (name, whom, wait_s) = (standing.class.as_str(), who.addressed(), standing.more_in_s);
    let detail = format!(
        "The limit `{name}` of {} requests in {} s for {whom} is used up. Wait {wait_s} s and send fewer; the operator \
         can raise it with `limits.{name}`.",
        rate.quota(),
        rate.window_s(),
    );
    ApiError::new(Code::RateLimited, detail).retry_after(wait_s)
}

#[cfg(test)]
mod tests;
