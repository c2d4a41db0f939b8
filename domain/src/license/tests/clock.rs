//! What a license is at an instant: one function of stored state, holds and clock.

use super::*;

#[test]
fn the_status_is_one_function_of_state_holds_and_clock() {
    use Stage::{Absent, Activated, Active, Assigned, Generated, Renewed, Revoked};
    // stage, held, days past the end and its grace, status
    let table = [
        (Absent, false, None, None),
        (Generated, false, None, Some(Status::Generated)),
        (Assigned, false, Some(-1), Some(Status::Assigned)),
        (Activated, false, Some(-1), Some(Status::Activated)),
        (Active, false, Some(-1), Some(Status::Active)),
        (Renewed, false, None, Some(Status::Renewed)),
        (Generated, false, Some(0), Some(Status::Expired)),
        (Active, false, Some(1), Some(Status::Expired)),
        (Active, true, None, Some(Status::Suspended)),
        (Active, true, Some(1), Some(Status::Suspended)),
        (Revoked, false, None, Some(Status::Revoked)),
        (Revoked, true, Some(1), Some(Status::Revoked)),
    ];
    for (stage, held, past, expected) in table {
        let license = License {
            stage,
            holds: if held { vec![Hold::Policy] } else { vec![] },
            terms: terms(|terms| terms.expiry_grace = Some(Span::days(2))),
            expires_at: past.map(|days: i64| Timestamp(day(8).0 - Span::days(days).0)),
            ..License::default()
        };
        assert_eq!(license.status(day(10)), expected, "{stage:?} {held} {past:?}");
        let active = !matches!(expected, None | Some(Status::Suspended | Status::Expired | Status::Revoked));
        assert_eq!(license.is_active(day(10)), active);
    }
}

#[test]
fn status_names_are_those_of_the_wire() {
    use Status::{Activated, Active, Assigned, Expired, Generated, Renewed, Revoked, Suspended};
    for status in [Generated, Assigned, Activated, Active, Renewed, Suspended, Expired, Revoked] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for hold in [Hold::Admin, Hold::Policy, Hold::RoleLoss] {
        assert_eq!(serde_json::to_value(hold).unwrap(), hold.as_str());
    }
}

#[test]
fn the_grace_is_named_only_where_there_is_one() {
    let plain = license(&[generated(&thirty_days(|_| {}))]);
    assert_eq!((plain.expiry_instant(), plain.grace_ends_at()), (Some(day(30)), None));
    let graced = license(&[generated(&thirty_days(|terms| {
        terms.expiry_grace = Some(Span::days(5));
    }))]);
    assert_eq!((graced.expiry_instant(), graced.grace_ends_at()), (Some(day(35)), Some(day(35))));
    let perpetual = license(&[generated(&terms(|terms| {
        terms.expiry_grace = Some(Span::days(5));
    }))]);
    assert_eq!((perpetual.expiry_instant(), perpetual.grace_ends_at()), (None, None));
}

#[test]
fn a_slot_is_used_by_an_active_device_or_a_lease_and_once_by_both() {
    let given = [
        generated(&terms(|terms| terms.offline_lease_max = Some(Span::days(9)))),
        activated(1, "pc", START),
        activated(2, "laptop", START),
        leased(11, "pc", START, day(3)),
        leased(12, "laptop", START, day(5)),
        deactivated(2, "laptop", Authority::Staff, day(1)),
    ];
    let license = license(&given);
    assert_eq!(license.slots_used(day(1)), 2);
    assert_eq!(license.slots_used(Timestamp(day(5).0 - 1)), 2);
    assert_eq!(license.slots_used(day(5)), 1, "the lease has lapsed, recorded or not");
}

#[test]
fn the_next_due_instant_is_the_earliest_of_all() {
    let none = Some(Span::days(3));
    let perpetual = license(&[generated(&Terms::default())]);
    assert_eq!((License::default().next_due(none), perpetual.next_due(none)), (None, None));
    let mut given = vec![generated(&thirty_days(|terms| {
        terms.expiry_grace = Some(Span::days(5));
    }))];
    assert_eq!(license(&given).next_due(None), Some(day(35)));
    assert_eq!(license(&given).next_due(none), Some(day(27)));
    given.push(Event::RoleLossStarted { ends_at: day(20), at: day(1) });
    assert_eq!(license(&given).next_due(none), Some(day(20)));
    given.extend([activated(1, "pc", day(1)), leased(11, "pc", day(1), day(10))]);
    assert_eq!(license(&given).next_due(none), Some(day(10)));
    given.extend([lapsed(11, day(10)), Event::RoleLossEnded { at: day(11) }]);
    assert_eq!(license(&given).next_due(none), Some(day(27)));
    given.push(Event::ExpiryAnnounced { expires_at: day(30), at: day(27) });
    assert_eq!(license(&given).next_due(none), Some(day(35)));
    given.push(Event::Expired { at: day(35) });
    assert_eq!(license(&given).next_due(none), None);
    assert_eq!(license(&[given[0].clone(), revoked(day(1))]).next_due(none), None);
}

#[test]
fn an_announcement_longer_than_time_itself_is_due_at_its_beginning() {
    let license = license(&[generated(&thirty_days(|_| {}))]);
    assert_eq!(license.next_due(Some(Span(i64::MAX))), Some(Timestamp(0)));
}

#[test]
fn the_last_change_never_moves_backwards() {
    let given = [
        generated(&thirty_days(|_| {})),
        Event::Suspended { hold: Hold::Admin, at: day(33) },
        Event::Expired { at: day(30) },
    ];
    let license = license(&given);
    assert_eq!((license.updated_at, license.created_at, license.version), (day(33), START, 3));
}

#[test]
fn a_device_is_found_by_our_id_before_the_clients() {
    let ours = uuid(1).to_string();
    let license =
        license(&[generated(&Terms::default()), activated(2, &ours, START), activated(1, "pc", START)]);
    assert_eq!(license.device(&ours).map(|device| device.id), Some(uuid(1)));
    assert_eq!(license.device("pc").map(|device| device.id), Some(uuid(1)));
    assert_eq!(license.device(&uuid(2).to_string()).map(|device| device.id), Some(uuid(2)));
    assert_eq!(license.device("laptop"), None);
}
