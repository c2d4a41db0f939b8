//! An entry of the shared cache opens as it was sealed, in its own place, or not at all.

use domain::id::{GuildId, LicenseId, StreamId};
use domain::ports::{Mac, Purpose};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Entry, Place};

pub(crate) struct Ring {
    pub(crate) active: u32,
    pub(crate) known: Vec<u32>,
}

impl Mac for Ring {
    fn mac(&self, _: Purpose, _: &[&[u8]]) -> [u8; 32] {
        unreachable!("an entry is tagged under a cache secret")
    }
    fn license_key_mac(&self, _: u8, _: &[&[u8]]) -> Option<[u8; 32]> {
        None
    }
    fn active_license_secret(&self) -> u8 {
        0
    }
    fn cache_mac(&self, parts: &[&[u8]]) -> (u32, [u8; 32]) {
        (self.active, self.cache_mac_under(self.active, parts).unwrap())
    }
    fn cache_mac_under(&self, id: u32, parts: &[&[u8]]) -> Option<[u8; 32]> {
        self.known.contains(&id).then(|| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&id.to_be_bytes()).unwrap();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().into()
        })
    }
}

const ENTRY: Entry<'static> =
    Entry { position: 77, as_of: 90, valid_until_ms: 1_800_000_000_123, facts: b"{\"some\":\"facts\"}" };

fn license(number: u128) -> StreamId {
    StreamId::license(LicenseId(uuid::Uuid::from_u128(number)))
}

#[test]
fn what_was_sealed_opens_and_no_altered_byte_does() {
    let (ring, stream) = (Ring { active: 4, known: vec![4] }, license(1));
    let place = Place { epoch: "e1", stream: &stream };
    let sealed = ENTRY.seal(&ring, place);
    assert_eq!(Entry::open(&ring, place, &sealed), Some(ENTRY));
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut forged = sealed.clone();
            forged[index] ^= 1 << bit;
            assert_eq!(Entry::open(&ring, place, &forged), None, "byte {index}, bit {bit}");
        }
        assert_eq!(Entry::open(&ring, place, &sealed[..index]), None, "cut at {index}");
    }
    let longer = [&*sealed, b" "].concat();
    assert_eq!(Entry::open(&ring, place, &longer), None);
}

#[test]
fn an_entry_passes_for_no_other_one() {
    let (ring, stream) = (Ring { active: 4, known: vec![4] }, license(1));
    let sealed = ENTRY.seal(&ring, Place { epoch: "e1", stream: &stream });
    let other = license(2);
    let guild = StreamId { id: stream.id.clone(), ..StreamId::guild(GuildId(1)) };
    for place in [
        Place { epoch: "e2", stream: &stream },
        Place { epoch: "e1", stream: &other },
        Place { epoch: "e1", stream: &guild },
    ] {
        assert_eq!(Entry::open(&ring, place, &sealed), None, "{place:?}");
    }
}

#[test]
fn entries_of_an_older_secret_open_as_long_as_it_is_known() {
    let stream = license(1);
    let place = Place { epoch: "e1", stream: &stream };
    let sealed = ENTRY.seal(&Ring { active: 4, known: vec![4] }, place);
    assert_eq!(Entry::open(&Ring { active: 5, known: vec![4, 5] }, place, &sealed), Some(ENTRY));
    assert_eq!(Entry::open(&Ring { active: 5, known: vec![5] }, place, &sealed), None);
}
