//! `/guilds/{g}/staff` and `/guilds/{g}/members`: who helps to run a guild, and whom the bot has seen in it.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use domain::guild::{Action, Guild, StaffRole};
use domain::id::{DiscordId, GuildId, Pseudonym};
use domain::private::{Person, Unsealed};
use projections::{GuildFacts, MemberFacts};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::checks::{self, TOKEN_MAX};
use crate::extract::path::PathIds;
use crate::extract::principal::Principal;
use crate::extract::read::Read;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::guild::{MemberBody, StaffBody};
use crate::render::{Audience, List, json};

/// Lists everybody with a rank, in no order.
///
/// Who is an admin by a role on Discord alone is not in it.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/staff",
    operation_id = "staff_list",
    tag = "Staff",
    responses((status = 200, body = List<StaffBody<'static>>)),
)]
pub(crate) async fn list(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let shown = |person: &Person| facts.discord_id(&person.id).map_or("erased", Unsealed::shown);
    let data = facts.guild.staff.values().map(|staff| StaffBody::new(staff, shown(&staff.person))).collect();
    let mut response = json(StatusCode::OK, &List::whole(data));
    stamp(&read.state, &mut response, Some(facts.guild.version), facts.position);
    Ok(response)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = StaffChange)]
struct Rank {
    /// `null` dismisses; it has to be said.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<doc::StaffRole>)]
    role: Option<StaffRole>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Gives or takes a rank.
///
/// 200 with the member of staff; 204 for one who was dismissed.
#[utoipa::path(
    put,
    path = "/guilds/{guild}/staff/{user}",
    operation_id = "staff_set",
    tag = "Staff",
    request_body = Rank,
    responses((status = 200, body = StaffBody<'static>), (status = 204)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn put(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Rank = write.json()?;
    let reason = checks::reason(asked.reason)?;
    change(&ids, &write, asked.role, reason).await
}

/// Takes a rank: the same as a rank of `null`.
#[utoipa::path(
    delete,
    path = "/guilds/{guild}/staff/{user}",
    operation_id = "staff_dismiss",
    tag = "Staff",
    responses((status = 204)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn delete(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.is_empty()?;
    change(&ids, &write, None, None).await
}

async fn change(
    ids: &PathIds,
    write: &Write,
    role: Option<StaffRole>,
    reason: Option<String>,
) -> Result<Response, ApiError> {
    let guild: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&write.state, &write.principal, guild, access::CREDENTIALS).await?;
    let account: DiscordId = ids.id("user", "user")?;
    let person = Person::new(write.state.mac(), account);
    let granted_by = own_rank(write, &facts).await?;
    let recipe = Recipe::Staff { guild, user: person.id.clone() };
    let plan = Plan { tenant: Some(guild), reason, audience: Audience::Staff, recipe };
    let commands = write.state.commands();
    let action = Action::ChangeStaff { person, role, granted_by };
    let act = |context| async move {
        // Whoever gets a rank is known from then on.
        commands.ensure_user(&context, account).await?;
        commands.guild(&context, guild, action).await
    };
    write.perform(plan, act).await
}

/// The rank of whoever asks: nobody grants or takes one above it.
async fn own_rank(write: &Write, facts: &GuildFacts) -> Result<StaffRole, ApiError> {
    match &write.principal {
        Principal::User(user) => Ok(user.rank(&write.state, facts).await?.unwrap_or(StaffRole::Auditor)),
        Principal::Operator | Principal::Key(_) => Ok(StaffRole::Owner),
    }
}

/// The answer to a change of staff.
pub(crate) fn answer(guild: &Guild, user: &Pseudonym, shown: Option<&str>) -> Response {
    match guild.staff.get(user) {
        Some(staff) => json(StatusCode::OK, &StaffBody::new(staff, shown.unwrap_or("erased"))),
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
    }
}

/// Lists whom the bot has seen with a mapped or watched role, oldest first.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/members",
    operation_id = "members_list",
    tag = "Members",
    params(doc::Paging),
    responses((status = 200, body = List<MemberBody<'static>>)),
)]
pub(crate) async fn members(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let page = read.page()?;
    let id: GuildId = ids.id("guild", "guild")?;
    access::guild(&read.state, &read.principal, id, access::READ).await?;
    let found = read.state.queries().members(id, page).await?;
    let data = found.data.iter().map(member).collect();
    Ok(json(StatusCode::OK, &List { data, next_cursor: found.next.as_ref().map(ToString::to_string) }))
}

fn member(facts: &MemberFacts) -> MemberBody<'_> {
    MemberBody::new(&facts.member, facts.discord_id.as_ref().map_or("erased", Unsealed::shown))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = OfTypeRequest)]
struct OfType {
    #[schema(value_type = doc::Word)]
    r#type: String,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Lets roles give a member a license of a type again.
///
/// 200 with the member.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/members/{user}/unblock",
    operation_id = "members_unblock",
    tag = "Members",
    request_body = OfType,
    responses((status = 200, body = MemberBody<'static>)),
)]
pub(crate) async fn unblock(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: OfType = write.json()?;
    checks::characters("/type", &asked.r#type, 1, TOKEN_MAX)?;
    let reason = checks::reason(asked.reason)?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let account: DiscordId = ids.id("user", "member")?;
    let user = Pseudonym::of(write.state.mac(), account);
    let plan = Plan {
        tenant: Some(guild),
        reason,
        audience: Audience::Staff,
        recipe: Recipe::Member { guild, user },
    };
    let (commands, slug) = (write.state.commands(), asked.r#type);
    write
        .perform(plan, |context| async move { commands.unblock_slot(&context, guild, account, &slug).await })
        .await
}

/// Blocks a type for a member.
///
/// Roles give no license of this type until staff unblock it, and the one that they gave ends.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/members/{user}/block",
    operation_id = "members_block",
    tag = "Members",
    request_body = OfType,
    responses((status = 200, body = MemberBody<'static>)),
)]
pub(crate) async fn block(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: OfType = write.json()?;
    checks::characters("/type", &asked.r#type, 1, TOKEN_MAX)?;
    let reason = checks::reason(asked.reason)?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&write.state, &write.principal, guild, access::REVOKE).await?;
    let account: DiscordId = ids.id("user", "member")?;
    let recipe = Recipe::Member { guild, user: Pseudonym::of(write.state.mac(), account) };
    let plan = Plan { tenant: Some(guild), reason, audience: Audience::Staff, recipe };
    let (commands, slug) = (write.state.commands(), asked.r#type);
    write
        .perform(plan, |context| async move { commands.block_slot(&context, guild, account, &slug).await })
        .await
}
