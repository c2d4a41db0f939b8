//! The ordered tap on the gateway: what Discord says, in Discord's order, into the guilds that are known and into the
//! mailbox. It does not wait for anything and decides nothing; a frame that cannot be read is asked about by REST.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::id::GuildId;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use projections::GatewaySession;
use tokio::sync::watch;

use crate::alerts::Alert;
use crate::bot::{Inner, ShardState, shard_of};
use crate::frames::{self, Frame, Unusable};
use crate::mailbox::News;
use crate::relay::{Dispatch, Saved, Shard, Tap};
use crate::resync::Reach;

/// Longest text that is kept about a frame.
const TEXT_MAX: usize = 200;
/// Pause before the stored guilds are asked for again.
const STORED_AGAIN: Duration = Duration::from_secs(1);

/// What the listener of a shard does with what it hears.
pub(crate) struct Listener {
    inner: Arc<Inner>,
    /// The session as it stands, to be kept.
    session: watch::Sender<Session>,
    /// IDENTIFY is allowed only while this holds.
    owned: watch::Receiver<bool>,
    /// Told when Discord refuses the shard for good.
    refusal: watch::Sender<bool>,
}

/// What is known of a shard's session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Session {
    /// Nothing yet: what is kept stays.
    Unknown,
    /// It goes on.
    Runs(Saved),
    /// It cannot be resumed: what is kept is worthless.
    Ended,
}

impl Inner {
    /// Stored guilds of a shard that this process was told nothing of, asked for until the database answers.
    async fn unheard_guilds(&self, shard: Shard) -> Vec<GuildId> {
        let stored = loop {
            match self.queries.guilds().await {
                Ok(stored) => break stored,
                Err(error) => tracing::warn!(%error, "the stored guilds could not be looked at; tried again"),
            }
            tokio::time::sleep(STORED_AGAIN).await;
            if !self.status().leases.contains_key(&shard.0) {
                return Vec::new();
            }
        };
        let ours = stored.iter().filter(|facts| facts.guild.present).filter_map(|facts| facts.guild.id);
        ours.filter(|guild| shard_of(*guild, shard.1) == shard.0 && self.guilds.get(*guild).is_none())
            .collect()
    }
}

impl Listener {
    pub(crate) fn new(
        inner: Arc<Inner>,
        session: watch::Sender<Session>,
        owned: watch::Receiver<bool>,
        refusal: watch::Sender<bool>,
    ) -> Self {
        Self { inner, session, owned, refusal }
    }

    fn odd(&self, what: &str) {
        let what: String = what.chars().take(TEXT_MAX).collect();
        tracing::warn!(what, "a frame of the gateway could not be used");
        let mut status = self.inner.status();
        status.odd_frames += 1;
        status.last_odd = Some(what);
    }

    fn unusable(&self, unusable: &Unusable, origin: Option<(u32, i64)>) {
        self.odd(&unusable.what);
        match (unusable.guild, unusable.user) {
            (Some(guild), Some(user)) => self.inner.mailbox.put((guild, user), News::Ask, origin),
            (Some(guild), None) => self.inner.resync.want(guild, Reach::Full),
            (None, _) => {}
        }
    }

    fn count(&self, event: &Dispatch) {
        let mut status = self.inner.status();
        status.events += 1;
        let last = status.sequences.insert(event.shard.0, event.sequence).unwrap_or(0);
        // A session begins with READY; what a resumed one repeats was dealt with by the process before.
        if event.sequence <= last && event.kind != "READY" {
            status.disorder += 1;
        }
    }

    fn take(&self, event: &Dispatch) -> Result<(), Unusable> {
        let inner = &self.inner;
        let (shard, origin) = (event.shard.0, Some((event.shard.0, event.sequence)));
        match frames::read(&event.kind, &event.data)? {
            Frame::Ready { guilds, application, bot } => self.ready(event.shard, &guilds, application, bot),
            Frame::Guild(guild) => {
                let id = guild.id;
                let was_usable = inner.guilds.usable(id).is_some();
                inner.guilds.put(shard, *guild);
                inner.registrations.want(id);
                if event.kind == "GUILD_CREATE" || !was_usable {
                    inner.resync.want(id, Reach::Full);
                }
            }
            Frame::Outage(guild) => {
                tracing::info!(%guild, "a guild is in an outage: nothing is decided there");
                inner.guilds.outage(guild);
            }
            Frame::Removed(guild) => {
                tracing::warn!(%guild, "the bot was removed from a guild: nothing is decided there");
                inner.guilds.removed(shard, guild);
                inner.registrations.want(guild);
            }
            Frame::Role(guild, id, role) => {
                inner.guilds.role(guild, id, role);
                inner.registrations.want(guild);
            }
            Frame::RoleGone(guild, role) => {
                inner.guilds.role_gone(guild, role);
                inner.registrations.want(guild);
                inner.alert(Alert::RoleGone(guild, role));
            }
            Frame::Member { guild, user, roles, bot: false } => {
                let news = News::Seen { present: true, roles, at: inner.now() };
                inner.mailbox.put((guild, user), news, origin);
            }
            Frame::MemberGone { guild, user } => {
                let news = News::Seen { present: false, roles: BTreeSet::new(), at: inner.now() };
                inner.mailbox.put((guild, user), news, origin);
            }
            Frame::Member { guild, user, roles, bot: true } => {
                inner.guilds.bot(guild, user, roles);
                let is_ours = inner.status().bot == Some(user);
                if is_ours {
                    // Which roles it can give depends on its own.
                    inner.registrations.want(guild);
                }
            }
            Frame::Other => {}
        }
        Ok(())
    }

    /// A new session: whatever was known of the shard's guilds is told anew, and a guild that is not named any more
    /// was left while nobody listened.
    fn ready(
        &self,
        shard: Shard,
        guilds: &BTreeSet<GuildId>,
        application: Option<u64>,
        bot: Option<domain::id::DiscordId>,
    ) {
        let inner = &self.inner;
        inner.guilds.forget_shard(shard.0);
        inner.seen.forget();
        inner.registrations.forget_told();
        {
            let mut status = inner.status();
            status.application = application.or(status.application);
            status.bot = bot.or(status.bot);
            status.shards.insert(shard.0, ShardState::Connected);
        }
        let (inner, guilds) = (Arc::clone(inner), guilds.clone());
        tokio::spawn(async move {
            for guild in inner.unheard_guilds(shard).await {
                if !guilds.contains(&guild) {
                    inner.guilds.removed(shard.0, guild);
                    inner.registrations.want(guild);
                }
            }
        });
    }
}

impl Tap for Listener {
    fn dispatch(&self, event: Dispatch) {
        self.count(&event);
        if let Err(unusable) = self.take(&event) {
            self.unusable(&unusable, Some((event.shard.0, event.sequence)));
        }
        for guild in self.inner.mailbox.overflown() {
            tracing::warn!(%guild, "too many members changed at once; the guild is looked at whole");
            self.inner.resync.want(guild, Reach::Full);
        }
    }

    fn odd_frame(&self, _shard: Shard, what: String) {
        self.odd(&what);
    }

    fn saved(&self, shard: Shard) -> BoxFuture<'_, Option<Saved>> {
        async move {
            if self.inner.config.begins_anew {
                return None;
            }
            let key = session_name(shard, self.inner.config.member_intent);
            let kept = self.inner.queries.bot_state().session(&key).await;
            match kept {
                Ok(kept) => {
                    let mut saved = kept.and_then(|kept| read(&kept))?;
                    if self.inner.config.loopback_only {
                        // A stand-in that was started again listens elsewhere.
                        saved.resume_url.clear();
                    }
                    self.session.send_replace(Session::Runs(saved.clone()));
                    Some(saved)
                }
                Err(error) => {
                    tracing::warn!(%error, "the kept session could not be read; a new one begins");
                    None
                }
            }
        }
        .boxed()
    }

    fn began(&self, shard: Shard, saved: Saved) {
        self.inner.mailbox.release_unsure(shard.0);
        self.session.send_replace(Session::Runs(saved));
    }

    fn resuming(&self, shard: Shard) {
        self.inner.mailbox.hold(shard.0);
    }

    fn resumed(&self, shard: Shard) {
        let inner = &self.inner;
        inner.mailbox.release(shard.0);
        inner.registrations.forget_told();
        inner.status().shards.insert(shard.0, ShardState::Connected);
        // A session that another process began told that one about its guilds, and us nothing.
        let session = self.session.borrow().clone();
        let Session::Runs(saved) = session else { return };
        if let Ok(Frame::Ready { guilds, application, bot }) = frames::read("READY", &saved.ready) {
            let mut status = inner.status();
            status.application = application.or(status.application);
            status.bot = bot.or(status.bot);
            drop(status);
            for guild in guilds.into_iter().filter(|guild| inner.guilds.get(*guild).is_none()) {
                inner.resync.want(guild, Reach::Full);
            }
        }
        // Guilds that were joined after that READY stand in the store only.
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            for guild in inner.unheard_guilds(shard).await {
                inner.resync.want(guild, Reach::Full);
            }
        });
    }

    fn ended(&self, shard: Shard) {
        self.inner.mailbox.release_unsure(shard.0);
        self.session.send_replace(Session::Ended);
        self.inner.status().shards.insert(shard.0, ShardState::Connecting);
    }

    fn may_identify(&self, shard: Shard) -> BoxFuture<'_, Result<(), String>> {
        async move {
            if !*self.owned.borrow() {
                return Err("another instance has this shard".to_owned());
            }
            if !self.inner.config.loopback_only && !self.inner.may_identify_now() {
                return Err("another shard's session began less than 5 s ago".to_owned());
            }
            let limit = self.inner.config.identify_per_day;
            match self.inner.queries.bot_state().spend_identify(&name(shard), limit).await {
                Ok(true) => Ok(()),
                Ok(false) => {
                    let why = format!(
                        "{limit} sessions were begun in 24 hours, and no more is allowed: Discord resets the token at \
                         1,000. The next one waits until the oldest is a day old."
                    );
                    self.inner.status().shards.insert(shard.0, ShardState::Stopped(why.clone()));
                    Err(why)
                }
                Err(error) => Err(format!("whether a session may begin could not be looked at: {error}")),
            }
        }
        .boxed()
    }

    fn closed(&self, shard: Shard, code: Option<u16>) {
        tracing::info!(shard = shard.0, code, "the connection to Discord's gateway is gone");
        // A past that broke off may not go on for long: whom it named is asked about.
        self.inner.mailbox.release_unsure(shard.0);
        self.inner.status().shards.insert(shard.0, ShardState::Connecting);
        if matches!(code, Some(4_010..=4_012)) {
            self.refusal.send_replace(true);
        }
    }
}

/// How the session of a shard is named: it goes on with the intents that it began with, so another set of them is
/// another session.
pub(crate) fn session_name(shard: Shard, member_intent: bool) -> String {
    format!("{}{}", name(shard), if member_intent { "+members" } else { "" })
}

/// How a shard is named.
pub(crate) fn name(shard: Shard) -> String {
    format!("{}/{}", shard.0, shard.1)
}

fn read(kept: &GatewaySession) -> Option<Saved> {
    let ready = serde_json::from_str(&kept.ready).ok()?;
    Some(Saved {
        session_id: kept.session_id.clone(),
        sequence: kept.sequence,
        resume_url: kept.resume_url.clone(),
        ready,
    })
}
