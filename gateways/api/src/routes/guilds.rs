//! `/guilds/{g}`: what staff see of their guild, and its settings.

use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::{Action, SettingsChange};
use domain::id::GuildId;
use domain::private::Unsealed;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::{Plan, Write};
use crate::recipe::Recipe;
use crate::render::guild::GuildBody;
use crate::render::{Audience, json};

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

/// 200 with the guild. Members that are left out stay; `null` clears.
pub(crate) async fn change_settings(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let change: SettingsChange = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let recipe = Recipe::Guild { guild };
    let plan = Plan { tenant: Some(guild), reason: None, audience: Audience::Staff, recipe };
    let (commands, action) = (write.state.commands(), Action::ChangeSettings(change));
    write.perform(plan, |context| async move { commands.guild(&context, guild, action).await }).await
}
