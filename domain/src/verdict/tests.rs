//! The verdict as a table: every code, and which of two wins.

use uuid::Uuid;

use super::*;
use crate::device::{Component, DeviceMatch};
use crate::testing::person;
use crate::time::Span;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const KEY: KeyVersion = KeyVersion { secret_id: 1, version: 3 };

/// Everything that a verdict looks at.
#[derive(Debug, Clone)]
struct Case {
    license: License,
    owner_banned: bool,
    presented: Option<KeyVersion>,
    device: Option<DeviceClaim>,
    license_type: Option<String>,
    entitlements: Vec<String>,
}

impl Case {
    /// A license of type `pro` with an owner and the active device `pc`, asked for in every way it can answer.
    fn valid() -> Self {
        let mut license = License {
            stage: Stage::Active,
            license_type: "pro".to_owned(),
            key: KEY,
            owner: Some(person(1)),
            ..License::default()
        };
        license.terms.require_device = true;
        license.terms.require_owner = true;
        license.terms.entitlements = vec!["ai".to_owned(), "export".to_owned()];
        license.devices = vec![Device {
            id: Uuid::from_u128(1),
            device_id: "pc".to_owned(),
            name: None,
            components: Vec::new(),
            activated_at: Timestamp(0),
        }];
        Self {
            license,
            owner_banned: false,
            presented: Some(KEY),
            device: Some(claim("pc")),
            license_type: Some("pro".to_owned()),
            entitlements: vec!["export".to_owned()],
        }
    }

    fn decide(&self, devices: Devices) -> Verdict<'_> {
        let request = Request {
            presented: self.presented,
            device: self.device.as_ref(),
            license_type: self.license_type.as_deref(),
            entitlements: &self.entitlements,
        };
        decide(&self.license, self.owner_banned, &request, NOW, devices)
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn claim(device_id: &str) -> DeviceClaim {
    DeviceClaim { device_id: device_id.to_owned(), components: Vec::new() }
}

type Condition = (Code, fn(&mut Case));

/// The conditions of the table in its order, each with the least that makes it true.
fn conditions() -> Vec<Condition> {
    vec![
        (Code::NotFound, |case| {
            case.license.stage = Stage::Absent;
        }),
        (Code::KeySuperseded, |case| {
            case.presented = Some(KeyVersion { secret_id: 1, version: 2 });
        }),
        (Code::UserBanned, |case| {
            case.owner_banned = true;
        }),
        (Code::Revoked, |case| {
            case.license.stage = Stage::Revoked;
            case.license.revoked = Some(RevokeCategory::RoleLost);
        }),
        (Code::Suspended, |case| {
            case.license.holds = vec![Hold::Policy];
        }),
        (Code::NotYetValid, |case| {
            case.license.starts_at = Some(Timestamp(NOW.0 + 1));
        }),
        (Code::Expired, |case| {
            case.license.expires_at = Some(NOW);
        }),
        (Code::NotAssigned, |case| {
            case.license.owner = None;
        }),
        (Code::TypeMismatch, |case| {
            case.license_type = Some("team".to_owned());
        }),
        (Code::EntitlementsMissing, |case| {
            case.entitlements.push("cloud".to_owned());
        }),
        (Code::DeviceRequired, |case| {
            case.device = None;
        }),
        (Code::DeviceNotActivated, |case| {
            case.device = Some(claim("laptop"));
        }),
        (Code::InGrace, |case| {
            case.license.expires_at = Some(NOW);
            case.license.terms.expiry_grace = Some(Span(1));
        }),
        (Code::Valid, |_| {}),
    ]
}

#[test]
fn each_condition_alone_gives_its_code() {
    for (code, change) in conditions() {
        let case = Case::valid().with(change);
        let verdict = case.decide(Devices::Check);
        assert_eq!(verdict.code, code, "{}", verdict.detail);
        assert_eq!(verdict.is_valid(), matches!(code, Code::Valid | Code::InGrace));
        assert_eq!(verdict.device.is_some(), verdict.is_valid(), "{code:?}");
        assert!(!verdict.detail.is_empty());
        assert_eq!(
            matches!(verdict.detail, Cow::Owned(_)),
            code == Code::EntitlementsMissing,
            "{code:?} allocates"
        );
    }
}

#[test]
fn of_two_conditions_the_earlier_in_the_table_wins() {
    let table = conditions();
    let exclusive = [(Code::DeviceRequired, Code::DeviceNotActivated), (Code::Expired, Code::InGrace)];
    let mut pairs = 0;
    for (i, (first, make_first)) in table.iter().enumerate() {
        for (second, make_second) in &table[i + 1..] {
            if exclusive.contains(&(*first, *second)) {
                continue;
            }
            let case = Case::valid().with(make_second).with(make_first);
            assert_eq!(case.decide(Devices::Check).code, *first, "{first:?} and {second:?}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 14 * 13 / 2 - 2);
}

#[test]
fn everything_wrong_at_once_is_mended_one_by_one_in_the_order_of_the_table() {
    let table = conditions();
    for (i, (code, _)) in table.iter().enumerate() {
        let mut case = Case::valid();
        for (other, change) in table[i..].iter().rev() {
            let exclusive = (*code == Code::DeviceNotActivated && *other == Code::DeviceRequired)
                || (*code != Code::InGrace && *other == Code::InGrace);
            if !exclusive {
                change(&mut case);
            }
        }
        assert_eq!(case.decide(Devices::Check).code, *code);
    }
}

#[test]
fn without_the_device_checks_no_device_is_asked_for() {
    for (code, change) in conditions() {
        let expected =
            if matches!(code, Code::DeviceRequired | Code::DeviceNotActivated) { Code::Valid } else { code };
        let case = Case::valid().with(change);
        let verdict = case.decide(Devices::LeaveOut);
        assert_eq!(verdict.code, expected);
        assert_eq!(verdict.device, None);
    }
}

#[test]
fn the_detail_of_a_revoked_license_is_its_category() {
    use RevokeCategory::{Abuse, Chargeback, Fraud, Leaked, Manual, Refund, RoleLost};
    let expected = ["manual", "refund", "chargeback", "fraud", "abuse", "leaked", "role_lost"];
    for (category, name) in
        [Manual, Refund, Chargeback, Fraud, Abuse, Leaked, RoleLost].into_iter().zip(expected)
    {
        let case = Case::valid().with(|case| {
            case.license.stage = Stage::Revoked;
            case.license.revoked = Some(category);
        });
        assert_eq!(case.decide(Devices::Check).detail, name);
        assert_eq!(serde_json::to_value(category).unwrap(), name);
    }
}

#[test]
fn missing_entitlements_are_listed_and_present_ones_are_not() {
    let case = Case::valid().with(|case| {
        case.entitlements = ["cloud", "ai", "beta"].map(str::to_owned).to_vec();
    });
    assert_eq!(case.decide(Devices::Check).detail, "The license does not include: cloud, beta");
}

#[test]
fn a_known_device_with_other_components_has_the_detail_components() {
    let component = |hash: &str| Component { name: "cpu".to_owned(), hash: hash.to_owned() };
    let mut case = Case::valid().with(|case| {
        case.license.terms.device_match = DeviceMatch::Any;
        case.license.devices[0].components = vec![component("a")];
        case.device = Some(DeviceClaim { device_id: "pc".to_owned(), components: vec![component("b")] });
    });
    let verdict = case.decide(Devices::Check);
    assert_eq!((verdict.code, verdict.detail.as_ref()), (Code::DeviceNotActivated, "components"));

    case.device = Some(DeviceClaim { device_id: "reinstalled".to_owned(), components: vec![component("a")] });
    let verdict = case.decide(Devices::Check);
    assert_eq!(verdict.code, Code::Valid);
    assert_eq!(verdict.device.map(|device| device.device_id.as_str()), Some("pc"));
}

#[test]
fn a_named_device_is_looked_at_even_where_none_is_required() {
    let case = Case::valid().with(|case| case.license.terms.require_device = false);
    assert_eq!(case.clone().with(|case| case.device = None).decide(Devices::Check).code, Code::Valid);
    let case = case.with(|case| case.device = Some(claim("laptop")));
    assert_eq!(case.decide(Devices::Check).code, Code::DeviceNotActivated);
}

#[test]
fn times_are_exact_to_the_millisecond() {
    let at = |change: fn(&mut Case)| Case::valid().with(change).decide(Devices::Check).code;
    assert_eq!(at(|case| case.license.starts_at = Some(NOW)), Code::Valid);
    assert_eq!(at(|case| case.license.expires_at = Some(Timestamp(NOW.0 + 1))), Code::Valid);
    let with_grace: fn(&mut Case, i64) = |case, passed| {
        case.license.terms.expiry_grace = Some(Span::days(1));
        case.license.expires_at = Some(Timestamp(NOW.0 - passed));
    };
    let passed = |ms| Case::valid().with(|case| with_grace(case, ms)).decide(Devices::Check).code;
    assert_eq!(passed(-1), Code::Valid);
    assert_eq!(passed(0), Code::InGrace);
    assert_eq!(passed(Span::days(1).ms() - 1), Code::InGrace);
    assert_eq!(passed(Span::days(1).ms()), Code::Expired);
}

#[test]
fn an_open_grace_after_the_loss_of_the_role_stays_valid() {
    let case = Case::valid().with(|case| case.license.role_loss_ends_at = Some(Timestamp(NOW.0 - 1)));
    assert_eq!(case.decide(Devices::Check).code, Code::Valid);
}

#[test]
fn what_a_request_leaves_out_is_not_looked_at() {
    let case = Case::valid().with(|case| {
        case.presented = None;
        case.license_type = None;
        case.entitlements.clear();
    });
    assert_eq!(case.decide(Devices::Check).code, Code::Valid);
    let unowned = case.with(|case| {
        case.license.terms.require_owner = false;
        case.license.owner = None;
    });
    assert_eq!(unowned.decide(Devices::Check).code, Code::Valid);
}

#[test]
fn another_secret_under_the_same_version_is_superseded_as_well() {
    let case = Case::valid().with(|case| {
        case.presented = Some(KeyVersion { secret_id: 2, version: 3 });
    });
    assert_eq!(case.decide(Devices::Check).code, Code::KeySuperseded);
}

#[test]
fn the_wire_names_are_those_of_the_table() {
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(
        names,
        [
            "MALFORMED_KEY",
            "NOT_FOUND",
            "KEY_SUPERSEDED",
            "USER_BANNED",
            "REVOKED",
            "SUSPENDED",
            "NOT_YET_VALID",
            "EXPIRED",
            "NOT_ASSIGNED",
            "TYPE_MISMATCH",
            "ENTITLEMENTS_MISSING",
            "DEVICE_REQUIRED",
            "DEVICE_NOT_ACTIVATED",
            "IN_GRACE",
            "VALID"
        ]
    );
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
    assert!(Code::ALL.is_sorted());
}

#[test]
fn without_a_license_to_look_at_there_are_two_verdicts() {
    assert_eq!(Verdict::malformed_key().code, Code::MalformedKey);
    assert_eq!(Verdict::not_found().code, Code::NotFound);
    let hidden: Vec<Code> = Code::ALL.into_iter().filter(|code| !code.shows_license()).collect();
    assert_eq!(hidden, [Code::MalformedKey, Code::NotFound, Code::KeySuperseded]);
}
