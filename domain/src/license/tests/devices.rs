//! Devices: activating, freeing, renaming, and the owner's allowance.

use super::*;
use crate::device::DeviceMatch;

fn limited(limit: u32) -> Vec<Event> {
    vec![generated(&terms(|terms| terms.max_devices = Some(limit))), assigned(START)]
}

fn with_components(number: u128, device_id: &str, components: Vec<Component>) -> Action {
    let claim = DeviceClaim { device_id: device_id.to_owned(), components };
    Action::ActivateDevice {
        id: uuid(number),
        claim,
        name: None,
        by: Authority::Client,
        network: None,
        owner_banned: false,
    }
}

#[test]
fn the_first_device_makes_the_license_activated() {
    for given in [vec![generated(&Terms::default())], vec![generated(&Terms::default()), assigned(START)]] {
        when(&given, day(1), activate(1, "pc")).then_expect_events(vec![activated(1, "pc", day(1))]);
        assert_eq!(after(&given, day(1), activate(1, "pc")).status(day(1)), Some(Status::Activated));
    }
}

#[test]
fn a_device_of_an_active_license_leaves_it_active() {
    let given = [generated(&Terms::default()), Event::BecameActive { at: START, expires_at: None }];
    assert_eq!(after(&given, day(1), activate(1, "pc")).status(day(1)), Some(Status::Active));
}

#[test]
fn the_same_device_again_is_the_same_device() {
    let given = [limited(1), vec![activated(1, "pc", START)]].concat();
    when(&given, day(1), activate(2, "pc")).then_expect_events(vec![]);
}

#[test]
fn the_name_of_a_device_is_sealed_for_the_owner_and_its_components_are_sorted() {
    let components = vec![component("disk", "2"), component("cpu", "1"), component("disk", "3")];
    let claim = DeviceClaim { device_id: "pc".to_owned(), components };
    let action = Action::ActivateDevice {
        id: uuid(1),
        claim,
        name: Some("Desk".to_owned()),
        by: Authority::Client,
        network: None,
        owner_banned: false,
    };
    let device = Device {
        name: Some(Private::of_user(&ada().id, "Desk")),
        components: vec![component("cpu", "1"), component("disk", "2")],
        ..device(1, "pc", day(1))
    };
    when(&limited(1), day(1), action).then_expect_events(vec![Event::DeviceActivated {
        device,
        by: Authority::Client,
        network: None,
        expires_at: None,
    }]);
}

#[test]
fn a_machine_under_a_new_id_takes_no_second_slot() {
    let parts = || vec![component("cpu", "1"), component("disk", "2")];
    let terms = terms(|terms| {
        terms.max_devices = Some(1);
        terms.device_match = DeviceMatch::Any;
    });
    let given = vec![generated(&terms)];
    let given = [given.clone(), after_events(&given, day(1), with_components(1, "pc", parts()))].concat();
    when(&given, day(2), with_components(2, "reinstalled", parts())).then_expect_events(vec![]);
    let other = vec![component("cpu", "9")];
    when(&given, day(2), with_components(2, "laptop", other.clone()))
        .then_expect_error(Refusal::DeviceLimitReached { used: 1, limit: 1 });
    when(&given, day(2), with_components(2, "pc", other)).then_expect_error(Refusal::ComponentsMismatch);
}

fn after_events(given: &[Event], now: Timestamp, action: Action) -> Vec<Event> {
    when(given, now, action).inspect_result().unwrap()
}

#[test]
fn a_device_above_the_limit_is_refused() {
    let given = [limited(2), vec![activated(1, "pc", START), activated(2, "laptop", START)]].concat();
    when(&given, day(1), activate(3, "tablet"))
        .then_expect_error(Refusal::DeviceLimitReached { used: 2, limit: 2 });
}

#[test]
fn a_lease_keeps_its_slot_for_its_own_device_until_it_lapses() {
    let given = [
        limited(1),
        vec![
            activated(1, "pc", START),
            leased(11, "pc", START, day(5)),
            deactivated(1, "pc", Authority::Staff, day(1)),
        ],
    ]
    .concat();
    when(&given, day(2), activate(2, "laptop"))
        .then_expect_error(Refusal::DeviceLimitReached { used: 1, limit: 1 });
    when(&given, day(2), activate(2, "pc")).then_expect_events(vec![activated(2, "pc", day(2))]);
    when(&given, day(5), activate(2, "laptop"))
        .then_expect_events(vec![lapsed(11, day(5)), activated(2, "laptop", day(5))]);
}

#[test]
fn an_activation_inside_the_grace_is_accepted() {
    let given = [generated(&thirty_days(|terms| {
        terms.expiry_grace = Some(Span::days(5));
    }))];
    when(&given, day(32), activate(1, "pc")).then_expect_events(vec![activated(1, "pc", day(32))]);
}

#[test]
fn a_device_is_freed_by_our_id_or_by_its_own() {
    let given = [limited(1), vec![activated(1, "pc", START)]].concat();
    let expected = || vec![deactivated(1, "pc", Authority::Owner, day(1))];
    when(&given, day(1), deactivate("pc", Authority::Owner)).then_expect_events(expected());
    when(&given, day(1), deactivate(&uuid(1).to_string(), Authority::Owner)).then_expect_events(expected());
    assert!(after(&given, day(1), deactivate("pc", Authority::Owner)).devices.is_empty());
}

#[test]
fn a_device_that_is_not_active_can_be_neither_freed_nor_renamed() {
    let given = limited(1);
    when(&given, day(1), deactivate("pc", Authority::Staff)).then_expect_error(Refusal::DeviceNotActivated);
    let rename = Action::RenameDevice { device: "pc".to_owned(), name: "Desk".to_owned() };
    when(&given, day(1), rename).then_expect_error(Refusal::DeviceNotActivated);
}

#[test]
fn a_device_can_be_renamed() {
    let given = [limited(1), vec![activated(1, "pc", START)]].concat();
    let rename = Action::RenameDevice { device: "pc".to_owned(), name: "Desk".to_owned() };
    let device_name = Private::of_user(&ada().id, "Desk");
    when(&given, day(1), rename.clone()).then_expect_events(vec![Event::DeviceRenamed {
        id: uuid(1),
        device_name: device_name.clone(),
        at: day(1),
    }]);
    assert_eq!(after(&given, day(1), rename).devices[0].name, Some(device_name));
}

#[test]
fn all_devices_can_be_freed_at_once() {
    let given = [limited(2), vec![activated(1, "pc", START), activated(2, "laptop", START)]].concat();
    let reset = Event::DevicesReset {
        by: Authority::Owner,
        cause: DeactivationCause::Requested,
        ids: vec![uuid(1), uuid(2)],
        at: day(1),
    };
    let action = Action::ResetDevices { by: Authority::Owner };
    when(&given, day(1), action.clone()).then_expect_events(vec![reset]);
    let left = after(&given, day(1), action.clone());
    assert!(left.devices.is_empty());
    assert_eq!(left.ledger.resets, [day(1)]);
    when(&limited(2), day(1), action).then_expect_events(vec![]);
}

/// Devices `d1` to `d9`, under terms with a cooldown of a day and two deactivations in ten days.
fn rationed() -> Vec<Event> {
    let terms = terms(|terms| {
        terms.device_reset_cooldown = Some(Span::days(1));
        terms.device_reset_budget = Some(2);
        terms.device_reset_window = Span::days(10);
    });
    let devices = (1..=9).map(|n| activated(n, &format!("d{n}"), START));
    [generated(&terms), assigned(START)].into_iter().chain(devices).collect()
}

#[test]
fn the_owner_waits_between_two_deactivations() {
    let given = [rationed(), vec![deactivated(1, "d1", Authority::Owner, day(1))]].concat();
    let refusal = Refusal::ResetCooldown { again_at: day(2) };
    let just_before = Timestamp(day(2).0 - 1);
    for by in [Authority::Owner, Authority::Client] {
        when(&given, just_before, deactivate("d2", by)).then_expect_error(refusal.clone());
        when(&given, just_before, Action::ResetDevices { by }).then_expect_error(refusal.clone());
        when(&given, day(2), deactivate("d2", by)).then_expect_events(vec![deactivated(2, "d2", by, day(2))]);
    }
}

#[test]
fn the_owner_has_a_budget_in_a_sliding_window() {
    let given = [
        rationed(),
        vec![deactivated(1, "d1", Authority::Owner, day(1)), deactivated(2, "d2", Authority::Client, day(4))],
    ]
    .concat();
    let refusal =
        Refusal::ResetBudgetExhausted { budget: 2, window: Span::days(10), again_at: Some(day(11)) };
    when(&given, day(6), deactivate("d3", Authority::Owner)).then_expect_error(refusal.clone());
    when(&given, day(6), deactivate("d3", Authority::Client)).then_expect_error(refusal);
    when(&given, day(11), deactivate("d3", Authority::Owner)).then_expect_events(vec![deactivated(
        3,
        "d3",
        Authority::Owner,
        day(11),
    )]);
    let later = after(&given, day(11), deactivate("d3", Authority::Owner));
    assert_eq!(later.ledger.resets, [day(4), day(11)], "what left the window is forgotten");
}

#[test]
fn staff_and_jobs_are_free_of_limits_and_leave_no_trace_in_the_ledger() {
    let given = [rationed(), vec![deactivated(1, "d1", Authority::Owner, day(1))]].concat();
    for by in [Authority::Staff, Authority::Job] {
        when(&given, day(1), deactivate("d2", by)).then_expect_events(vec![deactivated(2, "d2", by, day(1))]);
        assert_eq!(after(&given, day(1), deactivate("d2", by)).ledger.resets, [day(1)]);
        assert_eq!(after(&given, day(1), Action::ResetDevices { by }).ledger.resets, [day(1)]);
    }
}

#[test]
fn a_budget_of_nothing_is_never_possible_again() {
    let terms = terms(|terms| terms.device_reset_budget = Some(0));
    let given = [generated(&terms), activated(1, "pc", START)];
    let refusal = Refusal::ResetBudgetExhausted { budget: 0, window: Span::days(30), again_at: None };
    when(&given, day(1), deactivate("pc", Authority::Owner)).then_expect_error(refusal);
}

#[test]
fn a_lowered_budget_names_the_instant_at_which_enough_has_left_the_window() {
    let terms = terms(|terms| terms.device_reset_budget = Some(1));
    let ledger = Some(Ledger { resets: vec![day(-9), day(-8), day(-7)], ..Ledger::default() });
    let Event::Generated { license_id, guild_id, license_type, key, at, .. } = generated(&terms) else {
        unreachable!()
    };
    let made = Event::Generated {
        license_id,
        guild_id,
        license_type,
        terms,
        key,
        slot: None,
        at,
        starts_at: None,
        expires_at: None,
        ledger,
        metadata: None,
        private_metadata: None,
    };
    let refusal =
        Refusal::ResetBudgetExhausted { budget: 1, window: Span::days(30), again_at: Some(day(23)) };
    when(&[made, activated(1, "pc", START)], START, deactivate("pc", Authority::Owner))
        .then_expect_error(refusal);
}

#[test]
fn the_ledger_keeps_what_a_cooldown_longer_than_the_window_needs() {
    let terms = terms(|terms| {
        terms.device_reset_cooldown = Some(Span::days(60));
        terms.device_reset_window = Span::days(1);
    });
    let given = [
        generated(&terms),
        activated(1, "a", START),
        activated(2, "b", START),
        deactivated(1, "a", Authority::Owner, day(1)),
    ];
    when(&given, day(40), deactivate("b", Authority::Owner))
        .then_expect_error(Refusal::ResetCooldown { again_at: day(61) });
}

#[test]
fn a_held_or_expired_license_lets_its_devices_be_freed() {
    let held =
        [limited(1), vec![activated(1, "pc", START), Event::Suspended { hold: Hold::Admin, at: START }]]
            .concat();
    when(&held, day(1), deactivate("pc", Authority::Owner)).then_expect_events(vec![deactivated(
        1,
        "pc",
        Authority::Owner,
        day(1),
    )]);
    let expired = [generated(&thirty_days(|_| {})), activated(1, "pc", START)];
    when(&expired, day(31), deactivate("pc", Authority::Owner)).then_expect_events(vec![
        Event::Expired { at: day(30) },
        deactivated(1, "pc", Authority::Owner, day(31)),
    ]);
}

/// Terms with one device at a time and three new ones in ten days.
fn few_new() -> Vec<Event> {
    let terms = terms(|terms| {
        terms.max_devices = Some(1);
        terms.activation_budget = Some(3);
        terms.device_reset_window = Span::days(10);
    });
    vec![generated(&terms), assigned(START)]
}

fn activate_by(number: u128, by: Authority) -> Action {
    let claim = claim(&format!("d{number}"));
    Action::ActivateDevice { id: uuid(number), claim, name: None, by, network: None, owner_banned: false }
}

/// Activates the devices `d<n>` of `numbers`, one a day from `day(first)`, and frees each by `freed`.
fn cycle(given: &[Event], first: i64, numbers: std::ops::Range<u128>, freed: &Action) -> Vec<Event> {
    let mut events = given.to_vec();
    for (now, number) in (first..).map(day).zip(numbers) {
        events.extend(after_events(&events, now, activate_by(number, Authority::Client)));
        let Action::DeactivateDevice { by, cause, .. } = freed.clone() else { unreachable!() };
        let free = Action::DeactivateDevice { device: format!("d{number}"), by, cause };
        events.extend(after_events(&events, now, free));
    }
    events
}

#[test]
fn one_key_does_not_go_around_however_its_slots_become_free() {
    let freed = |by, cause| Action::DeactivateDevice { device: String::new(), by, cause };
    for freed in [
        freed(Authority::Client, DeactivationCause::Requested),
        freed(Authority::Owner, DeactivationCause::Requested),
        freed(Authority::Staff, DeactivationCause::Requested),
        freed(Authority::Job, DeactivationCause::Inactive),
    ] {
        let given = cycle(&few_new(), 1, 1..4, &freed);
        let refusal =
            Refusal::ActivationBudgetExhausted { budget: 3, window: Span::days(10), again_at: Some(day(11)) };
        for by in [Authority::Owner, Authority::Client] {
            // A device that was freed is a new one again.
            when(&given, day(4), activate_by(1, by)).then_expect_error(refusal.clone());
            when(&given, Timestamp(day(11).0 - 1), activate_by(4, by)).then_expect_error(refusal.clone());
            let expected = Event::DeviceActivated {
                device: device(4, "d4", day(11)),
                by,
                network: None,
                expires_at: None,
            };
            when(&given, day(11), activate_by(4, by)).then_expect_events(vec![expected]);
        }
        let later = after(&given, day(11), activate_by(4, Authority::Client));
        assert_eq!(*later.ledger.activations, [day(2), day(3), day(11)], "what left the window is forgotten");
    }
}

#[test]
fn the_budget_is_asked_before_the_limit_and_an_active_device_costs_nothing() {
    let freed = deactivate("", Authority::Client);
    let two = cycle(&few_new(), 1, 1..3, &freed);
    let given = [two.clone(), after_events(&two, day(3), activate_by(3, Authority::Client))].concat();
    when(&given, day(4), activate_by(4, Authority::Client)).then_expect_error(
        Refusal::ActivationBudgetExhausted { budget: 3, window: Span::days(10), again_at: Some(day(11)) },
    );
    when(&given, day(4), activate_by(3, Authority::Client)).then_expect_events(vec![]);
    when(&given, day(11), activate_by(4, Authority::Client))
        .then_expect_error(Refusal::DeviceLimitReached { used: 1, limit: 1 });
}

#[test]
fn staff_activate_beyond_the_budget_and_it_does_not_count() {
    let given = cycle(&few_new(), 1, 1..4, &deactivate("", Authority::Client));
    let by = Authority::Staff;
    let expected =
        Event::DeviceActivated { device: device(4, "d4", day(4)), by, network: None, expires_at: None };
    when(&given, day(4), activate_by(4, by)).then_expect_events(vec![expected]);
    assert_eq!(*after(&given, day(4), activate_by(4, by)).ledger.activations, [day(1), day(2), day(3)]);
}

#[test]
fn a_new_owner_does_not_renew_the_budget() {
    let given = cycle(&few_new(), 1, 1..4, &deactivate("", Authority::Client));
    let handed = after(&given, day(4), Action::Transfer { to: grace(), secret_id: 1 });
    assert_eq!(*handed.ledger.activations, [day(1), day(2), day(3)]);
}

#[test]
fn without_a_budget_nothing_is_noted_and_without_it_any_more_nothing_is_kept() {
    let given = [limited(2), vec![activated(1, "pc", START), activated(2, "laptop", START)]].concat();
    assert_eq!(license(&given).ledger, Ledger::default());
    let given = cycle(&few_new(), 1, 1..4, &deactivate("", Authority::Client));
    let terms = terms(|_| {});
    let change = Event::TermsChanged { terms, expires_at: None, at: day(4) };
    assert_eq!(*license(&[given, vec![change]].concat()).ledger.activations, []);
}
