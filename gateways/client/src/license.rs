//! Requests and answers of the four calls that a licensed program makes. Shapes only; nothing here decides.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One raw component of a device's fingerprint; the server keeps a keyed hash of it only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// For example `cpu`, `disk`, `board`.
    pub name: String,
    /// What the machine says.
    pub value: String,
}

/// Body of `POST /licenses/validate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateRequest {
    /// The license key.
    pub key: String,
    /// The client's own name for the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The machine's fingerprint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// The type that the license must have.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub license_type: Option<String>,
    /// Entitlements that it must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<String>,
    /// Repeated in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// Answer of `POST /licenses/validate`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Validation {
    /// Whether the license is good now.
    pub valid: bool,
    /// The stable code, for example `VALID` or `EXPIRED`.
    pub code: String,
    /// The code in a sentence, or the category.
    pub detail: String,
    /// Whether the answer comes from facts that could not be refreshed.
    #[serde(default)]
    pub degraded: bool,
    /// The license, if the key opened one.
    pub license: Option<Value>,
    /// The device, if the request named one that is active.
    pub device: Option<Value>,
}

/// Body of `POST /licenses/activate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivateRequest {
    /// The license key.
    pub key: String,
    /// The client's own name for the machine.
    pub device_id: String,
    /// What the owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// The machine's fingerprint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
}

/// Answer of `POST /licenses/activate`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Activated {
    /// The license as it now is.
    pub license: Value,
    /// The device.
    pub device: Value,
}

/// Body of `POST /licenses/heartbeat` and `POST /licenses/deactivate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRequest {
    /// The license key.
    pub key: String,
    /// The client's own name for the machine.
    pub device_id: String,
}
