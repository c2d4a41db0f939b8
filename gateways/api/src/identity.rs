//! Who says who somebody is: Discord, or its stand-in, behind an interface. The API knows neither addresses nor secrets of
//! it; the identity is the snowflake, never the e-mail address.

use domain::id::DiscordId;
use futures::future::BoxFuture;

/// An account, as its provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The snowflake.
    pub id: DiscordId,
    /// The account's name.
    pub username: String,
    /// Its e-mail address, if the provider has verified it and the account agreed to give it.
    pub email: Option<String>,
}

/// What goes to the provider with the browser.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// Comes back unchanged.
    pub state: &'a str,
    /// SHA-256 of the verifier, base64url (RFC 7636, S256).
    pub challenge: &'a str,
    /// Where the provider sends the browser.
    pub redirect_uri: &'a str,
}

/// What comes back from it.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The authorization code.
    pub code: &'a str,
    /// What the challenge was made of.
    pub verifier: &'a str,
    /// As it was in the authorization.
    pub redirect_uri: &'a str,
}

/// Why an account could not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The provider does not take the code: it was used, is too old, or was never one.
    #[error("Discord does not take this code")]
    CodeRefused,
    /// The provider does not take this server: its id or its secret is wrong. For the log.
    #[error("Discord does not take this server's client id and secret: {0}")]
    ClientRefused(String),
    /// The provider did not answer, or not in form. For the log.
    #[error("Discord did not answer: {0}")]
    Unavailable(String),
}

/// A provider of identities: OAuth 2 with authorization codes and PKCE.
pub trait Identity: Send + Sync {
    /// `iss` of its answers (RFC 9207).
    fn issuer(&self) -> &str;

    /// Where the browser goes.
    fn authorization_url(&self, authorization: Authorization<'_>) -> String;

    /// Whose code it is. No token of the provider is kept.
    fn account<'a>(&'a self, exchange: Exchange<'a>) -> BoxFuture<'a, Result<Account, IdentityError>>;
}
