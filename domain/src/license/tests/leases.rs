//! Offline licenses.

use super::*;
use crate::device::DeviceMatch;

fn given(change: impl FnOnce(&mut Terms)) -> Vec<Event> {
    let terms = terms(|terms| {
        terms.max_devices = Some(1);
        terms.offline_lease_max = Some(Span::days(7));
        change(terms);
    });
    vec![generated(&terms), activated(1, "pc", START)]
}

#[test]
fn a_lease_lasts_as_long_as_the_terms_allow_or_as_asked() {
    when(&given(|_| {}), day(1), issue_lease(11, "pc", None)).then_expect_events(vec![leased(
        11,
        "pc",
        day(1),
        day(8),
    )]);
    when(&given(|_| {}), day(1), issue_lease(11, "pc", Some(Span::days(2))))
        .then_expect_events(vec![leased(11, "pc", day(1), day(3))]);
    when(&given(|_| {}), day(1), issue_lease(11, "pc", Some(Span::days(20))))
        .then_expect_events(vec![leased(11, "pc", day(1), day(8))]);
}

#[test]
fn a_lease_never_outlasts_the_end_and_its_grace() {
    let given = given(|terms| {
        terms.duration = Some(Span::days(30));
        terms.expiry_grace = Some(Span::days(2));
    });
    when(&given, day(29), issue_lease(11, "pc", None)).then_expect_events(vec![leased(
        11,
        "pc",
        day(29),
        day(32),
    )]);
    when(&given, day(31), issue_lease(11, "pc", None)).then_expect_events(vec![leased(
        11,
        "pc",
        day(31),
        day(32),
    )]);
}

#[test]
fn a_lease_of_an_active_device_takes_no_second_slot() {
    let license = after(&given(|_| {}), day(1), issue_lease(11, "pc", None));
    assert_eq!(license.slots_used(day(1)), 1);
}

#[test]
fn a_device_that_is_not_active_gets_no_lease() {
    when(&given(|_| {}), day(1), issue_lease(11, "laptop", None))
        .then_expect_error(Refusal::DeviceNotActivated);
}

#[test]
fn terms_without_offline_licenses_allow_none() {
    let given = given(|terms| terms.offline_lease_max = None);
    when(&given, day(1), issue_lease(11, "pc", None)).then_expect_error(Refusal::OfflineNotAllowed);
}

#[test]
fn a_lease_is_refused_wherever_an_activation_would_be() {
    let held = [given(|_| {}), vec![Event::Suspended { hold: Hold::Admin, at: START }]].concat();
    when(&held, day(1), issue_lease(11, "pc", None))
        .then_expect_error(Refusal::Suspended { hold: Hold::Admin });
    let banned = Action::IssueLease { id: uuid(11), claim: claim("pc"), ttl: None, owner_banned: true };
    when(&given(|_| {}), day(1), banned).then_expect_error(Refusal::UserBanned);
}

#[test]
fn the_owner_names_the_device_by_its_id_and_a_program_by_its_components_too() {
    let terms = terms(|terms| {
        terms.offline_lease_max = Some(Span::days(7));
        terms.device_match = DeviceMatch::All;
    });
    let device = Device { components: vec![component("cpu", "1")], ..device(1, "pc", START) };
    let given = [
        generated(&terms),
        Event::DeviceActivated { device, by: Authority::Client, network: None, expires_at: None },
    ];
    let asked = |device_id: &str, components: Vec<Component>| Action::IssueLease {
        id: uuid(11),
        claim: DeviceClaim { device_id: device_id.to_owned(), components },
        ttl: None,
        owner_banned: false,
    };
    let expected = || vec![leased(11, "pc", day(1), day(8))];
    when(&given, day(1), asked("pc", vec![])).then_expect_events(expected());
    when(&given, day(1), asked("reinstalled", vec![component("cpu", "1")])).then_expect_events(expected());
    when(&given, day(1), asked("pc", vec![component("cpu", "2")]))
        .then_expect_error(Refusal::ComponentsMismatch);
    when(&given, day(1), asked("laptop", vec![])).then_expect_error(Refusal::DeviceNotActivated);
}

#[test]
fn a_longer_lease_of_a_device_covers_the_shorter_one() {
    let given = [given(|_| {}), vec![leased(11, "pc", START, day(7))]].concat();
    let longer = after(&given, day(1), issue_lease(12, "pc", None));
    assert_eq!(longer.ledger.leases, [lease(12, "pc", day(8))]);
    let shorter = after(&given, day(1), issue_lease(12, "pc", Some(Span::days(1))));
    assert_eq!(shorter.ledger.leases, [lease(11, "pc", day(7)), lease(12, "pc", day(2))]);
}

#[test]
fn a_lease_can_be_taken_back_before_it_lapses() {
    let given = [given(|_| {}), vec![leased(11, "pc", START, day(7))]].concat();
    let action = Action::ReleaseLease { id: uuid(11) };
    let released = Event::OfflineLeaseReleased { id: uuid(11), lapsed: false, at: day(1) };
    when(&given, day(1), action.clone()).then_expect_events(vec![released]);
    assert!(after(&given, day(1), action).ledger.leases.is_empty());
}

#[test]
fn a_lapsed_or_unknown_lease_cannot_be_taken_back() {
    let given = [given(|_| {}), vec![leased(11, "pc", START, day(7))]].concat();
    when(&given, day(1), Action::ReleaseLease { id: uuid(12) }).then_expect_error(Refusal::LeaseNotFound);
    when(&given, day(7), Action::ReleaseLease { id: uuid(11) }).then_expect_error(Refusal::LeaseNotFound);
}

#[test]
fn a_lapse_is_recorded_once_at_its_exact_instant() {
    let given = [given(|_| {}), vec![leased(11, "pc", START, day(7))]].concat();
    when(&given, Timestamp(day(7).0 - 1), settle()).then_expect_events(vec![]);
    when(&given, day(9), settle()).then_expect_events(vec![lapsed(11, day(7))]);
    let given = [given, vec![lapsed(11, day(7))]].concat();
    when(&given, day(9), settle()).then_expect_events(vec![]);
}
