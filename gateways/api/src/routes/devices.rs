//! `PATCH /licenses/{id}/devices/{deviceId}` and `DELETE /licenses/{id}/deactivate`: the owner and the staff name
//! and free devices. The owner's limits are held by the aggregate.

use axum::extract::{Request, State};
use axum::response::Response;
use domain::id::LicenseId;
use domain::license::Authority;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::access::{self, Standing};
use crate::extract::checks;
use crate::extract::path::PathIds;
use crate::extract::query::Query;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::license::DeviceBody;
use crate::render::license::LicenseBody;
use crate::state::ApiState;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DeviceRename)]
struct Rename {
    #[schema(value_type = doc::DeviceName)]
    device_name: String,
}

/// Renames a device.
///
/// 200 with the device.
#[utoipa::path(
    patch,
    path = "/licenses/{id}/devices/{deviceId}",
    operation_id = "devices_rename",
    tag = "Devices",
    request_body = Rename,
    responses((status = 200, body = DeviceBody<'static>)),
)]
pub(crate) async fn rename(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Rename = write.json()?;
    checks::device_name(&asked.device_name)?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&write.state, &write.principal, id, access::DEVICES).await?;
    let device =
        found.facts.license.device(ids.text("deviceId")).ok_or_else(|| ApiError::not_found("device"))?;
    let device = device.id.to_string();
    let recipe = Recipe::Device { license: id, device: device.clone() };
    let plan = Plan { tenant: Some(found.guild), reason: None, audience: found.standing.audience(), recipe };
    let commands = write.state.commands();
    write
        .perform(plan, |context| async move {
            commands.rename_device(&context, id, &device, asked.device_name).await
        })
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DeviceRelease)]
struct Free {
    #[serde(default)]
    #[schema(value_type = Option<doc::Reason>)]
    reason: Option<String>,
}

/// Which devices are to be freed.
enum Which {
    One(String),
    All,
}

/// Frees a device, or all of them.
///
/// 200 with the license. Freeing all devices must be said, so that a forgotten member does not do it.
#[utoipa::path(
    delete,
    path = "/licenses/{id}/deactivate",
    operation_id = "devices_free",
    tag = "Devices",
    request_body = Free,
    params(("deviceId" = Option<String>, Query), ("all" = Option<bool>, Query)),
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn free(
    State(state): State<ApiState>,
    ids: PathIds,
    request: Request,
) -> Result<Response, ApiError> {
    let write = Write::with_query(request, &state).await?;
    let which = which(&Query::of(&write.uri, &["deviceId", "all"])?)?;
    let asked: Free = write.json()?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&state, &write.principal, id, access::DEVICES).await?;
    let by = match found.standing {
        Standing::Owner => Authority::Owner,
        Standing::Staff => Authority::Staff,
    };
    let plan = Plan {
        tenant: Some(found.guild),
        reason: checks::reason(asked.reason)?,
        audience: found.standing.audience(),
        recipe: Recipe::License { license: id },
    };
    let commands = state.commands();
    write
        .perform(plan, |context| async move {
            match which {
                Which::One(device) => commands.deactivate(&context, id, &device, by).await,
                Which::All => commands.reset_devices(&context, id, by).await,
            }
        })
        .await
}

fn which(query: &Query) -> Result<Which, ApiError> {
    match (query.text("deviceId").filter(|text| !text.is_empty()), query.flag("all")?) {
        (Some(device), false) => Ok(Which::One(device.to_owned())),
        (None, true) => Ok(Which::All),
        (Some(_), true) => Err(ApiError::invalid(
            "?all",
            "WRONG_FORM",
            "stands beside `deviceId`; name one device or all of them",
        )),
        (None, false) => {
            let detail =
                "is missing: name a device by its `id` or `deviceId`, or say `all=true` for every device";
            Err(ApiError::invalid("?deviceId", "MISSING_MEMBER", detail))
        }
    }
}
