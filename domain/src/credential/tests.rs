//! API keys: what is rendered opens again, and nothing else opens.

use proptest::prelude::*;

use super::*;
use crate::testing::TestRing;

const KINDS: [ApiKeyKind; 2] = [ApiKeyKind::Publishable, ApiKeyKind::Secret];

fn key(kind: ApiKeyKind) -> (ApiKeyId, String) {
    let id = ApiKeyId::new(GuildId(1_234_567_890_123_456_789), [1, 2, 3, 4]);
    (id, render(&TestRing::default(), kind, id))
}

#[test]
fn a_key_of_one_kind_is_none_of_the_other() {
    let ring = TestRing::default();
    let (_, publishable) = key(ApiKeyKind::Publishable);
    let body = publishable.strip_prefix("dca_pub_").unwrap();
    assert_eq!(open(&ring, &format!("dca_sec_{body}")), None);
    assert_eq!(open(&ring, &format!("dca_key_{body}")), None);
    assert_eq!(open(&ring, body), None);
}

#[test]
fn a_number_above_32_bytes_is_refused() {
    let ring = TestRing::default();
    assert_eq!(open(&ring, &format!("dca_sec_{}", "z".repeat(SYMBOLS))), None);
    assert_eq!(from_base62(&"z".repeat(SYMBOLS)), None);
    assert_eq!(from_base62(&"0".repeat(SYMBOLS)), Some([0; ID + TAG]));
    let largest = to_base62([0xff; ID + TAG]);
    assert_eq!(from_base62(&largest), Some([0xff; ID + TAG]));
    // One more than the largest number.
    let mut next = largest.into_bytes();
    let last = next.last_mut().unwrap();
    *last = BASE62[BASE62.iter().position(|symbol| symbol == last).unwrap() + 1];
    assert_eq!(from_base62(std::str::from_utf8(&next).unwrap()), None);
}

#[test]
fn a_text_of_another_form_is_refused() {
    let ring = TestRing::default();
    let (_, good) = key(ApiKeyKind::Secret);
    for text in [
        "",
        "dca_sec_",
        &good[..good.len() - 1],
        &format!("{good}0"),
        &good.to_uppercase(),
        &good.replace('_', "-"),
    ] {
        assert_eq!(open(&ring, text), None, "{text}");
    }
    assert_eq!(open(&ring, &format!("dca_sec_{}", "é".repeat(SYMBOLS / 2 + 1))), None);
    assert_eq!(open(&ring, &format!(" {good}")), None);
}

#[test]
fn a_key_of_another_ring_is_refused() {
    struct OtherRing;
    impl Mac for OtherRing {
        fn mac(&self, _: Purpose, parts: &[&[u8]]) -> [u8; 32] {
            TestRing::default().mac(Purpose::Alias, parts)
        }
        fn license_key_mac(&self, _: u8, _: &[&[u8]]) -> Option<[u8; 32]> {
            None
        }
        fn active_license_secret(&self) -> u8 {
            0
        }
        fn cache_mac(&self, _: &[&[u8]]) -> (u32, [u8; 32]) {
            (0, [0; 32])
        }
        fn cache_mac_under(&self, _: u32, _: &[&[u8]]) -> Option<[u8; 32]> {
            None
        }
    }
    let (_, good) = key(ApiKeyKind::Secret);
    assert_eq!(open(&OtherRing, &good), None);
}

#[test]
fn an_id_is_24_hexadecimal_digits_and_names_its_guild() {
    let (id, _) = key(ApiKeyKind::Secret);
    assert_eq!(id.guild(), GuildId(1_234_567_890_123_456_789));
    assert_eq!(id.to_string().len(), 24);
    assert_eq!(id.to_string().parse::<ApiKeyId>().unwrap(), id);
    for text in ["", "00", &id.to_string().to_uppercase(), &format!("{id}00")] {
        assert!(text.parse::<ApiKeyId>().is_err(), "{text}");
    }
}

#[test]
fn scopes_are_read_as_they_are_written() {
    for scope in Scope::ALL {
        assert_eq!(scope.as_str().parse::<Scope>().unwrap(), scope);
        assert_eq!(serde_json::to_string(&scope).unwrap(), format!("\"{}\"", scope.as_str()));
    }
    assert!("licenses".parse::<Scope>().is_err());
}

proptest! {
    #[test]
    fn what_is_rendered_opens_again(guild: u64, random: [u8; 4], kind in 0..2_usize) {
        let ring = TestRing::default();
        let id = ApiKeyId::new(GuildId(guild), random);
        let text = render(&ring, KINDS[kind], id);
        prop_assert_eq!(text.len(), 8 + SYMBOLS);
        prop_assert_eq!(open(&ring, &text), Some((KINDS[kind], id)));
        prop_assert_eq!(id.guild(), GuildId(guild));
    }

    #[test]
    fn no_changed_symbol_opens(place in 0..SYMBOLS, other in 0..62_usize, kind in 0..2_usize) {
        let (_, good) = key(KINDS[kind]);
        let mut text = good.clone().into_bytes();
        text[8 + place] = BASE62[other];
        let text = String::from_utf8(text).unwrap();
        prop_assume!(text != good);
        prop_assert_eq!(open(&TestRing::default(), &text), None);
    }

    #[test]
    fn numbers_are_read_as_they_are_written(number: [u8; ID + TAG]) {
        prop_assert_eq!(from_base62(&to_base62(number)), Some(number));
    }

    #[test]
    fn no_text_makes_it_stumble(text in "\\PC{0,80}") {
        prop_assert_eq!(open(&TestRing::default(), &text), None);
        prop_assert_eq!(open(&TestRing::default(), &format!("dca_pub_{text}")), None);
    }
}
