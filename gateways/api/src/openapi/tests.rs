//! What is written by hand against what is really read and written.

use std::collections::BTreeSet;
use std::str::FromStr;

use domain::credential::{ApiKeyId, ApiKeyKind, Scope};
use domain::event::Actor;
use domain::guild::{Settings, SettingsChange, Sharing, StaffRole};
use domain::id::{DiscordId, LicenseId};
use domain::key::Prefix;
use domain::license::{Hold, RevokeCategory, Status};
use domain::session::Surface;
use domain::terms::{Terms, TermsChange};
use domain::time::{Span, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::named;
use crate::routes::guilds::Shape;

/// The names that serde expects, as its refusal of another lists them.
fn expected<T: DeserializeOwned>(refused: Value) -> BTreeSet<String> {
    let Err(error) = serde_json::from_value::<T>(refused) else { panic!("it was read") };
    let text = error.to_string();
    let (_, known) = text.split_once("expected ").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn members(schema: &str) -> BTreeSet<String> {
    named::all()[schema]["properties"].as_object().unwrap().keys().cloned().collect()
}

fn words(schema: &str) -> BTreeSet<String> {
    set(named::all()[schema]["enum"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()))
}

fn permits(schema: &str, instance: &Value) -> bool {
    let whole = json!({ "$ref": format!("#/components/schemas/{schema}"), "components": { "schemas": named::all() } });
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(&whole).unwrap().is_valid(instance)
}

#[test]
fn changes_have_the_members_that_are_read() {
    assert_eq!(members("TermsChange"), expected::<TermsChange>(json!({ "no": 1 })));
    assert_eq!(members("SettingsChange"), expected::<SettingsChange>(json!({ "no": 1 })));
    assert_eq!(members("Sharing"), expected::<Sharing>(json!({ "no": 1 })));
}

#[test]
fn settings_and_terms_have_the_members_that_are_written() {
    let written = |value: Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for (schema, value) in [
        ("Terms", serde_json::to_value(Terms { activation_budget: Some(5), ..Terms::default() }).unwrap()),
        ("Settings", serde_json::to_value(Settings::default()).unwrap()),
    ] {
        assert!(permits(schema, &value), "{value}");
        assert_eq!(members(schema), written(value));
    }
}

/// Every member of a change by itself: what the schema permits is read, and what it forbids is not (or is refused by
/// the domain as impossible).
#[test]
fn each_member_of_a_change_is_read_as_the_schema_says() {
    let samples = [
        json!(null),
        json!(true),
        json!(0),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(4_294_967_296_u64),
        json!("P30D"),
        json!("30 days"),
        json!("7"),
        json!("ACME"),
        json!([]),
        json!(["export"]),
        json!([1]),
        json!({}),
        json!({ "detect": true }),
        json!({ "detect": null }),
        json!({ "other": true }),
    ];
    let mut words: Vec<Value> = Vec::new();
    for word in [
        "creation",
        "first_activation",
        "id",
        "any",
        "most",
        "revoke",
        "suspend",
        "keep",
        "dm",
        "both",
        "en",
        "de",
    ] {
        words.push(json!(word));
    }
    for schema in ["TermsChange", "SettingsChange"] {
        for member in members(schema) {
            for sample in samples.iter().chain(&words) {
                let change = json!({ &member: sample });
                let read = match schema {
                    "TermsChange" => serde_json::from_value::<TermsChange>(change.clone())
                        .is_ok_and(|read| read.define().problem().is_none_or(|(name, _)| name != member)),
                    _ => {
                        serde_json::from_value::<SettingsChange>(change.clone()).is_ok()
                            && serde_json::from_value::<Shape>(change.clone()).is_ok()
                    }
                };
                // A duration alone may still contradict another member.
                assert_eq!(permits(schema, &change), read || contradicts(&member, sample), "{change}");
            }
        }
    }
}

/// Values of the right form that the domain refuses beside the default of another member, or because they are no time
/// at all.
fn contradicts(member: &str, sample: &Value) -> bool {
    member == "expiryBasis" && sample == "first_activation"
}

#[test]
fn words_are_those_that_are_read() {
    let unknown = || json!("no");
    assert_eq!(words("ApiKeyKind"), expected::<ApiKeyKind>(unknown()));
    assert_eq!(words("Scope"), expected::<Scope>(unknown()));
    assert_eq!(words("StaffRole"), expected::<StaffRole>(unknown()));
    assert_eq!(words("Surface"), expected::<Surface>(unknown()));
    assert_eq!(words("LicenseStatus"), expected::<Status>(unknown()));
    // These two follow the roles of the owner and cannot be asked for.
    let mut holds = expected::<Hold>(unknown());
    assert!(holds.remove("role_loss"));
    assert_eq!(words("Hold"), holds);
    let mut categories = expected::<RevokeCategory>(unknown());
    assert!(categories.remove("role_lost"));
    assert_eq!(words("RevokeCategory"), categories);
}

fn agrees<T: FromStr>(schema: &str, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(permits(schema, &json!(text)), "{schema} forbids {text}");
        assert!(T::from_str(text).is_ok(), "{text} is not read");
    }
    for text in bad {
        assert!(!permits(schema, &json!(text)), "{schema} permits {text}");
        assert!(T::from_str(text).is_err(), "{text} is read");
    }
}

#[test]
fn forms_are_those_that_are_read() {
    agrees::<DiscordId>(
        "Snowflake",
        &["1", "9999999999999999999"],
        &["", "0", "01", "+1", "1 ", "123456789012345678901", "x"],
    );
    agrees::<Span>(
        "Duration",
        &[
            "P30D",
            "PT12H",
            "P1DT2H3M4S",
            "PT0S",
            "P0D",
            "PT1M",
            "PT1H5S",
            "P36500D",
            "P36499D",
            "P9999DT99999H9999999M999999999S",
        ],
        &["", "P", "PT", "P1DT", "P1W", "P1M", "30D", "PT1S1M", "P36501D", "P40000D", "P-1D", "P1.5D", "p1d"],
    );
    agrees::<Timestamp>(
        "Time",
        &["1970-01-01T00:00:00Z", "2026-11-30T12:00:00.123+02:00", "9999-12-31T23:59:59Z"],
        &["", "2026-11-30", "1969-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "tomorrow"],
    );
    agrees::<LicenseId>(
        "LicenseId",
        &["8f14e45f-ceea-467f-9b2b-7c2f1a2f3c4d", "00000000-0000-0000-0000-000000000000"],
        &["", "8f14e45fceea467f9b2b7c2f1a2f3c4d", "8f14e45f-ceea-467f-9b2b-7c2f1a2f3c4", "x"],
    );
    agrees::<ApiKeyId>("ApiKeyId", &["011d783ee9e5200000000001"], &["", "011D783EE9E5200000000001", "01"]);
    agrees::<Prefix>("Prefix", &["DCA", "AB", "ABCDEFGH"], &["", "A", "dca", "ALL", "ABCDEFGHJ"]);
    agrees::<Actor>(
        "Actor",
        &[
            "operator",
            "bot",
            "job:expiry",
            "apikey:011d783ee9e5200000000001",
            "user:u_abcdefghijklmnopqrstuvwx23",
        ],
        &["", "robot", "user:502", "apikey:1"],
    );
}
