//! AES-256-GCM with a random nonce of 96 bits: nonce ‖ ciphertext ‖ tag. Knows neither subjects nor fields.
//! One key must not seal more than 2³² texts (NIST SP 800-38D, 8.3); a subject has some thousands.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};

/// Length of the nonce.
const NONCE_BYTES: usize = 12;
/// Length of a key.
pub(super) const KEY_BYTES: usize = 32;

/// Seals `clear`; `aad` is bound to it and not contained in it.
///
/// # Errors
/// A sentence without secrets: no randomness, or a text longer than the cipher takes.
pub(super) fn seal(key: &[u8; KEY_BYTES], aad: &[u8], clear: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut nonce = [0_u8; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| "the operating system gave no randomness for the nonce")?;
    let sealed = Aes256Gcm::new(key.into())
        .encrypt(&nonce.into(), Payload { msg: clear, aad })
        .map_err(|_| "the text is longer than AES-GCM takes")?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`seal`] made; `None` if it was altered, or sealed under another key or `aad`.
pub(super) fn open(key: &[u8; KEY_BYTES], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    Aes256Gcm::new(key.into()).decrypt(&(*nonce).into(), Payload { msg: body, aad }).ok()
}
