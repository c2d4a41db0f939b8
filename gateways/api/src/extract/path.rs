//! Ids in the path of an address. Text that is no id names nothing, so it is answered as something that is not
//! there.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::error::ApiError;

/// The parameters of a path, decoded.
pub(crate) struct PathIds(RawPathParams);

impl PathIds {
    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// An id; `what` it names is for the message.
    pub(crate) fn id<T: FromStr>(&self, name: &str, what: &str) -> Result<T, ApiError> {
        self.text(name).parse().map_err(|_| ApiError::not_found(what))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let ids = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("thing"))?;
        if ids.iter().any(|(_, value)| value.contains('\0')) {
            return Err(ApiError::not_found("thing"));
        }
        Ok(Self(ids))
    }
}
