//! Terms and their drafts.

use super::*;

fn draft(json: &str) -> TermsChange {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_type_without_any_word_is_perpetual_and_unlimited() {
    let terms = draft("{}").define();
    assert_eq!(terms, Terms::default());
    assert_eq!(terms.device_reset_window, Span::days(30));
    assert_eq!((terms.grace(), terms.loss_grace()), (Span::ZERO, Span::ZERO));
    assert_eq!(terms.problem(), None);
}

#[test]
fn a_limit_of_devices_requires_a_device_unless_the_draft_says_otherwise() {
    assert!(draft(r#"{"maxDevices":2}"#).define().require_device);
    assert!(!draft(r#"{"maxDevices":2,"requireDevice":false}"#).define().require_device);
    assert!(!draft(r#"{"maxDevices":null}"#).define().require_device);
    assert!(draft(r#"{"requireDevice":true}"#).define().require_device);
}

#[test]
fn an_absent_member_keeps_and_null_clears() {
    let base = draft(r#"{"maxDevices":2,"duration":"P30D","expiryGrace":"P1D","grantsRoleId":"7"}"#).define();
    let change = draft(r#"{"maxDevices":null,"expiryGrace":"PT1H"}"#);
    let changed = change.applied_to(&base);
    assert_eq!(changed.max_devices, None);
    assert_eq!(changed.grace(), Span::hours(1));
    assert_eq!(changed.duration, base.duration);
    assert_eq!(changed.grants_role_id, base.grants_role_id);
    assert!(changed.require_device, "a change does not touch what it does not name");
    assert_eq!(serde_json::to_string(&change).unwrap(), r#"{"maxDevices":null,"expiryGrace":"PT1H"}"#);
    assert_eq!(draft("{}").applied_to(&base), base);
}

#[test]
fn entitlements_are_sorted_and_named_once() {
    let terms = draft(r#"{"entitlements":["export","ai","export"]}"#).define();
    assert_eq!(terms.entitlements, ["ai", "export"]);
}

#[test]
fn an_unknown_member_is_refused_by_name() {
    let error = serde_json::from_str::<TermsChange>(r#"{"maxDevice":2}"#).unwrap_err().to_string();
    assert!(error.contains("maxDevice"), "{error}");
}

#[test]
fn terms_are_read_as_they_are_written() {
    let terms = draft(
        r#"{"maxDevices":3,"duration":"P30D","expiryBasis":"first_activation","expiryGrace":"P3D",
            "deviceMatch":"most","requireOwner":true,"entitlements":["a"],"onRoleLoss":"suspend",
            "roleLossGrace":"PT1H","deviceResetCooldown":"PT12H","deviceResetBudget":2,"activationBudget":5,"deviceResetWindow":"P1D",
            "inactiveDeviceAfter":"P90D","offlineLeaseMax":"P7D","transferable":true,"grantsRoleId":"123"}"#,
    )
    .define();
    let text = serde_json::to_string(&terms).unwrap();
    assert_eq!(serde_json::from_str::<Terms>(&text).unwrap(), terms);
    assert_eq!(terms.problem(), None);
}

#[test]
fn every_impossible_draft_names_its_member() {
    let long = "x".repeat(65);
    let many: Vec<String> = (0..=ENTITLEMENTS_MAX).map(|n| format!("e{n}")).collect();
    let table = [
        (r#"{"maxDevices":0}"#.to_owned(), "maxDevices"),
        (r#"{"maxDevices":1001}"#.to_owned(), "maxDevices"),
        (r#"{"duration":"PT0S"}"#.to_owned(), "duration"),
        (r#"{"entitlements":[""]}"#.to_owned(), "entitlements"),
        (format!(r#"{{"entitlements":["{long}"]}}"#), "entitlements"),
        (r#"{"entitlements":["a\nb"]}"#.to_owned(), "entitlements"),
        (format!(r#"{{"entitlements":{}}}"#, serde_json::to_string(&many).unwrap()), "entitlements"),
        (r#"{"activationBudget":0}"#.to_owned(), "activationBudget"),
        (r#"{"activationBudget":1001}"#.to_owned(), "activationBudget"),
        (r#"{"deviceResetWindow":"PT0S"}"#.to_owned(), "deviceResetWindow"),
        (r#"{"expiryBasis":"first_activation"}"#.to_owned(), "expiryBasis"),
        (r#"{"offlineLeaseMax":"PT0S"}"#.to_owned(), "offlineLeaseMax"),
    ];
    for (json, member) in table {
        assert_eq!(draft(&json).define().problem().map(|(name, _)| name), Some(member), "{json}");
    }
    assert_eq!(draft(r#"{"maxDevices":1000}"#).define().problem(), None);
}

#[test]
fn terms_from_before_there_were_budgets_of_activations_have_none_and_are_written_as_they_were() {
    let text = serde_json::to_string(&Terms::default()).unwrap();
    assert!(!text.contains("activationBudget"), "{text}");
    assert_eq!(serde_json::from_str::<Terms>(&text).unwrap(), Terms::default());
    let budget = draft(r#"{"activationBudget":5}"#).define();
    assert!(serde_json::to_string(&budget).unwrap().contains(r#""activationBudget":5,"#));
    assert_eq!(draft(r#"{"activationBudget":null}"#).applied_to(&budget), Terms::default());
}
