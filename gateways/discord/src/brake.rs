//! The brake on removals: how many members may lose a license type's last source in a while before the rest waits
//! until somebody confirms it. It counts distinct members who are without the source at this moment, over every way
//! in which one can lose it. It withholds rules from an observation; it takes nothing away itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use commands::Losses;
use domain::guild::RuleId;
use domain::id::{GuildId, Pseudonym};
use domain::time::Timestamp;
use projections::{HeldRemoval, Page, Queries, QueryError, Standing};
use uuid::Uuid;

use crate::config;

/// How long the number of a rule's holders is used.
const HOLDERS_FRESH: Duration = Duration::from_secs(30);

/// What a member would lose, to be judged.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) user: Pseudonym,
    pub(crate) losses: Losses,
}

/// What the brake says.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// For each case, in its order, the rules that must be withheld.
    pub(crate) withheld: Vec<BTreeSet<RuleId>>,
    /// A batch that began with these cases: somebody should be told.
    pub(crate) begun: Option<Uuid>,
}

/// The brake of every guild.
pub(crate) struct Brake {
    limits: config::Brake,
    queries: Queries,
    guilds: Mutex<HashMap<GuildId, Arc<tokio::sync::Mutex<Counted>>>>,
}

/// What is counted in one guild.
#[derive(Default)]
struct Counted {
    /// Who lost which rule's source, and when.
    recent: HashMap<RuleId, HashMap<Pseudonym, Timestamp>>,
    holders: Option<(Instant, HashMap<RuleId, u32>)>,
    /// Nothing was held when this was last looked at, and nothing has been held since.
    nothing_held: bool,
}

impl Brake {
    /// A brake over the held removals of `queries`.
    pub(crate) fn new(limits: config::Brake, queries: Queries) -> Self {
        Self { limits, queries, guilds: Mutex::default() }
    }

    fn guild(&self, guild: GuildId) -> Arc<tokio::sync::Mutex<Counted>> {
        Arc::clone(self.guilds.lock().unwrap_or_else(PoisonError::into_inner).entry(guild).or_default())
    }

    /// Judges cases together: those of a sweep are one wave, whatever their order.
    ///
    /// # Errors
    /// If what is held cannot be read or written; then nothing may be taken away.
    pub(crate) async fn judge(
        &self,
        guild: GuildId,
        cases: &[Case],
        now: Timestamp,
    ) -> Result<Verdict, QueryError> {
        let counted = self.guild(guild);
        let mut counted = counted.lock().await;
        for case in cases {
            counted.regained(case);
        }
        let nobody_loses = cases.iter().all(|case| case.losses.slots.is_empty());
        // Held removals are read afresh: somebody may have confirmed them in another process.
        let held = match nobody_loses && counted.nothing_held {
            true => HashMap::new(),
            false => self.held(guild, cases).await?,
        };
        let standing = match counted.nothing_held {
            true if held.is_empty() => Standing::Nothing,
            _ => self.queries.held_removals().open(guild).await?,
        };
        counted.nothing_held = standing == Standing::Nothing;
        if nobody_loses {
            return Ok(Verdict { withheld: vec![BTreeSet::new(); cases.len()], begun: None });
        }
        let over = self.over(guild, &mut counted, cases, &held, now).await?;
        let batch = match standing {
            Standing::Open(batch) => batch,
            _ => Uuid::new_v4(),
        };
        let (mut withheld, mut rows) = (Vec::new(), Vec::new());
        for case in cases {
            let mut rules = BTreeSet::new();
            for sources in case.losses.slots.values() {
                if !sources.iter().any(|rule| waits(&held, &over, *rule, &case.user)) {
                    counted.note(sources, case, &held, now);
                    continue;
                }
                rules.extend(sources);
                rows.extend(sources.iter().map(|rule| HeldRemoval {
                    guild,
                    rule: *rule,
                    user: case.user.clone(),
                    batch,
                    since: now,
                    confirmed: false,
                    confirmed_by: None,
                }));
            }
            withheld.push(rules);
        }
        rows.retain(|row| !held.contains_key(&(row.rule, row.user.clone())));
        if !rows.is_empty() {
            counted.nothing_held = false;
            self.queries.held_removals().hold(&rows).await?;
        }
        let begun = (standing != Standing::Open(batch) && !rows.is_empty()).then_some(batch);
        Ok(Verdict { withheld, begun })
    }

    /// What is held of the cases' members, after the rows of those who have the role again were dropped.
    async fn held(
        &self,
        guild: GuildId,
        cases: &[Case],
    ) -> Result<HashMap<(RuleId, Pseudonym), HeldRemoval>, QueryError> {
        let removals = self.queries.held_removals();
        let users: Vec<&Pseudonym> = cases.iter().map(|case| &case.user).collect();
        let mut held: HashMap<_, _> = removals
            .of_members(guild, &users)
            .await?
            .into_iter()
            .map(|row| ((row.rule, row.user.clone()), row))
            .collect();
        if held.is_empty() {
            return Ok(held);
        }
        for case in cases {
            let back: Vec<RuleId> = case
                .losses
                .held
                .iter()
                .copied()
                .filter(|rule| held.contains_key(&(*rule, case.user.clone())))
                .collect();
            if !back.is_empty() {
                removals.drop_rows(guild, &case.user, &back).await?;
                back.iter().for_each(|rule| drop(held.remove(&(*rule, case.user.clone()))));
            }
        }
        Ok(held)
    }

    /// Looks afresh at what is held and who holds: another instance may have acted since. Who lost something stays
    /// counted.
    pub(crate) async fn look_afresh(&self) {
        let guilds: Vec<_> =
            self.guilds.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for counted in guilds {
            let mut counted = counted.lock().await;
            counted.holders = None;
            counted.nothing_held = false;
        }
    }

    /// Rules of which more members would be without the source than may be.
    async fn over(
        &self,
        guild: GuildId,
        counted: &mut Counted,
        cases: &[Case],
        held: &HashMap<(RuleId, Pseudonym), HeldRemoval>,
        now: Timestamp,
    ) -> Result<BTreeSet<RuleId>, QueryError> {
        let since = Timestamp(now.ms() - self.limits.window.ms());
        for losers in counted.recent.values_mut() {
            losers.retain(|_, at| *at > since);
        }
        counted.recent.retain(|_, losers| !losers.is_empty());
        let mut losers: BTreeMap<RuleId, BTreeSet<&Pseudonym>> = BTreeMap::new();
        for case in cases {
            for rule in case.losses.slots.values().flatten() {
                let confirmed = held.get(&(*rule, case.user.clone())).is_some_and(|row| row.confirmed);
                if !confirmed {
                    losers.entry(*rule).or_default().insert(&case.user);
                }
            }
        }
        let mut over = BTreeSet::new();
        for (rule, mut users) in losers {
            let recent = counted.recent.get(&rule);
            users.extend(recent.into_iter().flat_map(HashMap::keys));
            let count = u32::try_from(users.len()).unwrap_or(u32::MAX);
            if count <= self.limits.floor {
                continue;
            }
            let holders = self.holders(guild, &mut counted.holders, rule).await?;
            let share = u64::from(holders) * u64::from(self.limits.percent) / 100;
            if u64::from(count) > u64::from(self.limits.floor).max(share) {
                over.insert(rule);
            }
        }
        Ok(over)
    }

    /// Members in whose open slots the rule is a source.
    async fn holders(
        &self,
        guild: GuildId,
        known: &mut Option<(Instant, HashMap<RuleId, u32>)>,
        rule: RuleId,
    ) -> Result<u32, QueryError> {
        if let Some((at, counts)) = known
            && at.elapsed() < HOLDERS_FRESH
        {
            return Ok(counts.get(&rule).copied().unwrap_or(0));
        }
        let mut counts: HashMap<RuleId, u32> = HashMap::new();
        for facts in members(&self.queries, guild).await? {
            let open = facts.member.slots.values().filter(|slot| slot.open);
            let rules: BTreeSet<RuleId> = open.flat_map(|slot| slot.sources.iter().copied()).collect();
            rules.into_iter().for_each(|rule| *counts.entry(rule).or_default() += 1);
        }
        let count = counts.get(&rule).copied().unwrap_or(0);
        *known = Some((Instant::now(), counts));
        Ok(count)
    }

    /// A removal that was held and confirmed has been carried out.
    ///
    /// # Errors
    /// If that cannot be written; the row is then found again and dropped later.
    pub(crate) async fn carried_out(
        &self,
        guild: GuildId,
        user: &Pseudonym,
        rules: &[RuleId],
    ) -> Result<(), QueryError> {
        self.queries.held_removals().drop_rows(guild, user, rules).await
    }
}

/// Whether the removal of a rule from a member has to wait.
fn waits(
    held: &HashMap<(RuleId, Pseudonym), HeldRemoval>,
    over: &BTreeSet<RuleId>,
    rule: RuleId,
    user: &Pseudonym,
) -> bool {
    match held.get(&(rule, user.clone())) {
        Some(row) => !row.confirmed,
        None => over.contains(&rule),
    }
}

impl Counted {
    /// Who has the source again is not without it any more.
    fn regained(&mut self, case: &Case) {
        for rule in &case.losses.held {
            if let Some(losers) = self.recent.get_mut(rule) {
                losers.remove(&case.user);
            }
        }
    }

    /// A removal goes through. One that was confirmed counts for nothing.
    fn note(
        &mut self,
        sources: &BTreeSet<RuleId>,
        case: &Case,
        held: &HashMap<(RuleId, Pseudonym), HeldRemoval>,
        now: Timestamp,
    ) {
        for rule in sources {
            if !held.contains_key(&(*rule, case.user.clone())) {
                self.recent.entry(*rule).or_default().insert(case.user.clone(), now);
            }
        }
    }
}

/// Every member of a guild that the log knows.
pub(crate) async fn members(
    queries: &Queries,
    guild: GuildId,
) -> Result<Vec<projections::MemberFacts>, QueryError> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = queries.members(guild, Page { cursor, limit: projections::PAGE_MAX }).await?;
        all.extend(page.data);
        cursor = match page.next {
            Some(next) => Some(next),
            None => return Ok(all),
        };
    }
}
