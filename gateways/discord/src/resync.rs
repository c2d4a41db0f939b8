//! Reconciling: what Discord says of a guild's members against what is stored, in both directions. It compares roles
//! observed, roles stored, and slots against licenses, so it also repairs what a rule change left behind. It decides
//! nothing on an incomplete answer: an outage, a failed page, an empty list or a list without ourselves ends it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use commands::ObserveMember;
use domain::event::Actor;
use domain::guild::Guild;
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym, RoleId};
use domain::license::License;
use domain::member::Member;
use domain::private::Unsealed;
use domain::roles::Observed;
use futures::{StreamExt as _, TryStreamExt as _};
use projections::MemberFacts;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::bot::{Inner, Sweep};
use crate::brake::{Case, members};
use crate::egress::{EgressError, Request};
use crate::frames;
use crate::sync::{Sighting, SyncError};

/// Members of one page, the most that Discord gives.
const PAGE: usize = 1_000;
/// How long a sweep that found something waits for events about it to come.
const SETTLE: Duration = Duration::from_secs(1);
/// Members that are asked about one by one in one reconcile; the next one goes on with those after them.
const ASKED_MAX: usize = 500;
/// Members that are asked about at the same time.
const ASKED: usize = 8;
/// Commands of one sweep at the same time: the log takes many in one write.
const PARALLEL: usize = 32;
/// The job in whose name a sweep acts; its grants are announced together instead of being sent one by one.
pub(crate) const JOB: &str = "role-sync";

/// How far a reconcile reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Whoever holds a license or had a mapped role.
    Holders,
    /// Every member.
    Full,
}

/// What a reconcile found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Members that were looked at.
    pub members: usize,
    /// Members for whom something followed.
    pub changed: usize,
    /// Members with a removal that waits to be confirmed.
    pub waiting: usize,
    /// Members who could not be asked about; nothing was decided about them.
    pub undecided: usize,
}

/// Why a reconcile decided nothing at all.
#[derive(Debug, thiserror::Error)]
pub enum ResyncError {
    /// The guild cannot be reached, or the bot is not in it.
    #[error("the guild cannot be reached: nothing is decided until it is back")]
    Frozen,
    /// Discord's answer was not whole.
    #[error("Discord's answer was not whole ({0}): nothing was decided")]
    Incomplete(String),
    /// Ours failed.
    #[error("{0}")]
    Failed(String),
}

impl From<SyncError> for ResyncError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Frozen => Self::Frozen,
            SyncError::Discord(error) => Self::Incomplete(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<projections::QueryError> for ResyncError {
    fn from(error: projections::QueryError) -> Self {
        Self::Failed(error.to_string())
    }
}

type Answer = Result<Report, Arc<ResyncError>>;

/// Guilds that wait to be looked at.
#[derive(Default)]
pub(crate) struct Resync {
    state: Mutex<Wishes>,
    notify: Notify,
}

#[derive(Default)]
struct Wishes {
    waiting: BTreeMap<GuildId, Wish>,
    /// Being looked at: a further wish waits for its end.
    running: BTreeSet<GuildId>,
    /// At which member the next look begins to ask.
    turns: HashMap<GuildId, usize>,
    /// When the last look at each guild ended.
    ended: HashMap<GuildId, Instant>,
}

struct Wish {
    reach: Reach,
    waiters: Vec<oneshot::Sender<Answer>>,
}

impl Resync {
    /// Looks at a guild soon; the wider of several wishes counts.
    pub(crate) fn want(&self, guild: GuildId, reach: Reach) {
        self.add(guild, reach, None);
    }

    /// Looks at a guild; the answer comes when that is done.
    pub(crate) fn ask(&self, guild: GuildId, reach: Reach) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.add(guild, reach, Some(sender));
        receiver
    }

    fn add(&self, guild: GuildId, reach: Reach, waiter: Option<oneshot::Sender<Answer>>) {
        let mut state = self.state();
        let wish = state.waiting.entry(guild).or_insert(Wish { reach, waiters: Vec::new() });
        wish.reach = wish.reach.max(reach);
        wish.waiters.extend(waiter);
        drop(state);
        self.notify.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, Wishes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long nobody has looked at a guild; `None` while somebody does.
    pub(crate) fn quiet_for(&self, guild: GuildId) -> Option<Duration> {
        let state = self.state();
        match state.running.contains(&guild) {
            true => None,
            false => Some(state.ended.get(&guild).map_or(Duration::MAX, Instant::elapsed)),
        }
    }

    /// Where the next look at a guild begins among `count` members, and goes on after it.
    fn turn(&self, guild: GuildId, count: usize) -> usize {
        let mut state = self.state();
        let turn = state.turns.entry(guild).or_default();
        let begin = turn.checked_rem(count).unwrap_or(0);
        *turn = if count > ASKED_MAX { begin + ASKED_MAX } else { 0 };
        begin
    }

    fn done(&self, guild: GuildId) {
        let mut state = self.state();
        state.running.remove(&guild);
        state.ended.insert(guild, Instant::now());
        drop(state);
        self.notify.notify_one();
    }

    async fn next(&self) -> (GuildId, Wish) {
        loop {
            let woken = self.notify.notified();
            if let Some(wish) = self.state().pop() {
                // There may be more for another worker.
                self.notify.notify_one();
                return wish;
            }
            woken.await;
        }
    }
}

impl Wishes {
    /// The first guild that nobody looks at.
    fn pop(&mut self) -> Option<(GuildId, Wish)> {
        let guild = *self.waiting.keys().find(|guild| !self.running.contains(guild))?;
        let wish = self.waiting.remove(&guild)?;
        self.running.insert(guild);
        Some((guild, wish))
    }
}

impl Inner {
    /// Reconciles guilds, one after the other, until `stop`. A few of these run: Discord's limits bound them.
    pub(crate) async fn resync_worker(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let (guild, wish) = tokio::select! {
                () = stop.cancelled() => return,
                next = self.resync.next() => next,
            };
            let answer = tokio::select! {
                () = stop.cancelled() => return,
                answer = self.reconcile(guild, wish.reach) => answer.map_err(Arc::new),
            };
            self.resync.done(guild);
            self.note_sweep(guild, &answer);
            for waiter in wish.waiters {
                // Whoever asked may have gone.
                let _ = waiter.send(answer.clone());
            }
        }
    }

    fn note_sweep(&self, guild: GuildId, answer: &Answer) {
        let (members, problem) = match answer {
            Ok(report) => {
                let Report { members, changed, waiting, undecided } = report;
                tracing::info!(%guild, members, changed, waiting, undecided, "a guild was reconciled");
                (*members, None)
            }
            Err(error) => {
                tracing::warn!(%guild, %error, "a guild could not be reconciled");
                (0, Some(error.to_string()))
            }
        };
        self.status().sweeps.insert(guild, Sweep { at: self.now(), members, problem });
    }

    /// Looks at one guild now.
    async fn reconcile(&self, guild: GuildId, reach: Reach) -> Result<Report, ResyncError> {
        if !self.owns(guild) {
            return Err(ResyncError::Frozen);
        }
        self.describe(guild).await?;
        let known = self.guilds.usable(guild).ok_or(ResyncError::Frozen)?;
        self.register(guild).await?;
        let facts = self.queries.guild(guild).await?.ok_or(ResyncError::Frozen)?;
        let stored = members(&self.queries, guild).await?;
        let mut report = Report::default();
        let pages = known.members.map_or(usize::MAX, |count| (count as usize).div_ceil(PAGE));
        let whole = self.config.member_intent && (reach == Reach::Full || pages <= stored.len());
        let sightings = match whole {
            true => self.sweep(guild, &facts.guild, &stored, &mut report).await?,
            false => self.look_at_holders(guild, &stored, &mut report).await?,
        };
        let blind = known.blind_rules(&facts.guild);
        let mut candidates = Vec::new();
        let stored: HashMap<&Pseudonym, &MemberFacts> =
            stored.iter().filter_map(|facts| Some((&facts.member.person.as_ref()?.id, facts))).collect();
        for sighting in sightings {
            let pseudonym = self.pseudonym(sighting.user);
            let member = stored.get(&pseudonym).map(|facts| &facts.member);
            if self.differs(&facts.guild, member, &pseudonym, &sighting, &blind).await? {
                candidates.push(sighting);
            }
        }
        if !candidates.is_empty() {
            // Whatever the gateway tells meanwhile is an event of its own, and the member's news is newer.
            tokio::time::sleep(SETTLE).await;
            candidates.retain(|sighting| !self.mailbox.is_open((guild, sighting.user)));
        }
        // An outage that began meanwhile makes everything above worthless.
        let known = self.guilds.usable(guild).ok_or(ResyncError::Frozen)?;
        // A role that was deleted meanwhile was nobody's loss.
        let blind = known.blind_rules(&facts.guild);
        self.carry_out(guild, &facts.guild, candidates, &blind, &mut report).await?;
        Ok(report)
    }

    /// Asks what the guild is now: its roles, its owner, how many members. A guild that this session was told to be in
    /// an outage, or that the bot was removed from, stays frozen until the gateway says otherwise.
    async fn describe(&self, guild: GuildId) -> Result<(), ResyncError> {
        if self.guilds.get(guild).is_some_and(|known| !known.present || !known.available) {
            return Err(ResyncError::Frozen);
        }
        let request = Request::get(format!("/guilds/{guild}")).query("with_counts=true");
        let described = self.egress.call(request).await.map_err(SyncError::from)?;
        let frame = frames::guild_frame(guild, &described);
        if frame.roles.as_ref().is_none_or(BTreeMap::is_empty) {
            return Err(ResyncError::Incomplete("a guild without roles".to_owned()));
        }
        let shard = crate::bot::shard_of(guild, self.config.shards);
        if self.guilds.described(shard, frame) { Ok(()) } else { Err(ResyncError::Frozen) }
    }

    /// Every member of the guild, page by page; then, one by one, whoever is stored and was not among them.
    async fn sweep(
        &self,
        guild: GuildId,
        facts: &Guild,
        stored: &[MemberFacts],
        report: &mut Report,
    ) -> Result<Vec<Sighting>, ResyncError> {
        let relevant = facts.relevant_roles();
        let ours = self.status().bot;
        let known: BTreeSet<DiscordId> = stored.iter().filter_map(account).collect();
        let (mut sightings, mut listed) = (Vec::new(), BTreeSet::new());
        let (mut after, mut saw_ourselves) = (0_u64, ours.is_none());
        loop {
            let at = self.now();
            let page = self.page(guild, after).await?;
            for member in &page {
                let Some(user) = frames::user(member) else {
                    return Err(ResyncError::Incomplete("a member without an account".to_owned()));
                };
                let Some(roles) = frames::roles(member) else {
                    return Err(ResyncError::Incomplete("a member without roles".to_owned()));
                };
                after = after.max(user.0);
                saw_ourselves |= ours == Some(user);
                report.members += 1;
                listed.insert(user);
                if !frames::is_bot(member) && (known.contains(&user) || !roles.is_disjoint(&relevant)) {
                    sightings.push(Sighting { guild, user, present: true, roles, at });
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
        if listed.is_empty() || !saw_ourselves {
            return Err(ResyncError::Incomplete("a list of members that cannot be whole".to_owned()));
        }
        let missing = stored.iter().filter(|facts| facts.member.present).filter_map(account);
        let missing: Vec<DiscordId> = missing.filter(|user| !listed.contains(user)).collect();
        self.ask_each(guild, missing, report, &mut sightings).await?;
        Ok(sightings)
    }

    async fn page(&self, guild: GuildId, after: u64) -> Result<Vec<Value>, ResyncError> {
        let query = format!("limit={PAGE}&after={after}");
        let request = Request::get(format!("/guilds/{guild}/members")).query(query);
        match self.egress.call(request).await {
            Ok(Value::Array(page)) => Ok(page),
            Ok(_) => Err(ResyncError::Incomplete("a page that is no list".to_owned())),
            Err(error) => Err(SyncError::from(error).into()),
        }
    }

    /// Whoever is stored as present or still has a source, one by one.
    async fn look_at_holders(
        &self,
        guild: GuildId,
        stored: &[MemberFacts],
        report: &mut Report,
    ) -> Result<Vec<Sighting>, ResyncError> {
        let holds = |member: &Member| {
            member.present || member.slots.values().any(|slot| slot.open && !slot.sources.is_empty())
        };
        let holders = stored.iter().filter(|facts| holds(&facts.member)).filter_map(account).collect();
        let mut sightings = Vec::new();
        self.ask_each(guild, holders, report, &mut sightings).await?;
        report.members = sightings.len() + report.undecided;
        Ok(sightings)
    }

    async fn ask_each(
        &self,
        guild: GuildId,
        mut users: Vec<DiscordId>,
        report: &mut Report,
        sightings: &mut Vec<Sighting>,
    ) -> Result<(), ResyncError> {
        report.undecided += users.len().saturating_sub(ASKED_MAX);
        let begin = self.resync.turn(guild, users.len());
        users.rotate_left(begin);
        let users = users.into_iter().take(ASKED_MAX);
        let asked = futures::stream::iter(users).map(|user| self.ask(guild, user)).buffer_unordered(ASKED);
        let answers: Vec<Result<Option<Sighting>, SyncError>> = asked.collect().await;
        for answer in answers {
            match answer {
                Ok(Some(sighting)) => sightings.push(sighting),
                Ok(None) => report.undecided += 1,
                Err(error @ SyncError::Discord(EgressError::Unauthorized)) => return Err(error.into()),
                Err(error) => {
                    tracing::info!(%guild, %error, "a member could not be asked about; nothing is decided");
                    report.undecided += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether anything follows from a sighting.
    async fn differs(
        &self,
        guild: &Guild,
        member: Option<&Member>,
        pseudonym: &Pseudonym,
        sighting: &Sighting,
        blind: &BTreeSet<domain::guild::RuleId>,
    ) -> Result<bool, ResyncError> {
        let relevant = guild.relevant_roles();
        let roles: BTreeSet<RoleId> = sighting.roles.intersection(&relevant).copied().collect();
        let nobody = Member::default();
        let member = member.unwrap_or(&nobody);
        let licenses = self.licenses(member).await?;
        let observed = Observed { present: sighting.present, roles: &roles, withheld: blind };
        let mac = self.commands.ring().as_ref();
        let plan = domain::roles::plan(mac, guild, member, pseudonym, &licenses, observed, self.now());
        let same = member.present == sighting.present && member.roles == roles;
        Ok(!plan.is_empty() || !(same || (member.guild.is_none() && roles.is_empty())))
    }

    async fn licenses(&self, member: &Member) -> Result<BTreeMap<LicenseId, License>, ResyncError> {
        let mut licenses = BTreeMap::new();
        for id in domain::roles::slot_licenses(member) {
            let facts = self.queries.license(id).await?;
            licenses.insert(id, facts.map(|facts| facts.license.clone()).unwrap_or_default());
        }
        Ok(licenses)
    }

    /// Judges all sightings as one wave, then issues their commands.
    async fn carry_out(
        &self,
        guild: GuildId,
        facts: &Guild,
        sightings: Vec<Sighting>,
        blind: &BTreeSet<domain::guild::RuleId>,
        report: &mut Report,
    ) -> Result<(), ResyncError> {
        let orders: Vec<ObserveMember> = sightings
            .into_iter()
            .map(|Sighting { guild, user, present, roles, at }| ObserveMember {
                guild,
                user,
                present,
                roles,
                guild_version: Some(facts.version),
                observed_at: at,
                withheld: blind.clone(),
            })
            .collect();
        // Asked of the log, now: what was compared above may be older than what an event has done since.
        let cases: Vec<_> = orders.iter().map(|order| self.case(order)).collect();
        let cases: Vec<Case> = futures::stream::iter(cases).buffered(PARALLEL).try_collect().await?;
        let verdict = self.brake.judge(guild, &cases, self.now()).await?;
        if let Some(batch) = verdict.begun {
            self.removals_wait(guild, batch);
        }
        report.waiting = verdict.withheld.iter().filter(|rules| !rules.is_empty()).count();
        let work = orders.into_iter().zip(verdict.withheld).map(|(mut order, held_back)| {
            order.withheld.extend(held_back);
            let context = self.context(Actor::Job(JOB.into()), Some(guild));
            // What an event told before is not what stands now.
            self.seen.forget_one((guild, order.user));
            async move { self.observe(&context, order).await.map(|observation| observation.position) }
        });
        let results: Vec<Result<Option<i64>, SyncError>> =
            futures::stream::iter(work).buffer_unordered(PARALLEL).collect().await;
        for result in results {
            report.changed += usize::from(result?.is_some());
        }
        Ok(())
    }

    async fn case(&self, order: &ObserveMember) -> Result<Case, SyncError> {
        let losses = self.commands.losses(order).await?;
        Ok(Case { user: self.pseudonym(order.user), losses })
    }
}

/// The account of a stored member; `None` once it was erased.
fn account(facts: &MemberFacts) -> Option<DiscordId> {
    match facts.discord_id.as_ref()? {
        Unsealed::Clear(text) => text.parse().ok(),
        Unsealed::Erased | Unsealed::Damaged => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::id::GuildId;

    use super::{ASKED_MAX, Resync};

    #[test]
    fn everybody_has_his_turn() {
        let (resync, guild) = (Resync::default(), GuildId(1));
        let count = 2 * ASKED_MAX + 1;
        let begins: Vec<usize> = (0..4).map(|_| resync.turn(guild, count)).collect();
        assert_eq!(begins, [0, ASKED_MAX, 2 * ASKED_MAX, (3 * ASKED_MAX) % count]);
        // Where all are asked, any turn will do, and the next one begins anew.
        resync.turn(guild, 3);
        assert_eq!(resync.turn(guild, count), 0);
        assert_eq!(resync.turn(guild, 0), 0);
    }
}
