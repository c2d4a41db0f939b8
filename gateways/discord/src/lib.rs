//! The Discord bot: roles in, keys out. It follows Discord's gateway through a relay of its own, turns what it sees
//! into commands, delivers keys, and answers slash commands. It changes licenses by commands only, reads by queries
//! only, keeps no table of its own, and lets no type of serenity or poise out of this crate.

mod alerts;
mod bot;
mod brake;
mod config;
mod deliver;
pub mod egress;
mod frames;
mod guilds;
mod log_channels;
mod mailbox;
mod oauth;
mod register;
pub mod relay;
mod removals;
mod resync;
mod shard;
mod sharing;
mod slash;
mod sync;
mod tap;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use domain::id::GuildId;
use projections::QueryError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use bot::{Clock, ShardState};
pub use config::{Brake, Config, Delivery, Rest};
pub use oauth::{OAuth, OAuthAccount, OAuthConfig, OAuthError};
pub use resync::{Reach, Report, ResyncError};
pub use slash::signed::InteractionRefused;

use bot::Inner;
use egress::{Egress, EgressConfig, EgressError};

/// Where the real Discord is.
pub const DISCORD: &str = "https://discord.com";

/// How long the parts may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Guilds that are reconciled at the same time.
const RECONCILES: usize = 4;
/// How often it is looked whether the first reconcile is done.
const SETTLE_LOOK: Duration = Duration::from_millis(10);

/// What the bot works with.
pub struct Parts {
    /// The door to change.
    pub commands: commands::Commands,
    /// The door to read.
    pub queries: projections::Queries,
    /// The clock.
    pub clock: Clock,
}

/// A running bot.
pub struct Bot {
    inner: Arc<Inner>,
    stop: CancellationToken,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

/// How the bot is, for health, status and metrics.
#[derive(Debug, Clone)]
pub struct BotHealth {
    /// Each shard.
    pub shards: Vec<(u32, ShardState)>,
    /// Guilds known, and how many of them are frozen.
    pub guilds: (usize, usize),
    /// Dispatches received.
    pub events: u64,
    /// Dispatches that came behind a later one of their session.
    pub disorder: u64,
    /// Frames that could not be used, and the last of them.
    pub odd_frames: (u64, Option<String>),
    /// Members that wait to be brought up to date.
    pub waiting: usize,
    /// Observations made.
    pub observations: u64,
    /// REST.
    pub rest: egress::EgressHealth,
    /// Whether Discord stopped our direct messages.
    pub dms_stopped: bool,
    /// IDENTIFYs of the last 24 hours.
    pub identifies: u32,
    /// Deliveries by state.
    pub deliveries: u64,
    /// Removals that wait to be confirmed.
    pub removals: usize,
}

impl BotHealth {
    /// Whether every shard of this instance receives events, or another instance has it.
    pub fn is_connected(&self) -> bool {
        self.shards.iter().any(|(_, state)| *state == ShardState::Connected)
            && self
                .shards
                .iter()
                .all(|(_, state)| !matches!(state, ShardState::Stopped(_) | ShardState::Connecting))
    }

    /// Why a shard was given up, if one was.
    pub fn stopped(&self) -> Option<&str> {
        self.shards.iter().find_map(|(_, state)| match state {
            ShardState::Stopped(why) => Some(why.as_str()),
            _ => None,
        })
    }
}

impl Bot {
    /// Starts the bot. It connects in the background, again and again, whatever fails.
    ///
    /// # Errors
    /// If the client for REST cannot be made.
    pub fn start(parts: Parts, config: Config) -> Result<Self, EgressError> {
        let rest = &config.rest;
        let egress = Egress::new(EgressConfig {
            global_per_second: rest.per_second,
            connect_timeout: rest.connect_timeout,
            timeout: rest.timeout,
            tries: rest.tries,
            invalid_max: rest.invalid_max,
            waiting_max: rest.waiting_max,
            ..EgressConfig::new(config.api_base.clone(), config.token.clone())
        })?;
        let (workers, shards) = (config.workers, config.shards);
        let inner = Arc::new(Inner::new(config, parts.commands, parts.queries, parts.clock, egress));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            tasks.spawn(Arc::clone(&inner).sync_worker(stop.clone()));
        }
        tasks.spawn(Arc::clone(&inner).register_worker(stop.clone()));
        for _ in 0..RECONCILES {
            tasks.spawn(Arc::clone(&inner).resync_worker(stop.clone()));
        }
        tasks.spawn(Arc::clone(&inner).deliver_worker(stop.clone()));
        tasks.spawn(Arc::clone(&inner).log_worker(stop.clone()));
        tasks.spawn(Arc::clone(&inner).removals_worker(stop.clone()));
        tasks.spawn(Arc::clone(&inner).reconcile_timer(stop.clone()));
        tasks.spawn(slash::register::run(Arc::clone(&inner), stop.clone()));
        for number in 0..shards {
            tasks.spawn(shard::own(Arc::clone(&inner), (number, shards), stop.clone()));
        }
        Ok(Self { inner, stop, tasks: tokio::sync::Mutex::new(tasks) })
    }

    /// How the bot is.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn health(&self) -> Result<BotHealth, QueryError> {
        let inner = &self.inner;
        let state = inner.queries.bot_state();
        let dms_stopped = state.note(deliver::DMS_STOPPED).await?.is_some();
        let removals = inner.queries.held_removals().unconfirmed().await?;
        let (identifies, deliveries) = (state.identifies().await?, inner.queries.outbox().waiting().await?);
        let (guilds, waiting, rest) = (inner.guilds.count(), inner.mailbox.len(), inner.egress.health());
        let status = inner.status();
        Ok(BotHealth {
            shards: status.shards.iter().map(|(number, state)| (*number, state.clone())).collect(),
            guilds,
            events: status.events,
            disorder: status.disorder,
            odd_frames: (status.odd_frames, status.last_odd.clone()),
            waiting,
            observations: status.observations,
            rest,
            dms_stopped,
            identifies,
            deliveries,
            removals,
        })
    }

    /// Whether this instance has a shard and receives its events, without asking the database.
    pub fn is_connected(&self) -> bool {
        self.inner.status().shards.values().any(|state| *state == ShardState::Connected)
    }

    /// Reconciles every guild that this instance speaks for, and waits for the result of each.
    pub async fn reconcile(&self, reach: Reach) -> Vec<(GuildId, Result<Report, String>)> {
        let inner = &self.inner;
        let asked: Vec<_> =
            inner.own_guilds().into_iter().map(|guild| (guild, inner.resync.ask(guild, reach))).collect();
        let mut reports = Vec::new();
        for (guild, answer) in asked {
            let report = match answer.await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err("the bot is stopping".to_owned()),
            };
            reports.push((guild, report));
        }
        reports
    }

    /// Waits until every guild of the first session was looked at once, at most for `limit`; whether that came.
    pub async fn settled(&self, limit: Duration) -> bool {
        let settled = async {
            loop {
                let ids = self.inner.own_guilds();
                let seen = {
                    let status = self.inner.status();
                    !ids.is_empty() && ids.iter().all(|id| status.sweeps.contains_key(id))
                };
                if seen {
                    return;
                }
                tokio::time::sleep(SETTLE_LOOK).await;
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok()
    }

    /// Checks and answers an interaction that Discord posted to our HTTP address.
    ///
    /// # Errors
    /// [`InteractionRefused`]; one that is not signed is refused before it is read.
    pub async fn interaction(
        &self,
        signature: &str,
        timestamp: &str,
        body: &[u8],
    ) -> Result<serde_json::Value, InteractionRefused> {
        slash::signed::answer(&self.inner, signature, timestamp, body).await
    }

    /// Goes on after somebody mended what the bot had stopped for: a token, an intent, too many direct messages.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn resume(&self) -> Result<(), QueryError> {
        self.inner.queries.bot_state().set_note(deliver::DMS_STOPPED, None).await?;
        self.inner.egress.resume();
        self.inner.resumed.notify_waiters();
        Ok(())
    }

    /// Ends every part; what was under way is found again by the next start.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut tasks = self.tasks.lock().await;
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("the bot was still working after {STOP_WITHIN:?}; it is cut off");
            tasks.abort_all();
        }
        self.inner.egress.stop();
    }
}
