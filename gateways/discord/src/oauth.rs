//! Discord's OAuth 2, as far as it takes to learn whose account somebody has: an address for the browser, and an account for
//! the code that comes back. Discord's tokens are used once, given back, and kept nowhere.
//!
//! Sources: Discord's documentation "OAuth2"; RFC 6749 (4.1), RFC 7636 (S256), RFC 7009.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is asked for: who the account is, and its e-mail address.
const SCOPES: &str = "identify email";
/// Everything but the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Longest answer that is read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Where Discord is, and as whom it is asked.
#[derive(Clone)]
pub struct OAuthConfig {
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: String,
    /// Scheme and host of the page to which browsers go; also `iss` of its answers.
    pub oauth_base: String,
    /// Scheme and host of REST.
    pub api_base: String,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// Never shows the secret.
impl std::fmt::Debug for OAuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuthConfig").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// An account, as Discord says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthAccount {
    /// The snowflake.
    pub id: String,
    /// The name.
    pub username: String,
    /// The e-mail address, if Discord has verified it.
    pub email: Option<String>,
}

/// Why no account could be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// Discord does not take the code.
    #[error("Discord does not take the code")]
    CodeRefused,
    /// Discord does not take the application's id and secret.
    #[error("Discord answers {0}")]
    ClientRefused(String),
    /// No answer, or none of the documented form.
    #[error("{0}")]
    Unavailable(String),
}

/// The client. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct OAuth {
    http: reqwest::Client,
    config: OAuthConfig,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

#[derive(Deserialize)]
struct Me {
    id: String,
    username: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    verified: Option<bool>,
}

#[derive(Deserialize, Default)]
struct Problem {
    #[serde(default)]
    error: String,
}

impl OAuth {
    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    /// `Unavailable` if the TLS client cannot be built.
    pub fn new(config: OAuthConfig) -> Result<Self, OAuthError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(config.timeout)
            .user_agent(concat!("DiscordBot (dca-auth, ", env!("CARGO_PKG_VERSION"), ")"))
            .build()
            .map_err(|error| {
                OAuthError::Unavailable(format!("the HTTP client could not be built: {error}"))
            })?;
        Ok(Self { http, config })
    }

    /// `iss` of Discord's answers (RFC 9207).
    pub fn issuer(&self) -> &str {
        &self.config.oauth_base
    }

    /// Where a browser goes to sign in. `challenge` is of the method S256.
    pub fn authorization_url(&self, state: &str, challenge: &str, redirect_uri: &str) -> String {
        let members = [
            ("response_type", "code"),
            ("client_id", &self.config.client_id),
            ("scope", SCOPES),
            ("state", state),
            ("redirect_uri", redirect_uri),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            // Whoever agreed before is not asked again.
            ("prompt", "none"),
        ];
        let encoded = members.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)));
        format!("{}/oauth2/authorize?{}", self.config.oauth_base, encoded.join("&"))
    }

    /// The account of a code.
    ///
    /// # Errors
    /// [`OAuthError`].
    pub async fn account(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
    ) -> Result<OAuthAccount, OAuthError> {
        let token = self.exchange(code, verifier, redirect_uri).await?;
        let me = self.me(&token).await;
        self.give_back(&token).await;
        let Me { id, username, email, verified } = me?;
        let email = email.filter(|_| verified == Some(true));
        Ok(OAuthAccount { id, username, email })
    }

    async fn exchange(&self, code: &str, verifier: &str, redirect_uri: &str) -> Result<String, OAuthError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let response = self.post("token", &form).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(read::<Granted>(response).await?.access_token);
        }
        let problem = read::<Problem>(response).await.unwrap_or_default().error;
        Err(match (status, problem.as_str()) {
            (StatusCode::BAD_REQUEST, "invalid_grant") => OAuthError::CodeRefused,
            (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED, _) => {
                OAuthError::ClientRefused(format!("{status} {problem}"))
            }
            _ => OAuthError::Unavailable(format!("the token endpoint answered {status}")),
        })
    }

    async fn me(&self, token: &str) -> Result<Me, OAuthError> {
        let request = self.http.get(format!("{}/api/v10/users/@me", self.config.api_base)).bearer_auth(token);
        let response = request.send().await.map_err(away)?;
        match response.status() {
            status if status.is_success() => read(response).await,
            status => Err(OAuthError::Unavailable(format!("users/@me answered {status}"))),
        }
    }

    /// A token that nobody needs any more is worth nothing to whoever finds it. It lapses by itself if this fails.
    async fn give_back(&self, token: &str) {
        let form = [("token", token), ("token_type_hint", "access_token")];
        if let Err(error) = self.post("token/revoke", &form).await {
            tracing::info!(%error, "Discord did not take a token back; it lapses by itself");
        }
    }

    async fn post(&self, what: &str, form: &[(&str, &str)]) -> Result<Response, OAuthError> {
        let OAuthConfig { api_base, client_id, client_secret, .. } = &self.config;
        self.http
            .post(format!("{api_base}/api/v10/oauth2/{what}"))
            .basic_auth(client_id, Some(client_secret))
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(
                form.iter()
                    .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)))
                    .collect::<Vec<_>>()
                    .join("&"),
            )
            .send()
            .await
            .map_err(away)
    }
}

/// Without the address, which may hold a code.
fn away(error: reqwest::Error) -> OAuthError {
    OAuthError::Unavailable(error.without_url().to_string())
}

async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, OAuthError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_MAX_BYTES {
            return Err(OAuthError::Unavailable("the answer is longer than any of Discord's".to_owned()));
        }
    }
    // Neither the answer nor what it lacks is shown: it may hold a token.
    serde_json::from_slice(&bytes)
        .map_err(|_| OAuthError::Unavailable("the answer is not of the documented form".to_owned()))
}
