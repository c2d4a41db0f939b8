//! Offline licenses: what may be taken along, for how long, and taking it back. Signing one stands elsewhere.

use uuid::Uuid;

use super::Decision;
use crate::device::{DeviceClaim, DeviceMatch, Recognition, recognise};
use crate::license::{Event, Lease, License, Refusal};
use crate::time::{Span, Timestamp};

impl License {
    /// Issues a lease for an active device, which has its slot already. A request without components names the
    /// device by its id alone: the owner asks from another place than the machine.
    pub(super) fn issue_lease(
        &self,
        id: Uuid,
        claim: &DeviceClaim,
        ttl: Option<Span>,
        now: Timestamp,
    ) -> Decision {
        let longest = self.terms.offline_lease_max.ok_or(Refusal::OfflineNotAllowed)?;
        let mode = if claim.components.is_empty() { DeviceMatch::Id } else { self.terms.device_match };
        let device = match recognise(&self.devices, mode, claim) {
            Recognition::Known(device) => device,
            Recognition::Mismatch => return Err(Refusal::ComponentsMismatch),
            Recognition::Unknown => return Err(Refusal::DeviceNotActivated),
        };
        let asked = now.after(ttl.map_or(longest, |ttl| ttl.min(longest)));
        let until = self.expiry_instant().map_or(asked, |end| asked.min(end));
        let lease = Lease { id, device_id: device.device_id.clone(), until };
        Ok(vec![Event::OfflineLeaseIssued { lease, at: now }])
    }

    /// Takes a lease back before it lapses.
    pub(super) fn release_lease(&self, id: Uuid, now: Timestamp) -> Decision {
        let known = self.ledger.leases.iter().any(|lease| lease.id == id);
        if !known {
            return Err(Refusal::LeaseNotFound);
        }
        Ok(vec![Event::OfflineLeaseReleased { id, lapsed: false, at: now }])
    }
}
