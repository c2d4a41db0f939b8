//! Everything that somebody could do to an export, and that it is named.

use proptest::prelude::*;

use super::{KEY, Key, LogKey, OTHER, check, check_with, key, log};
use crate::merkle::{Frontier, leaf_hash};
use crate::proof::{Checkpoint, Fault, Note, line};

/// The lines of an export of 20 events, whose positions are 3, 6, … 60.
fn lines() -> Vec<String> {
    log("e1", 60).export().split_inclusive('\n').map(str::to_owned).collect()
}

fn faults(lines: &[String]) -> Vec<Fault> {
    check(&lines.concat()).unwrap_err()
}

#[test]
fn an_altered_event_is_named() {
    for number in [1, 7, 20] {
        let mut file = lines();
        file[number] = file[number].replace("fraud", "freud");
        let [fault] = &faults(&file)[..] else { panic!("one fault") };
        assert_eq!((fault.code(), fault.number()), ("altered", Some(number as u64)));
        assert_eq!(fault.position(), Some(3 * number as i64));
    }
}

#[test]
fn an_altered_number_position_or_guild_is_no_other_event() {
    for (from, to) in [("\"number\":7,", "\"number\":9,"), ("\"position\":21,", "\"position\":22,")] {
        let mut file = lines();
        file[7] = file[7].replace(from, to);
        let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
        assert_eq!((fault.code(), fault.number()), ("altered", Some(7)), "{to}");
    }
    for number in [7, 20] {
        let mut file = lines();
        file[number] = file[number].replace("\"guildId\":\"100\"", "\"guildId\":\"101\"");
        let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
        assert_eq!((fault.code(), fault.number()), ("altered", Some(number as u64)));
    }
    let mut file = lines();
    file[20] = file[20].replace("\"number\":20,", "\"number\":21,");
    assert_eq!(faults(&file)[0].number(), Some(20));
}

#[test]
fn an_altered_root_is_not_taken_for_an_altered_event() {
    for number in [1, 7, 20] {
        let mut file = lines();
        let at = file[number].rfind("=\"}").unwrap() - 5;
        let other = if &file[number][at..=at] == "A" { "B" } else { "A" };
        file[number].replace_range(at..=at, other);
        let [fault] = &faults(&file)[..] else { panic!("one fault") };
        assert_eq!((fault.code(), fault.number()), ("rootAltered", Some(number as u64)));
    }
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let mut file = lines();
    file[7] = "nothing\n".to_owned();
    let [fault] = &faults(&file)[..] else { panic!("one fault") };
    assert_eq!((fault.code(), fault.number(), fault.position()), ("unreadable", Some(7), Some(18)));
    // Another spelling of the same is not the same.
    let mut file = lines();
    file[7] = file[7].replace("{\"event\"", "{ \"event\"");
    assert_eq!(faults(&file)[0].code(), "unreadable");
}

#[test]
fn a_removed_event_is_named() {
    for number in [1, 7, 19] {
        let mut file = lines();
        file.remove(number);
        let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
        assert_eq!((fault.code(), fault.number()), ("removed", Some(number as u64)));
        assert_eq!(fault.position(), Some(3 * (number as i64 - 1)));
    }
}

#[test]
fn a_moved_event_is_named() {
    let mut file = lines();
    file.swap(7, 8);
    let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
    assert_eq!((fault.code(), fault.number(), fault.position()), ("moved", Some(7), Some(21)));
    let mut file = lines();
    let moved = file.remove(3);
    file.push(moved);
    let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
    assert_eq!((fault.code(), fault.number(), fault.position()), ("moved", Some(3), Some(9)));
    let mut file = lines();
    let again = file[5].clone();
    file.insert(6, again);
    let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
    assert_eq!((fault.code(), fault.number()), ("twice", Some(5)));
}

#[test]
fn a_tail_that_was_cut_off_is_named() {
    for kept in [0, 1, 12, 19] {
        let mut file = lines();
        file.truncate(kept + 1);
        let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
        assert_eq!(fault, &Fault::Truncated { from: kept as u64 + 1, to: 20, after: 3 * kept as i64 });
    }
    // Within a line; and only the line end.
    let whole = lines().concat();
    let found = check(&whole[..whole.len() - 10]).unwrap_err();
    assert_eq!(found[0], Fault::Cut { line: 21, after: 57 });
    assert_eq!(found[1], Fault::Truncated { from: 20, to: 20, after: 57 });
    assert_eq!(check(&whole[..whole.len() - 1]).unwrap_err(), [Fault::Cut { line: 21, after: 60 }]);
    assert_eq!(check("").unwrap_err()[0].code(), "header");
}

#[test]
fn an_event_of_another_guild_is_named() {
    let foreign = log("e1", 60).others.iter().find(|text| text.contains(&OTHER.to_string())).unwrap().clone();
    for at in [1, 7, 21] {
        let mut file = lines();
        file.insert(at, line(&foreign, leaf_hash(foreign.as_bytes())));
        let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
        assert_eq!((fault.code(), fault.position()), ("foreign", Some(1)), "{fault}");
    }
}

#[test]
fn an_event_that_was_added_is_named() {
    let mut file = lines();
    let more =
        file[20].replace("\"number\":20,", "\"number\":21,").replace("\"position\":60,", "\"position\":63,");
    file.push(more);
    let [fault] = &faults(&file)[..] else { panic!("one fault: {:?}", faults(&file)) };
    assert_eq!((fault.code(), fault.position()), ("surplus", Some(63)));
}

#[test]
fn a_file_that_was_rewritten_as_a_whole_does_not_meet_the_signed_root() {
    let mut log = log("e1", 60);
    log.records[6] = log.records[6].replace("fraud", "freud");
    assert_eq!(check(&log.export()).unwrap_err(), [Fault::Rewritten { last: 60 }]);
    // Nor does it help to change the root in the header.
    let mut tree = Frontier::default();
    log.records.iter().for_each(|text| tree.push(leaf_hash(text.as_bytes())));
    log.heads[0].root = tree.root();
    assert_eq!(check(&log.export()).unwrap_err(), [Fault::Head]);
}

#[test]
fn fewer_events_than_signed_cannot_be_claimed() {
    let mut log = log("e1", 60);
    log.records.truncate(10);
    log.heads[0].size = 10;
    let mut tree = Frontier::default();
    log.records.iter().for_each(|text| tree.push(leaf_hash(text.as_bytes())));
    log.heads[0].root = tree.root();
    assert_eq!(check(&log.export()).unwrap_err(), [Fault::Head]);
}

#[test]
fn a_wrong_signature_or_key_is_named() {
    let mut file = lines();
    file[0] = file[0].replace("\\n60\\n", "\\n61\\n");
    assert_eq!(faults(&file)[0].to_string(), "the checkpoint: its text was changed after it was signed");
    // Signed by somebody else, who puts his own key beside it.
    let mut log = log("e1", 60);
    let thief = Key([9; 32]);
    log.note = log.checkpoint.sign(&thief);
    let mut header = log.header();
    header.key = LogKey { name: Checkpoint::origin("e1"), public: thief.0 }.to_string();
    let forged = log.export().replacen(&log.header().line().unwrap(), &header.line().unwrap(), 1);
    assert!(check(&forged).unwrap().key_fingerprint != check(&lines().concat()).unwrap().key_fingerprint);
    let found = check_with(forged.as_bytes(), Some(key("e1")), false).unwrap_err();
    assert_eq!(found[0].code(), "otherKey");
    assert!(found[0].to_string().contains(&crate::proof::fingerprint(&KEY.0)), "{}", found[0]);
}

#[test]
fn a_checkpoint_of_another_epoch_is_named() {
    let (mut ours, restored) = (log("e1", 60), log("e2", 60));
    let whole = restored.export();
    assert_eq!(check_with(whole.as_bytes(), Some(key("e1")), false).unwrap_err()[0].code(), "otherEpoch");
    assert!(check_with(whole.as_bytes(), Some(key("e1")), true).is_ok(), "the key alone may be asked for");
    // A checkpoint of another epoch put into the header.
    let mut header = ours.header();
    header.checkpoint = restored.note.as_str().to_owned();
    let mixed = ours.export().replacen(&ours.header().line().unwrap(), &header.line().unwrap(), 1);
    let found = check(&mixed).unwrap_err();
    assert_eq!(found[0], Fault::OtherEpoch { found: "e2".to_owned(), wanted: "e1".to_owned() });
    ours.note = Note::new("nothing");
    assert_eq!(check(&ours.export()).unwrap_err()[0].code(), "checkpoint");
}

#[test]
fn a_line_of_another_form_is_refused_by_name() {
    let file = lines().concat().replacen("dca-auth-export/1", "dca-auth-export/2", 1);
    let found = check(&file).unwrap_err();
    assert!(found[0].to_string().contains("dca-auth-export/2"), "{}", found[0]);
}

proptest! {
    /// One byte of the file, any byte, into any other: the check names the line in which it stands.
    #[test]
    fn one_altered_byte_is_named(place in any::<prop::sample::Index>(), other in any::<u8>()) {
        let mut file = lines().concat().into_bytes();
        let at = place.index(file.len());
        prop_assume!(file[at] != other);
        let line = file[..at].iter().filter(|byte| **byte == b'\n').count();
        file[at] = other;
        let found = check_with(&file, Some(key("e1")), false).unwrap_err();
        if line > 0 {
            let named: Vec<_> = found.iter().filter_map(Fault::number).collect();
            let is_named = named.iter().any(|number| number.abs_diff(line as u64) <= 1);
            prop_assert!(is_named || found[0].code() == "cut", "line {line}: {found:?}");
        }
    }
}
