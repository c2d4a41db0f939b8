//! `/_admin/keys…`: rotating the key ring, for the command line with the platform owner's token. No answer holds a secret.

use axum::http::StatusCode;
use axum::response::Response;
use domain::time::Span;
use serde::Deserialize;

use crate::error::ApiError;
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::Write;
use crate::operator::KeyWish;
use crate::render::json;

/// How long `rotate` waits unless the request says otherwise.
const WAIT_DEFAULT: Span = Span::seconds(60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Add {
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rotate {
    kind: String,
    wait: Option<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Retire {
    #[serde(default)]
    dry_run: bool,
}

/// Every secret: its id, when it was made, whether it is active, who lacks it.
pub(crate) async fn list(read: Read) -> Result<Response, ApiError> {
    read.principal.operator()?;
    read.query(&[])?;
    Ok(json(StatusCode::OK, &read.state.operator().keys(KeyWish::List).await?))
}

/// One more secret; it is not active yet.
pub(crate) async fn add(write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    let Add { kind } = write.json()?;
    Ok(json(StatusCode::CREATED, &write.state.operator().keys(KeyWish::Add { kind }).await?))
}

/// Adds one and activates it.
pub(crate) async fn rotate(write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    let Rotate { kind, wait } = write.json()?;
    let wish = KeyWish::Rotate { kind, wait: wait.unwrap_or(WAIT_DEFAULT) };
    Ok(json(StatusCode::OK, &write.state.operator().keys(wish).await?))
}

/// New things are made with this one from now on.
pub(crate) async fn activate(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    write.is_empty()?;
    let wish = KeyWish::Activate { id: ids.id("id", "secret")? };
    Ok(json(StatusCode::OK, &write.state.operator().keys(wish).await?))
}

/// New keys for the licenses of this one.
pub(crate) async fn retire(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    let Retire { dry_run } = write.json()?;
    let wish = KeyWish::Retire { id: ids.id("id", "secret")?, dry_run };
    Ok(json(StatusCode::OK, &write.state.operator().keys(wish).await?))
}
