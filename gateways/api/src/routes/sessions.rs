//! `/auth/…` once somebody is signed in: refresh, sign out, who am I, the sessions of a person. And the keys that prove access
//! tokens, for programs that look at one themselves.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use commands::signer::{KeySet, SigningPurpose};
use domain::id::{GuildId, SessionId};
use domain::session::{How, Surface, token};
use projections::SessionFacts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::{ApiError, Code};
use crate::extract::cookies::{self, Name};
use crate::extract::path::PathIds;
use crate::extract::principal::User;
use crate::extract::query::Query;
use crate::extract::read::Read;
use crate::extract::write::Write;
use crate::extract::{body, checks};
use crate::frame::RequestId;
use crate::openapi::types as doc;
use crate::render::instant::Instant;
use crate::render::user::UserBody;
use crate::render::{List, json};
use crate::session;
use crate::session::Tokens;
use crate::state::ApiState;

/// Longest refresh token that is looked at.
const TOKEN_MAX: usize = 512;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RefreshRequest)]
struct Refresh {
    #[serde(default)]
    #[schema(value_type = Option<doc::Token>)]
    refresh_token: Option<String>,
}

/// Gives new tokens.
///
/// With the token in the body, or in the cookie of a browser; the answer has it where it was.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    operation_id = "auth_refresh",
    tag = "Sign-in",
    request_body = Refresh,
    responses((status = 200, body = Tokens), (status = 204)),
    security(("refreshCookie" = []), ()),
)]
pub(crate) async fn refresh(
    State(state): State<ApiState>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, bytes) = body::sent(&state, request).await?;
    let (now, request_id) = (state.now(), request_id.text().to_owned());
    if let Some(text) = body::parse::<Refresh>(&bytes)?.refresh_token {
        checks::characters("/refreshToken", &text, 1, TOKEN_MAX)?;
        return Ok(session::refresh(&state, &text, Surface::Client, request_id, now).await?.in_body());
    }
    let text = cookies::read(&state, &parts.headers, Name::Refresh).ok_or_else(|| {
        let detail = "Send `refreshToken` in the body, or the cookie of a sign-in.";
        ApiError::new(Code::CredentialRequired, detail)
    })?;
    let named = token::open(state.mac(), &text).map(|(id, _)| id.to_string()).unwrap_or_default();
    cookies::check_page(&state, &parts.method, &parts.headers, &named)?;
    let tokens = session::refresh(&state, &text, Surface::Browser, request_id, now).await?;
    let mut response = done();
    tokens.in_cookies(&state, &mut response)?;
    Ok(response)
}

/// Ends the session of the credential.
///
/// The next request with any of its tokens is refused.
#[utoipa::path(
    post,
    path = "/auth/logout",
    operation_id = "auth_logout",
    tag = "Sign-in",
    responses((status = 204)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn logout(write: Write) -> Result<Response, ApiError> {
    write.is_empty()?;
    let id = own(write.principal.user()?)?;
    let mut response = end(&write, id, How::SignedOut).await?;
    cookies::clear(&write.state, &mut response);
    Ok(response)
}

async fn end(write: &Write, id: SessionId, how: How) -> Result<Response, ApiError> {
    let ended = write.state.commands().end_session(&write.context(None, None), id, how).await?;
    let mut response = done();
    let position = ended.position.unwrap_or_else(|| write.state.queries().head());
    stamp(&write.state, &mut response, None, position);
    Ok(response)
}

/// The session that somebody came in with.
fn own(user: &User) -> Result<SessionId, ApiError> {
    user.session.ok_or_else(|| {
        let detail = "This access token was made on the command line and has no session.";
        ApiError::new(Code::Forbidden, detail)
    })
}

fn done() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Me {
    user: UserBody,
    session: Option<SessionBody>,
    guilds: Vec<Staffed>,
}

/// A guild in which somebody is staff.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StaffedGuild)]
struct Staffed {
    #[schema(value_type = doc::Snowflake)]
    id: GuildId,
    name: String,
    #[schema(value_type = doc::StaffRole)]
    role: &'static str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
struct SessionBody {
    #[schema(value_type = doc::SessionId)]
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    #[schema(value_type = doc::Surface)]
    surface: Surface,
    /// What the program said that it is.
    client: Option<String>,
    #[schema(value_type = doc::Time)]
    started_at: Instant,
    #[schema(value_type = Option<doc::Time>)]
    last_used_at: Option<Instant>,
    #[schema(value_type = doc::Time)]
    expires_at: Instant,
}

/// Shows the person, the session, and the guilds in which the person is staff.
#[utoipa::path(
    get,
    path = "/auth/me",
    operation_id = "auth_me",
    tag = "Sign-in",
    responses((status = 200, body = Me)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn me(read: Read) -> Result<Response, ApiError> {
    read.query(&[])?;
    let user = read.principal.user()?;
    let facts = read.state.queries().user(&user.id).await?.ok_or_else(|| ApiError::not_found("user"))?;
    let mut guilds = Vec::new();
    for facts in read.state.queries().guilds().await? {
        let rank = user.own_rank(&read.state, &facts).await?;
        if let Some((rank, id)) = rank.zip(facts.guild.id) {
            guilds.push(Staffed { id, name: facts.guild.name.clone(), role: rank.as_str() });
        }
    }
    let session = match user.session {
        Some(id) => {
            bodies(&read, vec![session::open(&read.state, id, read.now).await?.as_ref().clone()]).await?.pop()
        }
        None => None,
    };
    let shown = facts.discord_id.clone().unwrap_or_else(|| "erased".to_owned());
    let body = UserBody::new(&facts.user, user.platform, shown, facts.username.clone(), facts.email.clone());
    Ok(json(StatusCode::OK, &Me { user: body, session, guilds }))
}

/// Lists the open sessions of the person, the newest first.
#[utoipa::path(
    get,
    path = "/auth/sessions",
    operation_id = "sessions_list",
    tag = "Sign-in",
    responses((status = 200, body = List<SessionBody>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn list(read: Read) -> Result<Response, ApiError> {
    read.query(&[])?;
    let user = read.principal.user()?;
    let sessions = read.state.queries().sessions_of(&user.id, read.now).await?;
    Ok(json(StatusCode::OK, &List::whole(bodies(&read, sessions).await?)))
}

async fn bodies(read: &Read, sessions: Vec<SessionFacts>) -> Result<Vec<SessionBody>, ApiError> {
    let current = read.principal.user()?.session;
    let ids: Vec<SessionId> = sessions.iter().map(|facts| facts.session.id).collect();
    let used = read.state.queries().refreshes().used(&ids).await?;
    let last_used = |id| used.iter().find(|(other, _)| *other == id).map(|(_, at)| (*at).into());
    let body = |facts: SessionFacts| SessionBody {
        id: facts.session.id,
        current: current == Some(facts.session.id),
        surface: facts.session.surface,
        client: facts.client,
        started_at: facts.session.started_at.into(),
        last_used_at: last_used(facts.session.id),
        expires_at: facts.session.until.into(),
    };
    Ok(sessions.into_iter().map(body).collect())
}

/// Ends one of the person's sessions.
#[utoipa::path(
    delete,
    path = "/auth/sessions/{id}",
    operation_id = "sessions_end",
    tag = "Sign-in",
    responses((status = 204)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn delete(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.is_empty()?;
    let user = write.principal.user()?;
    let id: SessionId = ids.id("id", "session")?;
    let facts = write.state.queries().session(id).await?;
    let own = facts.filter(|facts| facts.session.person.as_ref().is_some_and(|person| person.id == user.id));
    if own.is_none() {
        return Err(ApiError::not_found("session"));
    }
    let how = if user.session == Some(id) { How::SignedOut } else { How::EndedElsewhere };
    let mut response = end(&write, id, how).await?;
    if how == How::SignedOut {
        cookies::clear(&write.state, &mut response);
    }
    Ok(response)
}

/// Shows the public keys of access tokens (RFC 7517, RFC 8037).
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "auth_keys",
    tag = "Sign-in",
    responses((status = 200, body = doc::KeySet)),
    security(()),
)]
pub(crate) async fn jwks(State(state): State<ApiState>, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(json(StatusCode::OK, &KeySet::of(state.commands().ring(), SigningPurpose::AccessTokens)))
}
