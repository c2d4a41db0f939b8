//! The member in sentences: given what happened, when something is observed or asked, then this follows.

use std::collections::BTreeSet;

use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use uuid::Uuid;

use super::*;
use crate::aggregate::{Decide, Refuse};
use crate::guild::RuleId;
use crate::id::{GuildId, LicenseId, RoleId};
use crate::testing::person;
use crate::time::Timestamp;

const GUILD: GuildId = GuildId(613_425_648_685_547_541);
const T0: Timestamp = Timestamp(1_795_000_000_000);
/// When it was seen, and a moment later when it is decided.
const SEEN: Timestamp = Timestamp(1_795_000_060_000);
const T1: Timestamp = Timestamp(1_795_000_060_005);

fn roles(ids: &[u64]) -> BTreeSet<RoleId> {
    ids.iter().copied().map(RoleId).collect()
}

fn rule(n: u128) -> RuleId {
    RuleId(Uuid::from_u128(n))
}

fn rules(ids: &[u128]) -> BTreeSet<RuleId> {
    ids.iter().copied().map(rule).collect()
}

fn license(generation: u32) -> LicenseId {
    LicenseId(Uuid::from_u128(1_000 + u128::from(generation)))
}

fn pro() -> String {
    "pro".to_owned()
}

fn joined(at: Timestamp) -> Event {
    Event::Joined { guild_id: GUILD, person: person(1), at }
}

/// From nothing, or from `before`, to `after`.
fn turned(before: &[u64], after: &[u64], observed_at: Timestamp, at: Timestamp) -> Event {
    let (before, after) = (roles(before), roles(after));
    Event::RolesChanged {
        added: after.difference(&before).copied().collect(),
        removed: before.difference(&after).copied().collect(),
        roles: after,
        observed_at,
        at,
    }
}

fn opened(generation: u32, sources: &[u128], at: Timestamp) -> Event {
    let (license_id, sources) = (license(generation), rules(sources));
    Event::SlotOpened { license_type: pro(), generation, license_id, sources, at }
}

fn closed(generation: u32, at: Timestamp) -> Event {
    Event::SlotClosed { license_type: pro(), generation, at }
}

fn blocked(at: Timestamp) -> Event {
    Event::SlotBlocked { license_type: pro(), at }
}

fn unblocked(at: Timestamp) -> Event {
    Event::SlotUnblocked { license_type: pro(), at }
}

fn added(n: u128, at: Timestamp) -> Event {
    Event::SourceAdded { license_type: pro(), rule_id: rule(n), at }
}

fn removed(n: u128, last: bool, at: Timestamp) -> Event {
    Event::SourceRemoved { license_type: pro(), rule_id: rule(n), last, at }
}

/// A member with role 10, and what happened since.
fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Member> {
    TestFramework::with(()).given(history(events))
}

fn unknown() -> AggregateTestExecutor<Member> {
    TestFramework::with(()).given_no_previous_events()
}

fn history(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    [joined(T0), turned(&[], &[10], T0, T0)].into_iter().chain(events).collect()
}

fn folded(events: impl IntoIterator<Item = Event>) -> Member {
    let mut member = Member::default();
    history(events).iter().for_each(|event| member.evolve(event));
    member
}

fn observe(present: bool, ids: &[u64], observed_at: Timestamp, changes: Vec<SlotChange>) -> Command {
    let (person, roles) = (person(1), roles(ids));
    Command {
        now: T1,
        action: Action::Observe { guild: GUILD, person, present, roles, observed_at, changes },
    }
}

fn see(ids: &[u64], changes: Vec<SlotChange>) -> Command {
    observe(true, ids, SEEN, changes)
}

fn leave(changes: Vec<SlotChange>) -> Command {
    observe(false, &[], SEEN, changes)
}

fn ask(action: Action) -> Command {
    Command { now: T1, action }
}

fn open(generation: u32, sources: &[u128]) -> SlotChange {
    let (license_id, sources) = (license(generation), rules(sources));
    SlotChange::Open { license_type: pro(), generation, license_id, sources }
}

fn add(n: u128) -> SlotChange {
    SlotChange::AddSource { license_type: pro(), rule: rule(n) }
}

fn remove(n: u128) -> SlotChange {
    SlotChange::RemoveSource { license_type: pro(), rule: rule(n) }
}

fn close() -> SlotChange {
    SlotChange::Close { license_type: pro() }
}

fn plan_block() -> SlotChange {
    SlotChange::Block { license_type: pro() }
}

fn block() -> Command {
    ask(Action::Block { license_type: pro() })
}

fn unblock() -> Command {
    ask(Action::Unblock { license_type: pro() })
}

fn stale(result: Result<Vec<Event>, Refusal>) {
    assert_eq!(result.unwrap_err().code(), "STALE_PLAN");
}

#[test]
fn a_member_begins_at_his_first_role() {
    unknown().when(see(&[10], vec![open(1, &[1])])).then_expect_events(vec![
        joined(SEEN),
        turned(&[], &[10], SEEN, T1),
        opened(1, &[1], T1),
    ]);
}

#[test]
fn somebody_unknown_without_a_role_leaves_no_trace() {
    unknown().when(see(&[], vec![])).then_expect_events(vec![]);
    unknown().when(leave(vec![])).then_expect_events(vec![]);
    unknown().when(observe(false, &[10], SEEN, vec![])).then_expect_events(vec![]);
}

#[test]
fn a_plan_for_somebody_who_stays_unknown_is_stale() {
    stale(unknown().when(see(&[], vec![open(1, &[1])])).inspect_result());
    stale(unknown().when(see(&[], vec![add(1)])).inspect_result());
}

#[test]
fn the_same_observation_again_is_no_event() {
    given([]).when(see(&[10], vec![])).then_expect_events(vec![]);
}

#[test]
fn changed_roles_say_what_came_and_what_went() {
    given([]).when(see(&[11, 12], vec![])).then_expect_events(vec![Event::RolesChanged {
        roles: roles(&[11, 12]),
        added: roles(&[11, 12]),
        removed: roles(&[10]),
        observed_at: SEEN,
        at: T1,
    }]);
}

#[test]
fn leaving_is_losing_every_role() {
    let expected = || vec![Event::Left { at: SEEN }, turned(&[10], &[], SEEN, T1)];
    given([]).when(leave(vec![])).then_expect_events(expected());
    given([]).when(observe(false, &[10, 11], SEEN, vec![])).then_expect_events(expected());
}

#[test]
fn leaving_without_roles_is_leaving_only() {
    given([turned(&[10], &[], T0, T0)])
        .when(leave(vec![]))
        .then_expect_events(vec![Event::Left { at: SEEN }]);
}

#[test]
fn whoever_left_leaves_once_and_comes_back() {
    let gone = || given([Event::Left { at: T0 }, turned(&[10], &[], T0, T0)]);
    gone().when(leave(vec![])).then_expect_events(vec![]);
    gone().when(see(&[], vec![])).then_expect_events(vec![Event::Rejoined { at: SEEN }]);
    gone()
        .when(see(&[10], vec![]))
        .then_expect_events(vec![Event::Rejoined { at: SEEN }, turned(&[], &[10], SEEN, T1)]);
}

#[test]
fn an_older_observation_decides_nothing() {
    let before = Timestamp(T0.0 - 1);
    given([]).when(observe(true, &[11], before, vec![open(1, &[1])])).then_expect_events(vec![]);
    given([]).when(observe(true, &[11], T0, vec![])).then_expect_events(vec![turned(&[10], &[11], T0, T1)]);
    let gone = folded([turned(&[10], &[], T0, T0), Event::Left { at: SEEN }]);
    assert!(gone.is_outdated(Timestamp(SEEN.0 - 1)) && !gone.is_outdated(SEEN));
    assert_eq!(gone.decide(&observe(true, &[10], Timestamp(SEEN.0 - 1), vec![])), Ok(vec![]));
    let back = folded([Event::Left { at: T0 }, Event::Rejoined { at: SEEN }]);
    assert_eq!(back.decide(&observe(false, &[], Timestamp(SEEN.0 - 1), vec![])), Ok(vec![]));
    assert!(!Member::default().is_outdated(before));
}

#[test]
fn an_observation_of_another_is_refused() {
    let about = |guild, user| {
        let (person, roles, changes) = (person(user), roles(&[10]), vec![]);
        ask(Action::Observe { guild, person, present: true, roles, observed_at: SEEN, changes })
    };
    given([]).when(about(GuildId(7), 1)).then_expect_error(Refusal::OtherMember);
    given([]).when(about(GUILD, 2)).then_expect_error(Refusal::OtherMember);
}

#[test]
fn a_slot_opens_with_its_first_generation() {
    given([]).when(see(&[10], vec![open(1, &[1, 2])])).then_expect_events(vec![opened(1, &[1, 2], T1)]);
    stale(given([]).when(see(&[10], vec![open(2, &[1])])).inspect_result());
    stale(given([]).when(see(&[10], vec![open(0, &[1])])).inspect_result());
    stale(given([]).when(see(&[10], vec![open(1, &[])])).inspect_result());
}

#[test]
fn a_closed_slot_opens_with_the_next_generation() {
    let shut = || given([opened(1, &[1], T0), removed(1, true, T0), closed(1, T0)]);
    shut().when(see(&[10], vec![open(2, &[1])])).then_expect_events(vec![opened(2, &[1], T1)]);
    stale(shut().when(see(&[10], vec![open(1, &[1])])).inspect_result());
    stale(shut().when(see(&[10], vec![open(3, &[1])])).inspect_result());
}

#[test]
fn an_open_or_blocked_slot_is_not_opened() {
    stale(given([opened(1, &[1], T0)]).when(see(&[10], vec![open(2, &[1])])).inspect_result());
    let shut = [opened(1, &[1], T0), closed(1, T0), blocked(T0)];
    stale(given(shut).when(see(&[10], vec![open(2, &[1])])).inspect_result());
}

#[test]
fn sources_come_and_go() {
    let held = || given([opened(1, &[1], T0)]);
    held().when(see(&[10], vec![add(2)])).then_expect_events(vec![added(2, T1)]);
    held()
        .when(see(&[10], vec![add(2), remove(1)]))
        .then_expect_events(vec![added(2, T1), removed(1, false, T1)]);
    held().when(see(&[], vec![remove(1), close()])).then_expect_events(vec![
        turned(&[10], &[], SEEN, T1),
        removed(1, true, T1),
        closed(1, T1),
    ]);
}

#[test]
fn a_source_fits_once() {
    let held = || given([opened(1, &[1], T0)]);
    stale(held().when(see(&[10], vec![add(1)])).inspect_result());
    stale(held().when(see(&[10], vec![add(2), add(2)])).inspect_result());
    stale(held().when(see(&[10], vec![remove(2)])).inspect_result());
    stale(given([]).when(see(&[10], vec![add(1)])).inspect_result());
    stale(given([]).when(see(&[10], vec![remove(1)])).inspect_result());
}

#[test]
fn a_slot_is_closed_once() {
    stale(given([]).when(see(&[10], vec![close()])).inspect_result());
    stale(given([opened(1, &[1], T0), closed(1, T0)]).when(see(&[10], vec![close()])).inspect_result());
    stale(given([opened(1, &[1], T0)]).when(see(&[10], vec![close(), close()])).inspect_result());
}

#[test]
fn a_slot_may_close_and_open_in_one_plan() {
    given([opened(1, &[1], T0)])
        .when(see(&[10], vec![close(), open(2, &[1])]))
        .then_expect_events(vec![closed(1, T1), opened(2, &[1], T1)]);
}

#[test]
fn a_plan_that_does_not_fit_takes_nothing_of_the_observation() {
    stale(given([]).when(see(&[11], vec![open(1, &[1]), add(1)])).inspect_result());
}

#[test]
fn a_plan_may_block_what_was_left_open() {
    given([opened(1, &[1], T0)])
        .when(see(&[10], vec![plan_block()]))
        .then_expect_events(vec![closed(1, T1), blocked(T1)]);
    stale(given([]).when(see(&[10], vec![plan_block()])).inspect_result());
    let shut = [opened(1, &[1], T0), closed(1, T0), blocked(T0)];
    stale(given(shut).when(see(&[10], vec![plan_block()])).inspect_result());
}

#[test]
fn blocking_closes_an_open_slot() {
    given([opened(1, &[1], T0)]).when(block()).then_expect_events(vec![closed(1, T1), blocked(T1)]);
    given([opened(1, &[1], T0), closed(1, T0)]).when(block()).then_expect_events(vec![blocked(T1)]);
    let shut = [opened(1, &[1], T0), closed(1, T0), blocked(T0)];
    given(shut).when(block()).then_expect_events(vec![]);
}

#[test]
fn a_blocked_slot_still_tracks_its_sources() {
    let shut = || given([opened(1, &[1], T0), closed(1, T0), blocked(T0)]);
    shut().when(see(&[10], vec![add(2)])).then_expect_events(vec![added(2, T1)]);
    shut().when(see(&[10], vec![remove(1)])).then_expect_events(vec![removed(1, true, T1)]);
}

#[test]
fn unblocking_lets_sources_open_the_slot_again() {
    let shut = [opened(1, &[1], T0), closed(1, T0), blocked(T0)];
    given(shut.clone()).when(unblock()).then_expect_events(vec![unblocked(T1)]);
    let free = || given(shut.clone().into_iter().chain([unblocked(T0)]));
    free().when(unblock()).then_expect_events(vec![]);
    free().when(see(&[10], vec![open(2, &[1])])).then_expect_events(vec![opened(2, &[1], T1)]);
}

#[test]
fn only_a_slot_of_a_known_member_is_blocked() {
    for command in [block(), unblock()] {
        unknown().when(command.clone()).then_expect_error(Refusal::NotFound);
        given([]).when(command).then_expect_error(Refusal::SlotNotFound { license_type: pro() });
    }
}

#[test]
fn a_failed_delivery_is_recorded_once_until_there_is_something_new_to_deliver() {
    let fail = || ask(Action::RecordDeliveryFailure { code: 50_007 });
    let failed = || Event::DeliveryFailed { code: 50_007, at: T1 };
    unknown().when(fail()).then_expect_error(Refusal::NotFound);
    given([]).when(fail()).then_expect_events(vec![failed()]);
    given([failed()]).when(fail()).then_expect_events(vec![]);
    given([failed(), opened(1, &[1], T0)]).when(fail()).then_expect_events(vec![failed()]);
    given([failed(), Event::Rejoined { at: T0 }]).when(fail()).then_expect_events(vec![failed()]);
}

#[test]
fn the_state_follows_from_the_events() {
    let member =
        folded([opened(1, &[1], T0), added(2, T0), removed(1, false, T0), closed(1, T0), blocked(T1)]);
    let slot = &member.slots["pro"];
    assert_eq!((slot.generation, slot.license_id, slot.open, slot.blocked), (1, license(1), false, true));
    assert_eq!(slot.sources, rules(&[2]));
    assert_eq!((member.version(), member.created_at, member.updated_at), (7, T0, T1));
    assert_eq!((member.present, member.guild, &member.roles), (true, Some(GUILD), &roles(&[10])));
    assert!(!folded([unblocked(T1)]).slots.contains_key("pro"));
}

#[test]
fn every_refusal_has_a_code_a_sentence_and_a_remedy() {
    let refusals = [
        Refusal::NotFound,
        Refusal::OtherMember,
        Refusal::StalePlan { license_type: pro(), mismatch: "its slot is open already" },
        Refusal::SlotNotFound { license_type: pro() },
    ];
    let codes: BTreeSet<&str> = refusals.iter().map(Refuse::code).collect();
    assert_eq!(codes, Refusal::CODES.iter().copied().collect());
    assert!(Refusal::CODES.is_sorted());
    for refusal in refusals {
        assert!(!refusal.to_string().is_empty());
        assert!(refusal.help().ends_with('.'), "{}", refusal.help());
    }
}
