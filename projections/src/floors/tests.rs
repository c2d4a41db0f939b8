//! Floors: what they refuse, how they are dropped, and that no late fill slips under one.

use super::*;
use domain::id::Pseudonym;

fn user(n: u32) -> StreamId {
    let id: Pseudonym = format!("u_{n:0>26}").replace(['0', '1', '8', '9'], "a").parse().unwrap();
    StreamId::user(&id)
}

fn floors(keep: Duration, entries_max: usize) -> Floors {
    Floors::with_limits(Bus::memory(), keep, entries_max)
}

#[test]
fn a_fact_below_its_floor_is_not_used() {
    let floors = floors(FLOOR_KEPT, 10);
    let key = floors.key(&user(2));
    assert!(floors.allow_fill(key, 5, 5));
    floors.raise(&user(2), 7);
    assert!(!floors.allow_fill(key, 5, 9));
    assert!(!floors.allow_cached(key, 5, 9));
    assert!(floors.allow_fill(key, 7, 7));
    floors.raise(&user(2), 6);
    assert!(!floors.allow_fill(key, 6, 9), "a floor never sinks");
}

#[test]
fn a_dropped_floor_raises_the_low_water() {
    let floors = floors(Duration::ZERO, 10);
    let key = floors.key(&user(2));
    floors.raise(&user(2), 7);
    floors.tidy();
    assert!(floors.is_empty());
    assert_eq!(floors.low_water(), 7);
    assert!(!floors.allow_fill(key, 5, 6), "read before the event, whoever holds it");
    assert!(!floors.allow_cached(key, 5, 6));
    assert!(floors.allow_fill(key, 5, 7), "as of 7 nothing newer was there");
}

#[test]
fn an_overflow_drops_the_oldest_into_the_low_water() {
    let floors = floors(FLOOR_KEPT, 3);
    for n in 2..=6 {
        floors.raise(&user(n), i64::from(n) * 10);
    }
    assert_eq!(floors.len(), 3);
    assert_eq!(floors.low_water(), 30);
    assert!(!floors.allow_fill(floors.key(&user(2)), 1, 29));
    assert!(!floors.allow_cached(floors.key(&user(2)), 1, 19));
    assert!(!floors.allow_fill(floors.key(&user(6)), 59, 100));
}

#[test]
fn a_raised_floor_outlives_the_note_of_its_lower_value() {
    let floors = floors(FLOOR_KEPT, 2);
    floors.raise(&user(2), 1);
    floors.raise(&user(2), 5);
    floors.raise(&user(3), 6);
    assert_eq!(floors.low_water(), 1);
    assert!(!floors.allow_fill(floors.key(&user(2)), 4, 100));
}

#[test]
fn a_cached_fact_older_than_the_low_water_stays_if_nothing_happened_to_it() {
    let floors = floors(Duration::ZERO, 10);
    let quiet = floors.key(&user(2));
    floors.raise(&user(3), 50);
    floors.tidy();
    assert!(!floors.allow_fill(quiet, 1, 40));
    let shared = std::ptr::eq(floors.cell(quiet), floors.cell(floors.key(&user(3))));
    assert_eq!(floors.allow_cached(quiet, 1, 40), !shared);
    floors.distrust_before(60);
    assert!(!floors.allow_cached(quiet, 1, 40));
    assert!(floors.allow_cached(quiet, 1, 60));
}

#[test]
fn a_license_has_one_key_by_id_and_by_stream() {
    let floors = floors(FLOOR_KEPT, 10);
    let id: LicenseId = "8f14e45f-ceea-467f-9b2b-7c2f1a2f3c4d".parse().unwrap();
    assert_eq!(floors.key(&StreamId::license(id)), floors.license_key(id));
}

#[test]
fn an_advance_tells_the_bus() {
    let floors = floors(FLOOR_KEPT, 10);
    floors.advance(9);
    floors.advance(4);
    assert_eq!(floors.bus().head(), 9);
}
