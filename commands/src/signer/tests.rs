//! Signing keys. The values were computed by another program (Python's `cryptography`) and are never edited.

use data_encoding::HEXLOWER;
use domain::ports::Sign as _;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::json;

use super::{KeySet, Signer, SigningPurpose};
use crate::ring::os_random;
use crate::ring::tests::{MADE_AT, assert_gives_nothing_away, known_ring};

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
