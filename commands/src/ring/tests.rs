//! The key ring. The values of the first part were computed by another program (Python's `hmac`, `hashlib` and
//! `cryptography`) and are never edited: what they pin cannot be changed after the first customer.

mod file;
mod known_answers;
mod rotation;

use domain::time::Timestamp;

use super::{KeyRing, RingError};

/// A file of format 1 as it stood on the disk of the first deployment. Never edited.
pub(crate) const FORMAT_1: &str = include_str!("format-1.json");
/// When the rings of these tests are made.
pub(crate) const MADE_AT: Timestamp = Timestamp(1_767_323_045_678);

/// The ring of [`FORMAT_1`].
pub(crate) fn known_ring() -> KeyRing {
    KeyRing::parse(FORMAT_1, "format-1.json").unwrap()
}

/// Gives 0, 1, 2, … as secrets, so that each has other bytes.
pub(crate) fn counted() -> impl FnMut(&mut [u8]) -> Result<(), RingError> {
    let mut next = 0_u8;
    move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
        Ok(())
    }
}

/// A ring like [`known_ring`], with a single license-key secret.
pub(crate) fn counted_ring() -> KeyRing {
    KeyRing::generate(MADE_AT, &mut counted()).unwrap()
}

/// A ring with another root.
pub(crate) fn other_ring() -> KeyRing {
    KeyRing::generate(MADE_AT, &mut |bytes| {
        bytes.fill(0xee);
        Ok(())
    })
    .unwrap()
}

/// What must stand in no message: each secret of `ring` as base64url, as hexadecimal digits, and as Rust shows
/// bytes.
pub(crate) fn spellings_of_secrets(ring: &KeyRing) -> Vec<String> {
    let of_lists = super::List::ALL.into_iter().flat_map(|list| ring.list(list).entries().to_vec());
    let secrets = of_lists.map(|entry| entry.secret).chain([ring.root.clone()]);
    secrets
        .flat_map(|secret| {
            let bytes = secret.bytes();
            [
                data_encoding::BASE64URL_NOPAD.encode(bytes),
                data_encoding::HEXLOWER.encode(bytes),
                format!("{:?}", &bytes[..8]).trim_matches(['[', ']']).to_owned(),
            ]
        })
        .collect()
}

/// Panics if `text` gives away a secret of the known rings.
pub(crate) fn assert_gives_nothing_away(text: &str) {
    for ring in [known_ring(), other_ring()] {
        for secret in spellings_of_secrets(&ring) {
            assert!(!text.contains(&secret), "{text} contains {secret}");
        }
    }
}
