//! Staff's commands to one license: assign, suspend, resume, renew, revoke, rekey. Which transition is allowed is
//! the aggregate's matter.

use axum::response::Response;
use domain::id::{DiscordId, LicenseId};
use domain::license::{Hold, RenewTo, RevokeCategory};
use domain::time::{Span, Timestamp};
use serde::Deserialize;

use crate::error::{ApiError, FieldError};
use crate::extract::access::{self, Right};
use crate::extract::checks::{self, TOKEN_MAX_BYTES};
use crate::extract::path::PathIds;
use crate::extract::write::{Plan, Write};
use crate::recipe::Recipe;

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Assign {
    user_id: DiscordId,
    #[serde(default)]
    reason: Option<String>,
}

/// Gives a license an owner.
pub(crate) async fn assign(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Assign = write.json()?;
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.assign(&context, id, asked.user_id).await }).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Held {
    #[serde(default)]
    by: Option<Hold>,
    #[serde(default)]
    reason: Option<String>,
}

/// Puts a hold on: `admin` unless another is named. `role_loss` follows roles alone.
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

/// Lifts a hold: `admin` unless another is named.
pub(crate) async fn resume(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Held = write.json()?;
    let hold = asked.by.unwrap_or(Hold::Admin);
    let (id, plan) = opened(&write, &ids, access::MODERATE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.resume(&context, id, hold).await }).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Renew {
    #[serde(default)]
    r#for: Option<Span>,
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    external_ref: Option<String>,
    #[serde(default)]
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
pub(crate) async fn renew(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Renew = write.json()?;
    let to = asked.to()?;
    if let Some(text) = &asked.external_ref {
        checks::bytes("/externalRef", text, 1, TOKEN_MAX_BYTES)?;
    }
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let commands = write.state.commands();
    write
        .perform(plan, |context| async move { commands.renew(&context, id, to, asked.external_ref).await })
        .await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Revoke {
    #[serde(default)]
    category: Option<RevokeCategory>,
    #[serde(default)]
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
pub(crate) async fn revoke(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Revoke = write.json()?;
    let category = category(asked.category)?;
    let (id, plan) = opened(&write, &ids, access::REVOKE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.revoke(&context, id, category).await }).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rekey {
    #[serde(default)]
    reason: Option<String>,
}

/// Makes a new key; the old one answers `KEY_SUPERSEDED` from then on.
pub(crate) async fn rekey(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Rekey = write.json()?;
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.rekey(&context, id).await }).await
}
