//! Every version of every event that the log may hold, by an example that is never edited.

use std::collections::BTreeSet;

use cqrs_es::DomainEvent as _;
use serde_json::Value;

use super::*;
use crate::private::{Private, PrivateFields, Subject};

/// Members that always hold something about a person, or a text that people wrote.
const PERSONAL: [&str; 11] = [
    "username",
    "email",
    "ip",
    "discordId",
    "deviceName",
    "reason",
    "metadata",
    "privateMetadata",
    "url",
    "externalRef",
    "client",
];

/// Members that may hold a snowflake in the clear, because it names no person.
const SNOWFLAKES: [&str; 9] = [
    "guildId",
    "roleId",
    "skuId",
    "logChannelId",
    "grantsRoleId",
    "watchedRoles",
    "roles",
    "added",
    "removed",
];

/// Calls `visit` with every value below `value` and the names of the members around it from the outside in;
/// the places of an array have no name.
fn each_value<'a>(value: &'a Value, path: &mut Vec<&'a str>, visit: &mut dyn FnMut(&[&str], &Value)) {
    visit(path, value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_value(item, path, visit)),
        Value::Object(members) => {
            for (name, member) in members {
                path.push(name);
                each_value(member, path, visit);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn visit(golden: &Golden, mut visit: impl FnMut(&[&str], &Value)) {
    each_value(&serde_json::from_str(&golden.json).unwrap(), &mut Vec::new(), &mut visit);
}

/// Whether the innermost member of a path is personal. The name of a device is; that of a guild or of a type
/// is not.
fn is_personal(path: &[&str]) -> bool {
    path.last().is_some_and(|name| PERSONAL.contains(name)) || path.ends_with(&["device", "name"])
}

/// Whether a text has a run of digits that is as long as a snowflake.
fn has_snowflake(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|run| (17..=20).contains(&run.len()))
}

/// The personal fields that an event shows to whoever seals it.
fn private_fields(event: &mut DomainEvent) -> Vec<(String, Private)> {
    let mut fields = Vec::new();
    event.private_fields(&mut |name, field| fields.push((name.to_owned(), field.clone())));
    fields
}

#[test]
fn every_event_has_its_golden_file() {
    for kind in Kind::ALL {
        let files: BTreeSet<String> = golden(kind).into_keys().collect();
        let newest: BTreeSet<String> =
            names(kind).iter().map(|(name, version)| format!("{name}.v{version}")).collect();
        let missing: Vec<_> = newest.difference(&files).collect();
        assert!(missing.is_empty(), "add golden files of {missing:?}");
    }
}

#[test]
fn every_golden_file_is_of_an_event() {
    for (file, golden) in every_golden() {
        let known = names(golden.kind).iter().find(|(name, _)| *name == golden.name);
        let (_, newest) = known.unwrap_or_else(|| panic!("{file} is of no event"));
        let version = |text: &str| text.parse::<u32>().unwrap();
        assert!(version(&golden.version) <= version(newest), "{file} is of a version that is not there yet");
    }
}

#[test]
fn every_golden_file_loads_and_is_written_back_equal() {
    for (file, golden) in every_golden() {
        let upcast = crate::upcast::upcast(&golden.name, &golden.version, &golden.json).unwrap();
        let json = upcast.as_ref().unwrap_or(&golden.json);
        let event = parsed(golden.kind, json).unwrap_or_else(|why| panic!("{file}: {why}"));
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(written(&event).unwrap(), value, "{file}");
        assert_eq!(value["type"], golden.name, "{file}");
        let (event_type, newest) = match &event {
            DomainEvent::License(event) => (event.event_type(), event.event_version()),
            DomainEvent::Member(event) => (event.event_type(), event.event_version()),
            DomainEvent::Guild(event) => (event.event_type(), event.event_version()),
            DomainEvent::User(event) => (event.event_type(), event.event_version()),
            DomainEvent::Session(event) => (event.event_type(), event.event_version()),
            DomainEvent::Platform(event) => (event.event_type(), event.event_version()),
            DomainEvent::Security(event) => (event.event_type(), event.event_version()),
        };
        assert_eq!(event_type, golden.name, "{file}");
        assert!(names(golden.kind).contains(&(&event_type, &newest)), "{file}");
    }
}

/// A personal member that were a number, a list or an object is as wrong as one in the clear.
#[test]
fn whatever_is_personal_is_sealed() {
    for (file, golden) in every_golden() {
        visit(&golden, |path, value| {
            let sealed = value.is_null() || value.as_str().is_some_and(|text| text.starts_with("s1:"));
            assert!(!is_personal(path) || sealed, "{file}: {path:?} is not sealed");
        });
    }
}

#[test]
fn a_snowflake_in_the_clear_names_no_person() {
    for (file, golden) in every_golden() {
        visit(&golden, |path, value| {
            let allowed = path.last().is_some_and(|name| SNOWFLAKES.contains(name));
            let in_text = value
                .as_str()
                .is_some_and(|text| has_snowflake(text) && !allowed && !text.starts_with("s1:"));
            assert!(!in_text, "{file}: {path:?} holds a snowflake in the clear");
            let as_number = value.is_number() && has_snowflake(&value.to_string());
            assert!(!as_number, "{file}: {path:?} is a number, and ids are texts");
        });
    }
}

#[test]
fn whoever_seals_is_shown_every_sealed_field_under_its_name() {
    for (file, golden) in every_golden() {
        let mut in_json = Vec::new();
        visit(&golden, |path, value| {
            if let Some(text) = value.as_str().filter(|text| text.starts_with("s1:")) {
                in_json.push((path.join("."), text.to_owned()));
            }
        });
        let shown = private_fields(&mut parsed(golden.kind, &golden.json).unwrap()).into_iter();
        let mut shown: Vec<(String, String)> = shown
            .map(|(name, field)| match field {
                Private::Sealed(text) => {
                    assert_eq!(text.parts().unwrap().field, name, "{file}");
                    (name, text.as_str().to_owned())
                }
                Private::Clear { .. } => panic!("{file}: {name} was read in the clear"),
            })
            .collect();
        in_json.sort();
        shown.sort();
        assert_eq!(shown, in_json, "{file}");
    }
}

#[test]
fn a_person_is_sealed_under_his_own_key() {
    for (file, golden) in every_golden() {
        for (name, field) in private_fields(&mut parsed(golden.kind, &golden.json).unwrap()) {
            let of_user = matches!(field.subject(), Some(Subject::User(_)));
            assert!(!name.ends_with(".discordId") || of_user, "{file}: {name}");
        }
    }
}

#[test]
fn a_personal_field_in_the_clear_is_never_written() {
    let mut tried = 0;
    for (file, golden) in every_golden() {
        let fields = private_fields(&mut parsed(golden.kind, &golden.json).unwrap());
        for (opened, _) in fields {
            let mut event = parsed(golden.kind, &golden.json).unwrap();
            event.private_fields(&mut |name, field| {
                if name == opened {
                    *field =
                        Private::Clear { subject: field.subject().unwrap(), text: "Lovelace".to_owned() };
                }
            });
            let why = written(&event).unwrap_err().to_string();
            assert!(why.contains("unsealed"), "{file}: {opened}: {why}");
            assert!(!format!("{event:?}").contains("Lovelace"), "{file}: {opened} is shown for debugging");
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried} personal fields were tried");
}
