//! The one listener: which path belongs to whom, and the rule that only this machine's own pages and programs may ask.
//! A page of another site reaches nothing, because its `Host` or its `Origin` gives it away.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tokio::net::TcpListener;

use crate::hub::Hub;
use crate::wire::{Listener, Wire};
use crate::{control, gateway, oauth, rest};

/// Serves until the stand-in is stopped.
pub(crate) async fn serve(tcp: TcpListener, hub: Arc<Hub>) {
    let stopped = hub.stopped.clone();
    let listener = Listener { tcp, stopped: stopped.clone() };
    let service = router(hub).into_make_service_with_connect_info::<Wire>();
    tokio::select! {
        () = stopped.cancelled() => {}
        result = axum::serve(listener, service) => {
            if let Err(error) = result {
                tracing::error!(%error, "the stand-in stopped serving");
            }
        }
    }
}

fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/", get(gateway::upgrade))
        .route("/api/oauth2/authorize", any(oauth::authorize))
        .route("/api/v10/oauth2/authorize", any(oauth::authorize))
        .route("/oauth2/authorize", any(oauth::authorize))
        .route("/api/{*rest}", any(rest::serve))
        .route("/_control/{*rest}", any(control::serve))
        .route("/attachments/{channel}/{id}/{name}", get(attachment))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(middleware::from_fn_with_state(Arc::clone(&hub), guard))
        .with_state(hub)
}

/// Hosts and origins that are this stand-in's own; and the connection, for faults that cut it.
async fn guard(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    mut request: Request,
    next: Next,
) -> Response {
    if !is_own(request.headers(), hub.fixed.port) {
        return (StatusCode::FORBIDDEN, "The stand-in answers to its own loopback names and pages only.\n")
            .into_response();
    }
    request.extensions_mut().insert(wire);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: with it a browser sends the consent form with `Origin: null`.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn is_own(headers: &HeaderMap, port: u16) -> bool {
    let names = ["127.0.0.1", "[::1]", "localhost"];
    let is_host = |text: &str| names.iter().any(|name| text.eq_ignore_ascii_case(&format!("{name}:{port}")));
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let host = text(header::HOST).is_some_and(is_host);
    let origin = text(header::ORIGIN);
    host && origin.is_none_or(|origin| origin.strip_prefix("http://").is_some_and(is_host))
}

/// An uploaded file. Always a download: what a program uploads is not a page of ours.
async fn attachment(State(hub): State<Arc<Hub>>, Path((_, id, _)): Path<(u64, u64, String)>) -> Response {
    match hub.lock().files.get(id) {
        Some(file) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment"),
            ];
            (headers, file.bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
