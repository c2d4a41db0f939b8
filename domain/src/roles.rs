//! The plan: from rules, observed roles, stored sources and the slots' licenses to what has to change. It is
//! level-triggered: it compares what should be with what is, in either direction, so it repairs whatever an
//! earlier step left behind, and planning again from its own result plans nothing. Nothing here decides or
//! stores; `Member` and `License` check every step again.

use std::collections::{BTreeMap, BTreeSet};

use crate::guild::{ExistingLicenses, Guild, RoleRule, RuleId};
use crate::id::{GuildId, LicenseId, Pseudonym, RoleId};
use crate::license::{Hold, Ledger, License, RevokeCategory, Stage};
use crate::member::{Member, Slot, SlotChange};
use crate::ports::Mac;
use crate::terms::OnRoleLoss;
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// What was seen of a member on Discord. Whoever cannot tell has not observed: an outage, an incomplete list or
/// a deleted role must never come here as a loss.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// Whether he is in the guild; leaving is losing every role.
    pub present: bool,
    /// His roles, and the products that he is entitled to; those that no rule maps do not matter.
    pub roles: &'a BTreeSet<RoleId>,
    /// Rules whose stored sources stay whatever was seen: their role no longer exists, or whoever observes holds
    /// the removal back until it is confirmed. Such a rule keeps a license and never makes one.
    pub withheld: &'a BTreeSet<RuleId>,
}

/// What is to happen to a license of the member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LicenseAction {
    /// Make it, assigned to the member, in the slot of this type and generation, with the type's terms.
    Generate {
        /// Slug of the type.
        license_type: String,
        /// The slot's generation.
        generation: u32,
        /// Its id, which follows from the slot.
        license_id: LicenseId,
        /// What the slot's former license passes on.
        ledger: Ledger,
    },
    /// The last source is gone: begin the grace.
    StartRoleLoss(LicenseId),
    /// A source returned inside the grace: end it.
    EndRoleLoss(LicenseId),
    /// The loss takes effect: put the hold `role_loss` on.
    Suspend(LicenseId),
    /// A source returned: lift the hold `role_loss`.
    Resume(LicenseId),
    /// A source returned to an expired license: renew it by its own duration.
    Renew(LicenseId),
    /// The loss takes effect: revoke it as `role_lost`.
    Revoke(LicenseId),
}

/// Everything that has to change, sorted by the slug of the type, to be appended at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Changes of slots, in the order in which they fit.
    pub changes: Vec<SlotChange>,
    /// What happens to licenses, in the order in which it happens.
    pub licenses: Vec<LicenseAction>,
}

impl Plan {
    /// Whether everything is as it should be.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.licenses.is_empty()
    }
}

/// The licenses that [`plan`] has to be given: the present or last one of each slot.
pub fn slot_licenses(member: &Member) -> impl Iterator<Item = LicenseId> {
    member.slots.values().map(|slot| slot.license_id)
}

/// What has to change so that the slots of `member`, who is `user`, and their licenses follow from the rules of
/// `guild` and from what was observed.
///
/// `licenses` holds what [`slot_licenses`] names; one whose stream is empty is there with [`Stage::Absent`].
/// A slot whose license is missing from the map has its sources followed and nothing else. A guild that the bot
/// is not in is frozen: nothing is planned at all.
pub fn plan(
    mac: &dyn Mac,
    guild: &Guild,
    member: &Member,
    user: &Pseudonym,
    licenses: &BTreeMap<LicenseId, License>,
    observed: Observed<'_>,
    now: Timestamp,
) -> Plan {
    let Some(guild_id) = guild.id.filter(|_| guild.present) else {
        return Plan::default();
    };
    let mut planner = Planner { mac, guild, guild_id, user, licenses, now, plan: Plan::default() };
    let wanted = wanted_sources(guild, member, licenses, observed);
    let slugs: BTreeSet<&str> =
        member.slots.keys().map(String::as_str).chain(wanted.keys().copied()).collect();
    let none = BTreeSet::new();
    for slug in slugs {
        let sources = wanted.get(slug).unwrap_or(&none);
        match member.slots.get(slug) {
            None => planner.open(slug, 0, sources, Ledger::default()),
            Some(slot) if slot.blocked => planner.follow(slug, slot, sources),
            Some(slot) if slot.open => planner.keep_open(slug, slot, sources),
            Some(slot) => planner.keep_closed(slug, slot, sources),
        }
    }
    planner.plan
}

/// The slots, by type, that what was observed would take the last source from, with those sources: what a brake on
/// removals counts. A license whose terms keep it through the loss of its roles loses nothing.
pub fn losses(
    guild: &Guild,
    member: &Member,
    licenses: &BTreeMap<LicenseId, License>,
    observed: Observed<'_>,
) -> BTreeMap<String, BTreeSet<RuleId>> {
    if !guild.present {
        return BTreeMap::new();
    }
    let wanted = wanted_sources(guild, member, licenses, observed);
    let loses = |slot: &Slot| {
        let license = licenses.get(&slot.license_id);
        let has_effect =
            |license: &License| is_live(license) && license.terms.on_role_loss != OnRoleLoss::Keep;
        slot.open && !slot.blocked && !slot.sources.is_empty() && license.is_none_or(has_effect)
    };
    member
        .slots
        .iter()
        .filter(|(slug, slot)| loses(slot) && !wanted.contains_key(slug.as_str()))
        .map(|(slug, slot)| (slug.clone(), slot.sources.clone()))
        .collect()
}

/// What the clock alone has to change: losses whose grace ended. It goes by the stored sources and takes none away
/// and adds none, because the stored roles may lack one that a rule has been mapped to since they were observed.
pub fn due(
    mac: &dyn Mac,
    guild: &Guild,
    member: &Member,
    user: &Pseudonym,
    licenses: &BTreeMap<LicenseId, License>,
    now: Timestamp,
) -> Plan {
    let Some(guild_id) = guild.id.filter(|_| guild.present) else {
        return Plan::default();
    };
    let mut planner = Planner { mac, guild, guild_id, user, licenses, now, plan: Plan::default() };
    for (slug, slot) in &member.slots {
        if slot.open && !slot.blocked && slot.sources.is_empty() {
            planner.keep_open(slug, slot, &slot.sources);
        }
    }
    planner.plan
}

/// By type, the rules that hold.
fn wanted_sources<'a>(
    guild: &'a Guild,
    member: &'a Member,
    licenses: &BTreeMap<LicenseId, License>,
    observed: Observed<'_>,
) -> BTreeMap<&'a str, BTreeSet<RuleId>> {
    let mut wanted: BTreeMap<&str, BTreeSet<RuleId>> = BTreeMap::new();
    let seen = |rule: &&RoleRule| observed.present && observed.roles.contains(&rule.source.id());
    for rule in guild.active_rules().filter(seen) {
        wanted.entry(rule.license_type.as_str()).or_default().insert(rule.id);
    }
    let has_license = |slot: &Slot| slot.open && licenses.get(&slot.license_id).is_none_or(is_live);
    for (slug, slot) in member.slots.iter().filter(|(_, slot)| has_license(slot)) {
        let kept = |rule: &RuleId| {
            observed.withheld.contains(rule) || (observed.present && stays(guild, slug, *rule))
        };
        for rule in slot.sources.iter().filter(|rule| kept(rule)) {
            wanted.entry(slug).or_default().insert(*rule);
        }
    }
    wanted
}

/// Whether a license was made and not revoked.
fn is_live(license: &License) -> bool {
    !matches!(license.stage, Stage::Absent | Stage::Revoked)
}

/// Whether a stored source of a live license stays whatever roles were observed: its rule was removed and its
/// licenses were to be kept. Such a source keeps a license and never makes one. A rule that the guild has never
/// had means that the guild was loaded in a state older than the member's; nothing is taken away for what is
/// not known.
fn stays(guild: &Guild, slug: &str, rule: RuleId) -> bool {
    guild
        .rules
        .get(&rule)
        .is_none_or(|rule| rule.removed == Some(ExistingLicenses::Keep) && rule.license_type == slug)
}

/// The facts, and the plan as it grows.
struct Planner<'a> {
    mac: &'a dyn Mac,
    guild: &'a Guild,
    guild_id: GuildId,
    user: &'a Pseudonym,
    licenses: &'a BTreeMap<LicenseId, License>,
    now: Timestamp,
    plan: Plan,
}

impl Planner<'_> {
    /// Whether the type makes licenses for these sources at all.
    fn may_issue(&self, slug: &str, sources: &BTreeSet<RuleId>) -> bool {
        !sources.is_empty() && self.guild.issuing_type(slug).is_some()
    }

    /// Opens the generation after `former` with a new license, if the type still makes any.
    fn open(&mut self, slug: &str, former: u32, sources: &BTreeSet<RuleId>, ledger: Ledger) {
        let next = former.checked_add(1).filter(|_| self.may_issue(slug, sources));
        let Some(generation) = next else { return };
        let license_id = LicenseId::for_slot(self.mac, self.guild_id, self.user, slug, generation);
        let license_type = slug.to_owned();
        self.plan.changes.push(SlotChange::Open {
            license_type: license_type.clone(),
            generation,
            license_id,
            sources: sources.clone(),
        });
        self.plan.licenses.push(LicenseAction::Generate { license_type, generation, license_id, ledger });
    }

    /// Brings the stored sources to the wanted ones. What is added comes first, so that a role swapped for
    /// another never looks like the loss of the last one.
    fn follow(&mut self, slug: &str, slot: &Slot, sources: &BTreeSet<RuleId>) {
        let license_type = || slug.to_owned();
        let added = sources.difference(&slot.sources);
        let removed = slot.sources.difference(sources);
        let changes = &mut self.plan.changes;
        changes.extend(added.map(|rule| SlotChange::AddSource { license_type: license_type(), rule: *rule }));
        changes.extend(
            removed.map(|rule| SlotChange::RemoveSource { license_type: license_type(), rule: *rule }),
        );
    }

    /// A slot that is neither open nor blocked: a source opens its next generation. A live license does not
    /// belong here.
    fn keep_closed(&mut self, slug: &str, slot: &Slot, sources: &BTreeSet<RuleId>) {
        let Some(former) = self.licenses.get(&slot.license_id) else {
            return self.follow(slug, slot, sources);
        };
        if is_live(former) {
            self.plan.licenses.push(LicenseAction::Revoke(slot.license_id));
        }
        self.reopen(slug, slot, sources, former);
    }

    /// Opens the generation after a closed slot's, or only follows the sources if no license is due.
    fn reopen(&mut self, slug: &str, slot: &Slot, sources: &BTreeSet<RuleId>, former: &License) {
        if self.may_issue(slug, sources) {
            self.open(slug, slot.generation, sources, self.passed_on(former));
        } else {
            self.follow(slug, slot, sources);
        }
    }

    /// What a license passes on to the next of its slot: its resets and counted activations, and its leases that have
    /// not lapsed.
    fn passed_on(&self, former: &License) -> Ledger {
        let mut ledger = former.ledger.clone();
        ledger.leases.retain(|lease| self.now < lease.until);
        ledger
    }

    /// A slot that is open and not blocked: exactly one live license belongs here.
    fn keep_open(&mut self, slug: &str, slot: &Slot, sources: &BTreeSet<RuleId>) {
        let license_type = slug.to_owned();
        let Some(license) = self.licenses.get(&slot.license_id) else {
            return self.follow(slug, slot, sources);
        };
        match (license.stage, license.revoked) {
            (Stage::Absent, _) => {
                self.follow(slug, slot, sources);
                if self.may_issue(slug, sources) {
                    let (generation, license_id) = (slot.generation, slot.license_id);
                    let ledger = Ledger::default();
                    let generate = LicenseAction::Generate { license_type, generation, license_id, ledger };
                    self.plan.licenses.push(generate);
                } else {
                    self.plan.changes.push(SlotChange::Close { license_type });
                }
            }
            (Stage::Revoked, Some(RevokeCategory::RoleLost)) => {
                self.plan.changes.push(SlotChange::Close { license_type });
                self.reopen(slug, slot, sources, license);
            }
            (Stage::Revoked, _) => {
                self.follow(slug, slot, sources);
                self.plan.changes.push(SlotChange::Block { license_type });
            }
            _ => {
                self.follow(slug, slot, sources);
                if sources.is_empty() {
                    self.lose(slug, slot.license_id, license);
                } else {
                    self.regain(slot, license);
                }
            }
        }
    }

    /// A live license with a source: no loss of a role weighs on it. It is renewed only by a source that
    /// returns, never for a role that was there all the time: its duration would mean nothing otherwise.
    fn regain(&mut self, slot: &Slot, license: &License) {
        let id = slot.license_id;
        let returned = slot.sources.is_empty();
        let actions = &mut self.plan.licenses;
        if license.role_loss_ends_at.is_some() {
            actions.push(LicenseAction::EndRoleLoss(id));
        }
        if license.holds.contains(&Hold::RoleLoss) {
            actions.push(LicenseAction::Resume(id));
        }
        if returned && license.terms.duration.is_some() && license.has_expired(self.now) {
            actions.push(LicenseAction::Renew(id));
        }
    }

    /// A live license without a source: its own terms say what happens, and a grace that was announced is
    /// waited for even if the terms have changed since.
    fn lose(&mut self, slug: &str, id: LicenseId, license: &License) {
        let grace_ends_at = license.role_loss_ends_at;
        let waits = grace_ends_at.is_some_and(|end| self.now < end);
        let has_grace = !license.terms.loss_grace().is_zero();
        let held = license.holds.contains(&Hold::RoleLoss);
        let actions = &mut self.plan.licenses;
        match license.terms.on_role_loss {
            // A grace that began before the terms said so would stay due for ever.
            OnRoleLoss::Keep if grace_ends_at.is_some() => actions.push(LicenseAction::EndRoleLoss(id)),
            OnRoleLoss::Keep => {}
            _ if held || waits => {}
            _ if has_grace && grace_ends_at.is_none() => actions.push(LicenseAction::StartRoleLoss(id)),
            OnRoleLoss::Suspend => actions.push(LicenseAction::Suspend(id)),
            OnRoleLoss::Revoke => {
                actions.push(LicenseAction::Revoke(id));
                self.plan.changes.push(SlotChange::Close { license_type: slug.to_owned() });
            }
        }
    }
}
