//! A read: who asks, and how new the answer must be. The query is left to the handler, which must look at it.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use commands::Context;
use domain::id::GuildId;
use domain::time::Timestamp;
use projections::{Cursor, Page};

use super::accept::Form;
use super::position;
use super::principal::Principal;
use super::query::{PAGE, Query};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::frame::RequestId;
use crate::session;
use crate::state::ApiState;

/// A read as it came in. The read models have reached `DCA-Min-Position`.
pub(crate) struct Read {
    pub(crate) state: ApiState,
    pub(crate) principal: Principal,
    pub(crate) now: Timestamp,
    /// In which form the answer is asked for; most addresses have one only.
    pub(crate) form: Form,
    uri: Uri,
    request_id: String,
}

impl Read {
    /// The query, which may have members of `known` only.
    pub(crate) fn query(&self, known: &[&str]) -> Result<Query, ApiError> {
        Query::of(&self.uri, known)
    }

    /// The context in which it is recorded that somebody read this.
    pub(crate) fn context(&self, tenant: Option<GuildId>) -> Context {
        let context = session::context(self.principal.actor(), self.request_id.clone(), self.now);
        Context { tenant, rights: self.principal.rights(), ..context }
    }

    /// The query of a list without filters, as a page.
    pub(crate) fn page(&self) -> Result<Page, ApiError> {
        page(&self.query(&PAGE)?)
    }
}

/// Which part of a list a query asks for.
pub(crate) fn page(query: &Query) -> Result<Page, ApiError> {
    let cursor = query.text("cursor").map(Cursor::parse).transpose()?;
    Ok(Page { limit: query.limit()?, cursor })
}

impl FromRequestParts<ApiState> for Read {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let now = state.now();
        let caller = Caller::in_parts(&parts.extensions)?;
        let mut principal = Principal::of(state, caller, parts, now).await?;
        if position::wait(state, &parts.headers).await? {
            principal = Box::pin(principal.again(state, caller, parts, now)).await?;
        }
        let request_id =
            parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.text().to_owned());
        Ok(Self {
            state: state.clone(),
            principal,
            now,
            form: Form::of(&parts.headers),
            uri: parts.uri.clone(),
            request_id,
        })
    }
}
