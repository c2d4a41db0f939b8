//! The guild in sentences: given what happened, when something is asked, then this follows.

mod access;
mod facts;
mod rules;
mod webhooks;

use std::collections::BTreeSet;

use cqrs_es::test::{AggregateTestExecutor, TestFramework};

use super::*;
use crate::aggregate::{Decide, Refuse};
use crate::id::{GuildId, RoleId};
use crate::terms::TermsChange;
use crate::testing::person;
use crate::time::{Span, Timestamp};

pub(super) const GUILD: GuildId = GuildId(613_425_648_685_547_541);
pub(super) const T0: Timestamp = Timestamp(1_795_000_000_000);
pub(super) const T1: Timestamp = Timestamp(1_795_000_060_000);

pub(super) fn roles(ids: &[u64]) -> BTreeSet<RoleId> {
    ids.iter().copied().map(RoleId).collect()
}

pub(super) fn registered() -> Event {
    Event::Registered {
        guild_id: GUILD,
        name: "Ada's workshop".to_owned(),
        owner: person(1),
        watched_roles: roles(&[70]),
        at: T0,
    }
}

/// A registered guild, and what happened to it since.
pub(super) fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Guild> {
    TestFramework::with(()).given(std::iter::once(registered()).chain(events).collect())
}

pub(super) fn unregistered() -> AggregateTestExecutor<Guild> {
    TestFramework::with(()).given_no_previous_events()
}

/// Asked a minute later.
pub(super) fn ask(action: Action) -> Command {
    Command { now: T1, action }
}

pub(super) fn folded(events: impl IntoIterator<Item = Event>) -> Guild {
    let mut guild = Guild::default();
    std::iter::once(registered()).chain(events).for_each(|event| guild.evolve(&event));
    guild
}

pub(super) fn invalid(pointer: &'static str) -> impl Fn(Result<Vec<Event>, Refusal>) {
    move |result| match result.unwrap_err() {
        Refusal::InvalidValue { pointer: found, .. } => assert_eq!(found, pointer),
        other => panic!("{other}"),
    }
}

fn register(name: &str, owner: u64, watched: &[u64]) -> Command {
    let (name, owner, watched_roles) = (name.to_owned(), person(owner), roles(watched));
    ask(Action::Register { id: GUILD, name, owner, watched_roles })
}

#[test]
fn an_unknown_guild_is_registered() {
    unregistered().when(register("Ada's workshop", 1, &[70])).then_expect_events(vec![Event::Registered {
        guild_id: GUILD,
        name: "Ada's workshop".to_owned(),
        owner: person(1),
        watched_roles: roles(&[70]),
        at: T1,
    }]);
}

#[test]
fn registering_again_with_the_same_facts_is_no_event() {
    given([]).when(register("Ada's workshop", 1, &[70])).then_expect_events(vec![]);
}

#[test]
fn registering_again_with_another_name_owner_or_watched_role_changes_the_profile() {
    for (name, owner, watched) in
        [("Workshop", 1, &[70][..]), ("Ada's workshop", 2, &[70]), ("Ada's workshop", 1, &[70, 71])]
    {
        given([]).when(register(name, owner, watched)).then_expect_events(vec![Event::ProfileChanged {
            name: name.to_owned(),
            owner: person(owner),
            watched_roles: roles(watched),
            at: T1,
        }]);
    }
}

#[test]
fn a_guild_is_not_registered_under_another_id() {
    let action = Action::Register {
        id: GuildId(7),
        name: String::new(),
        owner: person(1),
        watched_roles: BTreeSet::new(),
    };
    invalid("guildId")(given([]).when(ask(action)).inspect_result());
}

#[test]
fn registering_does_not_bring_the_bot_back() {
    let guild = folded([Event::Left { at: T1 }]);
    assert_eq!(guild.decide(&register("Ada's workshop", 1, &[70])), Ok(vec![]));
    assert!(!guild.present);
}

#[test]
fn whatever_else_is_asked_of_an_unknown_guild_is_refused() {
    let actions = [
        Action::ChangeSettings(SettingsChange::default()),
        Action::Leave,
        Action::Rejoin,
        Action::DefineType { slug: "pro".into(), name: "Pro".into(), terms: TermsChange::default() },
        Action::RetireType { slug: "pro".into() },
        Action::RemoveWebhook { id: uuid::Uuid::nil() },
    ];
    for action in actions {
        unregistered().when(ask(action)).then_expect_error(Refusal::NotFound);
    }
}

#[test]
fn the_bot_leaves_once_and_returns_once() {
    given([]).when(ask(Action::Leave)).then_expect_events(vec![Event::Left { at: T1 }]);
    given([]).when(ask(Action::Rejoin)).then_expect_events(vec![]);
    let left = || given([Event::Left { at: T0 }]);
    left().when(ask(Action::Leave)).then_expect_events(vec![]);
    left().when(ask(Action::Rejoin)).then_expect_events(vec![Event::Rejoined { at: T1 }]);
    given([Event::Left { at: T0 }, Event::Rejoined { at: T0 }])
        .when(ask(Action::Rejoin))
        .then_expect_events(vec![]);
}

#[test]
fn settings_change_member_by_member() {
    let change = SettingsChange {
        key_prefix: Some("ACME".parse().unwrap()),
        expiring_ahead: Some(Some(Span::days(7))),
        ..SettingsChange::default()
    };
    let settings = Settings {
        key_prefix: "ACME".parse().unwrap(),
        expiring_ahead: Some(Span::days(7)),
        ..Settings::default()
    };
    let changed = Event::SettingsChanged { settings: settings.clone(), at: T1 };
    given([]).when(ask(Action::ChangeSettings(change.clone()))).then_expect_events(vec![changed.clone()]);
    given([changed.clone()]).when(ask(Action::ChangeSettings(change))).then_expect_events(vec![]);

    let cleared = SettingsChange {
        expiring_ahead: Some(None),
        delivery: Some(Delivery::Panel),
        sign_answers: Some(true),
        locale: Some(Locale::De),
        log_channel_id: Some(Some(crate::id::ChannelId(9))),
        sharing: Some(Sharing { detect: true, ..Sharing::default() }),
        ..SettingsChange::default()
    };
    let expected = Settings {
        expiring_ahead: None,
        delivery: Delivery::Panel,
        sign_answers: true,
        locale: Locale::De,
        log_channel_id: Some(crate::id::ChannelId(9)),
        sharing: Sharing { detect: true, ..Sharing::default() },
        ..settings
    };
    given([changed])
        .when(ask(Action::ChangeSettings(cleared)))
        .then_expect_events(vec![Event::SettingsChanged { settings: expected, at: T1 }]);
}

#[test]
fn settings_that_change_nothing_are_no_event() {
    given([]).when(ask(Action::ChangeSettings(SettingsChange::default()))).then_expect_events(vec![]);
}

#[test]
fn an_announcement_ahead_of_nothing_is_refused() {
    let change = SettingsChange { expiring_ahead: Some(Some(Span::ZERO)), ..SettingsChange::default() };
    invalid("expiringAhead")(given([]).when(ask(Action::ChangeSettings(change))).inspect_result());
}

#[test]
fn limits_of_sharing_that_cannot_be_meant_are_refused() {
    let ask = |sharing| {
        let change = SettingsChange { sharing: Some(sharing), ..SettingsChange::default() };
        given([]).when(ask(Action::ChangeSettings(change))).inspect_result()
    };
    let with = |change: fn(&mut Sharing)| {
        let mut sharing = Sharing { detect: true, ..Sharing::default() };
        change(&mut sharing);
        sharing
    };
    for (member, change) in [
        ("sharing/devices", (|sharing| sharing.devices = Some(0)) as fn(&mut Sharing)),
        ("sharing/networks", |sharing| sharing.networks = Some(1_001)),
        ("sharing/churn", |sharing| sharing.churn = Some(0)),
        ("sharing/window", |sharing| sharing.window = Some(Span::seconds(3_599))),
        ("sharing/window", |sharing| sharing.window = Some(Span::days(31))),
    ] {
        invalid(member)(ask(with(change)));
    }
    let sharing = with(|sharing| {
        (sharing.devices, sharing.networks, sharing.churn) = (Some(1), Some(1_000), None);
        sharing.window = Some(Span::hours(1));
    });
    assert_eq!(ask(sharing).unwrap().len(), 1);
}

#[test]
fn settings_from_before_there_were_limits_of_sharing_have_the_defaults() {
    let old = r#"{"detect":true,"autoSuspend":false}"#;
    let sharing: Sharing = serde_json::from_str(old).unwrap();
    assert_eq!(sharing, Sharing { detect: true, ..Sharing::default() });
    assert_eq!((sharing.window(), serde_json::to_string(&sharing).unwrap()), (Span::days(1), old.to_owned()));
}

#[test]
fn every_event_counts_and_dates_the_guild() {
    let guild = folded([Event::Left { at: T1 }]);
    assert_eq!((guild.version(), guild.created_at, guild.updated_at), (2, T0, T1));
    assert_eq!(folded([Event::WebhookRemoved { webhook_id: uuid::Uuid::nil(), at: T1 }]).version, 2);
}

#[test]
fn every_refusal_has_a_code_a_sentence_and_a_remedy() {
    let slug = || "pro".to_owned();
    let rule = RuleId(uuid::Uuid::nil());
    let refusals = [
        Refusal::NotFound,
        Refusal::InvalidValue { pointer: "slug", problem: "must be short" },
        Refusal::TypeExists { slug: slug() },
        Refusal::TypeNotFound { slug: slug() },
        Refusal::TypeRetired { slug: slug() },
        Refusal::RuleLoop { role: RoleId(5), slug: slug() },
        Refusal::RuleExists { rule },
        Refusal::RuleNotFound { rule },
        Refusal::RankTooLow { rank: StaffRole::Admin, needed: StaffRole::Owner, own: StaffRole::Moderator },
        Refusal::OwnerIsOfDiscord,
        Refusal::ScopeNotAllowed { extra: None },
        Refusal::ScopeNotAllowed { extra: Some(crate::credential::Scope::AuditRead) },
        Refusal::ApiKeyNotFound { id: crate::credential::ApiKeyId::new(GUILD, [1, 2, 3, 4]) },
        Refusal::WebhookNotFound { id: uuid::Uuid::nil() },
        Refusal::LimitReached { what: "webhooks", limit: 50 },
    ];
    let codes: BTreeSet<&str> = refusals.iter().map(Refuse::code).collect();
    assert_eq!(codes, Refusal::CODES.iter().copied().collect());
    assert!(Refusal::CODES.is_sorted());
    for refusal in refusals {
        assert!(!refusal.to_string().is_empty());
        assert!(refusal.help().ends_with('.'), "{}", refusal.help());
    }
}
