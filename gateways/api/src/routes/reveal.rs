//! `GET /licenses/{id}/key`: the key of a license, for its owner and for those who may see keys. Nobody sees one without a
//! record of it in the log.

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::LicenseId;
use domain::key;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access::{self, Standing};
use crate::extract::path::PathIds;
use crate::extract::principal::Principal;
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::json;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RevealedKey)]
struct KeyBody {
    #[schema(value_type = doc::LicenseKey)]
    key: String,
    key_version: u8,
}

/// Shows the key that opens a license now.
///
/// It is recorded before it is shown: if it cannot be, there is no answer.
#[utoipa::path(
    get,
    path = "/licenses/{id}/key",
    operation_id = "licenses_key",
    tag = "Licenses",
    responses((status = 200, body = KeyBody)),
)]
pub(crate) async fn key(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&read.state, &read.principal, id, access::REVEAL_ONE).await?;
    // The license may have been handed on a moment ago, on another instance: the log knows whose key it would be.
    let owner = match (&read.principal, found.standing) {
        (Principal::User(user), Standing::Owner) => Some(&user.id),
        _ => None,
    };
    let guild = read.state.queries().guild(found.guild).await?.ok_or_else(|| ApiError::not_found("guild"))?;
    let revealed = read.state.commands().reveal_key(&read.context(Some(found.guild)), id, owner).await?;
    let license = &revealed.license;
    let prefix = &guild.guild.settings.key_prefix;
    let key = key::render(read.state.mac(), prefix, id, license.key).ok_or_else(|| {
        tracing::error!(license = %id, "the key ring lacks the secret of a license's key");
        ApiError::unavailable()
    })?;
    let mut response = json(StatusCode::OK, &KeyBody { key, key_version: license.key.version });
    stamp(&read.state, &mut response, Some(license.version), revealed.position);
    Ok(response)
}
