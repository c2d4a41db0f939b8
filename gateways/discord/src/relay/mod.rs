//! A loopback WebSocket relay between serenity and Discord's gateway.
//!
//! It keeps the session (resumes where serenity would identify anew, across processes too) and hands every
//! dispatch, in order, to a tap. It never changes an event, never logs a frame, and never ends a session of
//! its own accord.

mod config;
mod downstream;
mod frame;
mod hub;
mod link;
mod pump;
mod tap;
mod upstream;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use config::RelayConfig;
pub use tap::{Dispatch, Saved, Shard, Tap};

use downstream::Downstream;
use hub::Hub;

/// A running relay. Dropping it cuts all connections; Discord keeps the sessions resumable.
pub struct Relay {
    url: String,
    hub: Arc<Hub>,
    listening: JoinHandle<()>,
    stop: DropGuard,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address holds the secret path.
        f.debug_struct("Relay").field("config", &self.hub.config).finish_non_exhaustive()
    }
}

impl Relay {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// `InvalidInput` if the gateway's address is malformed or not allowed; the listener's own error.
    pub async fn start(config: RelayConfig, tap: Arc<dyn Tap>) -> io::Result<Self> {
        upstream::address(&config.gateway_url, &config)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let path = secret_path()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("ws://{}{path}", listener.local_addr()?);
        let hub = Arc::new(Hub::new(config, tap));
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(listener, path.into(), Arc::clone(&hub), stop.clone()));
        Ok(Self { url, hub, listening, stop: stop.drop_guard() })
    }

    /// The address for serenity's `ws_url`; serenity adds `?v=10`. Its path is a secret of this process.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The last sequence number that Discord sent on this shard's session, if one runs or is kept.
    pub fn sequence(&self, shard: Shard) -> Option<i64> {
        self.hub.sequence(shard)
    }

    /// How long Discord took to answer the shard's last heartbeat.
    pub fn latency(&self, shard: Shard) -> Option<Duration> {
        self.hub.latency(shard)
    }

    /// Stops: nothing reaches the tap after this. Discord keeps every session resumable.
    pub async fn stop(self) {
        drop(self.stop);
        // The task ends by itself; it cannot have been cancelled, and a panic in it is its own affair.
        let _ = self.listening.await;
    }
}

/// Accepts until stopped, then waits for the connections to close.
async fn listen(listener: TcpListener, path: Arc<str>, hub: Arc<Hub>, stop: CancellationToken) {
    let mut links = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = links.join_next() => continue,
            accepted = listener.accept() => accepted.map(|(stream, _)| stream),
        };
        let Ok(stream) = stream else {
            // Out of file descriptors, most likely; an accept that fails at once must not spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (hub, path, stop) = (Arc::clone(&hub), Arc::clone(&path), stop.clone());
        links.spawn(async move {
            if let Some(down) = Downstream::accept(stream, &path).await {
                link::serve(hub, down, stop).await;
            }
        });
    }
    drop(listener);
    let all = async { while links.join_next().await.is_some() {} };
    // Whoever has not closed by then is cut with the set.
    let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
}

/// A path that nobody else on this machine can guess: 32 random bytes.
fn secret_path() -> io::Result<String> {
    use std::fmt::Write as _;
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|why| io::Error::other(why.to_string()))?;
    let mut path = String::from("/");
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(path, "{byte:02x}");
    }
    Ok(path)
}

/// A random share between 0 and 1.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
