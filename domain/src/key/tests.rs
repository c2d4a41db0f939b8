//! License keys: the published vectors, and the promises of the check symbols.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::testing::TestRing;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vectors {
    about: Vec<String>,
    tag_domain: String,
    secrets: Vec<Secret>,
    good: Vec<Good>,
    accepted: Vec<Accepted>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Secret {
    secret_id: u8,
    hex: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Good {
    key: String,
    prefix: Prefix,
    license_id: LicenseId,
    secret_id: u8,
    key_version: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    text: String,
    key: String,
    how: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refused {
    key: String,
    code: String,
    well_formed: bool,
    why: String,
}

fn vectors() -> Vectors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/keys.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ring(vectors: &Vectors) -> TestRing {
    let secret = |one: &Secret| (one.secret_id, data_encoding::HEXLOWER.decode(one.hex.as_bytes()).unwrap());
    TestRing { license_secrets: vectors.secrets.iter().map(secret).collect(), active: 1 }
}

#[test]
fn the_published_good_keys_are_what_is_rendered_and_opened() {
    let vectors = vectors();
    let ring = ring(&vectors);
    assert!(!vectors.about.is_empty());
    assert_eq!(vectors.tag_domain.as_bytes(), DOMAIN);
    assert!(vectors.good.len() >= 5);
    for good in &vectors.good {
        let pair = KeyVersion { secret_id: good.secret_id, version: good.key_version };
        assert_eq!(render(&ring, &good.prefix, good.license_id, pair).as_ref(), Some(&good.key));
        assert_eq!(
            open(&ring, &good.key),
            Ok(OpenedKey { license: good.license_id, key: pair }),
            "{}",
            good.key
        );
        assert!(is_well_formed(&good.key));
    }
    for accepted in &vectors.accepted {
        let opened = open(&ring, &accepted.key);
        assert!(opened.is_ok(), "{}", accepted.key);
        assert_eq!(open(&ring, &accepted.text), opened, "{}", accepted.how);
    }
}

#[test]
fn the_published_bad_keys_are_refused_for_the_stated_reason() {
    let vectors = vectors();
    let ring = ring(&vectors);
    for refused in &vectors.refused {
        let code = match open(&ring, &refused.key) {
            Err(KeyError::Malformed) => "MALFORMED_KEY",
            Err(KeyError::Forged) => "NOT_FOUND",
            Ok(_) => "VALID",
        };
        assert_eq!(code, refused.code, "{}: {}", refused.why, refused.key);
        assert_eq!(is_well_formed(&refused.key), refused.well_formed, "{}: {}", refused.why, refused.key);
    }
    let reasons: std::collections::BTreeSet<&str> =
        vectors.refused.iter().map(|one| one.why.as_str()).collect();
    for reason in [
        "one wrong symbol",
        "two neighbours swapped",
        "another prefix",
        "a wrong tag under right check symbols",
        "one symbol too few",
        "one symbol too many",
        "a letter outside the alphabet",
        "another format number",
        "a secret that the ring does not have",
    ] {
        assert!(reasons.contains(reason), "no vector for: {reason}");
    }
}

#[test]
fn a_ring_without_the_secret_renders_nothing() {
    let pair = KeyVersion { secret_id: 9, version: 0 };
    assert_eq!(render(&TestRing::default(), &Prefix::default(), LicenseId::default(), pair), None);
}

#[test]
fn a_prefix_is_2_to_8_capital_letters_without_those_that_look_like_digits() {
    for good in ["DCA", "AB", "ABCDEFGH", "ZZ"] {
        assert_eq!(good.parse::<Prefix>().unwrap().as_str(), good);
    }
    for bad in ["", "A", "ABCDEFGHJ", "dca", "D1", "LI", "OK", "IA", "A-B", "ÄB"] {
        assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        assert!(serde_json::from_str::<Prefix>(&format!("\"{bad}\"")).is_err(), "{bad}");
    }
}

#[test]
fn a_long_text_is_refused_before_it_is_looked_at() {
    let ring = TestRing::default();
    let key =
        render(&ring, &Prefix::default(), LicenseId::default(), KeyVersion { secret_id: 1, version: 0 })
            .unwrap();
    let padded = |length: usize| format!("{key}{}", "-".repeat(length - key.len()));
    assert!(open(&ring, &padded(TEXT_MAX_BYTES)).is_ok());
    assert_eq!(open(&ring, &padded(TEXT_MAX_BYTES + 1)), Err(KeyError::Malformed));
}

/// A key and what it was made of.
#[derive(Debug, Clone)]
struct Made {
    text: String,
    opened: OpenedKey,
}

fn made() -> impl Strategy<Value = Made> {
    ("[A-HJKMNP-Z]{2,8}", any::<u128>(), 1..=2_u8, any::<u8>()).prop_map(
        |(prefix, id, secret_id, version)| {
            let license = LicenseId(Uuid::from_u128(id));
            let key = KeyVersion { secret_id, version };
            let text = render(&TestRing::default(), &prefix.parse().unwrap(), license, key).unwrap();
            Made { text, opened: OpenedKey { license, key } }
        },
    )
}

/// The letters and digits of a key without its hyphens.
fn plain(key: &str) -> Vec<u8> {
    key.bytes().filter(|byte| *byte != b'-').collect()
}

fn refused(text: Vec<u8>) -> Result<OpenedKey, KeyError> {
    open(&TestRing::default(), &String::from_utf8(text).unwrap())
}

/// Another letter or digit for the place: a letter in the prefix, a symbol of another value in the body.
fn replaced(plain: &[u8], place: usize, choice: usize) -> u8 {
    let in_prefix = place < plain.len() - BODY_SYMBOLS;
    let choices: Vec<u8> = if in_prefix { (b'A'..=b'Z').collect() } else { CROCKFORD.to_vec() };
    let others: Vec<u8> = choices.into_iter().filter(|byte| *byte != plain[place]).collect();
    others[choice % others.len()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_rendered_opens_again(made in made()) {
        prop_assert_eq!(open(&TestRing::default(), &made.text), Ok(made.opened));
        prop_assert!(made.text.len() <= 63);
    }

    #[test]
    fn one_to_four_wrong_symbols_are_always_found(
        made in made(),
        places in proptest::collection::btree_set(0..54_usize, 1..=4),
        choices: [usize; 4],
    ) {
        let good = plain(&made.text);
        let mut text = good.clone();
        let last = good.len() - 1;
        for (place, choice) in places.iter().map(|place| (*place).min(last)).zip(choices) {
            text[place] = replaced(&good, place, choice);
        }
        prop_assert_eq!(refused(text), Err(KeyError::Malformed));
    }

    #[test]
    fn separators_case_and_look_alikes_do_not_matter(made in made(), seed: u64) {
        let mut seed = seed;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        let good = plain(&made.text);
        let prefix = good.len() - BODY_SYMBOLS;
        let mut text = String::new();
        for (place, byte) in good.iter().enumerate() {
            let look_alike = match byte {
                b'0' if place >= prefix => [b'0', b'O'][next(2) as usize],
                b'1' if place >= prefix => [b'1', b'I', b'L'][next(3) as usize],
                other => *other,
            };
            let letter = if next(2) == 0 { look_alike.to_ascii_lowercase() } else { look_alike };
            text.push(letter as char);
            text.push_str(["", "", "-", " "][next(4) as usize]);
        }
        prop_assert_eq!(open(&TestRing::default(), &text), Ok(made.opened), "{}", text);
    }

    #[test]
    fn well_formed_keys_of_another_ring_are_forged(made in made(), other: [u8; 16]) {
        let foreign = TestRing { license_secrets: vec![(1, other.to_vec()), (2, other.to_vec())], active: 1 };
        prop_assert!(is_well_formed(&made.text));
        prop_assert_eq!(open(&foreign, &made.text), Err(KeyError::Forged));
    }

    #[test]
    fn no_text_makes_it_stumble(text in "\\PC{0,220}") {
        prop_assert!(open(&TestRing::default(), &text).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_single_wrong_symbol_is_found(made in made()) {
        let good = plain(&made.text);
        for place in 0..good.len() {
            for choice in 0..31 {
                let mut text = good.clone();
                text[place] = replaced(&good, place, choice);
                prop_assert_eq!(refused(text), Err(KeyError::Malformed), "place {}", place);
            }
        }
    }

    #[test]
    fn every_swap_of_different_neighbours_is_found(made in made()) {
        let good = plain(&made.text);
        for place in 1..good.len() {
            if good[place - 1] == good[place] {
                continue;
            }
            let mut text = good.clone();
            text.swap(place - 1, place);
            prop_assert_eq!(refused(text), Err(KeyError::Malformed), "place {}", place);
        }
    }
}
