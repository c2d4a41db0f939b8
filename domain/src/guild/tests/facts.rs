//! What others ask of a guild.

use super::*;
use crate::credential::{ApiKeyId, ApiKeyKind, Scope};
use crate::terms::Terms;

fn set(n: u128, source: RuleSource) -> Event {
    let rule_id = RuleId(uuid::Uuid::from_u128(n));
    Event::RoleRuleSet { rule_id, source, license_type: "pro".into(), at: T1 }
}

fn removed(n: u128, existing: ExistingLicenses) -> Event {
    Event::RoleRuleRemoved { rule_id: RuleId(uuid::Uuid::from_u128(n)), existing, at: T1 }
}

#[test]
fn mapped_roles_are_those_of_rules_that_were_not_removed() {
    let role = |id| RuleSource::Role { role_id: RoleId(id) };
    let guild = folded([
        set(1, role(10)),
        set(2, role(11)),
        set(3, role(12)),
        set(4, RuleSource::Sku { sku_id: RoleId(900) }),
        removed(2, ExistingLicenses::Keep),
        removed(3, ExistingLicenses::Lose),
    ]);
    assert_eq!(guild.mapped_roles(), roles(&[10, 900]));
    assert_eq!(guild.relevant_roles(), roles(&[10, 70, 900]));
    assert_eq!(guild.active_rules().count(), 2);
}

#[test]
fn types_are_found_by_slug() {
    let defined = Event::LicenseTypeDefined {
        slug: "pro".into(),
        name: "Pro".into(),
        terms: Terms { grants_role_id: Some(RoleId(5)), ..Terms::default() },
        at: T0,
    };
    let guild = folded([defined.clone()]);
    assert!(guild.license_type("pro").is_some() && guild.issuing_type("pro").is_some());
    assert_eq!(guild.granting_type(RoleId(5)).unwrap().slug, "pro");
    let retired = folded([defined, Event::LicenseTypeRetired { slug: "pro".into(), at: T1 }]);
    assert!(retired.license_type("pro").is_some() && retired.issuing_type("pro").is_none());
    assert!(retired.granting_type(RoleId(5)).is_none() && retired.license_type("beta").is_none());
}

#[test]
fn an_api_key_works_until_its_end_or_its_revocation() {
    let id = ApiKeyId::new(GUILD, [9; 4]);
    let issued = Event::ApiKeyIssued {
        key_id: id,
        kind: ApiKeyKind::Secret,
        scopes: vec![Scope::Validate],
        label: None,
        expires_at: Some(T1),
        api_version: None,
        at: T0,
    };
    let guild = folded([issued.clone()]);
    let key = guild.api_key(id).unwrap();
    assert_eq!(key.usable_at(T0), Ok(()));
    assert_eq!(key.usable_at(Timestamp(T1.0 - 1)), Ok(()));
    assert_eq!(key.usable_at(T1), Err(ApiKeyState::Expired));
    let guild = folded([issued, Event::ApiKeyRevoked { key_id: id, at: T0 }]);
    assert_eq!(guild.api_key(id).unwrap().usable_at(T0), Err(ApiKeyState::Revoked));
    assert_eq!(guild.api_key(id).unwrap().usable_at(T1), Err(ApiKeyState::Revoked));
}

#[test]
fn the_highest_of_ownership_staff_and_watched_roles_is_the_rank() {
    let entry = |user, role| Event::StaffChanged { person: person(user), role: Some(role), at: T1 };
    let guild =
        folded([entry(2, StaffRole::Auditor), entry(3, StaffRole::Admin), entry(1, StaffRole::Auditor)]);
    let rank = |user, held: &[u64]| guild.rank_of(&person(user).id, &roles(held));
    assert_eq!(rank(1, &[]), Some(StaffRole::Owner));
    assert_eq!(rank(2, &[]), Some(StaffRole::Auditor));
    assert_eq!(rank(2, &[70]), Some(StaffRole::Admin));
    assert_eq!(rank(3, &[]), Some(StaffRole::Admin));
    assert_eq!(rank(4, &[70, 10]), Some(StaffRole::Admin));
    assert_eq!(rank(4, &[10]), None);
}

#[test]
fn ownership_follows_discord() {
    let handed_on = Event::ProfileChanged {
        name: "Ada's workshop".into(),
        owner: person(2),
        watched_roles: roles(&[]),
        at: T1,
    };
    let guild = folded([handed_on]);
    assert_eq!(guild.rank_of(&person(1).id, &roles(&[70])), None);
    assert_eq!(guild.rank_of(&person(2).id, &roles(&[])), Some(StaffRole::Owner));
}
