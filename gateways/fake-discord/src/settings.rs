//! What a stand-in is started with: where it listens, whom it knows, and whose clock it follows.
//! Holds no behaviour beyond the default clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// The id of the only application the stand-in knows.
pub const APPLICATION_ID: u64 = 900_000_000_000_000_001;
/// The id of that application's bot account.
pub const BOT_ID: u64 = 900_000_000_000_000_002;
/// The client secret of [`Settings::local`].
pub const LOCAL_CLIENT_SECRET: &str = "fake-client-secret";

/// Everything a start needs.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; a loopback address, or the start fails.
    pub listen: SocketAddr,
    /// The bot token that is accepted.
    pub token: String,
    /// The client secret that the token endpoint of OAuth2 accepts.
    pub client_secret: String,
    /// Where durable state lives; without it everything is forgotten at the end.
    pub state_file: Option<PathBuf>,
    /// What exists when the state file is absent or empty.
    pub world: World,
    /// Clock and jobs of the host.
    pub hooks: Arc<dyn Hooks>,
}

impl Settings {
    /// A free loopback port, nothing kept, an empty world, the system's clock.
    #[must_use]
    pub fn local(token: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: token.into(),
            client_secret: LOCAL_CLIENT_SECRET.to_owned(),
            state_file: None,
            world: World::default(),
            hooks: Arc::new(SystemClock::default()),
        }
    }
}

/// What exists at the first start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct World {
    /// Guilds the bot is in.
    pub guilds: Vec<WorldGuild>,
}

/// A guild of a [`World`]. The role @everyone, the bot with its managed role and two channels are added if missing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorldGuild {
    /// Snowflake.
    pub id: u64,
    /// Shown name.
    pub name: String,
    /// Snowflake of the owning account.
    pub owner_id: u64,
    /// Text channels; none means `#general` and `#license-log`.
    pub channels: Vec<WorldChannel>,
    /// Roles, @everyone aside.
    pub roles: Vec<WorldRole>,
    /// Members.
    pub members: Vec<WorldMember>,
}

/// A text channel of a [`WorldGuild`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorldChannel {
    /// Snowflake.
    pub id: u64,
    /// Name without `#`.
    pub name: String,
}

/// A role of a [`WorldGuild`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorldRole {
    /// Snowflake.
    pub id: u64,
    /// Shown name.
    pub name: String,
    /// Place in the hierarchy; @everyone is 0.
    pub position: i64,
    /// Permission bits.
    pub permissions: u64,
    /// Whether an integration owns it, so that nobody can give it.
    pub managed: bool,
}

/// A member of a [`WorldGuild`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorldMember {
    /// Snowflake of the account.
    pub id: u64,
    /// Account name.
    pub username: String,
    /// Snowflakes of roles of the guild.
    pub roles: Vec<u64>,
    /// Whether the account is a bot.
    pub bot: bool,
}

/// Clock and jobs of whoever hosts the stand-in.
pub trait Hooks: Send + Sync {
    /// Unix milliseconds; dates messages and ages tokens.
    fn now_ms(&self) -> i64;
    /// Moves the clock forward by seconds and runs what became due; the new now in Unix milliseconds.
    fn advance(&self, seconds: u64) -> BoxFuture<'_, Result<i64, String>>;
    /// Runs a job of the host; `None` when it has no job of that name.
    fn run_job<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<serde_json::Value>, String>>;
}

/// The system's time plus an offset that only grows. Knows no jobs.
#[derive(Debug, Default)]
pub struct SystemClock {
    offset_ms: AtomicI64,
}

impl Hooks for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let system = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        system.saturating_add(self.offset_ms.load(Ordering::SeqCst))
    }

    fn advance(&self, seconds: u64) -> BoxFuture<'_, Result<i64, String>> {
        let add = i64::try_from(seconds).unwrap_or(i64::MAX / 2_000).saturating_mul(1_000);
        let further = |offset: i64| Some(offset.saturating_add(add));
        let _ = self.offset_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, further);
        futures::future::ready(Ok(self.now_ms())).boxed()
    }

    fn run_job<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Option<serde_json::Value>, String>> {
        futures::future::ready(Ok(None)).boxed()
    }
}

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can be reached from other machines.
    #[error("{0} is not a loopback address; the stand-in listens on 127.0.0.1 or [::1] only")]
    NotLoopback(SocketAddr),
    /// The port is taken or not ours to take.
    #[error("cannot listen on {address}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state file is not one of ours, is damaged, or cannot be read or written.
    #[error("the state file {path} {reason}")]
    StateFile {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The HTTP client for signed interactions could not be made.
    #[error("cannot make the HTTP client: {0}")]
    Client(String),
}

/// Why a change through the library was refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Something that the call names does not exist.
    #[error("unknown {0}")]
    Unknown(String),
    /// The call makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The state file could not be written; nothing was changed.
    #[error("the change was not made, because it could not be written: {0}")]
    Storage(String),
}
