//! `/guilds/{g}/license-types`: the templates that licenses take their terms from.

use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::Action;
use domain::id::GuildId;
use domain::terms::TermsChange;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::body::Object;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::{Created, Recipe};
use crate::render::guild::TypeBody;
use crate::render::{Audience, List, json};

/// Members of the requests here that are no terms.
const NO_TERMS: [&str; 2] = ["/slug", "/name"];

/// Lists every license type, retired ones included.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/license-types",
    operation_id = "license_types_list",
    tag = "License types",
    responses((status = 200, body = List<TypeBody<'static>>)),
)]
pub(crate) async fn list(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let data =
        facts.guild.types.values().map(|license_type| TypeBody::new(&facts.guild, license_type)).collect();
    let mut response = json(StatusCode::OK, &List::whole(data));
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    Ok(response)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LicenseTypeDefinition)]
struct Define {
    #[schema(value_type = doc::Slug)]
    slug: String,
    #[schema(value_type = doc::Name)]
    name: String,
    #[serde(default)]
    #[schema(value_type = doc::TermsChange)]
    terms: Object<TermsChange>,
}

/// Defines a license type.
///
/// 201 with the type.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/license-types",
    operation_id = "license_types_define",
    tag = "License types",
    request_body = Define,
    responses((status = 201, body = TypeBody<'static>)),
)]
pub(crate) async fn define(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Define = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let recipe = Recipe::LicenseType { guild, slug: asked.slug.clone(), created: Created::Now };
    let action = Action::DefineType { slug: asked.slug, name: asked.name, terms: asked.terms.0 };
    act(&write, guild, recipe, action).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LicenseTypeChange)]
struct Change {
    #[serde(default)]
    #[schema(value_type = Option<doc::Name>)]
    name: Option<String>,
    #[serde(default)]
    #[schema(value_type = doc::TermsChange)]
    terms: Object<TermsChange>,
}

/// Changes a license type.
///
/// 200 with the type. Licenses that exist keep their terms.
#[utoipa::path(
    patch,
    path = "/guilds/{guild}/license-types/{slug}",
    operation_id = "license_types_change",
    tag = "License types",
    request_body = Change,
    responses((status = 200, body = TypeBody<'static>)),
)]
pub(crate) async fn change(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Change = write.json()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let slug = ids.text("slug").to_owned();
    let recipe = Recipe::LicenseType { guild, slug: slug.clone(), created: Created::Before };
    act(&write, guild, recipe, Action::ChangeType { slug, name: asked.name, terms: asked.terms.0 }).await
}

/// Retires a license type.
///
/// 200 with the type, of which no more licenses are made. Those that exist stay.
#[utoipa::path(
    delete,
    path = "/guilds/{guild}/license-types/{slug}",
    operation_id = "license_types_retire",
    tag = "License types",
    responses((status = 200, body = TypeBody<'static>)),
)]
pub(crate) async fn retire(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.is_empty()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let slug = ids.text("slug").to_owned();
    let recipe = Recipe::LicenseType { guild, slug: slug.clone(), created: Created::Before };
    act(&write, guild, recipe, Action::RetireType { slug }).await
}

async fn act(write: &Write, guild: GuildId, recipe: Recipe, action: Action) -> Result<Response, ApiError> {
    let plan = Plan { tenant: Some(guild), reason: None, audience: Audience::Staff, recipe };
    let commands = write.state.commands();
    let done =
        write.perform(plan, |context| async move { commands.guild(&context, guild, action).await }).await;
    done.map_err(|error| error.moved_under("/terms", &NO_TERMS))
}
