//! The answer to a write, from its recipe and what it left behind: body, `ETag` and `DCA-Position`. The same
//! function serves the write and its repeats.

use std::collections::HashMap;

use axum::http::header::ETAG;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use commands::signer::{Signer, SigningPurpose};
use domain::certificate::{self, Issue};
use domain::device::DeviceClaim;
use domain::guild::Guild;
use domain::id::{LicenseId, StreamId};
use domain::license::License;
use domain::member::Member;
use domain::platform::PlatformRole;
use domain::private::Unsealed;
use domain::time::Timestamp;
use domain::user::User;
use uuid::Uuid;

use crate::error::ApiError;
use crate::extract::accept::Form;
use crate::extract::position::{self, POSITION};
use crate::keyed;
use crate::open;
use crate::recipe::{Created, Lot, Outcome, Recipe, Subject, activated, api_key_text};
use crate::render::guild::{ApiKeyBody, GuildBody, MemberBody, RuleBody, TypeBody};
use crate::render::license::{CertificateBody, DeviceBody, ImportedBody, LicenseAndDevice, LicenseBody};
use crate::render::user::{ErasedBody, UserBody};
use crate::render::{Audience, List, json};
use crate::routes::staff;
use crate::state::ApiState;

/// For whom and when an answer is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) audience: Audience,
    pub(crate) now: Timestamp,
    /// How many at once are written; other answers have one form.
    pub(crate) form: Form,
}

/// Makes the answer.
pub(crate) async fn of(
    state: &ApiState,
    reader: Reader,
    recipe: &Recipe,
    outcome: &Outcome,
) -> Result<Response, ApiError> {
    let (mut response, version) = match &outcome.subject {
        Subject::License(license) => {
            (of_license(state, reader, recipe, license).await?, Some(license.version))
        }
        Subject::Licenses(licenses) => (of_licenses(state, reader, recipe, licenses).await?, None),
        Subject::Guild(guild) => (of_guild(state, recipe, guild).await?, Some(guild.version)),
        Subject::User(user, role) => (of_user(state, recipe, user, *role).await?, Some(user.version)),
        Subject::Member(member) => (of_member(state, member).await?, Some(member.version)),
        Subject::Applied(applied) => (json(StatusCode::OK, applied), None),
        Subject::Imported { created, existing, passed_over } => {
            let body = ImportedBody::new(*created, *existing, false, passed_over.as_ref());
            (json(StatusCode::OK, &body), None)
        }
        Subject::Revoked(items) => {
            (json(StatusCode::OK, &List { data: items.iter().collect(), next_cursor: None }), None)
        }
    };
    // Where nothing was left to do, the head of the log is a position that shows the state.
    let at = outcome.position.unwrap_or_else(|| state.queries().head());
    stamp(state, &mut response, version, at);
    Ok(response)
}

/// Puts `ETag` and `DCA-Position` on an answer.
pub(crate) fn stamp(state: &ApiState, response: &mut Response, version: Option<u64>, at: i64) {
    let headers = response.headers_mut();
    if let Some(tag) = version.and_then(|version| HeaderValue::try_from(format!("\"{version}\"")).ok()) {
        headers.insert(ETAG, tag);
    }
    if let Some(value) = position::header(state.queries().epoch(), at) {
        headers.insert(POSITION, value);
    }
}

async fn of_license(
    state: &ApiState,
    reader: Reader,
    recipe: &Recipe,
    license: &License,
) -> Result<Response, ApiError> {
    let opened = open::licenses(state, std::slice::from_ref(license)).await?;
    let personal = opened.first().ok_or_else(ApiError::internal)?;
    let body = || LicenseBody::new(license, personal, reader.audience, reader.now);
    let device = |found, seen| DeviceBody::new(license, personal, found, seen, reader.now);
    match recipe {
        Recipe::Activation { device: made, device_id, components, .. } => {
            let claim = DeviceClaim { device_id: device_id.clone(), components: components.clone() };
            let (found, created) = activated(license, *made, &claim).ok_or_else(ApiError::internal)?;
            // To be activated is to be seen; an earlier activation may have been used since.
            let seen = match created {
                Created::Now => Some(found.activated_at),
                Created::Before => last_seen(state, license.id).await.get(&found.id).copied(),
            };
            let answer = LicenseAndDevice { license: body(), device: Some(device(found, seen)) };
            Ok(json(status(created), &answer))
        }
        Recipe::Certificate { lease, at, key, fingerprint, .. } => {
            let lease = license.ledger.leases.iter().find(|one| one.id == *lease);
            let lease = lease.ok_or_else(ApiError::internal)?;
            let known = license.devices.iter().find(|device| device.device_id == lease.device_id);
            let found = known.ok_or_else(ApiError::internal)?;
            let seen = last_seen(state, license.id).await.get(&found.id).copied();
            let issuer = state.tokens().issuer();
            let issue = Issue { issuer, lease, at: *at, fingerprint };
            let certificate = certificate(state, license, &issue, key)?;
            let answer = CertificateBody::new(certificate, lease, body(), device(found, seen));
            Ok(json(StatusCode::CREATED, &answer))
        }
        Recipe::Device { device: text, .. } => {
            let found = license.device(text).ok_or_else(ApiError::internal)?;
            let seen = last_seen(state, license.id).await.get(&found.id).copied();
            Ok(json(StatusCode::OK, &device(found, seen)))
        }
        _ => Ok(json(StatusCode::OK, &body())),
    }
}

/// The text of an offline license. The ring keeps every key; should it have lost the one of the issue, the active one signs.
fn certificate(
    state: &ApiState,
    license: &License,
    issue: &Issue<'_>,
    key: &str,
) -> Result<String, ApiError> {
    let (ring, purpose) = (state.commands().ring(), SigningPurpose::Certificates);
    let signer = Signer::known(ring, purpose, key).unwrap_or_else(|| Signer::active(ring, purpose));
    certificate::render(state.mac(), &signer, license, issue).map_err(|error| {
        tracing::error!(%error, "a certificate has no JSON form");
        ApiError::internal()
    })
}

/// When the devices of a license were last in use, by our id. It decorates answers and is not worth failing one.
pub(crate) async fn last_seen(state: &ApiState, license: LicenseId) -> HashMap<Uuid, Timestamp> {
    state.queries().last_seen().of_license(license).await.unwrap_or_else(|error| {
        tracing::warn!(%error, %license, "the last use of devices is left out of an answer");
        HashMap::new()
    })
}

const fn status(created: Created) -> StatusCode {
    match created {
        Created::Now => StatusCode::CREATED,
        Created::Before => StatusCode::OK,
    }
}

async fn of_licenses(
    state: &ApiState,
    reader: Reader,
    recipe: &Recipe,
    licenses: &Lot,
) -> Result<Response, ApiError> {
    let Recipe::Generated { guild, .. } = recipe else { return Err(ApiError::internal()) };
    let facts = state.queries().guild(*guild).await?;
    let prefix = facts.map(|facts| facts.guild.settings.key_prefix.clone()).unwrap_or_default();
    keyed::answer(state, reader, licenses, &prefix).await
}

async fn of_guild(state: &ApiState, recipe: &Recipe, guild: &Guild) -> Result<Response, ApiError> {
    match recipe {
        Recipe::Guild { guild: id } => {
            let owner = open::owner(state, *id, guild).await?;
            Ok(json(StatusCode::OK, &GuildBody::new(guild, owner.as_deref())))
        }
        Recipe::LicenseType { slug, created, .. } => {
            let license_type = guild.license_type(slug).ok_or_else(ApiError::internal)?;
            Ok(json(status(*created), &TypeBody::new(guild, license_type)))
        }
        Recipe::Rule { rule, created, .. } => {
            let rule = guild.rules.get(rule).ok_or_else(ApiError::internal)?;
            Ok(json(status(*created), &RuleBody::new(guild, rule)))
        }
        Recipe::Staff { guild: id, user } => {
            let shown = match guild.staff.get(user) {
                Some(staff) => open::account(state, &StreamId::guild(*id), &staff.person).await?,
                None => None,
            };
            Ok(staff::answer(guild, user, shown.as_deref()))
        }
        Recipe::ApiKey { api_key, created, .. } => {
            let found = guild.api_key(*api_key).ok_or_else(ApiError::internal)?;
            let mut body = ApiKeyBody::new(guild, found);
            if *created == Created::Now {
                body.key = api_key_text(state.mac(), guild, *api_key);
            }
            Ok(json(status(*created), &body))
        }
        _ => Err(ApiError::internal()),
    }
}

async fn of_member(state: &ApiState, member: &Member) -> Result<Response, ApiError> {
    let shown = match member.guild.zip(member.person.as_ref()) {
        Some((guild, person)) => open::account(state, &StreamId::member(guild, &person.id), person).await?,
        None => None,
    };
    Ok(json(StatusCode::OK, &MemberBody::new(member, shown.as_deref().unwrap_or("erased"))))
}

async fn of_user(
    state: &ApiState,
    recipe: &Recipe,
    user: &User,
    role: Option<PlatformRole>,
) -> Result<Response, ApiError> {
    let opened = open::user(state, user).await?;
    let shown = |field: Option<Unsealed>| field.map(|field| field.shown().to_owned());
    let snowflake = shown(opened.snowflake).unwrap_or_default();
    let body = UserBody::new(user, role, snowflake, shown(opened.username), shown(opened.email));
    match recipe {
        Recipe::Erased { removed, .. } => {
            Ok(json(StatusCode::OK, &ErasedBody { user: body, removed: *removed, dry_run: false }))
        }
        _ => Ok(json(StatusCode::OK, &body)),
    }
}
