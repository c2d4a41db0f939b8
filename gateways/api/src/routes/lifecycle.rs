//! Staff's commands to one license: assign, suspend, resume, renew, revoke, rekey. Which transition is allowed is
//! the aggregate's matter.

use axum::response::Response;
use domain::id::{DiscordId, LicenseId};
use domain::license::{Hold, RenewTo, RevokeCategory};
use domain::time::{Span, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::{ApiError, FieldError};
use crate::extract::access::{self, Right};
use crate::extract::checks::{self, TOKEN_MAX};
use crate::extract::path::PathIds;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::license::LicenseBody;

/// The license of the address, if the caller has `right` to it, and the plan of a write that answers with it.
pub(crate) async fn opened(
    write: &Write,
    ids: &PathIds,
    right: Right,
    reason: Option<String>,
) -> Result<(LicenseId, Plan), ApiError> {
    let id: LicenseId = ids.id("id", "license")?;
    let reason = checks::reason(reason)?;
    let found = access::license(&write.state, &write.principal, id, right).await?;
    let audience = found.standing.audience();
    let recipe = Recipe::License { license: id };
    Ok((id, Plan { tenant: Some(found.guild), reason, audience, recipe }))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AssignRequest)]
struct Assign {
    #[schema(value_type = doc::Snowflake)]
    user_id: DiscordId,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Gives a license an owner.
#[utoipa::path(
    post,
    path = "/licenses/{id}/assign",
    operation_id = "licenses_assign",
    tag = "Licenses",
    request_body = Assign,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn assign(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Assign = write.json()?;
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.assign(&context, id, asked.user_id).await }).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = HoldRequest)]
struct Held {
    #[serde(default)]
    #[schema(value_type = Option<doc::Hold>)]
    by: Option<Hold>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Puts a hold on a license: `admin` unless another is named.
///
/// `role_loss` follows roles alone.
#[utoipa::path(
    post,
    path = "/licenses/{id}/suspend",
    operation_id = "licenses_suspend",
    tag = "Licenses",
    request_body = Held,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn suspend(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Held = write.json()?;
    let hold = asked.by.unwrap_or(Hold::Admin);
    if hold == Hold::RoleLoss {
        return Err(ApiError::impossible(
            "/by",
            "must be admin or policy: role_loss follows the roles of the owner",
        ));
    }
    let (id, plan) = opened(&write, &ids, access::MODERATE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.suspend(&context, id, hold).await }).await
}

/// Lifts a hold of a license: `admin` unless another is named.
#[utoipa::path(
    post,
    path = "/licenses/{id}/resume",
    operation_id = "licenses_resume",
    tag = "Licenses",
    request_body = Held,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn resume(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Held = write.json()?;
    let hold = asked.by.unwrap_or(Hold::Admin);
    let (id, plan) = opened(&write, &ids, access::MODERATE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.resume(&context, id, hold).await }).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RenewRequest)]
struct Renew {
    #[serde(default)]
    #[schema(value_type = Option<doc::Duration>)]
    r#for: Option<Span>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Time>)]
    until: Option<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Word>)]
    external_ref: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

impl Renew {
    fn to(&self) -> Result<RenewTo, ApiError> {
        match (self.r#for, self.until) {
            (None, None) => Ok(RenewTo::Default),
            (Some(span), None) if span.is_zero() => {
                Err(ApiError::impossible("/for", "must be longer than zero"))
            }
            (Some(span), None) => Ok(RenewTo::For(span)),
            (None, Some(until)) => Ok(RenewTo::Until(until)),
            (Some(_), Some(_)) => {
                let both =
                    FieldError::new("/until", "WRONG_FORM", "stands beside `for`; give one of them, or none");
                Err(ApiError::fields(crate::error::Code::InvalidRequest, vec![both]))
            }
        }
    }
}

/// Moves the end of a license.
#[utoipa::path(
    post,
    path = "/licenses/{id}/renew",
    operation_id = "licenses_renew",
    tag = "Licenses",
    request_body = Renew,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn renew(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Renew = write.json()?;
    let to = asked.to()?;
    if let Some(text) = &asked.external_ref {
        checks::characters("/externalRef", text, 1, TOKEN_MAX)?;
    }
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let commands = write.state.commands();
    write
        .perform(plan, |context| async move { commands.renew(&context, id, to, asked.external_ref).await })
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RevokeRequest)]
struct Revoke {
    #[serde(default)]
    #[schema(value_type = Option<doc::RevokeCategory>)]
    category: Option<RevokeCategory>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Why a license is ended: `manual` unless another category is named.
pub(crate) fn category(asked: Option<RevokeCategory>) -> Result<RevokeCategory, ApiError> {
    let category = asked.unwrap_or(RevokeCategory::Manual);
    if category == RevokeCategory::RoleLost {
        // It would leave an open slot without a license; only the plan from roles closes both at once.
        let detail = "must be another category: role_lost follows the roles of the owner";
        return Err(ApiError::impossible("/category", detail));
    }
    Ok(category)
}

/// Ends a license for good.
#[utoipa::path(
    post,
    path = "/licenses/{id}/revoke",
    operation_id = "licenses_revoke",
    tag = "Licenses",
    request_body = Revoke,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn revoke(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Revoke = write.json()?;
    let category = category(asked.category)?;
    let (id, plan) = opened(&write, &ids, access::REVOKE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.revoke(&context, id, category).await }).await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RekeyRequest)]
struct Rekey {
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Makes a new key for a license; the old one answers `KEY_SUPERSEDED` from then on.
#[utoipa::path(
    post,
    path = "/licenses/{id}/rekey",
    operation_id = "licenses_rekey",
    tag = "Licenses",
    request_body = Rekey,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn rekey(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Rekey = write.json()?;
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.rekey(&context, id).await }).await
}
