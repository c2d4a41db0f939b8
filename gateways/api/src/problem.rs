//! Problem details (RFC 9457): the body of every error. Nothing here decides what is an error.

use axum::http::HeaderValue;
use serde::Serialize;

use crate::error::{Fault, FieldError};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

/// The body of a problem.
pub(crate) fn body(fault: &Fault, request_id: &HeaderValue) -> Vec<u8> {
    let problem = Problem {
        r#type: format!("/docs/errors#{}", fault.code),
        title: title(&fault.code),
        status: fault.status.as_u16(),
        detail: &fault.detail,
        code: &fault.code,
        request_id: request_id.to_str().unwrap_or_default(),
        errors: &fault.errors,
    };
    // A struct of strings and numbers always has a JSON form.
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// `DEVICE_LIMIT_REACHED` as people write it: "Device limit reached".
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ").to_ascii_lowercase();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;

    #[test]
    fn a_problem_has_every_member_and_says_what_helps() {
        let error = ApiError::from(commands::Refused {
            code: "DEVICE_LIMIT_REACHED".into(),
            detail: "2 of 2 devices are in use".to_owned(),
            help: "Do this.".to_owned(),
            items: Vec::new(),
            again_at: None,
        });
        let id = HeaderValue::from_static("r-1");
        let body: serde_json::Value = serde_json::from_slice(&body(error.fault(), &id)).unwrap();
        assert_eq!(body["type"], "/docs/errors#DEVICE_LIMIT_REACHED");
        assert_eq!(body["title"], "Device limit reached");
        assert_eq!(body["status"], 409);
        assert_eq!(body["detail"], "2 of 2 devices are in use. Do this.");
        assert_eq!(body["requestId"], "r-1");
        assert_eq!(body.get("errors"), None);
    }
}
