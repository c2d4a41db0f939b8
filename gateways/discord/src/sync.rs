//! A member's roles become licenses: takes letters out of the mailbox, asks the brake, and issues one command each. It
//! compares nothing itself; the command compares what was seen with what is stored, so a letter may come late, twice,
//! or in any order.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commands::{CommandError, Context, Losses, Observation, ObserveMember};
use domain::event::Actor;
use domain::id::{DiscordId, GuildId, RoleId};
use domain::time::Timestamp;
use projections::QueryError;
use tokio_util::sync::CancellationToken;

use crate::bot::Inner;
use crate::brake::Case;
use crate::egress::{EgressError, Request};
use crate::frames;
use crate::mailbox::{Letter, News, Who};
use crate::resync::Reach;

/// Longest pause before a letter that failed is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Tries of a letter about a guild that is not known yet.
const UNKNOWN_TRIES: u32 = 8;
/// Tries of a letter whose command is refused, or meets a log that cannot be read.
const REFUSED_TRIES: u32 = 8;
/// Members whose last observation is remembered.
const SEEN_MAX: usize = 200_000;
/// Discord: there is no such member.
const UNKNOWN_MEMBER: u32 = 10_007;

/// What a member was last seen with, so that a change of anything else (a nickname, an avatar, our own role write)
/// costs nothing. It is only a hint: whatever is not in it is decided by the command.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<Who, Sight>>);

/// What was seen, under which version of the guild.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    guild_version: u64,
    present: bool,
    roles: BTreeSet<RoleId>,
}

impl Seen {
    fn is_same(&self, who: Who, sight: &Sight) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&who) == Some(sight)
    }

    fn note(&self, who: Who, sight: Option<Sight>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        match sight {
            Some(sight) => drop(seen.insert(who, sight)),
            None => drop(seen.remove(&who)),
        }
    }

    /// One member does not count as seen any more.
    pub(crate) fn forget_one(&self, who: Who) {
        self.note(who, None);
    }

    /// Nothing counts as seen any more.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Somebody's roles, as seen by an event or by asking.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) guild: GuildId,
    pub(crate) user: DiscordId,
    pub(crate) present: bool,
    pub(crate) roles: BTreeSet<RoleId>,
    pub(crate) at: Timestamp,
}

/// Why a sighting was not taken. It is tried again, or found again by the next reconcile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// The guild cannot be reached or is not known: nothing is decided about its members.
    #[error("the guild is frozen")]
    Frozen,
    /// The guild is not registered yet.
    #[error("the guild is not registered yet")]
    Unregistered,
    /// Discord did not say.
    #[error(transparent)]
    Discord(#[from] EgressError),
    /// The read side.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The change.
    #[error(transparent)]
    Command(CommandError),
}

impl From<CommandError> for SyncError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotFound("guild") => Self::Unregistered,
            other => Self::Command(other),
        }
    }
}

/// What became of a sighting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    /// Rules that were withheld by the brake.
    pub(crate) held_back: BTreeSet<domain::guild::RuleId>,
}

impl Inner {
    /// Takes letters until `stop`.
    pub(crate) async fn sync_worker(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let letter = tokio::select! {
                () = stop.cancelled() => return,
                letter = self.mailbox.take() => letter,
            };
            match self.deal_with(&letter).await {
                Ok(()) => self.mailbox.done(letter.who),
                Err(error) => self.try_again(letter, &error, &stop).await,
            }
        }
    }

    async fn try_again(self: &Arc<Self>, letter: Letter, error: &SyncError, stop: &CancellationToken) {
        let (guild, _) = letter.who;
        match error {
            // The reconcile that follows the end of the outage finds it again.
            // A session that another process began told that one about the guild: it is asked about.
            SyncError::Frozen if self.guilds.get(guild).is_none() && letter.failures < UNKNOWN_TRIES => {
                self.resync.want(guild, Reach::Full);
            }
            SyncError::Frozen => return self.mailbox.done(letter.who),
            SyncError::Unregistered => self.registrations.want(guild),
            // Kept, it would hold up the guild's log messages and the session's sequence.
            SyncError::Command(error) if !error.may_pass() && letter.failures >= REFUSED_TRIES => {
                tracing::error!(%guild, %error, "a member cannot be brought up to date; left to the reconcile");
                return self.mailbox.done(letter.who);
            }
            other => {
                tracing::warn!(%guild, error = %other, "a member could not be brought up to date; tried again");
            }
        }
        let pause = Duration::from_millis(50) * 2_u32.saturating_pow(letter.failures.min(10));
        let inner = Arc::clone(self);
        let stop = stop.clone();
        // The pause holds up this member only.
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause.min(PAUSE_MAX)) => inner.mailbox.again(letter),
            }
        });
    }

    async fn deal_with(&self, letter: &Letter) -> Result<(), SyncError> {
        let (guild, user) = letter.who;
        let sighting = match &letter.news {
            News::Seen { present, roles, at } => {
                Some(Sighting { guild, user, present: *present, roles: roles.clone(), at: *at })
            }
            News::Ask => self.ask(guild, user).await?,
        };
        let Some(sighting) = sighting else { return Ok(()) };
        self.take(sighting, Actor::Bot).await.map(|_| ())
    }

    /// What Discord says of one member now; `None` if its answer decides nothing.
    pub(crate) async fn ask(&self, guild: GuildId, user: DiscordId) -> Result<Option<Sighting>, SyncError> {
        // What comes over the gateway while the answer is under way is newer than the answer.
        let at = self.now();
        match self.egress.call(Request::get(format!("/guilds/{guild}/members/{user}"))).await {
            Ok(member) if frames::is_bot(&member) => Ok(None),
            Ok(member) => {
                Ok(frames::roles(&member).map(|roles| Sighting { guild, user, present: true, roles, at }))
            }
            Err(EgressError::Discord { status: 404, code: UNKNOWN_MEMBER, .. }) => {
                Ok(Some(Sighting { guild, user, present: false, roles: BTreeSet::new(), at }))
            }
            Err(EgressError::Discord { status, code, message }) => {
                tracing::info!(%guild, status, code, message, "Discord's answer about a member decides nothing");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes one sighting, in the name of `actor`.
    pub(crate) async fn take(&self, sighting: Sighting, actor: Actor) -> Result<Taken, SyncError> {
        let known = self.guilds.usable(sighting.guild).ok_or(SyncError::Frozen)?;
        let facts = self.queries.guild(sighting.guild).await?.ok_or(SyncError::Unregistered)?;
        if !facts.guild.present {
            return Err(SyncError::Unregistered);
        }
        let who = (sighting.guild, sighting.user);
        let relevant = facts.guild.relevant_roles();
        let roles: BTreeSet<RoleId> = sighting.roles.intersection(&relevant).copied().collect();
        let sight = Sight { guild_version: facts.guild.version, present: sighting.present, roles };
        if self.seen.is_same(who, &sight) {
            return Ok(Taken::default());
        }
        let mut order = ObserveMember {
            guild: sighting.guild,
            user: sighting.user,
            present: sighting.present,
            roles: sight.roles.clone(),
            guild_version: Some(facts.guild.version),
            observed_at: sighting.at,
            withheld: known.blind_rules(&facts.guild),
        };
        let losses = self.commands.losses(&order).await?;
        let held_back = self.judge_one(&order, losses).await?;
        let is_final = held_back.is_empty();
        order.withheld.extend(&held_back);
        let context = self.context(actor, Some(sighting.guild));
        let observation = self.observe(&context, order).await?;
        // A removal that waits must be looked at again, and what came too late was not taken.
        let member = &observation.member;
        let taken = match member.guild {
            Some(_) => member.roles == sight.roles && member.present == sight.present,
            None => sight.roles.is_empty(),
        };
        self.seen.note(who, (is_final && taken).then_some(sight));
        Ok(Taken { held_back })
    }

    async fn judge_one(
        &self,
        order: &ObserveMember,
        losses: Losses,
    ) -> Result<BTreeSet<domain::guild::RuleId>, SyncError> {
        let case = Case { user: self.pseudonym(order.user), losses };
        let verdict = self.brake.judge(order.guild, &[case], order.observed_at.max(self.now())).await?;
        if let Some(batch) = verdict.begun {
            self.removals_wait(order.guild, batch);
        }
        Ok(verdict.withheld.into_iter().next().unwrap_or_default())
    }

    /// Issues the command.
    pub(crate) async fn observe(
        &self,
        context: &Context,
        order: ObserveMember,
    ) -> Result<Observation, SyncError> {
        let observation = self.commands.observe(context, order).await?;
        self.status().observations += 1;
        Ok(observation)
    }
}
