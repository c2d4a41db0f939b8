//! Discord at protocol level: the stand-in of the demo and of the tests. Unmodified Discord libraries run against it:
//! REST v10, gateway v10, OAuth2, interactions, limits, faults; and a control API under `/_control` plays the people.
//!
//! Listens on loopback only, and never talks to anybody but a loopback URL for signed interactions.

mod control;
mod faults;
mod form;
mod gateway;
mod hub;
mod interact;
mod journal;
mod limits;
mod oauth;
mod rest;
mod settings;
mod site;
mod time;
mod wire;
mod world;

pub use settings::{
    APPLICATION_ID, BOT_ID, ControlError, Hooks, LOCAL_CLIENT_SECRET, Settings, StartError, SystemClock,
    World, WorldChannel, WorldGuild, WorldMember, WorldRole,
};

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use hub::{Fixed, Hub};
use world::file::StateFile;
use world::seed;

/// A running stand-in. Clones are the same one; when the last is dropped it stops.
#[derive(Clone)]
pub struct FakeDiscord {
    running: Arc<Running>,
}

struct Running {
    hub: Arc<Hub>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.hub.stopped.cancel();
    }
}

impl FakeDiscord {
    /// Starts a stand-in. Returns when it accepts connections.
    ///
    /// # Errors
    /// When the address is no loopback address or taken, or the state file is foreign or damaged.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings { listen, token, client_secret, state_file, world, hooks } = settings;
        if !listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(listen));
        }
        let kept = state_file.as_deref().map(StateFile::read).transpose()?.flatten();
        let state = kept.unwrap_or_else(|| seed::state_of(&world, hooks.now_ms()));
        let listen_failed = |source| StartError::Listen { address: listen, source };
        let tcp = TcpListener::bind(listen).await.map_err(listen_failed)?;
        let address = tcp.local_addr().map_err(listen_failed)?;
        let file = state_file.as_deref().map(|path| StateFile::compact(path, &state)).transpose()?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| StartError::Client(error.to_string()))?;
        let fixed = Fixed {
            // The key of signed interactions follows from the token, so that a restart keeps it.
            key: SigningKey::from_bytes(&Sha256::digest(format!("fake-discord signing key {token}")).into()),
            token,
            client_secret,
            url: format!("http://{address}"),
            ws_url: format!("ws://{address}"),
            port: address.port(),
            hooks,
            http,
        };
        let hub = Arc::new(Hub::new(fixed, state, file));
        let server = tokio::spawn(site::serve(tcp, Arc::clone(&hub)));
        Ok(Self { running: Arc::new(Running { hub, server: Mutex::new(Some(server)) }) })
    }

    /// `http://127.0.0.1:PORT`: REST under `/api/v10`, OAuth2 under `/oauth2`, control under `/_control`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.running.hub.fixed.url
    }

    /// `ws://127.0.0.1:PORT`.
    #[must_use]
    pub fn gateway_url(&self) -> &str {
        &self.running.hub.fixed.ws_url
    }

    /// The application's id.
    #[must_use]
    pub fn application_id(&self) -> u64 {
        APPLICATION_ID
    }

    /// The id of the bot's account.
    #[must_use]
    pub fn bot_id(&self) -> u64 {
        BOT_ID
    }

    /// Ends when the stand-in stops.
    #[must_use]
    pub fn stopped(&self) -> CancellationToken {
        self.running.hub.stopped.clone()
    }

    /// Makes the account a member with exactly these roles (`None`: it leaves), as a moderator would. An account that
    /// was never seen is made and called `user<ID>`. The frames are queued when this returns.
    ///
    /// # Errors
    /// When guild or a role is unknown, when it is the bot that should leave, or the state file cannot be written.
    pub fn set_member(&self, guild: u64, user: u64, roles: Option<&[u64]>) -> Result<(), ControlError> {
        let mut inner = self.running.hub.lock();
        let known =
            inner.state.guilds.get(&guild).ok_or_else(|| ControlError::Unknown(format!("guild {guild}")))?;
        let Some(roles) = roles else {
            if user == BOT_ID {
                return Err(ControlError::Invalid("the bot leaves a guild by being kicked".to_owned()));
            }
            if !known.members.contains_key(&user) {
                return Ok(());
            }
            return inner.leave(guild, user).map_err(|error| ControlError::Storage(error.0));
        };
        if let Some(role) = roles.iter().find(|role| !known.roles.contains_key(role)) {
            return Err(ControlError::Unknown(format!("role {role} in guild {guild}")));
        }
        let roles: BTreeSet<u64> = roles.iter().copied().filter(|role| *role != guild).collect();
        inner.ensure_account(user, None).map_err(|error| ControlError::Storage(error.0))?;
        inner.set_member(guild, user, roles).map(|_| ()).map_err(|error| ControlError::Storage(error.0))
    }

    /// Cuts every connection, frees the port and returns when that is done.
    pub async fn stop(self) {
        self.running.hub.stopped.cancel();
        let server = self.running.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            let _ = server.await;
        }
    }
}

impl std::fmt::Debug for FakeDiscord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeDiscord").field("url", &self.url()).finish_non_exhaustive()
    }
}
