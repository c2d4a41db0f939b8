//! Random histories: whatever is asked, in whatever order and at whatever time, the invariants hold after every
//! single event.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::device::DeviceMatch;
use crate::terms::OnRoleLoss;
use crate::verdict;

const DEVICES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn span(days: std::ops::Range<i64>) -> impl Strategy<Value = Option<Span>> {
    prop_oneof![Just(None), days.prop_map(|days| Some(Span::days(days)))]
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let time = (span(1..40), any::<bool>(), span(0..6));
    let devices = (prop_oneof![Just(None), (1..4_u32).prop_map(Some)], any::<bool>(), 0..5_usize);
    let owner = (any::<bool>(), any::<bool>(), 0..3_usize, span(0..4));
    (time, devices, owner, span(1..9)).prop_map(|(time, devices, owner, lease)| {
        let modes =
            [DeviceMatch::Id, DeviceMatch::Any, DeviceMatch::Two, DeviceMatch::Most, DeviceMatch::All];
        terms(|terms| {
            terms.duration = time.0;
            let waits = time.0.is_some() && time.1;
            terms.expiry_basis = if waits { ExpiryBasis::FirstActivation } else { ExpiryBasis::Creation };
            terms.expiry_grace = time.2;
            terms.max_devices = devices.0;
            terms.require_device = devices.1;
            terms.device_match = modes[devices.2];
            terms.require_owner = owner.0;
            terms.transferable = owner.1;
            terms.on_role_loss = [OnRoleLoss::Revoke, OnRoleLoss::Suspend, OnRoleLoss::Keep][owner.2];
            terms.role_loss_grace = owner.3;
            terms.offline_lease_max = lease;
            // The same in every change, so that the allowance can be counted from outside.
            terms.device_reset_cooldown = Some(Span::hours(12));
            terms.device_reset_budget = Some(2);
            terms.activation_budget = Some(6);
            terms.device_reset_window = Span::days(5);
        })
    })
}

fn any_claim() -> impl Strategy<Value = DeviceClaim> {
    (0..DEVICES.len(), 0..4_u8, 0..4_u8).prop_map(|(device, cpu, disk)| {
        let parts = [("cpu", cpu), ("disk", disk)];
        let components = parts
            .iter()
            .filter(|(_, value)| *value > 0)
            .map(|(name, value)| component(name, &value.to_string()));
        DeviceClaim { device_id: DEVICES[device].to_owned(), components: components.collect() }
    })
}

fn any_authority() -> impl Strategy<Value = Authority> {
    prop_oneof![Just(Authority::Owner), Just(Authority::Client), Just(Authority::Staff), Just(Authority::Job)]
}

fn any_hold() -> impl Strategy<Value = Hold> {
    prop_oneof![Just(Hold::Admin), Just(Hold::Policy), Just(Hold::RoleLoss)]
}

fn any_device_action() -> impl Strategy<Value = Action> {
    let name = || (0..DEVICES.len()).prop_map(|device| DEVICES[device].to_owned());
    let id = || any::<u128>().prop_map(Uuid::from_u128);
    prop_oneof![
        6 => (id(), any_claim(), any_authority(), any::<bool>()).prop_map(|(id, claim, by, owner_banned)| {
            let owner_banned = owner_banned && claim_is_odd(id);
            Action::ActivateDevice { id, claim, name: None, by, network: None, owner_banned }
        }),
        3 => (name(), any_authority()).prop_map(|(device, by)| deactivate(&device, by)),
        1 => any_authority().prop_map(|by| Action::ResetDevices { by }),
        1 => name().prop_map(|device| Action::RenameDevice { device, name: "Desk".to_owned() }),
        3 => (0..9_u128, any_claim(), span(0..12)).prop_map(|(lease, claim, ttl)| {
            Action::IssueLease { id: uuid(lease), claim, ttl, owner_banned: false }
        }),
        1 => (0..9_u128).prop_map(|lease| Action::ReleaseLease { id: uuid(lease) }),
    ]
}

/// One in four of the activations that could be banned is.
fn claim_is_odd(id: Uuid) -> bool {
    id.as_u128() % 4 == 1
}

fn any_state_action() -> impl Strategy<Value = Action> {
    let person = || (1..4_u64).prop_map(person);
    prop_oneof![
        2 => person().prop_map(|owner| Action::Assign { owner, how: AssignedHow::Redeem }),
        4 => (-3..1_i64).prop_map(|days| Action::RecordFirstValidation { validated_at: Timestamp(Span::days(days).0) }),
        2 => any_hold().prop_map(|hold| Action::Suspend { hold }),
        3 => any_hold().prop_map(|hold| Action::Resume { hold }),
        4 => span(1..5).prop_map(|announce_ahead| Action::Settle { announce_ahead }),
        3 => prop_oneof![
            Just(RenewTo::Default),
            (0..20_i64).prop_map(|days| RenewTo::For(Span::days(days))),
            (0..90_i64).prop_map(|days| RenewTo::Until(day(days))),
        ].prop_map(renew),
        1 => person().prop_map(|to| Action::OfferTransfer { to }),
        2 => person().prop_map(|by| Action::AcceptTransfer { by, secret_id: 1 }),
        1 => person().prop_map(|to| Action::Transfer { to, secret_id: 2 }),
        1 => Just(Action::Rekey { secret_id: 2 }),
        1 => Just(Action::AddAlias { alias: "hash".to_owned() }),
        1 => Just(Action::StartRoleLoss),
        1 => Just(Action::EndRoleLoss),
        1 => (0..40_u8).prop_map(|n| if n == 0 {
            Action::Revoke { category: RevokeCategory::Abuse }
        } else {
            Action::RecordDelivery { channel: "dm".to_owned(), key: KEY }
        }),
        3 => (any_terms(), proptest::option::of(proptest::option::of(0..90_i64)), any::<bool>(),
              proptest::collection::vec(0..DEVICES.len(), 0..3)).prop_map(|(terms, end, has_reason, freed)| {
            Action::ChangeTerms {
                terms: Box::new(terms),
                expires_at: end.map(|end| end.map(day)),
                has_reason,
                deactivate: freed.into_iter().map(|device| DEVICES[device].to_owned()).collect(),
            }
        }),
    ]
}

fn any_generate() -> impl Strategy<Value = Generate> {
    let leases = proptest::collection::vec((0..DEVICES.len(), 0..9_i64), 0..4);
    (any_terms(), any::<bool>(), any::<bool>(), leases, span(0..3)).prop_map(
        |(terms, slot, owned, leases, start)| {
            let mut command = generate(&terms);
            command.slot = slot.then(|| SlotRef { user: ada().id, generation: 2 });
            command.owner = (slot || owned).then(|| (ada(), AssignedHow::Role));
            command.starts_at = start.map(|span| START.after(span));
            let made = |(n, (device, days)): (usize, (usize, i64))| {
                lease(100 + n as u128, DEVICES[device], day(days))
            };
            command.ledger.leases = leases.into_iter().enumerate().map(made).collect();
            command
        },
    )
}

/// What is counted from outside, from the events alone.
#[derive(Default)]
struct Witness {
    license: License,
    resets: Vec<Timestamp>,
    activations: Vec<Timestamp>,
    fresh_end: bool,
}

impl Witness {
    /// Applies one event of a command and checks every invariant on both sides of it.
    fn sees(&mut self, event: &Event, command: &Command) -> Result<(), TestCaseError> {
        let before = self.license.clone();
        self.license.evolve(event);
        let after = &self.license;
        prop_assert_eq!(after.version, before.version + 1);
        prop_assert!(after.updated_at >= before.updated_at);
        prop_assert!(event.at() <= command.now);
        prop_assert!(before.stage != Stage::Revoked, "nothing leaves revoked: {:?}", event);
        if let Some(limit) = after.terms.max_devices {
            prop_assert!(after.slots_used(command.now) <= limit, "{:?}", event);
        }
        let ids: BTreeSet<_> = after.devices.iter().map(|device| &device.device_id).collect();
        prop_assert_eq!(ids.len(), after.devices.len(), "a device is active at most once");
        prop_assert!(after.holds.is_sorted());
        self.check_end(&before, event, command)?;
        self.check_activations(event)?;
        self.check_allowance(event)
    }

    fn check_end(&mut self, before: &License, event: &Event, command: &Command) -> Result<(), TestCaseError> {
        let with_reason = matches!(command.action, Action::ChangeTerms { has_reason: true, .. });
        match (before.expires_at, self.license.expires_at) {
            (Some(old), Some(new)) if new < old => {
                prop_assert!(with_reason, "the end moved backwards: {:?}", event);
            }
            (None, Some(_)) if before.version > 0 => {
                let starts = matches!(event, Event::DeviceActivated { .. } | Event::BecameActive { .. });
                let waited = before.terms.expiry_basis == ExpiryBasis::FirstActivation
                    && before.terms.duration.is_some();
                prop_assert!(with_reason || waited, "a perpetual license got an end: {:?}", event);
                prop_assert!(starts || matches!(event, Event::TermsChanged { .. }), "{:?}", event);
            }
            (Some(_), None) => prop_assert!(matches!(event, Event::TermsChanged { .. }), "{:?}", event),
            _ => {}
        }
        match event {
            Event::Expired { at } => {
                prop_assert!(self.fresh_end, "a second `expired` for one end");
                prop_assert_eq!(Some(*at), before.expiry_instant());
                self.fresh_end = false;
            }
            Event::Generated { .. } | Event::Renewed { .. } => self.fresh_end = true,
            Event::TermsChanged { .. } if !self.license.has_expired(command.now) => self.fresh_end = true,
            _ => {}
        }
        Ok(())
    }

    fn check_activations(&mut self, event: &Event) -> Result<(), TestCaseError> {
        prop_assert!(self.license.ledger.activations.len() <= 6, "the ledger is bounded");
        if let Event::DeviceActivated { device, by: Authority::Owner | Authority::Client, .. } = event {
            let at = device.activated_at;
            let recent = self.activations.iter().filter(|one| one.after(Span::days(5)) > at).count();
            prop_assert!(recent < 6, "the budget is six in five days");
            self.activations.push(at);
        }
        Ok(())
    }

    fn check_allowance(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let (Event::DeviceDeactivated { by, cause, at, .. } | Event::DevicesReset { by, cause, at, .. }) =
            event
        else {
            return Ok(());
        };
        if !by.is_limited() || *cause != DeactivationCause::Requested {
            return Ok(());
        }
        let recent = self.resets.iter().filter(|reset| reset.after(Span::days(5)) > *at).count();
        prop_assert!(recent < 2, "the budget is two in five days");
        let cool = self.resets.last().is_none_or(|last| last.after(Span::hours(12)) <= *at);
        prop_assert!(cool, "the cooldown is twelve hours");
        self.resets.push(*at);
        Ok(())
    }

    /// What must be so after a whole command was accepted.
    fn accepted(&self, command: &Command, events: &[Event]) -> Result<(), TestCaseError> {
        let license = &self.license;
        if let Action::Settle { announce_ahead } = command.action {
            let due = License { role_loss_ends_at: None, ..license.clone() }.next_due(announce_ahead);
            prop_assert!(due.is_none_or(|due| due > command.now), "settled, and due at {:?}", due);
        }
        let again = license.decide(command);
        if is_repeatable(&command.action) {
            prop_assert_eq!(
                again,
                Ok(license.overdue(command.now)),
                "{:?} gave {:?}",
                command.action,
                events
            );
        }
        let verdict = verdict::decide(
            license,
            false,
            &verdict::Request::default(),
            command.now,
            verdict::Devices::LeaveOut,
        );
        let active = license.is_active(command.now);
        prop_assert!(
            active || !verdict.is_valid(),
            "{:?} and {:?}",
            verdict.code,
            license.status(command.now)
        );
        prop_assert_eq!(
            verdict.code == verdict::Code::Suspended,
            license.status(command.now) == Some(Status::Suspended)
        );
        Ok(())
    }
}

/// The actions whose repetition at the same instant asks for nothing new.
fn is_repeatable(action: &Action) -> bool {
    matches!(
        action,
        Action::ActivateDevice { .. }
            | Action::RecordFirstValidation { .. }
            | Action::Suspend { .. }
            | Action::Settle { .. }
            | Action::OfferTransfer { .. }
            | Action::AddAlias { .. }
            | Action::RecordDelivery { .. }
            | Action::StartRoleLoss
            | Action::EndRoleLoss
    )
}

/// Instants in an action count from the command's own.
fn placed(action: Action, now: Timestamp) -> Action {
    match action {
        Action::RecordFirstValidation { validated_at } => {
            Action::RecordFirstValidation { validated_at: Timestamp(now.0 + validated_at.0) }
        }
        other => other,
    }
}

fn run(generate: Generate, steps: Vec<(i64, Action)>) -> Result<usize, TestCaseError> {
    let mut witness = Witness::default();
    let mut now = START;
    let mut accepted = 0;
    let first = (0, Action::Generate(Box::new(generate)));
    for (minutes, action) in std::iter::once(first).chain(steps) {
        now = now.after(Span::seconds(minutes * 60));
        let command = Command { now, action: placed(action, now) };
        let Ok(events) = witness.license.decide(&command) else {
            continue;
        };
        for event in &events {
            witness.sees(event, &command)?;
        }
        witness.accepted(&command, &events)?;
        accepted += 1;
    }
    Ok(accepted)
}

fn steps() -> impl Strategy<Value = Vec<(i64, Action)>> {
    // From no time at all to three days between two commands.
    let gap = prop_oneof![2 => Just(0_i64), 3 => 1..600_i64, 3 => 600..4_320_i64];
    proptest::collection::vec((gap, prop_oneof![any_device_action(), any_state_action()]), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn every_history_keeps_the_invariants(generate in any_generate(), steps in steps()) {
        run(generate, steps)?;
    }
}

#[test]
fn the_random_histories_are_not_mostly_refusals() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut asked, mut accepted) = (0, 0);
    for _ in 0..60 {
        let (generate, steps) = (any_generate(), steps()).new_tree(&mut runner).unwrap().current();
        asked += steps.len() + 1;
        accepted += run(generate, steps).unwrap();
    }
    assert!(accepted * 4 > asked, "{accepted} of {asked} commands were accepted");
}
