//! The claim in the sign-in link that a server prints while the platform has no owner. It is computed, never stored: a MAC
//! over the log's epoch and the number of the ownership that can be claimed. So whoever reads the data folder can print it
//! again, a restored or another database has another one, and one that was used, or was true once, never comes back.

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;

use super::Platform;
use crate::ports::{Mac, Purpose};

const DOMAIN: &[u8] = b"dca-auth/platform-claim/v1";
/// Characters of a claim.
pub const LENGTH: usize = 43;

/// The claim that is good now; `None` while there is an owner.
pub fn render(mac: &dyn Mac, epoch: &str, platform: &Platform) -> Option<String> {
    let number = platform.claimable()?;
    let parts: [&[u8]; 5] = [DOMAIN, b"\x1f", epoch.as_bytes(), b"\x1f", &number.to_be_bytes()];
    Some(BASE64URL_NOPAD.encode(&mac.mac(Purpose::PlatformClaim, &parts)))
}

/// The number of the ownership that `text` claims; `None` if it is not the claim that is good now.
pub fn open(mac: &dyn Mac, epoch: &str, platform: &Platform, text: &str) -> Option<u32> {
    let good = render(mac, epoch, platform)?;
    let same = bool::from(good.as_bytes().ct_eq(text.as_bytes()));
    if same { platform.claimable() } else { None }
}
