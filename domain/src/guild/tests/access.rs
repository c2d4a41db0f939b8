//! Staff and API keys.

use super::*;
use crate::credential::{ApiKeyId, ApiKeyKind, Scope};

fn staffed(user: u64, role: StaffRole) -> Event {
    Event::StaffChanged { person: person(user), role: Some(role), at: T1 }
}

fn dismissed(user: u64) -> Event {
    Event::StaffChanged { person: person(user), role: None, at: T1 }
}

fn change(user: u64, role: Option<StaffRole>, granted_by: StaffRole) -> Command {
    ask(Action::ChangeStaff { person: person(user), role, granted_by })
}

use StaffRole::{Admin, Auditor, Moderator, Owner};

#[test]
fn a_rank_is_granted_changed_and_taken() {
    given([]).when(change(2, Some(Moderator), Admin)).then_expect_events(vec![staffed(2, Moderator)]);
    let moderated = || given([staffed(2, Moderator)]);
    moderated().when(change(2, Some(Auditor), Admin)).then_expect_events(vec![staffed(2, Auditor)]);
    moderated().when(change(2, None, Admin)).then_expect_events(vec![dismissed(2)]);
    moderated().when(change(2, Some(Moderator), Admin)).then_expect_events(vec![]);
    given([]).when(change(2, None, Admin)).then_expect_events(vec![]);
}

#[test]
fn only_the_owner_makes_admins() {
    given([]).when(change(2, Some(Admin), Owner)).then_expect_events(vec![staffed(2, Admin)]);
    for own in [Admin, Moderator, Auditor] {
        given([]).when(change(2, Some(Admin), own)).then_expect_error(Refusal::RankTooLow {
            rank: Admin,
            needed: Owner,
            own,
        });
    }
}

#[test]
fn nobody_grants_a_rank_above_his_own() {
    given([]).when(change(2, Some(Moderator), Auditor)).then_expect_error(Refusal::RankTooLow {
        rank: Moderator,
        needed: Moderator,
        own: Auditor,
    });
}

#[test]
fn nobody_takes_a_rank_above_his_own() {
    for role in [None, Some(Auditor)] {
        given([staffed(2, Admin)]).when(change(2, role, Moderator)).then_expect_error(Refusal::RankTooLow {
            rank: Admin,
            needed: Admin,
            own: Moderator,
        });
    }
    given([staffed(2, Admin)]).when(change(2, None, Admin)).then_expect_events(vec![dismissed(2)]);
}

#[test]
fn ownership_comes_from_discord_only() {
    given([]).when(change(2, Some(Owner), Owner)).then_expect_error(Refusal::OwnerIsOfDiscord);
}

#[test]
fn a_guild_has_at_most_200_members_of_staff() {
    let full = || (0..STAFF_MAX as u64).map(|n| staffed(1_000 + n, Auditor));
    given(full())
        .when(change(2, Some(Auditor), Owner))
        .then_expect_error(Refusal::LimitReached { what: "members of staff", limit: STAFF_MAX });
    given(full())
        .when(change(1_005, Some(Moderator), Owner))
        .then_expect_events(vec![staffed(1_005, Moderator)]);
    given(full().chain([dismissed(1_005)]))
        .when(change(2, Some(Auditor), Owner))
        .then_expect_events(vec![staffed(2, Auditor)]);
}

fn id(n: u8) -> ApiKeyId {
    ApiKeyId::new(GUILD, [0, 0, 0, n])
}

fn issue(kind: ApiKeyKind, scopes: Option<&[Scope]>) -> Action {
    let scopes = scopes.map(<[_]>::to_vec);
    Action::IssueApiKey { id: id(1), kind, scopes, name: None, expires_at: None, version: None }
}

fn issued(n: u8, kind: ApiKeyKind, scopes: &[Scope]) -> Event {
    Event::ApiKeyIssued {
        key_id: id(n),
        kind,
        scopes: scopes.to_vec(),
        label: None,
        expires_at: None,
        api_version: None,
        at: T1,
    }
}

use ApiKeyKind::{Publishable, Secret};

#[test]
fn keys_have_the_scopes_of_their_kind() {
    given([]).when(ask(issue(Publishable, None))).then_expect_events(vec![issued(
        1,
        Publishable,
        &Scope::PUBLISHABLE,
    )]);
    given([]).when(ask(issue(Secret, None))).then_expect_events(vec![issued(
        1,
        Secret,
        &Scope::SECRET_DEFAULT,
    )]);
}

#[test]
fn a_secret_key_may_be_issued_with_any_scopes() {
    let asked = [Scope::LicensesReveal, Scope::Validate, Scope::LicensesReveal];
    given([]).when(ask(issue(Secret, Some(&asked)))).then_expect_events(vec![issued(
        1,
        Secret,
        &[Scope::Validate, Scope::LicensesReveal],
    )]);
    invalid("scopes")(given([]).when(ask(issue(Secret, Some(&[])))).inspect_result());
}

#[test]
fn a_publishable_key_has_exactly_its_four_scopes() {
    let mut more = Scope::PUBLISHABLE.to_vec();
    more.push(Scope::LicensesRead);
    let extra = |scope| Refusal::ScopeNotAllowed { extra: scope };
    given([]).when(ask(issue(Publishable, Some(&more)))).then_expect_error(extra(Some(Scope::LicensesRead)));
    given([]).when(ask(issue(Publishable, Some(&[Scope::Validate])))).then_expect_error(extra(None));
    let mut turned = Scope::PUBLISHABLE;
    turned.reverse();
    assert!(given([]).when(ask(issue(Publishable, Some(&turned)))).inspect_result().is_ok());
}

#[test]
fn a_key_has_a_name_an_end_and_its_guild() {
    let draft = |id, name: Option<&str>, expires_at| Action::IssueApiKey {
        id,
        kind: Secret,
        scopes: None,
        name: name.map(Into::into),
        expires_at,
        version: None,
    };
    invalid("name")(given([]).when(ask(draft(id(1), Some(""), None))).inspect_result());
    invalid("expiresAt")(given([]).when(ask(draft(id(1), None, Some(T1)))).inspect_result());
    let foreign = ApiKeyId::new(GuildId(7), [0; 4]);
    invalid("id")(given([]).when(ask(draft(foreign, None, None))).inspect_result());
    let end = T1 + Span::days(1);
    let guild = folded(given([]).when(ask(draft(id(1), Some("ci"), Some(end)))).inspect_result().unwrap());
    let key = guild.api_key(id(1)).unwrap();
    assert_eq!((key.name.as_deref(), key.expires_at, key.revoked_at), (Some("ci"), Some(end), None));
}

#[test]
fn a_key_keeps_the_version_that_it_was_issued_in() {
    let version = "2026-11-01".parse().ok();
    let action =
        Action::IssueApiKey { id: id(1), kind: Secret, scopes: None, name: None, expires_at: None, version };
    let guild = folded(given([]).when(ask(action)).inspect_result().unwrap());
    assert!(version.is_some() && guild.api_key(id(1)).unwrap().version == version);
}

#[test]
fn the_same_key_is_issued_once_and_its_id_serves_no_other() {
    let known = || given([issued(1, Secret, &Scope::SECRET_DEFAULT)]);
    known().when(ask(issue(Secret, None))).then_expect_events(vec![]);
    invalid("id")(known().when(ask(issue(Publishable, None))).inspect_result());
    let revoked = Event::ApiKeyRevoked { key_id: id(1), at: T1 };
    invalid("id")(
        given([issued(1, Secret, &Scope::SECRET_DEFAULT), revoked])
            .when(ask(issue(Secret, None)))
            .inspect_result(),
    );
}

#[test]
fn a_guild_has_at_most_a_hundred_keys_that_are_not_revoked() {
    let full = || (100..100 + API_KEYS_MAX as u8).map(|n| issued(n, Secret, &[Scope::Validate]));
    given(full())
        .when(ask(issue(Secret, None)))
        .then_expect_error(Refusal::LimitReached { what: "API keys", limit: API_KEYS_MAX });
    let revoked = Event::ApiKeyRevoked { key_id: id(150), at: T1 };
    assert!(given(full().chain([revoked])).when(ask(issue(Secret, None))).inspect_result().is_ok());
}

#[test]
fn a_key_is_revoked_once() {
    let revoke = || ask(Action::RevokeApiKey { id: id(1) });
    let revoked = Event::ApiKeyRevoked { key_id: id(1), at: T1 };
    given([]).when(revoke()).then_expect_error(Refusal::ApiKeyNotFound { id: id(1) });
    let known = issued(1, Secret, &[Scope::Validate]);
    given([known.clone()]).when(revoke()).then_expect_events(vec![revoked.clone()]);
    given([known, revoked]).when(revoke()).then_expect_events(vec![]);
}
