//! `POST /licenses/{id}/transfer` and `POST /licenses/transfers/{id}/accept`: handing a license on. Staff hand it
//! on at once; the owner offers it, and the receiver accepts.

use axum::response::Response;
use domain::id::{DiscordId, LicenseId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::lifecycle::opened;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::Audience;
use crate::render::license::LicenseBody;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = TransferRequest)]
struct Transfer {
    #[schema(value_type = doc::Snowflake)]
    to_user_id: DiscordId,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Hands a license on: staff at once, the owner by an offer.
///
/// 200 with the license: handed on, or offered.
#[utoipa::path(
    post,
    path = "/licenses/{id}/transfer",
    operation_id = "licenses_transfer",
    tag = "Licenses",
    request_body = Transfer,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn transfer(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Transfer = write.json()?;
    let (id, plan) = opened(&write, &ids, access::TRANSFER, asked.reason).await?;
    let commands = write.state.commands();
    let to = asked.to_user_id;
    let is_offer = plan.audience == Audience::Owner;
    write
        .perform(plan, |context| async move {
            match is_offer {
                true => commands.offer_transfer(&context, id, to).await,
                false => commands.transfer(&context, id, to).await,
            }
        })
        .await
}

/// Accepts a license that is offered.
///
/// 200 with the license, which is the receiver's from now on. To everybody else it is not there.
#[utoipa::path(
    post,
    path = "/licenses/transfers/{id}/accept",
    operation_id = "licenses_accept",
    tag = "Licenses",
    responses((status = 200, body = LicenseBody<'static>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn accept(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.is_empty()?;
    let user = write.principal.user()?;
    let id: LicenseId = ids.id("id", "license")?;
    let facts = write.state.queries().license(id).await?.ok_or_else(|| ApiError::not_found("license"))?;
    let license = &facts.license;
    let offered = license.offer.as_ref().is_some_and(|offer| offer.to.id == user.id);
    let owned = license.owner.as_ref().is_some_and(|owner| owner.id == user.id);
    if !offered && !owned {
        return Err(ApiError::not_found("license"));
    }
    let plan = Plan {
        tenant: license.guild,
        reason: None,
        audience: Audience::Owner,
        recipe: Recipe::License { license: id },
    };
    let (commands, account) = (write.state.commands(), user.account);
    write.perform(plan, |context| async move { commands.accept_transfer(&context, id, account).await }).await
}
