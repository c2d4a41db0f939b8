//! Signed answers (RFC 9421, RFC 9530): whoever sends `Accept-Signature`, and every API key of a guild that wishes so, gets
//! a signature over status, body, media type and what was asked. Here is what is signed and how; docs/SIGNED-ANSWERS.md says
//! how it is checked. Nothing here decides what is answered.

mod asked;

use std::sync::{Arc, PoisonError, RwLock};

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use commands::ring::KeyRing;
use commands::signer::{Signer, SigningPurpose};
use data_encoding::BASE64;
use domain::ports::Sign;
use domain::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
/// What our signatures are for, and whose.
const TAG: &str = "dca-auth";
const ALGORITHM: &str = "ed25519";
/// The label of a signature that nobody asked for.
const UNASKED: &str = "dca";

/// What is signed of an answer and of its request, in this order. What a message has not is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Component {
    Status,
    ContentDigest,
    ContentType,
    Method,
    Path,
    Query,
    RequestDigest,
}

impl Component {
    const ALL: [Self; 7] = [
        Self::Status,
        Self::ContentDigest,
        Self::ContentType,
        Self::Method,
        Self::Path,
        Self::Query,
        Self::RequestDigest,
    ];

    /// Its identifier as it stands in a signature.
    const fn identifier(self) -> &'static str {
        match self {
            Self::Status => "\"@status\"",
            Self::ContentDigest => "\"content-digest\"",
            Self::ContentType => "\"content-type\"",
            Self::Method => "\"@method\";req",
            Self::Path => "\"@path\";req",
            Self::Query => "\"@query\";req",
            Self::RequestDigest => "\"content-digest\";req",
        }
    }
}

/// How an answer is to be signed.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    label: String,
    /// As a structured string.
    nonce: Option<String>,
    /// The key, if one was named.
    key: Option<String>,
    method: Method,
    path: String,
    /// With the question mark.
    query: String,
    /// `Content-Digest` of the request as it came, and the SHA-256 that it states.
    digest: Option<(String, [u8; 32])>,
}

impl Wish {
    fn new(label: &str, method: &Method, uri: &Uri) -> Self {
        Self {
            label: label.to_owned(),
            nonce: None,
            key: None,
            method: method.clone(),
            path: uri.path().to_owned(),
            query: format!("?{}", uri.query().unwrap_or_default()),
            digest: None,
        }
    }

    /// What `Accept-Signature` asks for; nothing if the header is not there, or empty.
    pub(crate) fn asked(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<Box<Self>>, ApiError> {
        if headers.contains_key(asked::ACCEPT_SIGNATURE) {
            asked::read(method, uri, headers).map(|wish| wish.map(Box::new))
        } else {
            Ok(None)
        }
    }

    /// The wish of a guild that nobody need ask. It binds the request without its body: a digest that its sender did not
    /// mean to be signed is not looked at.
    pub(crate) fn unasked(parts: &Parts) -> Box<Self> {
        Box::new(Self::new(UNASKED, &parts.method, &parts.uri))
    }

    /// Refuses a body that is not the one that its digest states: the signature would say that it was answered.
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), ApiError> {
        match &self.digest {
            Some((_, stated)) if <[u8; 32]>::from(Sha256::digest(body)) != *stated => Err(ApiError::invalid(
                "Content-Digest",
                "WRONG_FORM",
                "is not the SHA-256 of the body that arrived; something on the way changed one of them",
            )),
            _ => Ok(()),
        }
    }

    /// The lines that are signed before the last one, and their identifiers.
    fn covered(
        &self,
        status: StatusCode,
        digest: &str,
        content_type: Option<&str>,
    ) -> Vec<(&'static str, String)> {
        let value = |component| match component {
            Component::Status => Some(status.as_str().to_owned()),
            Component::ContentDigest => Some(digest.to_owned()),
            Component::ContentType => content_type.map(str::to_owned),
            Component::Method => Some(self.method.as_str().to_owned()),
            Component::Path => Some(self.path.clone()),
            Component::Query => Some(self.query.clone()),
            Component::RequestDigest => self.digest.as_ref().map(|(text, _)| text.clone()),
        };
        Component::ALL
            .into_iter()
            .filter_map(|component| value(component).map(|value| (component.identifier(), value)))
            .collect()
    }
}

/// The keys of answers, drawn once for each state of the ring: a stranger may name a key, and must not make us look for it.
pub(crate) struct AnswerKeys {
    ring: Arc<KeyRing>,
    drawn: RwLock<Arc<Drawn>>,
}

struct Drawn {
    /// The generation of the ring that they were drawn from.
    generation: u64,
    active: Signer,
    all: Vec<Signer>,
}

impl Drawn {
    fn of(ring: &KeyRing) -> Arc<Self> {
        // Asked before: what changes meanwhile is drawn again at the next look.
        let generation = ring.generation();
        let purpose = SigningPurpose::Responses;
        Arc::new(Self { generation, active: Signer::active(ring, purpose), all: Signer::all(ring, purpose) })
    }

    /// The key that was named, if the ring has it; otherwise the active one, whose name the answer says.
    fn signer(&self, wish: &Wish) -> &Signer {
        let named = wish.key.as_ref().and_then(|id| self.all.iter().find(|signer| signer.key_id() == *id));
        named.unwrap_or(&self.active)
    }
}

impl AnswerKeys {
    pub(crate) fn new(ring: &Arc<KeyRing>) -> Self {
        Self { ring: Arc::clone(ring), drawn: RwLock::new(Drawn::of(ring)) }
    }

    fn drawn(&self) -> Arc<Drawn> {
        let drawn = Arc::clone(&self.drawn.read().unwrap_or_else(PoisonError::into_inner));
        if drawn.generation == self.ring.generation() {
            return drawn;
        }
        let fresh = Drawn::of(&self.ring);
        *self.drawn.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        fresh
    }
}

/// Signs an answer whose body is whole. One that is written while it is sent stays as it is.
pub(crate) async fn sign(keys: &AnswerKeys, wish: &Wish, now: Timestamp, response: Response) -> Response {
    if response.body().size_hint().exact().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            // A body of known length lies in memory.
            tracing::error!(%error, "an answer could not be read before it was signed");
            parts.status = StatusCode::INTERNAL_SERVER_ERROR;
            return Response::from_parts(parts, Body::empty());
        }
    };
    let signed = headers(keys.drawn().signer(wish), wish, now, parts.status, &parts.headers, &bytes);
    parts.headers.extend(signed);
    Response::from_parts(parts, Body::from(bytes))
}

/// `Content-Digest`, `Signature-Input` and `Signature` of an answer.
fn headers(
    signer: &dyn Sign,
    wish: &Wish,
    now: Timestamp,
    status: StatusCode,
    answered: &HeaderMap,
    body: &Bytes,
) -> HeaderMap {
    let digest = format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)));
    let content_type = answered.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::trim);
    let covered = wish.covered(status, &digest, content_type);
    let parameters = parameters(signer, wish, now, &covered);
    let mut base = String::with_capacity(512);
    for (identifier, value) in &covered {
        base.extend([identifier, ": ", value, "\n"]);
    }
    base.extend(["\"@signature-params\": ", &parameters]);
    let signature = BASE64.encode(&signer.sign(base.as_bytes()));
    let values = [
        (CONTENT_DIGEST, digest),
        (SIGNATURE_INPUT, format!("{}={parameters}", wish.label)),
        (SIGNATURE, format!("{}=:{signature}:", wish.label)),
    ];
    // All of it is printable ASCII.
    values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}

/// The covered components and the parameters of a signature, as `Signature-Input` has them.
fn parameters(signer: &dyn Sign, wish: &Wish, now: Timestamp, covered: &[(&'static str, String)]) -> String {
    let identifiers: Vec<&str> = covered.iter().map(|(identifier, _)| *identifier).collect();
    let nonce = wish.nonce.as_ref().map(|nonce| format!(";nonce={nonce}")).unwrap_or_default();
    format!(
        "({});created={};keyid=\"{}\";alg=\"{ALGORITHM}\"{nonce};tag=\"{TAG}\"",
        identifiers.join(" "),
        now.ms() / 1_000,
        signer.key_id(),
    )
}

#[cfg(test)]
mod tests;
