//! What each event changes in a license. Total: an event that stands in the log happened, so nothing here
//! refuses anything, and no rule of the commands is repeated here.

use super::event::Event;
use super::state::{Authority, DeactivationCause, Hold, Lease, License, Offer, Stage};
use crate::private::Private;
use crate::terms::Terms;
use crate::time::Timestamp;

impl License {
    /// Applies one event.
    pub(super) fn apply_event(&mut self, event: &Event) {
        self.version += 1;
        self.updated_at = self.updated_at.max(event.at());
        match event {
            Event::Generated { .. } => self.on_generated(event),
            Event::Assigned { owner, .. } => {
                self.owner = Some(owner.clone());
                self.leave_generated();
            }
            Event::BecameActive { expires_at, .. } => {
                self.stage = Stage::Active;
                self.expires_at = expires_at.or(self.expires_at);
            }
            Event::Suspended { hold, .. } => self.on_suspended(*hold),
            Event::Resumed { hold, .. } => self.holds.retain(|held| held != hold),
            Event::ExpiryAnnounced { .. } => self.expiry_announced = true,
            Event::Expired { .. } => self.expired_recorded = true,
            Event::Renewed { expires_at, .. } => self.on_renewed(*expires_at),
            Event::Revoked { category, .. } => {
                self.stage = Stage::Revoked;
                self.revoked = Some(*category);
                self.offer = None;
                self.role_loss_ends_at = None;
            }
            Event::TransferOffered { to, expires_at, .. } => {
                self.offer = Some(Box::new(Offer { to: to.clone(), expires_at: *expires_at }));
            }
            Event::Transferred { to, .. } => {
                self.owner = Some(to.clone());
                self.offer = None;
                self.leave_generated();
            }
            Event::Rekeyed { key, .. } => self.key = *key,
            Event::TermsChanged { terms, expires_at, at } => self.on_terms_changed(terms, *expires_at, *at),
            Event::MetadataChanged { metadata, private_metadata, .. } => {
                self.on_metadata_changed(metadata.as_ref(), private_metadata.as_ref());
            }
            Event::AliasAdded { alias, .. } => self.aliases.push(alias.clone()),
            Event::AliasRetired { alias, .. } => self.aliases.retain(|live| live != alias),
            Event::Delivered { key, .. } => self.delivered = Some(*key),
            Event::RoleLossStarted { ends_at, .. } => self.role_loss_ends_at = Some(*ends_at),
            Event::RoleLossEnded { .. } => self.role_loss_ends_at = None,
            Event::SharingSuspected { .. } => {}
            Event::DeviceActivated { .. }
            | Event::DeviceDeactivated { .. }
            | Event::DeviceRenamed { .. }
            | Event::DevicesReset { .. }
            | Event::OfflineLeaseIssued { .. }
            | Event::OfflineLeaseReleased { .. } => self.apply_device_event(event),
        }
    }

    fn apply_device_event(&mut self, event: &Event) {
        match event {
            Event::DeviceActivated { device, by, expires_at, .. } => {
                self.devices.push(device.clone());
                self.note_activation(*by, device.activated_at);
                self.expires_at = expires_at.or(self.expires_at);
                if matches!(self.stage, Stage::Generated | Stage::Assigned) {
                    self.stage = Stage::Activated;
                }
            }
            Event::DeviceDeactivated { id, by, cause, at, .. } => {
                self.devices.retain(|device| device.id != *id);
                self.note_reset(*by, *cause, *at);
            }
            Event::DevicesReset { by, cause, ids, at } => {
                self.devices.retain(|device| !ids.contains(&device.id));
                self.note_reset(*by, *cause, *at);
            }
            Event::DeviceRenamed { id, device_name, .. } => {
                if let Some(device) = self.devices.iter_mut().find(|device| device.id == *id) {
                    device.name = Some(device_name.clone());
                }
            }
            Event::OfflineLeaseIssued { lease, .. } => self.on_lease_issued(lease),
            Event::OfflineLeaseReleased { id, .. } => self.ledger.leases.retain(|lease| lease.id != *id),
            _ => {}
        }
    }

    fn on_generated(&mut self, event: &Event) {
        if let Event::Generated {
            license_id,
            guild_id,
            license_type,
            terms,
            key,
            slot,
            at,
            starts_at,
            expires_at,
            ledger,
            metadata,
            private_metadata,
        } = event
        {
            self.id = *license_id;
            self.guild = Some(*guild_id);
            self.license_type.clone_from(license_type);
            self.terms = terms.clone();
            self.stage = Stage::Generated;
            self.key = *key;
            self.slot.clone_from(slot);
            self.created_at = *at;
            self.starts_at = *starts_at;
            self.expires_at = *expires_at;
            self.ledger = ledger.clone().unwrap_or_default();
            self.metadata.clone_from(metadata);
            self.private_metadata.clone_from(private_metadata);
        }
    }

    fn on_metadata_changed(&mut self, shared: Option<&Option<Private>>, private: Option<&Option<Private>>) {
        if let Some(shared) = shared {
            self.metadata.clone_from(shared);
        }
        if let Some(private) = private {
            self.private_metadata.clone_from(private);
        }
    }

    /// The hold for a lost role is what its grace was to end in.
    fn on_suspended(&mut self, hold: Hold) {
        self.holds.push(hold);
        self.holds.sort_unstable();
        self.holds.dedup();
        if hold == Hold::RoleLoss {
            self.role_loss_ends_at = None;
        }
    }

    fn leave_generated(&mut self) {
        if self.stage == Stage::Generated {
            self.stage = Stage::Assigned;
        }
    }

    /// A renewal never meets an end that is not in the log, because `license.expired` stands in the same append
    /// before it; so that mark alone says whether the license came back from expiry.
    fn on_renewed(&mut self, expires_at: Timestamp) {
        if self.expired_recorded {
            self.stage = Stage::Renewed;
        }
        self.expires_at = Some(expires_at);
        self.expired_recorded = false;
        self.expiry_announced = false;
    }

    /// An end that was recorded stays recorded while the license stays expired, so that there is one
    /// `license.expired` for one expiry.
    fn on_terms_changed(&mut self, terms: &Terms, expires_at: Option<Timestamp>, at: Timestamp) {
        self.terms = terms.clone();
        if terms.activation_budget.is_none() {
            self.ledger.activations = Box::default();
        }
        if self.expires_at != expires_at {
            self.expires_at = expires_at;
            self.expiry_announced = false;
        }
        if !self.has_expired(at) {
            self.expired_recorded = false;
        }
    }

    /// A longer lease of the same device covers a shorter one: the machine is the same, and so is its slot.
    fn on_lease_issued(&mut self, lease: &Lease) {
        let covered = |old: &Lease| old.device_id == lease.device_id && old.until <= lease.until;
        self.ledger.leases.retain(|old| !covered(old));
        self.ledger.leases.push(lease.clone());
    }

    /// Keeps the instants that cooldown and budget look at, and drops those older than both.
    fn note_reset(&mut self, by: Authority, cause: DeactivationCause, at: Timestamp) {
        if !is_reset(by, cause) {
            return;
        }
        let window = self.terms.device_reset_window.max(self.terms.device_reset_cooldown.unwrap_or_default());
        self.ledger.resets.retain(|reset| reset.after(window) > at);
        self.ledger.resets.push(at);
    }

    /// Keeps the instants that the budget looks at. Terms without a budget count nothing, so that their licenses
    /// carry nothing either.
    fn note_activation(&mut self, by: Authority, at: Timestamp) {
        if self.terms.activation_budget.is_none() || !by.is_limited() {
            return;
        }
        let window = self.terms.device_reset_window;
        let recent = self.ledger.activations.iter().filter(|instant| instant.after(window) > at);
        self.ledger.activations = recent.copied().chain([at]).collect();
    }
}

/// Whether a deactivation counts against the owner's allowance: made by the owner or by a program with the key,
/// and neither part of a transfer nor of changed terms.
pub(super) const fn is_reset(by: Authority, cause: DeactivationCause) -> bool {
    by.is_limited() && !matches!(cause, DeactivationCause::Transfer | DeactivationCause::TermsChanged)
}
