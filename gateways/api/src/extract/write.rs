//! A write: who, what, under which conditions, and whether it is a repeat. The one place that speaks about
//! idempotency. It decides nothing about rights and renders nothing itself.

use std::future::Future;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use commands::store::{IdempotencyKey, IdempotencyRow};
use commands::{CommandError, Context, Idempotency, Refused};
use domain::id::GuildId;
use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::accept::Form;
use super::body::{self, Kind};
use super::position;
use super::principal::Principal;
use super::query::Query;
use crate::answer::{self, Reader};
use crate::caller::Caller;
use crate::error::{ApiError, Code};
use crate::frame::{REPLAYED, RequestId};
use crate::proxies::Address;
use crate::recipe::{Outcome, Recipe};
use crate::render::Audience;
use crate::state::ApiState;
use crate::version::Version;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_KEY_MAX: usize = 255;
const TRACEPARENT: &str = "traceparent";

/// A write as it came in: somebody known, and a body of the right kind.
pub(crate) struct Write {
    pub(crate) state: ApiState,
    pub(crate) principal: Principal,
    /// Where it comes from.
    pub(crate) address: Address,
    pub(crate) now: Timestamp,
    pub(crate) uri: Uri,
    /// The version of the API that it is answered in.
    pub(crate) version: Version,
    /// In which form an answer of many is asked for.
    form: Form,
    body: Bytes,
    request_id: String,
    trace: Option<String>,
    expected_version: Option<u64>,
    repeat: Option<Repeat>,
    /// `DCA-Min-Position`.
    heard: Option<i64>,
}

/// What tells a repeat of a write from another one.
struct Repeat {
    key: IdempotencyKey,
    payload_hash: String,
}

/// What a write is to do, and how it is answered.
pub(crate) struct Plan {
    /// The guild that it may touch; `None` is the platform.
    pub(crate) tenant: Option<GuildId>,
    /// Free text for the history.
    pub(crate) reason: Option<String>,
    /// Who reads the answer.
    pub(crate) audience: Audience,
    /// What the answer shows.
    pub(crate) recipe: Recipe,
}

impl Write {
    /// Takes a request apart; the query is left to the handler, which must look at it.
    pub(crate) async fn with_query(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        Self::taken(request, state, Kind::Json).await
    }

    /// The same for a request whose body is a CSV file.
    pub(crate) async fn of_table(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        Self::taken(request, state, Kind::Table).await
    }

    async fn taken(request: Request, state: &ApiState, kind: Kind) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let now = state.now();
        let caller = Caller::in_parts(&parts.extensions)?;
        let mut principal = Principal::of(state, caller, &parts, now).await?;
        let (version, address) = (caller.version(), caller.address());
        let heard = position::hear(state, &parts.headers).await?;
        if heard.is_some() {
            principal = Box::pin(principal.again(state, caller, &parts, now)).await?;
        }
        let expected_version = if_match(&parts.headers)?;
        let key = idempotency_key(&parts.headers)?;
        let body = body::read_as(kind, state.limits(), &parts.headers, body).await?;
        caller.check_body(&body)?;
        let repeat = key.map(|key| Repeat {
            payload_hash: payload_hash(parts.method.as_str(), &parts.uri, &body),
            key: IdempotencyKey {
                credential: principal.actor().to_string(),
                method: parts.method.as_str().to_owned(),
                route: parts.uri.path().to_owned(),
                key,
            },
        });
        let request_id =
            parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.text().to_owned());
        let trace = parts.headers.get(TRACEPARENT).and_then(traceparent);
        Ok(Self {
            state: state.clone(),
            principal,
            address,
            now,
            uri: parts.uri,
            version,
            form: Form::of(&parts.headers),
            body,
            request_id,
            trace,
            expected_version,
            repeat,
            heard,
        })
    }

    /// Waits until lists show everything up to `DCA-Min-Position`: for writes that take their things from a list.
    pub(crate) async fn listed(&self) -> Result<(), ApiError> {
        match self.heard {
            Some(position) => {
                let limit = self.state.limits().min_position_timeout;
                Ok(self.state.queries().wait_for(position, limit).await?)
            }
            None => Ok(()),
        }
    }

    /// Waits until lists show all that was written before this moment, wherever that was.
    pub(crate) async fn all_listed(&self) -> Result<(), ApiError> {
        let queries = self.state.queries();
        let head = queries.current_head().await?;
        Ok(queries.wait_for(head, self.state.limits().min_position_timeout).await?)
    }

    /// The answer of an earlier write with this idempotency key, for writes that would look for their things anew and
    /// may find others by now.
    pub(crate) async fn answered_before(&self, audience: Audience) -> Result<Option<Response>, ApiError> {
        let Some(repeat) = &self.repeat else { return Ok(None) };
        let reader = Reader { audience, now: self.now, form: self.form };
        match self.state.commands().idempotency(&repeat.key).await? {
            Some(row) => self.replay(reader, repeat, &row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The body, read as `T`.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        body::parse(&self.body)
    }

    /// The body, as it came.
    pub(crate) fn table(&self) -> &Bytes {
        &self.body
    }

    /// Whether the request came without members.
    pub(crate) fn is_empty(&self) -> Result<(), ApiError> {
        body::parse_nothing(&self.body)
    }

    /// The context of a command that belongs to this write and is not repeatable by an idempotency key.
    pub(crate) fn context(&self, tenant: Option<GuildId>, reason: Option<String>) -> Context {
        Context {
            actor: self.principal.actor(),
            rights: self.principal.rights(),
            tenant,
            command_id: Uuid::new_v4(),
            correlation_id: self.request_id.clone(),
            causation_id: None,
            reason,
            trace: self.trace.clone(),
            now: self.now,
            expected_version: self.expected_version,
            idempotency: None,
        }
    }

    /// Does it, or answers it again if it was done before.
    pub(crate) async fn perform<O, F>(
        &self,
        plan: Plan,
        act: impl FnOnce(Context) -> F,
    ) -> Result<Response, ApiError>
    where
        O: Into<Outcome>,
        F: Future<Output = Result<O, CommandError>>,
    {
        let reader = Reader { audience: plan.audience, now: self.now, form: self.form };
        let mut context = self.context(plan.tenant, plan.reason);
        let Some(repeat) = &self.repeat else {
            let outcome = act(context).await?.into();
            return answer::of(&self.state, reader, &plan.recipe, &outcome).await;
        };
        let _in_flight = self.state.begin(repeat.key.clone()).ok_or_else(ApiError::in_flight)?;
        if let Some(row) = self.state.commands().idempotency(&repeat.key).await? {
            return self.replay(reader, repeat, &row).await;
        }
        context.idempotency = Some(Idempotency {
            key: repeat.key.clone(),
            payload_hash: repeat.payload_hash.clone(),
            recipe: serde_json::to_value(&plan.recipe).map_err(|_| ApiError::internal())?,
        });
        match act(context).await {
            Ok(outcome) => answer::of(&self.state, reader, &plan.recipe, &outcome.into()).await,
            Err(CommandError::IdempotencyTaken) => {
                let row =
                    self.state.commands().idempotency(&repeat.key).await?.ok_or_else(ApiError::in_flight)?;
                self.replay(reader, repeat, &row).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Answers from what the first write left behind.
    async fn replay(
        &self,
        reader: Reader,
        repeat: &Repeat,
        row: &IdempotencyRow,
    ) -> Result<Response, ApiError> {
        if row.payload_hash != repeat.payload_hash {
            let detail = "This idempotency key was used for another request; take a new key for each write.";
            return Err(ApiError::new(Code::IdempotencyKeyReused, detail));
        }
        let unreadable = |error: serde_json::Error| {
            tracing::error!(%error, "an idempotency row cannot be read");
            ApiError::internal()
        };
        let stored: Stored = serde_json::from_str(&row.outcome).map_err(unreadable)?;
        match stored {
            Stored::Refused { refused } => Err(ApiError::from(refused).replayed()),
            Stored::Done { recipe, versions } => {
                let subject = recipe.load(self.state.commands(), &versions).await?;
                // Whoever repeats a write may be answered by another process than the one that did it, and asks on here.
                if let Some(last) = row.last {
                    self.state.queries().hear_of(last).await?;
                }
                let outcome = Outcome { subject, position: row.last };
                let mut response = answer::of(&self.state, reader, &recipe, &outcome).await?;
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                Ok(response)
            }
        }
    }
}

/// What an idempotency row holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Refused {
        refused: Refused,
    },
    Done {
        recipe: Recipe,
        #[serde(default)]
        versions: Value,
    },
}

impl FromRequest<ApiState> for Write {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let write = Self::with_query(request, state).await?;
        Query::none(&write.uri)?;
        Ok(write)
    }
}

/// `"7"` is version 7; `*` is any.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    plain.and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(|| {
        ApiError::invalid("If-Match", "WRONG_FORM", "must be one `ETag` as an answer gave it, such as \"7\"")
    })
}

/// 1 to 255 printable ASCII characters; the quotes of a structured field may stand around them or not.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let good =
        (1..=IDEMPOTENCY_KEY_MAX).contains(&bare.len()) && bare.bytes().all(|b| (0x20..0x7f).contains(&b));
    if good {
        return Ok(Some(bare.to_owned()));
    }
    let detail =
        format!("must have 1 to {IDEMPOTENCY_KEY_MAX} printable ASCII characters, for example a UUID");
    Err(ApiError::invalid("Idempotency-Key", "WRONG_FORM", detail))
}

fn payload_hash(method: &str, uri: &Uri, body: &[u8]) -> String {
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    let mut hash = Sha256::new();
    for part in [method.as_bytes(), address.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

/// W3C trace context, version 00: anything else is left out.
fn traceparent(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let plain = text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (plain && lengths == [2, 32, 16, 2]).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())])
    }

    #[test]
    fn if_match_is_one_strong_tag() {
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        assert_eq!(if_match(&headers("if-match", b"\"7\"")).unwrap(), Some(7));
        assert_eq!(if_match(&headers("if-match", b"*")).unwrap(), None);
        for bad in [&b"7"[..], b"W/\"7\"", b"\"7\", \"8\"", b"\"\"", b"\"-1\"", b"\xff"] {
            assert_eq!(if_match(&headers("if-match", bad)).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn idempotency_keys_are_printable() {
        let key = |value: &[u8]| idempotency_key(&headers("idempotency-key", value));
        assert_eq!(key(b"abc").unwrap().as_deref(), Some("abc"));
        assert_eq!(key(b"\"abc\"").unwrap().as_deref(), Some("abc"));
        assert!(key(&[b'x'; 255]).is_ok());
        for bad in [&b""[..], b"\"\"", &[b'x'; 256], "ü".as_bytes(), b"a\tb"] {
            assert_eq!(key(bad).unwrap_err().errors()[0].pointer, "Idempotency-Key");
        }
    }

    #[test]
    fn the_payload_hash_tells_parts_apart() {
        let hash = |method, address: &'static str, body: &[u8]| {
            payload_hash(method, &Uri::from_static(address), body)
        };
        let first = hash("POST", "/a", b"b");
        assert_eq!(first, hash("POST", "/a", b"b"));
        for other in [
            hash("PUT", "/a", b"b"),
            hash("POST", "/ab", b""),
            hash("POST", "/a", b"c"),
            hash("POST", "/a?x", b"b"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn only_a_whole_traceparent_is_kept() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&HeaderValue::from_static(good)).as_deref(), Some(good));
        assert_eq!(traceparent(&HeaderValue::from_static("00-x")), None);
    }
}
