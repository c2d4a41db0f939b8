//! `/auth/discord`: from nobody to a session, by way of Discord. A sign-in is tied to the browser (a cookie) or the program
//! (a login token) that began it, works once, and for ten minutes. Nothing secret of it is stored: what Discord asks to be
//! proved (PKCE) and the name of the row are computed from what comes back.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use axum::{Extension, http};
use commands::{CommandError, Context, SessionOrder};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use domain::event::Actor;
use domain::id::{Pseudonym, SessionId};
use domain::ports::{Mac, Purpose};
use domain::session::Surface;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::stamp;
use crate::error::{ApiError, Code};
use crate::extract::checks::TOKEN_MAX;
use crate::extract::cookies::{self, Name};
use crate::extract::query::Query;
use crate::extract::{body, checks};
use crate::frame::RequestId;
use crate::identity::{Account, Authorization, Exchange, Identity, IdentityError};
use crate::openapi::types as doc;
use crate::render::json;
use crate::session::{self, Tokens};
use crate::state::ApiState;

/// Where a sign-in begins.
pub(crate) const BEGIN: &str = "/auth/discord";
/// Where Discord sends browsers.
pub(crate) const CALLBACK: &str = "/auth/discord/callback";
/// Where a browser goes once it is signed in.
const HOME: &str = "/app/";
/// Longest code and state that are looked at.
const WORD_MAX: usize = 512;
/// What is kept of a `User-Agent`.
const CLIENT_MAX_CHARS: usize = 200;

/// A sign-in that is under way: what went with the browser, and what stayed. A claim of the platform's ownership stays, too,
/// behind a dot in the binding: Discord never sees it, and no other sign-in can take it over, because the binding as a whole
/// names the row.
struct Attempt {
    state: String,
    binding: String,
}

/// Between the random part of a binding and a claim.
const CLAIM: char = '.';

impl Attempt {
    /// A new one, by the link with `claim` if that is good now.
    async fn new(state: &ApiState, claim: Option<&str>) -> Result<Self, ApiError> {
        provider(state)?;
        let mut attempt = Self::random()?;
        if let Some(claim) = claim {
            state.commands().open_claim(claim).await?;
            attempt.binding.push(CLAIM);
            attempt.binding.push_str(claim);
        }
        Ok(attempt)
    }

    /// The claim that it was begun with.
    fn claim(&self) -> Option<&str> {
        self.binding.split_once(CLAIM).map(|(_, claim)| claim)
    }

    fn random() -> Result<Self, ApiError> {
        let random = || {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|_| ApiError::unavailable())?;
            Ok::<_, ApiError>(BASE64URL_NOPAD.encode(&bytes))
        };
        Ok(Self { state: random()?, binding: random()? })
    }

    fn mac(&self, mac: &dyn Mac, what: &[u8]) -> [u8; 32] {
        mac.mac(Purpose::SignIn, &[what, b"\x1f", self.state.as_bytes(), b"\x1f", self.binding.as_bytes()])
    }

    /// RFC 7636: 43 characters that only this server can compute, and only with both halves.
    fn verifier(&self, mac: &dyn Mac) -> String {
        BASE64URL_NOPAD.encode(&self.mac(mac, b"verifier"))
    }

    /// Its name in the store.
    fn row(&self, mac: &dyn Mac) -> String {
        HEXLOWER.encode(&self.mac(mac, b"row"))
    }

    /// Begins it; where the browser goes.
    async fn begin(&self, state: &ApiState) -> Result<String, ApiError> {
        let provider = provider(state)?;
        let until = state.now().after(state.sessions().sign_in);
        state.queries().refreshes().sign_in_begun(&self.row(state.mac()), until).await?;
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(self.verifier(state.mac())));
        let redirect_uri = redirect_uri(state);
        Ok(provider.authorization_url(Authorization {
            state: &self.state,
            challenge: &challenge,
            redirect_uri: &redirect_uri,
        }))
    }

    /// Ends it with what came back; whose account it is.
    async fn finish(&self, state: &ApiState, answer: &Answer) -> Result<Account, ApiError> {
        let provider = provider(state)?;
        if !state.queries().refreshes().sign_in_taken(&self.row(state.mac()), state.now()).await? {
            return Err(mismatch());
        }
        // A server that answers in the place of Discord would get Discord's code (RFC 9207).
        if !bool::from(answer.issuer.as_bytes().ct_eq(provider.issuer().as_bytes())) {
            let detail = "The answer does not come from Discord (`iss`). Begin again at /auth/discord.";
            return Err(ApiError::new(Code::SignInRefused, detail));
        }
        if let Some(error) = &answer.error {
            let detail = match error.as_str() {
                "access_denied" => {
                    "Discord says that the sign-in was cancelled. Begin again at /auth/discord."
                }
                _ => "Discord refused the sign-in. Begin again at /auth/discord.",
            };
            return Err(ApiError::new(Code::SignInRefused, detail));
        }
        let (verifier, redirect_uri) = (self.verifier(state.mac()), redirect_uri(state));
        let exchange = Exchange { code: &answer.code, verifier: &verifier, redirect_uri: &redirect_uri };
        provider.account(exchange).await.map_err(refused)
    }
}

/// What comes back from Discord beside the state.
struct Answer {
    code: String,
    issuer: String,
    error: Option<String>,
}

fn provider(state: &ApiState) -> Result<&dyn Identity, ApiError> {
    state.identity().ok_or_else(|| {
        let detail = "Nobody can sign in: this server has no Discord application. Set DISCORD_CLIENT_ID and \
                      DISCORD_CLIENT_SECRET (discord.client_id, discord.client_secret) and start it again.";
        ApiError::new(Code::SignInOff, detail)
    })
}

fn redirect_uri(state: &ApiState) -> String {
    format!("{}{CALLBACK}", state.public_url())
}

fn mismatch() -> ApiError {
    let detail = "This sign-in was not begun here, is over, or was used: it works once, for ten minutes, in the browser or \
                  program that began it. Begin again at /auth/discord.";
    ApiError::new(Code::StateMismatch, detail)
}

fn refused(error: IdentityError) -> ApiError {
    match error {
        IdentityError::CodeRefused => {
            let detail =
                "Discord does not take this code: it was used, or is too old. Begin again at /auth/discord.";
            ApiError::new(Code::SignInRefused, detail)
        }
        IdentityError::ClientRefused(why) => {
            tracing::error!(why, "Discord does not take this server's client id and secret: check them");
            let detail = "Discord does not take this server; its operator finds the reason in the log.";
            ApiError::new(Code::SignInOff, detail)
        }
        IdentityError::Unavailable(why) => {
            tracing::warn!(why, "Discord did not answer a sign-in");
            ApiError::new(Code::Unavailable, "Discord does not answer at the moment; sign in again.")
                .retry_after(5)
        }
    }
}

/// Keeps what Discord says of an account. Whoever was erased begins anew: it is he who came.
async fn keep_profile(
    state: &ApiState,
    account: &Account,
    context: impl Fn() -> Context,
) -> Result<(), ApiError> {
    let commands = state.commands();
    let change = || {
        let (username, email) = (Some(account.username.clone()), account.email.clone());
        let context = context();
        async move { commands.change_profile(&context, account.id, username, email).await }
    };
    match change().await {
        Err(CommandError::Refused(refused)) if refused.code == "USER_ERASED" => {
            commands.welcome_back(&context(), account.id).await?;
            change().await?;
        }
        done => drop(done?),
    }
    Ok(())
}

/// Makes the session of an account whom Discord named. With a claim it owns the platform first, or there is no session.
async fn signed_in(
    state: &ApiState,
    account: Account,
    claim: Option<&str>,
    surface: Surface,
    headers: &HeaderMap,
    request_id: String,
) -> Result<(Tokens, i64), ApiError> {
    let now = state.now();
    let person = Pseudonym::of(state.mac(), account.id);
    let context = || session::context(Actor::User(person.clone()), request_id.clone(), now);
    let known = state.queries().user(&person).await?;
    let same = known.is_some_and(|facts| {
        facts.username.as_deref() == Some(&account.username) && facts.email == account.email
    });
    if !same {
        keep_profile(state, &account, context).await?;
    }
    if let Some(claim) = claim {
        let number = state.commands().open_claim(claim).await?;
        state.commands().claim_platform(&context(), account.id, number).await?;
        tracing::info!("the platform has an owner: the printed sign-in link was used");
    }
    let id = SessionId(Uuid::new_v4());
    let until = now.after(state.sessions().life);
    state.queries().refreshes().begin(id, now).await?;
    let client = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    let client = client.map(|text| text.chars().take(CLIENT_MAX_CHARS).collect());
    let order = SessionOrder { id, user: account.id, surface, client, until };
    let started = state.commands().start_session(&context(), order).await?;
    let position = started.position.unwrap_or_else(|| state.queries().head());
    Ok((Tokens::new(state, account.id, id, 0, until, now), position))
}

/// Sends a browser to Discord.
#[utoipa::path(
    get,
    path = "/auth/discord",
    operation_id = "auth_begin_browser",
    tag = "Sign-in",
    params(("claim" = Option<doc::Word>, Query)),
    responses((status = 303)),
    security(()),
)]
pub(crate) async fn browser(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = Query::of(&uri, &["claim"])?;
    // Under another name of this machine the cookie would not be there when Discord sends the browser back. (What a proxy
    // calls this server is its own matter.)
    let host = headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    if !state.is_secure() && state.public_url().strip_prefix("http://") != host {
        provider(&state)?;
        let claim = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return see(&format!("{}{BEGIN}{claim}", state.public_url()));
    }
    let attempt = Attempt::new(&state, query.text("claim")).await?;
    let mut response = see(&attempt.begin(&state).await?)?;
    cookies::set(&state, &mut response, Name::SignIn, &attempt.binding, state.sessions().sign_in);
    Ok(response)
}

/// Takes a browser that comes back from Discord.
#[utoipa::path(
    get,
    path = "/auth/discord/callback",
    operation_id = "auth_return_browser",
    tag = "Sign-in",
    params(doc::FromDiscord),
    responses((status = 303)),
    security(()),
)]
pub(crate) async fn callback(
    State(state): State<ApiState>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let known = ["code", "state", "iss", "error", "error_description"];
    let query = Query::of(&uri, &known)?;
    let word = |name: &str| query.text(name).unwrap_or_default().to_owned();
    let binding = cookies::read(&state, &headers, Name::SignIn).ok_or_else(mismatch)?;
    let attempt = Attempt { state: word("state"), binding };
    let error = query.text("error").map(str::to_owned);
    let answer = Answer { code: word("code"), issuer: word("iss"), error };
    let account = attempt.finish(&state, &answer).await?;
    let request_id = request_id.text().to_owned();
    let claim = attempt.claim();
    let (tokens, position) =
        signed_in(&state, account, claim, Surface::Browser, &headers, request_id).await?;
    let mut response = see(HOME)?;
    stamp(&state, &mut response, None, position);
    tokens.in_cookies(&state, &mut response)?;
    cookies::set(&state, &mut response, Name::SignIn, "", state.sessions().sign_in);
    Ok(response)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SignInRequest)]
struct Begin {
    /// Of a printed sign-in link.
    #[serde(default)]
    #[schema(value_type = Option<doc::Word>)]
    claim: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignInBegun)]
struct Begun {
    authorization_url: String,
    state: String,
    login_token: String,
    /// Seconds.
    expires_in: i64,
}

/// Begins the sign-in of a program without cookies, which keeps the login token to itself.
#[utoipa::path(
    post,
    path = "/auth/discord",
    operation_id = "auth_begin",
    tag = "Sign-in",
    request_body = Begin,
    responses((status = 200, body = Begun)),
    security(()),
)]
pub(crate) async fn program(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (_, bytes) = body::sent(&state, request).await?;
    let begin: Begin = body::parse(&bytes)?;
    if let Some(claim) = &begin.claim {
        checks::characters("/claim", claim, 1, TOKEN_MAX)?;
    }
    let attempt = Attempt::new(&state, begin.claim.as_deref()).await?;
    let authorization_url = attempt.begin(&state).await?;
    let expires_in = state.sessions().sign_in.ms() / 1_000;
    let Attempt { state, binding: login_token } = attempt;
    Ok(json(StatusCode::OK, &Begun { authorization_url, state, login_token, expires_in }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SignInReturn)]
struct Returned {
    #[schema(value_type = doc::Token)]
    code: String,
    #[schema(value_type = doc::Token)]
    state: String,
    #[schema(value_type = doc::Token)]
    login_token: String,
    #[schema(value_type = doc::Token)]
    iss: String,
}

/// Takes what came back from Discord to a program, and gives it its tokens.
#[utoipa::path(
    post,
    path = "/auth/callback",
    operation_id = "auth_return",
    tag = "Sign-in",
    request_body = Returned,
    responses((status = 200, body = Tokens)),
    security(()),
)]
pub(crate) async fn exchange(
    State(state): State<ApiState>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, bytes) = body::sent(&state, request).await?;
    let returned: Returned = body::parse(&bytes)?;
    for (pointer, text) in [
        ("/code", &returned.code),
        ("/state", &returned.state),
        ("/loginToken", &returned.login_token),
        ("/iss", &returned.iss),
    ] {
        checks::characters(pointer, text, 1, WORD_MAX)?;
    }
    let attempt = Attempt { state: returned.state, binding: returned.login_token };
    let answer = Answer { code: returned.code, issuer: returned.iss, error: None };
    let account = attempt.finish(&state, &answer).await?;
    let request_id = request_id.text().to_owned();
    let claim = attempt.claim();
    let (tokens, position) =
        signed_in(&state, account, claim, Surface::Client, &parts.headers, request_id).await?;
    let mut response = tokens.in_body();
    stamp(&state, &mut response, None, position);
    Ok(response)
}

/// The address at which whoever comes first owns the platform; `None` while it has an owner, or nobody can sign in.
///
/// # Errors
/// If the log does not answer.
pub async fn sign_in_link(state: &ApiState) -> Result<Option<String>, CommandError> {
    if state.identity().is_none() {
        return Ok(None);
    }
    let claim = state.commands().platform_claim().await?;
    Ok(claim.map(|claim| format!("{}{BEGIN}?claim={claim}", state.public_url())))
}

/// 303: the browser goes there.
fn see(place: &str) -> Result<Response, ApiError> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let place = HeaderValue::try_from(place).map_err(|_| ApiError::internal())?;
    response.headers_mut().insert(LOCATION, place);
    Ok(response)
}
