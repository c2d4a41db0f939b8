//! Given these events, when this is asked, then that happens: the license in sentences.

use cqrs_es::test::{AggregateResultValidator, TestFramework};
use uuid::Uuid;

use super::*;
use crate::aggregate::Decide;
use crate::device::{Component, DeviceClaim};
use crate::id::{GuildId, LicenseId};
use crate::key::KeyVersion;
use crate::private::{Person, Private};
use crate::sharing::{Evidence, Rule, Suspicion};
use crate::terms::{ExpiryBasis, Terms};
use crate::testing::person;
use crate::time::{Span, Timestamp};

mod clock;
mod devices;
mod golden;
mod leases;
mod lifecycle;
mod model;
mod owner;
mod refused;
mod renewal;
mod terms;
mod transfer;

const GUILD: GuildId = GuildId(1_000);
const ID: LicenseId = LicenseId(Uuid::from_u128(0x8f14e45f_ceea_467f_9b2b_7c2f1a2f3c4d));
const KEY: KeyVersion = KeyVersion { secret_id: 1, version: 0 };
/// When every license of these tests is made.
const START: Timestamp = Timestamp(1_800_000_000_000);

/// The instant `days` after [`START`].
fn day(days: i64) -> Timestamp {
    START.after(Span::days(days))
}

fn ada() -> Person {
    person(1)
}

fn grace() -> Person {
    person(2)
}

/// Perpetual terms without limits, which each test narrows.
fn terms(change: impl FnOnce(&mut Terms)) -> Terms {
    let mut terms = Terms::default();
    change(&mut terms);
    terms
}

/// Terms of 30 days.
fn thirty_days(change: impl FnOnce(&mut Terms)) -> Terms {
    let mut terms = terms(|terms| terms.duration = Some(Span::days(30)));
    change(&mut terms);
    terms
}

/// The command that makes a license of these terms.
fn generate(terms: &Terms) -> Generate {
    Generate {
        id: ID,
        guild: GUILD,
        license_type: "pro".to_owned(),
        terms: terms.clone(),
        key: KEY,
        slot: None,
        owner: None,
        starts_at: None,
        ledger: Ledger::default(),
        metadata: None,
        private_metadata: None,
        aliases: Vec::new(),
    }
}

/// The event that made a license of these terms at [`START`].
fn generated(terms: &Terms) -> Event {
    made(&generate(terms)).remove(0)
}

/// The events that a command to generate gives at [`START`].
fn made(command: &Generate) -> Vec<Event> {
    License::default()
        .decide(&Command { now: START, action: Action::Generate(Box::new(command.clone())) })
        .unwrap()
}

/// A license from a role, owned by Ada.
fn from_role(terms: &Terms) -> Vec<Event> {
    let mut command = generate(terms);
    command.slot = Some(SlotRef { user: ada().id, generation: 1 });
    command.owner = Some((ada(), AssignedHow::Role));
    made(&command)
}

fn assigned(at: Timestamp) -> Event {
    Event::Assigned { owner: ada(), how: AssignedHow::Assign, at }
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn device(number: u128, device_id: &str, at: Timestamp) -> Device {
    Device {
        id: uuid(number),
        device_id: device_id.to_owned(),
        name: None,
        components: Vec::new(),
        activated_at: at,
    }
}

fn activated(number: u128, device_id: &str, at: Timestamp) -> Event {
    Event::DeviceActivated {
        device: device(number, device_id, at),
        by: Authority::Client,
        network: None,
        expires_at: None,
    }
}

fn claim(device_id: &str) -> DeviceClaim {
    DeviceClaim { device_id: device_id.to_owned(), components: Vec::new() }
}

fn component(name: &str, hash: &str) -> Component {
    Component { name: name.to_owned(), hash: hash.to_owned() }
}

fn activate(number: u128, device_id: &str) -> Action {
    Action::ActivateDevice {
        id: uuid(number),
        claim: claim(device_id),
        name: None,
        by: Authority::Client,
        network: None,
        owner_banned: false,
    }
}

fn deactivate(device: &str, by: Authority) -> Action {
    Action::DeactivateDevice { device: device.to_owned(), by, cause: DeactivationCause::Requested }
}

fn deactivated(number: u128, device_id: &str, by: Authority, at: Timestamp) -> Event {
    let cause = DeactivationCause::Requested;
    Event::DeviceDeactivated { id: uuid(number), device_id: device_id.to_owned(), by, cause, at }
}

fn lease(number: u128, device_id: &str, until: Timestamp) -> Lease {
    Lease { id: uuid(number), device_id: device_id.to_owned(), until }
}

fn leased(number: u128, device_id: &str, at: Timestamp, until: Timestamp) -> Event {
    Event::OfflineLeaseIssued { lease: lease(number, device_id, until), at }
}

fn lapsed(number: u128, at: Timestamp) -> Event {
    Event::OfflineLeaseReleased { id: uuid(number), lapsed: true, at }
}

fn issue_lease(number: u128, device_id: &str, ttl: Option<Span>) -> Action {
    Action::IssueLease { id: uuid(number), claim: claim(device_id), ttl, owner_banned: false }
}

fn renew(to: RenewTo) -> Action {
    Action::Renew { to, external_ref: None }
}

fn renewed(expires_at: Timestamp, at: Timestamp) -> Event {
    Event::Renewed { expires_at, external_ref: None, at }
}

fn revoked(at: Timestamp) -> Event {
    Event::Revoked { category: RevokeCategory::Manual, at }
}

fn settle() -> Action {
    Action::Settle { announce_ahead: None }
}

/// The license that these events make.
fn license(events: &[Event]) -> License {
    let mut license = License::default();
    events.iter().for_each(|event| license.evolve(event));
    license
}

/// Given these events, when this is asked at this instant.
fn when(given: &[Event], now: Timestamp, action: Action) -> AggregateResultValidator<License> {
    TestFramework::<License>::with(()).given(given.to_vec()).when(Command { now, action })
}

/// The license after these events and what is asked then.
fn after(given: &[Event], now: Timestamp, action: Action) -> License {
    let mut events = given.to_vec();
    events.extend(when(given, now, action).inspect_result().unwrap());
    license(&events)
}

fn suspicion(count: u32) -> Suspicion {
    Suspicion { rule: Rule::Devices, evidence: Evidence { count, limit: 5, window: Span::days(1) } }
}

/// Every action, so that no rule for all of them misses one.
fn every_action() -> Vec<Action> {
    let to = grace();
    vec![
        Action::Generate(Box::new(generate(&Terms::default()))),
        Action::Assign { owner: ada(), how: AssignedHow::Redeem },
        activate(9, "pc"),
        Action::RecordFirstValidation { validated_at: day(1) },
        deactivate("pc", Authority::Staff),
        Action::ResetDevices { by: Authority::Staff },
        Action::RenameDevice { device: "pc".to_owned(), name: "Desk".to_owned() },
        Action::Suspend { hold: Hold::Admin },
        Action::Resume { hold: Hold::Admin },
        Action::Settle { announce_ahead: Some(Span::days(3)) },
        renew(RenewTo::Default),
        Action::OfferTransfer { to: to.clone() },
        Action::AcceptTransfer { by: to.clone(), secret_id: 1 },
        Action::Transfer { to, secret_id: 1 },
        Action::Revoke { category: RevokeCategory::Refund },
        Action::Rekey { secret_id: 1 },
        Action::ChangeTerms {
            terms: Box::default(),
            expires_at: Some(None),
            has_reason: true,
            deactivate: Vec::new(),
        },
        Action::ChangeMetadata { metadata: Some(None), private_metadata: None },
        issue_lease(9, "pc", None),
        Action::ReleaseLease { id: uuid(9) },
        Action::SuspectSharing { suspicions: vec![suspicion(9)], suspend: true },
        Action::AddAlias { alias: "hash".to_owned() },
        Action::RecordDelivery { channel: "dm".to_owned(), key: KEY },
        Action::StartRoleLoss,
        Action::EndRoleLoss,
    ]
}
