//! `/_admin/…`: what the command line asks of a running server, with the platform owner's token.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::error::{ApiError, Code};
use crate::extract::path::PathIds;
use crate::extract::read::Read;
use crate::extract::write::Write;
use crate::operator::OperatorError;
use crate::render::json;

impl From<OperatorError> for ApiError {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Invalid { member, detail } => Self::impossible(format!("/{member}"), detail),
            OperatorError::Refused { code, detail } => Self::new(code, detail),
            OperatorError::Busy(detail) => Self::new(Code::Busy, detail).retry_after(5),
            OperatorError::Unavailable(why) => {
                tracing::error!(why, "the operator's wish could not be done");
                Self::new(Code::Unavailable, why).retry_after(2)
            }
        }
    }
}

/// What `dca-auth status` prints.
pub(crate) async fn status(read: Read) -> Result<Response, ApiError> {
    read.principal.operator()?;
    read.query(&[])?;
    Ok(json(StatusCode::OK, &read.state.operator().status().await?))
}

/// The address at which the platform's ownership can be claimed, as long as it can.
pub(crate) async fn sign_in_link(read: Read) -> Result<Response, ApiError> {
    read.principal.operator()?;
    read.query(&[])?;
    let link = super::sign_in::sign_in_link(&read.state).await?;
    Ok(json(
        StatusCode::OK,
        &serde_json::json!({ "url": link, "canSignIn": read.state.identity().is_some() }),
    ))
}

/// Checks the log and compares the read models with a rebuild.
pub(crate) async fn verify(write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    write.is_empty()?;
    Ok(json(StatusCode::OK, &write.state.operator().verify().await?))
}

/// Runs a job now.
pub(crate) async fn run_job(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    write.is_empty()?;
    let name: String = ids.id("name", "job")?;
    Ok(json(StatusCode::OK, &write.state.operator().run_job(&name).await?))
}

/// Lets the bot go on.
pub(crate) async fn resume_discord(write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    write.is_empty()?;
    Ok(json(StatusCode::OK, &write.state.operator().resume_discord().await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rebuild {
    name: String,
}

/// Rebuilds a read model from the log.
pub(crate) async fn rebuild(write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    let asked: Rebuild = write.json()?;
    Ok(json(StatusCode::OK, &write.state.operator().rebuild(&asked.name).await?))
}
