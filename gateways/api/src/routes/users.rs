//! `POST /admin/users/{id}/ban` and `/unban`: of a banned user no license is valid, in any guild.

use axum::response::Response;
use domain::id::{DiscordId, Pseudonym};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::checks;
use crate::extract::path::PathIds;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::Audience;
use crate::render::user::UserBody;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReasonRequest)]
struct Why {
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

fn opened(write: &Write, ids: &PathIds) -> Result<(DiscordId, Plan), ApiError> {
    write.principal.operator()?;
    let reason = checks::reason(write.json::<Why>()?.reason)?;
    let account: DiscordId = ids.id("id", "user")?;
    let recipe = Recipe::User { user: Pseudonym::of(write.state.mac(), account) };
    Ok((account, Plan { tenant: None, reason, audience: Audience::Staff, recipe }))
}

/// Bans a user: none of his licenses is valid, in any guild.
///
/// 200 with the user.
#[utoipa::path(
    post,
    path = "/admin/users/{id}/ban",
    operation_id = "users_ban",
    tag = "Users",
    request_body = Why,
    responses((status = 200, body = UserBody)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn ban(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let (account, plan) = opened(&write, &ids)?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.ban(&context, account).await }).await
}

/// Lifts a ban.
///
/// 200 with the user.
#[utoipa::path(
    post,
    path = "/admin/users/{id}/unban",
    operation_id = "users_unban",
    tag = "Users",
    request_body = Why,
    responses((status = 200, body = UserBody)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn unban(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let (account, plan) = opened(&write, &ids)?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.unban(&context, account).await }).await
}
