//! `/admin/users`: the people of the platform. Whoever is banned has no valid license in any guild; whoever is erased cannot be
//! read any more; and a few have a platform role.

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::{DiscordId, Pseudonym};
use domain::platform::PlatformRole;
use domain::rbac::Permission;
use projections::{LicenseFilter, PAGE_MAX, Page, UserFacts, UserFilter};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::path::PathIds;
use crate::extract::read::{Read, page};
use crate::extract::write::{Plan, Write};
use crate::extract::{access, checks};
use crate::openapi::types as doc;
use crate::recipe::{Outcome, Recipe, Removed};
use crate::render::user::{ErasedBody, UserBody};
use crate::render::{Audience, List, json};
use crate::session;
use crate::state::ApiState;

/// Names and addresses are sealed, so there is nothing to search in.
const MEMBERS: [&str; 5] = ["discordId", "platformRole", "banned", "limit", "cursor"];

/// Lists the people that are known, newest first.
#[utoipa::path(
    get,
    path = "/admin/users",
    operation_id = "users_list",
    tag = "Users",
    params(doc::UserFilters, doc::Paging),
    responses((status = 200, body = List<UserBody>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn list(read: Read) -> Result<Response, ApiError> {
    access::platform(&read.principal, Permission::Users)?;
    let query = read.query(&MEMBERS)?;
    let named: Option<DiscordId> = query.get("discordId")?;
    let role: Option<PlatformRole> = query.get("platformRole")?;
    let banned: Option<bool> = query.get("banned")?;
    let platform = read.state.queries().platform().await?;
    let named = named.map(|account| Pseudonym::of(read.state.mac(), account));
    let with_role = |role| {
        let all = platform.platform.roles.iter().filter(move |(_, has)| **has == role);
        all.map(|(person, _)| person.clone()).collect::<Vec<_>>()
    };
    let ids = match (named, role) {
        (None, None) => None,
        (Some(person), None) => Some(vec![person]),
        (None, Some(role)) => Some(with_role(role)),
        (Some(person), Some(role)) => Some(with_role(role).into_iter().filter(|id| *id == person).collect()),
    };
    let filter = UserFilter { ids, banned };
    let found = read.state.queries().users(&filter, page(&query)?).await?;
    let role_of =
        |facts: &UserFacts| facts.user.person.as_ref().and_then(|person| platform.platform.role(&person.id));
    let data = found.data.iter().map(|facts| body(facts, role_of(facts))).collect();
    Ok(json(StatusCode::OK, &List { data, next_cursor: found.next.as_ref().map(ToString::to_string) }))
}

fn body(facts: &UserFacts, role: Option<PlatformRole>) -> UserBody {
    let shown = facts.discord_id.clone().unwrap_or_else(|| "erased".to_owned());
    UserBody::new(&facts.user, role, shown, facts.username.clone(), facts.email.clone())
}

/// Shows a user.
#[utoipa::path(
    get,
    path = "/admin/users/{id}",
    operation_id = "users_get",
    tag = "Users",
    responses((status = 200, body = UserBody)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn one(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    access::platform(&read.principal, Permission::Users)?;
    let account: DiscordId = ids.id("id", "user")?;
    let id = Pseudonym::of(read.state.mac(), account);
    let facts = known(&read.state, &id).await?;
    let role = read.state.queries().platform().await?.platform.role(&id);
    let mut response = json(StatusCode::OK, &body(&facts, role));
    stamp(&read.state, &mut response, Some(facts.user.version), facts.position);
    Ok(response)
}

async fn known(state: &ApiState, id: &Pseudonym) -> Result<std::sync::Arc<UserFacts>, ApiError> {
    state.queries().user(id).await?.ok_or_else(|| ApiError::not_found("user"))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReasonRequest)]
struct Why {
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

fn opened(write: &Write, ids: &PathIds) -> Result<(DiscordId, Plan), ApiError> {
    access::platform(&write.principal, Permission::Ban)?;
    let reason = checks::reason(write.json::<Why>()?.reason)?;
    let account: DiscordId = ids.id("id", "user")?;
    Ok((account, plan(write, account, reason)))
}

fn plan(write: &Write, account: DiscordId, reason: Option<String>) -> Plan {
    let recipe = Recipe::User { user: Pseudonym::of(write.state.mac(), account) };
    Plan { tenant: None, reason, audience: Audience::Staff, recipe }
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
    let act = |context| async move {
        let done = commands.ban(&context, account).await?;
        Outcome::of_user(commands, done).await
    };
    write.perform(plan, act).await
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
    let act = |context| async move {
        let done = commands.unban(&context, account).await?;
        Outcome::of_user(commands, done).await
    };
    write.perform(plan, act).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PlatformRoleChange)]
struct Role {
    /// `null` takes it; it has to be said.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<doc::PlatformRole>)]
    role: Option<PlatformRole>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Gives or takes a role on the whole platform.
///
/// 200 with the user, who has it from now on. Nobody gives or takes a role above his own, and one owner stays.
#[utoipa::path(
    put,
    path = "/admin/users/{id}/role",
    operation_id = "users_change_role",
    tag = "Users",
    request_body = Role,
    responses((status = 200, body = UserBody)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn change_role(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    access::platform(&write.principal, Permission::PlatformRoles)?;
    let asked: Role = write.json()?;
    let reason = checks::reason(asked.reason)?;
    let account: DiscordId = ids.id("id", "user")?;
    let (plan, commands) = (plan(&write, account, reason), write.state.commands());
    let act = |context| async move {
        let done = commands.change_platform_role(&context, account, asked.role).await?;
        Outcome::of_user(commands, done).await
    };
    write.perform(plan, act).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = EraseRequest)]
struct Erase {
    #[serde(default)]
    dry_run: bool,
}

/// Erases a person.
///
/// 200 with what was removed: his data key, and with it whatever was sealed for him, his sessions and his platform role.
/// Licenses, memberships and a ban stay, under a pseudonym that nobody can trace back.
#[utoipa::path(
    post,
    path = "/admin/users/{id}/erase",
    operation_id = "users_erase",
    tag = "Users",
    request_body = Erase,
    responses((status = 200, body = ErasedBody)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn erase(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    access::platform(&write.principal, Permission::Erase)?;
    let asked: Erase = write.json()?;
    let account: DiscordId = ids.id("id", "user")?;
    let user = Pseudonym::of(write.state.mac(), account);
    if !asked.dry_run
        && let Some(answer) = write.answered_before(Audience::Staff).await?
    {
        // The first try may have ended before this.
        session::end_all(&write, &user).await?;
        return Ok(answer);
    }
    let facts = known(&write.state, &user).await?;
    // What cannot be undone names all that it concerns.
    write.all_listed().await?;
    let removed = counted(&write, &user).await?;
    if asked.dry_run {
        let role = write.state.queries().platform().await?.platform.role(&user);
        let user = body(&facts, role);
        return Ok(json(StatusCode::OK, &ErasedBody { user, removed, dry_run: true }));
    }
    let recipe = Recipe::Erased { user: user.clone(), removed };
    let plan = Plan { tenant: None, reason: None, audience: Audience::Staff, recipe };
    let commands = write.state.commands();
    let act = |context: commands::Context| async move {
        let done = commands.erase(&context, account).await?;
        Outcome::of_user(commands, done).await
    };
    let response = write.perform(plan, act).await?;
    // The key is gone; whoever was signed in is signed out, also by a session that began while this was done.
    session::end_all(&write, &user).await?;
    Ok(response)
}

/// What an erasure concerns, as far as the read models show it.
async fn counted(write: &Write, user: &Pseudonym) -> Result<Removed, ApiError> {
    let queries = write.state.queries();
    let sessions = queries.sessions_of(user, write.now).await?.len();
    let memberships = queries.memberships(user).await?.len();
    let filter = LicenseFilter { owner: Some(user.clone()), ..LicenseFilter::default() };
    let (mut licenses, mut page) = (0, Page::first(PAGE_MAX));
    loop {
        let found = queries.licenses(&filter, page, write.now).await?;
        licenses += found.data.len();
        match found.next {
            Some(cursor) => page = Page { limit: PAGE_MAX, cursor: Some(cursor) },
            None => break,
        }
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Removed { sessions: count(sessions), licenses: count(licenses), memberships: count(memberships) })
}
