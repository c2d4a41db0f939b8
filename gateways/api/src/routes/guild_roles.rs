//! `GET /guilds/{g}/roles`: the roles of the server on Discord, as the bot last saw them, with the rule of each.

use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::{Guild, RuleSource};
use domain::id::{GuildId, RoleId};
use projections::GuildRole;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::guild::RuleBody;
use crate::render::instant::Instant;
use crate::render::json;

/// A role of the server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Role)]
struct RoleBody<'a> {
    #[schema(value_type = doc::Snowflake)]
    id: RoleId,
    #[schema(value_type = doc::Snowflake)]
    discord_role_id: RoleId,
    #[schema(value_type = doc::Snowflake)]
    guild_id: GuildId,
    name: &'a str,
    position: i64,
    managed: bool,
    /// Whether the bot can give it.
    assignable: bool,
    rule: Option<RuleBody<'a>>,
}

/// All of them, the highest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Roles)]
struct RolesBody<'a> {
    data: Vec<RoleBody<'a>>,
    next_cursor: Option<String>,
    /// When the bot saw them; `null` if it has not yet.
    #[schema(value_type = Option<doc::Time>)]
    seen_at: Option<Instant>,
}

/// Lists the roles of the server on Discord, the highest first.
///
/// As the bot last saw them, with the rule of each.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/roles",
    operation_id = "guild_roles_list",
    tag = "Guilds",
    responses((status = 200, body = RolesBody<'static>)),
)]
pub(crate) async fn list(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let seen = read.state.queries().guild_roles().of(id).await?;
    let (roles, seen_at) = seen.map_or((Vec::new(), None), |(roles, at)| (roles, Some(Instant(at))));
    let data = roles.iter().map(|role| RoleBody::new(id, &facts.guild, role)).collect();
    let mut response = json(StatusCode::OK, &RolesBody { data, next_cursor: None, seen_at });
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    Ok(response)
}

impl<'a> RoleBody<'a> {
    fn new(guild_id: GuildId, guild: &'a Guild, role: &'a GuildRole) -> Self {
        let source = RuleSource::Role { role_id: role.id };
        let rule = guild.active_rules().find(|rule| rule.source == source);
        Self {
            id: role.id,
            discord_role_id: role.id,
            guild_id,
            name: &role.name,
            position: role.position,
            managed: role.managed,
            assignable: role.assignable,
            rule: rule.map(|rule| RuleBody::new(guild, rule)),
        }
    }
}
