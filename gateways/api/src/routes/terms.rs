//! `POST /licenses/{id}/terms` and `/metadata`: changes to one license that leave its type alone.

use axum::response::Response;
use commands::TermsOrder;
use domain::terms::{TermsChange, nullable};
use domain::time::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::lifecycle::opened;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::body::Object;
use crate::extract::checks;
use crate::extract::path::PathIds;
use crate::extract::write::Write;
use crate::openapi::types as doc;
use crate::render::license::LicenseBody;

const DEACTIVATE_MAX: usize = 1_000;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = TermsRequest)]
struct Terms {
    #[serde(default)]
    #[schema(value_type = doc::TermsChange)]
    terms: Object<TermsChange>,
    #[serde(default, with = "nullable")]
    #[schema(value_type = Option<doc::Time>)]
    expires_at: Option<Option<Timestamp>>,
    #[serde(default)]
    #[schema(value_type = Vec<doc::DeviceId>)]
    deactivate: Vec<String>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Changes the terms of one license.
///
/// 200 with the license.
#[utoipa::path(
    post,
    path = "/licenses/{id}/terms",
    operation_id = "licenses_terms",
    tag = "Licenses",
    request_body = Terms,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn terms(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Terms = write.json()?;
    if asked.deactivate.len() > DEACTIVATE_MAX {
        let detail = format!("may have {DEACTIVATE_MAX} entries, and has {}", asked.deactivate.len());
        return Err(ApiError::invalid("/deactivate", "WRONG_LENGTH", detail));
    }
    for (index, device) in asked.deactivate.iter().enumerate() {
        checks::characters(&format!("/deactivate/{index}"), device, 1, 128)?;
    }
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let order =
        TermsOrder { terms: asked.terms.0, expires_at: asked.expires_at, deactivate: asked.deactivate };
    let commands = write.state.commands();
    let changed =
        write.perform(plan, |context| async move { commands.change_terms(&context, id, order).await }).await;
    changed.map_err(|error| error.moved_under("/terms", &["/expiresAt", "/deactivate", "/reason"]))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MetadataRequest)]
struct Metadata {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<doc::Metadata>)]
    metadata: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<doc::Metadata>)]
    private_metadata: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// A member that is there, `null` included.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// `None` keeps what is there, `Some(None)` clears it.
fn change(pointer: &str, raw: Option<Box<RawValue>>) -> Result<Option<Option<String>>, ApiError> {
    match raw {
        None => Ok(None),
        Some(raw) if raw.get() == "null" => Ok(Some(None)),
        Some(raw) => checks::metadata(pointer, &raw).map(|text| Some(Some(text))),
    }
}

/// Changes the metadata of a license.
///
/// 200 with the license.
#[utoipa::path(
    post,
    path = "/licenses/{id}/metadata",
    operation_id = "licenses_metadata",
    tag = "Licenses",
    request_body = Metadata,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn metadata(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Metadata = write.json()?;
    let public = change("/metadata", asked.metadata)?;
    let private = change("/privateMetadata", asked.private_metadata)?;
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let commands = write.state.commands();
    write
        .perform(plan, |context| async move { commands.change_metadata(&context, id, public, private).await })
        .await
}
