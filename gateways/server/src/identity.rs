//! Discord as the API's provider of identities: the one place where the two meet.

use api::{Account, Authorization, Exchange, Identity, IdentityError};
use discord::{OAuth, OAuthConfig, OAuthError};
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// Discord, or its stand-in.
pub(crate) struct DiscordIdentity(OAuth);

impl DiscordIdentity {
    /// Discord as configured.
    ///
    /// # Errors
    /// If its client cannot be built.
    pub(crate) fn new(config: OAuthConfig) -> Result<Self, OAuthError> {
        OAuth::new(config).map(Self)
    }
}

impl Identity for DiscordIdentity {
    fn issuer(&self) -> &str {
        self.0.issuer()
    }

    fn authorization_url(&self, asked: Authorization<'_>) -> String {
        self.0.authorization_url(asked.state, asked.challenge, asked.redirect_uri)
    }

    fn account<'a>(&'a self, exchange: Exchange<'a>) -> BoxFuture<'a, Result<Account, IdentityError>> {
        async move {
            let Exchange { code, verifier, redirect_uri } = exchange;
            let account =
                self.0.account(code, verifier, redirect_uri).await.map_err(|error| match error {
                    OAuthError::CodeRefused => IdentityError::CodeRefused,
                    OAuthError::ClientRefused(why) => IdentityError::ClientRefused(why),
                    OAuthError::Unavailable(why) => IdentityError::Unavailable(why),
                })?;
            let id = account.id.parse().map_err(|_| {
                IdentityError::Unavailable("the account's id is none of Discord's".to_owned())
            })?;
            Ok(Account { id, username: account.username, email: account.email })
        }
        .boxed()
    }
}
