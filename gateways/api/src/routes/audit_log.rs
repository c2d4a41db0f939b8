//! The log as others can check it: the export of a guild, which proves itself, checkpoints, and proofs of single events
//! and of the log's growth. Sealed fields go out sealed; nothing is opened here.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use domain::id::GuildId;
use domain::merkle::{Hash, leaf_hash};
use domain::proof::{Checkpoint, LogKey, Note, fingerprint};
use domain::rbac::Permission;
use futures::{StreamExt as _, stream};
use projections::GuildExport;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::query::Query;
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::json;
use crate::state::ApiState;

/// Exports every event of a guild as JSON Lines, with what proves that it is whole.
///
/// It is read from the log while it is sent.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/audit-log/export",
    operation_id = "audit_log_export",
    tag = "Audit log",
    responses((status = 200, body = String, content_type = "application/jsonl")),
)]
pub(crate) async fn export(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let guild: GuildId = ids.id("guild", "guild")?;
    access::guild(&read.state, &read.principal, guild, access::AUDIT).await?;
    let export = read.state.seal_log().export(guild).await?.ok_or_else(|| ApiError::not_found("guild"))?;
    let header = export.header()?;
    let lines = stream::once(async move { Ok(header) }).chain(stream::try_unfold(export, next_lines));
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(response)
}

/// A stream that breaks off breaks the connection, so that nobody takes its beginning for the whole; the file says by
/// itself that its end is missing.
async fn next_lines(mut export: GuildExport) -> io::Result<Option<(String, GuildExport)>> {
    match export.next().await {
        Ok(lines) => Ok(lines.map(|lines| (lines, export))),
        Err(error) => {
            tracing::error!(%error, "an export broke off");
            Err(io::Error::other(error))
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LogKey)]
struct KeyBody {
    origin: String,
    key: String,
    fingerprint: String,
}

/// Shows the public key of checkpoints.
///
/// It is asked for without a credential, so nothing of a tenant stands here.
#[utoipa::path(
    get,
    path = "/.well-known/dca-log.json",
    operation_id = "audit_log_key",
    tag = "Audit log",
    responses((status = 200, body = KeyBody)),
    security(()),
)]
pub(crate) async fn key(State(state): State<ApiState>, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    let key = state.seal_log().key();
    let fingerprint = fingerprint(&key.public);
    Ok(json(StatusCode::OK, &KeyBody { key: key.to_string(), fingerprint, origin: key.name }))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Checkpoint)]
struct CheckpointBody<'a> {
    epoch: &'a str,
    size: u64,
    #[schema(value_type = doc::Hash)]
    root: Hash,
    checkpoint: &'a str,
    key: String,
}

impl<'a> CheckpointBody<'a> {
    fn new(said: &'a Checkpoint, note: &'a Note, key: &LogKey) -> Self {
        let (epoch, size, root) = (&*said.epoch, said.size, said.root);
        Self { epoch, size, root, checkpoint: note.as_str(), key: key.to_string() }
    }
}

/// Shows a checkpoint of now, or the one that was signed when the log had `size` events.
#[utoipa::path(
    get,
    path = "/admin/audit-log/checkpoint",
    operation_id = "audit_log_checkpoint",
    tag = "Audit log",
    params(("size" = Option<doc::Number>, Query)),
    responses((status = 200, body = CheckpointBody<'static>)),
)]
pub(crate) async fn checkpoint(read: Read) -> Result<Response, ApiError> {
    access::platform(&read.principal, Permission::Checkpoints)?;
    let query = read.query(&["size"])?;
    let log = read.state.seal_log();
    let note = match query.get::<i64>("size")? {
        Some(size) => log.note(size).await?.ok_or_else(|| ApiError::not_found("checkpoint"))?,
        None => log.checkpoint().await?.note,
    };
    let said = note.read().map_err(|_| ApiError::damaged())?;
    Ok(json(StatusCode::OK, &CheckpointBody::new(&said, &note, &log.key())))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Proof)]
struct ProofBody<'a> {
    position: i64,
    /// The text that is hashed.
    record: &'a str,
    #[schema(value_type = doc::Hash)]
    leaf: Hash,
    #[schema(value_type = Vec<doc::Hash>)]
    path: &'a [Hash],
    #[serde(flatten)]
    checkpoint: CheckpointBody<'a>,
}

/// Proves that the event at `position` is in the log.
#[utoipa::path(
    get,
    path = "/admin/audit-log/proof",
    operation_id = "audit_log_proof",
    tag = "Audit log",
    params(("position" = doc::Number, Query)),
    responses((status = 200, body = ProofBody<'static>)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn proof(read: Read) -> Result<Response, ApiError> {
    access::platform(&read.principal, Permission::Prove)?;
    let query = read.query(&["position"])?;
    let position: i64 = query.get("position")?.ok_or_else(|| missing("position"))?;
    let log = read.state.seal_log();
    let proof = log.prove_event(position).await?.ok_or_else(|| ApiError::not_found("position"))?;
    let body = ProofBody {
        position,
        record: &proof.record,
        leaf: leaf_hash(proof.record.as_bytes()),
        path: &proof.path,
        checkpoint: CheckpointBody::new(&proof.sealed.checkpoint, &proof.sealed.note, &log.key()),
    };
    Ok(json(StatusCode::OK, &body))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConsistencyProof)]
struct ConsistencyBody {
    from: i64,
    #[schema(value_type = doc::Hash)]
    from_root: Hash,
    to: i64,
    #[schema(value_type = doc::Hash)]
    to_root: Hash,
    #[schema(value_type = Vec<doc::Hash>)]
    path: Vec<Hash>,
}

/// Proves that the log of `to` events begins with the log of `from` events; without `to`, the log of now.
#[utoipa::path(
    get,
    path = "/admin/audit-log/consistency",
    operation_id = "audit_log_consistency",
    tag = "Audit log",
    params(("from" = doc::Number, Query), ("to" = Option<doc::Number>, Query)),
    responses((status = 200, body = ConsistencyBody)),
    security(("bearer" = []), ("cookie" = [])),
)]
pub(crate) async fn consistency(read: Read) -> Result<Response, ApiError> {
    access::platform(&read.principal, Permission::Prove)?;
    let query = read.query(&["from", "to"])?;
    let from: i64 = query.get("from")?.ok_or_else(|| missing("from"))?;
    let log = read.state.seal_log();
    let sealed = log.catch_up().await?;
    let to = query.get("to")?.unwrap_or(sealed);
    let proof = log.prove_consistency(from, to).await?.ok_or_else(|| {
        ApiError::impossible("?from", format!("must be from 1 to `to`, and `to` at most {sealed}"))
    })?;
    let (from_root, to_root) = (proof.from_root, proof.to_root);
    Ok(json(StatusCode::OK, &ConsistencyBody { from, from_root, to, to_root, path: proof.path }))
}

fn missing(name: &str) -> ApiError {
    ApiError::invalid(format!("?{name}"), "MISSING_MEMBER", "is needed here")
}
