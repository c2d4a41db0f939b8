//! `/`, `/live`, `/ready` and `/health`: what this is and how it does. No credential is asked for, so nothing of a
//! tenant stands here.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::error::{ApiError, Code};
use crate::operator::{Component, Condition};
use crate::render::instant::Instant;
use crate::render::json;
use crate::state::{ApiState, Mode};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    name: &'static str,
    what: &'static str,
    version: &'static str,
    mode: &'static str,
    discord_is_simulated: bool,
    health: &'static str,
    docs: [&'static str; 2],
}

/// What this is, and where the documentation stands.
pub(crate) async fn about(State(state): State<ApiState>) -> Response {
    json(
        StatusCode::OK,
        &About {
            name: "DCA-Auth",
            what: "License keys joined to Discord servers: the HTTP API.",
            version: env!("CARGO_PKG_VERSION"),
            mode: mode(&state),
            discord_is_simulated: state.mode() == Mode::Demo,
            health: "/health",
            docs: ["docs/API-DESIGN.md", "docs/ERRORS.md"],
        },
    )
}

fn mode(state: &ApiState) -> &'static str {
    match state.mode() {
        Mode::Demo => "demo",
        Mode::Live => "live",
    }
}

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

/// The process runs.
pub(crate) async fn live() -> Response {
    json(StatusCode::OK, &Alive { status: "ok" })
}

/// The process may take traffic.
pub(crate) async fn ready(State(state): State<ApiState>) -> Result<Response, ApiError> {
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: Condition,
    version: &'static str,
    mode: &'static str,
    timestamp: Instant,
    components: Vec<Component>,
}

/// Every component with its condition. The answer is 200 even if one is down: it is the report that succeeded.
pub(crate) async fn health(State(state): State<ApiState>) -> Response {
    let components = state.operator().health().await;
    let is = |condition| components.iter().any(|component| component.status == condition);
    let status = match (is(Condition::Down), is(Condition::Degraded)) {
        (true, _) => Condition::Down,
        (false, true) => Condition::Degraded,
        (false, false) => Condition::Ok,
    };
    let (version, timestamp) = (env!("CARGO_PKG_VERSION"), state.now().into());
    json(StatusCode::OK, &Health { status, version, mode: mode(&state), timestamp, components })
}
