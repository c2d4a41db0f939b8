//! Handing a license on, and changing its key.

use super::Decision;
use crate::key::KeyVersion;
use crate::license::{Authority, DeactivationCause, Event, License, Refusal};
use crate::private::Person;
use crate::time::{Span, Timestamp};

/// How long an owner's offer stands.
pub const TRANSFER_OFFER_SPAN: Span = Span::days(7);

impl License {
    /// The owner offers it. The same offer again changes nothing while it stands; another one replaces it.
    pub(super) fn offer_transfer(&self, to: &Person, now: Timestamp) -> Decision {
        self.check_not_role_bound()?;
        let owner = self.owner.as_ref().ok_or(Refusal::NotOwned)?;
        self.check_transferable()?;
        if owner.id == to.id {
            return Err(Refusal::SelfTransfer);
        }
        let stands = self.offer.as_ref().is_some_and(|offer| offer.to.id == to.id && now < offer.expires_at);
        if stands {
            return Ok(vec![]);
        }
        Ok(vec![Event::TransferOffered {
            to: to.clone(),
            expires_at: now.after(TRANSFER_OFFER_SPAN),
            at: now,
        }])
    }

    /// The receiver accepts. The terms are asked again, because they may have changed since the offer.
    pub(super) fn accept_transfer(&self, by: &Person, secret_id: u8, now: Timestamp) -> Decision {
        self.check_not_role_bound()?;
        let offer =
            self.offer.as_ref().filter(|offer| offer.to.id == by.id).ok_or(Refusal::TransferNotOffered)?;
        if now >= offer.expires_at {
            return Err(Refusal::OfferExpired { at: offer.expires_at });
        }
        self.check_transferable()?;
        self.hand_over(by, Authority::Owner, secret_id, now)
    }

    /// Staff hand it over at once, whatever its terms say; a license from a role not even so.
    pub(super) fn transfer_by_staff(&self, to: &Person, secret_id: u8, now: Timestamp) -> Decision {
        self.check_not_role_bound()?;
        if self.owner.as_ref().is_some_and(|owner| owner.id == to.id) {
            return Err(Refusal::SelfTransfer);
        }
        self.hand_over(to, Authority::Staff, secret_id, now)
    }

    /// New owner, no devices, new key, no aliases: one append. Leases keep their slots until they lapse.
    fn hand_over(&self, to: &Person, by: Authority, secret_id: u8, now: Timestamp) -> Decision {
        let rekeyed = self.rekey(secret_id, now)?;
        let from = self.owner.as_ref().map(|owner| owner.id.clone());
        let mut events = vec![Event::Transferred { from, to: to.clone(), at: now }];
        if !self.devices.is_empty() {
            events.push(self.all_reset(by, DeactivationCause::Transfer, now));
        }
        events.extend(rekeyed);
        Ok(events)
    }

    /// A new key from the given secret; the old one and every alias open the license no more.
    pub(super) fn rekey(&self, secret_id: u8, now: Timestamp) -> Decision {
        let version = self.key.version.checked_add(1).ok_or(Refusal::RekeyLimit)?;
        let mut events = vec![Event::Rekeyed { key: KeyVersion { secret_id, version }, at: now }];
        events.extend(self.aliases.iter().map(|alias| Event::AliasRetired { alias: alias.clone(), at: now }));
        Ok(events)
    }

    fn check_not_role_bound(&self) -> Result<(), Refusal> {
        if self.slot.is_some() { Err(Refusal::RoleBound) } else { Ok(()) }
    }

    fn check_transferable(&self) -> Result<(), Refusal> {
        if self.terms.transferable { Ok(()) } else { Err(Refusal::NotTransferable) }
    }
}
