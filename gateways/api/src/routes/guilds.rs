//! `/guilds/{g}`: what staff see of their guild, and its settings.

use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::{Action, SettingsChange, Sharing};
use domain::id::GuildId;
use domain::private::Unsealed;
use projections::GuildFacts;
use serde::Deserialize;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::as_of;
use crate::extract::body::Object;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::guild::GuildBody;
use crate::render::{Audience, json};
use crate::routes::past;

/// Shows a guild, as it is or, with `asOf`, as it was.
#[utoipa::path(
    get,
    path = "/guilds/{guild}",
    operation_id = "guilds_get",
    tag = "Guilds",
    params(("asOf" = Option<doc::AsOf>, Query)),
    responses((status = 200, body = GuildBody<'static>)),
)]
pub(crate) async fn one(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let query = read.query(&["asOf"])?;
    let as_of = as_of::instant(&read, &query, "asOf")?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    match as_of {
        None => Ok(shown(&read, &facts)),
        Some(as_of) => Ok(shown(&read, &past::guild(&read, id, as_of).await?)),
    }
}

fn shown(read: &Read, facts: &GuildFacts) -> Response {
    let mut response = json(StatusCode::OK, &body(facts));
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    response
}

/// A guild as answers show it.
pub(crate) fn body(facts: &GuildFacts) -> GuildBody<'_> {
    let owner = facts.guild.owner.as_ref().and_then(|owner| facts.discord_id(&owner.id)).map(Unsealed::shown);
    GuildBody::new(&facts.guild, owner)
}

/// What the domain reads loosely: serde takes an array for a struct as well, member by member.
#[derive(Deserialize)]
pub(crate) struct Shape {
    #[serde(default, rename = "sharing")]
    _sharing: Option<Object<Sharing>>,
}

/// Changes settings of a guild.
///
/// 200 with the guild. Members that are left out stay; `null` clears.
#[utoipa::path(
    patch,
    path = "/guilds/{guild}/settings",
    operation_id = "guilds_change_settings",
    tag = "Guilds",
    request_body = doc::SettingsChange,
    responses((status = 200, body = GuildBody<'static>)),
)]
pub(crate) async fn change_settings(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let _: Shape = write.json()?;
    let change: SettingsChange = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let recipe = Recipe::Guild { guild };
    let plan = Plan { tenant: Some(guild), reason: None, audience: Audience::Staff, recipe };
    let (commands, action) = (write.state.commands(), Action::ChangeSettings(change));
    write.perform(plan, |context| async move { commands.guild(&context, guild, action).await }).await
}
