//! `GET /licenses/{id}/history`: every event of a license, oldest first.

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::LicenseId;

use crate::error::ApiError;
use crate::extract::access::{self, Standing};
use crate::extract::path::PathIds;
use crate::extract::principal::Principal;
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::history::{EntryBody, Viewer};
use crate::render::{List, json};

/// Lists every event of a license, oldest first.
#[utoipa::path(
    get,
    path = "/licenses/{id}/history",
    operation_id = "licenses_history",
    tag = "Licenses",
    params(doc::Paging),
    responses((status = 200, body = List<EntryBody<'static>>)),
)]
pub(crate) async fn history(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let page = read.page()?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&read.state, &read.principal, id, access::READ).await?;
    let viewer = match (found.standing, &read.principal) {
        (Standing::Owner, Principal::User(user)) => Viewer::Owner(&user.id),
        _ => Viewer::Staff,
    };
    let entries =
        read.state.queries().history(id, page).await?.ok_or_else(|| ApiError::not_found("license"))?;
    let data = entries.data.iter().map(|entry| EntryBody::new(entry, viewer)).collect();
    let next_cursor = entries.next.as_ref().map(ToString::to_string);
    Ok(json(StatusCode::OK, &List { data, next_cursor }))
}
