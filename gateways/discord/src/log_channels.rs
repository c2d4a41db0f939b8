//! What is written into guilds' log channels: many grants in one message, deliveries that failed, and alerts. Each guild
//! is written to on its own, so that a channel that makes us wait holds up no other guild and no direct message.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::guild::Guild;
use domain::id::{ChannelId, GuildId};
use projections::{Announcement, QueryError};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bot::Inner;
use crate::deliver::type_name;
use crate::egress::{EgressError, Request};
use crate::texts;

/// Longest sleep of the loop.
const TICK: Duration = Duration::from_millis(500);
/// Sleep while a guild has not come to rest.
const RESTLESS: Duration = Duration::from_millis(50);
/// How long a guild must be quiet before it is written to.
const QUIET: Duration = Duration::from_millis(750);
/// Pause after a message that failed.
const SILENCE: Duration = Duration::from_secs(60);
/// Guilds that are written to at once.
const AT_ONCE: usize = 50;

/// Who is written to.
#[derive(Default)]
struct Desk {
    writing: HashSet<GuildId>,
    tasks: JoinSet<(GuildId, bool)>,
    /// Guilds whose message failed, and until when nothing is tried.
    silent: HashMap<GuildId, Instant>,
}

impl Desk {
    fn done(&mut self, guild: GuildId, well: bool) {
        self.writing.remove(&guild);
        if well {
            self.silent.remove(&guild);
        } else {
            self.silent.insert(guild, Instant::now() + SILENCE);
        }
    }
}

impl Inner {
    /// Writes into log channels until `stop`.
    pub(crate) async fn log_worker(self: Arc<Self>, stop: CancellationToken) {
        let mut heard = self.queries.heard();
        let mut desk = Desk::default();
        while !stop.is_cancelled() {
            let pause = match self.write_due(&mut desk).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "what is to be written into log channels could not be looked at");
                    TICK
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                _ = heard.changed() => {}
                () = tokio::time::sleep(pause) => {}
                Some(ended) = desk.tasks.join_next() => match ended {
                    Ok((guild, well)) => desk.done(guild, well),
                    // Nobody can say whose it was; a message that goes out twice has the same nonce.
                    Err(_) => desk.writing.clear(),
                },
            }
        }
    }

    /// Begins what is due; says for how long nothing is to be done.
    async fn write_due(self: &Arc<Self>, desk: &mut Desk) -> Result<Duration, QueryError> {
        if self.status().leases.is_empty() {
            return Ok(TICK);
        }
        let mut guilds: BTreeSet<GuildId> = self.alerted();
        guilds.extend(self.queries.outbox().unannounced().await?);
        guilds.extend(self.queries.outbox().alerting().await?);
        guilds.retain(|guild| self.owns(*guild) && !desk.writing.contains(guild));
        desk.silent.retain(|_, until| Instant::now() < *until);
        let mut pause = TICK;
        for guild in guilds.into_iter().filter(|guild| !desk.silent.contains_key(guild)).take(AT_ONCE) {
            // What one wave or one sweep did is told in one message.
            let rests = [self.mailbox.quiet_for(guild), self.resync.quiet_for(guild)];
            if !rests.iter().all(|silence| silence.is_some_and(|silence| silence >= QUIET)) {
                pause = RESTLESS;
            } else if desk.tasks.len() < AT_ONCE {
                desk.writing.insert(guild);
                let inner = Arc::clone(self);
                desk.tasks.spawn(async move { (guild, inner.write_to(guild).await) });
            }
        }
        Ok(pause)
    }

    /// Writes what a guild is to read; false if something is left to be tried again.
    async fn write_to(&self, guild: GuildId) -> bool {
        let mut well = self.tell_staff(guild).await;
        for written in [self.announce(guild).await, self.alert_sharing(guild).await] {
            if let Err(error) = written {
                tracing::warn!(%guild, error, "a log message could not be written; tried again later");
                well = false;
            }
        }
        well
    }

    async fn announce(&self, guild: GuildId) -> Result<(), String> {
        let outbox = self.queries.outbox();
        let announcement = outbox.announce(guild, self.now()).await.map_err(|error| error.to_string())?;
        let Some(announcement) = announcement else { return Ok(()) };
        self.post_announcement(guild, &announcement).await.map_err(|error| error.to_string())?;
        outbox.announced(guild, &announcement.nonce).await.map_err(|error| error.to_string())
    }

    async fn post_announcement(
        &self,
        guild: GuildId,
        announcement: &Announcement,
    ) -> Result<(), EgressError> {
        let facts = self.queries.guild(guild).await;
        let Ok(Some(facts)) = facts else { return Err(EgressError::Unavailable("the guild".to_owned())) };
        let facts = &facts.guild;
        let texts = texts::of(facts.settings.locale);
        let mut lines = Vec::new();
        if !announcement.bulk.is_empty() {
            lines.push(texts.log_bulk.to_owned());
            lines.extend(announcement.bulk.iter().map(|(slug, count)| {
                let values = [("type", &*type_name(facts, slug)), ("count", &*count.to_string())];
                texts::fill(texts.log_bulk_line, &values)
            }));
        }
        if announcement.undeliverable > 0 {
            let count = announcement.undeliverable.to_string();
            lines.push(texts::fill(texts.log_undeliverable, &[("count", &count)]));
        }
        self.log_message(guild, facts, &lines.join("\n"), &announcement.nonce).await
    }

    /// Writes into a guild's log channel. Without one there is nobody to tell, which is no error.
    pub(crate) async fn log_message(
        &self,
        guild: GuildId,
        facts: &Guild,
        text: &str,
        nonce: &str,
    ) -> Result<(), EgressError> {
        let Some(channel) = facts.settings.log_channel_id else { return Ok(()) };
        if !self.is_own_channel(guild, channel).await? {
            return Ok(());
        }
        let body = json!({
            "content": text,
            "nonce": nonce,
            "enforce_nonce": true,
            "allowed_mentions": { "parse": [] },
        });
        let request = Request::post(format!("/channels/{channel}/messages"), body).repeatable();
        match self.egress.call(request).await {
            Ok(_) => {
                let mut status = self.status();
                status.silent_channels.remove(&guild);
                status.log_channels.insert(guild, channel);
                Ok(())
            }
            // A refusal is an answer: asking again and again would only count against us.
            Err(EgressError::Discord { status, code, message }) => {
                self.silent_channel(guild, format!("{status} {code}: {message}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a channel is one of the guild's: one bot serves many guilds, and whoever sets a channel may name any.
    async fn is_own_channel(&self, guild: GuildId, channel: ChannelId) -> Result<bool, EgressError> {
        if self.status().log_channels.get(&guild) == Some(&channel) {
            return Ok(true);
        }
        match self.egress.call(Request::get(format!("/channels/{channel}"))).await {
            Ok(described) if described["guild_id"] == guild.to_string() => Ok(true),
            Ok(_) => {
                self.silent_channel(guild, "it is no channel of this server".to_owned());
                Ok(false)
            }
            Err(EgressError::Discord { status, code, message }) => {
                self.silent_channel(guild, format!("{status} {code}: {message}"));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn silent_channel(&self, guild: GuildId, why: String) {
        tracing::warn!(%guild, why, "the log channel takes no messages; set another one");
        self.status().silent_channels.insert(guild, why);
    }
}
