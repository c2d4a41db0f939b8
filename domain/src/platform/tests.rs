//! The platform in sentences: given what happened, when something is asked, then this follows. And the claim of the link.

use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proptest::prelude::*;

use super::*;
use crate::aggregate::Decide as _;
use crate::id::Pseudonym;
use crate::testing::{TestRing, person};
use crate::time::Timestamp;

const T0: Timestamp = Timestamp(1_795_000_000_000);
const T1: Timestamp = Timestamp(1_795_000_060_000);

fn user(number: u64) -> Pseudonym {
    person(number).id
}

fn has(number: u64, role: impl Into<Option<PlatformRole>>) -> Event {
    Event::RoleChanged { user: user(number), role: role.into(), at: T0 }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Platform> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn change(number: u64, role: Option<PlatformRole>, by: By) -> Command {
    let action = Action::ChangeRole { user: user(number), role, by, fitness: Fitness::Fit };
    Command { now: T1, action }
}

fn claim(number: u64, claim: u32) -> Command {
    Command { now: T1, action: Action::Claim { user: user(number), number: claim, fitness: Fitness::Fit } }
}

fn by(number: u64) -> By {
    By::Person(user(number))
}

fn changed(number: u64, role: Option<PlatformRole>) -> Vec<Event> {
    vec![Event::RoleChanged { user: user(number), role, at: T1 }]
}

use PlatformRole::{Admin, Auditor, Owner};

#[test]
fn an_owner_gives_and_takes_every_role() {
    for role in PlatformRole::ALL {
        given([has(1, Owner)]).when(change(2, Some(role), by(1))).then_expect_events(changed(2, Some(role)));
        given([has(1, Owner), has(2, role)])
            .when(change(2, None, by(1)))
            .then_expect_events(changed(2, None));
    }
}

#[test]
fn nobody_else_gives_or_takes_any() {
    for asking in [Some(Admin), Some(Auditor), None] {
        for (before, role) in [(None, Some(Auditor)), (None, Some(Owner)), (Some(Auditor), None)] {
            given([has(1, Owner), has(2, asking), has(3, before)])
                .when(change(3, role, by(2)))
                .then_expect_error(Refusal::RankTooLow);
        }
        given([has(1, Owner), has(2, asking)])
            .when(change(2, Some(Owner), by(2)))
            .then_expect_error(Refusal::RankTooLow);
    }
}

#[test]
fn what_is_so_already_is_no_change_whoever_asks() {
    given([has(1, Admin)]).when(change(1, Some(Admin), By::Operator)).then_expect_events(vec![]);
    given([has(1, Admin)]).when(change(2, None, by(1))).then_expect_events(vec![]);
}

#[test]
fn the_last_owner_stays_unless_the_operator_takes_the_role() {
    for role in [Some(Admin), None] {
        given([has(1, Owner)]).when(change(1, role, by(1))).then_expect_error(Refusal::LastOwner);
        given([has(1, Owner), has(2, Owner)])
            .when(change(1, role, by(1)))
            .then_expect_events(changed(1, role));
        given([has(1, Owner)]).when(change(1, role, By::Operator)).then_expect_events(changed(1, role));
    }
}

#[test]
fn banned_and_erased_people_get_none_and_can_lose_theirs() {
    for (fitness, refusal) in [(Fitness::Banned, Refusal::Banned), (Fitness::Erased, Refusal::Erased)] {
        let action = |role| Action::ChangeRole { user: user(2), role, by: by(1), fitness };
        let ask = |role| Command { now: T1, action: action(role) };
        given([has(1, Owner)]).when(ask(Some(Auditor))).then_expect_error(refusal.clone());
        given([has(1, Owner), has(2, Admin)]).when(ask(None)).then_expect_events(changed(2, None));
        let claims = Command { now: T1, action: Action::Claim { user: user(2), number: 0, fitness } };
        given([]).when(claims).then_expect_error(refusal);
    }
}

#[test]
fn ownership_is_claimed_once() {
    let claimed = |number, claim| Event::OwnershipClaimed { user: user(number), number: claim, at: T1 };
    given([]).when(claim(1, 0)).then_expect_events(vec![claimed(1, 0)]);
    given([has(5, Admin)]).when(claim(1, 0)).then_expect_events(vec![claimed(1, 0)]);
    given([claimed(1, 0)]).when(claim(2, 0)).then_expect_error(Refusal::ClaimVoid);
    given([has(1, Owner)]).when(claim(2, 0)).then_expect_error(Refusal::ClaimVoid);
    // The next claim is another one.
    given([claimed(1, 0), has(1, None)]).when(claim(2, 0)).then_expect_error(Refusal::ClaimVoid);
    given([claimed(1, 0), has(1, None)]).when(claim(2, 1)).then_expect_events(vec![claimed(2, 1)]);
}

fn folded(events: &[Event]) -> Platform {
    let mut platform = Platform::default();
    events.iter().for_each(|event| platform.evolve(event));
    platform
}

#[test]
fn a_claim_is_good_for_one_ownership_of_one_database() {
    let ring = TestRing::default();
    let none = Platform::default();
    let text = claim::render(&ring, "00aa", &none).unwrap();
    assert_eq!(text.len(), claim::LENGTH);
    assert_eq!(claim::open(&ring, "00aa", &none, &text), Some(0));
    assert_eq!(claim::open(&ring, "00ab", &none, &text), None, "another database");
    let owned = folded(&[has(1, Owner)]);
    assert_eq!(claim::render(&ring, "00aa", &owned), None);
    assert_eq!(claim::open(&ring, "00aa", &owned, &text), None);
    let again = folded(&[has(1, Owner), has(1, Auditor)]);
    assert_eq!(claim::open(&ring, "00aa", &again, &text), None, "an older link");
    assert_eq!(claim::open(&ring, "00aa", &again, &claim::render(&ring, "00aa", &again).unwrap()), Some(1));
    for bad in ["", "x", &text[1..], &format!("{text}A")] {
        assert_eq!(claim::open(&ring, "00aa", &none, bad), None, "{bad}");
    }
}

proptest! {
    /// Whatever people ask of each other, nobody raises himself, and a platform that has an owner keeps one.
    #[test]
    fn no_sequence_of_wishes_raises_whoever_is_no_owner(
        wishes in proptest::collection::vec((0_u64..4, 0_u64..4, 0_usize..4), 1..40)
    ) {
        let mut platform = folded(&[has(0, Owner), has(1, Admin), has(2, Auditor)]);
        for (asking, target, role) in wishes {
            let role = PlatformRole::ALL.get(role).copied();
            let before = platform.clone();
            let events = platform.decide(&change(target, role, by(asking))).unwrap_or_default();
            events.iter().for_each(|event| platform.evolve(event));
            prop_assert!(platform.has_owner());
            if before.role(&user(asking)) != Some(Owner) {
                prop_assert_eq!(&platform.roles, &before.roles);
            }
        }
    }
}
