//! Offline licenses for every SDK to agree with: `docs/vectors/certificates.json` holds what we make with the known ring and
//! what must be refused. The check here is written from docs/OFFLINE.md and shares no code with what makes them.

use data_encoding::BASE64URL_NOPAD;
use domain::certificate::{Fingerprint, Issue, render};
use domain::device::DeviceMatch;
use domain::id::{GuildId, LicenseId};
use domain::key::KeyVersion;
use domain::license::{Device, Lease, License};
use domain::ports::Sign as _;
use domain::terms::Terms;
use domain::time::Timestamp;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::ring::tests::known_ring;
use crate::signer::{KeySet, Signer, SigningPurpose};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/certificates.json");
/// 2027-01-15, when all of them were issued.
const ISSUED_S: i64 = 1_800_000_000;
const WEEK_S: i64 = 7 * 86_400;
const GUILD: &str = "80351110224678912";

/// A machine as the program that checks sees it.
fn machine(device_id: &str, components: &[(&str, &str)]) -> Value {
    let parts: Vec<Value> =
        components.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({ "deviceId": device_id, "components": parts })
}

const PARTS: [(&str, &str); 3] = [("board", "F2-77A1"), ("cpu", "GenuineIntel-6-158"), ("disk", "WD-1023")];

/// A certificate of the known ring for the device `laptop-1`.
fn certificate(mode: DeviceMatch, parts: &[(&str, &str)]) -> String {
    let ring = known_ring();
    let id = LicenseId(Uuid::from_u128(0x8f14e45f_ceea_467f_9b2b_7c2f1a2f3c4d));
    let lease_id = Uuid::from_u128(0xd3d94468_02a4_4259_b55d_38e6d163e820);
    let raw: Vec<(String, String)> =
        parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let fingerprint = Fingerprint::of(&ring, id, lease_id, &raw);
    let at = Timestamp(ISSUED_S * 1_000);
    let device = Device {
        id: Uuid::nil(),
        device_id: "laptop-1".to_owned(),
        name: None,
        components: fingerprint.known.clone(),
        activated_at: at,
    };
    let license = License {
        id,
        guild: GUILD.parse::<GuildId>().ok(),
        license_type: "pro".to_owned(),
        terms: Terms { device_match: mode, entitlements: vec!["export".to_owned()], ..Terms::default() },
        key: KeyVersion { secret_id: 1, version: 2 },
        devices: vec![device],
        ..License::default()
    };
    let lease = Lease {
        id: lease_id,
        device_id: "laptop-1".to_owned(),
        until: Timestamp((ISSUED_S + WEEK_S) * 1_000),
    };
    let issue = Issue { issuer: "https://auth.example", lease: &lease, at, fingerprint: &fingerprint };
    render(&ring, &Signer::active(&ring, SigningPurpose::Certificates), &license, &issue).unwrap()
}

fn decoded(part: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
}

/// The claims of a good certificate, signed anew: with another header, with other claims, by the key of `purpose`.
fn forged(purpose: SigningPurpose, header: &Value, claims: &Value) -> String {
    let good = certificate(DeviceMatch::Id, &[]);
    let mut parts = good.split('.').map_while(decoded);
    let signer = Signer::active(&known_ring(), purpose);
    let (mut head, mut said) = (parts.next().unwrap(), parts.next().unwrap());
    head["kid"] = json!(signer.key_id());
    head.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
    said.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let encoded = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", encoded(&head), encoded(&said));
    let signature = BASE64URL_NOPAD.encode(&signer.sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// Those that must be refused: certificate, when and where it is checked, code, why.
fn refused() -> Vec<Value> {
    let good = certificate(DeviceMatch::Id, &[]);
    let tied = certificate(DeviceMatch::Most, &PARTS);
    let own = SigningPurpose::Certificates;
    let laptop = || machine("laptop-1", &[]);
    let of = |text: &str, at: i64, guild: &str, machine: Value, code: &str, why: &str| {
        json!({
            "certificate": text, "at": at, "guildId": guild, "machine": machine, "code": code, "why": why,
        })
    };
    let now = ISSUED_S + 60;
    let plain = |text: String, code: &str, why: &str| of(&text, now, GUILD, laptop(), code, why);
    let mut parts: Vec<&str> = good.split('.').collect();
    let longer = decoded(parts[1]).unwrap().to_string().replace("1800604800", "1900000000");
    let longer = BASE64URL_NOPAD.encode(longer.as_bytes());
    parts[1] = &longer;
    vec![
        plain(parts.join("."), "SIGNATURE", "its end was moved, and the signature is that of another text"),
        plain(format!("{good}."), "FORM", "it has four parts"),
        plain(format!("{good}=="), "FORM", "base64url stands without padding"),
        plain(forged(own, &json!({ "alg": "none" }), &json!({})), "HEADER", "there is one algorithm: EdDSA"),
        plain(forged(own, &json!({ "alg": "HS256" }), &json!({})), "HEADER", "a public key is no secret"),
        plain(
            forged(own, &json!({ "typ": "at+jwt" }), &json!({})),
            "HEADER",
            "an access token is no certificate",
        ),
        plain(
            forged(own, &json!({ "crit": ["b64"], "b64": false }), &json!({})),
            "HEADER",
            "nothing is critical",
        ),
        plain(forged(SigningPurpose::Responses, &json!({}), &json!({})), "KEY", "the key signs answers"),
        plain(
            forged(SigningPurpose::AccessTokens, &json!({}), &json!({})),
            "KEY",
            "the key signs access tokens",
        ),
        plain(forged(own, &json!({ "kid": "00c0ffee" }), &json!({})), "KEY", "no key has this id"),
        plain(forged(own, &json!({}), &json!({ "exp": "1800604800" })), "CLAIMS", "`exp` is a number"),
        of(&good, ISSUED_S + WEEK_S, GUILD, laptop(), "EXPIRED", "it ends in this second"),
        of(
            &good,
            ISSUED_S - 301,
            GUILD,
            laptop(),
            "NOT_YET_VALID",
            "the clock was set back by more than five minutes",
        ),
        of(&good, now, "80351110224678913", laptop(), "GUILD", "another guild of the same server issued it"),
        of(&good, now, GUILD, machine("laptop-2", &[]), "DEVICE", "it is another device's"),
        of(
            &tied,
            now,
            GUILD,
            machine("laptop-1", &[("board", "F2-77A1"), ("cpu", "another"), ("disk", "another")]),
            "DEVICE",
            "one component of three is not most of them, and the device id does not replace them",
        ),
    ]
}

fn vectors() -> Value {
    let good = |text: String, at: i64, machine: Value, how: &str| {
        let claims = decoded(text.split('.').nth(1).unwrap()).unwrap();
        json!({ "certificate": text, "at": at, "guildId": GUILD, "machine": machine, "how": how, "claims": claims })
    };
    let tied = certificate(DeviceMatch::Most, &PARTS);
    let two = machine("reinstalled", &[("disk", "WD-1023"), ("board", "F2-77A1"), ("cpu", "another")]);
    json!({
        "about": [
            "Offline licenses for every SDK to agree with; docs/OFFLINE.md says how they are checked.",
            "`keySet` is `/.well-known/dca-keys.json`; the keys are those of a ring that is public.",
            "`at` is the time of the check in seconds since 1970, `guildId` the guild that the program belongs to, `machine` \
             what it sees of the machine that it runs on.",
            "`code` names the step that refuses; clients may call it otherwise.",
        ],
        "keySet": KeySet::of_programs(&known_ring()),
        "good": [
            good(
                certificate(DeviceMatch::Id, &[]), ISSUED_S, machine("laptop-1", &[]),
                "by the device id alone, in the second of its issue",
            ),
            good(
                certificate(DeviceMatch::Id, &[]), ISSUED_S + WEEK_S - 1, machine("laptop-1", &[("cpu", "any")]),
                "components that it does not name are not looked at; the last second",
            ),
            good(
                certificate(DeviceMatch::Id, &[]), ISSUED_S - 300, machine("laptop-1", &[]),
                "a clock that is five minutes late",
            ),
            good(tied.clone(), ISSUED_S, machine("laptop-1", &PARTS), "every component is there"),
            good(tied, ISSUED_S, two, "two of three are most of them, whatever the device calls itself"),
            good(
                certificate(DeviceMatch::All, &PARTS), ISSUED_S, machine("laptop-1", &PARTS),
                "all components, and all are there",
            ),
        ],
        "refused": refused(),
    })
}

fn published() -> Value {
    serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap()
}

/// With `DCA_UPDATE=1` they are written anew. A changed vector is a changed contract with every program in the field.
#[test]
fn the_published_certificates_are_those_that_we_make() {
    if std::env::var_os("DCA_UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(FILE, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
    }
    assert_eq!(published(), vectors());
}

/// The check of docs/OFFLINE.md, step by step.
fn check(text: &str, keys: &Value, at: i64, guild: &str, machine: &Value) -> Result<Value, &'static str> {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts[..] else { return Err("FORM") };
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| "FORM")?;
    let (head, said) = (decoded(header).ok_or("FORM")?, decoded(claims).ok_or("FORM")?);
    if head["alg"] != "EdDSA" || head["typ"] != "dca-license+jwt" || head.get("crit").is_some() {
        return Err("HEADER");
    }
    let fits = |key: &&Value| key["kid"] == head["kid"] && key["purpose"] == "certificate";
    let key = keys["keys"].as_array().unwrap().iter().find(fits).ok_or("KEY")?;
    let key = BASE64URL_NOPAD.decode(key["x"].as_str().unwrap().as_bytes()).unwrap();
    let key = VerifyingKey::from_bytes(&key.try_into().unwrap()).unwrap();
    let signature = Signature::from_slice(&signature).map_err(|_| "SIGNATURE")?;
    key.verify_strict(format!("{header}.{claims}").as_bytes(), &signature).map_err(|_| "SIGNATURE")?;
    let (begins, ends) = (said["nbf"].as_i64().ok_or("CLAIMS")?, said["exp"].as_i64().ok_or("CLAIMS")?);
    if said["aud"] != guild {
        return Err("GUILD");
    }
    if at < begins - 300 {
        return Err("NOT_YET_VALID");
    }
    if at >= ends {
        return Err("EXPIRED");
    }
    if is_of(&said["device"], machine) { Ok(said) } else { Err("DEVICE") }
}

/// Whether a machine is the device of a certificate.
fn is_of(device: &Value, machine: &Value) -> bool {
    let Some(components) = device["components"].as_array() else {
        return device["deviceId"] == machine["deviceId"];
    };
    let salt = BASE64URL_NOPAD.decode(device["salt"].as_str().unwrap().as_bytes()).unwrap();
    let is_repeated = |known: &&Value| {
        let parts = machine["components"].as_array().unwrap();
        let Some(own) = parts.iter().find(|part| part["name"] == known["name"]) else { return false };
        let (name, value) = (own["name"].as_str().unwrap(), own["value"].as_str().unwrap());
        let digest = Sha256::digest([&salt[..], name.as_bytes(), &[0], value.as_bytes()].concat());
        known["hash"] == BASE64URL_NOPAD.encode(&digest[..16])
    };
    let repeated = components.iter().filter(is_repeated).count();
    let asked = match device["match"].as_str().unwrap() {
        "any" => 1,
        "two" => 2,
        "most" => components.len() / 2 + 1,
        _ => components.len(),
    };
    repeated >= asked.min(components.len())
}

#[test]
fn the_published_certificates_are_taken_and_refused_as_they_say() {
    let vectors = published();
    let checked = |one: &Value| {
        let text = one["certificate"].as_str().unwrap();
        let (at, guild) = (one["at"].as_i64().unwrap(), one["guildId"].as_str().unwrap());
        check(text, &vectors["keySet"], at, guild, &one["machine"])
    };
    for one in vectors["good"].as_array().unwrap() {
        assert_eq!(checked(one), Ok(one["claims"].clone()), "{}", one["how"]);
    }
    for one in vectors["refused"].as_array().unwrap() {
        assert_eq!(checked(one), Err(one["code"].as_str().unwrap()), "{}", one["why"]);
    }
}
