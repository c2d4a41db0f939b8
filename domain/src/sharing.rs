//! Whether one key is used by many: rules over what happened to one license in a window of time. Each rule counts one
//! thing and compares it with one number, so that whoever is told can check it. Pure; what follows from a suspicion is
//! decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::device::Component;
use crate::guild::Sharing;
use crate::id::LicenseId;
use crate::license::{DeactivationCause, Event, Hold};
use crate::ports::Mac;
use crate::terms::Terms;
use crate::time::{Span, Timestamp};

/// Different devices that are nothing unusual in a window.
pub const DEVICES: u32 = 5;
/// Networks from which different devices may come.
pub const NETWORKS: u32 = 5;
/// Activations and deactivations that are nothing unusual in a window.
pub const CHURN: u32 = 30;
/// How far a judgement looks back.
pub const WINDOW: Span = Span::days(1);
/// Highest limit that a guild may set.
pub const LIMIT_MAX: u32 = 1_000;
/// Shortest and longest window that a guild may set.
pub const WINDOW_RANGE: (Span, Span) = (Span::hours(1), Span::days(30));

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Many different devices.
    Devices,
    /// Many different devices, each from a network of its own.
    Networks,
    /// Devices that take turns all the time.
    Churn,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Devices, Self::Networks, Self::Churn];

    /// The name in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Networks => "networks",
            Self::Churn => "churn",
        }
    }
}

/// What a rule saw: it counted more than its limit in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How many.
    pub count: u32,
    /// How many are nothing unusual.
    pub limit: u32,
    /// In which time.
    pub window: Span,
}

impl Evidence {
    /// Evidence as an event has it; `None` if another release wrote it otherwise.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// JSON text.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, limit, window } = self;
        write!(f, "{{\"count\":{count},\"limit\":{limit},\"window\":\"{window}\"}}")
    }
}

/// A rule that fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// Which.
    pub rule: Rule,
    /// What it saw.
    pub evidence: Evidence,
}

/// What is nothing unusual for one license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    devices: u32,
    networks: u32,
    churn: u32,
    window: Span,
    /// Churn among so few devices is somebody who works on several.
    turns_above: u32,
}

impl Limits {
    /// The limits of a guild for licenses of these terms. A license for many devices is used on many: whatever the
    /// guild says, each of its devices may be replaced once, come from a network of its own, and be switched on and off
    /// five times in a window.
    pub fn of(sharing: &Sharing, terms: &Terms) -> Self {
        let at_once = terms.max_devices.unwrap_or(0);
        Self {
            devices: sharing.devices.unwrap_or(DEVICES).max(at_once.saturating_mul(2)),
            networks: sharing.networks.unwrap_or(NETWORKS).max(at_once),
            churn: sharing.churn.unwrap_or(CHURN).max(at_once.saturating_mul(10)),
            window: sharing.window(),
            turns_above: at_once.max(2),
        }
    }
}

/// The rules that fire at the activation `judged`, counted in `history` from 0. `history` is the end of a license's
/// stream, far enough back for the window.
///
/// A rule fires once in a window: not again while the stream has a suspicion of it that is younger. Judging anew starts
/// with an empty window whenever staff have looked (they lifted a hold) and when the license gets another owner, so what
/// was before then is never held against it again.
pub fn suspicions(history: &[Event], judged: usize, limits: &Limits) -> Vec<Suspicion> {
    let begin = history.iter().rposition(begins_anew).map_or(0, |place| place + 1);
    let Some(seen) = history.get(begin..=judged) else { return Vec::new() };
    let Some(Event::DeviceActivated { device, by, .. }) = seen.last() else { return Vec::new() };
    if !by.is_limited() {
        return Vec::new();
    }
    let now = device.activated_at;
    let within = |at: Timestamp| now < at.after(limits.window);
    let told = |rule: Rule| {
        history.iter().skip(begin).any(|event| {
            matches!(event, Event::SharingSuspected { rule: told, at, .. } if told == rule.as_str() && within(*at))
        })
    };
    let usage = Usage::of(seen.iter().filter(|event| within(event.at())));
    Rule::ALL
        .into_iter()
        .filter(|rule| !told(*rule))
        .filter_map(|rule| usage.suspicion(rule, limits))
        .collect()
}

/// Whether an event makes the window begin anew. A role that comes back is nobody's judgement.
fn begins_anew(event: &Event) -> bool {
    matches!(event, Event::Resumed { hold: Hold::Admin | Hold::Policy, .. } | Event::Transferred { .. })
}

/// How a license was used in a window.
#[derive(Default)]
struct Usage<'a> {
    ids: BTreeSet<&'a str>,
    fingerprints: BTreeSet<&'a [Component]>,
    /// The first network of each device, as far as one is known. A device that travels comes from many.
    networks: BTreeMap<(&'a str, &'a [Component]), &'a str>,
    /// Activations and deactivations.
    changes: usize,
}

impl<'a> Usage<'a> {
    fn of(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut usage = Self::default();
        events.for_each(|event| usage.count(event));
        usage
    }

    /// What staff and jobs do says nothing about who has the key.
    fn count(&mut self, event: &'a Event) {
        use DeactivationCause::Requested;
        if let Event::DeviceActivated { device, by, network, .. } = event
            && by.is_limited()
        {
            let (id, fingerprint) = (device.device_id.as_str(), device.components.as_slice());
            self.ids.insert(id);
            if !fingerprint.is_empty() {
                self.fingerprints.insert(fingerprint);
            }
            if let Some(network) = network {
                self.networks.entry((id, fingerprint)).or_insert(network);
            }
            self.changes += 1;
        }
        if let Event::DeviceDeactivated { by, cause: Requested, .. } = event
            && by.is_limited()
        {
            self.changes += 1;
        }
        if let Event::DevicesReset { by, cause: Requested, ids, .. } = event
            && by.is_limited()
        {
            self.changes += ids.len();
        }
    }

    /// Different devices: by what clients call them or by their fingerprints, whichever are more. A client may give
    /// every machine the same id, or every machine the same fingerprint.
    fn devices(&self) -> usize {
        self.ids.len().max(self.fingerprints.len())
    }

    fn suspicion(&self, rule: Rule, limits: &Limits) -> Option<Suspicion> {
        let whole = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (count, limit) = match rule {
            Rule::Devices => (self.devices(), limits.devices),
            Rule::Networks => (self.networks.values().collect::<BTreeSet<_>>().len(), limits.networks),
            Rule::Churn if whole(self.devices()) > limits.turns_above => (self.changes, limits.churn),
            Rule::Churn => (0, limits.churn),
        };
        let evidence = Evidence { count: whole(count), limit, window: limits.window };
        (evidence.count > limit).then_some(Suspicion { rule, evidence })
    }
}

/// A block of addresses, hashed under the license's own key as components are. No component has an empty name, so no
/// component has the hash of a network.
pub fn network_hash(mac: &dyn Mac, license: LicenseId, block: &str) -> String {
    Component::hashed(mac, license, "", block).hash
}

#[cfg(test)]
mod tests;
