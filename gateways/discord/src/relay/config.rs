//! What the relay must be told. It never reads an environment variable or a file.

use std::ops::Range;
use std::time::Duration;

/// Settings of a [`Relay`](super::Relay).
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Discord's gateway: `wss://gateway.discord.gg`, or `ws://127.0.0.1:PORT` of a stand-in.
    pub gateway_url: String,
    /// Refuses every upstream address that is not loopback, the one READY names for resuming included.
    pub loopback_only: bool,
    /// The random pause before an IDENTIFY that follows a refused session; Discord asks for 1 to 5 s.
    pub identify_pause: Range<Duration>,
    /// Two connections to Discord are at least `start` apart; the pause grows to `end` while none succeeds.
    pub reconnect_pause: Range<Duration>,
    /// The largest frame taken from Discord, and the largest size a compressed one may inflate to.
    pub frame_max_bytes: usize,
    /// How long a connection to Discord may take until its HELLO has come.
    pub connect_timeout: Duration,
}

impl RelayConfig {
    /// Settings for a gateway, with Discord's own numbers.
    pub fn new(gateway_url: impl Into<String>) -> Self {
        Self {
            gateway_url: gateway_url.into(),
            loopback_only: false,
            identify_pause: Duration::from_secs(1)..Duration::from_secs(5),
            reconnect_pause: Duration::from_secs(1)..Duration::from_secs(60),
            frame_max_bytes: 64 << 20,
            connect_timeout: Duration::from_secs(15),
        }
    }
}
