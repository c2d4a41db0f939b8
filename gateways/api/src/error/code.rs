//! The codes of the API, each with its status and its title. Which of them an answer carries, others decide.

use axum::http::StatusCode;

/// The codes that the API itself answers with, beside those of the domain's refusals and verdicts. Every one has
/// a heading in `docs/ERRORS.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Not JSON, an unknown or missing member, a wrong type, a bad query member or header.
    InvalidRequest,
    /// Right shape, impossible value.
    InvalidValue,
    /// A credential or license key stands in the address.
    KeyInUrl,
    /// The sign-in was not begun by this browser or program, is over, or was used.
    StateMismatch,
    /// Discord refused the sign-in, or somebody cancelled it.
    SignInRefused,
    /// A position that this log has not reached, or of another log.
    PositionUnknown,
    /// The text is no license key.
    MalformedKey,
    /// No credential.
    CredentialRequired,
    /// The credential is not ours, was revoked, or ended.
    InvalidCredential,
    /// The credential was good once.
    CredentialExpired,
    /// The session is over.
    SessionEnded,
    /// A refresh token was used that a later one had replaced.
    RefreshReused,
    /// The API key lacks a scope.
    MissingScope,
    /// The caller is known and may not.
    Forbidden,
    /// A change with cookies came without its token.
    CsrfTokenRequired,
    /// A page of another site sent it.
    CrossSite,
    /// No such thing, or another tenant's.
    NotFound,
    /// It was made later than the instant asked for.
    NotYetExisting,
    /// It was not changed as often as was asked for.
    VersionUnknown,
    /// The license has another key by now.
    KeySuperseded,
    /// The key ring has no such secret.
    SecretNotFound,
    /// Another method is needed.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// Others changed the same thing again and again.
    Conflict,
    /// A twin of this write is being done.
    IdempotencyInFlight,
    /// The operator's wish is being done already.
    Busy,
    /// A running process does not know a secret of the key ring.
    SecretNotKnown,
    /// New things are made with the secret.
    SecretActive,
    /// The secret was retired.
    SecretRetired,
    /// The list of the key ring can take no more secrets.
    RingFull,
    /// `If-Match` names another version.
    VersionMismatch,
    /// The body is too long.
    BodyTooLarge,
    /// The body is not JSON by its content type.
    UnsupportedMediaType,
    /// The server is not known by this name.
    HostNotAllowed,
    /// The idempotency key belongs to another payload.
    IdempotencyKeyReused,
    /// More requests than the limit of the caller allows.
    RateLimited,
    /// A fault of the program.
    Internal,
    /// The log or a read model holds something that cannot be read.
    Damaged,
    /// A part that is needed does not answer.
    Unavailable,
    /// Nobody can sign in: there is no Discord application.
    SignInOff,
    /// The read models have not reached `DCA-Min-Position`.
    ReadModelBehind,
    /// The answer was not ready in time.
    Timeout,
    /// The process does not take traffic.
    NotReady,
}

impl Code {
    /// Every code, in the order of statuses.
    pub const ALL: [Self; 43] = [
        Self::InvalidRequest,
        Self::KeyInUrl,
        Self::StateMismatch,
        Self::SignInRefused,
        Self::PositionUnknown,
        Self::MalformedKey,
        Self::CredentialRequired,
        Self::InvalidCredential,
        Self::CredentialExpired,
        Self::SessionEnded,
        Self::RefreshReused,
        Self::MissingScope,
        Self::Forbidden,
        Self::CsrfTokenRequired,
        Self::CrossSite,
        Self::NotFound,
        Self::NotYetExisting,
        Self::VersionUnknown,
        Self::KeySuperseded,
        Self::SecretNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::IdempotencyInFlight,
        Self::Busy,
        Self::SecretNotKnown,
        Self::SecretActive,
        Self::SecretRetired,
        Self::RingFull,
        Self::VersionMismatch,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::HostNotAllowed,
        Self::InvalidValue,
        Self::IdempotencyKeyReused,
        Self::RateLimited,
        Self::Internal,
        Self::Damaged,
        Self::Unavailable,
        Self::SignInOff,
        Self::ReadModelBehind,
        Self::Timeout,
        Self::NotReady,
    ];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status that it is answered with.
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    const fn row(self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidRequest => ("INVALID_REQUEST", StatusCode::BAD_REQUEST),
            Self::KeyInUrl => ("KEY_IN_URL", StatusCode::BAD_REQUEST),
            Self::StateMismatch => ("STATE_MISMATCH", StatusCode::BAD_REQUEST),
            Self::SignInRefused => ("SIGN_IN_REFUSED", StatusCode::BAD_REQUEST),
            Self::PositionUnknown => ("POSITION_UNKNOWN", StatusCode::BAD_REQUEST),
            Self::MalformedKey => ("MALFORMED_KEY", StatusCode::BAD_REQUEST),
            Self::CredentialRequired => ("CREDENTIAL_REQUIRED", StatusCode::UNAUTHORIZED),
            Self::InvalidCredential => ("INVALID_CREDENTIAL", StatusCode::UNAUTHORIZED),
            Self::CredentialExpired => ("CREDENTIAL_EXPIRED", StatusCode::UNAUTHORIZED),
            Self::SessionEnded => ("SESSION_ENDED", StatusCode::UNAUTHORIZED),
            Self::RefreshReused => ("REFRESH_REUSED", StatusCode::UNAUTHORIZED),
            Self::MissingScope => ("MISSING_SCOPE", StatusCode::FORBIDDEN),
            Self::Forbidden => ("FORBIDDEN", StatusCode::FORBIDDEN),
            Self::CsrfTokenRequired => ("CSRF_TOKEN_REQUIRED", StatusCode::FORBIDDEN),
            Self::CrossSite => ("CROSS_SITE", StatusCode::FORBIDDEN),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::NotYetExisting => ("NOT_YET_EXISTING", StatusCode::NOT_FOUND),
            Self::VersionUnknown => ("VERSION_UNKNOWN", StatusCode::NOT_FOUND),
            Self::KeySuperseded => ("KEY_SUPERSEDED", StatusCode::NOT_FOUND),
            Self::SecretNotFound => ("SECRET_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED),
            Self::RequestTimeout => ("REQUEST_TIMEOUT", StatusCode::REQUEST_TIMEOUT),
            Self::Conflict => ("CONFLICT", StatusCode::CONFLICT),
            Self::IdempotencyInFlight => ("IDEMPOTENCY_IN_FLIGHT", StatusCode::CONFLICT),
            Self::Busy => ("BUSY", StatusCode::CONFLICT),
            Self::SecretNotKnown => ("SECRET_NOT_KNOWN", StatusCode::CONFLICT),
            Self::SecretActive => ("SECRET_ACTIVE", StatusCode::CONFLICT),
            Self::SecretRetired => ("SECRET_RETIRED", StatusCode::CONFLICT),
            Self::RingFull => ("RING_FULL", StatusCode::CONFLICT),
            Self::VersionMismatch => ("VERSION_MISMATCH", StatusCode::PRECONDITION_FAILED),
            Self::BodyTooLarge => ("BODY_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => ("UNSUPPORTED_MEDIA_TYPE", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::HostNotAllowed => ("HOST_NOT_ALLOWED", StatusCode::MISDIRECTED_REQUEST),
            Self::InvalidValue => ("INVALID_VALUE", StatusCode::UNPROCESSABLE_ENTITY),
            Self::IdempotencyKeyReused => ("IDEMPOTENCY_KEY_REUSED", StatusCode::UNPROCESSABLE_ENTITY),
            Self::RateLimited => ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Damaged => ("DAMAGED", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::SignInOff => ("SIGN_IN_OFF", StatusCode::SERVICE_UNAVAILABLE),
            Self::ReadModelBehind => ("READ_MODEL_BEHIND", StatusCode::SERVICE_UNAVAILABLE),
            Self::Timeout => ("TIMEOUT", StatusCode::SERVICE_UNAVAILABLE),
            Self::NotReady => ("NOT_READY", StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}
