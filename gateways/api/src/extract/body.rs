//! Bodies: JSON by content type, in time and in size, UTF-8 without U+0000, every member known. What is wrong is
//! named by its JSON pointer.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::query::Query;
use crate::caller::Caller;
use crate::error::{ApiError, Code};
use crate::state::{ApiState, Limits};

/// A JSON object read as `T`. Without it serde reads an array as a struct as well, member by member.
#[derive(Debug, Default)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

/// Longest CSV file.
pub(crate) const TABLE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A JSON object.
    Json,
    /// A CSV file.
    Table,
}

/// Takes the body of a request, which is JSON. An empty one stands for `{}`, so that members that must be there are named.
pub(crate) async fn read(limits: &Limits, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    read_as(Kind::Json, limits, headers, body).await
}

/// Takes a request apart that has a JSON body and no query, whoever sends it.
pub(crate) async fn sent(state: &ApiState, request: Request) -> Result<(Parts, Bytes), ApiError> {
    Query::none(request.uri())?;
    let (parts, body) = request.into_parts();
    let bytes = read(state.limits(), &parts.headers, body).await?;
    Caller::in_parts(&parts.extensions)?.check_body(&bytes)?;
    Ok((parts, bytes))
}

/// Refuses every member.
pub(crate) fn parse_nothing(bytes: &[u8]) -> Result<(), ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    parse::<Nothing>(bytes).map(|_| ())
}

/// Takes a body of this kind.
pub(crate) async fn read_as(
    kind: Kind,
    limits: &Limits,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, ApiError> {
    let most = match kind {
        Kind::Json => limits.body_max_bytes,
        Kind::Table => TABLE_MAX_BYTES,
    };
    let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let collected = axum::body::to_bytes(body, most);
    let bytes = match tokio::time::timeout(limits.body_timeout, collected).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_length_limit(&error) => return Err(too_large(most)),
        Ok(Err(_)) => return Err(ApiError::invalid("", "NOT_JSON", "ended before it was complete")),
        Err(_) => {
            let detail = "The body did not arrive in time; send it without pauses.";
            return Err(ApiError::new(Code::RequestTimeout, detail));
        }
    };
    if kind == Kind::Table {
        let detail = "Send the file as CSV, with `Content-Type: text/csv`.";
        let refused = || ApiError::new(Code::UnsupportedMediaType, detail);
        return is_table(headers).then_some(bytes).ok_or_else(refused);
    }
    if bytes.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if !is_json(headers) {
        let detail = "Send the body as JSON, with `Content-Type: application/json`.";
        return Err(ApiError::new(Code::UnsupportedMediaType, detail));
    }
    Ok(bytes)
}

fn too_large(most: usize) -> ApiError {
    ApiError::new(Code::BodyTooLarge, format!("The body may have {most} bytes; send less at once."))
}

fn is_table(headers: &HeaderMap) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv")
}

/// The limit's error has no type that this crate can name, so it is known by its words; a test holds them.
fn is_length_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string() == "length limit exceeded")
}

/// `application/json`, or another type of JSON's by its suffix; parameters other than UTF-8 are refused.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let essence = essence.trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 17
            && essence.as_bytes()[..12].eq_ignore_ascii_case(b"application/")
            && essence.as_bytes()[essence.len() - 5..].eq_ignore_ascii_case(b"+json"));
    let parameters = parameters.trim();
    let is_utf8 = parameters.is_empty()
        || parameters.split_once('=').is_some_and(|(name, value)| {
            !name.trim().eq_ignore_ascii_case("charset")
                || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
    is_json && is_utf8
}

/// Reads a body as `T`, borrowing from it where that is possible.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        ApiError::invalid("", "NOT_JSON", format!("is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let Object(parsed) = serde_json::from_str(text).map_err(|_| explained::<Object<T>>(text))?;
    // U+0000 can stand in JSON only behind a backslash.
    if bytes.contains(&b'\\')
        && let Some(pointer) = pointer_to_nul(text)
    {
        return Err(ApiError::invalid(pointer, "NUL_CHARACTER", "holds U+0000, which nothing here may hold"));
    }
    Ok(parsed)
}

/// Reads once more what could not be read, this time keeping account of where.
fn explained<'a, T: Deserialize<'a>>(text: &'a str) -> ApiError {
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(_) => ApiError::invalid("", "NOT_JSON", "goes on after its end"),
        Err(error) => {
            let path = pointer(error.path());
            let inner = error.into_inner();
            let place = format!(" (line {}, column {})", inner.line(), inner.column());
            let message = inner.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            if inner.is_data() { of_data(path, message) } else { not_json(message, &place) }
        }
    }
}

fn not_json(message: &str, place: &str) -> ApiError {
    ApiError::invalid("", "NOT_JSON", format!("is not JSON: {message}{place}"))
}

/// A body that is JSON and not what is asked for.
fn of_data(path: String, message: &str) -> ApiError {
    let named = |prefix: &str| Some(message.strip_prefix(prefix)?.split('`').next()?.to_owned());
    let member = |name: &str| match path.ends_with(&format!("/{}", escaped(name))) {
        true => path.clone(),
        false => format!("{path}/{}", escaped(name)),
    };
    if let Some(name) = named("unknown field `") {
        let known = message.split_once("expected ").map_or("none", |(_, known)| known);
        return ApiError::invalid(
            member(&name),
            "UNKNOWN_MEMBER",
            format!("is not known here; known: {known}"),
        );
    }
    if let Some(name) = named("missing field `") {
        return ApiError::invalid(member(&name), "MISSING_MEMBER", "is missing and must be there");
    }
    if let Some(name) = named("duplicate field `") {
        return ApiError::invalid(member(&name), "DUPLICATE_MEMBER", "stands there twice; give it once");
    }
    if message.starts_with("invalid type") {
        return ApiError::invalid(
            path,
            "WRONG_TYPE",
            format!("has the wrong type: {}", after_colon(message)),
        );
    }
    ApiError::invalid(path, "WRONG_FORM", format!("is not acceptable: {message}"))
}

fn after_colon(message: &str) -> &str {
    message.split_once(": ").map_or(message, |(_, rest)| rest)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |mut pointer, segment| {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
        pointer
    })
}

/// RFC 6901: `~` is `~0`, `/` is `~1`.
fn escaped(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) { name.replace('~', "~0").replace('/', "~1").into() } else { name.into() }
}

/// Where U+0000 stands in a body that was read; `None` if nowhere.
pub(crate) fn pointer_to_nul(text: &str) -> Option<String> {
    fn find(value: &Value, path: String) -> Option<String> {
        match value {
            Value::String(text) => text.contains('\0').then_some(path),
            Value::Array(items) => {
                items.iter().enumerate().find_map(|(index, item)| find(item, format!("{path}/{index}")))
            }
            Value::Object(members) => members.iter().find_map(|(name, member)| {
                let path = format!("{path}/{}", escaped(name));
                if name.contains('\0') { Some(path) } else { find(member, path) }
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }
    find(&serde_json::from_str(text).ok()?, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Part {
        #[serde(rename = "name")]
        _name: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Whole<'a> {
        #[serde(rename = "key", borrow)]
        _key: Cow<'a, str>,
        #[serde(default, rename = "parts")]
        _parts: Vec<Part>,
        #[serde(default, rename = "guildId")]
        _guild: Option<domain::id::GuildId>,
    }

    fn refused(body: &str) -> (String, String) {
        let error = parse::<Whole<'_>>(body.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400);
        (error.errors()[0].pointer.clone(), error.errors()[0].code.to_string())
    }

    #[test]
    fn what_is_wrong_is_named_by_its_pointer() {
        for (body, pointer, code) in [
            ("", "", "NOT_JSON"),
            ("{", "", "NOT_JSON"),
            (r#"{"key":"a"} x"#, "", "NOT_JSON"),
            ("[]", "", "WRONG_TYPE"),
            (r#""text""#, "", "WRONG_TYPE"),
            ("{}", "/key", "MISSING_MEMBER"),
            (r#"{"key":1}"#, "/key", "WRONG_TYPE"),
            (r#"{"key":null}"#, "/key", "WRONG_TYPE"),
            (r#"{"key":"a","colour":1}"#, "/colour", "UNKNOWN_MEMBER"),
            (r#"{"key":"a","a/b":1}"#, "/a~1b", "UNKNOWN_MEMBER"),
            (r#"{"key":"a","key":"b"}"#, "/key", "DUPLICATE_MEMBER"),
            (r#"{"key":"a","parts":[{"name":"x"},{"name":2}]}"#, "/parts/1/name", "WRONG_TYPE"),
            (r#"{"key":"a","parts":[{"name":"x","extra":2}]}"#, "/parts/0/extra", "UNKNOWN_MEMBER"),
            (r#"{"key":"a","parts":[{}]}"#, "/parts/0/name", "MISSING_MEMBER"),
            (r#"{"key":"a","guildId":"x"}"#, "/guildId", "WRONG_FORM"),
            (r#"{"key":"a\u0000"}"#, "/key", "NUL_CHARACTER"),
            (r#"{"key":"a","parts":[{"name":"\u0000"}]}"#, "/parts/0/name", "NUL_CHARACTER"),
            (r#"{"key":"\ud800"}"#, "", "NOT_JSON"),
        ] {
            assert_eq!(refused(body), (pointer.to_owned(), code.to_owned()), "{body}");
        }
        let error = parse::<Whole<'_>>(b"{\"key\":\"\xff\"}").unwrap_err();
        assert_eq!((error.errors()[0].pointer.as_str(), &*error.errors()[0].code), ("", "NOT_JSON"));
    }

    #[tokio::test]
    async fn a_long_body_is_too_large_even_if_no_length_was_stated() {
        let limits = Limits { body_max_bytes: 10, ..Limits::default() };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
        let stream = futures::stream::iter(vec![Ok::<_, std::io::Error>("0123456"), Ok("789012")]);
        let error = read(&limits, &headers, Body::from_stream(stream)).await.unwrap_err();
        assert_eq!(error.status(), 413);
        let error = read(&limits, &HeaderMap::new(), Body::from("{}")).await.unwrap_err();
        assert_eq!(error.status(), 415);
        assert_eq!(read(&limits, &HeaderMap::new(), Body::empty()).await.unwrap(), "{}");
    }

    #[test]
    fn an_escaped_backslash_is_no_nul() {
        assert!(parse::<Whole<'_>>(br#"{"key":"\\u0000"}"#).is_ok());
    }

    #[test]
    fn json_is_told_by_the_content_type() {
        for (text, good) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("application/json; charset=latin1", false),
            ("text/json", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, text.parse().unwrap());
            assert_eq!(is_json(&headers), good, "{text}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
