//! `/guilds/{g}/held-removals`: removals that the brake holds back, and their confirmation. The bot carries out what is
//! confirmed; nothing is taken away here.

use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::{Guild, RuleId};
use domain::id::GuildId;
use domain::private::Unsealed;
use projections::HeldRemoval;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::Write;
use crate::openapi::types as doc;
use crate::render::instant::Instant;
use crate::render::{List, json};
use crate::state::ApiState;

/// A license that somebody would lose.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HeldRemoval)]
struct RemovalBody {
    batch: Uuid,
    #[schema(value_type = Option<doc::Person>)]
    user_id: Option<String>,
    #[schema(value_type = uuid::Uuid)]
    rule_id: RuleId,
    r#type: Option<String>,
    #[schema(value_type = doc::Time)]
    since: Instant,
    confirmed: bool,
}

/// Lists the removals that the brake holds back, oldest first.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/held-removals",
    operation_id = "held_removals_list",
    tag = "Role rules",
    params(doc::Paging),
    responses((status = 200, body = List<RemovalBody>)),
)]
pub(crate) async fn list(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let page = read.page()?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let held = read.state.queries().held_removals().page(id, &page).await?;
    let mut data = Vec::new();
    for removal in held.data {
        data.push(body(&read.state, &facts.guild, removal).await?);
    }
    let next_cursor = held.next.as_ref().map(ToString::to_string);
    Ok(json(StatusCode::OK, &List { data, next_cursor }))
}

async fn body(state: &ApiState, guild: &Guild, removal: HeldRemoval) -> Result<RemovalBody, ApiError> {
    let member = state.queries().member(removal.guild, &removal.user).await?;
    let account = member.and_then(|facts| facts.discord_id);
    Ok(RemovalBody {
        batch: removal.batch,
        user_id: account.as_ref().map(Unsealed::shown).map(str::to_owned),
        rule_id: removal.rule,
        r#type: guild.rules.get(&removal.rule).map(|rule| rule.license_type.clone()),
        since: removal.since.into(),
        confirmed: removal.confirmed,
    })
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConfirmedRemovals)]
struct Confirmed {
    batch: Uuid,
    confirmed: u64,
}

/// Lets a batch of removals happen.
///
/// Whoever has his role back by then keeps his license.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/held-removals/{batch}/confirm",
    operation_id = "held_removals_confirm",
    tag = "Role rules",
    responses((status = 200, body = Confirmed)),
)]
pub(crate) async fn confirm(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.is_empty()?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::CONFIRM).await?;
    let batch: Uuid = ids.id("batch", "batch of removals")?;
    let by = write.context(Some(guild), None).actor;
    match write.state.queries().held_removals().confirm(guild, batch, &by).await? {
        0 => Err(ApiError::not_found("batch of removals")),
        confirmed => Ok(json(StatusCode::OK, &Confirmed { batch, confirmed })),
    }
}
