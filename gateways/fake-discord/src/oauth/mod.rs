//! OAuth2: consent, codes, tokens. Authorization code with S256 PKCE, refresh with rotation, revocation of the whole
//! grant. Knows one client.

mod authorize;
mod token;

pub(crate) use authorize::serve as authorize;

use std::collections::BTreeMap;

use serde_json::json;

use crate::rest::reply::{Refusal, Reply, ok};
use crate::rest::{Call, Who};
use crate::settings::APPLICATION_ID;
use crate::time::iso;
use crate::world::shapes;

/// Codes that wait to be exchanged.
const CODES: usize = 1_000;

/// A code that was given out.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) user: u64,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) made_ms: i64,
    /// The grant it became; a second use ends that grant.
    pub(crate) grant: Option<u64>,
}

/// All codes, by themselves.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    pub(crate) all: BTreeMap<String, Code>,
}

impl Codes {
    pub(crate) fn add(&mut self, code: String, value: Code) {
        if self.all.len() >= CODES {
            let oldest = self.all.iter().min_by_key(|(_, code)| code.made_ms).map(|(code, _)| code.clone());
            if let Some(oldest) = oldest {
                self.all.remove(&oldest);
            }
        }
        self.all.insert(code, value);
    }
}

/// `/api/oauth2/…`.
pub(crate) fn route(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    match (call.method, segments) {
        ("POST", ["token"]) => token::exchange(call),
        ("POST", ["token", "revoke"]) => token::revoke(call),
        ("GET", ["applications", "@me"]) => crate::rest::current_application(call),
        ("GET", ["@me"]) => current(call),
        _ => Err(Refusal::no_route()),
    }
}

/// `GET /oauth2/@me`.
fn current(call: &Call<'_>) -> Reply {
    let Who::User(grant) = call.who else { return Err(Refusal::unauthorized()) };
    let state = &call.inner.state;
    let grant = state.grants.get(&grant).ok_or_else(|| Refusal::code(50_025))?;
    let mut body = json!({
        "application": {
            "id": APPLICATION_ID.to_string(), "name": crate::world::seed::BOT_NAME, "icon": null, "description": "",
            "bot_public": true, "bot_require_code_grant": false,
        },
        "scopes": grant.scopes, "expires": iso(grant.expires_ms),
    });
    if grant.scopes.iter().any(|scope| scope == "identify") {
        body["user"] = shapes::user(state, grant.user_id);
    }
    ok(body)
}

/// A secret of 32 random bytes.
pub(crate) fn secret() -> Result<String, Refusal> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::new(500, 0, "500: Internal Server Error"))?;
    Ok(data_encoding::BASE64URL_NOPAD.encode(&bytes))
}
