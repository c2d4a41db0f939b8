//! Which device a request comes from: matching by id and by hashed components. Raw component values never
//! come here; whoever calls has hashed them under the license's own key.

use serde::{Deserialize, Serialize};

use crate::id::LicenseId;
use crate::license::Device;
use crate::ports::{Mac, Purpose};

/// Most components of one fingerprint.
pub const COMPONENTS_MAX: usize = 16;
/// Longest `deviceId` in bytes.
pub const DEVICE_ID_MAX_BYTES: usize = 128;

/// How many components of a registered device a request must repeat to be that device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceMatch {
    /// None: the `deviceId` alone decides.
    #[default]
    Id,
    /// At least one.
    Any,
    /// At least two.
    Two,
    /// More than half of those registered.
    Most,
    /// Every one registered.
    All,
}

/// One component of a fingerprint, hashed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// For example `cpu`, `disk`, `board`; each name once in a fingerprint.
    pub name: String,
    /// The first 16 bytes of HMAC-SHA256 under the license's fingerprint key, base64url.
    pub hash: String,
}

impl Component {
    /// Hashes a raw value. The key is derived per license, so equal machines cannot be linked across licenses.
    pub fn hashed(mac: &dyn Mac, license: LicenseId, name: &str, value: &str) -> Self {
        let length = (name.len() as u32).to_be_bytes();
        let tag = mac
            .mac(Purpose::Fingerprint, &[license.0.as_bytes(), &length, name.as_bytes(), value.as_bytes()]);
        Self { name: name.to_owned(), hash: data_encoding::BASE64URL_NOPAD.encode(&tag[..16]) }
    }
}

/// The device that a request names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceClaim {
    /// The client's own name for the machine.
    pub device_id: String,
    /// Its fingerprint, hashed under the license's key; may be empty.
    pub components: Vec<Component>,
}

impl DeviceMatch {
    /// How many of `registered` components (at least one) a request must repeat. A device with fewer components
    /// than the mode asks for must have all of them repeated.
    pub const fn needed(self, registered: usize) -> usize {
        let asked = match self {
            Self::Id => 0,
            Self::Any => 1,
            Self::Two => 2,
            Self::Most => registered / 2 + 1,
            Self::All => registered,
        };
        if asked < registered { asked } else { registered }
    }

    /// Whether `claimed` repeats enough of the `registered` components. Components are compared by name; a name
    /// that the request gives twice counts as first given, so that nobody can try several values at once.
    /// A device without components is nobody's by its components.
    pub fn is_met(self, registered: &[Component], claimed: &[Component]) -> bool {
        let repeated = |known: &&Component| {
            claimed.iter().find(|one| one.name == known.name).is_some_and(|one| one.hash == known.hash)
        };
        !registered.is_empty() && registered.iter().filter(repeated).count() >= self.needed(registered.len())
    }
}

/// What a license knows about the device that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognition<'a> {
    /// It is this active device.
    Known(&'a Device),
    /// Its `deviceId` is that of an active device, and its components are not.
    Mismatch,
    /// It is no active device.
    Unknown,
}

/// Which of the active `devices` a request comes from. The `deviceId` is looked at first; a request with an
/// unknown one is the first active device whose components it repeats.
pub fn recognise<'a>(devices: &'a [Device], mode: DeviceMatch, claim: &DeviceClaim) -> Recognition<'a> {
    let by_id = devices.iter().find(|device| device.device_id == claim.device_id);
    match by_id {
        Some(device) if mode == DeviceMatch::Id || device.components.is_empty() => Recognition::Known(device),
        Some(device) if mode.is_met(&device.components, &claim.components) => Recognition::Known(device),
        Some(_) => Recognition::Mismatch,
        None if mode == DeviceMatch::Id => Recognition::Unknown,
        None => devices
            .iter()
            .find(|device| mode.is_met(&device.components, &claim.components))
            .map_or(Recognition::Unknown, Recognition::Known),
    }
}

#[cfg(test)]
mod tests;
