//! The floor that benchmarks measure the API against: a bare axum route that parses the same request and answers a
//! constant of the same size. It checks nothing and is never part of a served API.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    key: String,
    #[serde(default)]
    device_id: Option<String>,
}

/// A service whose `POST /licenses/validate` answers `answer`.
pub fn router(answer: Vec<u8>) -> Router {
    Router::new().route("/licenses/validate", post(constant)).with_state(Bytes::from(answer))
}

async fn constant(State(answer): State<Bytes>, Json(body): Json<Body>) -> Response {
    // Looked at, so that parsing it is not optimised away.
    let length = body.key.len() + body.device_id.map_or(0, |id| id.len());
    let answer = if length == 0 { Bytes::new() } else { answer };
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer).into_response()
}
