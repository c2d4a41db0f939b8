//! `POST /licenses/activate` and `POST /licenses/deactivate`: a program that holds a key takes a device slot or
//! gives it back. The device limit is held by the aggregate, never here.

use axum::response::Response;
use commands::DeviceOrder;
use domain::credential::Scope;
use domain::device::Component as Hashed;
use domain::license::Authority;
use serde::Deserialize;
use uuid::Uuid;

use crate::error::ApiError;
use crate::extract::body::Object;
use crate::extract::checks::{self, Component};
use crate::extract::with_key::named;
use crate::extract::write::{Plan, Write};
use crate::recipe::Recipe;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Activate {
    key: String,
    device_id: String,
    #[serde(default)]
    device_name: Option<String>,
    #[serde(default)]
    components: Vec<Object<Component>>,
}

/// 201 with license and device; 200 if the device was active before.
pub(crate) async fn activate(write: Write) -> Result<Response, ApiError> {
    let asked: Activate = write.json()?;
    checks::key(&asked.key)?;
    checks::device_id(&asked.device_id)?;
    asked.device_name.as_deref().map_or(Ok(()), checks::device_name)?;
    let components = checks::components(asked.components)?;
    let named = named(&write, &asked.key, Scope::Activate).await?;
    let mac = write.state.mac();
    let hashed = |(name, value): &(String, String)| Hashed::hashed(mac, named.key.license, name, value);
    let mut hashes: Vec<Hashed> = components.iter().map(hashed).collect();
    hashes.sort();
    let order =
        DeviceOrder { id: Uuid::new_v4(), device_id: asked.device_id, name: asked.device_name, components };
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Deactivate {
    key: String,
    device_id: String,
}

/// 200 with the license.
pub(crate) async fn deactivate(write: Write) -> Result<Response, ApiError> {
    let asked: Deactivate = write.json()?;
    checks::key(&asked.key)?;
    checks::device_id(&asked.device_id)?;
    write.principal.key(Scope::Deactivate)?;
    let named = named(&write, &asked.key, Scope::Deactivate).await?;
    let recipe = Recipe::License { license: named.key.license };
    let plan = Plan { tenant: named.tenant, reason: None, audience: named.audience, recipe };
    let commands = write.state.commands();
    write
        .perform(plan, |context| async move {
            commands.deactivate_with_key(&context, named.key, &asked.device_id, Authority::Client).await
        })
        .await
}
