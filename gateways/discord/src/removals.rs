//! Removals that were held back and then confirmed are carried out: each member is asked about once more, so that
//! whoever has his role back keeps his license. It also runs the clock of reconciling.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::event::Actor;
use domain::guild::RuleId;
use domain::id::{GuildId, Pseudonym};
use domain::private::Unsealed;
use futures::StreamExt as _;
use projections::HeldRemoval;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::bot::Inner;
use crate::resync::Reach;
use crate::sync::SyncError;

/// How often it is looked whether somebody confirmed something.
const LOOK: Duration = Duration::from_millis(500);
/// Members that are asked about at the same time.
const ASKED: usize = 8;
/// The job in whose name confirmed removals happen.
const JOB: &str = "confirmed-removals";

/// What was confirmed about one member, and by whom.
#[derive(Default)]
struct Confirmed {
    rules: Vec<RuleId>,
    by: Option<Actor>,
}

impl Inner {
    /// Carries out what was confirmed, until `stop`.
    pub(crate) async fn removals_worker(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if self.status().leases.is_empty() {
                continue;
            }
            if let Err(error) = self.carry_out_confirmed().await {
                tracing::warn!(%error, "confirmed removals could not be carried out; tried again");
            }
        }
    }

    async fn carry_out_confirmed(&self) -> Result<(), SyncError> {
        let mut guilds: BTreeMap<GuildId, BTreeMap<Pseudonym, Confirmed>> = BTreeMap::new();
        for HeldRemoval { guild, rule, user, confirmed_by, .. } in
            self.queries.held_removals().confirmed().await?
        {
            let entry = guilds.entry(guild).or_default().entry(user).or_default();
            entry.rules.push(rule);
            entry.by = confirmed_by;
        }
        for (guild, users) in guilds {
            if !self.owns(guild) || self.guilds.usable(guild).is_none() {
                continue;
            }
            let work: Vec<_> =
                users.iter().map(|(user, confirmed)| self.carry_out_one(guild, user, confirmed)).collect();
            let done: Vec<_> = futures::stream::iter(work).buffer_unordered(ASKED).collect().await;
            for error in done.into_iter().filter_map(Result::err) {
                tracing::warn!(%guild, %error, "a confirmed removal could not be carried out; tried again");
            }
        }
        Ok(())
    }

    async fn carry_out_one(
        &self,
        guild: GuildId,
        user: &Pseudonym,
        confirmed: &Confirmed,
    ) -> Result<(), SyncError> {
        let member = self.queries.member(guild, user).await?;
        let account = match member.and_then(|facts| facts.discord_id) {
            Some(Unsealed::Clear(text)) => text.parse().ok(),
            _ => None,
        };
        if let Some(account) = account {
            // An answer that decides nothing leaves the removal as it is, confirmed.
            let Some(sighting) = self.ask(guild, account).await? else { return Ok(()) };
            // What an event told before is not what stands now.
            self.seen.forget_one((guild, account));
            // Whoever confirmed it did it: the history names him, not the job.
            let actor = confirmed.by.clone().unwrap_or_else(|| Actor::Job(JOB.into()));
            self.take(sighting, actor).await?;
        }
        Ok(self.brake.carried_out(guild, user, &confirmed.rules).await?)
    }

    /// Looks at every guild again and again: at holders often, at all members now and then.
    pub(crate) async fn reconcile_timer(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = interval(self.config.reconcile);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut full = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let reach =
                if full.elapsed() >= self.config.full_reconcile { Reach::Full } else { Reach::Holders };
            if reach == Reach::Full {
                full = Instant::now();
            }
            for guild in self.own_guilds() {
                self.resync.want(guild, reach);
            }
            if let Err(error) = self.drop_stale_removals().await {
                tracing::warn!(%error, "held removals could not be looked through");
            }
        }
    }

    /// Forgets held removals of members who have nothing left to lose: staff revoked their license meanwhile.
    async fn drop_stale_removals(&self) -> Result<(), SyncError> {
        for row in self.queries.held_removals().all().await? {
            if !self.owns(row.guild) {
                continue;
            }
            let member = self.queries.member(row.guild, &row.user).await?;
            let held: BTreeSet<RuleId> = member
                .iter()
                .flat_map(|facts| facts.member.slots.values())
                .filter(|slot| slot.open)
                .flat_map(|slot| slot.sources.iter().copied())
                .collect();
            if !held.contains(&row.rule) {
                self.brake.carried_out(row.guild, &row.user, &[row.rule]).await?;
            }
        }
        Ok(())
    }
}
