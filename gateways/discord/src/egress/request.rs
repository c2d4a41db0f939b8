//! One REST request as the bot states it. It never knows the host, the token or a limit.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Characters of a reason that Discord takes.
const REASON_MAX: usize = 512;

/// A request: method, path below `/api/v10`, and what goes with it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path below `/api/v10`, beginning with a slash, without a query.
    pub path: String,
    /// The query, already encoded, without the question mark.
    pub query: Option<String>,
    /// The JSON body.
    pub body: Option<Value>,
    /// Text for the guild's audit log; percent-encoded and cut at 512 characters when sent.
    pub reason: Option<String>,
    /// Whether sending it twice does what sending it once does, so a lost answer may be repeated.
    pub repeatable: bool,
}

impl Request {
    fn new(method: Method, path: impl Into<String>, body: Option<Value>) -> Self {
        let repeatable = method.is_idempotent();
        Self { method, path: path.into(), query: None, body, reason: None, repeatable }
    }

    /// A GET; repeatable.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, None)
    }

    /// A POST with a body; not repeatable unless said so.
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::POST, path, Some(body))
    }

    /// A PUT without a body; repeatable.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path, None)
    }

    /// A PATCH with a body; not repeatable unless said so.
    pub fn patch(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PATCH, path, Some(body))
    }

    /// A DELETE; repeatable.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, None)
    }

    /// Sets the query, already encoded, without the question mark.
    #[must_use]
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.query = Some(query.into());
        self
    }

    /// Sets the JSON body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Sets the audit log's reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Says that sending it twice is harmless: it carries an enforced nonce, or states the whole truth.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

/// A reason as a header's value: cut, and plain ASCII by percent-encoding.
pub(super) fn percent(text: &str) -> String {
    let cut = text.char_indices().nth(REASON_MAX).map_or(text, |(end, _)| text.split_at(end).0);
    utf8_percent_encode(cut, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_becomes_plain_ascii() {
        assert_eq!(percent("Rolle weg: Ü"), "Rolle%20weg%3A%20%C3%9C");
        assert_eq!(percent(&"a".repeat(600)).len(), 512);
        assert_eq!(percent("a\r\nb"), "a%0D%0Ab");
    }

    #[test]
    fn only_get_put_and_delete_repeat_by_themselves() {
        assert!(
            Request::get("/a").repeatable
                && Request::put("/a").repeatable
                && Request::delete("/a").repeatable
        );
        assert!(
            !Request::post("/a", Value::Null).repeatable && !Request::patch("/a", Value::Null).repeatable
        );
        assert!(Request::post("/a", Value::Null).repeatable().repeatable);
    }
}
