//! Handing a license on, and changing its key.

use super::*;

const OFFER: fn(Person) -> Action = |to| Action::OfferTransfer { to };

fn accept(by: Person) -> Action {
    Action::AcceptTransfer { by, secret_id: 2 }
}

fn give(to: Person) -> Action {
    Action::Transfer { to, secret_id: 2 }
}

fn transferable() -> Vec<Event> {
    vec![generated(&terms(|terms| terms.transferable = true)), assigned(START)]
}

fn offered(at: Timestamp) -> Event {
    Event::TransferOffered { to: grace(), expires_at: at.after(Span::days(7)), at }
}

fn rekeyed(version: u8, at: Timestamp) -> Event {
    Event::Rekeyed { key: KeyVersion { secret_id: 2, version }, at }
}

fn transferred(at: Timestamp) -> Event {
    Event::Transferred { from: Some(ada().id), to: grace(), at }
}

#[test]
fn an_owner_offers_and_the_receiver_has_seven_days() {
    when(&transferable(), day(1), OFFER(grace())).then_expect_events(vec![offered(day(1))]);
    let open = after(&transferable(), day(1), OFFER(grace()));
    assert_eq!(open.offer.as_deref(), Some(&Offer { to: grace(), expires_at: day(8) }));
    assert_eq!(open.owner, Some(ada()), "nothing changes hands yet");
}

#[test]
fn the_same_offer_stands_and_another_one_replaces_it() {
    let given = [transferable(), vec![offered(day(1))]].concat();
    when(&given, day(2), OFFER(grace())).then_expect_events(vec![]);
    when(&given, day(8), OFFER(grace())).then_expect_events(vec![offered(day(8))]);
    let other = Event::TransferOffered { to: person(3), expires_at: day(9), at: day(2) };
    when(&given, day(2), OFFER(person(3))).then_expect_events(vec![other]);
}

#[test]
fn accepting_changes_owner_devices_key_and_aliases_in_one_append() {
    let given = [
        transferable(),
        vec![
            activated(1, "pc", START),
            activated(2, "laptop", START),
            Event::AliasAdded { alias: "a".to_owned(), at: START },
            Event::AliasAdded { alias: "b".to_owned(), at: START },
            offered(day(1)),
        ],
    ]
    .concat();
    let reset = Event::DevicesReset {
        by: Authority::Owner,
        cause: DeactivationCause::Transfer,
        ids: vec![uuid(1), uuid(2)],
        at: day(2),
    };
    when(&given, day(2), accept(grace())).then_expect_events(vec![
        transferred(day(2)),
        reset,
        rekeyed(1, day(2)),
        Event::AliasRetired { alias: "a".to_owned(), at: day(2) },
        Event::AliasRetired { alias: "b".to_owned(), at: day(2) },
    ]);
    let new = after(&given, day(2), accept(grace()));
    assert_eq!((new.owner, new.offer), (Some(grace()), None));
    assert!(new.devices.is_empty() && new.aliases.is_empty());
    assert_eq!(new.key, KeyVersion { secret_id: 2, version: 1 });
    assert!(new.ledger.resets.is_empty(), "a transfer is no reset");
}

#[test]
fn a_transfer_without_devices_resets_none() {
    let given = [transferable(), vec![offered(day(1))]].concat();
    when(&given, day(2), accept(grace())).then_expect_events(vec![transferred(day(2)), rekeyed(1, day(2))]);
}

#[test]
fn leases_keep_their_slots_over_a_transfer() {
    let given = [
        generated(&terms(|terms| terms.max_devices = Some(1))),
        assigned(START),
        activated(1, "pc", START),
        leased(11, "pc", START, day(5)),
    ];
    let new = after(&given, day(1), give(grace()));
    assert_eq!(new.slots_used(day(1)), 1);
    assert_eq!(
        new.decide(&Command { now: day(1), action: activate(2, "laptop") }),
        Err(Refusal::DeviceLimitReached { used: 1, limit: 1 })
    );
}

#[test]
fn only_the_receiver_can_accept() {
    let given = [transferable(), vec![offered(day(1))]].concat();
    when(&given, day(2), accept(person(3))).then_expect_error(Refusal::TransferNotOffered);
    when(&transferable(), day(2), accept(grace())).then_expect_error(Refusal::TransferNotOffered);
    let taken = [given, vec![transferred(day(2)), rekeyed(1, day(2))]].concat();
    when(&taken, day(3), accept(grace())).then_expect_error(Refusal::TransferNotOffered);
}

#[test]
fn an_offer_ends_after_seven_days() {
    let given = [transferable(), vec![offered(day(1))]].concat();
    when(&given, day(8), accept(grace())).then_expect_error(Refusal::OfferExpired { at: day(8) });
    let just_before = Timestamp(day(8).0 - 1);
    when(&given, just_before, accept(grace()))
        .then_expect_events(vec![transferred(just_before), rekeyed(1, just_before)]);
}

#[test]
fn an_owner_cannot_offer_what_the_terms_bind_to_him() {
    let given = [generated(&Terms::default()), assigned(START)];
    when(&given, day(1), OFFER(grace())).then_expect_error(Refusal::NotTransferable);
    let bound_since = Event::TermsChanged { terms: Terms::default(), expires_at: None, at: day(2) };
    let given = [transferable(), vec![offered(day(1)), bound_since]].concat();
    when(&given, day(3), accept(grace())).then_expect_error(Refusal::NotTransferable);
}

#[test]
fn nobody_can_offer_what_has_no_owner() {
    let given = [generated(&terms(|terms| terms.transferable = true))];
    when(&given, day(1), OFFER(grace())).then_expect_error(Refusal::NotOwned);
}

#[test]
fn a_license_is_not_handed_to_its_own_owner() {
    when(&transferable(), day(1), OFFER(ada())).then_expect_error(Refusal::SelfTransfer);
    when(&transferable(), day(1), give(ada())).then_expect_error(Refusal::SelfTransfer);
}

#[test]
fn staff_hand_over_at_once_whatever_the_terms_say() {
    let given = [generated(&Terms::default()), assigned(START)];
    when(&given, day(1), give(grace())).then_expect_events(vec![transferred(day(1)), rekeyed(1, day(1))]);
    let unowned = [generated(&Terms::default())];
    let first = Event::Transferred { from: None, to: grace(), at: day(1) };
    when(&unowned, day(1), give(grace())).then_expect_events(vec![first, rekeyed(1, day(1))]);
    assert_eq!(after(&unowned, day(1), give(grace())).status(day(1)), Some(Status::Assigned));
}

#[test]
fn a_transfer_leaves_state_holds_and_end_as_they_are() {
    let given = [
        generated(&thirty_days(|_| {})),
        assigned(START),
        Event::BecameActive { at: START, expires_at: None },
        Event::Suspended { hold: Hold::Admin, at: START },
    ];
    let new = after(&given, day(1), give(grace()));
    assert_eq!((new.stage, new.holds, new.expires_at), (Stage::Active, vec![Hold::Admin], Some(day(30))));
}

#[test]
fn a_license_from_a_role_is_handed_on_by_nobody() {
    let given = from_role(&terms(|terms| terms.transferable = true));
    for action in [OFFER(grace()), accept(grace()), give(grace())] {
        when(&given, day(1), action).then_expect_error(Refusal::RoleBound);
    }
}

#[test]
fn a_new_key_takes_the_given_secret_and_the_next_version() {
    let given = [generated(&Terms::default()), Event::AliasAdded { alias: "a".to_owned(), at: START }];
    when(&given, day(1), Action::Rekey { secret_id: 2 }).then_expect_events(vec![
        rekeyed(1, day(1)),
        Event::AliasRetired { alias: "a".to_owned(), at: day(1) },
    ]);
    let twice = [given.to_vec(), vec![rekeyed(1, day(1))]].concat();
    assert_eq!(after(&twice, day(2), Action::Rekey { secret_id: 2 }).key.version, 2);
}

#[test]
fn a_key_can_be_changed_255_times() {
    let given = [transferable(), vec![rekeyed(254, day(1)), offered(day(1))]].concat();
    assert_eq!(after(&given, day(2), Action::Rekey { secret_id: 2 }).key.version, 255);
    let last = [given, vec![rekeyed(255, day(1))]].concat();
    for action in [Action::Rekey { secret_id: 2 }, accept(grace()), give(grace())] {
        when(&last, day(2), action).then_expect_error(Refusal::RekeyLimit);
    }
}
