//! What the REST client must be told. It never reads an environment variable or a file.

use std::time::Duration;

/// Settings of an [`Egress`](super::Egress).
#[derive(Clone)]
pub struct EgressConfig {
    /// Scheme and host, `https://discord.com` or a loopback address; requests go to `{api_base}/api/v10{path}`.
    pub api_base: String,
    /// The bot token. Never shown by `Debug`.
    pub token: String,
    /// Requests in any one second, over all routes. Discord allows 50.
    pub global_per_second: u32,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long one request may take, connection and answer included.
    pub timeout: Duration,
    /// How often one request is sent at most.
    pub tries: u32,
    /// How many 401, 403 and 429 answers inside `invalid_window` open the breaker. Discord bans at 10,000.
    pub invalid_max: u32,
    /// The window in which invalid answers are counted.
    pub invalid_window: Duration,
    /// How many calls may wait at once; one more gets `Full`.
    pub waiting_max: usize,
    /// The first pause before a repetition; it doubles each time, up to 32 times itself, half of it random.
    pub backoff: Duration,
    /// The longest rate-limit pause that a call waits for; a longer one is given back as `RateLimited`.
    pub patience: Duration,
}

impl EgressConfig {
    /// Settings for the given address and token; every number is Discord's own or safely below it.
    pub fn new(api_base: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            api_base: api_base.into(),
            token: token.into(),
            global_per_second: 45,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            tries: 5,
            invalid_max: 2_000,
            invalid_window: Duration::from_secs(600),
            waiting_max: 2_000,
            backoff: Duration::from_millis(250),
            patience: Duration::from_secs(120),
        }
    }
}

impl std::fmt::Debug for EgressConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EgressConfig")
            .field("api_base", &self.api_base)
            .field("token", &"(hidden)")
            .field("global_per_second", &self.global_per_second)
            .field("tries", &self.tries)
            .field("invalid_max", &self.invalid_max)
            .field("waiting_max", &self.waiting_max)
            .finish_non_exhaustive()
    }
}
