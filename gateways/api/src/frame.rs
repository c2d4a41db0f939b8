//! What surrounds every request, in one service: request id, host list, secrets in addresses, version, time limit, panics,
//! security headers, how its sender stands with his limits, the bodies of errors, and the signature of an answer. One by hand
//! instead of seven layers by composition, and validation past the router, because it passes through here a hundred thousand
//! times a second. It decides nothing about who may do what.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName,
    REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use futures::FutureExt;
use futures::future::BoxFuture;
use tower::Service;

use crate::caller::Caller;
use crate::error::{ApiError, Code};
use crate::problem;
use crate::rates::{Class, Standing, Who};
use crate::routes::validate;
use crate::serve::{Peer, ToPeer};
use crate::signature;
use crate::state::ApiState;
use crate::version;

/// Where programs ask whether a key is valid.
pub(crate) const VALIDATE: &str = "/licenses/validate";
/// Name of the header that a request is known by.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Marks an answer that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const REQUEST_ID_MAX: usize = 128;

/// What every answer has that does not say otherwise itself, errors too: nothing here is a page, so nothing may be loaded,
/// shown in a frame, embedded by another site, guessed at or kept. There is no header of CORS: pages of other sites may not ask.
static SECURITY: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];
/// A year, and for this name only: names beside it may be somebody else's.
static HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The id of a request: the client's, or one made here.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

impl RequestId {
    /// As text; it is printable ASCII.
    pub(crate) fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&REQUEST_ID).filter(|value| {
            (1..=REQUEST_ID_MAX).contains(&value.len())
                && value.as_bytes().iter().all(|b| (0x20..0x7f).contains(b))
        });
        Self(given.cloned().unwrap_or_else(made))
    }
}

/// 8 random bytes of this process and a counter, in hexadecimal: unique without asking for randomness each time.
fn made() -> HeaderValue {
    static PROCESS: LazyLock<[u8; 8]> = LazyLock::new(|| {
        let mut bytes = std::process::id().to_be_bytes().repeat(2);
        // Without randomness the process id stands in: the id is for finding lines of a log and guards nothing.
        let _ = getrandom::fill(&mut bytes);
        bytes.try_into().unwrap_or_default()
    });
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 14];
    bytes[..8].copy_from_slice(&*PROCESS);
    bytes[8..].copy_from_slice(&COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes()[2..]);
    let text = data_encoding::HEXLOWER.encode(&bytes);
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// The routes inside the frame.
#[derive(Clone)]
pub struct Framed {
    routes: Router,
    state: ApiState,
    /// Whether validations are answered here.
    validates: bool,
    /// Who is at the other end of the connection that this serves.
    peer: Option<Peer>,
}

impl Framed {
    pub(crate) fn new(routes: Router, state: ApiState, validates: bool) -> Self {
        Self { routes, state, validates, peer: None }
    }
}

impl ToPeer for Framed {
    fn to_peer(&self, peer: Peer) -> Self {
        Self { peer: Some(peer), ..self.clone() }
    }
}

impl Service<Request> for Framed {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = RequestId::of(request.headers());
        let caller = Caller::of(&self.state, self.peer, &request);
        let admitted = admit(&self.state, &request)
            .and_then(|()| caller.hear_version(request.headers()))
            .and_then(|()| caller.admit_wish());
        let state = self.state.clone();
        if let Err(refused) = admitted.and_then(|()| caller.admit_address(&state)) {
            let answer = async move { Ok(finished(&state, refused.into_response(), &caller, id).await) };
            return Box::pin(answer);
        }
        // Without the router, which would cost a tenth of what a validation takes.
        if self.validates && request.method() == Method::POST && request.uri().path() == VALIDATE {
            return Box::pin(validated(state, caller, request, id));
        }
        let caller = Arc::new(caller);
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(Arc::clone(&caller));
        Box::pin(routed(self.routes.call(request), state, caller, id))
    }
}

async fn validated(
    state: ApiState,
    caller: Caller,
    request: Request,
    id: RequestId,
) -> Result<Response, Infallible> {
    let answer = async { validate::answer(&state, &caller, request).await.into_response() };
    let response = in_time(answer, &id, state.limits().request_timeout).await;
    Ok(finished(&state, response, &caller, id).await)
}

async fn routed(
    answer: impl Future<Output = Result<Response, Infallible>>,
    state: ApiState,
    caller: Arc<Caller>,
    id: RequestId,
) -> Result<Response, Infallible> {
    let answer = async {
        match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    };
    let response = in_time(answer, &id, state.limits().request_timeout).await;
    Ok(finished(&state, response, &caller, id).await)
}

/// An answer within its time, whatever happens on the way to it.
async fn in_time(answer: impl Future<Output = Response>, id: &RequestId, limit: Duration) -> Response {
    let answer = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(request_id = id.text(), "a handler panicked");
            ApiError::internal().into_response()
        }
        Err(_) => too_late(id).into_response(),
    }
}

fn too_late(id: &RequestId) -> ApiError {
    tracing::warn!(request_id = id.text(), "a request was not answered in time");
    let detail = "The answer was not ready in time. A write may have happened: repeat it with the same Idempotency-Key.";
    ApiError::new(Code::Timeout, detail).retry_after(2)
}

/// What is refused whatever it asks for.
fn admit(state: &ApiState, request: &Request) -> Result<(), ApiError> {
    if let Some(hosts) = state.hosts() {
        let header = request.headers().get(HOST).and_then(|value| value.to_str().ok());
        let named = request.uri().authority().map(|authority| authority.as_str()).or(header);
        if !named.is_some_and(|name| hosts.allows(name)) {
            let detail =
                format!("This server answers to {} only; use one of these addresses.", hosts.listed());
            return Err(ApiError::new(Code::HostNotAllowed, detail));
        }
    }
    if holds_secret(request.uri()) {
        let detail = "Addresses end up in logs, histories and referrers. Send API keys and tokens in a header, and \
                      license keys in the body; replace a key that was sent this way.";
        return Err(ApiError::new(Code::KeyInUrl, detail));
    }
    Ok(())
}

/// Whether an address holds a credential or a license key.
fn holds_secret(uri: &Uri) -> bool {
    let is_credential = |text: &str| text.contains("dca_pub_") || text.contains("dca_sec_");
    if is_credential(uri.path()) {
        return true;
    }
    let Some(query) = uri.query().filter(|query| !query.is_empty()) else {
        return false;
    };
    query.split('&').any(|member| {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        let (name, value) = (crate::extract::query::decoded(name), crate::extract::query::decoded(value));
        matches!(name.to_ascii_lowercase().as_str(), "key" | "apikey" | "api_key" | "token")
            || is_credential(&value)
            || domain::key::is_well_formed(&value)
    })
}

/// The whole answer, signed if somebody wishes so.
async fn finished(state: &ApiState, response: Response, caller: &Caller, id: RequestId) -> Response {
    let response = headed(state, response, caller, id);
    match caller.wish() {
        // In a box of its own: who wishes nothing pays nothing for it.
        Some(wish) => Box::pin(signature::sign(state.answer_keys(), wish, state.now(), response)).await,
        None => response,
    }
}

/// Writes the body of an error, if it is one, and the headers that every answer has.
fn headed(state: &ApiState, mut response: Response, caller: &Caller, id: RequestId) -> Response {
    let mut standing = caller.standing();
    if let Some(mut error) = response.extensions_mut().remove::<ApiError>() {
        state.refusals().note(&error, caller.address(), state.now());
        if error.status() == StatusCode::UNAUTHORIZED && !error.proves_itself() {
            standing = guessed(state, caller, &mut error).or(standing);
        }
        write_problem(&mut response, &error, &id, state.now());
    }
    let headers = response.headers_mut();
    for (name, value) in &SECURITY {
        // The document and its page have their own.
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if caller.origin.is_https {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS.clone());
    }
    if let Some(standing) = standing {
        state.limiter().tell(standing, headers);
    }
    headers.insert(version::HEADER, caller.version().header());
    headers.insert(REQUEST_ID, id.0);
    response
}

/// Counts a refused credential against the address that it came from. One too many is told so instead of being told that
/// it was wrong.
fn guessed(state: &ApiState, caller: &Caller, error: &mut ApiError) -> Option<Standing> {
    match state.limiter().admit(Class::Anonymous, Who::Address(caller.address())) {
        Ok(standing) => standing,
        Err((refused, standing)) => {
            *error = refused;
            Some(standing)
        }
    }
}

fn write_problem(response: &mut Response, error: &ApiError, id: &RequestId, now: Timestamp) {
    let fault = error.fault();
    *response.status_mut() = fault.status;
    *response.body_mut() = Body::from(problem::body(fault, &id.0));
    let headers = response.headers_mut();
    // The router has measured the body that is not there any more.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = fault.retry_after_s(now) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = fault.challenge {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if fault.is_replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// Answers an address that leads nowhere.
pub(crate) async fn no_such_path() -> ApiError {
    ApiError::new(Code::NotFound, "There is nothing at this address; /docs shows those that exist.")
}

/// Answers for an address that other processes of this deployment have.
pub(crate) async fn not_here() -> ApiError {
    ApiError::new(
        Code::Unavailable,
        "This process has not the role `api`; ask one that has (`dca-auth status` says which roles this one has).",
    )
}

/// Answers a method that an address does not take; axum adds `Allow`.
pub(crate) async fn no_such_method() -> ApiError {
    let detail =
        format!("This address does not take that method; the header `{ALLOW}` lists those that it takes.");
    ApiError::new(Code::MethodNotAllowed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_found_however_they_are_written() {
        for address in [
            "/licenses?key=x",
            "/licenses?a=1&apiKey=",
            "/licenses?API_KEY=1",
            "/licenses?%6bey=1",
            "/licenses?q=dca_sec_abc",
            "/licenses?q=%64ca_pub_abc",
            "/licenses/dca_sec_abc",
            "/x?token=1",
        ] {
            assert!(holds_secret(&address.parse().unwrap()), "{address}");
        }
        for address in ["/licenses", "/licenses?", "/licenses?q=keyboard&type=key", "/guilds/1/api-keys/abc"]
        {
            assert!(!holds_secret(&address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_request_id_is_taken_if_it_is_plain_and_made_otherwise() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("order 7"));
        assert_eq!(RequestId::of(&headers).text(), "order 7");
        for bad in [&b""[..], b"\xff", &[b'x'; 129]] {
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(bad).unwrap());
            assert_eq!(RequestId::of(&headers).text().len(), 28);
        }
        assert_ne!(RequestId::of(&HeaderMap::new()).text(), RequestId::of(&HeaderMap::new()).text());
    }
}
