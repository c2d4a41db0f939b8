//! What happened to the security of a guild or of the platform: facts that belong to no aggregate's decision, and to the log
//! all the same. Each process writes streams of its own, one a guild and a day, so nothing is loaded to write one. What can be
//! caused without a credential is counted, so that nobody floods the log.

use serde::{Deserialize, Serialize};

use crate::credential::ApiKeyId;
use crate::id::LicenseId;
use crate::private::{Private, PrivateFields};
use crate::time::Timestamp;

/// Why requests were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A credential that is none of ours, was revoked, or is forged.
    CredentialInvalid,
    /// A credential whose time was over.
    CredentialExpired,
    /// A token of a session that was over.
    SessionEnded,
    /// A refresh token that a later one had replaced.
    RefreshReused,
    /// A sign-in that was not begun here, or that Discord refused.
    SignInRefused,
    /// A credential or license key that stood in an address.
    KeyInUrl,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 6] = [
        Self::CredentialInvalid,
        Self::CredentialExpired,
        Self::SessionEnded,
        Self::RefreshReused,
        Self::SignInRefused,
        Self::KeyInUrl,
    ];
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// Somebody was shown the key of a license.
    #[serde(rename = "security.key_revealed")]
    KeyRevealed {
        /// Which license.
        license_id: LicenseId,
        /// The version of its key.
        key_version: u8,
        /// When.
        at: Timestamp,
    },
    /// Somebody began to take license keys out in a file.
    #[serde(rename = "security.keys_exported")]
    KeysExported {
        /// The form of the file: `csv` or `jsonl`.
        format: String,
        /// When.
        at: Timestamp,
    },
    /// Requests were refused, counted over at most a minute.
    #[serde(rename = "security.requests_refused")]
    RequestsRefused {
        /// Why.
        cause: Cause,
        /// The API key that they came with, if it was one of ours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_key_id: Option<ApiKeyId>,
        /// The block of addresses that they came from otherwise (/24 of IPv4, /48 of IPv6); absent if it were too many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<String>,
        /// How many.
        count: u64,
        /// The first of them.
        since: Timestamp,
        /// The last of them.
        at: Timestamp,
    },
}

crate::aggregate::wire_names!(Event {
    KeyRevealed => "security.key_revealed", "1";
    KeysExported => "security.keys_exported", "1";
    RequestsRefused => "security.requests_refused", "1";
});

impl PrivateFields for Event {
    /// Nothing here is personal: a block of addresses is shared by hundreds.
    fn private_fields(&mut self, _: &mut dyn FnMut(&str, &mut Private)) {
        match self {
            Self::KeyRevealed { .. } | Self::KeysExported { .. } | Self::RequestsRefused { .. } => {}
        }
    }
}
