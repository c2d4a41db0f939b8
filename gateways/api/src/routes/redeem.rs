//! `POST /licenses/redeem`: a signed-in person takes a license that has no owner, with its key.

use axum::response::Response;
use serde::Deserialize;

use crate::error::ApiError;
use crate::extract::with_key;
use crate::extract::write::{Plan, Write};
use crate::recipe::Recipe;
use crate::render::Audience;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Redeem {
    key: String,
}

/// 200 with the license.
pub(crate) async fn redeem(write: Write) -> Result<Response, ApiError> {
    let user = write.principal.user()?.account;
    let asked: Redeem = write.json()?;
    let key = with_key::open(&write.state, &asked.key)?;
    let recipe = Recipe::License { license: key.license };
    let plan = Plan { tenant: None, reason: None, audience: Audience::Owner, recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.redeem(&context, key, user).await }).await
}
