//! Adding and activating secrets, and a ring against what the database says.

use domain::ports::{Mac as _, Purpose};

use super::{MADE_AT, assert_gives_nothing_away, counted, known_ring, other_ring};
use crate::ring::{
    ActiveIds, KeyRing, LICENSE_SECRETS_MAX, List, RingError, RingMismatch, SecretId, os_random,
};

fn added(ring: &KeyRing, list: List) -> (KeyRing, u32) {
    ring.with_added(list, MADE_AT, &mut os_random).unwrap()
}

#[test]
fn an_added_secret_is_known_and_not_active() {
    for list in List::ALL {
        let ring = known_ring();
        let (more, id) = added(&ring, list);
        assert_eq!(id, *ring.ids(list).last().unwrap() + 1);
        assert_eq!(more.ids(list).last(), Some(&id));
        assert_eq!(more.active_ids(), ring.active_ids());
        assert_eq!(more.fingerprint(), ring.fingerprint());
    }
}

#[test]
fn an_activated_secret_makes_new_tags_and_the_old_one_still_proves_old_tags() {
    let ring = known_ring();
    let (ring, id) = added(&ring, List::Cache);
    let old = ring.cache_mac(&[b"entry"]);
    let ring = ring.with_activated(List::Cache, id).unwrap();
    let new = ring.cache_mac(&[b"entry"]);
    assert_eq!((new.0, ring.cache_mac_under(id, &[b"entry"])), (id, Some(new.1)));
    assert_ne!(old.1, new.1);
    assert_eq!(ring.cache_mac_under(old.0, &[b"entry"]), Some(old.1));

    let ring = ring.with_activated(List::License, 1).unwrap();
    assert_eq!(ring.active_license_secret(), 1);
    assert!(ring.license_key_mac(0, &[b"key"]).is_some());
}

#[test]
fn a_secret_that_is_not_there_cannot_be_activated() {
    let error = known_ring().with_activated(List::License, 7).unwrap_err();
    let secret = SecretId { list: List::License, id: 7 };
    assert!(matches!(error, RingError::NoSuchSecret { secret: asked, .. } if asked == secret));
    assert_eq!(
        error.to_string(),
        "there is no secret `license-7`; the list `license` has 0, 1: add one with `dca-auth keys add --kind license`"
    );
}

#[test]
fn a_ring_has_at_most_32_license_key_secrets() {
    let mut ring = known_ring();
    while ring.ids(List::License).len() < LICENSE_SECRETS_MAX as usize {
        (ring, _) = added(&ring, List::License);
    }
    let error = ring.with_added(List::License, MADE_AT, &mut os_random).unwrap_err();
    assert!(error.to_string().starts_with("RING_FULL: the list `license` has had 32 secrets"), "{error}");
    assert!(ring.license_key_mac(31, &[b"key"]).is_some());
    assert!(ring.with_added(List::Encryption, MADE_AT, &mut os_random).is_ok());
}

#[test]
fn a_generator_that_fails_makes_no_ring() {
    let mut broken = |_: &mut [u8]| Err(RingError::NoRandomness("no entropy".to_owned()));
    assert!(KeyRing::generate(MADE_AT, &mut broken).is_err());
    assert!(known_ring().with_added(List::License, MADE_AT, &mut broken).is_err());
}

#[test]
fn two_rings_from_the_operating_system_are_different() {
    let ring = || KeyRing::generate(MADE_AT, &mut os_random).unwrap();
    assert_ne!(ring().fingerprint(), ring().fingerprint());
}

#[test]
fn a_new_database_takes_any_ring_and_a_known_one_its_own() {
    let ring = known_ring();
    assert_eq!(ring.check_against(None, None), Ok(()));
    assert_eq!(ring.check_against(Some(ring.fingerprint()), None), Ok(()));
    assert_eq!(ring.check_against(Some(ring.fingerprint()), Some(&ring.active_ids())), Ok(()));
}

#[test]
fn a_foreign_ring_is_refused_by_name() {
    let (ours, theirs) = (known_ring(), other_ring());
    let error = ours.check_against(Some(theirs.fingerprint()), Some(&theirs.active_ids())).unwrap_err();
    let (ring, database) = (ours.fingerprint().to_owned(), theirs.fingerprint().to_owned());
    assert_eq!(error, RingMismatch::OtherRoot { ring, database });
    let text = error.to_string();
    assert!(text.contains("172d382fca05a9e5") && text.contains(theirs.fingerprint()), "{text}");
    assert!(text.contains("DCA_KEYS_FILE"), "{text}");
    assert_gives_nothing_away(&text);
}

#[test]
fn a_ring_without_an_active_secret_is_refused_by_list_and_id() {
    let ring = known_ring();
    for list in List::ALL {
        let (newer, id) = added(&ring, list);
        let active = newer.with_activated(list, id).unwrap().active_ids();
        let error = ring.check_against(Some(ring.fingerprint()), Some(&active)).unwrap_err();
        assert!(
            matches!(&error, RingMismatch::MissingActive { secret, .. } if *secret == SecretId { list, id })
        );
        let text = error.to_string();
        assert!(text.contains(&format!("the secret `{list}-{id}`")), "{text}");
        assert!(text.contains("copy the key file"), "{text}");
    }
}

#[test]
fn the_database_says_which_secrets_are_active() {
    let (ring, id) = added(&known_ring(), List::Access);
    let active = ring.with_activated(List::Access, id).unwrap().active_ids();
    let followed = ring.with_active(&active).unwrap();
    assert_eq!(followed.active_ids(), active);
    assert!(known_ring().with_active(&active).is_err());
}

#[test]
fn whoever_holds_a_ring_sees_what_it_follows() {
    let ring = std::sync::Arc::new(known_ring());
    let held = std::sync::Arc::clone(&ring);
    let root_made = held.mac(Purpose::SubjectPepper, &[b"42"]);
    let (file, id) = added(&ring, List::License);
    assert_eq!(held.license_key_mac(2, &[b"key"]), None);
    assert!(ring.follow(&file, &ring.active_ids()).unwrap());
    assert_eq!((held.active(List::License), held.generation()), (0, 1));
    assert_eq!(held.license_key_mac(2, &[b"key"]), file.license_key_mac(2, &[b"key"]));
    assert!(held.license_key_mac(2, &[b"key"]).is_some());
    let active = file.with_activated(List::License, id).unwrap().active_ids();
    assert!(ring.follow(&file, &active).unwrap());
    assert_eq!((held.active_license_secret(), held.generation()), (2, 2));
    assert!(!ring.follow(&file, &active).unwrap(), "nothing new");
    assert_eq!(held.generation(), 2);
    assert_eq!(held.mac(Purpose::SubjectPepper, &[b"42"]), root_made);
}

#[test]
fn a_ring_that_follows_keeps_what_the_file_lost_and_takes_nothing_that_is_not_its_own() {
    let before = known_ring();
    let (ring, id) = added(&before, List::License);
    assert!(!ring.follow(&before, &ring.active_ids()).unwrap(), "an older file takes nothing away");
    assert_eq!(ring.ids(List::License), [0, 1, 2]);

    let (apart, _) = added(&before, List::License);
    let error = ring.follow(&apart, &ring.active_ids()).unwrap_err();
    assert!(
        matches!(&error, RingMismatch::OtherSecret { secret, .. } if *secret == SecretId { list: List::License, id })
    );
    assert!(error.to_string().contains("`license-2`"), "{error}");
    assert_gives_nothing_away(&error.to_string());

    assert!(matches!(ring.follow(&other_ring(), &ring.active_ids()), Err(RingMismatch::OtherRoot { .. })));
    let unknown = added(&added(&before, List::Cache).0, List::Cache).0;
    let active = unknown.with_activated(List::Cache, 2).unwrap().active_ids();
    let error = ring.follow(&before, &active).unwrap_err();
    assert!(error.to_string().contains("`cache-2`"), "{error}");
    assert_eq!(ring.generation(), 0);
}

#[test]
fn facts_about_secrets_name_each_and_give_none_away() {
    let ring = known_ring();
    let facts = ring.secrets();
    let ids: Vec<String> = facts.iter().map(|secret| secret.id.to_string()).collect();
    assert_eq!(ids[..3], ["license-0", "license-1", "encryption-0"]);
    assert!(facts[0].is_active && !facts[1].is_active);
    let different: std::collections::BTreeSet<&str> =
        facts.iter().map(|secret| secret.fingerprint.as_str()).collect();
    assert_eq!(different.len(), facts.len());
    assert_gives_nothing_away(&format!("{facts:?}"));
}

#[test]
fn a_secret_is_named_by_its_list_and_number() {
    let secret = SecretId { list: List::Certificate, id: 12 };
    assert_eq!("certificate-12".parse::<SecretId>().unwrap(), secret);
    for bad in ["", "license", "license-", "license-01", "license-x", "licence-1", "-1", "license--1"] {
        let error = bad.parse::<SecretId>().unwrap_err().to_string();
        assert!(error.contains("`license-1`") && error.contains("dca-auth keys list"), "{error}");
    }
}

#[test]
fn the_row_of_the_database_is_read_back_and_later_lists_are_passed_over() {
    let active = known_ring().active_ids();
    let text = serde_json::to_string(&active).unwrap();
    assert_eq!(text, r#"{"license":0,"encryption":0,"access":0,"response":0,"certificate":0,"cache":0}"#);
    assert_eq!(serde_json::from_str::<ActiveIds>(&text).unwrap(), active);
    let later = text.replace('}', r#","audit":3}"#);
    assert_eq!(serde_json::from_str::<ActiveIds>(&later).unwrap(), active);
}

#[test]
fn lists_are_named_on_the_command_line_as_in_the_file() {
    for list in List::ALL {
        assert_eq!(list.as_str().parse::<List>().unwrap(), list);
    }
    let error = "licence".parse::<List>().unwrap_err().to_string();
    assert!(error.contains("`licence`") && error.contains("license, encryption"), "{error}");
}

#[test]
fn nothing_shows_a_secret() {
    let ring = KeyRing::generate(MADE_AT, &mut counted()).unwrap();
    let shown = format!("{ring:?} {ring:#?} {:?}", *ring.list(List::License));
    assert!(shown.contains("172d382fca05a9e5"));
    assert_gives_nothing_away(&shown);
}
