//! Sessions as the API gives them out: the pair of tokens, in cookies or in a body, and how a session goes on. What a session
//! is, `domain` says; who may have one, the provider of identities.

use axum::http::StatusCode;
use axum::response::Response;
use commands::{Context, Rights};
use domain::event::Actor;
use domain::id::{DiscordId, Pseudonym, SessionId};
use domain::session::{How, Surface, token as refresh_token};
use domain::time::{Span, Timestamp};
use projections::{RefreshRules, Refreshed, SessionFacts};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{ApiError, Code};
use crate::extract::cookies::{self, Name};
use crate::extract::write::Write;
use crate::render::json;
use crate::state::ApiState;
use crate::token::{self, LIFETIME};

/// How sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRules {
    /// A session is over after this in any case.
    pub life: Span,
    /// How refresh tokens follow each other.
    pub refresh: RefreshRules,
    /// How long a sign-in may take.
    pub sign_in: Span,
}

impl Default for SessionRules {
    fn default() -> Self {
        let refresh = RefreshRules { grace: Span::seconds(10), idle: Span::seconds(7 * 86_400) };
        Self { life: Span::seconds(30 * 86_400), refresh, sign_in: Span::seconds(600) }
    }
}

/// The tokens of a session at one moment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    /// Seconds that the access token works.
    expires_in: i64,
    #[serde(skip)]
    session: SessionId,
    #[serde(skip)]
    until: Timestamp,
    #[serde(skip)]
    now: Timestamp,
}

impl Tokens {
    pub(crate) fn new(
        state: &ApiState,
        account: DiscordId,
        session: SessionId,
        generation: u32,
        until: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            access_token: token::mint_for(state.tokens(), account, session, now),
            refresh_token: refresh_token::render(state.mac(), session, generation),
            token_type: "Bearer",
            expires_in: LIFETIME.ms() / 1_000,
            session,
            until,
            now,
        }
    }

    /// The answer to a program.
    pub(crate) fn in_body(&self) -> Response {
        json(StatusCode::OK, self)
    }

    /// Puts them into cookies of `response`.
    pub(crate) fn in_cookies(&self, state: &ApiState, response: &mut Response) -> Result<(), ApiError> {
        let left = Span((self.until.ms() - self.now.ms()).max(0));
        let csrf = cookies::csrf_token(state.mac(), &self.session.to_string())?;
        // The access token stays as long as the session, so that a page learns that it has expired, and not that nobody is
        // signed in.
        cookies::set(state, response, Name::Access, &self.access_token, left);
        cookies::set(state, response, Name::Refresh, &self.refresh_token, left);
        cookies::set(state, response, Name::Csrf, &csrf, left);
        Ok(())
    }
}

/// The context of a command about a session, which follows from a proof that was checked: Discord's word, or a token.
pub(crate) fn context(actor: Actor, request_id: String, now: Timestamp) -> Context {
    Context {
        actor,
        rights: Rights::Everything,
        tenant: None,
        command_id: Uuid::new_v4(),
        correlation_id: request_id,
        causation_id: None,
        reason: None,
        trace: None,
        now,
        expected_version: None,
        idempotency: None,
    }
}

/// The session, if it is still open.
pub(crate) async fn open(
    state: &ApiState,
    id: SessionId,
    now: Timestamp,
) -> Result<Arc<SessionFacts>, ApiError> {
    let facts = state.queries().session(id).await?.ok_or_else(ended)?;
    if facts.session.is_open(now) { Ok(facts) } else { Err(ended()) }
}

/// Ends every open session of a person whom the platform lets go of.
pub(crate) async fn end_all(write: &Write, person: &Pseudonym) -> Result<(), ApiError> {
    let queries = write.state.queries();
    write.all_listed().await?;
    loop {
        let open = queries.sessions_of(person, write.now).await?;
        let Some(first) = open.first() else { return Ok(()) };
        let first = first.session.id;
        let mut last = None;
        for facts in &open {
            // `If-Match` was about the person.
            let context = Context { expected_version: None, ..write.context(None, None) };
            let ended = write.state.commands().end_session(&context, facts.session.id, How::Operator).await?;
            last = ended.position.max(last);
        }
        let Some(last) = last else {
            tracing::warn!(session = %first, "a list shows a session that is over");
            return Ok(());
        };
        queries.wait_for(last, write.state.limits().min_position_timeout).await?;
    }
}

/// The session is over.
pub(crate) fn ended() -> ApiError {
    ApiError::new(Code::SessionEnded, "This session is over; sign in again.")
}

/// Goes on with a session by a refresh token that came over `surface`. One that was replaced too long ago ends the session: two have it, and nobody
/// can tell which is the right one (RFC 9700, 4.14.2).
pub(crate) async fn refresh(
    state: &ApiState,
    text: &str,
    surface: Surface,
    request_id: String,
    now: Timestamp,
) -> Result<Tokens, ApiError> {
    let (id, presented) = refresh_token::open(state.mac(), text).ok_or_else(|| {
        let detail = "The refresh token is none of this server's; sign in again.";
        ApiError::new(Code::InvalidCredential, detail)
    })?;
    let facts = open(state, id, now).await?;
    // Before it is used up: a script on a page that got hold of a browser's would take the session out of its cookies.
    if facts.session.surface != surface {
        let detail = match surface {
            Surface::Client => {
                "This refresh token belongs into the cookies of a browser; sign in as a program."
            }
            Surface::Browser => {
                "This refresh token is a program's and stands in no cookie; sign in at /auth/discord."
            }
        };
        return Err(ApiError::new(Code::InvalidCredential, detail));
    }
    let account = facts.account.ok_or_else(ended)?;
    match state.queries().refreshes().rotate(id, presented, now, state.sessions().refresh).await? {
        Refreshed::Goes(generation) => {
            Ok(Tokens::new(state, account, id, generation, facts.session.until, now))
        }
        Refreshed::Idle | Refreshed::Unknown => Err(ended()),
        Refreshed::Reused => {
            let actor = Actor::User(Pseudonym::of(state.mac(), account));
            let context = context(actor, request_id, now);
            state.commands().end_session(&context, id, How::TokenReused).await?;
            tracing::warn!(session = %id, "a refresh token was used twice; its session was ended");
            let detail = "This refresh token was replaced before, so somebody has a copy of it. The session was ended for \
                          both; sign in again.";
            Err(ApiError::new(Code::RefreshReused, detail))
        }
    }
}
