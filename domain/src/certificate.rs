//! Offline licenses as text: a JWS in compact form (RFC 7515, EdDSA) that a program checks with public keys alone. What it
//! says is fixed at its issue, so the same lease is the same text every time. It names no person and holds no license key.
//! Whether one is issued stands in `license/decide/leases.rs`; `docs/OFFLINE.md` says how it is checked.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::device::{Component, DeviceMatch};
use crate::id::{GuildId, LicenseId};
use crate::license::{Lease, License};
use crate::ports::{Mac, Purpose, Sign};
use crate::time::Timestamp;

/// `typ` of the header: no other kind of token has it, and this kind no other.
pub const TYPE: &str = "dca-license+jwt";
/// The only `alg`.
pub const ALGORITHM: &str = "EdDSA";

/// The components of a machine as a request for an offline license gave them: hashed as the license keeps them, and as the
/// certificate shows them. Both under keys of the ring, so that neither can be guessed from where it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fingerprint {
    /// For comparison with the device.
    pub known: Vec<Component>,
    /// For the certificate, in the same order.
    pub shown: Vec<Component>,
}

/// What a certificate is made of, besides the license.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    /// Who issues it: the address of the server.
    pub issuer: &'a str,
    /// The lease that it stands for.
    pub lease: &'a Lease,
    /// When it was issued.
    pub at: Timestamp,
    /// The machine that asked.
    pub fingerprint: &'a Fingerprint,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claims<'a> {
    iss: &'a str,
    aud: Option<GuildId>,
    sub: LicenseId,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    r#type: &'a str,
    entitlements: &'a [String],
    key_version: u8,
    device: DeviceClaim<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceClaim<'a> {
    device_id: &'a str,
    #[serde(flatten)]
    fingerprint: Option<FingerprintClaim<'a>>,
}

#[derive(Serialize)]
struct FingerprintClaim<'a> {
    r#match: DeviceMatch,
    salt: String,
    components: Vec<&'a Component>,
}

/// The salt of the components in the certificate of a lease, 16 bytes. It stands in the certificate; where there is no
/// certificate it cannot be known.
fn salt(mac: &dyn Mac, lease: Uuid) -> [u8; 16] {
    let tag = mac.mac(Purpose::Certificate, &[lease.as_bytes()]);
    let mut salt = [0; 16];
    salt.copy_from_slice(&tag[..16]);
    salt
}

/// A component as a certificate shows it: the first 16 bytes of SHA-256(salt ‖ name ‖ 0x00 ‖ value), base64url. A program on
/// the machine computes the same.
pub fn shown(salt: &[u8; 16], name: &str, value: &str) -> Component {
    let digest =
        Sha256::new().chain_update(salt).chain_update(name).chain_update([0]).chain_update(value).finalize();
    Component { name: name.to_owned(), hash: BASE64URL_NOPAD.encode(&digest[..16]) }
}

impl Fingerprint {
    /// Hashes raw components for the lease `lease` of `license`.
    pub fn of(mac: &dyn Mac, license: LicenseId, lease: Uuid, components: &[(String, String)]) -> Self {
        let salt = salt(mac, lease);
        let mut sorted: Vec<&(String, String)> = components.iter().collect();
        sorted.sort();
        Self {
            known: sorted.iter().map(|(name, value)| Component::hashed(mac, license, name, value)).collect(),
            shown: sorted.iter().map(|(name, value)| shown(&salt, name, value)).collect(),
        }
    }

    /// What is shown of the components that `registered` has as well: a machine cannot be tied to what it never registered.
    fn repeated(&self, registered: &[Component]) -> Vec<&Component> {
        let pairs = self.known.iter().zip(&self.shown);
        pairs.filter(|(known, _)| registered.contains(known)).map(|(_, shown)| shown).collect()
    }
}

/// The certificate of a lease of `license`, signed. `license` is as it was right after the issue.
///
/// # Errors
/// None that a license can cause: every member has a JSON form.
pub fn render(
    mac: &dyn Mac,
    sign: &dyn Sign,
    license: &License,
    issue: &Issue<'_>,
) -> Result<String, serde_json::Error> {
    let (lease, mode) = (issue.lease, license.terms.device_match);
    let device = license.devices.iter().find(|device| device.device_id == lease.device_id);
    let components = match device {
        Some(device) if mode != DeviceMatch::Id => issue.fingerprint.repeated(&device.components),
        _ => Vec::new(),
    };
    let fingerprint = (!components.is_empty()).then(|| FingerprintClaim {
        r#match: mode,
        salt: BASE64URL_NOPAD.encode(&salt(mac, lease.id)),
        components,
    });
    let issued_s = seconds(issue.at);
    let claims = Claims {
        iss: issue.issuer,
        aud: license.guild,
        sub: license.id,
        jti: lease.id,
        iat: issued_s,
        nbf: issued_s,
        // Rounded down, so that it never outlives its slot.
        exp: seconds(lease.until),
        r#type: &license.license_type,
        entitlements: &license.terms.entitlements,
        key_version: license.key.version,
        device: DeviceClaim { device_id: &lease.device_id, fingerprint },
    };
    let header = Header { alg: ALGORITHM, typ: TYPE, kid: &sign.key_id() };
    let mut text = BASE64URL_NOPAD.encode(&serde_json::to_vec(&header)?);
    text.push('.');
    BASE64URL_NOPAD.encode_append(&serde_json::to_vec(&claims)?, &mut text);
    let signature = sign.sign(text.as_bytes());
    text.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut text);
    Ok(text)
}

const fn seconds(at: Timestamp) -> i64 {
    at.ms() / 1_000
}

#[cfg(test)]
mod tests;
