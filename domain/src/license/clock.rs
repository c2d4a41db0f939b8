//! What a license is at an instant, and what the clock does to it next. The instant is always an argument.

use std::collections::BTreeSet;

use super::event::Event;
use super::state::{Device, Lease, License, Stage, Status};
use crate::terms::{ExpiryBasis, Terms};
use crate::time::{Span, Timestamp};

impl License {
    /// What the license is at `now`; `None` if it was never made. Aggregate, verdict, read models and list
    /// filters all use this one function.
    pub fn status(&self, now: Timestamp) -> Option<Status> {
        let stored = match self.stage {
            Stage::Absent => return None,
            Stage::Revoked => return Some(Status::Revoked),
            Stage::Generated => Status::Generated,
            Stage::Assigned => Status::Assigned,
            Stage::Activated => Status::Activated,
            Stage::Active => Status::Active,
            Stage::Renewed => Status::Renewed,
        };
        if !self.holds.is_empty() {
            Some(Status::Suspended)
        } else if self.has_expired(now) {
            Some(Status::Expired)
        } else {
            Some(stored)
        }
    }

    /// Whether it is none of suspended, expired, revoked.
    pub fn is_active(&self, now: Timestamp) -> bool {
        !matches!(self.status(now), None | Some(Status::Suspended | Status::Expired | Status::Revoked))
    }

    /// The instant at which it expires: `expiresAt` and the grace. `None` while it has no end.
    pub fn expiry_instant(&self) -> Option<Timestamp> {
        self.expires_at.map(|end| end.after(self.terms.grace()))
    }

    /// The end of the grace after `expiresAt`; `None` if it has no end or no grace.
    pub fn grace_ends_at(&self) -> Option<Timestamp> {
        self.terms.expiry_grace.filter(|grace| !grace.is_zero()).and_then(|_| self.expiry_instant())
    }

    /// Whether it is past its end and its grace at `now`, held or not.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expiry_instant().is_some_and(|instant| now >= instant)
    }

    /// Device slots in use: active devices and devices with a lease that has not lapsed, by distinct `deviceId`.
    pub fn slots_used(&self, now: Timestamp) -> u32 {
        count(&self.slot_ids(now))
    }

    /// The `deviceId`s behind [`License::slots_used`].
    pub(super) fn slot_ids(&self, now: Timestamp) -> BTreeSet<&str> {
        let leased = self.ledger.leases.iter().filter(|lease| now < lease.until);
        let active = self.devices.iter().map(|device| device.device_id.as_str());
        active.chain(leased.map(|lease| lease.device_id.as_str())).collect()
    }

    /// The active device named `text`: by our id first, because a client chooses its own `deviceId` and could
    /// choose one that reads like the id of another device.
    pub fn device(&self, text: &str) -> Option<&Device> {
        let ours = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
        let by_id = ours.and_then(|id| self.devices.iter().find(|device| device.id == id));
        by_id.or_else(|| self.devices.iter().find(|device| device.device_id == text))
    }

    /// The earliest instant at which `Settle` or the end of a role-loss grace would do something: an end or a
    /// lapse that is not yet in the log, an announcement `announce_ahead` of the end, `roleLossEndsAt`. It may
    /// lie in the past. `None` if the clock alone will never change this license.
    pub fn next_due(&self, announce_ahead: Option<Span>) -> Option<Timestamp> {
        if matches!(self.stage, Stage::Absent | Stage::Revoked) {
            return None;
        }
        let expiry = self.expiry_instant().filter(|_| !self.expired_recorded);
        let lapse = self.ledger.leases.iter().map(|lease| lease.until).min();
        [expiry, lapse, self.role_loss_ends_at, self.announcement_due(announce_ahead)]
            .into_iter()
            .flatten()
            .min()
    }

    /// When the coming end is to be announced; `None` if it was, or if there is none to announce.
    pub(super) fn announcement_due(&self, announce_ahead: Option<Span>) -> Option<Timestamp> {
        let open = !self.expiry_announced && !self.expired_recorded;
        let end = self.expires_at.filter(|_| open)?;
        announce_ahead.map(|ahead| Timestamp(end.ms().saturating_sub(ahead.ms()).max(0)))
    }

    /// What the clock has done by `now` and the log does not say yet, in time order: leases that lapsed, and
    /// the end. Each is dated at its exact instant.
    pub(super) fn overdue(&self, now: Timestamp) -> Vec<Event> {
        let lapses = self.ledger.leases.iter().filter(|lease| lease.until <= now).map(lapse);
        let expiry = self
            .expiry_instant()
            .filter(|instant| !self.expired_recorded && *instant <= now)
            .map(|at| Event::Expired { at });
        let mut events: Vec<Event> = lapses.chain(expiry).collect();
        events.sort_by_key(Event::at);
        events
    }

    /// Whether its clock is to start at the first device or the first valid answer.
    pub(super) fn clock_waits(&self) -> bool {
        self.would_wait(&self.terms)
    }

    /// Whether its clock would wait under `terms`, if no end is given with them.
    pub(super) fn would_wait(&self, terms: &Terms) -> bool {
        let unused = matches!(self.stage, Stage::Generated | Stage::Assigned);
        unused
            && self.expires_at.is_none()
            && terms.duration.is_some()
            && terms.expiry_basis == ExpiryBasis::FirstActivation
    }

    /// The end that a first activation at `start` gives; `None` unless the clock waits for it.
    pub(super) fn end_if_started(&self, start: Timestamp) -> Option<Timestamp> {
        self.terms.duration.filter(|_| self.clock_waits()).map(|duration| start.after(duration))
    }
}

fn lapse(lease: &Lease) -> Event {
    Event::OfflineLeaseReleased { id: lease.id, lapsed: true, at: lease.until }
}

/// The size of a set of slots; no license comes near the limit of the type.
pub(super) fn count(ids: &BTreeSet<&str>) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}
