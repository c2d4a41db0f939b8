//! `GET /guilds/{g}`: what staff see of their guild.

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::GuildId;
use domain::private::Unsealed;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::render::guild::GuildBody;
use crate::render::json;

/// One guild.
pub(crate) async fn one(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let owner = facts.guild.owner.as_ref().and_then(|owner| facts.discord_id(&owner.id)).map(Unsealed::shown);
    let mut response = json(StatusCode::OK, &GuildBody::new(&facts.guild, owner));
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    Ok(response)
}
