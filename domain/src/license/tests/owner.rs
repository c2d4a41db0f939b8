//! Owners, and the small records beside the state machine: metadata, aliases, delivery, sharing.

use super::*;
use crate::aggregate::Refuse;
use crate::id::StreamId;
use crate::private::{Subject, Unsealed};
use crate::testing::TestSeal;

fn assign(owner: Person) -> Action {
    Action::Assign { owner, how: AssignedHow::Redeem }
}

fn texts(metadata: Option<Option<&str>>, private_metadata: Option<Option<&str>>) -> Action {
    let owned = |field: Option<Option<&str>>| field.map(|text| text.map(str::to_owned));
    Action::ChangeMetadata { metadata: owned(metadata), private_metadata: owned(private_metadata) }
}

fn for_ada(text: &str) -> Private {
    Private::of_user(&ada().id, text)
}

#[test]
fn a_license_without_owner_can_be_taken() {
    let given = [generated(&Terms::default())];
    let event = Event::Assigned { owner: ada(), how: AssignedHow::Redeem, at: day(1) };
    when(&given, day(1), assign(ada())).then_expect_events(vec![event]);
    let taken = after(&given, day(1), assign(ada()));
    assert_eq!(taken.status(day(1)), Some(Status::Assigned));
    assert_eq!(taken.owner, Some(ada()));
}

#[test]
fn an_owned_license_can_be_assigned_to_nobody() {
    let given = [generated(&Terms::default()), assigned(START)];
    when(&given, day(1), assign(grace())).then_expect_error(Refusal::AlreadyAssigned);
    when(&given, day(1), assign(ada())).then_expect_error(Refusal::AlreadyAssigned);
}

#[test]
fn assigning_leaves_every_later_state_as_it_is() {
    let used = [generated(&Terms::default()), activated(1, "pc", START)];
    assert_eq!(after(&used, day(1), assign(ada())).status(day(1)), Some(Status::Activated));
    let active = [generated(&Terms::default()), Event::BecameActive { at: START, expires_at: None }];
    assert_eq!(after(&active, day(1), assign(ada())).status(day(1)), Some(Status::Active));
    let held = [generated(&Terms::default()), Event::Suspended { hold: Hold::Admin, at: START }];
    assert_eq!(after(&held, day(1), assign(ada())).status(day(1)), Some(Status::Suspended));
}

#[test]
fn an_expired_license_can_be_assigned_and_stays_expired() {
    let given = [generated(&thirty_days(|_| {}))];
    let event = Event::Assigned { owner: ada(), how: AssignedHow::Redeem, at: day(31) };
    when(&given, day(31), assign(ada())).then_expect_events(vec![Event::Expired { at: day(30) }, event]);
}

#[test]
fn metadata_is_changed_cleared_and_left_alone_independently() {
    let given = [generated(&Terms::default()), assigned(START)];
    let set =
        Event::MetadataChanged { metadata: Some(Some(for_ada("{}"))), private_metadata: None, at: day(1) };
    when(&given, day(1), texts(Some(Some("{}")), None)).then_expect_events(vec![set.clone()]);
    let given = [given.to_vec(), vec![set]].concat();
    let both = after(&given, day(2), texts(None, Some(Some("[]"))));
    assert_eq!(both.metadata, Some(for_ada("{}")));
    assert_eq!(both.private_metadata, Some(for_ada("[]")));
    let cleared = Event::MetadataChanged { metadata: Some(None), private_metadata: None, at: day(2) };
    when(&given, day(2), texts(Some(None), Some(None))).then_expect_events(vec![cleared]);
    assert_eq!(after(&given, day(2), texts(Some(None), None)).metadata, None);
}

#[test]
fn metadata_that_is_not_there_need_not_be_cleared() {
    let given = [generated(&Terms::default())];
    when(&given, day(1), texts(None, None)).then_expect_events(vec![]);
    when(&given, day(1), texts(Some(None), Some(None))).then_expect_events(vec![]);
}

#[test]
fn an_alias_is_added_once() {
    let given = vec![generated(&Terms::default())];
    let action = Action::AddAlias { alias: "a".to_owned() };
    let added = Event::AliasAdded { alias: "a".to_owned(), at: day(1) };
    when(&given, day(1), action.clone()).then_expect_events(vec![added.clone()]);
    when(&[given, vec![added]].concat(), day(2), action).then_expect_events(vec![]);
}

#[test]
fn a_key_is_delivered_once_and_its_successor_again() {
    let given = vec![generated(&Terms::default())];
    let deliver = |key| Action::RecordDelivery { channel: "dm".to_owned(), key };
    let delivered = Event::Delivered { channel: "dm".to_owned(), key: KEY, at: day(1) };
    when(&given, day(1), deliver(KEY)).then_expect_events(vec![delivered.clone()]);
    let given = [given, vec![delivered]].concat();
    when(&given, day(2), deliver(KEY)).then_expect_events(vec![]);
    let next = KeyVersion { secret_id: 1, version: 1 };
    let again = Event::Delivered { channel: "dm".to_owned(), key: next, at: day(2) };
    when(&given, day(2), deliver(next)).then_expect_events(vec![again]);
}

#[test]
fn suspected_sharing_is_recorded_and_changes_nothing_else() {
    let given = [generated(&Terms::default())];
    let action = Action::SuspectSharing { suspicions: vec![suspicion(9)], suspend: false };
    let before = license(&given);
    let after = after(&given, day(1), action);
    assert_eq!(License { version: before.version, updated_at: START, ..after }, before);
}

#[test]
fn suspected_sharing_holds_the_license_if_that_is_to_follow() {
    let given = [generated(&Terms::default())];
    let suspect = |suspicions| Action::SuspectSharing { suspicions, suspend: true };
    let told = |count| Event::SharingSuspected {
        rule: "devices".to_owned(),
        evidence: format!(r#"{{"count":{count},"limit":5,"window":"P1D"}}"#),
        at: day(1),
    };
    let held = Event::Suspended { hold: Hold::Policy, at: day(1) };
    when(&given, day(1), suspect(vec![suspicion(9), suspicion(7)])).then_expect_events(vec![
        told(9),
        told(7),
        held.clone(),
    ]);
    when(&given, day(1), suspect(vec![])).then_expect_events(vec![]);
    let given = [given.to_vec(), vec![held]].concat();
    when(&given, day(1), suspect(vec![suspicion(9)])).then_expect_events(vec![told(9)]);
}

/// Seals what a command gave, as the store does, and applies it.
fn stored(license: &mut License, seal: &TestSeal, now: Timestamp, action: Action) {
    for mut event in license.decide(&Command { now, action }).unwrap() {
        seal.seal_event(&mut event, &StreamId::license(ID), license.version + 1);
        license.evolve(&event);
    }
}

fn stored_license(seal: &TestSeal) -> License {
    let mut license = License::default();
    let mut command = generate(&Terms::default());
    command.owner = Some((ada(), AssignedHow::Assign));
    command.metadata = Some("{\"order\":7}".to_owned());
    stored(&mut license, seal, START, Action::Generate(Box::new(command)));
    stored(&mut license, seal, day(1), activate(1, "pc"));
    let name = Action::RenameDevice { device: "pc".to_owned(), name: "Desk".to_owned() };
    stored(&mut license, seal, day(1), name);
    stored(&mut license, seal, day(1), activate(2, "laptop"));
    license
}

#[test]
fn personal_fields_open_from_the_stored_state() {
    let seal = TestSeal::default();
    let license = stored_license(&seal);
    let read: License = serde_json::from_str(&serde_json::to_string(&license).unwrap()).unwrap();
    assert_eq!(read, license);
    let clear = |text: &str| Unsealed::Clear(text.to_owned());
    let expected = Personal {
        user_id: Some(clear("1")),
        metadata: Some(clear("{\"order\":7}")),
        private_metadata: None,
        device_names: vec![(uuid(1), clear("Desk"))],
    };
    assert_eq!(read.personal(&seal), expected);
}

#[test]
fn personal_fields_of_an_erased_owner_are_shown_as_erased() {
    let license = stored_license(&TestSeal::default());
    let erased = TestSeal { erased: [Subject::User(ada().id)].into() };
    let personal = license.personal(&erased);
    assert_eq!(personal.user_id.unwrap().shown(), "erased");
    assert_eq!(personal.metadata, Some(Unsealed::Erased));
    assert_eq!(personal.device_names, [(uuid(1), Unsealed::Erased)]);
}

#[test]
fn after_a_transfer_the_metadata_stays_sealed_for_the_former_owner() {
    let seal = TestSeal::default();
    let mut license = stored_license(&seal);
    stored(&mut license, &seal, day(2), Action::Transfer { to: grace(), secret_id: 1 });
    assert_eq!(license.subjects(), [Subject::User(ada().id), Subject::User(grace().id)].into());
    assert_eq!(license.personal(&seal).user_id, Some(Unsealed::Clear("2".to_owned())));
    let erased = TestSeal { erased: [Subject::User(ada().id)].into() };
    let personal = license.personal(&erased);
    assert_eq!((personal.user_id.unwrap().shown(), personal.metadata), ("2", Some(Unsealed::Erased)));
}

#[test]
fn an_accepted_offer_seals_the_new_owner_where_he_becomes_the_owner() {
    let seal = TestSeal::default();
    let mut license = License::default();
    let command = Generate {
        owner: Some((ada(), AssignedHow::Assign)),
        ..generate(&terms(|terms| terms.transferable = true))
    };
    stored(&mut license, &seal, START, Action::Generate(Box::new(command)));
    stored(&mut license, &seal, day(1), Action::OfferTransfer { to: grace() });
    stored(&mut license, &seal, day(2), Action::AcceptTransfer { by: grace(), secret_id: 1 });
    assert!(license.owner.unwrap().discord_id.stands_at(4, "to.discordId"));
}

#[test]
fn every_refusal_has_a_published_code_and_a_sentence_of_help() {
    let refusals = super::refused::every_refusal();
    for refusal in &refusals {
        assert!(Refusal::CODES.contains(&refusal.code()), "{refusal:?}");
        assert!(refusal.help().ends_with('.'), "{refusal:?}");
        assert!(!refusal.to_string().is_empty());
    }
    let codes: std::collections::BTreeSet<&str> = refusals.iter().map(Refuse::code).collect();
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), Refusal::CODES);
    assert!(Refusal::DeviceLimitReached { used: 2, limit: 2 }.help().contains("Free a device"));
}
