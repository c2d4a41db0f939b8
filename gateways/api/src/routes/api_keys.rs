//! `/guilds/{g}/api-keys`: issuing, listing and revoking API keys. The key itself is computed from the ring and
//! shown in the answer to its issue only.

use axum::http::StatusCode;
use axum::response::Response;
use domain::credential::{ApiKeyId, ApiKeyKind, Scope};
use domain::guild::Action;
use domain::id::GuildId;
use domain::time::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::{Created, Recipe};
use crate::render::guild::ApiKeyBody;
use crate::render::{Audience, List, json};

/// Lists every API key, revoked ones included, without the keys themselves.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/api-keys",
    operation_id = "api_keys_list",
    tag = "API keys",
    responses((status = 200, body = List<ApiKeyBody<'static>>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn list(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::CREDENTIALS).await?;
    let data = facts.guild.api_keys.values().map(|key| ApiKeyBody::new(&facts.guild, key)).collect();
    let mut response = json(StatusCode::OK, &List::whole(data));
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    Ok(response)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ApiKeyOrder)]
struct Issue {
    #[schema(value_type = doc::ApiKeyKind)]
    kind: ApiKeyKind,
    #[serde(default)]
    #[schema(value_type = Option<Vec<doc::Scope>>)]
    scopes: Option<Vec<Scope>>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Name>)]
    name: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Time>)]
    expires_at: Option<Timestamp>,
}

/// Issues an API key.
///
/// 201 with the API key and, this once, the key itself. It keeps the version of the API that this request is answered in.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/api-keys",
    operation_id = "api_keys_issue",
    tag = "API keys",
    request_body = Issue,
    responses((status = 201, body = ApiKeyBody<'static>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn issue(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Issue = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::CREDENTIALS).await?;
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|_| ApiError::unavailable())?;
    let id = ApiKeyId::new(guild, random);
    let Issue { kind, scopes, name, expires_at } = asked;
    let version = write.version.stored();
    let action = Action::IssueApiKey { id, kind, scopes, name, expires_at, version };
    act(&write, guild, Recipe::ApiKey { guild, api_key: id, created: Created::Now }, action).await
}

/// Revokes an API key.
///
/// 200 with the API key, which does not work any more.
#[utoipa::path(
    delete,
    path = "/guilds/{guild}/api-keys/{id}",
    operation_id = "api_keys_revoke",
    tag = "API keys",
    responses((status = 200, body = ApiKeyBody<'static>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn revoke(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.is_empty()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::CREDENTIALS).await?;
    let id: ApiKeyId = ids.id("id", "API key")?;
    let recipe = Recipe::ApiKey { guild, api_key: id, created: Created::Before };
    act(&write, guild, recipe, Action::RevokeApiKey { id }).await
}

async fn act(write: &Write, guild: GuildId, recipe: Recipe, action: Action) -> Result<Response, ApiError> {
    let plan = Plan { tenant: Some(guild), reason: None, audience: Audience::Staff, recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.guild(&context, guild, action).await }).await
}
