//! `/`, `/live`, `/ready` and `/health`: what this is and how it does. No credential is asked for, so nothing of a
//! tenant stands here.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, Code};
use crate::extract::query::Query;
use crate::openapi::types as doc;
use crate::operator::{Component, Condition};
use crate::render::instant::Instant;
use crate::render::json;
use crate::state::{ApiState, Mode};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct About {
    name: &'static str,
    what: &'static str,
    version: &'static str,
    #[schema(value_type = doc::Mode)]
    mode: &'static str,
    discord_is_simulated: bool,
    health: &'static str,
    docs: [&'static str; 2],
}

/// Says what this is, and where the documentation stands.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "server_about",
    tag = "Server",
    responses((status = 200, body = About)),
    security(()),
)]
pub(crate) async fn about(State(state): State<ApiState>, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(json(
        StatusCode::OK,
        &About {
            name: "DCA-Auth",
            what: "License keys joined to Discord servers: the HTTP API.",
            version: env!("CARGO_PKG_VERSION"),
            mode: mode(&state),
            discord_is_simulated: state.mode() == Mode::Demo,
            health: "/health",
            docs: ["/docs", "/openapi.json"],
        },
    ))
}

fn mode(state: &ApiState) -> &'static str {
    match state.mode() {
        Mode::Demo => "demo",
        Mode::Live => "live",
    }
}

#[derive(Serialize, ToSchema)]
struct Alive {
    status: &'static str,
}

/// Says that the process runs.
#[utoipa::path(
    get,
    path = "/live",
    operation_id = "server_live",
    tag = "Server",
    responses((status = 200, body = Alive)),
    security(()),
)]
pub(crate) async fn live(uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(json(StatusCode::OK, &Alive { status: "ok" }))
}

/// Says that the process may take traffic.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "server_ready",
    tag = "Server",
    responses((status = 200, body = Alive)),
    security(()),
)]
pub(crate) async fn ready(State(state): State<ApiState>, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    let not_ready = |detail: &'static str| Err(ApiError::new(Code::NotReady, detail).retry_after(1));
    if !state.operator().is_ready() {
        return not_ready("The server is starting or draining; ask again.");
    }
    if let Err(error) = state.queries().ping().await {
        tracing::warn!(%error, "not ready: the database does not answer");
        return not_ready("The database does not answer; see /health.");
    }
    Ok(json(StatusCode::OK, &Alive { status: "ready" }))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Health {
    #[schema(value_type = Condition)]
    status: Condition,
    version: &'static str,
    #[schema(value_type = doc::Mode)]
    mode: &'static str,
    #[schema(value_type = doc::Time)]
    timestamp: Instant,
    components: Vec<Component>,
}

/// Shows every component with its condition.
///
/// The answer is 200 even if one is down: it is the report that succeeded.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "server_health",
    tag = "Server",
    responses((status = 200, body = Health)),
    security(()),
)]
pub(crate) async fn health(State(state): State<ApiState>, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    let components = state.operator().health().await;
    let is = |condition| components.iter().any(|component| component.status == condition);
    let status = match (is(Condition::Down), is(Condition::Degraded)) {
        (true, _) => Condition::Down,
        (false, true) => Condition::Degraded,
        (false, false) => Condition::Ok,
    };
    let (version, timestamp) = (env!("CARGO_PKG_VERSION"), state.now().into());
    Ok(json(StatusCode::OK, &Health { status, version, mode: mode(&state), timestamp, components }))
}
