//! The one error of the API: a status, a stable code, and what would help. It becomes problem details (RFC 9457)
//! in `frame.rs`, which knows the request's id; nothing of the inside (addresses, SQL, panics) ever stands in it.

mod code;
pub(crate) mod page;

use std::borrow::Cow;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use commands::{CommandError, Refused, RefusedItem};
use domain::credential::ApiKeyId;
use domain::time::Timestamp;
use projections::QueryError;
use serde::Serialize;

pub use code::Code;

/// What is wrong with one member of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer into the body (RFC 6901; empty for the whole body), `?name` for a query member, or the name
    /// of a header.
    pub pointer: String,
    /// `NOT_JSON`, `UNKNOWN_MEMBER`, `MISSING_MEMBER`, `DUPLICATE_MEMBER`, `WRONG_TYPE`, `WRONG_FORM`,
    /// `WRONG_LENGTH`, `NUL_CHARACTER`, or `IMPOSSIBLE`; of one of many things, the code of its refusal.
    pub code: Cow<'static, str>,
    /// What is wrong and what is accepted.
    pub detail: String,
}

impl FieldError {
    /// Puts it together.
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Fault>);

/// The parts of an [`ApiError`].
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: Cow<'static, str>,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) errors: Vec<FieldError>,
    pub(crate) retry_after_s: Option<u32>,
    /// The same as an instant, for what the clock alone stands against.
    pub(crate) again_at: Option<Timestamp>,
    pub(crate) challenge: Option<&'static str>,
    pub(crate) is_replayed: bool,
    /// The API key of ours that was refused.
    pub(crate) api_key: Option<ApiKeyId>,
}

impl ApiError {
    /// An error of the API itself.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::with_code(code.status(), Cow::Borrowed(code.as_str()), detail.into())
    }

    fn with_code(status: StatusCode, code: Cow<'static, str>, detail: Cow<'static, str>) -> Self {
        let (errors, challenge) = (Vec::new(), challenge(&code));
        Self(Box::new(Fault {
            status,
            code,
            detail,
            errors,
            retry_after_s: None,
            again_at: None,
            challenge,
            is_replayed: false,
            api_key: None,
        }))
    }

    /// 400 for one member of the request.
    pub fn invalid(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::fields(Code::InvalidRequest, vec![FieldError::new(pointer, code, detail)])
    }

    /// 422 for one member of the request: the right shape, and a value that cannot be meant.
    pub fn impossible(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(Code::InvalidValue, vec![FieldError::new(pointer, "IMPOSSIBLE", detail)])
    }

    /// An error about members of the request; the sentence names the first.
    pub fn fields(code: Code, errors: Vec<FieldError>) -> Self {
        let detail = match errors.first() {
            Some(first) if first.pointer.is_empty() => format!("The body {}.", first.detail),
            Some(first) => format!("`{}` {}.", first.pointer, first.detail),
            None => "The request is not as documented.".to_owned(),
        };
        let mut error = Self::new(code, detail);
        error.0.errors = errors;
        error
    }

    /// 404, the same for what is not there and for what belongs to another tenant.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("There is no such {what} that this credential may see; check its id."),
        )
    }

    /// Names the API key of ours that is refused.
    #[must_use]
    pub(crate) fn about_key(mut self, id: ApiKeyId) -> Self {
        self.0.api_key = Some(id);
        self
    }

    /// The API key of ours that was refused; `None` of any other error.
    pub(crate) fn api_key(&self) -> Option<ApiKeyId> {
        self.0.api_key
    }

    /// Tells the client when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Marks the error as the repeat of an earlier answer.
    #[must_use]
    pub(crate) fn replayed(mut self) -> Self {
        self.0.is_replayed = true;
        self
    }

    /// Moves the pointers of members under `parent`, save those in `except`: the domain names a member of the terms
    /// by its own name, wherever a request has the terms.
    #[must_use]
    pub(crate) fn moved_under(mut self, parent: &str, except: &[&str]) -> Self {
        let is_value = self.0.code == Code::InvalidValue.as_str();
        for error in
            self.0.errors.iter_mut().filter(|error| is_value && !except.contains(&error.pointer.as_str()))
        {
            if !error.pointer.starts_with(parent) {
                error.pointer.insert_str(0, parent);
            }
        }
        self
    }

    /// Whether a credential was refused that this server made and that was good once: whoever has one guesses nothing.
    pub(crate) fn proves_itself(&self) -> bool {
        let once_good = [Code::CredentialExpired, Code::SessionEnded, Code::RefreshReused];
        once_good.iter().any(|code| self.0.code == code.as_str())
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What is wrong with single members.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    pub(crate) fn fault(&self) -> &Fault {
        &self.0
    }

    /// The refusal of a validation where a decision is not an answer by itself: activate, heartbeat and so on.
    pub(crate) fn verdict(code: domain::verdict::Code, detail: &str) -> Self {
        use domain::verdict::Code as Verdict;
        let status = match code {
            Verdict::MalformedKey => StatusCode::BAD_REQUEST,
            Verdict::NotFound | Verdict::KeySuperseded => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        Self::with_code(status, Cow::Borrowed(code.as_str()), detail.to_owned().into())
    }
}

impl Fault {
    /// Seconds after which to try again, rounded up: whoever waits so long is not too early.
    pub(crate) fn retry_after_s(&self, now: Timestamp) -> Option<u32> {
        let until = self.again_at.map(|again_at| (again_at - now).ms().max(0).unsigned_abs().div_ceil(1_000));
        self.retry_after_s.or_else(|| until.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)))
    }
}

/// What a 401 asks for (RFC 6750).
fn challenge(code: &str) -> Option<&'static str> {
    match code {
        "CREDENTIAL_REQUIRED" => Some("Bearer realm=\"dca-auth\""),
        "INVALID_CREDENTIAL" => Some("Bearer realm=\"dca-auth\", error=\"invalid_token\""),
        "SESSION_ENDED" | "REFRESH_REUSED" => Some(
            "Bearer realm=\"dca-auth\", error=\"invalid_token\", error_description=\"the session is over\"",
        ),
        "CREDENTIAL_EXPIRED" => {
            Some("Bearer realm=\"dca-auth\", error=\"invalid_token\", error_description=\"expired\"")
        }
        _ => None,
    }
}

/// The status of a refusal. Most are transitions that the present state does not allow.
fn refusal_status(code: &str) -> StatusCode {
    match code {
        "INVALID_VALUE" | "SCOPE_NOT_ALLOWED" | "IMPORT_REFUSED" => StatusCode::UNPROCESSABLE_ENTITY,
        "RANK_TOO_LOW" => StatusCode::FORBIDDEN,
        "TYPE_NOT_FOUND" | "RULE_NOT_FOUND" | "API_KEY_NOT_FOUND" | "WEBHOOK_NOT_FOUND" => {
            StatusCode::NOT_FOUND
        }
        _ => StatusCode::CONFLICT,
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let status = refusal_status(&refused.code);
        let errors = match member_of(&refused) {
            Some(member) => vec![FieldError::new(format!("/{member}"), "IMPOSSIBLE", refused.detail.clone())],
            None => {
                let item = |item: RefusedItem| FieldError::new(item.pointer, item.code, item.detail);
                refused.items.into_iter().map(item).collect()
            }
        };
        let detail = format!("{} {}", sentence(&refused.detail), refused.help);
        let mut error = Self::with_code(status, refused.code, detail.into());
        error.0.errors = errors;
        error.0.again_at = refused.again_at;
        error
    }
}

/// The member that an `INVALID_VALUE` of the domain names at the beginning of its message, in backticks.
fn member_of(refused: &Refused) -> Option<&str> {
    let rest = refused.detail.strip_prefix('`').filter(|_| refused.code == "INVALID_VALUE")?;
    rest.split_once('`').map(|(member, _)| member)
}

/// The message of a refusal as a sentence: with a capital and a full stop. One that is a single word, such as
/// `components`, stays as it is, because clients compare it.
fn sentence(message: &str) -> String {
    if !message.contains(' ') {
        return format!("{message}:");
    }
    let mut letters = message.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(refused) => refused.into(),
            CommandError::NotFound(what) => Self::not_found(what),
            CommandError::Forbidden => {
                tracing::error!(
                    "a command was asked for by somebody who may not cause it: its route let him through"
                );
                Self::new(Code::Forbidden, "Whoever asks may not do this; ask an admin of the server.")
            }
            CommandError::Superseded => Self::new(
                Code::KeySuperseded,
                "The license has a new key; ask its owner or the staff of the server for it.",
            ),
            CommandError::VersionMismatch { expected, actual } => Self::new(
                Code::VersionMismatch,
                format!(
                    "`If-Match` names version {expected}, and it is {actual} by now; read it again and decide anew."
                ),
            ),
            CommandError::Invalid { pointer, detail } => Self::impossible(pointer, detail),
            CommandError::Conflict(tries) => Self::new(
                Code::Conflict,
                format!("Others changed the same thing {tries} times while this was decided; try again."),
            )
            .retry_after(1),
            CommandError::IdempotencyTaken => Self::in_flight(),
            CommandError::Unavailable(why) => {
                tracing::error!(why, "a command could not be done: the store is unavailable");
                Self::unavailable()
            }
            CommandError::Damaged(why) => {
                tracing::error!(why, "a command met a damaged log");
                Self::damaged()
            }
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unavailable(why) => {
                tracing::error!(why, "a query could not be answered: the store is unavailable");
                Self::unavailable()
            }
            QueryError::Behind { wanted, checkpoint } => Self::new(
                Code::ReadModelBehind,
                format!("The read models stand at {checkpoint}, and `DCA-Min-Position` asks for {wanted}; try again."),
            )
            .retry_after(1),
            QueryError::CursorInvalid => Self::invalid(
                "?cursor",
                "WRONG_FORM",
                "is not a cursor of this list; use `nextCursor` of its last page, or leave it out to begin anew",
            ),
            QueryError::VersionUnknown { asked, has } => Self::new(
                Code::VersionUnknown,
                format!("It has {has} versions so far, and version {asked} was asked for; its history shows them."),
            ),
            QueryError::PositionUnknown { asked, head } => Self::new(
                Code::PositionUnknown,
                format!("The log ends at position {head}, and position {asked} was asked for; take one from an answer of this server."),
            ),
            QueryError::Damaged(why) => {
                tracing::error!(why, "a query met damaged data");
                Self::damaged()
            }
            QueryError::Unreadable(why) => {
                tracing::error!(why, "nothing is said of an aggregate with an event that cannot be read");
                let detail = "It has an event that this process cannot read, so nothing is said of it. While an update is \
                              under way another process may know it: try again; the operator can check with `dca-auth \
                              verify`.";
                Self::new(Code::Unavailable, detail).retry_after(5)
            }
            QueryError::UnknownModel(_) => Self::impossible("/name", error.to_string()),
        }
    }
}

impl ApiError {
    pub(crate) fn unavailable() -> Self {
        let detail = "The event store does not answer at the moment. Nothing is known to be lost; try again.";
        Self::new(Code::Unavailable, detail).retry_after(2)
    }

    pub(crate) fn in_flight() -> Self {
        let detail =
            "A write with this idempotency key is being done at the moment; try again for its answer.";
        Self::new(Code::IdempotencyInFlight, detail).retry_after(1)
    }

    pub(crate) fn internal() -> Self {
        let detail =
            "This is a fault of the server. Its log has more under the request id; please report it.";
        Self::new(Code::Internal, detail)
    }

    pub(crate) fn damaged() -> Self {
        let detail = "The server holds something that it cannot read. Its log names it under the request id; \
                      the operator can check with `dca-auth verify`.";
        Self::new(Code::Damaged, detail)
    }
}

/// Leaves the error in the extensions of an empty response: `frame.rs` writes the body, because it alone knows
/// the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &'static str, detail: &str) -> ApiError {
        Refused {
            code: code.into(),
            detail: detail.to_owned(),
            help: "Do this.".to_owned(),
            items: Vec::new(),
            again_at: None,
        }
        .into()
    }

    #[test]
    fn an_impossible_value_of_the_domain_names_its_member() {
        let error = refused("INVALID_VALUE", "`slug` must be short");
        assert_eq!(error.status(), 422);
        assert_eq!(error.errors()[0].pointer, "/slug");
    }

    #[test]
    fn refusals_have_the_statuses_of_the_table() {
        for (code, status) in [("REVOKED", 409), ("API_KEY_NOT_FOUND", 404), ("RANK_TOO_LOW", 403)] {
            assert_eq!(refused(code, "it is so").status(), status, "{code}");
        }
        for (code, status) in [
            (domain::verdict::Code::MalformedKey, 400),
            (domain::verdict::Code::KeySuperseded, 404),
            (domain::verdict::Code::Suspended, 409),
        ] {
            assert_eq!(ApiError::verdict(code, "no").status(), status);
        }
    }

    #[test]
    fn what_the_clock_stands_against_names_the_seconds_until_then() {
        let mut refused = Refused {
            code: "RESET_COOLDOWN".into(),
            detail: "it is so".to_owned(),
            help: String::new(),
            items: Vec::new(),
            again_at: Some(Timestamp(10_001)),
        };
        let error = ApiError::from(refused.clone());
        let after = |ms| error.fault().retry_after_s(Timestamp(ms));
        assert_eq!(
            (after(0), after(9_001), after(10_000), after(20_000)),
            (Some(11), Some(1), Some(1), Some(0))
        );
        refused.again_at = None;
        assert_eq!(ApiError::from(refused).fault().retry_after_s(Timestamp(0)), None);
    }

    #[test]
    fn a_401_says_what_it_asks_for() {
        assert!(ApiError::new(Code::CredentialRequired, "x").fault().challenge.is_some());
        assert!(ApiError::new(Code::Forbidden, "x").fault().challenge.is_none());
    }

    #[test]
    fn codes_are_each_listed_once() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
