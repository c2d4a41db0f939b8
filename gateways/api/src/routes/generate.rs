//! `POST /admin/licenses/generate`: many new licenses in one append, all or nothing. Their keys are shown in the
//! answer and can be rendered again; they are stored nowhere.

use axum::response::Response;
use commands::GenerateOrder;
use domain::id::{DiscordId, GuildId, LicenseId};
use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::access;
use crate::extract::checks::{self, TOKEN_MAX};
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::{Batch, Recipe};
use crate::render::Audience;
use crate::render::List;
use crate::render::license::Keyed;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = GenerateRequest)]
struct Generate {
    #[schema(value_type = doc::Snowflake)]
    guild_id: GuildId,
    #[schema(value_type = doc::Word)]
    r#type: String,
    #[schema(value_type = doc::Count)]
    count: u64,
    #[serde(default)]
    #[schema(value_type = Option<doc::Snowflake>)]
    assign_to: Option<DiscordId>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Time>)]
    starts_at: Option<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Metadata>)]
    metadata: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Metadata>)]
    private_metadata: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

impl Generate {
    fn count(&self, most: u32) -> Result<u32, ApiError> {
        let count = u32::try_from(self.count).ok().filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| {
            ApiError::impossible("/count", format!("must be from 1 to {most}, and is {}", self.count))
        })
    }

    /// The order for these `ids`, once every text of it was looked at.
    fn order(self, ids: Vec<LicenseId>) -> Result<GenerateOrder, ApiError> {
        checks::characters("/type", &self.r#type, 1, TOKEN_MAX)?;
        let text =
            |pointer, raw: Option<Box<RawValue>>| raw.map(|raw| checks::metadata(pointer, &raw)).transpose();
        Ok(GenerateOrder {
            guild: self.guild_id,
            license_type: self.r#type,
            ids,
            assign_to: self.assign_to,
            starts_at: self.starts_at,
            metadata: text("/metadata", self.metadata)?,
            private_metadata: text("/privateMetadata", self.private_metadata)?,
        })
    }
}

/// Makes licenses, all or none.
///
/// 201 with the licenses and their keys.
#[utoipa::path(
    post,
    path = "/admin/licenses/generate",
    operation_id = "licenses_generate",
    tag = "Many licenses",
    request_body = Generate,
    responses((
        status = 201,
        content((List<Keyed<'static>> = "application/json"), (String = "application/jsonl"), (String = "text/csv"))
    )),
)]
pub(crate) async fn generate(write: Write) -> Result<Response, ApiError> {
    let mut asked: Generate = write.json()?;
    let (guild, count) = (asked.guild_id, asked.count(write.state.limits().generate_max)?);
    let reason = checks::reason(asked.reason.take())?;
    access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    // `license.generated`, and `license.assigned` if there is an owner.
    let batch = Batch::new(count, if asked.assign_to.is_some() { 2 } else { 1 });
    let order = asked.order(batch.ids())?;
    let recipe = Recipe::Generated { batch, guild };
    let plan = Plan { tenant: Some(guild), reason, audience: Audience::Staff, recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.generate(&context, order).await }).await
}
