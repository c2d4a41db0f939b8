//! `POST /licenses/heartbeat`: a device says that it is in use. No event follows: a valid answer of the hot path
//! notes the sight in memory, and that is all a heartbeat is.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::credential::Scope;
use projections::{Ask, DeviceAsk};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::ApiError;
use crate::extract::body::Object;
use crate::extract::checks::{self, Component, Text};
use crate::extract::principal::Principal;
use crate::extract::query::Query;
use crate::extract::{body, with_key};
use crate::openapi::types as doc;
use crate::render::json;
use crate::render::license::{DeviceBody, LicenseAndDevice, LicenseBody};
use crate::state::ApiState;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = HeartbeatRequest)]
struct Body<'a> {
    #[serde(borrow)]
    #[schema(value_type = doc::LicenseKey)]
    key: Text<'a>,
    #[serde(borrow)]
    #[schema(value_type = doc::DeviceId)]
    device_id: Text<'a>,
    #[serde(default)]
    #[schema(value_type = Vec<Component>)]
    components: Vec<Object<Component>>,
}

/// Reports that a device is in use.
///
/// 200 with license and device; every verdict but a valid one is an error with its code.
#[utoipa::path(
    post,
    path = "/licenses/heartbeat",
    operation_id = "licenses_heartbeat",
    tag = "Validation",
    request_body = Body<'static>,
    responses((status = 200, body = LicenseAndDevice<'static>)),
    security(("apiKey" = []), ("bearer" = [])),
)]
pub(crate) async fn heartbeat(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let now = state.now();
    let caller = Caller::in_parts(&parts.extensions)?;
    let principal = Principal::of(&state, caller, &parts, now).await?;
    let api_key = principal.key(Scope::Heartbeat)?;
    Query::none(&parts.uri)?;
    let bytes = body::read(state.limits(), &parts.headers, body).await?;
    caller.check_body(&bytes)?;
    let asked: Body<'_> = body::parse(&bytes)?;
    checks::key(&asked.key)?;
    checks::device_id(&asked.device_id)?;
    let components = checks::components(asked.components)?;
    let device = Some(DeviceAsk { device_id: &asked.device_id, components: &components });
    let ask =
        Ask { guild: api_key.guild, key: &asked.key, device, license_type: None, entitlements: &[], now };
    let answer = state.queries().validate(ask).await?;
    let (Some(facts), Some(id), true) = (&answer.license, answer.device, answer.code.is_valid()) else {
        return Err(ApiError::verdict(answer.code, &answer.detail));
    };
    let license = &facts.license;
    let device = license.devices.iter().find(|device| device.id == id).ok_or_else(ApiError::internal)?;
    let body = LicenseAndDevice {
        license: LicenseBody::new(license, &facts.personal, with_key::audience(api_key), now),
        device: Some(DeviceBody::new(license, &facts.personal, device, Some(now), now)),
    };
    Ok(json(StatusCode::OK, &body))
}
