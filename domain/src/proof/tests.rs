//! Records, checkpoints and exports. A keyed hash stands in for Ed25519, which is not known in this crate.

mod tampering;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Checked, Checkpoint, Expected, ExportCheck, Fault, GuildHead, Header, InvalidCheckpoint, LogKey, Note,
    guilds_root, line, record,
};
use crate::event::StoredEvent;
use crate::id::{GuildId, LicenseId, StreamId};
use crate::merkle::{Frontier, leaf_hash, root_of};
use crate::ports::Sign;
use crate::time::Timestamp;

const GUILD: GuildId = GuildId(100);
const OTHER: GuildId = GuildId(200);

struct Key([u8; 32]);

impl Sign for Key {
    fn key_id(&self) -> String {
        HEXLOWER.encode(&self.0[..4])
    }
    fn public_key(&self) -> [u8; 32] {
        self.0
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        signature(&self.0, message)
    }
}

fn signature(key: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let half = |salt: u8| -> [u8; 32] {
        Sha256::new_with_prefix([salt]).chain_update(key).chain_update(message).finalize().into()
    };
    [half(1), half(2)].concat().try_into().unwrap()
}

fn verify(key: &[u8; 32], message: &[u8], found: &[u8; 64]) -> bool {
    signature(key, message) == *found
}

const KEY: Key = Key([7; 32]);

fn event(position: i64, guild: Option<GuildId>) -> StoredEvent {
    StoredEvent {
        position,
        stream: StreamId::license(LicenseId(Uuid::from_u128(position as u128))),
        sequence: 1,
        event_type: "license.revoked".to_owned(),
        event_version: "1".to_owned(),
        payload: format!(r#"{{"type":"license.revoked","category":"fraud","at":{position}}}"#),
        metadata: format!(r#"{{"id":"{position}","actor":"bot","correlationId":"c","causationId":"d"}}"#),
        guild,
        recorded_at: Timestamp(1_800_000_000_000 + position),
    }
}

/// A log of two guilds, and how an export of the first is made of it.
struct Log {
    records: Vec<String>,
    others: Vec<String>,
    checkpoint: Checkpoint,
    note: Note,
    heads: Vec<GuildHead>,
}

fn log(epoch: &str, events: i64) -> Log {
    let (mut records, mut others, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for position in 1..=events {
        let guild = [Some(GUILD), Some(OTHER), None][position as usize % 3];
        let list = match guild {
            Some(GUILD) => &mut records,
            _ => &mut others,
        };
        let number = guild.map(|_| list.len() as u64 + 1);
        let text = record(&event(position, guild), number).unwrap();
        all.push(leaf_hash(text.as_bytes()));
        list.push(text);
    }
    let root = |list: &[String]| root_of(list.iter().map(|text| leaf_hash(text.as_bytes())));
    let head = |guild_id, list: &[String]| GuildHead { guild_id, size: list.len() as u64, root: root(list) };
    let heads = vec![head(GUILD, &records), head(OTHER, &others)];
    let checkpoint = Checkpoint {
        epoch: epoch.to_owned(),
        size: events as u64,
        root: root_of(all),
        guilds: 2,
        guilds_root: guilds_root(&heads),
    };
    let note = checkpoint.sign(&KEY);
    Log { records, others, checkpoint, note, heads }
}

fn key(epoch: &str) -> LogKey {
    LogKey { name: Checkpoint::origin(epoch), public: KEY.0 }
}

impl Log {
    fn header(&self) -> Header {
        let path = vec![self.heads[1].leaf()];
        Header::new(&self.checkpoint, &self.note, &key(&self.checkpoint.epoch), self.heads[0], 0, path)
    }

    fn export(&self) -> String {
        let mut text = self.header().line().unwrap();
        let mut tree = Frontier::default();
        for record in &self.records {
            tree.push(leaf_hash(record.as_bytes()));
            text.push_str(&line(record, tree.root()));
        }
        text
    }
}

fn check_with(file: &[u8], key: Option<LogKey>, any_epoch: bool) -> Result<Checked, Vec<Fault>> {
    let mut check = ExportCheck::new(Expected { key, any_epoch, verify: &verify });
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        check.take(line);
    }
    check.finish()
}

fn check(file: &str) -> Result<Checked, Vec<Fault>> {
    check_with(file.as_bytes(), None, false)
}

#[test]
fn a_record_is_one_line_with_the_texts_as_stored() {
    let mut stored = event(12, Some(GUILD));
    stored.payload = "{\"b\": 1,\n \"a\":\"\\u00e4\"}".to_owned();
    assert_eq!(
        record(&stored, Some(3)).unwrap(),
        r#"{"position":12,"guildId":"100","number":3,"aggregateType":"license","#.to_owned()
            + r#""aggregateId":"00000000-0000-0000-0000-00000000000c","sequence":1,"type":"license.revoked","#
            + r#""version":"1","recordedAt":"2027-01-15T08:00:00.012Z","payload":{"b": 1,  "a":"\u00e4"},"#
            + r#""metadata":{"id":"12","actor":"bot","correlationId":"c","causationId":"d"}}"#
    );
    let nobody = record(&event(1, None), None).unwrap();
    assert!(nobody.starts_with(r#"{"position":1,"aggregateType""#), "{nobody}");
    stored.metadata = "{".to_owned();
    assert!(record(&stored, Some(3)).is_err());
}

/// `docs/vectors/log.json`: a record, its leaf, and a signed checkpoint, for whoever writes a verifier. Never edited.
#[test]
fn the_published_vectors_hold() {
    let vectors: Value = serde_json::from_str(include_str!("../../../docs/vectors/log.json")).unwrap();
    for vector in vectors["leaves"].as_array().unwrap() {
        let text = vector["record"].as_str().unwrap();
        let parsed: Value = serde_json::from_str(text).unwrap();
        let stored = StoredEvent {
            position: parsed["position"].as_i64().unwrap(),
            stream: StreamId {
                kind: parsed["aggregateType"].as_str().unwrap().parse().unwrap(),
                id: parsed["aggregateId"].as_str().unwrap().into(),
            },
            sequence: parsed["sequence"].as_u64().unwrap(),
            event_type: parsed["type"].as_str().unwrap().to_owned(),
            event_version: parsed["version"].as_str().unwrap().to_owned(),
            payload: vector["payload"].as_str().unwrap().to_owned(),
            metadata: vector["metadata"].as_str().unwrap().to_owned(),
            guild: parsed["guildId"].as_str().map(|id| id.parse().unwrap()),
            recorded_at: parsed["recordedAt"].as_str().unwrap().parse().unwrap(),
        };
        assert_eq!(record(&stored, parsed["number"].as_u64()).unwrap(), text);
        assert_eq!(leaf_hash(text.as_bytes()).to_string(), vector["leaf"]);
    }
    let note = Note::new(vectors["checkpoint"]["note"].as_str().unwrap());
    assert_eq!(note.read().unwrap().text(), vectors["checkpoint"]["text"]);
    assert!(vectors["checkpoint"]["key"].as_str().unwrap().parse::<LogKey>().is_ok());
}

#[test]
fn a_checkpoint_is_read_as_it_was_signed() {
    let log = log("e1", 7);
    let text = log.note.as_str();
    assert!(text.starts_with("dca-auth/log/e1\n7\n"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("— dca-auth/log/e1 "), "{text}");
    assert_eq!(log.note.read().unwrap(), log.checkpoint);
    assert_eq!(log.note.open(&key("e1"), &verify).unwrap(), log.checkpoint);
    // Another signature beside ours, as a witness adds one, does no harm.
    let witnessed = Note::new(format!("{text}— witness.example/w1 AAAAAAAA\n"));
    assert_eq!(witnessed.open(&key("e1"), &verify).unwrap(), log.checkpoint);
}

#[test]
fn a_checkpoint_that_was_changed_is_refused() {
    let log = log("e1", 7);
    let open = |text: String| Note::new(text).open(&key("e1"), &verify).unwrap_err();
    let text = log.note.as_str();
    assert_eq!(open(text.replace("\n7\n", "\n8\n")), InvalidCheckpoint::Signature);
    assert!(matches!(open(text.replace("\n7\n", "\n07\n")), InvalidCheckpoint::Form(_)));
    assert!(matches!(open(text.replace("guilds", "guild")), InvalidCheckpoint::Form(_)));
    assert!(matches!(open(text.replace("\n\n", "\n")), InvalidCheckpoint::Form(_)));
    assert!(matches!(open(String::new()), InvalidCheckpoint::Form(_)));
    assert!(matches!(open(text.replace("— dca", "— dcb")), InvalidCheckpoint::OtherKey(_)));
    assert!(matches!(log.note.open(&key("e2"), &verify), Err(InvalidCheckpoint::OtherKey(_))));
    let other = LogKey { public: [8; 32], ..key("e1") };
    assert!(matches!(log.note.open(&other, &verify), Err(InvalidCheckpoint::OtherKey(_))));
}

#[test]
fn a_public_key_is_read_as_it_was_written() {
    let text = key("e1").to_string();
    assert_eq!(text.parse(), Ok(key("e1")));
    for wrong in [text.replace("e1", "e2"), text[..text.len() - 4].to_owned(), "x".to_owned(), String::new()]
    {
        assert!(wrong.parse::<LogKey>().is_err(), "{wrong}");
    }
}

#[test]
fn an_export_is_proved_by_itself() {
    for events in [1, 2, 3, 4, 50] {
        let log = log("e1", events.max(3));
        let checked = check(&log.export()).unwrap();
        assert_eq!((checked.events, checked.guild_id), (log.records.len() as u64, GUILD));
        assert_eq!((checked.checkpoint, checked.is_key_trusted), (log.checkpoint.size, false));
    }
    let checked = check_with(log("e1", 9).export().as_bytes(), Some(key("e1")), false).unwrap();
    assert!(checked.is_key_trusted);
}
