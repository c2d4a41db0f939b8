//! A key ring and a vault that anybody can read. The benches include this file by path.

#![allow(dead_code, reason = "each binary uses its own part of this")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use data_encoding::BASE64URL_NOPAD;
use domain::id::StreamId;
use domain::ports::{Mac, Purpose, Seal, SealError, Vault, VaultFuture, VaultUnavailable};
use domain::private::{Private, PrivateFields, SealContext, SealedText, Subject, Unsealed};
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

/// One plain key for each purpose, and license-key secret 1.
pub(crate) struct TestRing;

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| hmac.update(part));
    hmac.finalize().into_bytes().into()
}

impl Mac for TestRing {
    fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        hmac(format!("test key for {purpose:?}").as_bytes(), parts)
    }

    fn license_key_mac(&self, secret_id: u8, parts: &[&[u8]]) -> Option<[u8; 32]> {
        (secret_id == 1).then(|| hmac(b"test secret", parts))
    }

    fn active_license_secret(&self) -> u8 {
        1
    }

    fn cache_mac(&self, parts: &[&[u8]]) -> (u32, [u8; 32]) {
        (3, hmac(b"test key of caches", parts))
    }

    fn cache_mac_under(&self, id: u32, parts: &[&[u8]]) -> Option<[u8; 32]> {
        (id == 3).then(|| hmac(b"test key of caches", parts))
    }
}

/// What binds a sealed text to its place, of the size and about the cost of the real thing.
fn tag(context: &SealContext<'_>, clear: &[u8]) -> [u8; 16] {
    hmac(&context.aad(), &[clear])[..16].try_into().unwrap()
}

/// Keys of subjects as numbers: the sealed text can be read by anybody, and opens under the same number only.
#[derive(Default)]
pub(crate) struct TestVault {
    keys: Arc<Mutex<BTreeMap<Subject, Option<u32>>>>,
    pub(crate) is_down: AtomicBool,
}

impl TestVault {
    fn key(&self, subject: &Subject) -> u32 {
        let mut keys = self.keys.lock().unwrap();
        let next = keys.len() as u32 + 1;
        *keys.entry(subject.clone()).or_insert(Some(next)).get_or_insert(next + 1_000)
    }

    /// Destroys the key of a person; a later field of the person gets a new one.
    pub(crate) fn erase(&self, subject: &Subject) {
        self.keys.lock().unwrap().insert(subject.clone(), None);
    }

    /// Seals every clear field of an event.
    pub(crate) fn seal_event(&self, event: &mut dyn PrivateFields, stream: &StreamId, sequence: u64) {
        event.private_fields(&mut |field, private| self.seal_field(private, stream, sequence, field));
    }

    pub(crate) fn seal_field(&self, private: &mut Private, stream: &StreamId, sequence: u64, field: &str) {
        if let Private::Clear { subject, text } = private {
            let context = SealContext { stream, sequence, field };
            let body = BASE64URL_NOPAD
                .encode(&[&[0; 12], text.as_bytes(), &tag(&context, text.as_bytes())].concat());
            let key = format!("{:08x}", self.key(subject));
            *private = Private::Sealed(SealedText::new(subject, &key, sequence, field, &body));
        }
    }
}

impl Vault for TestVault {
    fn keys<'a>(&'a self, subjects: &'a [Subject]) -> VaultFuture<'a> {
        Box::pin(async move {
            if self.is_down.load(Ordering::Relaxed) {
                return Err(VaultUnavailable::Store("the vault is down".to_owned()));
            }
            let keys = self.keys.lock().unwrap();
            let loaded = subjects.iter().map(|s| (s.clone(), keys.get(s).copied().flatten())).collect();
            Ok(Box::new(Snapshot { loaded, asked: subjects.iter().cloned().collect() }) as Box<dyn Seal>)
        })
    }

    fn forget(&self, _: &Subject) {}
}

struct Snapshot {
    loaded: BTreeMap<Subject, Option<u32>>,
    asked: BTreeSet<Subject>,
}

impl Seal for Snapshot {
    fn seal(&self, subject: &Subject, _: SealContext<'_>, _: &str) -> Result<SealedText, SealError> {
        Err(SealError::NotLoaded(subject.clone()))
    }

    fn unseal(&self, stream: &StreamId, sealed: &SealedText) -> Unsealed {
        let parts = sealed.parts().unwrap();
        if !self.asked.contains(&parts.subject) {
            return Unsealed::Damaged;
        }
        match self.loaded.get(&parts.subject).copied().flatten() {
            Some(key) if format!("{key:08x}") == parts.key_id => {}
            _ => return Unsealed::Erased,
        }
        let context = SealContext { stream, sequence: parts.sequence, field: parts.field };
        let bytes = BASE64URL_NOPAD.decode(parts.body.as_bytes()).unwrap();
        let (clear, found) = bytes[12..].split_at(bytes.len() - 28);
        match tag(&context, clear) == found {
            true => Unsealed::Clear(String::from_utf8(clear.to_vec()).unwrap()),
            false => Unsealed::Damaged,
        }
    }
}
