//! What has which name outside, and what a filter holds.

use std::collections::BTreeSet;

use super::*;
use crate::license::{Hold, RevokeCategory};
use crate::time::Timestamp;

const AT: Timestamp = Timestamp(1);

fn of(event: license::Event, holds: &[Hold]) -> Option<&'static str> {
    let after = License { holds: holds.to_vec(), ..License::default() };
    name(&event.into(), Some(&after))
}

#[test]
fn only_the_first_hold_suspends_and_only_the_last_one_resumes() {
    let suspended = |holds: &[Hold]| of(license::Event::Suspended { hold: Hold::Admin, at: AT }, holds);
    assert_eq!(suspended(&[Hold::Admin]), Some("license.suspended"));
    assert_eq!(suspended(&[Hold::Admin, Hold::RoleLoss]), None);
    let resumed = |holds: &[Hold]| of(license::Event::Resumed { hold: Hold::Admin, at: AT }, holds);
    assert_eq!(resumed(&[Hold::RoleLoss]), None);
    assert_eq!(resumed(&[]), Some("license.resumed"));
}

#[test]
fn events_have_the_names_of_the_table() {
    let revoked = license::Event::Revoked { category: RevokeCategory::Manual, at: AT };
    assert_eq!(of(revoked, &[]), Some("license.revoked"));
    assert_eq!(of(license::Event::BecameActive { at: AT, expires_at: None }, &[]), None);
    let roles = member::Event::RolesChanged {
        roles: BTreeSet::new(),
        added: BTreeSet::new(),
        removed: BTreeSet::new(),
        observed_at: AT,
        at: AT,
    };
    assert_eq!(name(&roles.into(), None), Some("user.role_changed"));
    assert_eq!(name(&guild::Event::Left { at: AT }.into(), None), None);
    assert!(NAMES.is_sorted());
}

#[test]
fn filters_are_names_or_first_parts() {
    for known in
        ["license.created", "license.generated", "license.*", "member.slot_opened", "guild.*", "user.*"]
    {
        assert!(is_known(known), "{known}");
    }
    for unknown in [
        "",
        "*",
        "license",
        "license*",
        "license.",
        "licence.*",
        "license.c*",
        "session.*",
        "license.Created",
    ] {
        assert!(!is_known(unknown), "{unknown}");
    }
    assert!(matches("license.*", "license.created") && !matches("license.*", "licenses.created"));
    assert!(matches("license.created", "license.created") && !matches("license.created", "license.created2"));
}
