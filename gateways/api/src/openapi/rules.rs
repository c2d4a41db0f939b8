//! What members of a request mean together, and how many entries lists may have: more than a type of Rust says.

use serde_json::{Map, Value, json};

/// Adds the rules to the schemas.
pub(super) fn add(schemas: &mut Value) {
    for (name, rule) in rules() {
        merge(&mut schemas[name], rule);
    }
}

fn rules() -> Map<String, Value> {
    let components = json!({ "maxItems": 16 });
    // The components of a fingerprint are those of a device, which needs its id.
    let of_a_device = json!([
        { "properties": { "components": { "maxItems": 0 } } },
        { "required": ["deviceId"], "properties": { "deviceId": { "type": "string" } } },
    ]);
    let rules = json!({
        "ActivateRequest": { "properties": { "components": components } },
        "ApiKeyOrder": { "properties": { "scopes": { "minItems": 1 } } },
        "CertificateWithKeyRequest": { "properties": { "components": components } },
        "HeartbeatRequest": { "properties": { "components": components } },
        "RenewRequest": {
            "description": "`for` or `until`, or neither: then it is renewed for the duration of its terms.",
            "not": {
                "required": ["for", "until"],
                "properties": { "for": { "type": "string" }, "until": { "type": "string" } },
            },
        },
        "RevokeManyRequest": {
            "description": "`ids` or `filter`.",
            "properties": {
                "ids": { "minItems": 1, "maxItems": 1_000, "uniqueItems": true },
                "reason": { "minLength": 1, "pattern": "\\S" },
            },
            "oneOf": [
                { "required": ["ids"], "properties": { "ids": { "type": "array" }, "filter": { "type": "null" } } },
                { "required": ["filter"], "properties": { "filter": { "type": "object" }, "ids": { "type": "null" } } },
            ],
        },
        "PlatformRoleChange": { "required": ["role"] },
        "StaffChange": { "required": ["role"] },
        "TermsRequest": { "properties": { "deactivate": { "maxItems": 1_000 } } },
        "ValidateRequest": {
            "properties": { "components": components, "entitlements": { "maxItems": 64 } },
            "anyOf": of_a_device,
        },
    });
    rules.as_object().cloned().unwrap_or_default()
}

/// Members of `more` into `value`, deeply.
fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, member) in more {
                merge(into.entry(name).or_insert(Value::Null), member);
            }
        }
        (value, more) => *value = more,
    }
}
