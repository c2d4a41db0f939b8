//! Bodies of answers. One renderer serves commands, queries and repeats of writes, so that a thing looks the same
//! wherever it comes from. Nothing here reads or writes anything.

pub(crate) mod audit;
pub(crate) mod diff;
pub(crate) mod guild;
pub(crate) mod history;
pub(crate) mod instant;
pub(crate) mod license;
pub(crate) mod rows;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod user;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::private::Unsealed;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::error::ApiError;

/// Most answers fit, so a body is one allocation.
const BODY_BYTES: usize = 1_024;

/// So many headers has an answer, with those of the frame around it.
const HEADERS: usize = 12;

/// Who reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A program with a publishable key: anybody. Neither the owner nor private metadata.
    Publishable,
    /// The owner: no private metadata.
    Owner,
    /// Staff, secret keys, the platform owner: everything.
    Staff,
}

/// A list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list that is whole.
    pub(crate) fn whole(data: Vec<T>) -> Self {
        Self { data, next_cursor: None }
    }
}

/// An answer of JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(BODY_BYTES);
    if let Err(error) = serde_json::to_writer(&mut body, value) {
        tracing::error!(%error, "an answer has no JSON form");
        return ApiError::internal().into_response();
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An opened JSON text as JSON. What cannot be shown (erased or damaged) is null.
#[derive(Clone, Copy)]
pub(crate) struct RawJson<'a>(pub(crate) Option<&'a Unsealed>);

impl Serialize for RawJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = match self.0 {
            Some(Unsealed::Clear(text)) => serde_json::from_str::<&RawValue>(text).ok(),
            Some(Unsealed::Erased | Unsealed::Damaged) | None => None,
        };
        raw.serialize(serializer)
    }
}
