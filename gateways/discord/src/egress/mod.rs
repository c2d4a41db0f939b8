//! The bot's way to Discord's REST API: one client that knows the limits, the breaker and the retries.
//!
//! It never sends an interaction answer (those bypass the global gate), never follows a redirect, never
//! takes a proxy from the environment and never lets the token into a log, an error or a `Debug` text.

mod answer;
mod config;
mod error;
mod gate;
mod limiter;
mod request;
mod route;
mod send;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use config::EgressConfig;
pub use error::EgressError;
pub use request::Request;
pub use watch::EgressHealth;

use gate::Gate;
use limiter::Limiter;
use watch::Watch;

/// The REST client of the bot. A clone is another handle on the same limits.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

/// What all handles share.
struct Inner {
    config: EgressConfig,
    http: reqwest::Client,
    authorization: reqwest::header::HeaderValue,
    limiter: Arc<Limiter>,
    gate: Gate,
    watch: Watch,
    waiting: AtomicUsize,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Egress {
    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    /// `Unreadable` if the token cannot be a header value or the TLS client cannot be built.
    pub fn new(config: EgressConfig) -> Result<Self, EgressError> {
        let mut authorization = reqwest::header::HeaderValue::from_str(&format!("Bot {}", config.token))
            .map_err(|_| {
                EgressError::Unreadable("the bot token has characters no header may carry".into())
            })?;
        authorization.set_sensitive(true);
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .user_agent(concat!("DiscordBot (dca-auth, ", env!("CARGO_PKG_VERSION"), ")"))
            .build()
            .map_err(|why| EgressError::Unreadable(format!("the HTTP client could not be built: {why}")))?;
        let inner = Inner {
            gate: Gate::new(config.global_per_second),
            watch: Watch::new(config.invalid_max, config.invalid_window),
            limiter: Arc::new(Limiter::default()),
            waiting: AtomicUsize::new(0),
            http,
            authorization,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sends a request when the limits allow it and gives the answer's JSON (`Null` for an empty answer).
    /// Dropping the future gives its place in the queue back.
    ///
    /// # Errors
    /// See [`EgressError`]; a refusal of Discord is `Discord` with its code.
    pub async fn call(&self, request: Request) -> Result<Value, EgressError> {
        send::call(&self.inner, &request).await
    }

    /// As [`Egress::call`], read as `T`.
    ///
    /// # Errors
    /// As [`Egress::call`]; `Unreadable` if the answer is not a `T`.
    pub async fn call_as<T: DeserializeOwned>(&self, request: Request) -> Result<T, EgressError> {
        let value = self.call(request).await?;
        serde_json::from_value(value).map_err(|why| EgressError::Unreadable(why.to_string()))
    }

    /// What the client has seen so far.
    pub fn health(&self) -> EgressHealth {
        self.inner.watch.health(self.inner.waiting.load(Ordering::Relaxed))
    }

    /// Lets requests go again after a 401 stopped them.
    pub fn resume(&self) {
        self.inner.watch.resume();
    }

    /// Stops for good: every waiting and later call gets `Stopped`. Requests on the wire are left to end.
    pub fn stop(&self) {
        self.inner.watch.stop();
        self.inner.limiter.wake_all();
    }
}
