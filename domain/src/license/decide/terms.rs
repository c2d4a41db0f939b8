//! Changing the terms of one license: the only way to an earlier end, and the only way to a lower device limit.

use super::Decision;
use super::devices::deactivated;
use crate::license::clock::count;
use crate::license::{Authority, DeactivationCause, Device, Event, License, Refusal};
use crate::terms::{ExpiryBasis, Terms};
use crate::time::Timestamp;

impl License {
    /// The terms and the end that a change comes to. An end of `Some(None)` makes the license perpetual, so its
    /// terms lose their duration. A clock that was waiting and is not to wait any more starts now.
    pub(super) fn new_terms(
        &self,
        asked: &Terms,
        end: Option<Option<Timestamp>>,
        now: Timestamp,
    ) -> (Terms, Option<Timestamp>) {
        let mut terms = asked.clone();
        let end = match end {
            Some(Some(end)) => Some(end),
            Some(None) => {
                terms.duration = None;
                terms.expiry_basis = ExpiryBasis::Creation;
                None
            }
            None if self.clock_waits() && !self.would_wait(&terms) => {
                let start = self.starts_at.map_or(now, |starts_at| starts_at.max(now));
                terms.duration.map(|duration| start.after(duration))
            }
            None => self.expires_at,
        };
        (terms, end)
    }

    /// Whether `end` takes something away. A perpetual license ends later than any other; a clock that waits has
    /// no end yet.
    pub(super) fn ends_earlier(&self, terms: &Terms, end: Option<Timestamp>) -> bool {
        match (self.expires_at, end) {
            (Some(present), Some(end)) => end < present,
            (Some(_), None) => false,
            (None, Some(_)) => !self.clock_waits(),
            (None, None) => !self.clock_waits() && self.would_wait(terms),
        }
    }

    /// Changes terms and end; frees the named devices first if the new limit asks for it, so that the use is
    /// never above the limit in between.
    pub(super) fn change_terms(
        &self,
        terms: Terms,
        end: Option<Timestamp>,
        deactivate: &[String],
        now: Timestamp,
    ) -> Decision {
        if terms == self.terms && end == self.expires_at {
            return Ok(vec![]);
        }
        let mut events = match terms.max_devices {
            Some(limit) if self.slots_used(now) > limit => self.freed_for(limit, deactivate, now)?,
            _ => vec![],
        };
        events.push(Event::TermsChanged { terms, expires_at: end, at: now });
        Ok(events)
    }

    /// The named devices that are active, if freeing them brings the use down to `limit`. A freed device whose
    /// offline license has not lapsed keeps its slot.
    fn freed_for(&self, limit: u32, deactivate: &[String], now: Timestamp) -> Decision {
        let mut freed: Vec<&Device> = deactivate.iter().filter_map(|name| self.device(name)).collect();
        freed.sort_by_key(|device| device.id);
        freed.dedup_by_key(|device| device.id);
        let mut slots = self.slot_ids(now);
        for device in &freed {
            let leased = self.ledger.leases.iter().any(|lease| lease.device_id == device.device_id);
            if !leased {
                slots.remove(device.device_id.as_str());
            }
        }
        let used = count(&slots);
        if used > limit {
            return Err(Refusal::DevicesInUse { used, limit });
        }
        let cause = DeactivationCause::TermsChanged;
        Ok(freed.into_iter().map(|device| deactivated(device, Authority::Staff, cause, now)).collect())
    }
}
