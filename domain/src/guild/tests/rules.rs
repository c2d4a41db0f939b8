//! License types and role rules.

use super::*;
use crate::terms::{ExpiryBasis, Terms};

fn named(change: TermsChange) -> (Action, Event) {
    let (slug, name) = ("pro".to_owned(), "Pro".to_owned());
    let terms = change.define();
    (
        Action::DefineType { slug: slug.clone(), name: name.clone(), terms: change },
        Event::LicenseTypeDefined { slug, name, terms, at: T1 },
    )
}

fn defined(slug: &str) -> Event {
    granting(slug, None)
}

fn granting(slug: &str, role: Option<u64>) -> Event {
    let terms = Terms { grants_role_id: role.map(RoleId), ..Terms::default() };
    Event::LicenseTypeDefined { slug: slug.into(), name: "Pro".into(), terms, at: T0 }
}

fn retired(slug: &str) -> Event {
    Event::LicenseTypeRetired { slug: slug.into(), at: T0 }
}

fn rule(n: u128) -> RuleId {
    RuleId(uuid::Uuid::from_u128(n))
}

fn of_role(role: u64) -> RuleSource {
    RuleSource::Role { role_id: RoleId(role) }
}

fn set(n: u128, role: u64, slug: &str) -> Event {
    Event::RoleRuleSet { rule_id: rule(n), source: of_role(role), license_type: slug.into(), at: T1 }
}

fn set_rule(n: u128, role: u64, slug: &str) -> Command {
    ask(Action::SetRule { id: rule(n), source: of_role(role), license_type: slug.into() })
}

fn removed(n: u128, existing: ExistingLicenses) -> Event {
    Event::RoleRuleRemoved { rule_id: rule(n), existing, at: T1 }
}

fn remove_rule(n: u128, existing: ExistingLicenses) -> Command {
    ask(Action::RemoveRule { id: rule(n), existing })
}

fn change_type(slug: &str, name: Option<&str>, terms: TermsChange) -> Command {
    ask(Action::ChangeType { slug: slug.into(), name: name.map(Into::into), terms })
}

fn grants(role: u64) -> TermsChange {
    TermsChange { grants_role_id: Some(Some(RoleId(role))), ..TermsChange::default() }
}

#[test]
fn a_type_is_defined() {
    let (action, event) = named(TermsChange { max_devices: Some(Some(3)), ..TermsChange::default() });
    assert!(matches!(&event, Event::LicenseTypeDefined { terms, .. } if terms.require_device));
    given([]).when(ask(action)).then_expect_events(vec![event]);
}

#[test]
fn a_slug_is_taken_once_even_by_a_retired_type() {
    let (action, _) = named(TermsChange::default());
    let taken = Refusal::TypeExists { slug: "pro".into() };
    given([defined("pro")]).when(ask(action.clone())).then_expect_error(taken.clone());
    given([defined("pro"), retired("pro")]).when(ask(action)).then_expect_error(taken);
}

#[test]
fn slugs_begin_with_a_letter_and_are_short() {
    let define = |slug: &str| Action::DefineType {
        slug: slug.into(),
        name: "Pro".into(),
        terms: TermsChange::default(),
    };
    for slug in ["", "1pro", "-pro", "Pro", "pro_max", "prö", "p".repeat(33).as_str()] {
        invalid("slug")(given([]).when(ask(define(slug))).inspect_result());
    }
    for slug in ["p", "pro-2", "p".repeat(32).as_str()] {
        assert!(given([]).when(ask(define(slug))).inspect_result().is_ok(), "{slug}");
    }
}

#[test]
fn names_are_for_people() {
    for name in ["", "  ", "a\u{7}b", "x".repeat(101).as_str()] {
        let action =
            Action::DefineType { slug: "pro".into(), name: name.into(), terms: TermsChange::default() };
        invalid("name")(given([]).when(ask(action)).inspect_result());
        let change = change_type("pro", Some(name), TermsChange::default());
        invalid("name")(given([defined("pro")]).when(change).inspect_result());
    }
}

#[test]
fn impossible_terms_are_refused_by_their_member() {
    let (action, _) = named(TermsChange { max_devices: Some(Some(0)), ..TermsChange::default() });
    invalid("maxDevices")(given([]).when(ask(action)).inspect_result());
    let waiting = TermsChange { expiry_basis: Some(ExpiryBasis::FirstActivation), ..TermsChange::default() };
    invalid("expiryBasis")(given([defined("pro")]).when(change_type("pro", None, waiting)).inspect_result());
}

#[test]
fn a_guild_has_at_most_a_hundred_types_that_issue() {
    let full = || (0..TYPES_MAX).map(|n| defined(&format!("t{n}")));
    let (action, event) = named(TermsChange::default());
    given(full())
        .when(ask(action.clone()))
        .then_expect_error(Refusal::LimitReached { what: "license types", limit: TYPES_MAX });
    given(full().chain([retired("t5")])).when(ask(action)).then_expect_events(vec![event]);
}

#[test]
fn a_type_is_changed_as_far_as_it_is_named() {
    let longer = TermsChange { duration: Some(Some(Span::days(30))), ..TermsChange::default() };
    let terms = Terms { duration: Some(Span::days(30)), ..Terms::default() };
    given([defined("pro")]).when(change_type("pro", Some("Pro+"), longer)).then_expect_events(vec![
        Event::LicenseTypeDefined { slug: "pro".into(), name: "Pro+".into(), terms, at: T1 },
    ]);
    given([defined("pro")])
        .when(change_type("pro", Some("Pro"), TermsChange::default()))
        .then_expect_events(vec![]);
}

#[test]
fn a_type_that_begins_to_limit_devices_asks_for_one() {
    let limited = TermsChange { max_devices: Some(Some(2)), ..TermsChange::default() };
    let expect = |change: TermsChange, require_device: bool| {
        let terms = Terms { max_devices: Some(2), require_device, ..Terms::default() };
        given([defined("pro")]).when(change_type("pro", None, change)).then_expect_events(vec![
            Event::LicenseTypeDefined { slug: "pro".into(), name: "Pro".into(), terms, at: T1 },
        ]);
    };
    expect(limited.clone(), true);
    expect(TermsChange { require_device: Some(false), ..limited }, false);
}

#[test]
fn a_type_that_chose_not_to_ask_for_a_device_keeps_its_choice() {
    let terms = Terms { max_devices: Some(2), require_device: false, ..Terms::default() };
    let lax =
        Event::LicenseTypeDefined { slug: "pro".into(), name: "Pro".into(), terms: terms.clone(), at: T0 };
    let raised = TermsChange { max_devices: Some(Some(5)), ..TermsChange::default() };
    let terms = Terms { max_devices: Some(5), ..terms };
    given([lax]).when(change_type("pro", None, raised)).then_expect_events(vec![Event::LicenseTypeDefined {
        slug: "pro".into(),
        name: "Pro".into(),
        terms,
        at: T1,
    }]);
}

#[test]
fn an_unknown_or_retired_type_is_not_changed() {
    let change = || change_type("pro", Some("Other"), TermsChange::default());
    given([]).when(change()).then_expect_error(Refusal::TypeNotFound { slug: "pro".into() });
    given([defined("pro"), retired("pro")])
        .when(change())
        .then_expect_error(Refusal::TypeRetired { slug: "pro".into() });
}

#[test]
fn a_type_is_retired_once() {
    let retire = || ask(Action::RetireType { slug: "pro".into() });
    given([]).when(retire()).then_expect_error(Refusal::TypeNotFound { slug: "pro".into() });
    given([defined("pro")])
        .when(retire())
        .then_expect_events(vec![Event::LicenseTypeRetired { slug: "pro".into(), at: T1 }]);
    given([defined("pro"), retired("pro")]).when(retire()).then_expect_events(vec![]);
}

#[test]
fn a_rule_maps_a_role_or_a_product() {
    given([defined("pro")]).when(set_rule(1, 10, "pro")).then_expect_events(vec![set(1, 10, "pro")]);
    let source = RuleSource::Sku { sku_id: RoleId(900) };
    let set_sku = ask(Action::SetRule { id: rule(2), source, license_type: "pro".into() });
    given([defined("pro"), set(1, 10, "pro")]).when(set_sku).then_expect_events(vec![Event::RoleRuleSet {
        rule_id: rule(2),
        source,
        license_type: "pro".into(),
        at: T1,
    }]);
}

#[test]
fn one_role_may_give_several_types_and_several_roles_one() {
    let types = || [defined("pro"), defined("beta"), set(1, 10, "pro")];
    given(types()).when(set_rule(2, 10, "beta")).then_expect_events(vec![set(2, 10, "beta")]);
    given(types()).when(set_rule(2, 11, "pro")).then_expect_events(vec![set(2, 11, "pro")]);
}

#[test]
fn a_known_rule_is_changed() {
    let known = || given([defined("pro"), defined("beta"), set(1, 10, "pro")]);
    known().when(set_rule(1, 10, "beta")).then_expect_events(vec![set(1, 10, "beta")]);
    known().when(set_rule(1, 11, "pro")).then_expect_events(vec![set(1, 11, "pro")]);
    known().when(set_rule(1, 10, "pro")).then_expect_events(vec![]);
}

#[test]
fn a_rule_needs_a_type_that_issues() {
    given([]).when(set_rule(1, 10, "pro")).then_expect_error(Refusal::TypeNotFound { slug: "pro".into() });
    given([defined("pro"), retired("pro")])
        .when(set_rule(1, 10, "pro"))
        .then_expect_error(Refusal::TypeRetired { slug: "pro".into() });
}

#[test]
fn the_same_rule_is_not_set_twice() {
    let exists = Refusal::RuleExists { rule: rule(1) };
    let known = || [defined("pro"), defined("beta"), set(1, 10, "pro"), set(2, 11, "pro")];
    given(known()).when(set_rule(3, 10, "pro")).then_expect_error(exists.clone());
    given(known()).when(set_rule(2, 10, "pro")).then_expect_error(exists);
    given(known().into_iter().chain([removed(1, ExistingLicenses::Keep)]))
        .when(set_rule(3, 10, "pro"))
        .then_expect_events(vec![set(3, 10, "pro")]);
}

#[test]
fn a_granted_role_feeds_no_rule() {
    let looped = |slug: &str| Refusal::RuleLoop { role: RoleId(10), slug: slug.into() };
    given([granting("vip", Some(10)), defined("pro")])
        .when(set_rule(1, 10, "pro"))
        .then_expect_error(looped("vip"));
    given([granting("vip", Some(10)), retired("vip"), defined("pro")])
        .when(set_rule(1, 10, "pro"))
        .then_expect_events(vec![set(1, 10, "pro")]);
    let sku = RuleSource::Sku { sku_id: RoleId(10) };
    let set_sku = ask(Action::SetRule { id: rule(1), source: sku, license_type: "vip".into() });
    assert!(given([granting("vip", Some(10))]).when(set_sku).inspect_result().is_ok());
}

#[test]
fn a_role_that_feeds_a_rule_is_not_granted() {
    let looped = |slug: &str| Refusal::RuleLoop { role: RoleId(10), slug: slug.into() };
    let fed = || [defined("beta"), set(1, 10, "beta")];
    let define = || Action::DefineType { slug: "pro".into(), name: "Pro".into(), terms: grants(10) };
    given(fed()).when(ask(define())).then_expect_error(looped("pro"));
    given(fed()).when(change_type("beta", None, grants(10))).then_expect_error(looped("beta"));
    let freed = || fed().into_iter().chain([removed(1, ExistingLicenses::Keep)]);
    assert!(given(freed()).when(ask(define())).inspect_result().is_ok());
}

#[test]
fn a_guild_has_at_most_250_rules() {
    let full = || {
        let rules = (0..RULES_MAX).map(|n| set(n as u128, 1_000 + n as u64, "pro"));
        std::iter::once(defined("pro")).chain(rules)
    };
    given(full())
        .when(set_rule(9_999, 10, "pro"))
        .then_expect_error(Refusal::LimitReached { what: "role rules", limit: RULES_MAX });
    given(full()).when(set_rule(7, 10, "pro")).then_expect_events(vec![set(7, 10, "pro")]);
    given(full().chain([removed(3, ExistingLicenses::Lose)]))
        .when(set_rule(9_999, 10, "pro"))
        .then_expect_events(vec![set(9_999, 10, "pro")]);
}

#[test]
fn a_rule_is_removed_with_a_fate_for_its_licenses() {
    use ExistingLicenses::{Keep, Lose};
    let known = || [defined("pro"), set(1, 10, "pro")];
    given(known()).when(remove_rule(1, Keep)).then_expect_events(vec![removed(1, Keep)]);
    let kept = || known().into_iter().chain([removed(1, Keep)]);
    given(kept()).when(remove_rule(1, Keep)).then_expect_events(vec![]);
    given(kept()).when(remove_rule(1, Lose)).then_expect_events(vec![removed(1, Lose)]);
}

#[test]
fn a_rule_that_is_unknown_or_removed_is_not_found() {
    let missing = Refusal::RuleNotFound { rule: rule(1) };
    given([]).when(remove_rule(1, ExistingLicenses::Lose)).then_expect_error(missing.clone());
    given([defined("pro"), set(1, 10, "pro"), removed(1, ExistingLicenses::Lose)])
        .when(set_rule(1, 10, "pro"))
        .then_expect_error(missing);
}

#[test]
fn a_changed_type_keeps_the_day_of_its_definition() {
    let (_, changed) = named(TermsChange::default());
    let guild = folded([defined("pro"), changed]);
    let pro = guild.license_type("pro").unwrap();
    assert_eq!((pro.created_at, pro.updated_at, pro.retired), (T0, T1, false));
}
