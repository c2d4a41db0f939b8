//! `POST /discord/interactions`: where Discord may post interactions instead of sending them over the gateway. The
//! credential is Discord's signature; everything else about it is the bot's matter.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::caller::Caller;
use crate::error::{ApiError, Code};
use crate::extract::body;
use crate::extract::query::Query;
use crate::openapi::types as doc;
use crate::operator::InteractionError;
use crate::render::json;
use crate::state::ApiState;

const SIGNATURE: &str = "X-Signature-Ed25519";
const TIMESTAMP: &str = "X-Signature-Timestamp";

/// Takes an interaction that Discord posts.
///
/// The credential is Discord's signature; the answer has the shape that Discord wants.
#[utoipa::path(
    post,
    path = "/discord/interactions",
    operation_id = "discord_interact",
    tag = "Discord",
    request_body(content = serde_json::Value, content_type = "application/json"),
    params(("X-Signature-Ed25519" = doc::Signature, Header), ("X-Signature-Timestamp" = doc::Seconds, Header)),
    responses((status = 200, body = serde_json::Value)),
    security(()),
)]
pub(crate) async fn receive(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (parts, content) = request.into_parts();
    Query::none(&parts.uri)?;
    let header = |name: &str| text(&parts.headers, name);
    let (Some(signature), Some(timestamp)) = (header(SIGNATURE), header(TIMESTAMP)) else {
        let detail = format!("Discord signs what it posts here: {SIGNATURE} and {TIMESTAMP} are missing.");
        return Err(ApiError::new(Code::CredentialRequired, detail));
    };
    let bytes = body::read(state.limits(), &parts.headers, content).await?;
    Caller::in_parts(&parts.extensions)?.check_body(&bytes)?;
    match state.operator().interaction(signature, timestamp, &bytes).await {
        Ok(answer) => Ok(json(StatusCode::OK, &answer)),
        Err(InteractionError::Unsigned(why)) => Err(ApiError::new(Code::InvalidCredential, why)),
        Err(InteractionError::Unreadable(why)) => Err(ApiError::new(Code::InvalidRequest, why)),
        Err(InteractionError::Unavailable(why)) => Err(ApiError::new(Code::Unavailable, why).retry_after(2)),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
