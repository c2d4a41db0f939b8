//! `POST /admin/licenses/generate`: many new licenses in one append, all or nothing. Their keys are shown in the
//! answer and can be rendered again; they are stored nowhere.

use axum::response::Response;
use commands::GenerateOrder;
use domain::id::{DiscordId, GuildId};
use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::extract::access;
use crate::extract::checks::{self, TOKEN_MAX_BYTES};
use crate::extract::write::{Plan, Write};
use crate::recipe::{Batch, Recipe};
use crate::render::Audience;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Generate {
    guild_id: GuildId,
    r#type: String,
    count: u64,
    #[serde(default)]
    assign_to: Option<DiscordId>,
    #[serde(default)]
    starts_at: Option<Timestamp>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
    #[serde(default)]
    private_metadata: Option<Box<RawValue>>,
    #[serde(default)]
    reason: Option<String>,
}

/// 201 with the licenses and their keys.
pub(crate) async fn generate(write: Write) -> Result<Response, ApiError> {
    let asked: Generate = write.json()?;
    let most = write.state.limits().generate_max;
    let count = u32::try_from(asked.count)
        .ok()
        .filter(|count| (1..=most).contains(count));
    let count = count.ok_or_else(|| {
        ApiError::impossible(
            "/count",
            format!("must be from 1 to {most}, and is {}", asked.count),
        )
    })?;
    checks::bytes("/type", &asked.r#type, 1, TOKEN_MAX_BYTES)?;
    let text = |pointer, raw: &Option<Box<RawValue>>| {
        raw.as_ref().map(|raw| checks::metadata(pointer, raw)).transpose()
    };
    let metadata = text("/metadata", &asked.metadata)?;
    let private_metadata = text("/privateMetadata", &asked.private_metadata)?;
    let reason = checks::reason(asked.reason)?;
    access::guild(&write.state, &write.principal, asked.guild_id, access::MANAGE).await?;
    // `license.generated`, and `license.assigned` if there is an owner.
    let batch = Batch::new(count, if asked.assign_to.is_some() { 2 } else { 1 });
    let order = GenerateOrder {
        guild: asked.guild_id,
        license_type: asked.r#type,
        ids: batch.ids(),
        assign_to: asked.assign_to,
        starts_at: asked.starts_at,
        metadata,
        private_metadata,
    };
    let recipe = Recipe::Generated {
        batch,
        guild: asked.guild_id,
    };
    let plan = Plan {
        tenant: Some(asked.guild_id),
        reason,
        audience: Audience::Staff,
        recipe,
    };
    let commands = write.state.commands();
    write
        .perform(
            plan,
            |context| async move { commands.generate(&context, order).await },
        )
        .await
}
