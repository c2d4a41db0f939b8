//! Who asks: the operator, a signed-in person, or an API key. A forged API key is refused by its tag, and one request
//! too many by its count, before anything is looked up. What a principal may do is decided in `access.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use commands::{Held, Rights};
use domain::credential::{self, ApiKeyId, ApiKeyKind, Scope};
use domain::event::Actor;
use domain::guild::{ApiKey, ApiKeyState, StaffRole};
use domain::id::{DiscordId, GuildId, Pseudonym, RoleId, SessionId};
use domain::platform::PlatformRole;
use domain::time::Timestamp;
use projections::GuildFacts;

use super::cookies::{self, Name};
use crate::caller::Caller;
use crate::error::{ApiError, Code};
use crate::rates::Who;
use crate::session;
use crate::state::ApiState;
use crate::token::{self, TokenError};
use crate::version::Version;

/// Header of an API key.
const API_KEY: &str = "x-api-key";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    /// Whoever has the data folder.
    Operator,
    /// A person, signed in.
    User(User),
    /// An API key of a guild.
    Key(Key),
}

/// A person, signed in.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) account: DiscordId,
    pub(crate) id: Pseudonym,
    /// The session; `None` for a token that was made on the command line.
    pub(crate) session: Option<SessionId>,
    /// What he is on the whole platform.
    pub(crate) platform: Option<PlatformRole>,
    /// His ranks, as far as this request has asked for them: what commands of it may rest on.
    found: Found,
}

/// Ranks in guilds. Clones share them.
#[derive(Debug, Clone, Default)]
struct Found(Arc<Mutex<BTreeMap<GuildId, StaffRole>>>);

impl Found {
    fn keep(&self, guild: GuildId, rank: StaffRole) {
        if let Ok(mut ranks) = self.0.lock() {
            ranks.insert(guild, rank);
        }
    }

    fn ranks(&self) -> Vec<(GuildId, StaffRole)> {
        self.0
            .lock()
            .map_or_else(|_| Vec::new(), |ranks| ranks.iter().map(|(guild, rank)| (*guild, *rank)).collect())
    }
}

/// An API key of a guild, checked.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: ApiKeyId,
    pub(crate) kind: ApiKeyKind,
    pub(crate) guild: GuildId,
    scopes: Scopes,
}

/// A set of scopes as bits, because it is asked on the hot path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Scopes(u16);

impl Scopes {
    fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | 1 << *scope as u16))
    }

    const fn has(self, scope: Scope) -> bool {
        self.0 >> scope as u16 & 1 == 1
    }

    fn list(self) -> Vec<Scope> {
        Scope::ALL.into_iter().filter(|scope| self.has(*scope)).collect()
    }
}

impl Key {
    /// Refuses unless the key has this scope.
    pub(crate) fn scope(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.has(scope) {
            return Ok(());
        }
        let remedy = match self.kind {
            ApiKeyKind::Publishable => {
                "publishable keys never have it; use a secret key, from a server of yours"
            }
            ApiKeyKind::Secret => "issue a key that has it",
        };
        let detail = format!("This API key lacks the scope `{}`; {remedy}.", scope.as_str());
        Err(ApiError::new(Code::MissingScope, detail))
    }
}

impl Principal {
    /// Reads the credential of a request, and counts the request.
    pub(crate) async fn of(
        state: &ApiState,
        caller: &Caller,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let (method, headers) = (&parts.method, &parts.headers);
        match presented(headers)? {
            Presented::ApiKey(text) => Key::of(state, caller, parts, text, now).await.map(Self::Key),
            // In boxes of their own: the hot path is an API key's.
            Presented::Token(text) => Box::pin(of_token(state, caller, text, now)).await,
            Presented::Nothing => Box::pin(of_cookie(state, caller, method, headers, now)).await,
        }
    }

    /// The same as he is after this process has heard of more: what was taken from him elsewhere is gone.
    pub(crate) async fn again(
        self,
        state: &ApiState,
        caller: &Caller,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        match self {
            Self::Operator => Ok(Self::Operator),
            Self::User(User { account, id, session, .. }) => {
                User::known(state, account, id, session, now).await.map(Self::User)
            }
            Self::Key(key) => Key::known(state, caller, parts, (key.kind, key.id), now).await.map(Self::Key),
        }
    }

    /// As the cause of events, and as the owner of idempotency keys.
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Operator => Actor::Operator,
            Self::User(user) => Actor::User(user.id.clone()),
            Self::Key(key) => Actor::ApiKey(key.id),
        }
    }

    /// What commands of this request may do. A rank that no access check has looked for is not in it.
    pub(crate) fn rights(&self) -> Rights {
        match self {
            Self::Operator => Rights::Everything,
            Self::User(user) => Rights::Held(Held {
                account: Some(user.id.clone()),
                platform: user.platform,
                ranks: user.found.ranks(),
                key: None,
            }),
            Self::Key(key) => {
                Rights::Held(Held { key: Some((key.guild, key.scopes.list())), ..Held::default() })
            }
        }
    }

    /// The key, where nothing but an API key will do.
    pub(crate) fn key(&self, scope: Scope) -> Result<&Key, ApiError> {
        match self {
            Self::Key(key) => key.scope(scope).map(|()| key),
            Self::Operator | Self::User(_) => Err(ApiError::new(
                Code::Forbidden,
                "This address takes an API key of the guild, not an access token.",
            )),
        }
    }

    /// The person, where nothing but a signed-in person will do.
    pub(crate) fn user(&self) -> Result<&User, ApiError> {
        match self {
            Self::User(user) => Ok(user),
            Self::Operator | Self::Key(_) => Err(ApiError::new(
                Code::Forbidden,
                "This is for a signed-in person: send that person's access token.",
            )),
        }
    }

    /// The operator, and nobody else.
    pub(crate) fn operator(&self) -> Result<(), ApiError> {
        match self {
            Self::Operator => Ok(()),
            Self::User(_) | Self::Key(_) => {
                let detail = "This is for the operator: use a token of `dca-auth admin token`.";
                Err(ApiError::new(Code::Forbidden, detail))
            }
        }
    }
}

impl User {
    /// A person whose token was checked, if his session is open.
    async fn known(
        state: &ApiState,
        account: DiscordId,
        id: Pseudonym,
        session: Option<SessionId>,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        if let Some(session) = session {
            session::open(state, session, now).await?;
        }
        let platform = state.queries().platform_role(&id).await?;
        Ok(Self { account, id, session, platform, found: Found::default() })
    }

    /// The rank in a guild, by the guild or by a platform role; `None` is no staff at all.
    pub(crate) async fn rank(
        &self,
        state: &ApiState,
        guild: &GuildFacts,
    ) -> Result<Option<StaffRole>, ApiError> {
        let by_platform = self.platform.map(PlatformRole::rank);
        let rank = self.own_rank(state, guild).await?.max(by_platform);
        if let Some((guild, rank)) = guild.guild.id.zip(rank) {
            self.found.keep(guild, rank);
        }
        Ok(rank)
    }

    /// The rank that the guild itself gives.
    pub(crate) async fn own_rank(
        &self,
        state: &ApiState,
        guild: &GuildFacts,
    ) -> Result<Option<StaffRole>, ApiError> {
        let Some(id) = guild.guild.id else { return Ok(None) };
        let member = state.queries().member(id, &self.id).await?;
        let nothing = BTreeSet::new();
        let roles = member
            .as_ref()
            .filter(|facts| facts.member.present)
            .map_or(&nothing, |facts| &facts.member.roles);
        Ok(guild.guild.rank_of(&self.id, roles))
    }
}

impl User {
    /// Whether a platform role gives him `rank` in every guild.
    pub(crate) fn is_everywhere(&self, rank: StaffRole) -> bool {
        self.platform.is_some_and(|role| role.rank() >= rank)
    }

    /// The guilds that give him `rank` or a higher one.
    pub(crate) async fn guilds(&self, state: &ApiState, rank: StaffRole) -> Result<Vec<GuildId>, ApiError> {
        let memberships = state.queries().memberships(&self.id).await?;
        let present = memberships.into_iter().filter(|facts| facts.member.present);
        let roles: HashMap<GuildId, BTreeSet<RoleId>> =
            present.filter_map(|facts| Some((facts.member.guild?, facts.member.roles))).collect();
        let nothing = BTreeSet::new();
        let ranked = |facts: GuildFacts| {
            let id = facts.guild.id?;
            let has = facts.guild.rank_of(&self.id, roles.get(&id).unwrap_or(&nothing));
            (has >= Some(rank)).then_some(id)
        };
        Ok(state.queries().guilds().await?.into_iter().filter_map(ranked).collect())
    }
}

enum Presented<'a> {
    ApiKey(&'a str),
    Token(&'a str),
    /// Perhaps a cookie.
    Nothing,
}

/// The one credential of a request.
fn presented(headers: &HeaderMap) -> Result<Presented<'_>, ApiError> {
    let key = headers.get(API_KEY);
    let bearer = headers.get(AUTHORIZATION);
    let value = match (key, bearer) {
        (Some(_), Some(_)) => {
            let detail = "stands beside `Authorization`; send one credential";
            return Err(ApiError::invalid("X-API-Key", "DUPLICATE_MEMBER", detail));
        }
        (Some(key), None) => return Ok(Presented::ApiKey(key.to_str().map_err(|_| not_ours())?)),
        (None, Some(value)) => value.to_str().map_err(|_| not_ours())?,
        (None, None) => return Ok(Presented::Nothing),
    };
    let text = match value.split_once(' ') {
        Some((scheme, text)) if scheme.eq_ignore_ascii_case("bearer") => text.trim(),
        _ => {
            let detail = "`Authorization` takes the scheme `Bearer` only.";
            return Err(ApiError::new(Code::InvalidCredential, detail));
        }
    };
    Ok(if text.starts_with("dca_") { Presented::ApiKey(text) } else { Presented::Token(text) })
}

fn not_ours() -> ApiError {
    let detail =
        "The credential is none of this server's, or it was revoked. Check that it was copied whole.";
    ApiError::new(Code::InvalidCredential, detail)
}

/// The access token that a browser keeps. It is looked at only where no other credential is.
async fn of_cookie(
    state: &ApiState,
    caller: &Caller,
    method: &Method,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Principal, ApiError> {
    let text = cookies::read(state, headers, Name::Access).ok_or_else(|| {
        let detail = "Send an API key as `X-API-Key`, or an access token as `Authorization: Bearer …`.";
        ApiError::new(Code::CredentialRequired, detail)
    })?;
    let principal = of_token(state, caller, &text, now).await?;
    match &principal {
        Principal::User(User { session: Some(session), .. }) => {
            cookies::check_page(state, method, headers, &session.to_string())?;
            Ok(principal)
        }
        // No sign-in puts another token into a cookie.
        _ => Err(not_ours()),
    }
}

async fn of_token(
    state: &ApiState,
    caller: &Caller,
    text: &str,
    now: Timestamp,
) -> Result<Principal, ApiError> {
    let claims = state.tokens().verify(text, now).map_err(|error| match error {
        TokenError::Invalid => not_ours(),
        TokenError::Expired => ApiError::new(
            Code::CredentialExpired,
            "The access token has expired; refresh it or sign in again.",
        ),
    })?;
    if claims.sub == token::OPERATOR {
        caller.admit(state, Who::Operator)?;
        return Ok(Principal::Operator);
    }
    let account: DiscordId = claims.sub.parse().map_err(|_| not_ours())?;
    caller.admit(state, Who::User(account))?;
    let session = match claims.sid.as_str() {
        token::LOCAL => None,
        sid => Some(sid.parse().map_err(|_| not_ours())?),
    };
    let id = Pseudonym::of(state.mac(), account);
    User::known(state, account, id, session, now).await.map(Principal::User)
}

impl Key {
    async fn of(
        state: &ApiState,
        caller: &Caller,
        parts: &Parts,
        text: &str,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let (kind, id) = credential::open(state.mac(), text).ok_or_else(not_ours)?;
        caller.admit(state, Who::key(kind, id, caller.address()))?;
        Self::known(state, caller, parts, (kind, id), now).await
    }

    /// A key whose tag was checked, if its guild has it.
    async fn known(
        state: &ApiState,
        caller: &Caller,
        parts: &Parts,
        (kind, id): (ApiKeyKind, ApiKeyId),
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let guild = id.guild();
        let facts: Option<Arc<GuildFacts>> = state.queries().guild(guild).await?;
        if facts.as_ref().is_some_and(|facts| facts.guild.settings.sign_answers) {
            caller.sign_unasked(parts);
        }
        if let Some(key) = facts.as_ref().and_then(|facts| facts.guild.api_key(id)) {
            return Self::checked(key, kind, caller, now);
        }
        // The tag proves that we made the key, so the read model may only not have it yet: the log decides.
        let from_log = Box::pin(state.commands().load_guild(guild)).await?;
        if from_log.settings.sign_answers {
            caller.sign_unasked(parts);
        }
        let unknown = || not_ours().about_key(id);
        from_log.api_key(id).ok_or_else(unknown).and_then(|key| Self::checked(key, kind, caller, now))
    }

    fn checked(key: &ApiKey, kind: ApiKeyKind, caller: &Caller, now: Timestamp) -> Result<Self, ApiError> {
        if key.kind != kind {
            return Err(not_ours());
        }
        match key.usable_at(now) {
            Ok(()) => {
                caller.pin(Version::of_key(key.version));
                Ok(Self { id: key.id, kind, guild: key.id.guild(), scopes: Scopes::of(&key.scopes) })
            }
            Err(ApiKeyState::Revoked) => Err(not_ours().about_key(key.id)),
            Err(ApiKeyState::Expired) => {
                let detail = "This API key has expired; issue a new one.";
                Err(ApiError::new(Code::CredentialExpired, detail).about_key(key.id))
            }
        }
    }
}

impl FromRequestParts<ApiState> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::in_parts(&parts.extensions)?;
        Self::of(state, caller, parts, state.now()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn one_credential_is_taken_from_either_header() {
        assert!(matches!(
            presented(&headers(&[("x-api-key", "dca_sec_1")])),
            Ok(Presented::ApiKey("dca_sec_1"))
        ));
        assert!(matches!(
            presented(&headers(&[("authorization", "bearer dca_pub_1")])),
            Ok(Presented::ApiKey("dca_pub_1"))
        ));
        assert!(matches!(
            presented(&headers(&[("authorization", "Bearer a.b.c")])),
            Ok(Presented::Token("a.b.c"))
        ));
        let code = |pairs: &[_]| presented(&headers(pairs)).err().map(|error| error.code().to_owned());
        assert!(matches!(presented(&headers(&[])), Ok(Presented::Nothing)));
        assert_eq!(code(&[("authorization", "Basic x")]).as_deref(), Some("INVALID_CREDENTIAL"));
        assert_eq!(
            code(&[("x-api-key", "a"), ("authorization", "Bearer b")]).as_deref(),
            Some("INVALID_REQUEST")
        );
    }

    #[test]
    fn scopes_are_a_set() {
        let scopes = Scopes::of(&[Scope::Validate, Scope::WebhooksWrite]);
        for scope in Scope::ALL {
            assert_eq!(scopes.has(scope), matches!(scope, Scope::Validate | Scope::WebhooksWrite));
        }
    }
}
