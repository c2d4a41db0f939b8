//! `POST /admin/users/{id}/ban` and `/unban`: of a banned user no license is valid, in any guild.

use axum::response::Response;
use domain::id::{DiscordId, Pseudonym};
use serde::Deserialize;

use crate::error::ApiError;
use crate::extract::checks;
use crate::extract::path::PathIds;
use crate::extract::write::{Plan, Write};
use crate::recipe::Recipe;
use crate::render::Audience;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: Option<String>,
}

fn opened(write: &Write, ids: &PathIds) -> Result<(DiscordId, Plan), ApiError> {
    write.principal.operator()?;
    let reason = checks::reason(write.json::<Why>()?.reason)?;
    let account: DiscordId = ids.id("id", "user")?;
    let recipe = Recipe::User { user: Pseudonym::of(write.state.mac(), account) };
    Ok((account, Plan { tenant: None, reason, audience: Audience::Staff, recipe }))
}

/// 200 with the user.
pub(crate) async fn ban(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let (account, plan) = opened(&write, &ids)?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.ban(&context, account).await }).await
}

/// 200 with the user.
pub(crate) async fn unban(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let (account, plan) = opened(&write, &ids)?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.unban(&context, account).await }).await
}
