//! Events of all aggregates as the log holds them: golden files, personal data, metadata, reading.

mod golden;
mod reading;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::DomainEvent;
use crate::id::Kind;
use crate::{guild, license, member, platform, security, session, user};

/// Wire names and newest versions of the events of one aggregate.
fn names(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::License => license::Event::NAMES,
        Kind::Member => member::Event::NAMES,
        Kind::Guild => guild::Event::NAMES,
        Kind::User => user::Event::NAMES,
        Kind::Session => session::Event::NAMES,
        Kind::Platform => platform::Event::NAMES,
        Kind::Security => security::Event::NAMES,
    }
}

fn parsed(kind: Kind, json: &str) -> serde_json::Result<DomainEvent> {
    match kind {
        Kind::License => serde_json::from_str(json).map(DomainEvent::License),
        Kind::Member => serde_json::from_str(json).map(DomainEvent::Member),
        Kind::Guild => serde_json::from_str(json).map(DomainEvent::Guild),
        Kind::User => serde_json::from_str(json).map(DomainEvent::User),
        Kind::Session => serde_json::from_str(json).map(DomainEvent::Session),
        Kind::Platform => serde_json::from_str(json).map(DomainEvent::Platform),
        Kind::Security => serde_json::from_str(json).map(DomainEvent::Security),
    }
}

fn written(event: &DomainEvent) -> serde_json::Result<serde_json::Value> {
    match event {
        DomainEvent::License(event) => serde_json::to_value(event),
        DomainEvent::Member(event) => serde_json::to_value(event),
        DomainEvent::Guild(event) => serde_json::to_value(event),
        DomainEvent::User(event) => serde_json::to_value(event),
        DomainEvent::Session(event) => serde_json::to_value(event),
        DomainEvent::Platform(event) => serde_json::to_value(event),
        DomainEvent::Security(event) => serde_json::to_value(event),
    }
}

/// A golden file: one example of one version of one event. It is never edited.
struct Golden {
    kind: Kind,
    name: String,
    version: String,
    json: String,
}

/// Every golden file of an aggregate, by its path below the folder of golden files.
fn golden(kind: Kind) -> BTreeMap<String, Golden> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/golden", kind.as_str()].iter().collect();
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let stem = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json");
        let stem = stem.unwrap_or_else(|| panic!("{} is no JSON", path.display())).to_owned();
        let (name, version) = stem.rsplit_once(".v").unwrap_or_else(|| panic!("{stem} names no version"));
        let json = std::fs::read_to_string(&path).unwrap();
        let golden = Golden { kind, name: name.to_owned(), version: version.to_owned(), json };
        (stem, golden)
    };
    std::fs::read_dir(&folder).unwrap().map(file).collect()
}

fn every_golden() -> impl Iterator<Item = (String, Golden)> {
    Kind::ALL.into_iter().flat_map(golden)
}
