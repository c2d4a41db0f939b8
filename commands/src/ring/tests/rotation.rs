//! Adding and activating secrets, and a ring against what the database says.

use domain::ports::Mac as _;

use super::{MADE_AT, assert_gives_nothing_away, counted, known_ring, other_ring};
use crate::ring::{ActiveIds, KeyRing, LICENSE_SECRETS_MAX, List, RingError, RingMismatch, os_random};

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
    assert!(matches!(error, RingError::NoSuchSecret { list: List::License, id: 7, .. }));
    assert_eq!(
        error.to_string(),
        "the list `license` has no secret 7, only 0, 1: add one with `dca-auth keys add license`"
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
            matches!(&error, RingMismatch::MissingActive { list: at, id: lacks, .. } if (*at, *lacks) == (list, id))
        );
        let text = error.to_string();
        assert!(text.contains(&format!("secret {id} of the list `{list}`")), "{text}");
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
    let shown = format!("{ring:?} {ring:#?} {:?}", ring.list(List::License));
    assert!(shown.contains("172d382fca05a9e5"));
    assert_gives_nothing_away(&shown);
}
