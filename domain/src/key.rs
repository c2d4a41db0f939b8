//! The license key: text that names its license and proves that this deployment made it. Making and opening
//! a key is a pure function of the key ring; no key is ever stored, and this file never looks one up.
//!
//! 25 bytes: format (3 bits) ‖ secret id (5 bits) · key version · license id (16) · the first 7 bytes of
//! HMAC-SHA256(secret, `dca-auth/license-key/v1` ‖ the 18 bytes before). Written as 40 symbols of Crockford's
//! base32 in groups of five, then six check symbols: the bech32m code (BIP-350) over the symbol values, with
//! the prefix in lower case as human-readable part. The code finds every error in up to four symbols.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::id::{InvalidId, LicenseId};
use crate::ports::Mac;

const FORMAT: u8 = 1;
const DOMAIN: &[u8] = b"dca-auth/license-key/v1";
const HEAD: usize = 18;
const TAG: usize = 7;
const DATA_SYMBOLS: usize = 40;
const CHECK_SYMBOLS: usize = 6;
const BODY_SYMBOLS: usize = DATA_SYMBOLS + CHECK_SYMBOLS;
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// BIP-350.
const BECH32M: u32 = 0x2bc8_30a3;
/// BIP-173.
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
/// Longest text looked at; a key with every separator is far shorter.
pub const TEXT_MAX_BYTES: usize = 200;

/// What stands before the groups of a key: 2 to 8 letters A to Z without I, L and O. A guild may set its own;
/// keys with the old prefix stay valid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// The prefix in capitals.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("DCA".into())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let letter = |b: u8| b.is_ascii_uppercase() && !matches!(b, b'I' | b'L' | b'O');
        if (2..=8).contains(&text.len()) && text.bytes().all(letter) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(text, "a key prefix (2 to 8 capital letters without I, L and O)"))
        }
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The part of a license that a key repeats: which secret made it and how often it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyVersion {
    /// Secret of the ring, 0 to 31.
    pub secret_id: u8,
    /// 0 at first, one more at each rekey.
    pub version: u8,
}

/// What a key says, once its check symbols and its tag were found right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedKey {
    /// The license that it names.
    pub license: LicenseId,
    /// Compared with the license's own pair: another pair means the key was superseded.
    pub key: KeyVersion,
}

/// Why a text does not open as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong length, alphabet, prefix or check symbols: a typing error, or no key of ours at all.
    #[error("the text is not a license key: length, letters or check symbols are wrong")]
    Malformed,
    /// The check symbols are right and the tag is not: we never made this key.
    #[error("the key was not made by this deployment")]
    Forged,
}

/// Renders the key of a license under the secret that its pair names; `None` if the ring lacks that secret.
pub fn render(mac: &dyn Mac, prefix: &Prefix, license: LicenseId, key: KeyVersion) -> Option<String> {
    let mut bytes = [0_u8; HEAD + TAG];
    bytes[0] = (FORMAT << 5) | (key.secret_id & 0x1f);
    bytes[1] = key.version;
    bytes[2..HEAD].copy_from_slice(license.0.as_bytes());
    let tag = mac.license_key_mac(key.secret_id, &[DOMAIN, &bytes[..HEAD]])?;
    bytes[HEAD..].copy_from_slice(&tag[..TAG]);
    let mut symbols = [0_u8; BODY_SYMBOLS];
    to_symbols(&bytes, &mut symbols);
    let check = checksum(prefix.as_str().as_bytes(), &symbols[..DATA_SYMBOLS], [0; CHECK_SYMBOLS]) ^ BECH32M;
    for (i, symbol) in symbols[DATA_SYMBOLS..].iter_mut().enumerate() {
        *symbol = ((check >> (5 * (CHECK_SYMBOLS - 1 - i))) & 31) as u8;
    }
    Some(written(prefix, &symbols))
}

/// Opens a key: first the check symbols, which a client could verify as well, then the tag.
///
/// # Errors
/// [`KeyError::Malformed`] or [`KeyError::Forged`]. Neither needs any lookup.
pub fn open(mac: &dyn Mac, text: &str) -> Result<OpenedKey, KeyError> {
    let symbols = checked_symbols(text).ok_or(KeyError::Malformed)?;
    let mut bytes = [0_u8; HEAD + TAG];
    from_symbols(&symbols[..DATA_SYMBOLS], &mut bytes);
    if bytes[0] >> 5 != FORMAT {
        return Err(KeyError::Malformed);
    }
    let secret_id = bytes[0] & 0x1f;
    let tag = mac.license_key_mac(secret_id, &[DOMAIN, &bytes[..HEAD]]).ok_or(KeyError::Forged)?;
    if !bool::from(tag[..TAG].ct_eq(&bytes[HEAD..])) {
        return Err(KeyError::Forged);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[2..HEAD]);
    Ok(OpenedKey {
        license: LicenseId(Uuid::from_bytes(id)),
        key: KeyVersion { secret_id, version: bytes[1] },
    })
}

/// Whether prefix, alphabet, length and check symbols are right: all that a client without secrets can tell.
pub fn is_well_formed(text: &str) -> bool {
    checked_symbols(text).is_some()
}

/// The symbol values of a key text whose check symbols are right.
fn checked_symbols(text: &str) -> Option<[u8; BODY_SYMBOLS]> {
    if text.len() > TEXT_MAX_BYTES {
        return None;
    }
    let mut plain = [0_u8; 8 + BODY_SYMBOLS];
    let mut length = 0;
    for byte in text.bytes().filter(|b| !matches!(b, b' ' | b'-')) {
        *plain.get_mut(length)? = byte.to_ascii_uppercase();
        length += 1;
    }
    let prefix_length = length.checked_sub(BODY_SYMBOLS).filter(|n| (2..=8).contains(n))?;
    let (prefix, body) = plain[..length].split_at(prefix_length);
    if !prefix.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let mut symbols = [0_u8; BODY_SYMBOLS];
    for (symbol, byte) in symbols.iter_mut().zip(body) {
        *symbol = symbol_value(*byte)?;
    }
    let mut check = [0; CHECK_SYMBOLS];
    check.copy_from_slice(&symbols[DATA_SYMBOLS..]);
    (checksum(prefix, &symbols[..DATA_SYMBOLS], check) == BECH32M).then_some(symbols)
}

/// Crockford's base32: O reads as 0, I and L as 1; U is no symbol.
const fn symbol_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'O' => Some(0),
        b'I' | b'L' => Some(1),
        b'A'..=b'H' => Some(byte - b'A' + 10),
        b'J' | b'K' => Some(byte - b'J' + 18),
        b'M' | b'N' => Some(byte - b'M' + 20),
        b'P'..=b'T' => Some(byte - b'P' + 22),
        b'V'..=b'Z' => Some(byte - b'V' + 27),
        _ => None,
    }
}

/// The polymod of BIP-173 over the expanded human-readable part (in lower case), the data and six check symbols.
fn checksum(prefix: &[u8], data: &[u8], check: [u8; CHECK_SYMBOLS]) -> u32 {
    let lower = || prefix.iter().map(u8::to_ascii_lowercase);
    let expanded = lower().map(|b| b >> 5).chain([0]).chain(lower().map(|b| b & 31));
    expanded.chain(data.iter().copied()).chain(check).fold(1, |sum, value| {
        let top = sum >> 25;
        let shifted = ((sum & 0x01ff_ffff) << 5) ^ u32::from(value);
        GENERATOR.iter().enumerate().filter(|(i, _)| (top >> i) & 1 == 1).fold(shifted, |c, (_, g)| c ^ g)
    })
}

/// Five bytes to eight symbols, most significant bits first.
fn to_symbols(bytes: &[u8], symbols: &mut [u8]) {
    for (chunk, out) in bytes.chunks_exact(5).zip(symbols.chunks_exact_mut(8)) {
        let block = chunk.iter().fold(0_u64, |block, byte| (block << 8) | u64::from(*byte));
        for (i, symbol) in out.iter_mut().enumerate() {
            *symbol = ((block >> (35 - 5 * i)) & 31) as u8;
        }
    }
}

fn from_symbols(symbols: &[u8], bytes: &mut [u8]) {
    for (chunk, out) in symbols.chunks_exact(8).zip(bytes.chunks_exact_mut(5)) {
        let block = chunk.iter().fold(0_u64, |block, symbol| (block << 5) | u64::from(*symbol));
        out.copy_from_slice(&block.to_be_bytes()[3..]);
    }
}

fn written(prefix: &Prefix, symbols: &[u8; BODY_SYMBOLS]) -> String {
    let mut text = String::with_capacity(64);
    text.push_str(prefix.as_str());
    for (i, symbol) in symbols.iter().enumerate() {
        if i % 5 == 0 && i <= DATA_SYMBOLS {
            text.push('-');
        }
        text.push(CROCKFORD[usize::from(*symbol)] as char);
    }
    text
}

#[cfg(test)]
mod tests;
