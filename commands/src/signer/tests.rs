//! Signing keys. The values were computed by another program (Python's `cryptography`) and are never edited.

use data_encoding::HEXLOWER;
use domain::ports::Sign as _;
use domain::proof::{Expected, ExportCheck, LogKey, Note};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::json;

use super::{KeySet, Signer, SigningPurpose, verify};
use crate::ring::os_random;
use crate::ring::tests::{MADE_AT, assert_gives_nothing_away, known_ring};

mod certificates;

const PURPOSES: [SigningPurpose; 3] =
    [SigningPurpose::AccessTokens, SigningPurpose::Responses, SigningPurpose::Certificates];

#[test]
fn each_purpose_signs_with_its_own_known_key() {
    let known = [
        (
            "68894d58",
            "5bec7069296b480663f97494ffbb3b2dd803723c527bff85297c21567a95856bab0c78329fd6a0cb34f31a8a9d463ab558d84645f8378770601ec80f93a68e0e",
        ),
        (
            "519cae93",
            "6d8b8978ef6e9045bb7407d7b86261a02f548f97a2930c1d38a0f3edc62986e64e44b1bac213d4b8992aab8310264a2633fe7e782f4c3621feb70ad6d4f56809",
        ),
        (
            "a18112b0",
            "e88d7d24f8e1b5327af0853a5b64d04a0bc5fc4543c237e5c855bd5a44c182d0687f95cb5fdb8f5363cf8027b6df487e72077bd8617e314700cefb54f724120b",
        ),
    ];
    for (purpose, (key_id, signature)) in PURPOSES.into_iter().zip(known) {
        let signer = Signer::active(&known_ring(), purpose);
        assert_eq!(signer.key_id(), key_id);
        let signed = signer.sign(b"known answer");
        assert_eq!(HEXLOWER.encode(&signed), signature);
        let public = VerifyingKey::from_bytes(&signer.public_key()).unwrap();
        assert!(public.verify_strict(b"known answer", &Signature::from_bytes(&signed)).is_ok());
        assert!(public.verify_strict(b"known answers", &Signature::from_bytes(&signed)).is_err());
    }
}

/// It is derived from the root, so that rings of before have it.
#[test]
fn checkpoints_of_the_log_have_a_key_of_their_own() {
    let signer = Signer::of_log(&known_ring());
    assert_eq!(signer.key_id(), "2eb98a32");
    let signed = signer.sign(b"known answer");
    assert_eq!(
        HEXLOWER.encode(&signed),
        "a7ade24207e76f3b4df5fb0088b6f951d7ad044e363693cfbeee4d8e6668ba23456ee89e9fa0e5e27f81390c9ceaad6c7f18a673aa6bbcec64f3de86891da90c"
    );
    assert!(verify(&signer.public_key(), b"known answer", &signed));
    assert!(!verify(&signer.public_key(), b"known answers", &signed));
    assert!(!verify(&[0; 32], b"known answer", &signed));
}

/// The export in `docs/vectors`, which another program made with the key of the known ring.
#[test]
fn the_published_export_is_proved() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/vectors/log.json")).unwrap();
    let key: LogKey = vectors["checkpoint"]["key"].as_str().unwrap().parse().unwrap();
    assert_eq!(key.public, Signer::of_log(&known_ring()).public_key());
    let mut check = ExportCheck::new(Expected { key: Some(key), any_epoch: false, verify: &verify });
    for line in vectors["export"].as_array().unwrap() {
        check.take(format!("{}\n", line.as_str().unwrap()).as_bytes());
    }
    let checked = check.finish().unwrap();
    assert_eq!((checked.events, checked.last_position, checked.checkpoint), (3, 5, 5));
    assert_eq!(checked.key_fingerprint, vectors["keyFingerprint"]);
    let note = Note::new(vectors["checkpoint"]["note"].as_str().unwrap());
    assert_eq!(note.read().unwrap().sign(&Signer::of_log(&known_ring())), note);
}

#[test]
fn the_private_key_is_written_as_pkcs8() {
    let der = Signer::active(&known_ring(), SigningPurpose::AccessTokens).pkcs8_der();
    assert_eq!(
        HEXLOWER.encode(&der),
        "302e020100300506032b657004220420606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
    );
}

#[test]
fn the_key_set_is_published_as_rfc_8037_has_it() {
    let set = KeySet::of(&known_ring(), SigningPurpose::Certificates);
    assert_eq!(
        serde_json::to_value(&set).unwrap(),
        json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "kid": "a18112b0", "x": "T9CZzNR9eJPf6ewkQU7LDZtUICMqrTDZHEZb4zy-ZcQ"
        }]})
    );
}

#[test]
fn a_key_is_published_before_it_signs_and_after_it_has() {
    for purpose in PURPOSES {
        let ring = known_ring();
        let (ring, id) = ring.with_added(purpose.list(), MADE_AT, &mut os_random).unwrap();
        let old = Signer::active(&ring, purpose).key_id();
        let set = KeySet::of(&ring, purpose);
        assert_eq!((set.keys.len(), &set.keys[0].kid), (2, &old));
        let rotated = ring.with_activated(purpose.list(), id).unwrap();
        assert_eq!(Signer::active(&rotated, purpose).key_id(), set.keys[1].kid);
        assert_eq!(KeySet::of(&rotated, purpose), set);
    }
}

#[test]
fn nothing_shows_a_signing_key() {
    let signer = Signer::active(&known_ring(), SigningPurpose::Responses);
    let set = KeySet::of(&known_ring(), SigningPurpose::Responses);
    assert_gives_nothing_away(&format!("{signer:?} {set:?}"));
}

/// The token library takes the keys as they come from here.
#[test]
fn a_token_made_with_the_private_key_is_accepted_under_the_public_key() {
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
    let signer = Signer::active(&known_ring(), SigningPurpose::AccessTokens);
    let claims = json!({"sub": "u", "exp": 4_000_000_000_u64});
    let private = EncodingKey::from_ed_der(&signer.pkcs8_der());
    let token = encode(&Header::new(Algorithm::EdDSA), &claims, &private).unwrap();
    let validation = Validation::new(Algorithm::EdDSA);
    let read = |key: &DecodingKey| decode::<serde_json::Value>(&token, key, &validation);
    assert_eq!(read(&DecodingKey::from_ed_der(&signer.public_key())).unwrap().claims, claims);
    let published = &KeySet::of(&known_ring(), SigningPurpose::AccessTokens).keys[0];
    assert!(read(&DecodingKey::from_ed_components(&published.x).unwrap()).is_ok());
    let other = Signer::active(&known_ring(), SigningPurpose::Responses);
    assert!(read(&DecodingKey::from_ed_der(&other.public_key())).is_err());
}
