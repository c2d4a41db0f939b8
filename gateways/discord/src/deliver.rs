//! Keys reach their owners: follows the log into the outbox and sends direct messages from it within their limits. A
//! row holds ids; the key is rendered when it is sent, and stands in no table and no log. A message is sent once: its
//! nonce is the row's, and Discord keeps nonces apart for a few minutes; after that the channel itself is asked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::event::Actor;
use domain::guild::{self, Guild};
use domain::id::{ChannelId, GuildId};
use domain::license::{License, Stage};
use domain::private::Unsealed;
use domain::time::{Span, Timestamp};
use projections::{Delivery, QueryError, SendLimits};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bot::Inner;
use crate::egress::{EgressError, Request};
use crate::resync::Reach;
use crate::texts;

/// The note that says that Discord stopped our direct messages.
pub(crate) const DMS_STOPPED: &str = "dms_stopped";
/// Discord: the account takes no messages from us.
const CANNOT_SEND: u32 = 50_007;
/// Discord: no server in common.
const NO_MUTUAL_GUILD: u32 = 50_278;
/// Discord: we open too many direct messages.
const TOO_MANY_DMS: u32 = 40_003;
/// Events that are followed at once.
const FOLLOW: u32 = 500;
/// Longest sleep of the loop.
const TICK: Duration = Duration::from_millis(500);
/// Shortest sleep while a guild has not been quiet for long enough.
const SHORT: Duration = Duration::from_millis(5);
/// How long Discord surely keeps nonces apart.
const NONCE_KEPT: Span = Span::seconds(120);
/// Messages of a channel that are looked through for ours.
const LOOK_BACK: u32 = 50;
/// Tries after which a refusal counts: the first may have met a channel that is gone.
const REFUSALS: u32 = 2;
/// Longest pause between two tries.
const RETRY_MAX: Span = Span::hours(1);

/// What the loop remembers between its turns.
struct Turn {
    permits: Arc<Semaphore>,
    sends: JoinSet<()>,
    /// Since when a guild is waited for to become quiet.
    restless: HashMap<GuildId, Instant>,
    /// When the last messages went out.
    recent: VecDeque<Instant>,
}

/// Why a message did not go out.
enum Unsent {
    /// There is nothing to deliver any more.
    Moot,
    /// Its owner cannot be reached; Discord's code.
    Unreachable(u32),
    /// Discord knows no such channel, or lets nobody in; its code.
    Refused(u32),
    /// Not now.
    Later(String),
}

impl Inner {
    /// Delivers until `stop`.
    pub(crate) async fn deliver_worker(self: Arc<Self>, stop: CancellationToken) {
        let mut heard = self.queries.heard();
        let mut turn = Turn {
            permits: Arc::new(Semaphore::new(self.config.delivery.parallel)),
            sends: JoinSet::new(),
            restless: HashMap::new(),
            recent: VecDeque::new(),
        };
        while !stop.is_cancelled() {
            let pause = match self.deliver(&mut turn).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "deliveries could not be looked at; tried again");
                    TICK
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                _ = heard.changed() => {}
                () = tokio::time::sleep(pause) => {}
                Some(_) = turn.sends.join_next() => {}
            }
        }
        // What is under way may end; what is cut off is found by its lease and its nonce.
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            while turn.sends.join_next().await.is_some() {}
        })
        .await;
    }

    /// One turn; says for how long nothing is to be done.
    async fn deliver(self: &Arc<Self>, turn: &mut Turn) -> Result<Duration, QueryError> {
        let (outbox, limits) = (self.queries.outbox(), self.limits(usize::MAX));
        if self.status().leases.is_empty() {
            outbox.rest();
            return Ok(TICK);
        }
        loop {
            let followed = outbox.follow(self.now(), FOLLOW, &limits).await?;
            if !followed.rules_changed.is_empty() {
                // Another process may have changed them: whoever looks at the members now must not find the rules of before.
                self.queries.hear_of(followed.position).await?;
            }
            for guild in followed.rules_changed.into_iter().filter(|guild| self.owns(*guild)) {
                self.resync.want(guild, Reach::Full);
            }
            if !followed.more {
                break;
            }
        }
        let mut pause = TICK;
        if self.queries.bot_state().note(DMS_STOPPED).await?.is_none() {
            for guild in outbox.due_guilds(self.now()).await? {
                pause = pause.min(self.deliver_in(turn, guild).await?);
            }
        }
        if let Some(next) = outbox.next_due().await? {
            let ahead = u64::try_from((next - self.now()).ms()).unwrap_or_default();
            if ahead > 0 {
                pause = pause.min(Duration::from_millis(ahead));
            }
        }
        Ok(pause.max(SHORT))
    }

    fn limits(&self, batch: usize) -> SendLimits {
        let delivery = &self.config.delivery;
        SendLimits {
            per_guild_minute: delivery.per_guild_minute,
            bulk_above: delivery.bulk_above,
            batch: u32::try_from(batch).unwrap_or(u32::MAX),
            slot_pause: delivery.slot_pause,
            lease: delivery.lease,
        }
    }

    /// Sends what may be sent in a guild, if it has been quiet: many grants at once are to be seen as many.
    async fn deliver_in(self: &Arc<Self>, turn: &mut Turn, guild: GuildId) -> Result<Duration, QueryError> {
        let Some(lease) = self.lease_of(guild) else { return Ok(TICK) };
        if let Some(wait) = self.restless(turn, guild, self.config.delivery.quiet) {
            return Ok(wait);
        }
        turn.recent.retain(|at| at.elapsed() < Duration::from_secs(60));
        let room = self
            .config
            .delivery
            .per_minute
            .saturating_sub(turn.recent.len())
            .min(turn.permits.available_permits());
        if room == 0 {
            return Ok(TICK);
        }
        turn.restless.remove(&guild);
        let claimed = self.queries.outbox().claim(guild, self.now(), &self.limits(room), &lease).await?;
        for delivery in claimed {
            turn.recent.push_back(Instant::now());
            let (inner, permits) = (Arc::clone(self), Arc::clone(&turn.permits));
            if let Ok(permit) = permits.try_acquire_owned() {
                turn.sends.spawn(async move { inner.send_and_report(delivery, permit).await });
            }
        }
        Ok(TICK)
    }

    /// How long a guild is still to be waited for until it has been quiet for `quiet`; `None` once it has, or once
    /// that was waited for long enough.
    fn restless(&self, turn: &mut Turn, guild: GuildId, quiet: Duration) -> Option<Duration> {
        let since = *turn.restless.entry(guild).or_insert_with(Instant::now);
        if since.elapsed() >= self.config.delivery.quiet_max {
            return None;
        }
        match self.mailbox.quiet_for(guild) {
            Some(silence) => quiet.checked_sub(silence).filter(|left| !left.is_zero()),
            None => Some(SHORT),
        }
    }

    async fn send_and_report(self: Arc<Self>, delivery: Delivery, _permit: OwnedSemaphorePermit) {
        let result = self.send(&delivery).await;
        let (outbox, now) = (self.queries.outbox(), self.now());
        let reported = match result {
            Ok(()) => outbox.sent(&delivery, now).await,
            Err(Unsent::Moot) => outbox.dropped(&delivery).await,
            Err(Unsent::Refused(code)) if delivery.attempts >= REFUSALS => {
                self.note_unreachable(&delivery, code).await;
                outbox.undeliverable(&delivery, code, now).await
            }
            Err(Unsent::Unreachable(code)) => {
                self.note_unreachable(&delivery, code).await;
                outbox.undeliverable(&delivery, code, now).await
            }
            Err(Unsent::Refused(code)) => {
                self.forget_channel(&delivery).await;
                tracing::info!(guild = %delivery.guild, code, "the channel of direct messages is refused; opened anew");
                outbox.retry(&delivery, now.after(self.retry_pause(delivery.attempts))).await
            }
            Err(Unsent::Later(why)) => {
                let pause = self.retry_pause(delivery.attempts);
                tracing::info!(guild = %delivery.guild, why, "a key could not be delivered; tried again in {pause:?}");
                outbox.retry(&delivery, now.after(pause)).await
            }
        };
        if let Err(error) = reported {
            tracing::warn!(%error, "what became of a delivery could not be kept; its lease brings it again");
        }
    }

    /// The channel that is kept may be nobody's any more.
    async fn forget_channel(&self, delivery: &Delivery) {
        if let Err(error) = self.queries.bot_state().forget_dm_channel(&delivery.user).await {
            tracing::warn!(%error, "a channel of direct messages could not be forgotten");
        }
    }

    fn retry_pause(&self, attempts: u32) -> Span {
        let first = i64::try_from(self.config.delivery.retry.as_millis()).unwrap_or(i64::MAX);
        Span(first.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(RETRY_MAX.ms()))
    }

    /// A member who takes no messages is remembered, so that nobody asks again for the same key.
    async fn note_unreachable(&self, delivery: &Delivery, code: u32) {
        if code == 0 {
            return;
        }
        let context = self.context(Actor::Bot, Some(delivery.guild));
        let noted =
            self.commands.record_delivery_failure(&context, delivery.guild, &delivery.user, code).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "a failed delivery could not be recorded");
        }
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), Unsent> {
        let later = |error: QueryError| Unsent::Later(error.to_string());
        let guild = self.queries.guild(delivery.guild).await.map_err(later)?.ok_or(Unsent::Moot)?;
        let license = self.queries.license(delivery.license).await.map_err(later)?.ok_or(Unsent::Moot)?;
        let license = &license.license;
        if license.stage == Stage::Revoked
            || license.owner.as_ref().is_none_or(|owner| owner.id != delivery.user)
        {
            return Err(Unsent::Moot);
        }
        if guild.guild.settings.delivery == guild::Delivery::Panel {
            return Err(Unsent::Unreachable(0));
        }
        let member = self.queries.member(delivery.guild, &delivery.user).await.map_err(later)?;
        let member = member.ok_or(Unsent::Moot)?;
        if member.member.undeliverable {
            return Err(Unsent::Unreachable(CANNOT_SEND));
        }
        let Some(Unsealed::Clear(account)) = &member.discord_id else { return Err(Unsent::Moot) };
        let text = self
            .message(&guild.guild, license)
            .ok_or_else(|| Unsent::Later("the key ring lacks the secret of this license".to_owned()))?;
        let channel = self.channel(delivery, account).await?;
        if !self.was_sent(delivery, channel).await? {
            self.post_key(delivery, channel, &text).await?;
        }
        let context = self.context(Actor::Bot, Some(delivery.guild));
        // A repeat meets the same nonce, so that the history may be tried again without a second message.
        let recorded = self.commands.record_delivery(&context, license.id, "dm", license.key).await;
        recorded.map_err(|error| Unsent::Later(error.to_string()))?;
        Ok(())
    }

    /// The message with the key, in the guild's language.
    fn message(&self, guild: &Guild, license: &License) -> Option<String> {
        let mac = self.commands.ring().as_ref();
        let key = domain::key::render(mac, &guild.settings.key_prefix, license.id, license.key)?;
        let values = [
            ("guild", &*texts::name(&guild.name)),
            ("type", &*type_name(guild, &license.license_type)),
            ("key", &*key),
        ];
        let texts = texts::of(guild.settings.locale);
        // A license begins with version 0: whatever stands above is a key that took another one's place.
        let text = if license.key.version == 0 { texts.dm_granted } else { texts.dm_rekeyed };
        Some(texts::fill(text, &values))
    }

    /// The channel of direct messages with somebody.
    async fn channel(&self, delivery: &Delivery, account: &str) -> Result<ChannelId, Unsent> {
        let later = |error: QueryError| Unsent::Later(error.to_string());
        let state = self.queries.bot_state();
        if let Some(channel) = state.dm_channel(&delivery.user).await.map_err(later)? {
            return Ok(channel);
        }
        // Asked twice, Discord gives the same channel.
        let request = Request::post("/users/@me/channels", json!({ "recipient_id": account })).repeatable();
        let opened = self.egress.call(request).await;
        let opened = self.discord(opened).await?;
        let channel = opened["id"].as_str().and_then(|id| id.parse().ok());
        let channel = channel.ok_or_else(|| Unsent::Later("Discord gave no channel".to_owned()))?;
        state.set_dm_channel(&delivery.user, channel).await.map_err(later)?;
        Ok(channel)
    }

    /// Whether an earlier try, whose answer was lost longer ago than nonces are kept, got through.
    async fn was_sent(&self, delivery: &Delivery, channel: ChannelId) -> Result<bool, Unsent> {
        let old = |at: Timestamp| (self.now() - at).ms() > NONCE_KEPT.ms();
        if delivery.attempts < 2 || !delivery.first_attempt_at.is_some_and(old) {
            return Ok(false);
        }
        let request =
            Request::get(format!("/channels/{channel}/messages")).query(format!("limit={LOOK_BACK}"));
        let messages = self.egress.call(request).await;
        let messages = self.discord(messages).await?;
        let ours = |message: &Value| {
            message["nonce"] == delivery.nonce.as_str()
                || message["embeds"][0]["footer"]["text"] == delivery.nonce.as_str()
        };
        Ok(messages.as_array().is_some_and(|messages| messages.iter().any(ours)))
    }

    async fn post_key(&self, delivery: &Delivery, channel: ChannelId, text: &str) -> Result<(), Unsent> {
        let body = json!({
            "content": text,
            "nonce": delivery.nonce,
            "enforce_nonce": true,
            "allowed_mentions": { "parse": [] },
            // A message keeps its nonce for a while only; its footer stays, and says again which delivery it was.
            "embeds": [{ "footer": { "text": delivery.nonce } }],
        });
        let request = Request::post(format!("/channels/{channel}/messages"), body).repeatable();
        let posted = self.egress.call(request).await;
        self.discord(posted).await.map(|_| ())
    }

    /// What Discord's answer means for a delivery.
    async fn discord(&self, answer: Result<Value, EgressError>) -> Result<Value, Unsent> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(EgressError::Discord { code: code @ (CANNOT_SEND | NO_MUTUAL_GUILD), .. }) => {
                Err(Unsent::Unreachable(code))
            }
            Err(EgressError::Discord { code: TOO_MANY_DMS, message, .. }) => {
                tracing::error!(
                    message,
                    "Discord stopped our direct messages; `dca-auth discord resume` goes on"
                );
                let note =
                    self.queries.bot_state().set_note(DMS_STOPPED, Some(&self.now().to_string())).await;
                if let Err(error) = note {
                    tracing::warn!(%error, "that direct messages are stopped could not be kept");
                }
                Err(Unsent::Later(message))
            }
            // Without a code it is not the API that refuses, but the edge before it.
            Err(EgressError::Discord { status: 403 | 404, code, .. }) if code != 0 => {
                Err(Unsent::Refused(code))
            }
            Err(error) => Err(Unsent::Later(error.to_string())),
        }
    }
}

/// The name of a type as people read it.
pub(crate) fn type_name(guild: &Guild, slug: &str) -> String {
    let known = guild.license_type(slug).map(|license_type| license_type.name.as_str());
    texts::name(known.unwrap_or(slug))
}
