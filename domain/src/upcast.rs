//! Brings the payload of an older event to the newest version of its name. Events in the log are never
//! rewritten; this happens each time one is read. Nothing here reads the log.
//!
//! A payload that gains an optional member keeps its version. One whose meaning changes gets a new version, and
//! here a step that leads from the old one to it.

use serde_json::Value;

use crate::{guild, license, member, platform, security, session, user};

#[cfg(test)]
mod tests;

/// Leads from one version of an event to the next.
struct Step {
    /// Wire name of the event.
    name: &'static str,
    /// The version that it takes; it gives the one after that.
    from: u32,
    /// The change of the payload.
    change: fn(Value) -> Value,
}

/// Every step there is, in any order. None yet: every event is at its first version.
const STEPS: &[Step] = &[];

/// Wire name and newest version of every event, an aggregate each.
const NAMES: [&[(&str, &str)]; 7] = [
    license::Event::NAMES,
    member::Event::NAMES,
    guild::Event::NAMES,
    user::Event::NAMES,
    session::Event::NAMES,
    platform::Event::NAMES,
    security::Event::NAMES,
];

/// The payload of `event_type` at its newest version, as JSON text; `None` if it is there already.
///
/// # Errors
/// What is wrong, as the rest of a sentence: an unknown name, a version that is newer than this release knows
/// or no number, a payload that is no JSON.
pub fn upcast(event_type: &str, event_version: &str, payload: &str) -> Result<Option<String>, String> {
    let newest = NAMES.iter().copied().flatten().find(|(name, _)| *name == event_type);
    let (name, newest) = newest.ok_or_else(|| {
        format!(
            "no event is named `{event_type}` here; if it was written by a newer release, upgrade this one"
        )
    })?;
    along(STEPS, name, newest, event_version, payload)
}

/// Applies the steps of `name` from version `found` to version `newest`.
fn along(
    steps: &[Step],
    name: &str,
    newest: &str,
    found: &str,
    payload: &str,
) -> Result<Option<String>, String> {
    if found == newest {
        return Ok(None);
    }
    let (Some(first), Some(last)) = (version(found), version(newest)) else {
        return Err(format!("its version `{found}` is no whole number from 1"));
    };
    if first > last {
        return Err(format!(
            "version {first} of `{name}` was written by a newer release, which knows more than version {last}; \
             upgrade this one"
        ));
    }
    let mut value: Value =
        serde_json::from_str(payload).map_err(|e| format!("its payload is no JSON: {e}"))?;
    for from in first..last {
        let step = steps.iter().find(|step| step.name == name && step.from == from);
        let step =
            step.ok_or_else(|| format!("no step leads from version {from} of `{name}` to the next"))?;
        value = (step.change)(value);
    }
    Ok(Some(value.to_string()))
}

/// A version as it is written: digits without a leading zero or sign.
fn version(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| *number > 0 && number.to_string() == text)
}
