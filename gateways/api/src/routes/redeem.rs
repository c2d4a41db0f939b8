//! `POST /licenses/redeem`: a signed-in person takes a license that has no owner, with its key.

use axum::response::Response;
use domain::id::GuildId;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::with_key;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::Audience;
use crate::render::license::LicenseBody;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RedeemRequest)]
struct Redeem {
    #[schema(value_type = doc::LicenseKey)]
    key: String,
    /// The server of a key that another system gave; a key of ours says by itself whose it is.
    #[serde(default)]
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
}

/// Takes a license that has no owner, with its key.
///
/// 200 with the license.
#[utoipa::path(
    post,
    path = "/licenses/redeem",
    operation_id = "licenses_redeem",
    tag = "Validation",
    request_body = Redeem,
    responses((status = 200, body = LicenseBody<'static>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn redeem(write: Write) -> Result<Response, ApiError> {
    let user = write.principal.user()?.account;
    let asked: Redeem = write.json()?;
    let key = with_key::open(&write.state, asked.guild_id, &asked.key).await?;
    let recipe = Recipe::License { license: key.license };
    let plan = Plan { tenant: None, reason: None, audience: Audience::Owner, recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.redeem(&context, key, user).await }).await
}
