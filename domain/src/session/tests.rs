//! The session in sentences: given what happened, when something is asked, then this follows. And the refresh token.

use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proptest::prelude::*;
use uuid::Uuid;

use super::token;
use super::*;
use crate::aggregate::Decide as _;
use crate::id::SessionId;
use crate::private::Private;
use crate::testing::{TestRing, person};
use crate::time::Timestamp;

const ID: SessionId = SessionId(Uuid::from_u128(7));
const T0: Timestamp = Timestamp(1_795_000_000_000);
const T1: Timestamp = Timestamp(1_795_000_060_000);
const UNTIL: Timestamp = Timestamp(1_797_592_000_000);

fn started(at: Timestamp) -> Event {
    let client = Some(Private::of_user(&person(1).id, "a browser"));
    Event::Started { id: ID, person: person(1), surface: Surface::Browser, client, until: UNTIL, at }
}

fn start() -> Action {
    Action::Start {
        id: ID,
        person: person(1),
        surface: Surface::Browser,
        client: Some("a browser".to_owned()),
        until: UNTIL,
    }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Session> {
    TestFramework::with(()).given(std::iter::once(started(T0)).chain(events).collect())
}

fn ask(action: Action) -> Command {
    Command { now: T1, action }
}

#[test]
fn a_session_starts_once() {
    let none = || TestFramework::<Session>::with(()).given_no_previous_events();
    none().when(ask(start())).then_expect_events(vec![started(T1)]);
    none().when(ask(Action::End(How::SignedOut))).then_expect_error(Refusal::NotFound);
    given([]).when(ask(start())).then_expect_error(Refusal::AlreadyStarted);
}

#[test]
fn the_first_end_counts() {
    for how in [How::SignedOut, How::EndedElsewhere, How::TokenReused, How::Operator] {
        given([]).when(ask(Action::End(how))).then_expect_events(vec![Event::Ended { how, at: T1 }]);
    }
    let ended = Event::Ended { how: How::SignedOut, at: T0 };
    given([ended]).when(ask(Action::End(How::TokenReused))).then_expect_events(vec![]);
}

#[test]
fn what_is_over_by_time_needs_no_end() {
    let late = Command { now: UNTIL, action: Action::End(How::SignedOut) };
    given([]).when(late).then_expect_events(vec![]);
}

#[test]
fn it_is_open_from_its_start_to_its_end() {
    let mut session = Session::default();
    assert!(!session.is_open(T0), "it has not begun");
    session.evolve(&started(T0));
    assert!(session.is_open(T1) && !session.is_open(UNTIL));
    session.evolve(&Event::Ended { how: How::SignedOut, at: T1 });
    assert!(!session.is_open(T1));
    assert_eq!(session.version, 2);
}

proptest! {
    #[test]
    fn a_token_opens_to_what_it_names(id: [u8; 16], generation: u32) {
        let (ring, session) = (TestRing::default(), SessionId(Uuid::from_bytes(id)));
        let text = token::render(&ring, session, generation);
        prop_assert_eq!(token::open(&ring, &text), Some((session, generation)));
        prop_assert_eq!(text.len(), 75);
    }

    #[test]
    fn no_altered_token_opens(id: [u8; 16], at in 5_usize..75, to in "[A-Za-z0-9_-]") {
        let ring = TestRing::default();
        let text = token::render(&ring, SessionId(Uuid::from_bytes(id)), 7);
        let altered = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        prop_assume!(altered != text);
        prop_assert_eq!(token::open(&ring, &altered), None);
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let ring = TestRing::default();
    let text = token::render(&ring, SessionId(Uuid::nil()), 0);
    for bad in ["", "dcar_", &text[5..], &text[..74], &format!("{text}A"), &text.replace("dcar_", "dca_sec_")]
    {
        assert_eq!(token::open(&ring, bad), None, "{bad}");
    }
}
