//! Checks of single values that a request brings, and the limits of a guild. Nothing here looks at the state.

use super::refusal::Refusal;
use super::state::Sharing;
use crate::sharing;
use crate::terms::Terms;

/// License types that are not retired.
pub const TYPES_MAX: usize = 100;
/// Role rules that are not removed.
pub const RULES_MAX: usize = 250;
/// Members of staff, the owner aside.
pub const STAFF_MAX: usize = 200;
/// API keys that are not revoked; expired ones count until they are.
pub const API_KEYS_MAX: usize = 100;
/// Webhooks, disabled ones included.
pub const WEBHOOKS_MAX: usize = 50;
/// Longest slug of a license type.
pub const SLUG_MAX_BYTES: usize = 32;
/// Longest name of a license type or an API key.
pub const NAME_MAX_CHARS: usize = 100;
/// Longest address of a webhook.
pub const URL_MAX_BYTES: usize = 2_048;
/// Most subscriptions of one webhook.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Longest name or wildcard of one subscription.
pub const SUBSCRIPTION_MAX_BYTES: usize = 64;
/// Longest stable word for why a webhook was switched off.
const CAUSE_MAX_BYTES: usize = 32;

type Checked = Result<(), Refusal>;

/// Refuses `pointer` with `problem` unless `good`.
fn unless(good: bool, pointer: &'static str, problem: &'static str) -> Checked {
    if good { Ok(()) } else { Err(Refusal::InvalidValue { pointer, problem }) }
}

/// 1 to 32 of a-z, 0-9 and hyphen, beginning with a letter.
pub(super) fn slug(slug: &str) -> Checked {
    let good = (1..=SLUG_MAX_BYTES).contains(&slug.len())
        && slug.starts_with(|c: char| c.is_ascii_lowercase())
        && slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    unless(good, "slug", "must be 1 to 32 of a-z, 0-9 and hyphen and begin with a letter")
}

/// A name that people read.
pub(super) fn name(name: &str) -> Checked {
    let good = !name.trim().is_empty()
        && name.chars().count() <= NAME_MAX_CHARS
        && !name.chars().any(char::is_control);
    unless(good, "name", "must have 1 to 100 characters, not only spaces, and no control characters")
}

/// Terms, whole.
pub(super) fn terms(terms: &Terms) -> Checked {
    match terms.problem() {
        Some((pointer, problem)) => Err(Refusal::InvalidValue { pointer, problem }),
        None => Ok(()),
    }
}

/// How sharing is watched for.
pub(super) fn sharing(asked: &Sharing) -> Checked {
    let limits = [
        (asked.devices, "sharing/devices"),
        (asked.networks, "sharing/networks"),
        (asked.churn, "sharing/churn"),
    ];
    for (limit, pointer) in limits {
        let good = limit.is_none_or(|limit| (1..=sharing::LIMIT_MAX).contains(&limit));
        unless(good, pointer, "must be from 1 to 1000, or null for the default")?;
    }
    let (shortest, longest) = sharing::WINDOW_RANGE;
    let good = (shortest..=longest).contains(&asked.window());
    unless(good, "sharing/window", "must be from PT1H to P30D, or null for the default")
}

/// The form of a webhook's address. Where it leads is judged when it is connected to, after DNS; credentials
/// in it are refused because they would reach logs of others, and a backslash because readers of addresses
/// disagree on what it separates.
pub(super) fn url(url: &str) -> Checked {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.map_or("", |rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '\\';
    unless(!authority.is_empty(), "url", "must begin with https:// or http:// and a host")?;
    unless(url.len() <= URL_MAX_BYTES, "url", "must have at most 2048 bytes")?;
    unless(url.chars().all(plain), "url", "must have no spaces, control characters or backslashes")?;
    unless(!authority.contains('@'), "url", "must hold no user name or password")
}

/// Names or wildcards of events, by their form only: which names exist is known to the webhooks.
pub(super) fn subscriptions(events: &[String]) -> Checked {
    let plain = |name: &String| {
        (1..=SUBSCRIPTION_MAX_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
    };
    let good = (1..=SUBSCRIPTIONS_MAX).contains(&events.len()) && events.iter().all(plain);
    unless(
        good,
        "events",
        "must have 1 to 64 names or wildcards of events, each of 1 to 64 bytes without spaces",
    )
}

/// A stable word: it stands in the log unsealed, so a free text must not slip in.
pub(super) fn cause(cause: &str) -> Checked {
    let good = (1..=CAUSE_MAX_BYTES).contains(&cause.len())
        && cause.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    unless(good, "cause", "must be one word of 1 to 32 of a-z and underscore")
}
