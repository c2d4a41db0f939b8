//! A loopback WebSocket relay between serenity and Discord's gateway.
//!
//! It keeps the session (resumes where serenity would identify anew, across processes too) and hands every
//! dispatch, in order, to a tap. It never changes an event, never logs a frame, and never ends a session of
//! its own accord.

mod config;
mod tap;

use std::io;
use std::sync::Arc;

pub use config::RelayConfig;
pub use tap::{Dispatch, Saved, Shard, Tap};

/// A running relay. Dropping it cuts all connections; sessions stay resumable.
pub struct Relay {
    url: String,
}

impl Relay {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// `InvalidInput` if the gateway's address is malformed or not allowed; the listener's own error.
    pub async fn start(_config: RelayConfig, _tap: Arc<dyn Tap>) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// The address for serenity's `ws_url`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The last sequence number that Discord sent on this shard's session.
    pub fn sequence(&self, _shard: Shard) -> Option<i64> {
        None
    }

    /// Stops. Discord keeps every session resumable.
    pub async fn stop(self) {}
}
