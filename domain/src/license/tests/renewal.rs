//! The end by the clock, and moving it.

use super::*;

fn expired(at: Timestamp) -> Event {
    Event::Expired { at }
}

fn with_grace() -> Vec<Event> {
    vec![generated(&thirty_days(|terms| {
        terms.expiry_grace = Some(Span::days(5));
    }))]
}

#[test]
fn the_first_command_after_the_end_records_it_at_its_exact_instant() {
    let given = [generated(&thirty_days(|_| {})), assigned(START)];
    let suspended = Event::Suspended { hold: Hold::Admin, at: day(33) };
    when(&given, day(33), Action::Suspend { hold: Hold::Admin })
        .then_expect_events(vec![expired(day(30)), suspended]);
}

#[test]
fn the_end_is_recorded_after_the_grace_and_not_before() {
    let just_before = Timestamp(day(35).0 - 1);
    when(&with_grace(), just_before, settle()).then_expect_events(vec![]);
    when(&with_grace(), day(35), settle()).then_expect_events(vec![expired(day(35))]);
}

#[test]
fn the_end_is_recorded_once() {
    let given = [with_grace(), vec![expired(day(35))]].concat();
    when(&given, day(36), settle()).then_expect_events(vec![]);
    assert_eq!(license(&given).status(day(36)), Some(Status::Expired));
}

#[test]
fn a_refused_command_records_no_end() {
    let error = when(&with_grace(), day(40), activate(1, "pc")).inspect_result();
    assert_eq!(error, Err(Refusal::Expired { at: day(35) }));
}

#[test]
fn a_command_that_changes_nothing_records_the_end_all_the_same() {
    let held = [with_grace(), vec![Event::Suspended { hold: Hold::Admin, at: day(1) }]].concat();
    when(&held, day(40), Action::Suspend { hold: Hold::Admin }).then_expect_events(vec![expired(day(35))]);
}

#[test]
fn the_end_is_recorded_while_held_and_never_after_the_revocation() {
    let held = [with_grace(), vec![Event::Suspended { hold: Hold::Admin, at: day(1) }]].concat();
    when(&held, day(40), settle()).then_expect_events(vec![expired(day(35))]);
    let gone = [with_grace(), vec![revoked(day(1))]].concat();
    let error = Refusal::Revoked { category: RevokeCategory::Manual };
    when(&gone, day(40), settle()).then_expect_error(error);
}

#[test]
fn lapses_and_the_end_are_recorded_in_time_order() {
    let given = [
        vec![generated(&thirty_days(|terms| {
            terms.offline_lease_max = Some(Span::days(90));
        }))],
        vec![
            activated(1, "pc", START),
            leased(11, "pc", day(1), day(30)),
            activated(2, "laptop", START),
            leased(12, "laptop", day(1), day(4)),
        ],
    ]
    .concat();
    when(&given, day(40), settle()).then_expect_events(vec![
        lapsed(12, day(4)),
        lapsed(11, day(30)),
        expired(day(30)),
    ]);
}

#[test]
fn a_near_end_is_announced_once() {
    let given = vec![generated(&thirty_days(|_| {}))];
    let action = Action::Settle { announce_ahead: Some(Span::days(3)) };
    when(&given, Timestamp(day(27).0 - 1), action.clone()).then_expect_events(vec![]);
    let announced = Event::ExpiryAnnounced { expires_at: day(30), at: day(27) };
    when(&given, day(27), action.clone()).then_expect_events(vec![announced.clone()]);
    when(&given, day(27), settle()).then_expect_events(vec![]);
    let given = [given, vec![announced]].concat();
    when(&given, day(28), action).then_expect_events(vec![]);
}

#[test]
fn an_end_that_is_over_is_announced_no_more() {
    let given = [generated(&thirty_days(|_| {}))];
    let action = Action::Settle { announce_ahead: Some(Span::days(3)) };
    when(&given, day(31), action).then_expect_events(vec![expired(day(30))]);
}

#[test]
fn a_new_end_is_announced_anew() {
    let given = [
        generated(&thirty_days(|_| {})),
        Event::ExpiryAnnounced { expires_at: day(30), at: day(27) },
        renewed(day(60), day(28)),
    ];
    let announced = Event::ExpiryAnnounced { expires_at: day(60), at: day(58) };
    let action = Action::Settle { announce_ahead: Some(Span::days(3)) };
    when(&given, day(58), action).then_expect_events(vec![announced]);
}

#[test]
fn a_renewal_before_the_end_adds_to_the_end() {
    let given = [generated(&thirty_days(|_| {})), assigned(START)];
    when(&given, day(10), renew(RenewTo::Default)).then_expect_events(vec![renewed(day(60), day(10))]);
    when(&given, day(10), renew(RenewTo::For(Span::days(1))))
        .then_expect_events(vec![renewed(day(31), day(10))]);
    when(&given, day(10), renew(RenewTo::Until(day(90)))).then_expect_events(vec![renewed(day(90), day(10))]);
    assert_eq!(after(&given, day(10), renew(RenewTo::Default)).status(day(10)), Some(Status::Assigned));
}

#[test]
fn a_renewal_inside_the_grace_adds_to_the_end_as_well() {
    let now = Timestamp(day(35).0 - 1);
    when(&with_grace(), now, renew(RenewTo::Default)).then_expect_events(vec![renewed(day(60), now)]);
    assert_eq!(after(&with_grace(), now, renew(RenewTo::Default)).status(now), Some(Status::Generated));
}

#[test]
fn a_renewal_after_the_grace_counts_from_now_and_brings_the_license_back() {
    when(&with_grace(), day(35), renew(RenewTo::Default))
        .then_expect_events(vec![expired(day(35)), renewed(day(65), day(35))]);
    let back = after(&with_grace(), day(35), renew(RenewTo::Default));
    assert_eq!(back.status(day(35)), Some(Status::Renewed));
    assert!(!back.expired_recorded);
}

#[test]
fn a_license_that_the_job_recorded_as_expired_comes_back_the_same_way() {
    let given = [with_grace(), vec![expired(day(35))]].concat();
    when(&given, day(50), renew(RenewTo::Default)).then_expect_events(vec![renewed(day(80), day(50))]);
    assert_eq!(after(&given, day(50), renew(RenewTo::Default)).status(day(50)), Some(Status::Renewed));
}

#[test]
fn holds_stay_on_a_renewed_license() {
    let given = [with_grace(), vec![Event::Suspended { hold: Hold::RoleLoss, at: day(1) }]].concat();
    let renewed = after(&given, day(50), renew(RenewTo::Default));
    assert_eq!(renewed.holds, [Hold::RoleLoss]);
    assert_eq!(renewed.status(day(50)), Some(Status::Suspended));
    assert_eq!(after_resume(renewed).status(day(50)), Some(Status::Renewed));
}

fn after_resume(mut license: License) -> License {
    license.evolve(&Event::Resumed { hold: Hold::RoleLoss, at: day(50) });
    license
}

#[test]
fn the_payment_behind_a_renewal_is_sealed() {
    let given = [generated(&thirty_days(|_| {}))];
    let action = Action::Renew { to: RenewTo::Default, external_ref: Some("pi_1".to_owned()) };
    let external_ref = Some(Private::of_guild(GUILD, "pi_1"));
    when(&given, day(1), action).then_expect_events(vec![Event::Renewed {
        expires_at: day(60),
        external_ref,
        at: day(1),
    }]);
}

#[test]
fn a_renewal_to_the_present_end_changes_nothing() {
    let given = [generated(&thirty_days(|_| {}))];
    when(&given, day(1), renew(RenewTo::Until(day(30)))).then_expect_events(vec![]);
    when(&given, day(1), renew(RenewTo::For(Span::ZERO))).then_expect_events(vec![]);
}

#[test]
fn a_renewal_never_shortens() {
    let given = [generated(&thirty_days(|_| {}))];
    when(&given, day(1), renew(RenewTo::Until(day(29))))
        .then_expect_error(Refusal::ExpiryBackwards { asked: day(29), earliest: day(30) });
    when(&given, day(40), renew(RenewTo::Until(day(39))))
        .then_expect_error(Refusal::ExpiryBackwards { asked: day(39), earliest: day(40) });
}

#[test]
fn a_perpetual_license_cannot_be_renewed() {
    when(&[generated(&Terms::default())], day(1), renew(RenewTo::Default))
        .then_expect_error(Refusal::NotExpiring);
    let until = renew(RenewTo::Until(day(9)));
    when(&[generated(&Terms::default())], day(1), until).then_expect_error(Refusal::NotExpiring);
}

#[test]
fn a_license_whose_clock_waits_cannot_be_renewed() {
    let given = [generated(&thirty_days(|terms| {
        terms.expiry_basis = ExpiryBasis::FirstActivation;
    }))];
    for to in [RenewTo::Default, RenewTo::For(Span::days(1)), RenewTo::Until(day(60))] {
        when(&given, day(1), renew(to)).then_expect_error(Refusal::NotStarted);
    }
}

#[test]
fn a_license_without_duration_is_renewed_only_for_a_named_time() {
    let change = Event::TermsChanged { terms: Terms::default(), expires_at: Some(day(30)), at: START };
    let given = [generated(&Terms::default()), change];
    when(&given, day(1), renew(RenewTo::Default)).then_expect_error(Refusal::DurationRequired);
    when(&given, day(1), renew(RenewTo::For(Span::days(1))))
        .then_expect_events(vec![renewed(day(31), day(1))]);
}

#[test]
fn no_renewal_leaves_the_calendar() {
    let given = [generated(&thirty_days(|_| {}))];
    let action = renew(RenewTo::For(Span(i64::MAX)));
    when(&given, day(1), action).then_expect_events(vec![renewed(Timestamp::MAX, day(1))]);
}
