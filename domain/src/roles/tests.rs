//! The plan, applied: a small driver decides and applies every step as the product does, on one guild and one
//! member, and holds after each that the invariants of slots are kept.

mod property;
mod sentences;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::*;
use crate::aggregate::Decide;
use crate::guild::{self, RuleSource};
use crate::key::KeyVersion;
use crate::license::{self, AssignedHow, Generate, RenewTo, SlotRef};
use crate::member;
use crate::private::Person;
use crate::terms::Terms;
use crate::testing::{TestRing, person};
use crate::time::Span;

const GUILD: GuildId = GuildId(613_425_648_685_547_541);
const START: Timestamp = Timestamp(1_795_000_000_000);

fn roles(ids: &[u64]) -> BTreeSet<RoleId> {
    ids.iter().copied().map(RoleId).collect()
}

fn rule(n: u128) -> RuleId {
    RuleId(Uuid::from_u128(n))
}

fn rules(ids: &[u128]) -> BTreeSet<RuleId> {
    ids.iter().copied().map(rule).collect()
}

/// One guild, one member, his licenses, and a clock that only the test moves.
struct World {
    ring: TestRing,
    guild: Guild,
    member: Member,
    who: Person,
    licenses: BTreeMap<LicenseId, License>,
    present: bool,
    roles: BTreeSet<RoleId>,
    now: Timestamp,
    /// Types whose slot staff unblocked since it last opened.
    unblocked: BTreeSet<String>,
    /// Rules whose removal is held back.
    withheld: BTreeSet<RuleId>,
}

impl World {
    fn new() -> Self {
        let mut guild = Guild::default();
        guild.evolve(&guild::Event::Registered {
            guild_id: GUILD,
            name: "Ada's workshop".into(),
            owner: person(1),
            watched_roles: roles(&[70]),
            at: START,
        });
        Self {
            ring: TestRing::default(),
            guild,
            member: Member::default(),
            who: person(2),
            licenses: BTreeMap::new(),
            present: true,
            roles: BTreeSet::new(),
            now: START,
            unblocked: BTreeSet::new(),
            withheld: BTreeSet::new(),
        }
    }

    fn define(&mut self, slug: &str, terms: Terms) {
        let (slug, name, at) = (slug.to_owned(), "Pro".to_owned(), self.now);
        self.guild.evolve(&guild::Event::LicenseTypeDefined { slug, name, terms, at });
    }

    /// Asks the guild, and tells whether it agreed.
    fn ask_guild(&mut self, action: guild::Action) -> bool {
        let decision = self.guild.decide(&guild::Command { now: self.now, action });
        decision.iter().flatten().for_each(|event| self.guild.evolve(event));
        decision.is_ok()
    }

    fn set_rule(&mut self, n: u128, role: u64, slug: &str) -> bool {
        let source = RuleSource::Role { role_id: RoleId(role) };
        self.ask_guild(guild::Action::SetRule { id: rule(n), source, license_type: slug.into() })
    }

    fn remove_rule(&mut self, n: u128, existing: ExistingLicenses) -> bool {
        self.ask_guild(guild::Action::RemoveRule { id: rule(n), existing })
    }

    fn retire(&mut self, slug: &str) -> bool {
        self.ask_guild(guild::Action::RetireType { slug: slug.into() })
    }

    fn wait(&mut self, span: Span) {
        self.now = self.now.after(span);
    }

    /// Plans from exactly what a caller is told to load.
    fn plan(&self) -> Plan {
        let named: BTreeSet<LicenseId> = slot_licenses(&self.member).collect();
        let loaded = named.into_iter().map(|id| (id, self.licenses.get(&id).cloned().unwrap_or_default()));
        let observed = self.observed();
        plan(&self.ring, &self.guild, &self.member, &self.who.id, &loaded.collect(), observed, self.now)
    }

    fn observed(&self) -> Observed<'_> {
        Observed { present: self.present, roles: &self.roles, withheld: &self.withheld }
    }

    /// What the observation that stands would take the last source from.
    fn losses(&self) -> BTreeMap<String, BTreeSet<RuleId>> {
        losses(&self.guild, &self.member, &self.licenses, self.observed())
    }

    /// He is seen with these roles.
    fn see(&mut self, ids: &[u64]) -> Plan {
        (self.present, self.roles) = (true, roles(ids));
        self.reconcile()
    }

    fn leave(&mut self) -> Plan {
        (self.present, self.roles) = (false, BTreeSet::new());
        self.reconcile()
    }

    /// Observes what there is, applies the plan, and holds that there is nothing more to plan.
    fn reconcile(&mut self) -> Plan {
        let plan = self.plan();
        self.check_generations(&plan);
        self.ask_member(member::Action::Observe {
            guild: GUILD,
            person: self.who.clone(),
            present: self.present,
            roles: self.roles.clone(),
            observed_at: self.now,
            changes: plan.changes.clone(),
        });
        for action in &plan.licenses {
            self.apply(action);
            self.check_live_licenses();
        }
        self.check_open_slots();
        assert_eq!(self.plan(), Plan::default(), "after {plan:?}");
        plan
    }

    fn ask_member(&mut self, action: member::Action) {
        let events = self.member.decide(&member::Command { now: self.now, action }).unwrap();
        events.iter().for_each(|event| self.member.evolve(event));
    }

    fn ask_license(&mut self, id: LicenseId, action: license::Action) {
        let license = self.licenses.entry(id).or_default();
        let events = license.decide(&license::Command { now: self.now, action }).unwrap();
        events.iter().for_each(|event| license.evolve(event));
    }

    fn apply(&mut self, action: &LicenseAction) {
        let (id, action) = match action {
            LicenseAction::Generate { license_type, generation, license_id, ledger } => {
                let generate = Generate {
                    id: *license_id,
                    guild: GUILD,
                    license_type: license_type.clone(),
                    terms: self.guild.issuing_type(license_type).unwrap().terms.clone(),
                    key: KeyVersion { secret_id: self.ring.active_license_secret(), version: 0 },
                    slot: Some(SlotRef { user: self.who.id.clone(), generation: *generation }),
                    owner: Some((self.who.clone(), AssignedHow::Role)),
                    starts_at: None,
                    ledger: ledger.clone(),
                    metadata: None,
                    private_metadata: None,
                    aliases: Vec::new(),
                };
                (*license_id, license::Action::Generate(Box::new(generate)))
            }
            LicenseAction::StartRoleLoss(id) => (*id, license::Action::StartRoleLoss),
            LicenseAction::EndRoleLoss(id) => (*id, license::Action::EndRoleLoss),
            LicenseAction::Suspend(id) => (*id, license::Action::Suspend { hold: Hold::RoleLoss }),
            LicenseAction::Resume(id) => (*id, license::Action::Resume { hold: Hold::RoleLoss }),
            LicenseAction::Renew(id) => {
                (*id, license::Action::Renew { to: RenewTo::Default, external_ref: None })
            }
            LicenseAction::Revoke(id) => {
                (*id, license::Action::Revoke { category: RevokeCategory::RoleLost })
            }
        };
        self.ask_license(id, action);
    }

    /// The slot's license is revoked by staff, and the slot blocked with it.
    fn staff_revokes(&mut self, slug: &str) {
        let id = self.slot(slug).license_id;
        self.ask_license(id, license::Action::Revoke { category: RevokeCategory::Fraud });
        self.ask_member(member::Action::Block { license_type: slug.into() });
        self.check_open_slots();
    }

    fn unblock(&mut self, slug: &str) {
        self.ask_member(member::Action::Unblock { license_type: slug.into() });
        self.unblocked.insert(slug.to_owned());
    }

    fn slot(&self, slug: &str) -> &Slot {
        &self.member.slots[slug]
    }

    /// The license of the slot's present or last generation.
    fn license(&self, slug: &str) -> &License {
        &self.licenses[&self.slot(slug).license_id]
    }

    /// Live licenses of a slot.
    fn live(&self, slug: &str) -> Vec<LicenseId> {
        let live = |license: &&License| !matches!(license.stage, Stage::Absent | Stage::Revoked);
        let of_type = |license: &&License| license.license_type == slug;
        self.licenses.values().filter(live).filter(of_type).map(|license| license.id).collect()
    }

    /// At every moment a slot has one live license at most.
    fn check_live_licenses(&self) {
        for slug in self.member.slots.keys() {
            assert!(self.live(slug).len() <= 1, "{slug} has several live licenses");
        }
    }

    /// A slot that is open and not blocked has exactly one live license, its own; a closed one has none.
    fn check_open_slots(&self) {
        for (slug, slot) in &self.member.slots {
            let expected = if slot.open { vec![slot.license_id] } else { Vec::new() };
            assert!(!(slot.open && slot.blocked), "{slug} is open and blocked");
            assert_eq!(self.live(slug), expected, "{slug}: {slot:?}");
        }
    }

    /// A generation follows only a license that was revoked as `role_lost`, or an unblocking.
    fn check_generations(&mut self, plan: &Plan) {
        for change in &plan.changes {
            let SlotChange::Open { license_type, generation, license_id, .. } = change else {
                continue;
            };
            let before = self.member.slots.get(license_type);
            assert_eq!(*generation, before.map_or(1, |slot| slot.generation + 1));
            let id = LicenseId::for_slot(&self.ring, GUILD, &self.who.id, license_type, *generation);
            assert_eq!(*license_id, id);
            let unblocked = self.unblocked.remove(license_type);
            let lost =
                |slot: &Slot| self.licenses[&slot.license_id].revoked == Some(RevokeCategory::RoleLost);
            assert!(before.is_none_or(lost) || unblocked, "generation {generation} without a cause");
        }
    }
}
