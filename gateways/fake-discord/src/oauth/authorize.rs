//! The consent page: who are you, and do you allow this? `_as` names the account and consents at once.
//! Has no scripts, and no login: whoever can open the page can be everybody in this world.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::{Code, secret};
use crate::form::{encoded, pairs};
use crate::hub::{Hub, Inner};
use crate::rest::BODY_BYTES;
use crate::settings::APPLICATION_ID;

const SCOPES: [&str; 9] = [
    "identify",
    "email",
    "guilds",
    "guilds.join",
    "guilds.members.read",
    "connections",
    "role_connections.write",
    "bot",
    "applications.commands",
];
/// Accounts that the page lists.
const LISTED: usize = 100;

/// Answers `/oauth2/authorize`.
pub(crate) async fn serve(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
    if parts.method == Method::POST {
        let Ok(bytes) = to_bytes(body, BODY_BYTES).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        query.extend(pairs(&bytes));
    }
    let ask = match Ask::of(query) {
        Ok(ask) => ask,
        Err(message) => return page(StatusCode::BAD_REQUEST, &format!("<p>{}</p>", escaped(message))),
    };
    if let Err((error, description)) = ask.check() {
        return ask.back(&[("error", error), ("error_description", description)]);
    }
    let mut inner = hub.lock();
    match ask.query.get("_as").map(String::as_str) {
        None => page(StatusCode::OK, &ask.form(&inner)),
        Some("") => ask.back(&[
            ("error", "access_denied"),
            ("error_description", "The resource owner or authorization server denied the request"),
        ]),
        Some(user) => match user.parse().ok().filter(|user| inner.state.accounts.contains_key(user)) {
            Some(user) => ask.consent(&mut inner, user, &hub.fixed.url),
            None => page(StatusCode::NOT_FOUND, "<p>There is no such account here.</p>"),
        },
    }
}

/// What a client asks for.
struct Ask {
    query: HashMap<String, String>,
}

impl Ask {
    /// Client and redirect must be right before anybody is sent there.
    fn of(query: HashMap<String, String>) -> Result<Self, &'static str> {
        let member = |name: &str| query.get(name).map_or("", String::as_str);
        if member("client_id") != APPLICATION_ID.to_string() {
            return Err("Unknown application: the client_id is not that of this stand-in.");
        }
        let redirect = member("redirect_uri");
        let web = redirect.starts_with("http://") || redirect.starts_with("https://");
        if !web || redirect.contains('#') || redirect.contains(char::is_whitespace) {
            return Err("Invalid OAuth2 redirect_uri.");
        }
        Ok(Self { query })
    }

    fn get(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    fn scopes(&self) -> Vec<String> {
        self.get("scope").split_whitespace().map(str::to_owned).collect()
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.get("response_type") != "code" {
            return Err(("unsupported_response_type", "Only response_type=code is supported."));
        }
        let scopes = self.scopes();
        if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
            return Err(("invalid_scope", "The requested scope is invalid, unknown, or malformed."));
        }
        let challenge = self.get("code_challenge");
        let method = self.get("code_challenge_method");
        if challenge.is_empty() && method.is_empty() {
            return Ok(());
        }
        if method != "S256" {
            return Err(("invalid_request", "The code_challenge_method must be S256."));
        }
        if challenge.len() != 43 {
            return Err(("invalid_request", "The code_challenge must be a SHA-256 hash in base64url."));
        }
        if scopes.iter().any(|scope| scope == "role_connections.write") {
            return Err(("invalid_scope", "role_connections.write cannot be asked for with PKCE."));
        }
        Ok(())
    }

    fn consent(&self, inner: &mut Inner, user: u64, issuer: &str) -> Response {
        let Ok(code) = secret() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let challenge = Some(self.get("code_challenge").to_owned()).filter(|challenge| !challenge.is_empty());
        let value = Code {
            user,
            redirect_uri: self.get("redirect_uri").to_owned(),
            scopes: self.scopes(),
            challenge,
            made_ms: inner.now,
            grant: None,
        };
        inner.codes.add(code.clone(), value);
        self.back(&[("code", &code), ("iss", issuer)])
    }

    /// Sends the browser back with these members and the state.
    fn back(&self, members: &[(&str, &str)]) -> Response {
        let mut to = self.get("redirect_uri").to_owned();
        let state = self.query.get("state").map(|state| ("state", state.as_str()));
        for (name, value) in members.iter().copied().chain(state) {
            to.push(if to.contains('?') { '&' } else { '?' });
            to.push_str(name);
            to.push('=');
            to.push_str(&encoded(value));
        }
        (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
    }

    fn form(&self, inner: &Inner) -> String {
        let mut html = String::from("<p>An application wants to know who you are, and asks for:</p><ul>");
        for scope in self.scopes() {
            let _ = write!(html, "<li><code>{}</code></li>", escaped(&scope));
        }
        html.push_str("</ul><form method=\"post\" action=\"/oauth2/authorize\">");
        let mut members: Vec<_> = self.query.iter().filter(|(name, _)| *name != "_as").collect();
        members.sort();
        for (name, value) in members {
            let _ = write!(
                html,
                "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
                escaped(name),
                escaped(value)
            );
        }
        let people = inner.state.accounts.iter().filter(|(_, account)| !account.bot);
        for (id, account) in people.take(LISTED) {
            let name = escaped(&account.username);
            let _ = write!(html, "<p><button name=\"_as\" value=\"{id}\">Continue as {name}</button></p>");
        }
        html.push_str("<p><button name=\"_as\" value=\"\">Cancel</button></p></form>");
        html
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Authorize</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <main><h1>Simulated Discord</h1>{body}</main></html>"
    );
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    (status, [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(html))
        .into_response()
}
