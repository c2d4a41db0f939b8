//! Upcasting, with steps of its own: there is no real one yet.

use serde_json::{Value, json};

use super::{NAMES, STEPS, Step, along, upcast, version};

fn renamed(mut value: Value) -> Value {
    let old = value.as_object_mut().and_then(|object| object.remove("old")).unwrap_or_default();
    value["new"] = old;
    value
}

fn doubled(mut value: Value) -> Value {
    value["new"] = json!([value["new"].clone(), value["new"].clone()]);
    value
}

fn wrong(_: Value) -> Value {
    json!("the step of another event")
}

/// In no order, so that the versions alone decide.
const INJECTED: &[Step] = &[
    Step { name: "thing.moved", from: 2, change: doubled },
    Step { name: "other.moved", from: 1, change: wrong },
    Step { name: "thing.moved", from: 1, change: renamed },
];

fn moved(found: &str, payload: &str) -> Result<Option<String>, String> {
    along(INJECTED, "thing.moved", "3", found, payload)
}

#[test]
fn the_newest_version_is_left_alone_unread() {
    assert_eq!(moved("3", "not even JSON"), Ok(None));
}

#[test]
fn older_versions_take_every_step_from_theirs_on() {
    let upcast =
        |found, payload| -> Value { serde_json::from_str(&moved(found, payload).unwrap().unwrap()).unwrap() };
    assert_eq!(upcast("2", r#"{"new":1}"#), json!({"new": [1, 1]}));
    assert_eq!(
        upcast("1", r#"{"old":1,"type":"thing.moved"}"#),
        json!({"new": [1, 1], "type": "thing.moved"})
    );
}

#[test]
fn a_newer_version_asks_for_an_upgrade() {
    let why = moved("4", "{}").unwrap_err();
    assert!(why.contains("written by a newer release") && why.contains("upgrade this one"), "{why}");
    assert!(why.contains("version 4 of `thing.moved`"), "{why}");
}

#[test]
fn a_version_is_a_whole_number_from_one() {
    for found in ["", "0", "01", "+1", "-1", "1.0", "one", "99999999999"] {
        let why = moved(found, "{}").unwrap_err();
        assert!(why.contains(&format!("`{found}`")), "{why}");
    }
}

#[test]
fn a_missing_step_is_told() {
    let why = along(&INJECTED[..2], "thing.moved", "3", "1", "{}").unwrap_err();
    assert!(why.contains("no step leads from version 1 of `thing.moved`"), "{why}");
}

#[test]
fn an_old_payload_that_is_no_json_is_told() {
    assert!(moved("1", "{").unwrap_err().contains("no JSON"));
}

#[test]
fn every_event_is_read_at_its_newest_version() {
    for (name, newest) in NAMES.into_iter().flatten() {
        assert_eq!(upcast(name, newest, "{}"), Ok(None));
        assert!(upcast(name, "4000000", "{}").unwrap_err().contains("upgrade this one"));
    }
}

#[test]
fn an_unknown_name_is_told() {
    let why = upcast("license.painted", "1", "{}").unwrap_err();
    assert!(why.contains("`license.painted`") && why.contains("upgrade this one"), "{why}");
}

#[test]
fn names_are_unique_and_every_older_version_has_its_step() {
    let names: Vec<&str> = NAMES.into_iter().flatten().map(|(name, _)| *name).collect();
    let unique: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len());
    for (name, newest) in NAMES.into_iter().flatten() {
        for from in 1..version(newest).unwrap() {
            assert_eq!(
                STEPS.iter().filter(|step| step.name == *name && step.from == from).count(),
                1,
                "{name} {from}"
            );
        }
    }
    for step in STEPS {
        let newest = NAMES.into_iter().flatten().find(|(name, _)| *name == step.name);
        assert!(newest.is_some_and(|(_, newest)| step.from < version(newest).unwrap()), "{}", step.name);
    }
}
