//! `/guilds/{g}/role-rules`: which Discord role gives which license type.

use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::{Action, RuleId, RuleSource};
use domain::id::{GuildId, RoleId};
use serde::Deserialize;
use uuid::Uuid;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::{Plan, Write};
use crate::recipe::Recipe;
use crate::render::guild::RuleBody;
use crate::render::{Audience, List, json};

/// Every rule that was not removed.
pub(crate) async fn list(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let data = facts.guild.active_rules().map(|rule| RuleBody::new(&facts.guild, rule)).collect();
    let mut response = json(StatusCode::OK, &List::whole(data));
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    Ok(response)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Set {
    role_id: RoleId,
    r#type: String,
}

/// 201 with the rule.
pub(crate) async fn set(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Set = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    if facts.guild.issuing_type(&asked.r#type).is_none() {
        let detail = "must be the slug of a license type of this guild that is not retired";
        return Err(ApiError::impossible("/type", detail));
    }
    let id = RuleId(Uuid::new_v4());
    let source = RuleSource::Role { role_id: asked.role_id };
    let action = Action::SetRule { id, source, license_type: asked.r#type };
    let recipe = Recipe::Rule { guild, rule: id };
    let plan = Plan { tenant: Some(guild), reason: None, audience: Audience::Staff, recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.guild(&context, guild, action).await }).await
}
