//! Offline licenses: `POST /licenses/certificate` with the license key, `POST /licenses/{id}/certificate` and
//! `…/certificate/release` with the license's id, and the public keys that they are checked with. How long one lasts is the
//! aggregate's matter; how it is checked stands in docs/OFFLINE.md.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use commands::LeaseOrder;
use commands::signer::{KeySet, Signer, SigningPurpose};
use domain::certificate::Fingerprint;
use domain::credential::Scope;
use domain::id::LicenseId;
use domain::ports::Sign as _;
use domain::time::Span;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::ApiError;
use crate::extract::access;
use crate::extract::body::Object;
use crate::extract::checks::{self, Component};
use crate::extract::path::PathIds;
use crate::extract::query::Query;
use crate::extract::with_key::named;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::json;
use crate::render::license::{CertificateBody, LicenseBody};
use crate::state::ApiState;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CertificateWithKeyRequest)]
struct WithKey {
    #[schema(value_type = doc::LicenseKey)]
    key: String,
    #[schema(value_type = doc::DeviceId)]
    device_id: String,
    #[serde(default)]
    #[schema(value_type = Vec<Component>)]
    components: Vec<Object<Component>>,
    /// For how long at most; as long as the terms allow unless it is said.
    #[serde(default)]
    #[schema(value_type = Option<doc::Duration>)]
    ttl: Option<Span>,
}

/// Issues an offline license for an active device, with the license key.
///
/// 201 with the certificate, the license and the device. For secret keys: a program asks through its own backend.
#[utoipa::path(
    post,
    path = "/licenses/certificate",
    operation_id = "certificates_issue_with_key",
    tag = "Offline licenses",
    request_body = WithKey,
    responses((status = 201, body = CertificateBody<'static>)),
    security(("apiKey" = []), ("bearer" = [])),
)]
pub(crate) async fn issue_with_key(write: Write) -> Result<Response, ApiError> {
    let asked: WithKey = write.json()?;
    checks::key(&asked.key)?;
    checks::device_id(&asked.device_id)?;
    check_ttl(asked.ttl)?;
    let components = checks::components(asked.components)?;
    write.principal.key(Scope::Certificate)?;
    let named = named(&write, &asked.key, None, Scope::Certificate).await?;
    let order = LeaseOrder { id: Uuid::new_v4(), device_id: asked.device_id, components, ttl: asked.ttl };
    let recipe = recipe(&write, named.key.license, &order);
    let plan = Plan { tenant: named.tenant, reason: None, audience: named.audience, recipe };
    let commands = write.state.commands();
    write
        .perform(
            plan,
            |context| async move { commands.issue_lease_with_key(&context, named.key, order).await },
        )
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CertificateRequest)]
struct ById {
    #[schema(value_type = doc::DeviceId)]
    device_id: String,
    /// For how long at most; as long as the terms allow unless it is said.
    #[serde(default)]
    #[schema(value_type = Option<doc::Duration>)]
    ttl: Option<Span>,
}

/// Issues an offline license for an active device.
///
/// 201 with the certificate, the license and the device. It names the device by its id alone, whatever components it has.
#[utoipa::path(
    post,
    path = "/licenses/{id}/certificate",
    operation_id = "certificates_issue",
    tag = "Offline licenses",
    request_body = ById,
    responses((status = 201, body = CertificateBody<'static>)),
)]
pub(crate) async fn issue(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: ById = write.json()?;
    checks::device_id(&asked.device_id)?;
    check_ttl(asked.ttl)?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&write.state, &write.principal, id, access::CERTIFY).await?;
    let order =
        LeaseOrder { id: Uuid::new_v4(), device_id: asked.device_id, components: Vec::new(), ttl: asked.ttl };
    let recipe = recipe(&write, id, &order);
    let plan = Plan { tenant: Some(found.guild), reason: None, audience: found.standing.audience(), recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.issue_lease(&context, id, order).await }).await
}

/// The recipe of a certificate holds what makes its text the same each time: when, with which key, of which machine.
fn recipe(write: &Write, license: LicenseId, order: &LeaseOrder) -> Recipe {
    let signer = Signer::active(write.state.commands().ring(), SigningPurpose::Certificates);
    Recipe::Certificate {
        license,
        lease: order.id,
        at: write.now,
        key: signer.key_id(),
        fingerprint: Fingerprint::of(write.state.mac(), license, order.id, &order.components),
    }
}

fn check_ttl(ttl: Option<Span>) -> Result<(), ApiError> {
    match ttl {
        Some(ttl) if ttl.is_zero() => Err(ApiError::impossible("/ttl", "must be longer than zero")),
        _ => Ok(()),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CertificateRelease)]
struct Release {
    #[schema(value_type = uuid::Uuid)]
    lease_id: Uuid,
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Takes an offline license back before it ends.
///
/// 200 with the license. Its slot is free at once; the certificate itself goes on saying what it says until its `exp`.
#[utoipa::path(
    post,
    path = "/licenses/{id}/certificate/release",
    operation_id = "certificates_release",
    tag = "Offline licenses",
    request_body = Release,
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn release(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Release = write.json()?;
    let (id, plan) = super::lifecycle::opened(&write, &ids, access::DEVICES, asked.reason).await?;
    let commands = write.state.commands();
    write
        .perform(plan, |context| async move { commands.release_lease(&context, id, asked.lease_id).await })
        .await
}

/// Shows the public keys that programs check with (RFC 7517, RFC 8037).
///
/// `purpose` says what a key signs: offline licenses or answers. A key stays here as long as something that it signed may
/// be about.
#[utoipa::path(
    get,
    path = "/.well-known/dca-keys.json",
    operation_id = "keys_of_programs",
    tag = "Offline licenses",
    responses((status = 200, body = doc::ProgramKeySet)),
    security(()),
)]
pub(crate) async fn keys(State(state): State<ApiState>, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(json(StatusCode::OK, &KeySet::of_programs(state.commands().ring())))
}
