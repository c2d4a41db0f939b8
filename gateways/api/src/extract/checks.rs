//! Checks of single members that several bodies share: keys, devices, fingerprints, reasons, metadata. Lengths
//! are of the contract, so what breaks one is an invalid request, not an impossible value.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Object;
use crate::error::{ApiError, Code, FieldError};
use crate::openapi::types as doc;

const COMPONENTS_MAX: usize = 16;
const METADATA_MAX_BYTES: usize = 8 * 1024;
/// Longest nonce, slug or payment reference looked at.
pub(crate) const TOKEN_MAX: usize = 128;

/// One component of a device's fingerprint, raw.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    #[schema(value_type = doc::ComponentName)]
    name: String,
    #[schema(value_type = doc::ComponentValue)]
    value: String,
}

/// A member of `least` to `most` characters: what the document of the API can say, which knows no bytes.
pub(crate) fn characters(pointer: &str, text: &str, least: usize, most: usize) -> Result<(), ApiError> {
    let length = text.chars().count();
    if (least..=most).contains(&length) {
        return Ok(());
    }
    let detail = format!("must have {least} to {most} characters, and has {length}");
    Err(ApiError::invalid(pointer, "WRONG_LENGTH", detail))
}

/// A license key as a request gives it; whether it opens is another matter.
pub(crate) fn key(text: &str) -> Result<(), ApiError> {
    characters("/key", text, 1, domain::key::TEXT_MAX_BYTES)
}

/// The client's own name for a machine.
pub(crate) fn device_id(text: &str) -> Result<(), ApiError> {
    characters("/deviceId", text, 1, 128)
}

/// What people call a device.
pub(crate) fn device_name(text: &str) -> Result<(), ApiError> {
    characters("/deviceName", text, 1, 64)
}

/// Characters of a reason.
pub(crate) const REASON_MAX: usize = 500;

/// Why something is done.
pub(crate) fn reason(text: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    characters("/reason", &text, 0, REASON_MAX)?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A fingerprint: each name once.
pub(crate) fn components(components: Vec<Object<Component>>) -> Result<Vec<(String, String)>, ApiError> {
    if components.len() > COMPONENTS_MAX {
        let detail = format!("may have {COMPONENTS_MAX} entries, and has {}", components.len());
        return Err(ApiError::invalid("/components", "WRONG_LENGTH", detail));
    }
    let mut checked: Vec<(String, String)> = Vec::with_capacity(components.len());
    for (index, Object(Component { name, value })) in components.into_iter().enumerate() {
        let at = |member: &str| format!("/components/{index}/{member}");
        characters(&at("name"), &name, 1, 64)?;
        characters(&at("value"), &value, 1, 256)?;
        if checked.iter().any(|(earlier, _)| *earlier == name) {
            let twice =
                FieldError::new(at("name"), "DUPLICATE_MEMBER", "stands there twice; give each name once");
            return Err(ApiError::fields(Code::InvalidValue, vec![twice]));
        }
        checked.push((name, value));
    }
    Ok(checked)
}

/// Metadata as JSON text: an object. The text is kept as it is, so that no number loses a digit, but it must read
/// as JSON in every part: a raw value alone would let half a surrogate pair pass.
pub(crate) fn metadata(pointer: &str, raw: &RawValue) -> Result<String, ApiError> {
    let text = raw.get();
    if text.len() > METADATA_MAX_BYTES {
        let detail = format!("may have {METADATA_MAX_BYTES} bytes, and has {}", text.len());
        return Err(ApiError::invalid(pointer, "WRONG_LENGTH", detail));
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) if error.is_data() => {
            Err(ApiError::invalid(pointer, "WRONG_TYPE", "must be a JSON object"))
        }
        Err(error) => Err(ApiError::invalid(pointer, "NOT_JSON", format!("cannot be read: {error}"))),
    }
}

/// Names of entitlements that a program asks for.
pub(crate) fn entitlements(names: &[String]) -> Result<(), ApiError> {
    let most = domain::terms::ENTITLEMENTS_MAX;
    if names.len() > most {
        let detail = format!("may have {most} entries, and has {}", names.len());
        return Err(ApiError::invalid("/entitlements", "WRONG_LENGTH", detail));
    }
    names
        .iter()
        .enumerate()
        .try_for_each(|(index, name)| characters(&format!("/entitlements/{index}"), name, 1, 64))
}

/// Text that borrows from the body unless it holds escapes. A type of its own, because serde borrows into a bare
/// `Option<Cow<str>>` never.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, value: &str) -> Object<Component> {
        Object(Component { name: name.to_owned(), value: value.to_owned() })
    }

    fn parts(list: &[(&str, &str)]) -> Vec<Object<Component>> {
        list.iter().map(|(name, value)| part(name, value)).collect()
    }

    #[test]
    fn a_fingerprint_names_each_component_once() {
        assert_eq!(components(parts(&[("cpu", "a"), ("disk", "b")])).unwrap().len(), 2);
        let error = components(parts(&[("cpu", "a"), ("cpu", "b")])).unwrap_err();
        assert_eq!(error.errors()[0].pointer, "/components/1/name");
        assert_eq!(components(parts(&[("", "a")])).unwrap_err().errors()[0].pointer, "/components/0/name");
        let long = "x".repeat(257);
        assert_eq!(
            components(parts(&[("a", &long)])).unwrap_err().errors()[0].pointer,
            "/components/0/value"
        );
        let many = (0..17).map(|i| part(&i.to_string(), "x")).collect();
        assert_eq!(components(many).unwrap_err().errors()[0].pointer, "/components");
    }

    #[test]
    fn metadata_is_an_object_of_8_kib() {
        let of = |text: &str| metadata("/metadata", &RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(of(r#"{"n":12345678901234567890.5}"#).unwrap(), r#"{"n":12345678901234567890.5}"#);
        assert_eq!(of("[]").unwrap_err().errors()[0].code, "WRONG_TYPE");
        assert_eq!(
            of(&format!(r#"{{"a":"{}"}}"#, "x".repeat(8200))).unwrap_err().errors()[0].code,
            "WRONG_LENGTH"
        );
        assert_eq!(of(r#"{"a":"\ud800"}"#).unwrap_err().status(), 400);
    }

    #[test]
    fn an_empty_reason_is_none() {
        assert_eq!(reason(Some("  ".to_owned())).unwrap(), None);
        assert_eq!(reason(Some(" why ".to_owned())).unwrap(), Some("why".to_owned()));
        assert!(reason(Some("x".repeat(501))).is_err());
    }
}
