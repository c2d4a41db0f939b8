//! Devices: activating, freeing, renaming, and the owner's allowances of activations and deactivations.

use uuid::Uuid;

use super::Decision;
use crate::device::{Component, DeviceClaim, Recognition, recognise};
use crate::license::clock::count;
use crate::license::evolve::is_reset;
use crate::license::{Authority, DeactivationCause, Device, Event, License, Refusal};
use crate::time::{Span, Timestamp};

/// A device that asks to be activated.
pub(super) struct NewDevice<'a> {
    pub(super) id: Uuid,
    pub(super) claim: &'a DeviceClaim,
    pub(super) name: Option<&'a str>,
    pub(super) by: Authority,
    pub(super) network: Option<&'a str>,
}

impl License {
    /// Activates the device, unless it is one that is active, which costs nothing. A device whose offline license
    /// has not lapsed holds its slot already. The budget is asked before the limit: while it is used up, freeing a
    /// device would help nobody.
    pub(super) fn activate_device(&self, asked: &NewDevice<'_>, now: Timestamp) -> Decision {
        let NewDevice { id, claim, name, by, network } = *asked;
        match recognise(&self.devices, self.terms.device_match, claim) {
            Recognition::Known(_) => return Ok(vec![]),
            Recognition::Mismatch => return Err(Refusal::ComponentsMismatch),
            Recognition::Unknown => {}
        }
        self.check_activations(by, now)?;
        let mut slots = self.slot_ids(now);
        let used = count(&slots);
        slots.insert(&claim.device_id);
        match self.terms.max_devices {
            Some(limit) if count(&slots) > limit => return Err(Refusal::DeviceLimitReached { used, limit }),
            _ => {}
        }
        let device = Device {
            id,
            device_id: claim.device_id.clone(),
            name: name.map(|name| self.private(name)).transpose()?,
            components: sorted(&claim.components),
            activated_at: now,
        };
        let network = network.map(str::to_owned);
        Ok(vec![Event::DeviceActivated { device, by, network, expires_at: self.end_if_started(now) }])
    }

    /// Frees one device.
    pub(super) fn deactivate_device(
        &self,
        device: &str,
        by: Authority,
        cause: DeactivationCause,
        now: Timestamp,
    ) -> Decision {
        let device = self.device(device).ok_or(Refusal::DeviceNotActivated)?;
        self.check_allowance(by, cause, now)?;
        Ok(vec![deactivated(device, by, cause, now)])
    }

    /// Frees all devices; one deactivation in the ledger, however many there are.
    pub(super) fn reset_devices(&self, by: Authority, now: Timestamp) -> Decision {
        if self.devices.is_empty() {
            return Ok(vec![]);
        }
        self.check_allowance(by, DeactivationCause::Requested, now)?;
        Ok(vec![self.all_reset(by, DeactivationCause::Requested, now)])
    }

    /// The event that frees every active device.
    pub(super) fn all_reset(&self, by: Authority, cause: DeactivationCause, now: Timestamp) -> Event {
        Event::DevicesReset { by, cause, ids: self.devices.iter().map(|device| device.id).collect(), at: now }
    }

    pub(super) fn rename_device(&self, device: &str, name: &str, now: Timestamp) -> Decision {
        let device = self.device(device).ok_or(Refusal::DeviceNotActivated)?;
        Ok(vec![Event::DeviceRenamed { id: device.id, device_name: self.private(name)?, at: now }])
    }

    /// Cooldown and budget bind the owner and programs that hold the key, nobody else.
    fn check_allowance(
        &self,
        by: Authority,
        cause: DeactivationCause,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !is_reset(by, cause) {
            return Ok(());
        }
        let again_at = self.terms.device_reset_cooldown.and_then(|cooldown| {
            self.ledger.resets.last().map(|last| last.after(cooldown)).filter(|again_at| now < *again_at)
        });
        if let Some(again_at) = again_at {
            return Err(Refusal::ResetCooldown { again_at });
        }
        self.check_budget(now)
    }

    fn check_budget(&self, now: Timestamp) -> Result<(), Refusal> {
        let Some(budget) = self.terms.device_reset_budget else {
            return Ok(());
        };
        let window = self.terms.device_reset_window;
        room(&self.ledger.resets, budget, window, now).map_err(|again_at| Refusal::ResetBudgetExhausted {
            budget,
            window,
            again_at,
        })
    }

    /// Whoever frees devices to activate others is counted here, however the slots became free: by himself, by
    /// staff, or by the job that frees devices which nobody uses.
    fn check_activations(&self, by: Authority, now: Timestamp) -> Result<(), Refusal> {
        let Some(budget) = self.terms.activation_budget.filter(|_| by.is_limited()) else {
            return Ok(());
        };
        let window = self.terms.device_reset_window;
        room(&self.ledger.activations, budget, window, now)
            .map_err(|again_at| Refusal::ActivationBudgetExhausted { budget, window, again_at })
    }
}

/// Whether `budget` leaves room for one more in the `window` that slides over `instants`, which are in order.
///
/// # Errors
/// When it will; `None` if never, because the budget is nothing.
fn room(instants: &[Timestamp], budget: u32, window: Span, now: Timestamp) -> Result<(), Option<Timestamp>> {
    let ends: Vec<Timestamp> =
        instants.iter().map(|instant| instant.after(window)).filter(|end| now < *end).collect();
    let allowed = budget as usize;
    if ends.len() < allowed {
        return Ok(());
    }
    // When this one has left the window, one less than the budget remains in it.
    Err(ends.get(ends.len() - allowed).copied())
}

/// The event that frees `device`.
pub(super) fn deactivated(device: &Device, by: Authority, cause: DeactivationCause, now: Timestamp) -> Event {
    Event::DeviceDeactivated { id: device.id, device_id: device.device_id.clone(), by, cause, at: now }
}

/// As a device keeps them: sorted by name, each name once, as first given.
fn sorted(components: &[Component]) -> Vec<Component> {
    let mut components = components.to_vec();
    components.sort_by(|a, b| a.name.cmp(&b.name));
    components.dedup_by(|later, first| later.name == first.name);
    components
}
