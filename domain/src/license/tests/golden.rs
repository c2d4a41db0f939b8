//! The events as stored: one file for each event and version, which is never edited once it is released.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::id::StreamId;
use crate::private::PrivateFields;
use crate::testing::TestSeal;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/license"))
}

/// File name without `.json`, and content.
fn files() -> Vec<(String, serde_json::Value)> {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn events() -> Vec<(String, Event)> {
    files()
        .into_iter()
        .map(|(name, json)| (name.clone(), serde_json::from_value(json).expect(&name)))
        .collect()
}

#[test]
fn every_event_has_a_file_and_every_file_an_event() {
    let files: BTreeSet<String> = files().into_iter().map(|(name, _)| name).collect();
    let names: BTreeSet<String> =
        Event::NAMES.iter().map(|(name, version)| format!("{name}.v{version}")).collect();
    assert_eq!(files, names);
}

#[test]
fn every_file_loads_and_is_written_again_as_it_is() {
    use cqrs_es::DomainEvent as _;
    for (name, json) in files() {
        let event: Event =
            serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(&event).unwrap(), json, "{name}");
        assert_eq!(format!("{}.v{}", event.event_type(), event.event_version()), name);
        assert_eq!(json["type"], event.event_type());
    }
}

#[test]
fn every_optional_member_stands_in_its_file() {
    // A member that no file shows could change its name without any test to notice.
    for (name, event) in events() {
        let json = serde_json::to_value(&event).unwrap();
        let members = json.as_object().unwrap().len() - 1;
        let expected = match name.as_str() {
            "license.generated.v1" => 12,
            "license.device_deactivated.v1" => 5,
            "license.devices_reset.v1" => 4,
            "license.expired.v1" | "license.role_loss_ended.v1" => 1,
            "license.device_activated.v1"
            | "license.became_active.v1"
            | "license.suspended.v1"
            | "license.resumed.v1"
            | "license.expiry_announced.v1"
            | "license.revoked.v1"
            | "license.rekeyed.v1"
            | "license.offline_lease_issued.v1"
            | "license.alias_added.v1"
            | "license.alias_retired.v1"
            | "license.role_loss_started.v1" => 2,
            _ => 3,
        };
        assert_eq!(members, expected, "{name}");
    }
}

#[test]
fn members_that_are_absent_from_a_file_are_none() {
    for (name, event) in events() {
        let mut json = serde_json::to_value(&event).unwrap();
        let optional = ["slot", "startsAt", "ledger", "metadata", "privateMetadata", "externalRef", "from"];
        let members = json.as_object_mut().unwrap();
        let ends = [
            "license.device_activated",
            "license.became_active",
            "license.terms_changed",
            "license.generated",
        ];
        let removed = optional.iter().filter(|member| members.remove(**member).is_some()).count()
            + usize::from(
                ends.iter().any(|end| name.starts_with(end)) && members.remove("expiresAt").is_some(),
            );
        let short: Event =
            serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(&short).unwrap(), json, "{name}");
        assert_eq!(short == event, removed == 0, "{name}");
    }
}

#[test]
fn the_files_together_are_the_history_of_one_license_in_any_order() {
    let mut license = License::default();
    for (_, event) in events() {
        license.evolve(&event);
    }
    assert_eq!(license.version as usize, Event::NAMES.len());
}

#[test]
fn who_activated_a_device_and_from_where_stands_in_newer_events_only() {
    let (_, old) = events().into_iter().find(|(name, _)| name == "license.device_activated.v1").unwrap();
    let Event::DeviceActivated { device, by, network, expires_at } = old else { panic!("{old:?}") };
    assert_eq!((by, network), (Authority::Client, None));
    for (by, word) in [(Authority::Owner, "owner"), (Authority::Staff, "staff")] {
        let network = Some("rQ0zNQ5XhSkkbTyBnOEbVQ".to_owned());
        let event = Event::DeviceActivated { device: device.clone(), by, network, expires_at };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!((&json["by"], &json["network"]), (&word.into(), &"rQ0zNQ5XhSkkbTyBnOEbVQ".into()));
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }
}

#[test]
fn a_ledger_has_counted_activations_only_where_there_are_any() {
    let json = serde_json::to_value(Ledger { activations: [START].into(), ..Ledger::default() }).unwrap();
    assert_eq!(json, serde_json::json!({ "activations": [START] }));
    assert_eq!(serde_json::from_value::<Ledger>(serde_json::json!({})).unwrap(), Ledger::default());
}

#[test]
fn cleared_metadata_is_not_the_same_as_metadata_left_alone() {
    let cleared = Event::MetadataChanged { metadata: Some(None), private_metadata: None, at: START };
    let json = serde_json::to_value(&cleared).unwrap();
    assert_eq!(json["metadata"], serde_json::Value::Null);
    assert!(json.as_object().unwrap().contains_key("metadata"));
    assert!(!json.as_object().unwrap().contains_key("privateMetadata"));
    assert_eq!(serde_json::from_value::<Event>(json).unwrap(), cleared);
}

/// The places of sealed texts in a stored event.
fn sealed_texts(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::String(text) => usize::from(text.starts_with("s1:")),
        serde_json::Value::Array(items) => items.iter().map(sealed_texts).sum(),
        serde_json::Value::Object(members) => members.values().map(sealed_texts).sum(),
        _ => 0,
    }
}

#[test]
fn every_personal_field_is_visited_and_none_is_stored_in_the_clear() {
    let seal = TestSeal::default();
    let stream = StreamId::license(ID);
    let mut visited_in_all = 0;
    for (name, sealed) in events() {
        let mut event = sealed.clone();
        let mut names = BTreeSet::new();
        event.private_fields(&mut |field, private| {
            assert!(names.insert(field.to_owned()), "{name}: two fields are called {field}");
            *private = Private::of_guild(GUILD, "in the clear");
        });
        assert_eq!(names.len(), sealed_texts(&serde_json::to_value(&sealed).unwrap()), "{name}");
        assert_eq!(serde_json::to_string(&event).is_err(), !names.is_empty(), "{name}");
        seal.seal_event(&mut event, &stream, 7);
        let stored = serde_json::to_string(&event).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!stored.contains("in the clear"), "{name}");
        event.private_fields(&mut |field, private| assert!(private.stands_at(7, field), "{name}: {field}"));
        visited_in_all += names.len();
    }
    assert_eq!(visited_in_all, 10);
}

#[test]
fn a_field_left_clear_keeps_its_event_out_of_the_store() {
    // Each personal field alone, so that no other one hides it.
    for (name, sealed) in events() {
        let mut fields = Vec::new();
        sealed.clone().private_fields(&mut |field, _| fields.push(field.to_owned()));
        for clear in fields {
            let mut event = sealed.clone();
            event.private_fields(&mut |field, private| {
                if field == clear {
                    *private = Private::of_guild(GUILD, "in the clear");
                }
            });
            let error = serde_json::to_string(&event).unwrap_err().to_string();
            assert!(error.contains("unsealed"), "{name} {clear}: {error}");
        }
    }
}
