//! The refresh token. It names its session and its place in the row of tokens that the session had, and proves both, so no
//! store holds one, and a forged one is refused before any I/O (as API keys are, see `credential.rs`).
//!
//! `dcar_` ‖ base64url(session id (16 bytes) ‖ generation (4 bytes, big-endian) ‖ HMAC-SHA256 (32 bytes) over
//! `"dca-auth/refresh-token/v1"` and the 20 bytes before it). The tag has the 256 bits that RFC 6749 section 10.10 and
//! RFC 9700 ask of what cannot be guessed.

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::id::SessionId;
use crate::ports::{Mac, Purpose};

const PREFIX: &str = "dcar_";
const DOMAIN: &[u8] = b"dca-auth/refresh-token/v1";
const NAMED: usize = 20;
const TAG: usize = 32;

/// Renders the token of `generation`.
pub fn render(mac: &dyn Mac, session: SessionId, generation: u32) -> String {
    let mut bytes = [0; NAMED + TAG];
    bytes[..16].copy_from_slice(session.0.as_bytes());
    bytes[16..NAMED].copy_from_slice(&generation.to_be_bytes());
    let tag = mac.mac(Purpose::RefreshToken, &[DOMAIN, &bytes[..NAMED]]);
    bytes[NAMED..].copy_from_slice(&tag);
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
}

/// Opens a token; `None` if its form or its tag is wrong, in which case we never made it.
pub fn open(mac: &dyn Mac, text: &str) -> Option<(SessionId, u32)> {
    let body = text.strip_prefix(PREFIX)?;
    let bytes: [u8; NAMED + TAG] = BASE64URL_NOPAD.decode(body.as_bytes()).ok()?.try_into().ok()?;
    let tag = mac.mac(Purpose::RefreshToken, &[DOMAIN, &bytes[..NAMED]]);
    if !bool::from(tag.ct_eq(&bytes[NAMED..])) {
        return None;
    }
    let (mut id, mut generation) = ([0; 16], [0; 4]);
    id.copy_from_slice(&bytes[..16]);
    generation.copy_from_slice(&bytes[16..NAMED]);
    Some((SessionId(Uuid::from_bytes(id)), u32::from_be_bytes(generation)))
}
