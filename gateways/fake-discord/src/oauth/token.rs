//! The token endpoint: codes and refresh tokens become access tokens, and are taken back.

use std::collections::HashMap;

use axum::http::header;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::secret;
use crate::rest::Call;
use crate::rest::reply::{Answer, Refusal, Reply};
use crate::settings::APPLICATION_ID;
use crate::world::model::Grant;
use crate::world::state::Change;

/// Life of an access token in seconds.
const EXPIRES_IN: i64 = 604_800;
/// Life of a code.
const CODE_MS: i64 = 10 * 60_000;

fn refused(status: u16, error: &str, description: &str) -> Refusal {
    Refusal::plain(status, json!({"error": error, "error_description": description}))
}

/// The form of a request whose client proved itself by Basic or in the body.
fn authorized<'a>(call: &Call<'a>) -> Result<&'a HashMap<String, String>, Refusal> {
    let form = call.form.ok_or_else(|| {
        refused(400, "invalid_request", "The body must be application/x-www-form-urlencoded.")
    })?;
    let basic = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let basic = basic.and_then(|value| value.strip_prefix("Basic "));
    let (id, given) = match basic {
        Some(encoded) => {
            let text = BASE64.decode(encoded.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.unwrap_or_default();
            let (id, given) = text.split_once(':').unwrap_or_default();
            (id.to_owned(), given.to_owned())
        }
        None => {
            let member = |name: &str| form.get(name).cloned().unwrap_or_default();
            (member("client_id"), member("client_secret"))
        }
    };
    if id == APPLICATION_ID.to_string() && given == call.hub.fixed.client_secret {
        Ok(form)
    } else {
        Err(refused(401, "invalid_client", "The client is unknown or its secret is wrong."))
    }
}

/// `POST /oauth2/token`.
pub(super) fn exchange(call: &mut Call<'_>) -> Reply {
    let form = authorized(call)?;
    match form.get("grant_type").map(String::as_str) {
        Some("authorization_code") => of_code(call, form),
        Some("refresh_token") => of_refresh(call, form),
        _ => Err(refused(400, "unsupported_grant_type", "Only authorization_code and refresh_token.")),
    }
}

fn of_code(call: &mut Call<'_>, form: &HashMap<String, String>) -> Reply {
    let invalid = |what: &str| refused(400, "invalid_grant", what);
    let member = |name: &str| form.get(name).map_or("", String::as_str);
    let inner = &mut *call.inner;
    let now = inner.now;
    let code = inner.codes.all.get(member("code")).cloned();
    let code = code.ok_or_else(|| invalid("Invalid \"code\" in request."))?;
    if let Some(grant) = code.grant {
        // Used twice, so stolen: whoever has tokens of it loses them (RFC 6749, 4.1.2).
        inner.commit(vec![Change::GrantGone { id: grant }])?;
        return Err(invalid("Invalid \"code\" in request."));
    }
    if now - code.made_ms > CODE_MS {
        return Err(invalid("Invalid \"code\" in request."));
    }
    let verifier = member("code_verifier");
    let proven = match &code.challenge {
        None => verifier.is_empty(),
        Some(challenge) => {
            is_verifier(verifier) && BASE64URL_NOPAD.encode(&Sha256::digest(verifier)) == *challenge
        }
    };
    if member("redirect_uri") != code.redirect_uri {
        return Err(invalid("Invalid \"redirect_uri\" in request."));
    }
    if !proven {
        return Err(invalid("Invalid \"code_verifier\" in request."));
    }
    let id = inner.next_id();
    let grant = Grant { user_id: code.user, scopes: code.scopes, ..Grant::default() };
    if let Some(used) = inner.codes.all.get_mut(member("code")) {
        used.grant = Some(id);
    }
    give(inner, id, grant)
}

/// 43 to 128 unreserved characters (RFC 7636, 4.1).
fn is_verifier(verifier: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved)
}

fn of_refresh(call: &mut Call<'_>, form: &HashMap<String, String>) -> Reply {
    let token = form.get("refresh_token").map_or("", String::as_str);
    let found =
        call.inner.state.grants.iter().find(|(_, grant)| grant.refresh_token == token && !token.is_empty());
    let found = found.map(|(id, grant)| (*id, grant.clone()));
    let (id, grant) = found.ok_or_else(|| refused(400, "invalid_grant", "Invalid refresh token."))?;
    give(call.inner, id, grant)
}

/// New tokens for a grant; the old ones are void.
fn give(inner: &mut crate::hub::Inner, id: u64, mut grant: Grant) -> Reply {
    grant.access_token = secret()?;
    grant.refresh_token = secret()?;
    grant.expires_ms = inner.now.saturating_add(EXPIRES_IN * 1_000);
    let body = json!({
        "token_type": "Bearer", "access_token": grant.access_token, "expires_in": EXPIRES_IN,
        "refresh_token": grant.refresh_token, "scope": grant.scopes.join(" "),
    });
    inner.commit(vec![Change::Grant { id, grant }])?;
    let mut answer = Answer::new(200, Some(body));
    answer.headers.push(("cache-control", "no-store".to_owned()));
    Ok(answer)
}

/// `POST /oauth2/token/revoke`: one token ends the grant. An unknown token is no error (RFC 7009, 2.2).
pub(super) fn revoke(call: &mut Call<'_>) -> Reply {
    let form = authorized(call)?;
    let token = form.get("token").map_or("", String::as_str);
    let of =
        |grant: &Grant| !token.is_empty() && (grant.access_token == token || grant.refresh_token == token);
    let found = call.inner.state.grants.iter().find(|(_, grant)| of(grant)).map(|(id, _)| *id);
    if let Some(id) = found {
        call.inner.commit(vec![Change::GrantGone { id }])?;
    }
    Ok(Answer::new(200, Some(Value::Object(serde_json::Map::new()))))
}
