//! The connection to Discord's gateway: address, HELLO, heartbeats, closing.
//!
//! It never closes with 1000 or 1001, which would end the session, and never goes to an address that the
//! configuration does not allow.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::chance;
use super::config::RelayConfig;
use super::frame::{self, FromDiscord};

/// The close code that leaves a session resumable.
const RESUMABLE: u16 = 4000;
/// How long a write may take before the connection counts as lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The full address for a base address, or why it may not be used.
pub(super) fn address(base: &str, config: &RelayConfig) -> Result<String, String> {
    let base = base.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let uri: Uri = base.parse().map_err(|_| "a malformed gateway address".to_owned())?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        _ if host.is_empty() => return Err("a gateway address without a host".into()),
        _ if config.loopback_only && !loopback => return Err("a gateway address that is not loopback".into()),
        Some("wss") => {}
        Some("ws") if loopback => {}
        _ => return Err("a gateway address that is neither wss:// nor loopback ws://".into()),
    }
    let slash = if matches!(uri.path(), "" | "/") { "/" } else { "" };
    Ok(format!("{base}{slash}?v=10&encoding=json"))
}

/// An open connection after HELLO.
pub(super) struct Upstream {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    interval: Duration,
    next_beat: Instant,
    unanswered: Option<Instant>,
}

impl Upstream {
    /// Connects and waits for HELLO; the error says what failed without the address.
    pub(super) async fn open(address: String, config: RelayConfig) -> Result<Self, String> {
        let limit = config.connect_timeout;
        match tokio::time::timeout(limit, Self::connect(&address, config.frame_max_bytes)).await {
            Ok(opened) => opened,
            Err(_) => Err("no HELLO from the gateway in time".into()),
        }
    }

    async fn connect(address: &str, max_bytes: usize) -> Result<Self, String> {
        let mut settings = WebSocketConfig::default();
        settings.max_message_size = Some(max_bytes);
        settings.max_frame_size = Some(max_bytes);
        let connected = connect_async_with_config(address, Some(settings), true).await;
        let (mut socket, _) = connected.map_err(|why| why.to_string())?;
        loop {
            let message = match socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(why)) => return Err(why.to_string()),
                None => return Err("the gateway closed before its HELLO".into()),
            };
            if let Ok(FromDiscord::Hello { interval_ms }) = frame::from_discord(&message, max_bytes) {
                let interval = Duration::from_millis(interval_ms.clamp(20, 600_000));
                // The first beat comes at a random point of the interval, as Discord asks.
                let next_beat = Instant::now() + interval.mul_f64(chance());
                return Ok(Self { socket, interval, next_beat, unanswered: None });
            }
        }
    }

    /// The next message; safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Option<Result<Message, Error>> {
        self.socket.next().await
    }

    /// When the next heartbeat is due.
    pub(super) fn next_beat(&self) -> Instant {
        self.next_beat
    }

    /// Sends; `false` if the connection is lost.
    pub(super) async fn send(&mut self, message: Message) -> bool {
        matches!(tokio::time::timeout(WRITE_TIMEOUT, self.socket.send(message)).await, Ok(Ok(())))
    }

    /// The due heartbeat; `false` if the last one was never answered, or the connection is lost.
    pub(super) async fn beat(&mut self, sequence: Option<i64>) -> bool {
        if self.unanswered.is_some() {
            return false;
        }
        self.next_beat = Instant::now() + self.interval;
        self.unanswered = Some(Instant::now());
        self.send(frame::heartbeat(sequence)).await
    }

    /// A heartbeat that Discord asked for; `false` if the connection is lost.
    pub(super) async fn beat_now(&mut self, sequence: Option<i64>) -> bool {
        self.send(frame::heartbeat(sequence)).await
    }

    /// The heartbeat was answered, after this time.
    pub(super) fn acked(&mut self) -> Option<Duration> {
        self.unanswered.take().map(|sent| sent.elapsed())
    }

    /// Closes so that Discord keeps the session.
    pub(super) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::from(RESUMABLE), reason: "".into() };
        // The connection falls with us if the frame cannot be sent, which leaves the session resumable too.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.socket.close(Some(frame))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed_and_checked() {
        let mut config = RelayConfig::new("");
        let full = |base: &str, config: &RelayConfig| address(base, config);
        assert_eq!(
            full("wss://gateway.discord.gg", &config).unwrap(),
            "wss://gateway.discord.gg/?v=10&encoding=json"
        );
        assert_eq!(
            full("wss://g.discord.gg/?v=9", &config).unwrap(),
            "wss://g.discord.gg/?v=10&encoding=json"
        );
        assert_eq!(full("ws://127.0.0.1:9/ws", &config).unwrap(), "ws://127.0.0.1:9/ws?v=10&encoding=json");
        assert!(full("ws://gateway.discord.gg", &config).is_err());
        assert!(full("http://127.0.0.1:9", &config).is_err());
        assert!(full("", &config).is_err());
        config.loopback_only = true;
        assert!(full("wss://gateway.discord.gg", &config).is_err());
        assert!(full("ws://127.0.0.1.evil.example:9", &config).is_err());
        assert!(full("ws://127.0.0.1@evil.example:9", &config).is_err());
        assert!(full("ws://[::1]:9", &config).is_ok());
    }
}
