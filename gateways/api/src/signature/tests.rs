//! One signed answer, byte for byte: `docs/vectors/answers.json`, which docs/SIGNED-ANSWERS.md shows.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

use super::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/answers.json");
const AT: Timestamp = Timestamp(1_800_000_000_999);
const SENT: &str = r#"{"key":"DCA-4408Y-574BZ-7EMHK-ZKCNQ-RBRT5-WY4VW-D1DC3-ZGFEQ-HKX2TF","nonce":"6f1d"}"#;
const ANSWERED: &str = r#"{"valid":false,"code":"NOT_FOUND"}"#;

/// A ring that is public: its secrets count from 0.
fn ring() -> Arc<KeyRing> {
    let mut next = 0_u8;
    let mut counted = |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
        Ok(())
    };
    Arc::new(KeyRing::generate(AT, &mut counted).unwrap())
}

fn header_map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn vector() -> Value {
    let ring = ring();
    let digest = format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(SENT)));
    let wished = r#"dca=("@status" "content-digest");created;nonce="6f1d";tag="dca-auth""#;
    let sent = header_map(&[("accept-signature", wished), ("content-digest", &digest)]);
    let uri = Uri::from_static("/licenses/validate");
    let wish = Wish::asked(&Method::POST, &uri, &sent).unwrap().unwrap();
    let answered = header_map(&[("content-type", "application/json")]);
    let keys = AnswerKeys::new(&ring);
    let body = Bytes::from_static(ANSWERED.as_bytes());
    let signed = headers(keys.drawn().signer(&wish), &wish, AT, StatusCode::OK, &answered, &body);
    let text = |name: &HeaderName| signed[name].to_str().unwrap();
    let parameters = text(&SIGNATURE_INPUT).strip_prefix("dca=").unwrap();
    let base = [
        "\"@status\": 200".to_owned(),
        format!("\"content-digest\": {}", text(&CONTENT_DIGEST)),
        "\"content-type\": application/json".to_owned(),
        "\"@method\";req: POST".to_owned(),
        "\"@path\";req: /licenses/validate".to_owned(),
        "\"@query\";req: ?".to_owned(),
        format!("\"content-digest\";req: {digest}"),
        format!("\"@signature-params\": {parameters}"),
    ];
    let public = commands::signer::KeySet::of_programs(&ring);
    json!({
        "about": [
            "One signed answer for every SDK to agree with; docs/SIGNED-ANSWERS.md says how it is checked.",
            "`keySet` is `/.well-known/dca-keys.json`; the keys are those of a ring that is public.",
            "`base` are the lines of the signature base, with a line feed between each two.",
        ],
        "keySet": public,
        "request": {
            "method": "POST", "path": "/licenses/validate", "query": "",
            "headers": { "accept-signature": wished, "content-digest": digest, "content-type": "application/json" },
            "body": SENT,
        },
        "answer": {
            "status": 200,
            "headers": {
                "content-type": "application/json",
                "content-digest": text(&CONTENT_DIGEST),
                "signature-input": text(&SIGNATURE_INPUT),
                "signature": text(&SIGNATURE),
            },
            "body": ANSWERED,
        },
        "base": base,
    })
}

/// With `DCA_UPDATE=1` it is written anew. A changed vector is a changed contract with every program in the field.
#[test]
fn the_published_answer_is_signed_as_it_says() {
    if std::env::var_os("DCA_UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(FILE, serde_json::to_string_pretty(&vector()).unwrap() + "\n").unwrap();
    }
    let published: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    assert_eq!(published, vector());
    let base: Vec<&str> =
        published["base"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let signature = published["answer"]["headers"]["signature"].as_str().unwrap();
    let signature = signature.strip_prefix("dca=:").and_then(|rest| rest.strip_suffix(':')).unwrap();
    let signature = Signature::from_slice(&BASE64.decode(signature.as_bytes()).unwrap()).unwrap();
    let keys = published["keySet"]["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["purpose"] == "answer").unwrap()["x"].as_str().unwrap();
    let key: [u8; 32] = BASE64URL_NOPAD.decode(key.as_bytes()).unwrap().try_into().unwrap();
    let key = VerifyingKey::from_bytes(&key).unwrap();
    assert!(key.verify_strict(base.join("\n").as_bytes(), &signature).is_ok());
}

#[test]
fn answers_are_signed_by_the_key_that_is_active_or_named() {
    use commands::ring::{List, os_random};
    let ring = ring();
    let keys = AnswerKeys::new(&ring);
    let wish = |key: Option<String>| Wish { key, ..Wish::new("dca", &Method::GET, &Uri::from_static("/")) };
    let signs = |key| keys.drawn().signer(&wish(key)).key_id();
    let old = signs(None);
    let (more, id) = ring.with_added(List::Response, AT, &mut os_random).unwrap();
    let rotated = more.with_activated(List::Response, id).unwrap();
    ring.follow(&rotated, &rotated.active_ids()).unwrap();
    let new = signs(None);
    assert_ne!(new, old);
    assert_eq!(signs(Some(old.clone())), old, "whoever knows the earlier one alone asks for it");
    assert_eq!(signs(Some("00c0ffee".to_owned())), new);
}
