//! What tests stand on instead of a key ring: plain keys that anybody can read. Never compiled into a product,
//! and nothing here is secret.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::id::{DiscordId, StreamId};
use crate::ports::{Mac, Purpose, Seal, SealError};
use crate::private::{Person, PrivateFields, SealContext, SealedText, Subject, Unsealed};

/// A ring with one plain key for each purpose and the license-key secrets 1 and 2, of which 1 is active.
#[derive(Debug, Clone)]
pub(crate) struct TestRing {
    /// Secret id and secret of license keys.
    pub(crate) license_secrets: Vec<(u8, Vec<u8>)>,
    /// Which of them makes new keys.
    pub(crate) active: u8,
}

impl Default for TestRing {
    fn default() -> Self {
        let secret = |id: u8| (id, format!("dca-auth test secret {id}").into_bytes());
        Self { license_secrets: vec![secret(1), secret(2)], active: 1 }
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

impl Mac for TestRing {
    fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        hmac(format!("dca-auth test key for {purpose:?}").as_bytes(), parts)
    }

    fn license_key_mac(&self, secret_id: u8, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let (_, secret) = self.license_secrets.iter().find(|(id, _)| *id == secret_id)?;
        Some(hmac(secret, parts))
    }

    fn active_license_secret(&self) -> u8 {
        self.active
    }

    fn cache_mac(&self, parts: &[&[u8]]) -> (u32, [u8; 32]) {
        (0, hmac(b"dca-auth test key of caches", parts))
    }

    fn cache_mac_under(&self, id: u32, parts: &[&[u8]]) -> Option<[u8; 32]> {
        (id == 0).then(|| hmac(b"dca-auth test key of caches", parts))
    }
}

/// Seals by writing hexadecimal text, so that a test sees what was sealed, for whom and where. The place is
/// part of the text: a sealed text that was moved to another stream is damaged.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestSeal {
    /// Subjects whose key was destroyed.
    pub(crate) erased: BTreeSet<Subject>,
}

const KEY_ID: &str = "7e57ab1e";

impl TestSeal {
    /// Seals every clear field of `event` as the event number `sequence` of `stream`.
    pub(crate) fn seal_event(&self, event: &mut dyn PrivateFields, stream: &StreamId, sequence: u64) {
        event.private_fields(&mut |field, private| {
            if let crate::private::Private::Clear { subject, text } = private {
                let context = SealContext { stream, sequence, field };
                *private = crate::private::Private::Sealed(self.seal(subject, context, text).unwrap());
            }
        });
    }
}

impl Seal for TestSeal {
    fn seal(
        &self,
        subject: &Subject,
        context: SealContext<'_>,
        clear: &str,
    ) -> Result<SealedText, SealError> {
        if self.erased.contains(subject) {
            return Err(SealError::NotLoaded(subject.clone()));
        }
        let mut bytes = context.aad();
        bytes.push(0x1e);
        bytes.extend_from_slice(clear.as_bytes());
        Ok(SealedText::new(subject, KEY_ID, context.sequence, context.field, &HEXLOWER.encode(&bytes)))
    }

    fn unseal(&self, stream: &StreamId, sealed: &SealedText) -> Unsealed {
        let Some(parts) = sealed.parts() else {
            return Unsealed::Damaged;
        };
        if self.erased.contains(&parts.subject) {
            return Unsealed::Erased;
        }
        let aad = SealContext { stream, sequence: parts.sequence, field: parts.field }.aad();
        let clear = HEXLOWER.decode(parts.body.as_bytes()).ok().and_then(|bytes| {
            let clear = bytes.strip_prefix(aad.as_slice())?.strip_prefix(&[0x1e])?;
            String::from_utf8(clear.to_vec()).ok()
        });
        clear.map_or(Unsealed::Damaged, Unsealed::Clear)
    }
}

/// The person behind the Discord account `number`, under the default ring.
pub(crate) fn person(number: u64) -> Person {
    Person::new(&TestRing::default(), DiscordId(number))
}
