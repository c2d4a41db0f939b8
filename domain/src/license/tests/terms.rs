//! Changing the terms of one license.

use super::*;

fn change(
    terms: Terms,
    expires_at: Option<Option<Timestamp>>,
    has_reason: bool,
    deactivate: &[&str],
) -> Action {
    let deactivate = deactivate.iter().map(|&name| name.to_owned()).collect();
    Action::ChangeTerms { terms: Box::new(terms), expires_at, has_reason, deactivate }
}

fn changed(terms: Terms, expires_at: Option<Timestamp>, at: Timestamp) -> Event {
    Event::TermsChanged { terms, expires_at, at }
}

fn max(limit: u32) -> Terms {
    terms(|terms| terms.max_devices = Some(limit))
}

fn freed(number: u128, device_id: &str, at: Timestamp) -> Event {
    let (by, cause) = (Authority::Staff, DeactivationCause::TermsChanged);
    Event::DeviceDeactivated { id: uuid(number), device_id: device_id.to_owned(), by, cause, at }
}

/// Three slots in use of five: `a` and `b` active, `c` and `b` leased until day 5.
fn three_of_five() -> Vec<Event> {
    let terms = terms(|terms| {
        terms.max_devices = Some(5);
        terms.offline_lease_max = Some(Span::days(9));
    });
    vec![
        generated(&terms),
        activated(1, "a", START),
        activated(2, "b", START),
        activated(3, "c", START),
        leased(12, "b", START, day(5)),
        leased(13, "c", START, day(5)),
        deactivated(3, "c", Authority::Staff, START),
    ]
}

#[test]
fn the_same_terms_change_nothing() {
    let given = [generated(&thirty_days(|_| {}))];
    when(&given, day(1), change(thirty_days(|_| {}), None, false, &[])).then_expect_events(vec![]);
    when(&given, day(1), change(thirty_days(|_| {}), Some(Some(day(30))), false, &[]))
        .then_expect_events(vec![]);
}

#[test]
fn a_limit_at_the_use_is_accepted_and_frees_nothing() {
    when(&three_of_five(), day(1), change(max(3), None, false, &["a"])).then_expect_events(vec![changed(
        max(3),
        None,
        day(1),
    )]);
}

#[test]
fn a_limit_below_the_use_is_refused() {
    when(&three_of_five(), day(1), change(max(2), None, false, &[]))
        .then_expect_error(Refusal::DevicesInUse { used: 3, limit: 2 });
    when(&three_of_five(), day(1), change(max(1), None, false, &["a"]))
        .then_expect_error(Refusal::DevicesInUse { used: 2, limit: 1 });
}

#[test]
fn a_limit_below_the_use_is_accepted_with_the_devices_that_it_costs() {
    when(&three_of_five(), day(1), change(max(2), None, false, &["a", "a", "unknown"]))
        .then_expect_events(vec![freed(1, "a", day(1)), changed(max(2), None, day(1))]);
    let after = after(&three_of_five(), day(1), change(max(2), None, false, &["a"]));
    assert_eq!(after.slots_used(day(1)), 2);
    assert!(after.ledger.resets.is_empty(), "changed terms are no reset");
}

#[test]
fn a_leased_device_cannot_pay_for_a_lower_limit_until_its_lease_lapses() {
    when(&three_of_five(), day(1), change(max(2), None, false, &["b"]))
        .then_expect_error(Refusal::DevicesInUse { used: 3, limit: 2 });
    when(&three_of_five(), day(5), change(max(1), None, false, &["b"])).then_expect_events(vec![
        lapsed(12, day(5)),
        lapsed(13, day(5)),
        freed(2, "b", day(5)),
        changed(max(1), None, day(5)),
    ]);
}

#[test]
fn an_earlier_end_needs_a_reason() {
    let given = [generated(&thirty_days(|_| {}))];
    let same = || thirty_days(|_| {});
    let earlier = Some(Some(day(20)));
    when(&given, day(1), change(same(), earlier, false, &[])).then_expect_error(Refusal::ReasonRequired);
    when(&given, day(1), change(same(), earlier, true, &[])).then_expect_events(vec![changed(
        same(),
        Some(day(20)),
        day(1),
    )]);
    when(&given, day(1), change(same(), Some(Some(day(40))), false, &[])).then_expect_events(vec![changed(
        same(),
        Some(day(40)),
        day(1),
    )]);
}

#[test]
fn a_perpetual_license_gets_an_end_only_for_a_reason() {
    let given = [generated(&Terms::default())];
    let end = || Some(Some(day(20)));
    when(&given, day(1), change(Terms::default(), end(), false, &[]))
        .then_expect_error(Refusal::ReasonRequired);
    when(&given, day(1), change(Terms::default(), end(), true, &[])).then_expect_events(vec![changed(
        Terms::default(),
        Some(day(20)),
        day(1),
    )]);
    let waiting = || thirty_days(|terms| terms.expiry_basis = ExpiryBasis::FirstActivation);
    when(&given, day(1), change(waiting(), None, false, &[])).then_expect_error(Refusal::ReasonRequired);
    when(&given, day(1), change(waiting(), None, true, &[])).then_expect_events(vec![changed(
        waiting(),
        None,
        day(1),
    )]);
}

#[test]
fn a_license_can_be_made_perpetual_and_loses_its_duration() {
    let given = [generated(&thirty_days(|_| {}))];
    when(&given, day(1), change(thirty_days(|_| {}), Some(None), false, &[]))
        .then_expect_events(vec![changed(Terms::default(), None, day(1))]);
    let forever = after(&given, day(1), change(thirty_days(|_| {}), Some(None), false, &[]));
    assert_eq!(
        forever.decide(&Command { now: day(2), action: renew(RenewTo::Default) }),
        Err(Refusal::NotExpiring)
    );
}

#[test]
fn a_clock_that_is_to_wait_no_more_starts_with_the_change() {
    let given = [generated(&thirty_days(|terms| {
        terms.expiry_basis = ExpiryBasis::FirstActivation;
    }))];
    when(&given, day(5), change(thirty_days(|_| {}), None, false, &[])).then_expect_events(vec![changed(
        thirty_days(|_| {}),
        Some(day(35)),
        day(5),
    )]);
    when(&given, day(5), change(Terms::default(), None, false, &[])).then_expect_events(vec![changed(
        Terms::default(),
        None,
        day(5),
    )]);
}

#[test]
fn the_clock_of_a_used_license_never_waits_again() {
    let given = [generated(&Terms::default()), activated(1, "pc", START)];
    let basis = || thirty_days(|terms| terms.expiry_basis = ExpiryBasis::FirstActivation);
    let changed = after(&given, day(1), change(basis(), None, false, &[]));
    assert_eq!(changed.expires_at, None);
    let action = Action::RecordFirstValidation { validated_at: day(2) };
    let events = changed.decide(&Command { now: day(2), action });
    assert_eq!(events, Ok(vec![Event::BecameActive { at: day(2), expires_at: None }]));
}

#[test]
fn a_later_end_brings_an_expired_license_back() {
    let given = [generated(&thirty_days(|_| {}))];
    let action = change(thirty_days(|_| {}), Some(Some(day(60))), false, &[]);
    when(&given, day(40), action.clone()).then_expect_events(vec![
        Event::Expired { at: day(30) },
        changed(thirty_days(|_| {}), Some(day(60)), day(40)),
    ]);
    let back = after(&given, day(40), action);
    assert_eq!(back.status(day(40)), Some(Status::Generated));
    assert_eq!(back.next_due(None), Some(day(60)));
}

#[test]
fn an_expired_license_that_stays_expired_is_not_recorded_twice() {
    let longer = || thirty_days(|terms| terms.expiry_grace = Some(Span::days(2)));
    let given = [
        generated(&thirty_days(|_| {})),
        Event::Expired { at: day(30) },
        changed(longer(), Some(day(30)), day(40)),
    ];
    when(&given, day(41), settle()).then_expect_events(vec![]);
}
