//! `GET /licenses/{id}/history` and `GET /guilds/{g}/history`: every event of a thing, oldest first.

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::{GuildId, LicenseId};
use domain::private::Unsealed;
use projections::GuildHistoryEntry;

use crate::error::ApiError;
use crate::extract::access::{self, Standing};
use crate::extract::path::PathIds;
use crate::extract::principal::Principal;
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::history::{EntryBody, GuildEntryBody, Viewer};
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

/// Lists every event of a guild itself, oldest first.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/history",
    operation_id = "guilds_history",
    tag = "Guilds",
    params(doc::Paging),
    responses((status = 200, body = List<GuildEntryBody<'static>>)),
)]
pub(crate) async fn guild(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let page = read.page()?;
    let id: GuildId = ids.id("guild", "guild")?;
    access::guild(&read.state, &read.principal, id, access::READ).await?;
    let sees = access::may(access::guild(&read.state, &read.principal, id, access::CREDENTIALS).await)?;
    let found = read.state.queries().guild_history(id, page).await?;
    let entries = found.ok_or_else(|| ApiError::not_found("guild"))?;
    let data = entries.data.iter().map(|entry| GuildEntryBody::new(entry, owner(entry), sees)).collect();
    Ok(json(StatusCode::OK, &List { data, next_cursor: entries.next.as_ref().map(ToString::to_string) }))
}

fn owner(entry: &GuildHistoryEntry) -> Option<&str> {
    let owner = entry.after.guild.owner.as_ref()?;
    entry.after.discord_id(&owner.id).map(Unsealed::shown)
}
