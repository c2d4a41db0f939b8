//! Faults to order: an answer that is not given, comes late or is a lie. Applies nothing itself: the REST front asks
//! which fault a request meets.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rest::route::Route;

/// Faults that may wait.
const FAULTS: usize = 1_000;

/// A fault as `POST /_control/faults` takes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Fault {
    /// Number, given by the stand-in.
    #[serde(skip_deserializing)]
    pub(crate) id: u64,
    /// `METHOD /path/with/*`, a prefix; without it every request.
    pub(crate) route: Option<String>,
    /// Answer with this status, without doing anything.
    pub(crate) status: Option<u16>,
    /// The body that goes with `status`.
    pub(crate) body: Option<Value>,
    /// Wait before doing anything.
    pub(crate) delay_ms: Option<u64>,
    /// Do the work, then cut the connection.
    pub(crate) drop: bool,
    /// Cut the connection without doing the work.
    pub(crate) drop_before: bool,
    /// Answer 429; seconds.
    pub(crate) retry_after: Option<f64>,
    /// The 429 is global.
    pub(crate) global: bool,
    /// Scope of the 429: `user`, `global` or `shared`.
    pub(crate) scope: Option<String>,
    /// How often; 0 until it is removed. 1 if absent.
    pub(crate) times: Option<u64>,
}

impl Fault {
    /// The scope of its 429.
    pub(crate) fn scope(&self) -> &'static str {
        match self.scope.as_deref() {
            Some("shared") => "shared",
            Some("global") => "global",
            _ if self.global => "global",
            _ => "user",
        }
    }

    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let effects = [self.status.is_some(), self.drop, self.drop_before, self.retry_after.is_some()];
        match effects.iter().filter(|has| **has).count() {
            0 if self.delay_ms.is_none() => {
                Some("a fault needs one of status, drop, dropBefore, retryAfter, delayMs")
            }
            0 | 1 if self.status.is_some_and(|status| !(200..=599).contains(&status)) => {
                Some("status must be 200 to 599")
            }
            0 | 1 if self.route.as_deref().is_some_and(|route| !route.contains(" /")) => {
                Some("route must be \"METHOD /path\"; * stands for any method or any one segment")
            }
            0 | 1 if self.scope.as_deref().is_some_and(|s| !matches!(s, "user" | "global" | "shared")) => {
                Some("scope must be user, global or shared")
            }
            0 | 1 if self.retry_after.is_some_and(|after| !after.is_finite() || after < 0.0) => {
                Some("retryAfter must be seconds, not negative")
            }
            0 | 1 => None,
            _ => Some("status, drop, dropBefore and retryAfter exclude each other"),
        }
    }
}

/// The waiting faults, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    waiting: Vec<Fault>,
    last: u64,
}

impl Faults {
    /// Adds a fault; `None` when too many wait.
    pub(crate) fn add(&mut self, mut fault: Fault) -> Option<Fault> {
        if self.waiting.len() >= FAULTS {
            return None;
        }
        self.last += 1;
        fault.id = self.last;
        fault.times = Some(fault.times.unwrap_or(1));
        self.waiting.push(fault.clone());
        Some(fault)
    }

    /// The fault that a request meets; it is used up by that.
    pub(crate) fn meet(&mut self, route: &Route) -> Option<Fault> {
        let fits = |fault: &Fault| fault.route.as_deref().is_none_or(|pattern| route.starts_with(pattern));
        let at = self.waiting.iter().position(fits)?;
        let fault = self.waiting.get_mut(at)?;
        let met = fault.clone();
        match fault.times {
            Some(0) => {}
            Some(times) if times > 1 => fault.times = Some(times - 1),
            _ => {
                self.waiting.remove(at);
            }
        }
        Some(met)
    }

    /// The waiting ones.
    pub(crate) fn all(&self) -> &[Fault] {
        &self.waiting
    }

    /// Removes all of them.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}
