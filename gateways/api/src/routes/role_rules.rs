//! `/guilds/{g}/role-rules`: which Discord role gives which license type.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::{Action, ExistingLicenses, Guild, RuleId, RuleSource};
use domain::id::{GuildId, RoleId};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::query::Query;
use crate::extract::read::Read;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::{Created, Recipe};
use crate::render::guild::RuleBody;
use crate::render::{Audience, List, json};
use crate::state::ApiState;

/// Lists every role rule that was not removed.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/role-rules",
    operation_id = "role_rules_list",
    tag = "Role rules",
    responses((status = 200, body = List<RuleBody<'static>>)),
)]
pub(crate) async fn list(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let data = facts.guild.active_rules().map(|rule| RuleBody::new(&facts.guild, rule)).collect();
    let mut response = json(StatusCode::OK, &List::whole(data));
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    Ok(response)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RoleRuleDefinition)]
struct Set {
    #[schema(value_type = doc::Snowflake)]
    role_id: RoleId,
    #[schema(value_type = doc::Word)]
    r#type: String,
}

/// Sets a role rule.
///
/// 201 with the rule.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/role-rules",
    operation_id = "role_rules_set",
    tag = "Role rules",
    request_body = Set,
    responses((status = 201, body = RuleBody<'static>)),
)]
pub(crate) async fn set(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Set = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    check_type(&facts.guild, &asked.r#type)?;
    let id = RuleId(Uuid::new_v4());
    let source = RuleSource::Role { role_id: asked.role_id };
    let action = Action::SetRule { id, source, license_type: asked.r#type };
    act(&write, Recipe::Rule { guild, rule: id, created: Created::Now }, guild, action).await
}

async fn act(write: &Write, recipe: Recipe, guild: GuildId, action: Action) -> Result<Response, ApiError> {
    let plan = Plan { tenant: Some(guild), reason: None, audience: Audience::Staff, recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.guild(&context, guild, action).await }).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RoleRuleChange)]
struct Change {
    #[schema(value_type = doc::Word)]
    r#type: String,
}

/// Changes the license type of a role rule.
///
/// 200 with the rule, which gives another type from now on. Its role stays: another role is another rule.
#[utoipa::path(
    put,
    path = "/guilds/{guild}/role-rules/{id}",
    operation_id = "role_rules_change",
    tag = "Role rules",
    request_body = Change,
    responses((status = 200, body = RuleBody<'static>)),
)]
pub(crate) async fn change(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Change = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    check_type(&facts.guild, &asked.r#type)?;
    let id = RuleId(ids.id::<Uuid>("id", "role rule")?);
    let known = facts.guild.active_rules().find(|rule| rule.id == id);
    let source = known.ok_or_else(|| ApiError::not_found("role rule"))?.source;
    let action = Action::SetRule { id, source, license_type: asked.r#type };
    act(&write, Recipe::Rule { guild, rule: id, created: Created::Before }, guild, action).await
}

/// Removes a role rule.
///
/// 200 with the rule, which gives nothing any more. `?existing=` says what becomes of what it gave: with `keep` licenses stay
/// until their members leave, with `lose` they go as if the role had been taken.
#[utoipa::path(
    delete,
    path = "/guilds/{guild}/role-rules/{id}",
    operation_id = "role_rules_remove",
    tag = "Role rules",
    params(("existing" = doc::Existing, Query)),
    responses((status = 200, body = RuleBody<'static>)),
)]
pub(crate) async fn remove(
    State(state): State<ApiState>,
    ids: PathIds,
    request: Request,
) -> Result<Response, ApiError> {
    let write = Write::with_query(request, &state).await?;
    write.is_empty()?;
    let query = Query::of(&write.uri, &["existing"])?;
    let existing = match query.text("existing") {
        Some("keep") => ExistingLicenses::Keep,
        Some("lose") => ExistingLicenses::Lose,
        _ => {
            let detail = "must be `keep` or `lose`: what becomes of the licenses that this rule gave";
            return Err(ApiError::invalid("?existing", "WRONG_FORM", detail));
        }
    };
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let id = RuleId(ids.id::<Uuid>("id", "role rule")?);
    let action = Action::RemoveRule { id, existing };
    act(&write, Recipe::Rule { guild, rule: id, created: Created::Before }, guild, action).await
}

pub(super) fn check_type(guild: &Guild, slug: &str) -> Result<(), ApiError> {
    if guild.issuing_type(slug).is_some() {
        return Ok(());
    }
    let detail = "must be the slug of a license type of this guild that is not retired";
    Err(ApiError::impossible("/type", detail))
}
