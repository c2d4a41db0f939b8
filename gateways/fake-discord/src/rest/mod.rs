//! REST v10. The front of it: body, faults, authorization, limits, journal; the routes are in the modules beside it.

mod applications;
pub(crate) mod check;
mod commands;
pub(crate) mod components;
pub(crate) mod draft;
pub(crate) mod files;
mod guilds;
mod interactions;
mod messages;
pub(crate) mod reply;
pub(crate) mod route;
mod users;

pub(crate) use applications::current as current_application;
pub(crate) use interactions::accept as accept_callback;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::form;
use crate::hub::{Hub, Inner};
use crate::limits::TooMany;
use crate::wire::Wire;
use files::Upload;
use reply::{Answer, Refusal, Reply};
use route::Route;

/// Bytes of one request body.
pub(crate) const BODY_BYTES: usize = 1 << 20;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Bot,
    /// An account, through the grant of this id.
    User(u64),
    Nobody,
}

/// One request, taken apart.
pub(crate) struct Call<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) inner: &'a mut Inner,
    pub(crate) method: &'a str,
    pub(crate) query: &'a HashMap<String, String>,
    pub(crate) body: &'a Value,
    pub(crate) form: Option<&'a HashMap<String, String>>,
    pub(crate) files: &'a [Upload],
    pub(crate) headers: &'a HeaderMap,
    pub(crate) who: Who,
}

/// What came in, before anything was decided.
struct Incoming {
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Result<Value, Refusal>,
    form: Option<HashMap<String, String>>,
    files: Vec<Upload>,
}

/// Answers everything under `/api`.
pub(crate) async fn serve(
    State(hub): State<Arc<Hub>>,
    Extension(wire): Extension<Wire>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path().trim_start_matches("/api");
    let (route, versioned) = match path.strip_prefix("/v10") {
        Some(rest) => (Route::new(parts.method.as_str(), rest), true),
        None => (Route::new(parts.method.as_str(), path), false),
    };
    let incoming = Incoming::read(parts.uri.query().unwrap_or_default(), parts.headers, &bytes);
    let fault = hub.lock().faults.meet(&route);
    if let Some(delay_ms) = fault.as_ref().and_then(|fault| fault.delay_ms) {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    let cut = fault.as_ref().is_some_and(|fault| fault.drop || fault.drop_before);
    let instead = fault.as_ref().and_then(answer_of_fault);
    let answer = {
        let mut inner = hub.lock();
        let answer = match instead {
            Some(answer) => answer,
            None if fault.as_ref().is_some_and(|fault| fault.drop_before) => Answer::new(0, None),
            None if !versioned && route.segments.first().map(String::as_str) != Some("oauth2") => {
                Refusal::code(50_041).into()
            }
            None => answer(&hub, &mut inner, &route, &incoming),
        };
        note(&mut inner, &route, &incoming, &answer, fault.as_ref());
        answer
    };
    hub.changed.notify_waiters();
    if cut {
        wire.0.cancel();
        return StatusCode::NO_CONTENT.into_response();
    }
    into_response(answer)
}

impl Incoming {
    fn read(query: &str, headers: HeaderMap, bytes: &[u8]) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut incoming = Self {
            query: form::pairs(query.as_bytes()),
            headers: HeaderMap::new(),
            body: Ok(Value::Null),
            form: None,
            files: Vec::new(),
        };
        if kind.starts_with("application/x-www-form-urlencoded") {
            incoming.form = Some(form::pairs(bytes));
        } else if kind.starts_with("multipart/form-data") {
            match files::multipart(kind, bytes) {
                Some((payload, files)) => (incoming.body, incoming.files) = (Ok(payload), files),
                None => incoming.body = Err(Refusal::code(50_109)),
            }
        } else if !bytes.is_empty() {
            incoming.body = serde_json::from_slice(bytes).map_err(|_| Refusal::code(50_109));
        }
        incoming.headers = headers;
        incoming
    }
}

fn answer_of_fault(fault: &Fault) -> Option<Answer> {
    if let Some(status) = fault.status {
        let message = format!("{status}: Fault to order");
        let body = fault.body.clone().unwrap_or_else(|| json!({"message": message, "code": 0}));
        return Some(Answer::new(status, Some(body)));
    }
    let retry_after = fault.retry_after?;
    let scope = fault.scope();
    let headers =
        if scope == "global" { vec![("x-ratelimit-global", "true".to_owned())] } else { Vec::new() };
    Some(Answer::too_many(TooMany { scope, retry_after, headers }))
}

/// Authorization, limits, then the route.
fn answer(hub: &Hub, inner: &mut Inner, route: &Route, incoming: &Incoming) -> Answer {
    let who = authorization(hub, inner, &incoming.headers);
    if who == Who::Nobody && !is_open(route) {
        return Refusal::unauthorized().into();
    }
    let headers = match inner.limits.take(route) {
        Ok(headers) => headers,
        Err(refused) => return Answer::too_many(refused),
    };
    let null = Value::Null;
    let given = match &incoming.body {
        Ok(body) => Ok(body),
        Err(_) => Err(Refusal::code(50_109)),
    };
    let reply = given.and_then(|body| {
        let mut call = Call {
            hub,
            inner,
            method: &route.method,
            query: &incoming.query,
            body: if incoming.form.is_some() { &null } else { body },
            form: incoming.form.as_ref(),
            files: &incoming.files,
            headers: &incoming.headers,
            who,
        };
        let segments: Vec<&str> = route.segments.iter().map(String::as_str).collect();
        dispatch(&mut call, &segments)
    });
    let mut answer = reply.unwrap_or_else(Answer::from);
    answer.headers.extend(headers);
    answer
}

/// Routes that are authorised by something else than the header, or by nothing.
fn is_open(route: &Route) -> bool {
    let segments: Vec<&str> = route.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["gateway"] | ["interactions", _, _, "callback"] => true,
        ["webhooks", _, token, ..] => !token.is_empty(),
        ["oauth2", "token"] | ["oauth2", "token", "revoke"] => true,
        _ => false,
    }
}

fn authorization(hub: &Hub, inner: &Inner, headers: &HeaderMap) -> Who {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(token) = value.strip_prefix("Bot ") {
        return if token == hub.fixed.token { Who::Bot } else { Who::Nobody };
    }
    let Some(token) = value.strip_prefix("Bearer ") else { return Who::Nobody };
    let mut grants = inner.state.grants.iter();
    let found = grants.find(|(_, grant)| grant.access_token == token && grant.expires_ms > inner.now);
    found.map_or(Who::Nobody, |(id, _)| Who::User(*id))
}

fn dispatch(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    let Some((first, rest)) = segments.split_first() else { return Err(Refusal::no_route()) };
    let is_bot = call.who == Who::Bot;
    match *first {
        "oauth2" => crate::oauth::route(call, rest),
        "users" => users::route(call, rest),
        "interactions" => interactions::callbacks(call, rest),
        "webhooks" => interactions::webhooks(call, rest),
        "gateway" if rest.is_empty() || is_bot => applications::gateway(call, rest),
        "applications" => applications::route(call, rest),
        _ if !is_bot => Err(Refusal::unauthorized()),
        "guilds" => guilds::route(call, rest),
        "channels" => messages::route(call, rest),
        _ => Err(Refusal::no_route()),
    }
}

fn note(inner: &mut Inner, route: &Route, incoming: &Incoming, answer: &Answer, fault: Option<&Fault>) {
    let now = inner.now;
    inner.limits.answered(answer.status, answer.scope);
    let path = route.shown();
    let mut entry = json!({"method": route.method, "path": path, "status": answer.status});
    let body = match (&incoming.form, &incoming.body) {
        (Some(form), _) => json!(form),
        (None, Ok(body)) => body.clone(),
        (None, Err(_)) => json!("not JSON"),
    };
    entry["body"] = body;
    if !incoming.query.is_empty() {
        entry["query"] = json!(incoming.query);
    }
    if let Some(reason) = incoming.headers.get("x-audit-log-reason").and_then(|value| value.to_str().ok()) {
        entry["reason"] = json!(form::decoded(reason));
    }
    if answer.status >= 400 {
        entry["answer"] = json!(answer.body);
    }
    if let Some(fault) = fault {
        entry["fault"] = json!(fault);
    }
    if answer.unknown {
        tracing::error!(method = route.method, path, "the stand-in knows no such route");
        entry["unknown"] = json!(true);
    }
    inner.journal.add(now, "rest", entry);
}

fn into_response(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match answer.body {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response(),
        None => Body::empty().into_response(),
    };
    *response.status_mut() = status;
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

impl Call<'_> {
    /// A whole number of the query.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.query.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let mut errors = check::Errors::default();
            errors.add(&[name.to_owned()], "NUMBER_TYPE_COERCE", &format!("Value \"{text}\" is not int."));
            errors.into_result().err().unwrap_or_else(|| Refusal::code(50_035))
        })
    }

    /// A `limit` of the query.
    pub(crate) fn limit(&self, default: u64, most: u64) -> Result<usize, Refusal> {
        let limit = self.number("limit")?.unwrap_or(default);
        if (1..=most).contains(&limit) {
            return Ok(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        let mut errors = check::Errors::default();
        let message = format!("int value should be between 1 and {most}.");
        errors.add(&["limit".to_owned()], "NUMBER_TYPE_MAX", &message);
        errors.into_result().map(|()| 0)
    }

    /// Stores uploaded files; their attachment objects.
    pub(crate) fn keep_files(&mut self, channel: u64) -> Value {
        self.add_files(channel, Vec::new())
    }

    /// The files of a message that is edited: those that the body lists in `attachments`, all of them if it lists none,
    /// and the uploaded ones.
    pub(crate) fn edited_files(&mut self, channel: u64, before: &Value) -> Value {
        let listed =
            self.body.get("attachments").map(|listed| listed.as_array().cloned().unwrap_or_default());
        let stays = |file: &&Value| {
            listed
                .as_ref()
                .is_none_or(|listed| listed.iter().any(|one| id_of(one.get("id")) == id_of(file.get("id"))))
        };
        let kept = before.as_array().into_iter().flatten().filter(stays).cloned().collect();
        self.add_files(channel, kept)
    }

    fn add_files(&mut self, channel: u64, mut shapes: Vec<Value>) -> Value {
        for upload in self.files {
            let id = self.inner.next_id();
            shapes.push(self.inner.files.keep(id, channel, &self.hub.fixed.url, upload.clone()));
        }
        Value::Array(shapes)
    }
}

/// An id in a path.
pub(crate) fn id(segment: &str) -> Result<u64, Refusal> {
    segment.parse().map_err(|_| {
        let mut errors = check::Errors::default();
        let message = format!("Value \"{segment}\" is not snowflake.");
        errors.add(&["id".to_owned()], "NUMBER_TYPE_COERCE", &message);
        errors.into_result().err().unwrap_or_else(|| Refusal::code(50_035))
    })
}

/// An id in a body, as text or number.
pub(crate) fn id_of(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
