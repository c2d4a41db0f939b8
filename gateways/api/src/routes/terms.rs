//! `POST /licenses/{id}/terms` and `/metadata`: changes to one license that leave its type alone.

use axum::response::Response;
use commands::TermsOrder;
use domain::terms::{TermsChange, nullable};
use domain::time::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::lifecycle::opened;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::body::Object;
use crate::extract::checks;
use crate::extract::path::PathIds;
use crate::extract::write::Write;

const DEACTIVATE_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Terms {
    #[serde(default)]
    terms: Object<TermsChange>,
    #[serde(default, with = "nullable")]
    expires_at: Option<Option<Timestamp>>,
    #[serde(default)]
    deactivate: Vec<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// 200 with the license.
pub(crate) async fn terms(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Terms = write.json()?;
    if asked.deactivate.len() > DEACTIVATE_MAX {
        let detail = format!("may have {DEACTIVATE_MAX} entries, and has {}", asked.deactivate.len());
        return Err(ApiError::invalid("/deactivate", "WRONG_LENGTH", detail));
    }
    for (index, device) in asked.deactivate.iter().enumerate() {
        checks::bytes(&format!("/deactivate/{index}"), device, 1, 128)?;
    }
    let (id, plan) = opened(&write, &ids, access::MANAGE, asked.reason).await?;
    let order =
        TermsOrder { terms: asked.terms.0, expires_at: asked.expires_at, deactivate: asked.deactivate };
    let commands = write.state.commands();
    let changed =
        write.perform(plan, |context| async move { commands.change_terms(&context, id, order).await }).await;
    changed.map_err(|error| error.moved_under("/terms", &["/expiresAt", "/deactivate", "/reason"]))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    #[serde(default, deserialize_with = "given")]
    metadata: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "given")]
    private_metadata: Option<Box<RawValue>>,
    #[serde(default)]
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

/// 200 with the license.
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
