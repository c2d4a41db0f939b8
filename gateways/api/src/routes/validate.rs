//! `POST /licenses/validate`: the hot path. It never writes and never waits for a write; what a valid answer
//! causes later (the first validation, last use) is queued in memory.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::credential::Scope;
use domain::time::Timestamp;
use domain::verdict::Code;
use projections::{Answer, Ask, DeviceAsk};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::ApiError;
use crate::extract::body::Object;
use crate::extract::checks::{self, Component, TOKEN_MAX, Text};
use crate::extract::principal::Principal;
use crate::extract::query::Query;
use crate::extract::{body, position, with_key};
use crate::openapi::types as doc;
use crate::render::instant::Instant;
use crate::render::license::{DeviceBody, LicenseBody};
use crate::render::{Audience, json};
use crate::state::ApiState;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ValidateRequest)]
struct Body<'a> {
    #[serde(borrow)]
    #[schema(value_type = doc::KeyText)]
    key: Text<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<doc::DeviceId>)]
    device_id: Option<Text<'a>>,
    #[serde(default)]
    #[schema(value_type = Vec<Component>)]
    components: Vec<Object<Component>>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<doc::Word>)]
    r#type: Option<Text<'a>>,
    #[serde(default)]
    #[schema(value_type = Vec<doc::Entitlement>)]
    entitlements: Vec<String>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<doc::Word>)]
    nonce: Option<Text<'a>>,
}

impl Body<'_> {
    fn check(&self) -> Result<(), ApiError> {
        checks::key(&self.key)?;
        match &self.device_id {
            Some(id) => checks::device_id(id)?,
            None if self.components.is_empty() => {}
            None => {
                let detail = "is missing: components are those of a device, which needs its id";
                return Err(ApiError::invalid("/deviceId", "MISSING_MEMBER", detail));
            }
        }
        let short = |pointer: &str, text: &Option<Text<'_>>| match text {
            Some(text) => checks::characters(pointer, text, 1, TOKEN_MAX),
            None => Ok(()),
        };
        short("/type", &self.r#type)?;
        short("/nonce", &self.nonce)?;
        checks::entitlements(&self.entitlements)
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    valid: bool,
    #[schema(value_type = doc::VerdictCode)]
    code: Code,
    detail: &'a str,
    #[schema(value_type = doc::Time)]
    timestamp: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    degraded: bool,
    #[schema(value_type = doc::Position)]
    position: Position<'a>,
    license: Option<LicenseBody<'a>>,
    device: Option<DeviceBody<'a>>,
}

struct Position<'a> {
    epoch: &'a str,
    number: i64,
}

impl Serialize for Position<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}.{}", self.epoch, self.number))
    }
}

/// Says whether a license may be used, and why not.
///
/// It answers 200 as soon as there is a decision: `valid` says yes or no and `code` why. It never writes.
#[utoipa::path(
    post,
    path = "/licenses/validate",
    operation_id = "licenses_validate",
    tag = "Validation",
    request_body = Body<'static>,
    responses((status = 200, body = Verdict<'static>)),
    security(("apiKey" = []), ("bearer" = [])),
)]
pub(crate) async fn validate(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let caller = request.extensions().get::<Arc<Caller>>().cloned().ok_or_else(ApiError::internal)?;
    answer(&state, &caller, request).await
}

/// Says whether a license may be used, and why not.
pub(crate) async fn answer(
    state: &ApiState,
    caller: &Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let now = state.now();
    let principal = Principal::of(state, caller, &parts, now).await?;
    let key = principal.key(Scope::Validate)?;
    Query::none(&parts.uri)?;
    position::wait(state, &parts.headers).await?;
    let bytes = body::read(state.limits(), &parts.headers, body).await?;
    caller.check_body(&bytes)?;
    let mut asked: Body<'_> = body::parse(&bytes)?;
    asked.check()?;
    let components = checks::components(std::mem::take(&mut asked.components))?;
    let answer = state
        .queries()
        .validate(Ask {
            guild: key.guild,
            key: &asked.key,
            device: asked
                .device_id
                .as_deref()
                .map(|device_id| DeviceAsk { device_id, components: &components }),
            license_type: asked.r#type.as_deref(),
            entitlements: &asked.entitlements,
            now,
        })
        .await?;
    Ok(rendered(state, &answer, asked.nonce.as_deref(), with_key::audience(key), now))
}

fn rendered(
    state: &ApiState,
    answer: &Answer,
    nonce: Option<&str>,
    audience: Audience,
    now: Timestamp,
) -> Response {
    let facts = answer.license.as_deref().filter(|_| answer.code.shows_license());
    let device = facts.zip(answer.device).and_then(|(facts, id)| {
        let device = facts.license.devices.iter().find(|device| device.id == id)?;
        // A device is recognised in a valid answer only, which has just been noted as a sight of it.
        Some(DeviceBody::new(&facts.license, &facts.personal, device, Some(now), now))
    });
    json(
        StatusCode::OK,
        &Verdict {
            valid: answer.code.is_valid(),
            code: answer.code,
            detail: &answer.detail,
            timestamp: now.into(),
            nonce,
            degraded: answer.degraded,
            position: Position { epoch: state.queries().epoch(), number: answer.position },
            license: facts.map(|facts| LicenseBody::new(&facts.license, &facts.personal, audience, now)),
            device,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each request moves its future a few times; what a rare way needs stands in boxes.
    #[test]
    fn the_future_of_a_validation_is_small() {
        fn bytes<'a, F: Future>(_: impl Fn(&'a ApiState, &'a Caller, Request) -> F) -> usize {
            size_of::<F>()
        }
        assert!(bytes(answer) <= 1_536, "{} bytes", bytes(answer));
    }
}
