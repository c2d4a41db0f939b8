//! `POST /licenses/activate` and `POST /licenses/deactivate`: a program that holds a key takes a device slot or
//! gives it back. The device limit is held by the aggregate, never here.

use axum::response::Response;
use commands::DeviceOrder;
use domain::credential::{ApiKeyKind, Scope};
use domain::device::Component as Hashed;
use domain::id::GuildId;
use domain::license::Authority;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::ApiError;
use crate::extract::body::Object;
use crate::extract::checks::{self, Component};
use crate::extract::principal::Principal;
use crate::extract::with_key::named;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::Recipe;
use crate::render::license::LicenseAndDevice;
use crate::render::license::LicenseBody;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ActivateRequest)]
struct Activate {
    #[schema(value_type = doc::LicenseKey)]
    key: String,
    #[schema(value_type = doc::DeviceId)]
    device_id: String,
    #[serde(default)]
    #[schema(value_type = Option<doc::DeviceName>)]
    device_name: Option<String>,
    #[serde(default)]
    #[schema(value_type = Vec<Component>)]
    components: Vec<Object<Component>>,
    /// The server of a key that another system gave, for a signed-in owner. An API key has its own.
    #[serde(default)]
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
}

/// Activates a device with the license key.
///
/// 201 with license and device; 200 if the device was active before.
#[utoipa::path(
    post,
    path = "/licenses/activate",
    operation_id = "licenses_activate",
    tag = "Validation",
    request_body = Activate,
    responses((status = 201, body = LicenseAndDevice<'static>), (status = 200, body = LicenseAndDevice<'static>)),
)]
pub(crate) async fn activate(write: Write) -> Result<Response, ApiError> {
    let asked: Activate = write.json()?;
    checks::key(&asked.key)?;
    checks::device_id(&asked.device_id)?;
    asked.device_name.as_deref().map_or(Ok(()), checks::device_name)?;
    let components = checks::components(asked.components)?;
    let named = named(&write, &asked.key, asked.guild_id, Scope::Activate).await?;
    let mac = write.state.mac();
    let hashed = |(name, value): &(String, String)| Hashed::hashed(mac, named.key.license, name, value);
    let mut hashes: Vec<Hashed> = components.iter().map(hashed).collect();
    hashes.sort();
    let order = DeviceOrder {
        id: Uuid::new_v4(),
        device_id: asked.device_id,
        name: asked.device_name,
        by: authority(&write.principal),
        components,
        network: network(&write, named.tenant).await?,
    };
    let recipe = Recipe::Activation {
        license: named.key.license,
        device: order.id,
        device_id: order.device_id.clone(),
        components: hashes,
    };
    let plan = Plan { tenant: named.tenant, reason: None, audience: named.audience, recipe };
    let commands = write.state.commands();
    write.perform(plan, |context| async move { commands.activate(&context, named.key, order).await }).await
}

/// On whose authority a device is activated with a license key.
const fn authority(principal: &Principal) -> Authority {
    match principal {
        Principal::Operator => Authority::Staff,
        Principal::User(_) => Authority::Owner,
        Principal::Key(_) => Authority::Client,
    }
}

/// The block of addresses that a device comes from, where its guild watches for sharing. What a secret key sends comes
/// from a backend, whose address says nothing about the device.
async fn network(write: &Write, guild: Option<GuildId>) -> Result<Option<String>, ApiError> {
    let is_own = match &write.principal {
        Principal::User(_) => true,
        Principal::Key(key) => key.kind == ApiKeyKind::Publishable,
        Principal::Operator => false,
    };
    let Some(guild) = guild.filter(|_| is_own) else { return Ok(None) };
    let facts = write.state.queries().guild(guild).await?;
    let watched = facts.is_some_and(|facts| facts.guild.settings.sharing.detect);
    Ok(write.address.block().filter(|_| watched))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DeactivateRequest)]
struct Deactivate {
    #[schema(value_type = doc::LicenseKey)]
    key: String,
    #[schema(value_type = doc::DeviceId)]
    device_id: String,
}

/// Gives a device's slot back with the license key.
///
/// 200 with the license.
#[utoipa::path(
    post,
    path = "/licenses/deactivate",
    operation_id = "licenses_deactivate",
    tag = "Validation",
    request_body = Deactivate,
    responses((status = 200, body = LicenseBody<'static>)),
    security(("apiKey" = []), ("bearer" = [])),
)]
pub(crate) async fn deactivate(write: Write) -> Result<Response, ApiError> {
    let asked: Deactivate = write.json()?;
    checks::key(&asked.key)?;
    checks::device_id(&asked.device_id)?;
    write.principal.key(Scope::Deactivate)?;
    let named = named(&write, &asked.key, None, Scope::Deactivate).await?;
    let recipe = Recipe::License { license: named.key.license };
    let plan = Plan { tenant: named.tenant, reason: None, audience: named.audience, recipe };
    let commands = write.state.commands();
    write
        .perform(plan, |context| async move {
            commands.deactivate_with_key(&context, named.key, &asked.device_id, Authority::Client).await
        })
        .await
}
