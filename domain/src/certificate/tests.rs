//! What a certificate says, member by member. That it is signed rightly is tested where the keys are.

use serde_json::{Value, json};

use super::*;
use crate::key::KeyVersion;
use crate::license::Device;
use crate::terms::Terms;
use crate::testing::TestRing;

const AT: Timestamp = Timestamp(1_800_000_000_999);
const LEASE: Uuid = Uuid::from_u128(11);

/// Signs nothing: every signature is sixty-four sevens.
struct Plain;

impl Sign for Plain {
    fn key_id(&self) -> String {
        "00c0ffee".to_owned()
    }
    fn public_key(&self) -> [u8; 32] {
        [7; 32]
    }
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [7; 64]
    }
}

fn raw(parts: &[(&str, &str)]) -> Vec<(String, String)> {
    parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A license with the device `pc`, which has these components.
fn license(mode: DeviceMatch, registered: &[(&str, &str)]) -> License {
    let (mac, id) = (TestRing::default(), LicenseId(Uuid::from_u128(1)));
    let components = Fingerprint::of(&mac, id, LEASE, &raw(registered)).known;
    let device = Device {
        id: Uuid::from_u128(2),
        device_id: "pc".to_owned(),
        name: None,
        components,
        activated_at: AT,
    };
    let terms = Terms { device_match: mode, entitlements: vec!["export".to_owned()], ..Terms::default() };
    License {
        id,
        guild: Some(GuildId(5)),
        license_type: "pro".to_owned(),
        terms,
        key: KeyVersion { secret_id: 1, version: 3 },
        devices: vec![device],
        ..License::default()
    }
}

fn certificate(license: &License, machine: &[(&str, &str)]) -> String {
    let mac = TestRing::default();
    let lease = Lease { id: LEASE, device_id: "pc".to_owned(), until: Timestamp(1_800_086_400_999) };
    let fingerprint = Fingerprint::of(&mac, license.id, LEASE, &raw(machine));
    let issue = Issue { issuer: "https://auth.example", lease: &lease, at: AT, fingerprint: &fingerprint };
    render(&mac, &Plain, license, &issue).unwrap()
}

fn part(text: &str, index: usize) -> Value {
    let part = text.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

#[test]
fn it_says_what_an_offline_check_needs_and_nobodys_name() {
    let text = certificate(&license(DeviceMatch::Id, &[]), &[]);
    assert_eq!(part(&text, 0), json!({ "alg": "EdDSA", "typ": "dca-license+jwt", "kid": "00c0ffee" }));
    let claims = json!({
        "iss": "https://auth.example", "aud": "5", "sub": "00000000-0000-0000-0000-000000000001",
        "jti": "00000000-0000-0000-0000-00000000000b", "iat": 1_800_000_000, "nbf": 1_800_000_000,
        "exp": 1_800_086_400, "type": "pro", "entitlements": ["export"], "keyVersion": 3,
        "device": { "deviceId": "pc" },
    });
    assert_eq!(part(&text, 1), claims);
    assert_eq!(text.split('.').nth(2), Some(BASE64URL_NOPAD.encode(&[7; 64]).as_str()));
    assert_eq!(text, certificate(&license(DeviceMatch::Id, &[]), &[]), "the same each time");
}

#[test]
fn a_machine_is_tied_to_what_it_registered_and_repeats() {
    let registered = [("cpu", "1"), ("disk", "2"), ("board", "3")];
    let most = license(DeviceMatch::Most, &registered);
    let text = certificate(&most, &[("disk", "2"), ("board", "another"), ("cpu", "1"), ("extra", "9")]);
    let device = &part(&text, 1)["device"];
    assert_eq!(device["match"], "most");
    let salt: [u8; 16] =
        BASE64URL_NOPAD.decode(device["salt"].as_str().unwrap().as_bytes()).unwrap().try_into().unwrap();
    let expected = json!([shown(&salt, "cpu", "1"), shown(&salt, "disk", "2")]);
    assert_eq!(device["components"], expected);
    for registered in &most.devices[0].components {
        assert!(!text.contains(&registered.hash), "what the license keeps is not shown");
        assert!(!device.to_string().contains(&registered.hash));
    }
}

#[test]
fn where_nothing_is_compared_nothing_is_shown() {
    let registered = [("cpu", "1")];
    for (mode, machine) in [
        (DeviceMatch::Id, &registered[..]),
        (DeviceMatch::All, &[]),
        (DeviceMatch::Any, &[("cpu", "another")]),
    ] {
        let text = certificate(&license(mode, &registered), machine);
        assert_eq!(part(&text, 1)["device"], json!({ "deviceId": "pc" }), "{mode:?}");
    }
}

#[test]
fn two_leases_show_the_same_machine_differently() {
    let (mac, id) = (TestRing::default(), LicenseId(Uuid::from_u128(1)));
    let of = |lease| Fingerprint::of(&mac, id, Uuid::from_u128(lease), &raw(&[("cpu", "1")]));
    assert_eq!(of(1).known, of(2).known);
    assert_ne!(of(1).shown, of(2).shown);
}
