//! Made, used, held, ended.

use super::*;
use crate::private::Subject;
use crate::terms::OnRoleLoss;

fn ends(command: &Generate) -> Option<Timestamp> {
    license(&made(command)).expires_at
}

fn first_validation(at: Timestamp) -> Action {
    Action::RecordFirstValidation { validated_at: at }
}

fn became_active(at: Timestamp, expires_at: Option<Timestamp>) -> Event {
    Event::BecameActive { at, expires_at }
}

#[test]
fn a_new_license_is_generated_and_belongs_to_nobody() {
    let made = license(&[generated(&Terms::default())]);
    assert_eq!(made.status(START), Some(Status::Generated));
    assert_eq!((made.id, made.guild, made.key), (ID, Some(GUILD), KEY));
    assert_eq!((made.owner, made.expires_at), (None, None));
    assert_eq!((made.created_at, made.updated_at, made.version), (START, START, 1));
}

#[test]
fn a_license_of_thirty_days_runs_from_its_issue() {
    assert_eq!(ends(&generate(&thirty_days(|_| {}))), Some(day(30)));
}

#[test]
fn a_license_that_begins_later_runs_from_its_beginning() {
    let mut command = generate(&thirty_days(|_| {}));
    command.starts_at = Some(day(10));
    assert_eq!(ends(&command), Some(day(40)));
    command.starts_at = Some(Timestamp(0));
    assert_eq!(ends(&command), Some(day(30)));
}

#[test]
fn a_clock_that_waits_for_the_first_activation_has_no_end_yet() {
    assert_eq!(
        ends(&generate(&thirty_days(|terms| terms.expiry_basis = ExpiryBasis::FirstActivation))),
        None
    );
}

#[test]
fn a_license_for_somebody_is_assigned_in_the_same_append() {
    let mut command = generate(&Terms::default());
    command.owner = Some((ada(), AssignedHow::Assign));
    command.aliases = vec!["b".to_owned(), "a".to_owned(), "b".to_owned()];
    command.metadata = Some("{\"order\":7}".to_owned());
    let events = made(&command);
    assert_eq!(
        events[1..],
        [
            assigned(START),
            Event::AliasAdded { alias: "a".to_owned(), at: START },
            Event::AliasAdded { alias: "b".to_owned(), at: START },
        ]
    );
    let made = license(&events);
    assert_eq!(made.status(START), Some(Status::Assigned));
    assert_eq!(made.aliases, ["a", "b"]);
    assert_eq!(made.metadata.unwrap().subject(), Some(Subject::User(ada().id)));
}

#[test]
fn the_metadata_of_a_license_without_owner_is_sealed_for_the_guild() {
    let mut command = generate(&Terms::default());
    command.private_metadata = Some("{}".to_owned());
    let made = license(&made(&command));
    assert_eq!(made.private_metadata.unwrap().subject(), Some(Subject::Guild(GUILD)));
}

#[test]
fn a_next_generation_inherits_resets_and_the_leases_that_have_not_lapsed() {
    let mut command = generate(&terms(|terms| terms.max_devices = Some(3)));
    command.ledger = Ledger {
        resets: vec![day(-2), day(-1)],
        leases: vec![lease(1, "a", day(2)), lease(2, "b", START), lease(3, "c", day(1))],
        ..Ledger::default()
    };
    let made = license(&made(&command));
    assert_eq!(made.ledger.resets, [day(-2), day(-1)]);
    assert_eq!(made.ledger.leases, [lease(3, "c", day(1)), lease(1, "a", day(2))]);
    assert_eq!(made.slots_used(START), 2);
}

#[test]
fn a_next_generation_inherits_counted_activations_if_its_terms_count_them() {
    let counted = |budget| {
        let mut command = generate(&terms(|terms| terms.activation_budget = budget));
        command.ledger.activations = [day(-1), day(-2)].into();
        license(&made(&command)).ledger.activations
    };
    assert_eq!(*counted(Some(3)), [day(-2), day(-1)]);
    assert_eq!(*counted(None), []);
}

#[test]
fn inherited_leases_never_take_more_slots_than_the_type_has_now() {
    let mut command = generate(&terms(|terms| terms.max_devices = Some(2)));
    command.ledger.leases =
        vec![lease(1, "a", day(1)), lease(2, "b", day(3)), lease(3, "c", day(2)), lease(4, "b", day(1))];
    let made = license(&made(&command));
    assert_eq!(made.ledger.leases, [lease(4, "b", day(1)), lease(3, "c", day(2)), lease(2, "b", day(3))]);
    assert_eq!(made.slots_used(START), 2);
}

#[test]
fn the_first_valid_answer_makes_an_activated_license_active() {
    let given = [generated(&Terms::default()), assigned(START), activated(1, "pc", day(1))];
    when(&given, day(3), first_validation(day(2))).then_expect_events(vec![became_active(day(2), None)]);
    assert_eq!(after(&given, day(3), first_validation(day(2))).status(day(3)), Some(Status::Active));
}

#[test]
fn a_second_valid_answer_changes_nothing() {
    let given = [generated(&Terms::default()), became_active(day(1), None)];
    when(&given, day(2), first_validation(day(2))).then_expect_events(vec![]);
}

#[test]
fn a_license_that_needs_no_device_becomes_active_without_one() {
    let given = [generated(&Terms::default())];
    when(&given, day(1), first_validation(day(1))).then_expect_events(vec![became_active(day(1), None)]);
    let given = [generated(&Terms::default()), assigned(START)];
    when(&given, day(1), first_validation(day(1))).then_expect_events(vec![became_active(day(1), None)]);
}

#[test]
fn a_license_that_needs_a_device_does_not_become_active_without_one() {
    let given = [generated(&terms(|terms| terms.require_device = true)), assigned(START)];
    when(&given, day(1), first_validation(day(1))).then_expect_events(vec![]);
}

#[test]
fn the_first_valid_answer_starts_a_waiting_clock_at_its_own_instant() {
    let given = [generated(&thirty_days(|terms| {
        terms.expiry_basis = ExpiryBasis::FirstActivation;
    }))];
    when(&given, day(6), first_validation(day(5)))
        .then_expect_events(vec![became_active(day(5), Some(day(35)))]);
}

#[test]
fn the_first_device_starts_a_waiting_clock_and_the_second_does_not() {
    let given = vec![generated(&thirty_days(|terms| {
        terms.expiry_basis = ExpiryBasis::FirstActivation;
    }))];
    let first = Event::DeviceActivated {
        device: device(1, "pc", day(5)),
        by: Authority::Client,
        network: None,
        expires_at: Some(day(35)),
    };
    when(&given, day(5), activate(1, "pc")).then_expect_events(vec![first.clone()]);
    let given = [given, vec![first]].concat();
    when(&given, day(6), activate(2, "laptop")).then_expect_events(vec![activated(2, "laptop", day(6))]);
    when(&given, day(7), first_validation(day(7))).then_expect_events(vec![became_active(day(7), None)]);
    assert_eq!(after(&given, day(7), first_validation(day(7))).expires_at, Some(day(35)));
}

#[test]
fn a_validation_after_a_renewal_makes_the_license_active_again() {
    let given = [
        generated(&thirty_days(|_| {})),
        became_active(day(1), None),
        Event::Expired { at: day(30) },
        renewed(day(70), day(40)),
    ];
    assert_eq!(license(&given).status(day(41)), Some(Status::Renewed));
    when(&given, day(42), first_validation(day(41))).then_expect_events(vec![became_active(day(41), None)]);
    when(&given, day(42), first_validation(day(39))).then_expect_events(vec![]);
}

#[test]
fn a_validation_is_recorded_neither_in_the_future_nor_before_the_issue() {
    let given = [generated(&Terms::default())];
    when(&given, day(1), first_validation(day(-1))).then_expect_events(vec![became_active(START, None)]);
    when(&given, day(1), first_validation(day(2))).then_expect_events(vec![became_active(day(1), None)]);
}

#[test]
fn a_hold_of_each_kind_can_be_put_on_once() {
    let mut given = vec![generated(&Terms::default())];
    for hold in [Hold::RoleLoss, Hold::Admin, Hold::Policy] {
        let suspended = Event::Suspended { hold, at: day(1) };
        when(&given, day(1), Action::Suspend { hold }).then_expect_events(vec![suspended.clone()]);
        given.push(suspended);
        when(&given, day(2), Action::Suspend { hold }).then_expect_events(vec![]);
    }
    let held = license(&given);
    assert_eq!(held.holds, [Hold::Admin, Hold::Policy, Hold::RoleLoss]);
    assert_eq!(held.status(day(1)), Some(Status::Suspended));
}

#[test]
fn lifting_one_hold_leaves_the_others() {
    let given = [
        generated(&Terms::default()),
        Event::Suspended { hold: Hold::Admin, at: day(1) },
        Event::Suspended { hold: Hold::RoleLoss, at: day(1) },
    ];
    let resumed = Event::Resumed { hold: Hold::RoleLoss, at: day(2) };
    when(&given, day(2), Action::Resume { hold: Hold::RoleLoss }).then_expect_events(vec![resumed]);
    let left = after(&given, day(2), Action::Resume { hold: Hold::RoleLoss });
    assert_eq!(left.holds, [Hold::Admin]);
    assert_eq!(left.status(day(2)), Some(Status::Suspended));
}

#[test]
fn the_last_hold_lifted_gives_the_state_of_before() {
    let given = [
        generated(&Terms::default()),
        became_active(day(1), None),
        Event::Suspended { hold: Hold::Policy, at: day(2) },
    ];
    let resumed = after(&given, day(3), Action::Resume { hold: Hold::Policy });
    assert_eq!(resumed.status(day(3)), Some(Status::Active));
}

#[test]
fn a_license_can_be_revoked_in_every_state() {
    let ways: [Vec<Event>; 6] = [
        vec![],
        vec![assigned(START)],
        vec![activated(1, "pc", START)],
        vec![became_active(START, None)],
        vec![Event::Suspended { hold: Hold::Admin, at: START }],
        vec![became_active(START, None), Event::Expired { at: day(30) }, renewed(day(60), day(31))],
    ];
    for way in ways {
        let given = [vec![generated(&thirty_days(|_| {}))], way].concat();
        let action = Action::Revoke { category: RevokeCategory::Chargeback };
        let event = Event::Revoked { category: RevokeCategory::Chargeback, at: day(5) };
        when(&given, day(5), action.clone()).then_expect_events(vec![event]);
        let gone = after(&given, day(5), action);
        assert_eq!(gone.status(day(5)), Some(Status::Revoked));
        assert_eq!(gone.revoked, Some(RevokeCategory::Chargeback));
    }
}

#[test]
fn an_expired_license_can_be_revoked_and_is_recorded_as_expired_before() {
    let given = [generated(&thirty_days(|_| {}))];
    when(&given, day(31), Action::Revoke { category: RevokeCategory::Manual })
        .then_expect_events(vec![Event::Expired { at: day(30) }, revoked(day(31))]);
}

#[test]
fn revoking_ends_an_open_offer_and_an_open_grace() {
    let given = [
        generated(&Terms::default()),
        Event::TransferOffered { to: grace(), expires_at: day(8), at: day(1) },
        Event::RoleLossStarted { ends_at: day(9), at: day(1) },
        revoked(day(2)),
    ];
    let gone = license(&given);
    assert_eq!((gone.offer, gone.role_loss_ends_at), (None, None));
}

#[test]
fn losing_the_last_role_opens_the_grace_once() {
    let given = from_role(&terms(|terms| terms.role_loss_grace = Some(Span::days(2))));
    let started = Event::RoleLossStarted { ends_at: day(3), at: day(1) };
    when(&given, day(1), Action::StartRoleLoss).then_expect_events(vec![started.clone()]);
    let given = [given, vec![started]].concat();
    when(&given, day(2), Action::StartRoleLoss).then_expect_events(vec![]);
    let open = license(&given);
    assert_eq!(open.role_loss_ends_at, Some(day(3)));
    assert!(open.is_active(day(2)), "the grace keeps it as it was");
}

#[test]
fn a_returning_role_ends_the_grace() {
    let given = from_role(&Terms::default());
    when(&given, day(1), Action::EndRoleLoss).then_expect_events(vec![]);
    let given = [given, vec![Event::RoleLossStarted { ends_at: day(3), at: day(1) }]].concat();
    when(&given, day(2), Action::EndRoleLoss).then_expect_events(vec![Event::RoleLossEnded { at: day(2) }]);
    assert_eq!(after(&given, day(2), Action::EndRoleLoss).role_loss_ends_at, None);
}

#[test]
fn the_hold_for_a_lost_role_ends_the_grace_and_starts_no_other() {
    let given = [
        from_role(&terms(|terms| terms.on_role_loss = OnRoleLoss::Suspend)),
        vec![
            Event::RoleLossStarted { ends_at: day(3), at: day(1) },
            Event::Suspended { hold: Hold::RoleLoss, at: day(3) },
        ],
    ]
    .concat();
    assert_eq!(license(&given).role_loss_ends_at, None);
    when(&given, day(4), Action::StartRoleLoss).then_expect_events(vec![]);
}

#[test]
fn a_license_that_no_role_gave_or_that_is_kept_loses_nothing() {
    let kept = from_role(&terms(|terms| terms.on_role_loss = OnRoleLoss::Keep));
    when(&kept, day(1), Action::StartRoleLoss).then_expect_events(vec![]);
    when(&[generated(&Terms::default())], day(1), Action::StartRoleLoss).then_expect_events(vec![]);
}
