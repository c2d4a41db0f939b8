//! Ed25519 signing keys out of the ring: for access tokens, signed answers, offline licenses and checkpoints of the log.
//! What is signed, and how it is laid out, is for others to say.

#[cfg(test)]
mod tests;

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use domain::ports::Sign;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::ring::{KeyRing, List};

/// PKCS#8 version 1 of an Ed25519 key up to its 32 bytes (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What a signing key is for. Each has keys of its own, so that no signature can be passed off as another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigningPurpose {
    /// Access tokens of the API.
    AccessTokens,
    /// Signed answers of the API.
    Responses,
    /// Offline licenses.
    Certificates,
}

impl SigningPurpose {
    /// The list of the ring that holds the keys.
    pub const fn list(self) -> List {
        match self {
            Self::AccessTokens => List::Access,
            Self::Responses => List::Response,
            Self::Certificates => List::Certificate,
        }
    }
}

/// One signing key.
#[derive(Clone)]
pub struct Signer {
    key_id: String,
    key: SigningKey,
}

impl Signer {
    /// The active key of `purpose`.
    pub fn active(ring: &KeyRing, purpose: SigningPurpose) -> Self {
        Self::new(ring.list(purpose.list()).active_secret().bytes())
    }

    /// The key of `purpose` with this id, whether active or not; `None` if the ring has none.
    pub fn known(ring: &KeyRing, purpose: SigningPurpose, key_id: &str) -> Option<Self> {
        Self::all(ring, purpose).into_iter().find(|signer| signer.key_id == key_id)
    }

    /// Every key of `purpose`, in the order of the ring.
    pub fn all(ring: &KeyRing, purpose: SigningPurpose) -> Vec<Self> {
        ring.list(purpose.list()).entries().iter().map(|entry| Self::new(entry.secret.bytes())).collect()
    }

    /// The key of the log's checkpoints (record 0014 in docs/decisions).
    pub fn of_log(ring: &KeyRing) -> Self {
        Self::new(&ring.log_secret())
    }

    fn new(secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        Self { key_id: key_id(&key.verifying_key().to_bytes()), key }
    }

    /// The private key as PKCS#8: what `jsonwebtoken::EncodingKey::from_ed_der` takes.
    pub fn pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_HEAD.len() + 32));
        der.extend_from_slice(&PKCS8_HEAD);
        der.extend_from_slice(self.key.as_bytes());
        der
    }
}

impl Sign for Signer {
    fn key_id(&self) -> String {
        self.key_id.clone()
    }

    fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// Shows the key id only.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A set of public keys as published (RFC 7517; Ed25519 as in RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeySet {
    /// In the order of their ids in the ring.
    pub keys: Vec<PublicKey>,
}

/// One public key of a [`KeySet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    used_for: &'static str,
    /// The first 8 hexadecimal digits of SHA-256 of the public key.
    pub kid: String,
    /// base64url of the public key, 32 bytes.
    pub x: String,
    /// What it signs, in a set of several purposes: whoever checks one kind takes the keys of that kind alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<&'static str>,
}

impl KeySet {
    /// Every key of `purpose`, whether active or not: the next one has to be known before it signs, and an earlier
    /// one as long as its signatures are about.
    pub fn of(ring: &KeyRing, purpose: SigningPurpose) -> Self {
        Self { keys: Signer::all(ring, purpose).iter().map(PublicKey::of).collect() }
    }

    /// What programs check with: offline licenses and signed answers.
    pub fn of_programs(ring: &KeyRing) -> Self {
        let of = |purpose, named| {
            let named = move |key| PublicKey { purpose: Some(named), ..key };
            Self::of(ring, purpose).keys.into_iter().map(named)
        };
        let certificates = of(SigningPurpose::Certificates, "certificate");
        Self { keys: certificates.chain(of(SigningPurpose::Responses, "answer")).collect() }
    }
}

impl PublicKey {
    fn of(signer: &Signer) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            used_for: "sig",
            kid: signer.key_id.clone(),
            x: BASE64URL_NOPAD.encode(&signer.public_key()),
            purpose: None,
        }
    }
}

/// Whether `signature` is one of `public_key` over `message`. Keys and signatures that stand for several are refused.
pub fn verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public_key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// Names a public key: the first 8 hexadecimal digits of its SHA-256.
pub fn key_id(public_key: &[u8; 32]) -> String {
    HEXLOWER.encode(&Sha256::digest(public_key)[..4])
}
