//! Cookies of browsers: names, attributes, and what ties a request to the page that made it. A cookie is a credential that a
//! browser sends by itself, so nothing is changed by one without a token that only a page of this server can read.
//!
//! Sources: RFC 6265bis (prefix `__Host-`), OWASP Cross-Site Request Forgery Prevention Cheat Sheet (signed double submit,
//! Fetch Metadata, Origin).

use axum::http::header::{COOKIE, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use cookie::{Cookie, SameSite};
use data_encoding::BASE64URL_NOPAD;
use domain::ports::{Mac, Purpose};
use domain::time::Span;
use subtle::ConstantTimeEq as _;

use crate::error::{ApiError, Code};
use crate::state::ApiState;

const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CSRF_RANDOM: usize = 16;

/// A cookie of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The access token.
    Access,
    /// The refresh token.
    Refresh,
    /// The token against requests of other pages; the only one that pages can read.
    Csrf,
    /// What ties a sign-in that is under way to the browser.
    SignIn,
}

impl Name {
    const fn bare(self) -> &'static str {
        match self {
            Self::Access => "dca_at",
            Self::Refresh => "dca_rt",
            Self::Csrf => "dca_csrf",
            Self::SignIn => "dca_login",
        }
    }

    /// Its name: a browser takes one with the prefix only over TLS, from this very host, for every path.
    fn of(self, is_secure: bool) -> String {
        format!("{}{}", if is_secure { "__Host-" } else { "" }, self.bare())
    }
}

/// The value of a cookie.
pub(crate) fn read(state: &ApiState, headers: &HeaderMap, name: Name) -> Option<String> {
    let name = name.of(state.is_secure());
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

/// Gives a cookie to the browser; an empty value takes it away.
pub(crate) fn set(state: &ApiState, response: &mut Response, name: Name, value: &str, life: Span) {
    let seconds = if value.is_empty() { 0 } else { life.ms() / 1_000 };
    let cookie = Cookie::build((name.of(state.is_secure()), value.to_owned()))
        .path("/")
        .secure(state.is_secure())
        .http_only(name != Name::Csrf)
        // The way back from Discord begins at another site, and has to bring this one.
        .same_site(if name == Name::Refresh { SameSite::Strict } else { SameSite::Lax })
        .max_age(cookie::time::Duration::seconds(seconds))
        .build();
    // Names and values are made here, of letters, digits, `-`, `_` and `.`.
    if let Ok(value) = HeaderValue::try_from(cookie.to_string()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Takes every cookie of a session away.
pub(crate) fn clear(state: &ApiState, response: &mut Response) {
    for name in [Name::Access, Name::Refresh, Name::Csrf] {
        set(state, response, name, "", Span::seconds(0));
    }
}

/// A token against requests of other pages, for one session: 16 random bytes and their keyed hash with the session.
pub(crate) fn csrf_token(mac: &dyn Mac, session: &str) -> Result<String, ApiError> {
    let mut random = [0; CSRF_RANDOM];
    getrandom::fill(&mut random).map_err(|_| ApiError::unavailable())?;
    let mut bytes = random.to_vec();
    bytes.extend(mac.mac(Purpose::Csrf, &[&random, session.as_bytes()]));
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// Refuses what a page of another site may have made the browser send. `session` is that of the cookie.
pub(crate) fn check_page(
    state: &ApiState,
    method: &Method,
    headers: &HeaderMap,
    session: &str,
) -> Result<(), ApiError> {
    if method.is_safe() {
        return Ok(());
    }
    let word = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let elsewhere = word(&FETCH_SITE).is_some_and(|site| site != "same-origin")
        || word(&ORIGIN).is_some_and(|origin| origin != state.public_url());
    if elsewhere {
        let detail = "A page of another site sent this. Send it from the server's own pages, or with an access token \
                      in `Authorization`.";
        return Err(ApiError::new(Code::CrossSite, detail));
    }
    let sent = word(&CSRF_HEADER).unwrap_or_default();
    let twin = read(state, headers, Name::Csrf).unwrap_or_default();
    if sent == twin && is_csrf_token(state.mac(), sent, session) {
        return Ok(());
    }
    let detail = "A change with cookies needs the value of the cookie `dca_csrf` (`__Host-dca_csrf` over TLS) in the \
                  header `X-CSRF-Token`.";
    Err(ApiError::new(Code::CsrfTokenRequired, detail))
}

fn is_csrf_token(mac: &dyn Mac, text: &str, session: &str) -> bool {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap_or_default();
    let Some((random, tag)) = bytes.split_at_checked(CSRF_RANDOM) else { return false };
    mac.mac(Purpose::Csrf, &[random, session.as_bytes()]).ct_eq(tag).into()
}
