//! Which device a request comes from: a table over all modes.

use uuid::Uuid;

use super::*;
use crate::time::Timestamp;

/// `a1 b2` is the fingerprint of the components `a` with the value 1 and `b` with the value 2.
fn components(text: &str) -> Vec<Component> {
    let component = |pair: &str| Component { name: pair[..1].to_owned(), hash: pair[1..].to_owned() };
    text.split_whitespace().map(component).collect()
}

fn device(number: u128, device_id: &str, fingerprint: &str) -> Device {
    Device {
        id: Uuid::from_u128(number),
        device_id: device_id.to_owned(),
        name: None,
        components: components(fingerprint),
        activated_at: Timestamp(0),
    }
}

fn claim(device_id: &str, fingerprint: &str) -> DeviceClaim {
    DeviceClaim { device_id: device_id.to_owned(), components: components(fingerprint) }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Known,
    Mismatch,
    Unknown,
}

fn found(mode: DeviceMatch, registered: &str, device_id: &str, claimed: &str) -> Found {
    match recognise(&[device(1, "pc", registered)], mode, &claim(device_id, claimed)) {
        Recognition::Known(_) => Found::Known,
        Recognition::Mismatch => Found::Mismatch,
        Recognition::Unknown => Found::Unknown,
    }
}

#[test]
fn every_mode_asks_for_its_number_of_repeated_components() {
    use DeviceMatch::{All, Any, Id, Most, Two};
    // registered, claimed, and the modes in which the claim repeats enough.
    let table: &[(&str, &str, &[DeviceMatch])] = &[
        ("a1 b1 c1 d1", "", &[]),
        ("a1 b1 c1 d1", "a2 b2 c2 d2", &[]),
        ("a1 b1 c1 d1", "a1", &[Any]),
        ("a1 b1 c1 d1", "a1 b2 c2 d2", &[Any]),
        ("a1 b1 c1 d1", "a1 b1", &[Any, Two]),
        ("a1 b1 c1 d1", "a1 b1 c1", &[Any, Two, Most]),
        ("a1 b1 c1 d1", "a1 b1 c1 d1", &[Any, Two, Most, All]),
        ("a1 b1 c1 d1", "d1 c1 b1 a1 e1", &[Any, Two, Most, All]),
        ("a1 b1 c1 d1", "b1 a1", &[Any, Two]),
        // The value stands under another name.
        ("a1 b2", "a2 b1", &[]),
        // Half of two is one, and more than half is both.
        ("a1 b1", "a1", &[Any]),
        ("a1 b1", "a1 b1", &[Any, Two, Most, All]),
        // More than half of three is two.
        ("a1 b1 c1", "a1 b1", &[Any, Two, Most]),
        ("a1 b1 c1", "c1", &[Any]),
        // One registered component is all that any mode can ask for.
        ("a1", "a1", &[Any, Two, Most, All]),
        ("a1", "a2", &[]),
        ("a1", "b1", &[]),
        // A name given twice counts as first given: nobody tries several values at once.
        ("a1 b1", "a2 a1 b1", &[Any]),
    ];
    for (registered, claimed, enough) in table {
        for mode in [Any, Two, Most, All] {
            let repeats = enough.contains(&mode);
            let same_id = if repeats { Found::Known } else { Found::Mismatch };
            let other_id = if repeats { Found::Known } else { Found::Unknown };
            let row = format!("{mode:?}: registered {registered}, claimed {claimed}");
            assert_eq!(found(mode, registered, "pc", claimed), same_id, "same id, {row}");
            assert_eq!(found(mode, registered, "laptop", claimed), other_id, "other id, {row}");
        }
        assert_eq!(found(Id, registered, "pc", claimed), Found::Known, "{claimed}");
        assert_eq!(found(Id, registered, "laptop", claimed), Found::Unknown, "{claimed}");
    }
}

#[test]
fn a_device_without_components_is_known_by_its_id_alone() {
    use DeviceMatch::{All, Any, Id, Most, Two};
    for mode in [Id, Any, Two, Most, All] {
        for claimed in ["", "a1", "a1 b1"] {
            assert_eq!(found(mode, "", "pc", claimed), Found::Known, "{mode:?} {claimed}");
            assert_eq!(found(mode, "", "laptop", claimed), Found::Unknown, "{mode:?} {claimed}");
        }
    }
}

#[test]
fn the_id_is_looked_at_before_the_components_of_other_devices() {
    let devices = [device(1, "pc", "a1 b1"), device(2, "laptop", "a2 b2")];
    let stolen = recognise(&devices, DeviceMatch::Any, &claim("pc", "a2 b2"));
    assert_eq!(stolen, Recognition::Mismatch);
    let renamed = recognise(&devices, DeviceMatch::Any, &claim("new", "a2 b3"));
    assert_eq!(renamed, Recognition::Known(&devices[1]));
    assert_eq!(recognise(&[], DeviceMatch::Any, &claim("pc", "a1")), Recognition::Unknown);
}

#[test]
fn equal_machines_cannot_be_linked_across_licenses() {
    let ring = crate::testing::TestRing::default();
    let hashed =
        |license: u128, value| Component::hashed(&ring, LicenseId(Uuid::from_u128(license)), "cpu", value);
    assert_eq!(hashed(1, "x"), hashed(1, "x"));
    assert_ne!(hashed(1, "x").hash, hashed(2, "x").hash);
    assert_ne!(hashed(1, "x").hash, hashed(1, "y").hash);
    assert_eq!(hashed(1, "x").hash.len(), 22);
}

#[test]
fn modes_have_lower_case_names() {
    let names = serde_json::to_string(&[
        DeviceMatch::Id,
        DeviceMatch::Any,
        DeviceMatch::Two,
        DeviceMatch::Most,
        DeviceMatch::All,
    ]);
    assert_eq!(names.unwrap(), r#"["id","any","two","most","all"]"#);
}
