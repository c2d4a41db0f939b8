//! The query of an address: every member known, each at most once, each of its form. Members that an endpoint
//! does not know are refused by name, because a misspelt filter must not widen an answer.

use std::borrow::Cow;
use std::str::FromStr;

use axum::http::Uri;

use crate::error::{ApiError, Code, FieldError};

/// Members of a list's page.
pub(crate) const PAGE: [&str; 2] = ["limit", "cursor"];
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// The members of a query, decoded.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of `uri`, which may have members of `known` only.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let mut members: Vec<(String, String)> = Vec::new();
        let mut errors = Vec::new();
        for member in uri.query().unwrap_or_default().split('&').filter(|member| !member.is_empty()) {
            let (name, value) = member.split_once('=').unwrap_or((member, ""));
            let (name, value) = (decoded(name), decoded(value));
            if !known.contains(&&*name) {
                let detail = match known {
                    [] => "is not known here: this address takes no query".to_owned(),
                    _ => format!("is not known here; known are {}", known.join(", ")),
                };
                errors.push(FieldError::new(shown(&name), "UNKNOWN_MEMBER", detail));
            } else if members.iter().any(|(earlier, _)| *earlier == *name) {
                errors.push(FieldError::new(
                    shown(&name),
                    "DUPLICATE_MEMBER",
                    "stands there twice; give it once",
                ));
            } else if value.contains('\0') {
                errors.push(FieldError::new(
                    shown(&name),
                    "NUL_CHARACTER",
                    "holds U+0000, which nothing here may hold",
                ));
            } else {
                members.push((name.into_owned(), value.into_owned()));
            }
        }
        if errors.is_empty() {
            Ok(Self(members))
        } else {
            Err(ApiError::fields(Code::InvalidRequest, errors))
        }
    }

    /// An address that takes no query at all.
    pub(crate) fn none(uri: &Uri) -> Result<(), ApiError> {
        match uri.query() {
            None | Some("") => Ok(()),
            Some(_) => Self::of(uri, &[]).map(drop),
        }
    }

    /// The text of a member.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A member of a form of its own.
    pub(crate) fn get<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name).map(|text| text.parse().map_err(|error: T::Err| wrong(name, &error))).transpose()
    }

    /// `true` or `false`; absent is false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.get::<bool>(name)?.unwrap_or(false))
    }

    /// How many rows a page is to have.
    pub(crate) fn limit(&self) -> Result<u32, ApiError> {
        let limit: i64 = match self.text("limit") {
            None => return Ok(LIMIT_DEFAULT),
            Some(text) => text.parse().map_err(|_| wrong("limit", &"must be a whole number"))?,
        };
        u32::try_from(limit).ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
            ApiError::impossible("?limit", format!("must be from 1 to {LIMIT_MAX}, and is {limit}"))
        })
    }
}

/// The refusal of a member's form.
pub(crate) fn wrong(name: &str, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::invalid(format!("?{name}"), "WRONG_FORM", error.to_string())
}

/// A name for messages: cut, because it may be anything.
fn shown(name: &str) -> String {
    format!("?{}", name.chars().take(64).collect::<String>())
}

/// Percent-decoding of a query: `+` is a space, bytes that are no UTF-8 become U+FFFD.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let (byte, used) = match (escaped, first) {
            (Some(byte), _) => (byte, 3),
            (None, b'+') => (b' ', 1),
            (None, other) => (*other, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, ApiError> {
        Query::of(&format!("/x?{text}").parse().unwrap(), &["limit", "cursor", "q"])
    }

    #[test]
    fn members_are_decoded() {
        assert_eq!(query("q=a+b%20c%C3%BC&limit=7").unwrap().text("q"), Some("a b cü"));
        assert_eq!(query("q=%zz%4").unwrap().text("q"), Some("%zz%4"));
        assert_eq!(query("q").unwrap().text("q"), Some(""));
    }

    #[test]
    fn unknown_and_doubled_members_are_named() {
        let error = query("size=1&page=2").unwrap_err();
        let names: Vec<_> = error.errors().iter().map(|e| (e.pointer.as_str(), &*e.code)).collect();
        assert_eq!(names, [("?size", "UNKNOWN_MEMBER"), ("?page", "UNKNOWN_MEMBER")]);
        assert_eq!(query("q=1&q=2").unwrap_err().errors()[0].code, "DUPLICATE_MEMBER");
        assert_eq!(query("q=%00").unwrap_err().errors()[0].code, "NUL_CHARACTER");
    }

    #[test]
    fn limits_are_from_1_to_200() {
        assert_eq!(query("").unwrap().limit().unwrap(), 50);
        assert_eq!(query("limit=200").unwrap().limit().unwrap(), 200);
        for (text, status) in [("0", 422), ("201", 422), ("-1", 422), ("x", 400), ("", 400)] {
            assert_eq!(
                query(&format!("limit={text}")).unwrap().limit().unwrap_err().status(),
                status,
                "{text}"
            );
        }
    }
}
