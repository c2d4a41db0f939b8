//! The user in sentences: given what happened, when something is asked, then this follows.

use std::collections::BTreeSet;

use cqrs_es::test::{AggregateTestExecutor, TestFramework};

use super::*;
use crate::aggregate::{Decide, Refuse};
use crate::guild::Locale;
use crate::private::Private;
use crate::testing::person;
use crate::time::Timestamp;

const T0: Timestamp = Timestamp(1_795_000_000_000);
const T1: Timestamp = Timestamp(1_795_000_060_000);

fn registered() -> Event {
    Event::Registered { person: person(1), at: T0 }
}

/// A known user, and what happened since.
fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<User> {
    TestFramework::with(()).given(std::iter::once(registered()).chain(events).collect())
}

fn unknown() -> AggregateTestExecutor<User> {
    TestFramework::with(()).given_no_previous_events()
}

fn ask(action: Action) -> Command {
    Command { now: T1, action }
}

fn profile(username: Option<&str>, email: Option<&str>) -> Action {
    Action::ChangeProfile { username: username.map(Into::into), email: email.map(Into::into) }
}

fn german() -> Preferences {
    Preferences { locale: Some(Locale::De), mute_messages: true, mute_email: false }
}

#[test]
fn an_account_is_registered_once() {
    let register = || ask(Action::Register { person: person(1) });
    unknown().when(register()).then_expect_events(vec![Event::Registered { person: person(1), at: T1 }]);
    given([]).when(register()).then_expect_events(vec![]);
    given([Event::Erased { at: T0 }]).when(register()).then_expect_events(vec![]);
}

#[test]
fn whatever_else_is_asked_of_an_unknown_account_is_refused() {
    for action in [
        profile(Some("ada"), None),
        Action::ChangePreferences(german()),
        Action::Ban,
        Action::Unban,
        Action::Erase,
        Action::Return { person: person(1) },
    ] {
        unknown().when(ask(action)).then_expect_error(Refusal::NotFound);
    }
}

#[test]
fn a_profile_is_sealed_for_its_person_and_always_written() {
    let id = person(1).id;
    let changed = Event::ProfileChanged {
        username: Some(Private::of_user(&id, "ada")),
        email: Some(Private::of_user(&id, "ada@example.com")),
        at: T1,
    };
    let change = || ask(profile(Some("ada"), Some("ada@example.com")));
    given([]).when(change()).then_expect_events(vec![changed.clone()]);
    given([changed.clone()]).when(change()).then_expect_events(vec![changed.clone()]);
    given([changed]).when(ask(profile(None, None))).then_expect_events(vec![Event::ProfileChanged {
        username: None,
        email: None,
        at: T1,
    }]);
}

#[test]
fn preferences_change_once() {
    let changed = Event::PreferencesChanged { preferences: german(), at: T1 };
    given([]).when(ask(Action::ChangePreferences(german()))).then_expect_events(vec![changed.clone()]);
    given([changed]).when(ask(Action::ChangePreferences(german()))).then_expect_events(vec![]);
    given([]).when(ask(Action::ChangePreferences(Preferences::default()))).then_expect_events(vec![]);
}

#[test]
fn a_ban_is_laid_and_lifted() {
    let banned = Event::Banned { at: T1 };
    given([]).when(ask(Action::Ban)).then_expect_events(vec![banned.clone()]);
    given([banned.clone()]).when(ask(Action::Ban)).then_expect_error(Refusal::AlreadyBanned);
    given([banned.clone()]).when(ask(Action::Unban)).then_expect_events(vec![Event::Unbanned { at: T1 }]);
    given([]).when(ask(Action::Unban)).then_expect_error(Refusal::NotBanned);
    given([banned, Event::Unbanned { at: T1 }])
        .when(ask(Action::Unban))
        .then_expect_error(Refusal::NotBanned);
}

#[test]
fn an_account_is_erased_once_and_its_profile_with_it() {
    let erased = Event::Erased { at: T1 };
    given([]).when(ask(Action::Erase)).then_expect_events(vec![erased.clone()]);
    given([erased.clone()]).when(ask(Action::Erase)).then_expect_events(vec![erased.clone()]);
    given([erased.clone()]).when(ask(profile(Some("ada"), None))).then_expect_error(Refusal::Erased);
    given([erased]).when(ask(Action::ChangePreferences(german()))).then_expect_error(Refusal::Erased);
}

#[test]
fn whoever_was_erased_begins_anew_by_coming_back_and_only_then() {
    let back = || ask(Action::Return { person: person(1) });
    let returned = |at| Event::Returned { person: person(1), at };
    given([]).when(back()).then_expect_events(vec![]);
    given([Event::Erased { at: T0 }]).when(back()).then_expect_events(vec![returned(T1)]);
    given([Event::Erased { at: T0 }, returned(T0)]).when(back()).then_expect_events(vec![]);
    let mut user = User::default();
    for event in [registered(), Event::Banned { at: T0 }, Event::Erased { at: T0 }, returned(T1)] {
        user.evolve(&event);
    }
    assert!(!user.erased && user.banned, "a ban outlives that, too");
    assert_eq!((&user.profile, user.created_at, user.version()), (&Profile::default(), T0, 4));
}

#[test]
fn a_ban_outlives_erasure() {
    let mut user = User::default();
    let username = Some(Private::of_user(&person(1).id, "ada"));
    let history = [
        registered(),
        Event::ProfileChanged { username, email: None, at: T0 },
        Event::PreferencesChanged { preferences: german(), at: T0 },
        Event::Banned { at: T0 },
        Event::Erased { at: T1 },
    ];
    history.iter().for_each(|event| user.evolve(event));
    assert!(user.banned && user.erased);
    assert_eq!((&user.profile, &user.preferences), (&Profile::default(), &Preferences::default()));
    assert_eq!(user.person.as_ref().map(|person| &person.id), Some(&person(1).id));
    assert_eq!((user.version(), user.created_at, user.updated_at), (5, T0, T1));
    assert_eq!(user.decide(&ask(Action::Unban)), Ok(vec![Event::Unbanned { at: T1 }]));
    user.evolve(&Event::Unbanned { at: T1 });
    assert_eq!(user.decide(&ask(Action::Ban)), Ok(vec![Event::Banned { at: T1 }]));
}

#[test]
fn every_refusal_has_a_code_a_sentence_and_a_remedy() {
    let refusals = [Refusal::NotFound, Refusal::AlreadyBanned, Refusal::NotBanned, Refusal::Erased];
    let codes: BTreeSet<&str> = refusals.iter().map(Refuse::code).collect();
    assert_eq!(codes, Refusal::CODES.iter().copied().collect());
    assert!(Refusal::CODES.is_sorted());
    for refusal in refusals {
        assert!(!refusal.to_string().is_empty());
        assert!(refusal.help().ends_with('.'), "{}", refusal.help());
    }
}
