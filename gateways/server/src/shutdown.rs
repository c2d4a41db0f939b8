//! The end of a process. The first SIGTERM or SIGINT drains: `/ready` turns 503, requests in flight end, the
//! projector and the jobs stop, the lock is let go, exit code 0. A second signal ends at once, with code 1.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Attempt as _, Outcome};

/// The beginning of the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Cancelled by the first signal: take no new work, answer `/ready` with 503.
    pub(crate) draining: CancellationToken,
}

impl Shutdown {
    /// Listens for signals from now on. After the first one, `linger` passes until the listener closes, so that a
    /// load balancer has seen `/ready` turn.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub(crate) fn listen(&self, linger: Duration) -> Outcome<CancellationToken> {
        let install = |kind| signal(kind).attempt(|| "signals cannot be handled".to_owned());
        let (terminate, interrupt) = (install(SignalKind::terminate())?, install(SignalKind::interrupt())?);
        let closing = CancellationToken::new();
        tokio::spawn(watch(self.draining.clone(), closing.clone(), linger, [terminate, interrupt]));
        Ok(closing)
    }
}

async fn watch(
    draining: CancellationToken,
    closing: CancellationToken,
    linger: Duration,
    signals: [Signal; 2],
) {
    let [mut terminate, mut interrupt] = signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: requests in flight end first; a second signal ends at once");
    draining.cancel();
    tokio::select! {
        () = tokio::time::sleep(linger) => {}
        _ = terminate.recv() => std::process::exit(1),
        _ = interrupt.recv() => std::process::exit(1),
    }
    closing.cancel();
    tokio::select! {
        _ = terminate.recv() => std::process::exit(1),
        _ = interrupt.recv() => std::process::exit(1),
    }
}
