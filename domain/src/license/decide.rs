//! What a license answers to a command. Pure: the instant and every fact ride in the command. The rules stand
//! in the files below, grouped by what they are about; this one settles what the clock has done before.

mod devices;
mod leases;
mod lifecycle;
mod terms;
mod transfer;

use self::devices::NewDevice;
use super::command::{Action, Command};
use super::event::Event;
use super::refusal::Refusal;
use super::state::{Hold, License, RevokeCategory, Stage};
use crate::aggregate::{Decide, aggregate};
use crate::id::Kind;
use crate::private::Private;
use crate::time::Timestamp;
use crate::verdict::{self, Code, Devices, Request};

pub use transfer::TRANSFER_OFFER_SPAN;

/// What every rule answers: the events, none if nothing is to be done.
type Decision = Result<Vec<Event>, Refusal>;

aggregate!(License, Command, Event, Refusal, Kind::License);

impl Decide for License {
    const KIND: Kind = Kind::License;

    fn version(&self) -> u64 {
        self.version
    }

    /// What the clock has done by then comes first in the same append, and a refused command appends nothing.
    fn decide(&self, command: &Command) -> Decision {
        match self.stage {
            Stage::Absent => {
                return match &command.action {
                    Action::Generate(generate) => Ok(lifecycle::generate(generate, command.now)),
                    _ => Err(Refusal::NotFound),
                };
            }
            Stage::Revoked => return Err(self.revoked()),
            Stage::Generated | Stage::Assigned | Stage::Activated | Stage::Active | Stage::Renewed => {}
        }
        let mut events = self.overdue(command.now);
        if events.is_empty() {
            return self.act(&command.action, command.now);
        }
        let mut settled = self.clone();
        events.iter().for_each(|event| settled.evolve(event));
        events.extend(settled.act(&command.action, command.now)?);
        Ok(events)
    }

    fn evolve(&mut self, event: &Event) {
        self.apply_event(event);
    }
}

impl License {
    /// The decision on a live license whose log says all that the clock has done by `now`.
    fn act(&self, action: &Action, now: Timestamp) -> Decision {
        match action {
            Action::Generate(_) => Err(Refusal::AlreadyExists),
            Action::Assign { owner, how } => self.assign(owner, *how, now),
            Action::ActivateDevice { id, claim, name, by, network, owner_banned } => {
                self.check_usable(*owner_banned, now)?;
                let device =
                    NewDevice { id: *id, claim, name: name.as_deref(), by: *by, network: network.as_deref() };
                self.activate_device(&device, now)
            }
            Action::RecordFirstValidation { validated_at } => {
                Ok(self.record_first_validation(*validated_at, now))
            }
            Action::DeactivateDevice { device, by, cause } => {
                self.deactivate_device(device, *by, *cause, now)
            }
            Action::ResetDevices { by } => self.reset_devices(*by, now),
            Action::RenameDevice { device, name } => self.rename_device(device, name, now),
            Action::Suspend { hold } => Ok(self.suspend(*hold, now)),
            Action::Resume { hold } => self.resume(*hold, now),
            Action::Settle { announce_ahead } => Ok(self.announce(*announce_ahead, now)),
            Action::Renew { to, external_ref } => self.renew(*to, external_ref.as_deref(), now),
            Action::OfferTransfer { to } => self.offer_transfer(to, now),
            Action::AcceptTransfer { by, secret_id } => self.accept_transfer(by, *secret_id, now),
            Action::Transfer { to, secret_id } => self.transfer_by_staff(to, *secret_id, now),
            Action::Revoke { category } => Ok(vec![Event::Revoked { category: *category, at: now }]),
            Action::Rekey { secret_id } => self.rekey(*secret_id, now),
            Action::ChangeTerms { terms, expires_at, has_reason, deactivate } => {
                let (terms, end) = self.new_terms(terms, *expires_at, now);
                if !has_reason && self.ends_earlier(&terms, end) {
                    return Err(Refusal::ReasonRequired);
                }
                self.change_terms(terms, end, deactivate, now)
            }
            Action::ChangeMetadata { metadata, private_metadata } => {
                self.change_metadata(metadata.as_ref(), private_metadata.as_ref(), now)
            }
            Action::IssueLease { id, claim, ttl, owner_banned } => {
                self.check_usable(*owner_banned, now)?;
                self.issue_lease(*id, claim, *ttl, now)
            }
            Action::ReleaseLease { id } => self.release_lease(*id, now),
            Action::SuspectSharing { suspicions, suspend } => {
                Ok(self.suspect_sharing(suspicions, *suspend, now))
            }
            Action::AddAlias { alias } => Ok(self.add_alias(alias, now)),
            Action::RecordDelivery { channel, key } => Ok(self.record_delivery(channel, *key, now)),
            Action::StartRoleLoss => Ok(self.start_role_loss(now)),
            Action::EndRoleLoss => Ok(self.end_role_loss(now)),
        }
    }

    /// Refuses unless the verdict, with its two device checks left out, would be valid.
    fn check_usable(&self, owner_banned: bool, now: Timestamp) -> Result<(), Refusal> {
        let verdict = verdict::decide(self, owner_banned, &Request::default(), now, Devices::LeaveOut);
        match verdict.code {
            Code::Valid | Code::InGrace => Ok(()),
            Code::UserBanned => Err(Refusal::UserBanned),
            Code::Revoked => Err(self.revoked()),
            Code::Suspended => {
                Err(Refusal::Suspended { hold: self.holds.first().copied().unwrap_or(Hold::Admin) })
            }
            Code::NotYetValid => Err(Refusal::NotYetValid { starts_at: self.starts_at.unwrap_or(now) }),
            Code::Expired => Err(Refusal::Expired { at: self.expiry_instant().unwrap_or(now) }),
            Code::NotAssigned => Err(Refusal::NotAssigned),
            // The empty request asks for no type, no entitlement and no device.
            Code::DeviceRequired | Code::DeviceNotActivated => Err(Refusal::DeviceNotActivated),
            Code::MalformedKey
            | Code::NotFound
            | Code::KeySuperseded
            | Code::TypeMismatch
            | Code::EntitlementsMissing => Err(Refusal::NotFound),
        }
    }

    fn revoked(&self) -> Refusal {
        Refusal::Revoked { category: self.revoked.unwrap_or(RevokeCategory::Manual) }
    }

    /// A text to be sealed for the owner, or for the guild where there is none.
    fn private(&self, text: &str) -> Result<Private, Refusal> {
        let guild = self.guild.ok_or(Refusal::NotFound)?;
        Ok(Private::of(self.owner.as_ref().map(|owner| &owner.id), guild, text))
    }
}
