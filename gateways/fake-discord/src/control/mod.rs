//! The control API: who plays the people and the weather of this world. Stable; ids are text in what it shows and text
//! or numbers in what it takes. Never reachable from a page of another site: see the guard of the site.

mod entitlements;
mod gateway;
mod guilds;
mod interactions;
mod members;
mod tuning;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::form;
use crate::hub::{Hub, StoreError};
use crate::rest::BODY_BYTES;

/// Status and body.
pub(crate) type Outcome = Result<(u16, Value), Problem>;

/// Why a call was not done.
#[derive(Debug)]
pub(crate) struct Problem {
    status: u16,
    message: String,
}

impl Problem {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 404.
    pub(crate) fn unknown(what: impl Into<String>) -> Self {
        Self::new(404, format!("unknown {}", what.into()))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(500, format!("the change was not made, because it could not be written: {}", error.0))
    }
}

/// An id, taken as text or number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub(crate) u64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        // Discord's ids have 63 bits, and the next one must be above every other.
        let id = crate::rest::id_of(Some(&value)).filter(|id| i64::try_from(*id).is_ok());
        id.map(Self).ok_or_else(|| serde::de::Error::custom("not an id"))
    }
}

/// One call, taken apart.
pub(crate) struct Call<'a> {
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) method: &'a str,
    pub(crate) query: HashMap<String, String>,
    body: Value,
}

impl Call<'_> {
    /// The body as this type; an unknown or wrong member is refused by name.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body = if self.body.is_null() { json!({}) } else { self.body.clone() };
        serde_json::from_value(body).map_err(|error| Problem::new(400, error.to_string()))
    }
}

/// Answers everything under `/_control`.
pub(crate) async fn serve(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_BYTES).await else {
        return shown(Err(Problem::new(413, "the body is larger than 1 MiB")));
    };
    let body = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
    let Ok(body) = body else { return shown(Err(Problem::new(400, "the body is not JSON"))) };
    let path = parts.uri.path().trim_start_matches("/_control").to_owned();
    let query = form::pairs(parts.uri.query().unwrap_or_default().as_bytes());
    let call = Call { hub: &hub, method: parts.method.as_str(), query, body: body.clone() };
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let outcome = route(&call, &segments).await;
    if call.method != "GET" {
        let status = outcome.as_ref().map_or_else(|problem| problem.status, |(status, _)| *status);
        let mut inner = hub.lock();
        let now = inner.now;
        inner.journal.add(
            now,
            "control",
            json!({"method": call.method, "path": path, "status": status, "body": body}),
        );
    }
    hub.changed.notify_waiters();
    shown(outcome)
}

async fn route(call: &Call<'_>, segments: &[&str]) -> Outcome {
    match (call.method, segments) {
        ("GET", ["state"]) => Ok((200, guilds::state(&call.hub.lock().state))),
        ("GET", ["journal"]) => journal(call),
        ("GET" | "POST", ["clock"]) => tuning::clock(call).await,
        ("POST", ["jobs", name, "run"]) => tuning::job(call, name).await,
        (_, ["settings"]) => tuning::settings(call).await,
        (_, ["limits"]) => tuning::limits(call),
        (_, ["faults"]) => tuning::faults(call),
        ("POST", ["interactions"]) => interactions::create(call).await,
        ("GET", ["interactions", id]) => interactions::get(call, id),
        (_, ["gateway"]) => gateway::sessions(call),
        ("POST", ["frames"]) => gateway::frames(call),
        (_, ["guilds", rest @ ..]) => guilds::route(call, rest),
        (_, ["users", user, rest @ ..]) => members::users(call, user, rest),
        ("GET", ["channels", channel, "messages"]) => members::messages(call, channel),
        ("DELETE", ["channels", channel, "messages", message]) => {
            let (channel, message) = (id(channel)?, id(message)?);
            let mut inner = call.hub.lock();
            inner
                .any_message(channel, message)
                .ok_or_else(|| Problem::unknown(format!("message {message}")))?;
            inner.delete_message(channel, message)?;
            Ok((204, Value::Null))
        }
        (_, ["entitlements", rest @ ..]) => entitlements::route(call, rest),
        _ => Err(Problem::new(404, format!("unknown route {} /{}", call.method, segments.join("/")))),
    }
}

fn journal(call: &Call<'_>) -> Outcome {
    let number = |name: &str, default: u64| match call.query.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Problem::new(400, format!("{name} is not a number"))),
    };
    let (after, limit) = (number("after", 0)?, number("limit", 1_000)?);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok((200, call.hub.lock().journal.page(after, limit)))
}

fn shown(outcome: Outcome) -> Response {
    let (status, body) =
        outcome.unwrap_or_else(|problem| (problem.status, json!({"error": problem.message})));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

/// An id of a path.
pub(crate) fn id(segment: &str) -> Result<u64, Problem> {
    segment.parse().map_err(|_| Problem::unknown(format!("id {segment}")))
}
