//! The one place where everything meets: durable state with its file, sessions, limits, faults and the journal, all
//! behind one lock, so that what a call changed and the frames it caused are in the same order for everybody.
//! The lock is never held while waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::faults::Faults;
use crate::gateway::session::Sessions;
use crate::interact::Interactions;
use crate::journal::Journal;
use crate::limits::Limits;
use crate::oauth::Codes;
use crate::rest::files::Files;
use crate::settings::{BOT_ID, Hooks};
use crate::time;
use crate::world::file::StateFile;
use crate::world::model::Guild;
use crate::world::state::{Change, State};

/// What one running stand-in shares among its connections.
pub(crate) struct Hub {
    pub(crate) fixed: Fixed,
    /// Woken after every change that an interaction may wait for.
    pub(crate) changed: Notify,
    pub(crate) stopped: CancellationToken,
    inner: Mutex<Inner>,
}

/// What may be told apart from the defaults through `PUT /_control/settings`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tunables {
    pub(crate) heartbeat_interval_ms: u64,
    pub(crate) denied_intents: u64,
    pub(crate) refuse_resume: bool,
    pub(crate) identify_remaining: u64,
    pub(crate) reset_after_ms: u64,
    pub(crate) ack_heartbeats: bool,
    pub(crate) replay_max: usize,
    pub(crate) interactions_url: Option<String>,
    pub(crate) member_intent: bool,
    pub(crate) shards: u64,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: 41_250,
            denied_intents: 0,
            refuse_resume: false,
            identify_remaining: 1_000,
            reset_after_ms: 14_400_000,
            ack_heartbeats: true,
            replay_max: 10_000,
            interactions_url: None,
            member_intent: true,
            shards: 1,
        }
    }
}

impl Tunables {
    /// The intents that the developer portal has not switched on.
    pub(crate) fn denied(&self) -> u64 {
        let members = if self.member_intent { 0 } else { crate::gateway::intents::GUILD_MEMBERS };
        self.denied_intents | members
    }

    /// Whether the application has the intent of members, which List Guild Members needs.
    pub(crate) fn has_members(&self) -> bool {
        self.denied() & crate::gateway::intents::GUILD_MEMBERS == 0
    }
}

/// What is behind the lock.
pub(crate) struct Inner {
    /// Unix milliseconds when the lock was taken.
    pub(crate) now: i64,
    pub(crate) state: State,
    pub(crate) sessions: Sessions,
    pub(crate) tunables: Tunables,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) interactions: Interactions,
    pub(crate) codes: Codes,
    pub(crate) files: Files,
    file: Option<StateFile>,
}

/// A change could not be written, and was not made.
#[derive(Debug)]
pub(crate) struct StoreError(pub(crate) String);

/// What a [`Hub`] is made of that never changes.
pub(crate) struct Fixed {
    pub(crate) token: String,
    pub(crate) client_secret: String,
    pub(crate) url: String,
    pub(crate) ws_url: String,
    pub(crate) port: u16,
    pub(crate) key: SigningKey,
    pub(crate) hooks: Arc<dyn Hooks>,
    pub(crate) http: reqwest::Client,
}

impl Hub {
    pub(crate) fn new(fixed: Fixed, state: State, file: Option<StateFile>) -> Self {
        let inner = Inner {
            now: fixed.hooks.now_ms(),
            state,
            sessions: Sessions::default(),
            tunables: Tunables::default(),
            limits: Limits::default(),
            faults: Faults::default(),
            journal: Journal::default(),
            interactions: Interactions::default(),
            codes: Codes::default(),
            files: Files::default(),
            file,
        };
        Self { fixed, changed: Notify::new(), stopped: CancellationToken::new(), inner: Mutex::new(inner) }
    }

    /// Takes the lock and tells it the time. A panic elsewhere does not make the state wrong: every change is whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        let now = self.fixed.hooks.now_ms();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.now = inner.now.max(now);
        inner
    }
}

impl Inner {
    /// Writes changes, then makes them.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        if let Some(file) = &mut self.file {
            file.append(&changes).map_err(|error| {
                tracing::error!(%error, "the state file cannot be written");
                StoreError(error.to_string())
            })?;
        }
        for change in changes {
            self.state.apply(change);
        }
        Ok(())
    }

    /// An id that was never used. It is kept by the change that uses it.
    pub(crate) fn next_id(&mut self) -> u64 {
        let id = time::snowflake(self.now, self.state.last_id);
        self.state.last_id = id;
        id
    }

    /// Whether the bot is in the guild.
    pub(crate) fn is_in(&self, guild: u64) -> bool {
        self.state.guilds.get(&guild).is_some_and(|guild| guild.members.contains_key(&BOT_ID))
    }

    /// The guilds that the bot is in.
    pub(crate) fn guilds(&self) -> impl Iterator<Item = (u64, &Guild)> {
        let with_bot = |(_, guild): &(&u64, &Guild)| guild.members.contains_key(&BOT_ID);
        self.state.guilds.iter().filter(with_bot).map(|(id, guild)| (*id, guild))
    }

    /// Sends an event to every session that may see it. A guild in outage, or one that the bot is not in, has none.
    pub(crate) fn dispatch(&mut self, guild: Option<u64>, intents: u64, name: &str, data: &Value) {
        let silent = |id: u64| !self.is_in(id) || self.state.guilds.get(&id).is_some_and(|g| g.outage);
        if !guild.is_some_and(silent) {
            self.dispatch_anyway(guild, intents, name, data);
        }
    }

    /// Sends an event that says itself that the guild is gone.
    pub(crate) fn dispatch_anyway(&mut self, guild: Option<u64>, intents: u64, name: &str, data: &Value) {
        let text: Arc<str> = data.to_string().into();
        let replay_max = self.tunables.replay_max;
        for session in self.sessions.of(guild, intents) {
            let frame = session.dispatch(name, &text, replay_max);
            self.journal.sent(self.now, &session.id, frame);
        }
    }
}
