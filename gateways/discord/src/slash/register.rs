//! Tells Discord which commands there are: by a job that is tried again, and only when they have changed, because
//! Discord counts registrations.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::all;
use crate::bot::Inner;
use crate::egress::Request;

/// How often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_millis(100);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Registers until it is done, or until `stop`.
pub(crate) async fn run(inner: Arc<Inner>, stop: CancellationToken) {
    let mut pause = LOOK;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if inner.status_is_idle() {
            continue;
        }
        let application = inner.status().application;
        let Some(application) = application else { continue };
        match register(&inner, application).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(error, "the slash commands could not be registered; tried again");
                pause = (pause * 4).min(PAUSE_MAX);
            }
        }
    }
}

async fn register(inner: &Inner, application: u64) -> Result<(), String> {
    let commands = poise::builtins::create_application_commands(&all());
    let body = serde_json::to_value(&commands).map_err(|error| error.to_string())?;
    let digest = Sha256::digest(body.to_string().as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let note = format!("commands:{application}");
    let state = inner.queries.bot_state();
    if state.note(&note).await.map_err(|error| error.to_string())?.as_deref() == Some(&hash) {
        return Ok(());
    }
    let request = Request::put(format!("/applications/{application}/commands")).body(body);
    inner.egress.call(request).await.map_err(|error| error.to_string())?;
    state.set_note(&note, Some(&hash)).await.map_err(|error| error.to_string())?;
    tracing::info!("the slash commands were registered");
    Ok(())
}
