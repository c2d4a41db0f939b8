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

use crate::caller::Caller;
use crate::error::ApiError;
use crate::extract::body::Object;
use crate::extract::checks::{self, Component, TOKEN_MAX_BYTES, Text};
use crate::extract::principal::Principal;
use crate::extract::query::Query;
use crate::extract::{body, position, with_key};
use crate::render::instant::Instant;
use crate::render::license::{DeviceBody, LicenseBody};
use crate::render::{Audience, json};
use crate::state::ApiState;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow, default)]
    device_id: Option<Text<'a>>,
    #[serde(default)]
    components: Vec<Object<Component>>,
    #[serde(borrow, default)]
    r#type: Option<Text<'a>>,
    #[serde(default)]
    entitlements: Vec<String>,
    #[serde(borrow, default)]
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
            Some(text) => checks::bytes(pointer, text, 1, TOKEN_MAX_BYTES),
            None => Ok(()),
        };
        short("/type", &self.r#type)?;
        short("/nonce", &self.nonce)?;
        checks::entitlements(&self.entitlements)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    valid: bool,
    code: Code,
    detail: &'a str,
    timestamp: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    degraded: bool,
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

/// The same where the frame leaves it to the router.
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
    let principal = Principal::of(state, caller, &parts.method, &parts.headers, now).await?;
    let key = principal.key(Scope::Validate)?;
    Query::none(&parts.uri)?;
    position::wait(state, &parts.headers).await?;
    let bytes = body::read(state.limits(), &parts.headers, body).await?;
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
