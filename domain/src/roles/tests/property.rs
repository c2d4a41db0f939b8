//! Random rules, roles, presence, time and staff: whatever happens, slots and licenses follow.

use proptest::prelude::*;

use super::*;

const TYPES: [&str; 3] = ["alpha", "beta", "gamma"];
const ROLES: [u64; 5] = [10, 11, 12, 13, 14];

/// What may happen. Numbers choose among types, roles and rules.
#[derive(Debug, Clone)]
enum Step {
    /// He is seen with some of the roles, one bit each.
    See(u8),
    Leave,
    /// Nothing is new; the job looks again.
    Look,
    WaitHours(i64),
    StaffRevokes(usize),
    /// Revoked as `role_lost`, but not by the plan.
    RevokedAsLost(usize),
    Unblock(usize),
    Hold(usize),
    Lift(usize),
    Retire(usize),
    SetRule(u128, usize, usize),
    RemoveRule(u128, bool),
    ChangeType(usize, Terms),
    ChangeTerms(usize, Terms),
}

fn terms() -> impl Strategy<Value = Terms> {
    let on_role_loss = prop_oneof![
        3 => Just(OnRoleLoss::Revoke),
        2 => Just(OnRoleLoss::Suspend),
        1 => Just(OnRoleLoss::Keep),
    ];
    let grace = prop_oneof![
        Just(None),
        Just(Some(Span::ZERO)),
        Just(Some(Span::hours(12))),
        Just(Some(Span::days(3)))
    ];
    let duration = prop_oneof![Just(None), Just(Some(Span::days(2))), Just(Some(Span::days(20)))];
    let expiry_grace = prop_oneof![Just(None), Just(Some(Span::days(1)))];
    (on_role_loss, grace, duration, expiry_grace).prop_map(
        |(on_role_loss, role_loss_grace, duration, expiry_grace)| Terms {
            on_role_loss,
            role_loss_grace,
            duration,
            expiry_grace,
            ..Terms::default()
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || 0..TYPES.len();
    let rule = || 0..8_u128;
    prop_oneof![
        10 => (0..32_u8).prop_map(Step::See),
        2 => Just(Step::Leave),
        3 => Just(Step::Look),
        6 => (1..100_i64).prop_map(Step::WaitHours),
        2 => kind().prop_map(Step::StaffRevokes),
        1 => kind().prop_map(Step::RevokedAsLost),
        3 => kind().prop_map(Step::Unblock),
        1 => kind().prop_map(Step::Hold),
        1 => kind().prop_map(Step::Lift),
        1 => kind().prop_map(Step::Retire),
        4 => (rule(), 0..ROLES.len(), kind()).prop_map(|(n, role, kind)| Step::SetRule(n, role, kind)),
        2 => (rule(), any::<bool>()).prop_map(|(n, keep)| Step::RemoveRule(n, keep)),
        1 => (kind(), terms()).prop_map(|(kind, terms)| Step::ChangeType(kind, terms)),
        1 => (kind(), terms()).prop_map(|(kind, terms)| Step::ChangeTerms(kind, terms)),
    ]
}

impl World {
    fn live_in_slot(&self, slug: &str) -> Option<LicenseId> {
        let slot = self.member.slots.get(slug)?;
        self.live(slug).into_iter().find(|id| *id == slot.license_id)
    }

    /// Takes a step; whatever the guild refuses did not happen.
    fn take(&mut self, step: &Step) {
        match step {
            Step::See(bits) => {
                let held = ROLES.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
                let held: Vec<u64> = held.map(|(_, role)| *role).collect();
                (self.present, self.roles) = (true, roles(&held));
                self.look();
            }
            Step::Leave => {
                (self.present, self.roles) = (false, BTreeSet::new());
                self.look();
            }
            Step::Look => self.look(),
            Step::WaitHours(hours) => self.wait(Span::hours(*hours)),
            Step::Retire(kind) => drop(self.retire(TYPES[*kind])),
            Step::SetRule(n, role, kind) => drop(self.set_rule(*n, ROLES[*role], TYPES[*kind])),
            Step::RemoveRule(n, true) => drop(self.remove_rule(*n, ExistingLicenses::Keep)),
            Step::RemoveRule(n, false) => drop(self.remove_rule(*n, ExistingLicenses::Lose)),
            Step::ChangeType(kind, terms) if self.guild.issuing_type(TYPES[*kind]).is_some() => {
                self.define(TYPES[*kind], terms.clone());
            }
            Step::ChangeType(..) => {}
            Step::Unblock(kind) => {
                let slug = TYPES[*kind];
                if self.member.slots.get(slug).is_some_and(|slot| slot.blocked) {
                    self.unblock(slug);
                }
            }
            Step::StaffRevokes(kind)
            | Step::RevokedAsLost(kind)
            | Step::Hold(kind)
            | Step::Lift(kind)
            | Step::ChangeTerms(kind, _) => self.staff(TYPES[*kind], step),
        }
        self.check_live_licenses();
    }

    /// What staff does to a live license; nothing if there is none.
    fn staff(&mut self, slug: &str, step: &Step) {
        let Some(id) = self.live_in_slot(slug) else { return };
        match step {
            Step::StaffRevokes(_) => self.staff_revokes(slug),
            Step::RevokedAsLost(_) => {
                self.ask_license(id, license::Action::Revoke { category: RevokeCategory::RoleLost });
                self.look();
            }
            Step::Hold(_) => self.ask_license(id, license::Action::Suspend { hold: Hold::Admin }),
            Step::Lift(_) if self.license(slug).holds.contains(&Hold::Admin) => {
                self.ask_license(id, license::Action::Resume { hold: Hold::Admin });
            }
            Step::ChangeTerms(_, terms) => {
                let (terms, expires_at, deactivate) = (Box::new(terms.clone()), None, Vec::new());
                self.ask_license(
                    id,
                    license::Action::ChangeTerms { terms, expires_at, has_reason: true, deactivate },
                );
            }
            _ => {}
        }
    }

    /// Reconciles, and holds that every action had its cause and that the end is what roles and rules say.
    fn look(&mut self) {
        let (member, licenses) = (self.member.clone(), self.licenses.clone());
        let plan = self.reconcile();
        for action in &plan.licenses {
            self.check_cause(action, &member, &licenses);
        }
        for slug in TYPES {
            self.check_end(slug, member.slots.get(slug));
        }
    }

    fn check_cause(&self, action: &LicenseAction, before: &Member, licenses: &BTreeMap<LicenseId, License>) {
        let of = |id: &LicenseId| {
            let (slug, slot) = before.slots.iter().find(|(_, slot)| slot.license_id == *id).unwrap();
            assert!(!slot.blocked, "{action:?} in a blocked slot");
            (&licenses[id], slot, !self.slot(slug).sources.is_empty() && self.slot(slug).license_id == *id)
        };
        match action {
            LicenseAction::Generate { .. } => {}
            LicenseAction::StartRoleLoss(id) => assert!(!of(id).2),
            LicenseAction::EndRoleLoss(id) => {
                let (license, _, has_source) = of(id);
                assert!(has_source || license.terms.on_role_loss == OnRoleLoss::Keep);
            }
            LicenseAction::Resume(id) => assert!(of(id).2),
            LicenseAction::Renew(id) => {
                let (license, slot, has_source) = of(id);
                assert!(has_source && slot.sources.is_empty() && license.has_expired(self.now));
                assert!(!self.licenses[id].has_expired(self.now));
            }
            LicenseAction::Suspend(id) | LicenseAction::Revoke(id) => {
                let (license, _, has_source) = of(id);
                let waited = license.role_loss_ends_at.is_some_and(|end| end <= self.now);
                assert!(!has_source);
                assert!(waited || license.terms.loss_grace().is_zero());
            }
        }
    }

    /// The slot of one type is what roles and rules make of what it was.
    fn check_end(&self, slug: &str, before: Option<&Slot>) {
        let holds = |rule: &guild::RoleRule| self.present && self.roles.contains(&rule.source.id());
        let of_type = self.guild.active_rules().filter(|rule| rule.license_type == slug);
        let given: BTreeSet<RuleId> = of_type.filter(|rule| holds(rule)).map(|rule| rule.id).collect();
        let Some(slot) = self.member.slots.get(slug) else {
            assert!(given.is_empty() || self.guild.issuing_type(slug).is_none(), "{slug} was not opened");
            return;
        };
        let kept: BTreeSet<RuleId> = slot.sources.difference(&given).copied().collect();
        for rule in kept {
            let was_there = before.is_some_and(|slot| slot.open && slot.sources.contains(&rule));
            let fate = self.guild.rules[&rule].removed;
            assert!(self.present && was_there && fate == Some(ExistingLicenses::Keep), "{slug} keeps {rule}");
        }
        assert!(given.is_subset(&slot.sources), "{slug} lacks a source");
        if slot.blocked {
            return;
        }
        if !slot.open {
            assert!(given.is_empty() || self.guild.issuing_type(slug).is_none(), "{slug} stayed closed");
            return;
        }
        let license = self.license(slug);
        let (held, waits) = (license.holds.contains(&Hold::RoleLoss), license.role_loss_ends_at.is_some());
        match (slot.sources.is_empty(), license.terms.on_role_loss) {
            (false, _) => assert!(!held && !waits, "{slug} has a source and is lost"),
            (true, OnRoleLoss::Keep) => assert!(!waits, "{slug} is kept and waits"),
            (true, OnRoleLoss::Revoke | OnRoleLoss::Suspend) => {
                assert!(held != waits, "{slug} is neither lost nor waiting, or both");
                assert!(license.role_loss_ends_at.is_none_or(|end| self.now < end), "{slug} waited too long");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn slots_and_licenses_follow_roles_and_rules(
        types in prop::collection::vec(terms(), TYPES.len()),
        mapped in prop::collection::vec((0..ROLES.len(), 0..TYPES.len()), 1..6),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for (slug, terms) in TYPES.into_iter().zip(types) {
            world.define(slug, terms);
        }
        for (n, (role, kind)) in mapped.into_iter().enumerate() {
            world.set_rule(n as u128, ROLES[role], TYPES[kind]);
        }
        for step in &steps {
            world.take(step);
        }
        world.look();
    }

    #[test]
    fn the_plan_does_not_depend_on_the_order_of_observations_between(
        seen in prop::collection::vec(0..32_u8, 1..20),
        last in 0..32_u8,
    ) {
        let terms = Terms { on_role_loss: OnRoleLoss::Suspend, ..Terms::default() };
        let end = |seen: &[u8]| {
            let mut world = World::new();
            world.define("alpha", terms.clone());
            for (n, role) in ROLES.into_iter().enumerate() {
                world.set_rule(n as u128, role, "alpha");
            }
            // Every role at first, so that the slot is there whatever follows.
            world.take(&Step::See(31));
            seen.iter().for_each(|bits| world.take(&Step::See(*bits)));
            world.take(&Step::See(last));
            (world.member.slots.clone(), world.license("alpha").holds.clone())
        };
        let mut turned = seen.clone();
        turned.reverse();
        prop_assert_eq!(end(&seen), end(&turned));
    }
}
