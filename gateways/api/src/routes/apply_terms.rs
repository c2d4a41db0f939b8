//! `POST /guilds/{g}/license-types/{slug}/apply`: licenses that exist take the terms which their type has now. What each is
//! worth and whether its devices fit is the aggregate's matter.

use axum::http::StatusCode;
use axum::response::Response;
use commands::{APPLY_MAX, Application, ApplyOrder, CommandError};
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym};
use domain::license::{Stage, Status};
use domain::terms::Terms;
use domain::time::Timestamp;
use projections::{Cursor, LicenseFilter, PAGE_MAX, Page};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::body::Object;
use crate::extract::checks;
use crate::extract::path::PathIds;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::{Applied, Outcome, Recipe, Subject};
use crate::render::{Audience, json};
use crate::routes::licenses;

/// Licenses that one order looks through.
const LOOKED_MAX: usize = 5_000;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ApplyRequest)]
struct Apply {
    #[serde(default)]
    #[schema(value_type = Filter)]
    filter: Object<Filter>,
    #[serde(default)]
    dry_run: bool,
    /// Where the order before this one ended.
    #[serde(default)]
    #[schema(value_type = Option<doc::Cursor>)]
    cursor: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// The filters of `GET /licenses`; guild and type stand in the address.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(as = ApplyFilter)]
struct Filter {
    #[schema(value_type = Option<doc::Snowflake>)]
    user_id: Option<DiscordId>,
    #[schema(value_type = Option<doc::LicenseStatus>)]
    status: Option<Status>,
    #[schema(value_type = Option<doc::Search>)]
    q: Option<String>,
    #[schema(value_type = Option<doc::Time>)]
    expires_before: Option<Timestamp>,
}

/// What an order would do.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tried {
    #[serde(flatten)]
    applied: Applied,
    dry_run: bool,
}

/// Gives licenses that exist the terms which their type has now.
///
/// 200 with what became of each license whose terms were others; `nextCursor` says where the next order begins.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/license-types/{slug}/apply",
    operation_id = "license_types_apply",
    tag = "License types",
    request_body = Apply,
    responses((status = 200, body = doc::AppliedAnswer)),
)]
pub(crate) async fn apply(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Apply = write.json()?;
    let reason = checks::reason(asked.reason)?;
    let guild: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let slug = ids.text("slug").to_owned();
    let terms = facts.guild.license_type(&slug).map(|license_type| &license_type.terms);
    let terms = terms.ok_or_else(|| ApiError::not_found("license type"))?;
    if !asked.dry_run
        && let Some(answer) = write.answered_before(Audience::Staff).await?
    {
        return Ok(answer);
    }
    let filter = filter(&write, &asked.filter.0, guild, &slug)?;
    let cursor = asked.cursor.as_deref().map(Cursor::parse).transpose()?;
    let (licenses, next) = differing(&write, &filter, terms, cursor).await?;
    let next = next.as_ref().map(ToString::to_string);
    let order = ApplyOrder { guild, license_type: slug, licenses, is_dry_run: asked.dry_run };
    perform(&write, order, next, reason).await
}

fn filter(write: &Write, asked: &Filter, guild: GuildId, slug: &str) -> Result<LicenseFilter, ApiError> {
    let mac = write.state.mac();
    let mut filter = LicenseFilter {
        guilds: Some(vec![guild]),
        owner: asked.user_id.map(|user| Pseudonym::of(mac, user)),
        status: asked.status,
        license_type: Some(slug.to_owned()),
        expires_before: asked.expires_before,
        id: None,
    };
    if !licenses::search(mac, asked.q.as_deref().unwrap_or_default(), &mut filter) {
        return Err(ApiError::invalid("/filter/q", "WRONG_FORM", licenses::SEARCHED));
    }
    Ok(filter)
}

/// The licenses of a filter whose terms are others than those of the type, revoked ones left out unless they are asked for;
/// and where to go on, if that are more than one order takes.
async fn differing(
    write: &Write,
    filter: &LicenseFilter,
    terms: &Terms,
    cursor: Option<Cursor>,
) -> Result<(Vec<LicenseId>, Option<Cursor>), ApiError> {
    write.listed().await?;
    let (mut found, mut looked, mut cursor) = (Vec::new(), 0, cursor);
    loop {
        let page = Page { limit: PAGE_MAX, cursor };
        let part = write.state.queries().licenses(filter, page, write.now).await?;
        looked += part.data.len();
        let differs = part.data.iter().map(|facts| &facts.license).filter(|license| {
            let is_over = license.stage == Stage::Revoked && filter.status.is_none();
            license.terms != *terms && !is_over
        });
        found.extend(differs.map(|license| license.id));
        let is_full = found.len() + PAGE_MAX as usize > APPLY_MAX || looked >= LOOKED_MAX;
        match part.next {
            Some(next) if !is_full => cursor = Some(next),
            next => return Ok((found, next)),
        }
    }
}

async fn perform(
    write: &Write,
    order: ApplyOrder,
    next: Option<String>,
    reason: Option<String>,
) -> Result<Response, ApiError> {
    let tenant = Some(order.guild);
    let commands = write.state.commands();
    if order.is_dry_run {
        let forget = |_: &[Application]| Value::Null;
        let done = commands.apply_terms(&write.context(tenant, reason), &order, &forget).await?;
        let applied = Applied::new(&done.applications, next);
        let mut response = json(StatusCode::OK, &Tried { applied, dry_run: true });
        stamp(&write.state, &mut response, None, write.state.queries().head());
        return Ok(response);
    }
    let applied = |done: &[Application]| Applied::new(done, next.clone());
    let remember =
        |done: &[Application]| serde_json::to_value(Recipe::Applied(applied(done))).unwrap_or(Value::Null);
    let recipe = Recipe::Applied(Applied::default());
    let plan = Plan { tenant, reason, audience: Audience::Staff, recipe };
    let act = |context| async move {
        let done = commands.apply_terms(&context, &order, &remember).await?;
        let subject = Subject::Applied(applied(&done.applications));
        Ok::<_, CommandError>(Outcome { subject, position: done.position })
    };
    write.perform(plan, act).await
}
