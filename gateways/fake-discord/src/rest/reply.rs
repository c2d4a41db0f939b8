//! What REST answers: an object, or one of Discord's error bodies `{code, message, errors?}`.
//! Says how a refusal looks, never when there is one.

use serde_json::{Value, json};

use crate::hub::StoreError;
use crate::limits::{Headers, TooMany};

/// An answer that was given.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `None` is an empty body.
    pub(crate) body: Option<Value>,
    pub(crate) headers: Headers,
    /// Of a 429: whose limit it is.
    pub(crate) scope: Option<&'static str>,
    /// No such route exists.
    pub(crate) unknown: bool,
}

/// What a route gives.
pub(crate) type Reply = Result<Answer, Refusal>;

/// A request that is not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    body: Value,
    unknown: bool,
}

/// 200 with an object.
pub(crate) fn ok(body: Value) -> Reply {
    Ok(Answer::new(200, Some(body)))
}

/// 201 with an object.
pub(crate) fn created(body: Value) -> Reply {
    Ok(Answer::new(201, Some(body)))
}

/// 204.
pub(crate) fn done() -> Reply {
    Ok(Answer::new(204, None))
}

impl Answer {
    pub(crate) fn new(status: u16, body: Option<Value>) -> Self {
        Self { status, body, headers: Headers::new(), scope: None, unknown: false }
    }

    /// 429 with its headers. Its body has no `code`, as Discord's has none.
    pub(crate) fn too_many(refused: TooMany) -> Self {
        let TooMany { scope, retry_after, mut headers } = refused;
        headers.push(("retry-after", format!("{:.0}", retry_after.ceil())));
        headers.push(("x-ratelimit-scope", scope.to_owned()));
        let message = if scope == "shared" {
            "The resource is being rate limited."
        } else {
            "You are being rate limited."
        };
        let body = json!({"message": message, "retry_after": retry_after, "global": scope == "global"});
        Self { status: 429, body: Some(body), headers, scope: Some(scope), unknown: false }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let unknown = refusal.unknown;
        Self { unknown, ..Self::new(refusal.status, Some(refusal.body)) }
    }
}

impl From<StoreError> for Refusal {
    fn from(_: StoreError) -> Self {
        Self::new(500, 0, "500: Internal Server Error")
    }
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u64, message: &str) -> Self {
        Self { status, body: json!({"message": message, "code": code}), unknown: false }
    }

    /// A refusal with its own body, such as those of the token endpoint.
    pub(crate) fn plain(status: u16, body: Value) -> Self {
        Self { status, body, unknown: false }
    }

    /// No such route.
    pub(crate) fn no_route() -> Self {
        Self { unknown: true, ..Self::new(404, 0, "404: Not Found") }
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, 0, "401: Unauthorized")
    }

    /// 400 with the tree of what is wrong where.
    pub(crate) fn invalid(errors: &Value) -> Self {
        let body = json!({"message": "Invalid Form Body", "code": 50035, "errors": errors});
        Self::plain(400, body)
    }

    /// One of the numbered refusals of topics/opcodes-and-status-codes.
    pub(crate) fn code(code: u64) -> Self {
        let (status, message) = match code {
            10_002 => (404, "Unknown Application"),
            10_003 => (404, "Unknown Channel"),
            10_004 => (404, "Unknown Guild"),
            10_007 => (404, "Unknown Member"),
            10_008 => (404, "Unknown Message"),
            10_011 => (404, "Unknown Role"),
            10_013 => (404, "Unknown User"),
            10_015 => (404, "Unknown Webhook"),
            10_062 => (404, "Unknown interaction"),
            10_063 => (404, "Unknown application command"),
            30_032 => (400, "Maximum number of application commands reached (100)"),
            40_060 => (400, "Interaction has already been acknowledged."),
            50_001 => (403, "Missing Access"),
            50_005 => (403, "Cannot edit a message authored by another user"),
            50_006 => (400, "Cannot send an empty message"),
            50_007 => (403, "Cannot send messages to this user"),
            50_013 => (403, "Missing Permissions"),
            50_025 => (401, "Invalid OAuth2 access token provided"),
            50_026 => (403, "Missing required OAuth2 scope"),
            50_027 => (401, "Invalid Webhook Token"),
            50_033 => (400, "Invalid Recipient(s)"),
            50_041 => (400, "Invalid API version provided"),
            50_109 => (400, "The request body contains invalid JSON."),
            50_278 => (403, "Cannot send messages to this user due to having no mutual guilds"),
            _ => (400, "Bad Request"),
        };
        Self::new(status, code, message)
    }
}
