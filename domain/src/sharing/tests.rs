//! Who is suspected and who is not: histories in hours, under the limits that nobody has changed unless a test says so.

use uuid::Uuid;

use super::*;
use crate::license::{Authority, Device};
use crate::testing::{TestRing, person};

const START: Timestamp = Timestamp(1_800_000_000_000);

fn hour(hours: i64) -> Timestamp {
    START.after(Span::hours(hours))
}

/// Limits of a guild that said nothing, for a license of so many devices at once.
fn limits(max_devices: Option<u32>) -> Limits {
    Limits::of(&Sharing::default(), &Terms { max_devices, ..Terms::default() })
}

fn activated_by(by: Authority, at: Timestamp, id: &str, board: &str, network: &str) -> Event {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let component = |hash| Component { name: "board".to_owned(), hash };
    let device = Device {
        id: Uuid::from_u128(1),
        device_id: id.to_owned(),
        name: None,
        components: given(board).map(component).into_iter().collect(),
        activated_at: at,
    };
    Event::DeviceActivated { device, by, network: given(network), expires_at: None }
}

fn activated(at: Timestamp, id: &str, board: &str, network: &str) -> Event {
    activated_by(Authority::Client, at, id, board, network)
}

fn freed_by(by: Authority, cause: DeactivationCause, at: Timestamp, id: &str) -> Event {
    Event::DeviceDeactivated { id: Uuid::from_u128(1), device_id: id.to_owned(), by, cause, at }
}

fn freed(at: Timestamp, id: &str) -> Event {
    freed_by(Authority::Client, DeactivationCause::Requested, at, id)
}

/// So many devices, one an hour from `from`, each from a network of its own, and each freed again.
fn handed_around(from: i64, count: i64) -> Vec<Event> {
    let one = |n: i64| {
        let (at, id) = (hour(from + n), format!("d{from}.{n}"));
        [activated(at, &id, &id, &id), freed(at, &id)]
    };
    (0..count).flat_map(one).collect()
}

/// What fires at the last activation.
fn at_last(history: &[Event], limits: &Limits) -> Vec<(Rule, u32, u32)> {
    let judged = history.iter().rposition(|event| matches!(event, Event::DeviceActivated { .. })).unwrap();
    let told = suspicions(history, judged, limits);
    assert!(told.iter().all(|suspicion| suspicion.evidence.window == limits.window));
    told.iter().map(|one| (one.rule, one.evidence.count, one.evidence.limit)).collect()
}

#[test]
fn an_owner_with_many_machines_is_not_suspected() {
    // Five new machines in a day, at home and at work; the laptop goes by train, and its program frees it at each end.
    let mut history = vec![
        activated(hour(0), "tower", "a", "home"),
        activated(hour(1), "old tower", "b", "home over IPv6"),
        activated(hour(2), "console", "c", "home"),
        activated(hour(9), "work", "d", "office"),
    ];
    for ride in 0..12 {
        history.push(activated(hour(10), "laptop", "e", &format!("mast {ride}")));
        history.push(freed(hour(11), "laptop"));
    }
    history.push(activated(hour(12), "laptop", "e", "hotel"));
    for max_devices in [None, Some(1), Some(2), Some(5)] {
        assert_eq!(at_last(&history, &limits(max_devices)), [], "{max_devices:?}");
    }
}

#[test]
fn two_machines_that_take_turns_all_day_are_not_suspected() {
    let turn = |n: i64| {
        let id = if n % 2 == 0 { "pc" } else { "laptop" };
        [activated(hour(n / 10), id, id, "home"), freed(hour(n / 10), id)]
    };
    let history: Vec<Event> = (0..100).flat_map(turn).collect();
    assert_eq!(at_last(&history, &limits(Some(1))), []);
}

#[test]
fn a_team_that_brings_in_every_device_that_it_has_paid_for_is_not_suspected() {
    for seats in [6, 20, 30] {
        let history: Vec<Event> = (0..seats)
            .map(|n| activated(hour(1), &format!("d{n}"), &format!("d{n}"), &format!("n{n}")))
            .collect();
        let seats = u32::try_from(seats).unwrap();
        assert_eq!(at_last(&history, &limits(Some(seats))), []);
        assert_eq!(at_last(&history, &limits(None)).len(), 2, "nobody paid for {seats}");
    }
}

#[test]
fn a_key_that_goes_around_is_suspected_at_the_first_device_too_many() {
    let history = handed_around(0, 6);
    let judged: Vec<usize> = (0..history.len()).filter(|n| n % 2 == 0).collect();
    for (number, judged) in judged.into_iter().enumerate() {
        let expected: &[Rule] = if number < 5 { &[] } else { &[Rule::Devices, Rule::Networks] };
        let rules: Vec<Rule> =
            suspicions(&history, judged, &limits(Some(1))).iter().map(|one| one.rule).collect();
        assert_eq!(rules, expected, "device {number}");
    }
    assert_eq!(at_last(&history, &limits(Some(2))), [(Rule::Devices, 6, 5), (Rule::Networks, 6, 5)]);
    // A limit of the guild is no lower than twice what the license allows at once.
    assert_eq!(at_last(&history, &limits(Some(3))), [(Rule::Networks, 6, 5)]);
}

#[test]
fn devices_are_told_apart_by_id_or_by_fingerprint() {
    let count = |history: Vec<Event>| at_last(&history, &limits(Some(1)));
    let many = |one: fn(i64) -> Event| (0..9).map(one).collect::<Vec<_>>();
    assert_eq!(count(many(|n| activated(hour(n), "same", &format!("b{n}"), ""))), [(Rule::Devices, 9, 5)]);
    assert_eq!(count(many(|n| activated(hour(n), &format!("d{n}"), "same", ""))), [(Rule::Devices, 9, 5)]);
    assert_eq!(count(many(|n| activated(hour(n), &format!("d{n}"), "", ""))), [(Rule::Devices, 9, 5)]);
    assert_eq!(count(many(|n| activated(hour(n), "same", "same", &format!("n{n}")))), []);
    assert_eq!(count(many(|n| activated(hour(n), "same", "", ""))), []);
}

#[test]
fn devices_that_take_turns_all_the_time_are_suspected() {
    let turn = |n: i64| {
        let id = format!("d{}", n % 3);
        [activated(hour(n / 2), &id, "", ""), freed(hour(n / 2), &id)]
    };
    let history: Vec<Event> = (0..16).flat_map(turn).collect();
    assert_eq!(at_last(&history, &limits(Some(1))), [(Rule::Churn, 31, 30)]);
    assert_eq!(at_last(&history, &limits(Some(3))), [], "three devices that may be active at once");
    let reset = |by| Event::DevicesReset {
        by,
        cause: DeactivationCause::Requested,
        ids: vec![Uuid::nil(); 2],
        at: hour(7),
    };
    let with = |event: Event| [vec![event], history.clone()].concat();
    assert_eq!(at_last(&with(reset(Authority::Owner)), &limits(Some(1))), [(Rule::Churn, 33, 30)]);
    assert_eq!(at_last(&with(reset(Authority::Staff)), &limits(Some(1))), [(Rule::Churn, 31, 30)]);
}

#[test]
fn what_left_the_window_does_not_count() {
    let late = activated(hour(24), "late", "late", "late");
    let six = [handed_around(0, 5), vec![late.clone()]].concat();
    assert_eq!(at_last(&six, &limits(Some(1))), [], "the first is a whole day old");
    let six = [handed_around(1, 5), vec![late]].concat();
    assert_eq!(at_last(&six, &limits(Some(1))).len(), 2);
}

#[test]
fn staff_and_jobs_are_not_counted() {
    let by_staff = |n: i64| activated_by(Authority::Staff, hour(n), &format!("s{n}"), "", &format!("s{n}"));
    let history: Vec<Event> = (0..9).map(by_staff).collect();
    assert_eq!(at_last(&history, &limits(Some(1))), []);
    let history = [history, handed_around(0, 5)].concat();
    assert_eq!(at_last(&history, &limits(Some(1))), []);
    let free = |(by, cause)| freed_by(by, cause, hour(5), "d");
    let freed = [
        (Authority::Staff, DeactivationCause::Requested),
        (Authority::Job, DeactivationCause::Inactive),
        (Authority::Owner, DeactivationCause::Transfer),
    ];
    let freed: Vec<Event> = freed.into_iter().cycle().take(60).map(free).collect();
    assert_eq!(at_last(&[freed, handed_around(0, 5)].concat(), &limits(Some(1))), []);
}

fn told(rule: Rule, at: Timestamp) -> Event {
    Event::SharingSuspected { rule: rule.as_str().to_owned(), evidence: String::new(), at }
}

#[test]
fn a_rule_fires_once_in_a_window() {
    let limits = limits(Some(1));
    let mut history = handed_around(0, 6);
    history.push(told(Rule::Devices, hour(6)));
    assert_eq!(at_last(&history, &limits), [(Rule::Networks, 6, 5)], "each rule by itself");
    history.push(told(Rule::Networks, hour(6)));
    assert_eq!(at_last(&history, &limits), [], "looked at again");
    history.extend(handed_around(7, 9));
    assert_eq!(at_last(&history, &limits), []);
    let last = activated(Timestamp(hour(30).0 - 1), "x", "x", "x");
    assert_eq!(at_last(&[history.clone(), vec![last]].concat(), &limits), []);
    let last = activated(hour(30), "x", "x", "x");
    assert_eq!(at_last(&[history, vec![last]].concat(), &limits).len(), 2, "the next window");
}

#[test]
fn after_staff_have_looked_the_window_begins_anew() {
    let limits = limits(Some(1));
    let hold = |hold| [Event::Suspended { hold, at: hour(6) }, Event::Resumed { hold, at: hour(7) }];
    let handed_on = Event::Transferred { from: None, to: person(2), at: hour(7) };
    for looked in [hold(Hold::Policy).to_vec(), hold(Hold::Admin).to_vec(), vec![handed_on]] {
        let mut history = [handed_around(0, 6), vec![told(Rule::Devices, hour(6))], looked].concat();
        let judged = history.iter().position(|event| event.at() == hour(5)).unwrap();
        assert_eq!(suspicions(&history, judged, &limits), [], "what was before is not judged again");
        history.extend(handed_around(8, 5));
        assert_eq!(at_last(&history, &limits), [], "and counts no more");
        history.extend(handed_around(13, 1));
        assert_eq!(at_last(&history, &limits).len(), 2, "though what comes then does, at once");
    }
    let back = [handed_around(0, 5), hold(Hold::RoleLoss).to_vec(), handed_around(8, 1)].concat();
    assert_eq!(at_last(&back, &limits).len(), 2, "a role that comes back is nobody's judgement");
}

#[test]
fn nothing_but_activations_is_judged() {
    let history = handed_around(0, 9);
    assert_eq!(suspicions(&history, history.len() - 1, &limits(Some(1))), []);
    assert_eq!(suspicions(&history, history.len(), &limits(Some(1))), []);
    assert_eq!(suspicions(&[], 0, &limits(Some(1))), []);
}

#[test]
fn a_guild_sets_limits_and_window() {
    let sharing = Sharing {
        devices: Some(2),
        networks: Some(1),
        churn: Some(3),
        window: Some(Span::hours(3)),
        ..Sharing::default()
    };
    let limits = Limits::of(&sharing, &Terms { max_devices: Some(1), ..Terms::default() });
    let expected = [(Rule::Devices, 3, 2), (Rule::Networks, 3, 1)];
    assert_eq!(at_last(&handed_around(0, 3), &limits), expected);
    assert_eq!(at_last(&handed_around(0, 9), &limits), expected, "three hours hold three");
    let none = Limits::of(&Sharing { churn: Some(3), ..Sharing::default() }, &Terms::default());
    assert_eq!(at_last(&handed_around(0, 3), &none), [(Rule::Churn, 5, 3)]);
}

#[test]
fn evidence_is_read_as_it_is_written() {
    let evidence = Evidence { count: 9, limit: 5, window: WINDOW };
    assert_eq!(evidence.to_string(), r#"{"count":9,"limit":5,"window":"P1D"}"#);
    assert_eq!(Evidence::read(&evidence.to_string()), Some(evidence));
    assert_eq!(Evidence::read(r#"{"addresses":14,"windowMinutes":60}"#), None);
}

#[test]
fn networks_cannot_be_linked_across_licenses_nor_tried_as_components() {
    let ring = TestRing::default();
    let id = |n| LicenseId(Uuid::from_u128(n));
    let hash = network_hash(&ring, id(1), "203.0.113.0/24");
    assert_eq!(hash, network_hash(&ring, id(1), "203.0.113.0/24"));
    assert_ne!(hash, network_hash(&ring, id(2), "203.0.113.0/24"));
    assert_ne!(hash, network_hash(&ring, id(1), "203.0.114.0/24"));
    assert_ne!(hash, Component::hashed(&ring, id(1), "network", "203.0.113.0/24").hash);
    assert_eq!(hash.len(), 22);
}
