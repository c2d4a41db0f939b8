//! How a member follows from its events. Total: an event that is in the log happened, so one about an unknown
//! slot is counted and otherwise passed over. Nothing is refused here.

use super::event::Event;
use super::model::{Member, Slot};

/// Applies `event`.
pub(super) fn evolve(member: &mut Member, event: &Event) {
    member.version += 1;
    match event {
        Event::Joined { guild_id, person, at } => {
            member.guild = Some(*guild_id);
            member.person = Some(person.clone());
            member.present = true;
            member.created_at = *at;
            member.observed_at = *at;
        }
        Event::Left { at } => {
            member.present = false;
            member.observed_at = *at;
        }
        Event::Rejoined { at } => {
            member.present = true;
            member.undeliverable = false;
            member.observed_at = *at;
        }
        Event::RolesChanged { roles, observed_at, .. } => {
            member.roles.clone_from(roles);
            member.observed_at = *observed_at;
        }
        Event::DeliveryFailed { .. } => member.undeliverable = true,
        Event::SlotOpened { .. }
        | Event::SourceAdded { .. }
        | Event::SourceRemoved { .. }
        | Event::SlotClosed { .. }
        | Event::SlotBlocked { .. }
        | Event::SlotUnblocked { .. } => slots(member, event),
    }
    member.updated_at = member.updated_at.max(event.at());
}

fn slots(member: &mut Member, event: &Event) {
    let change = |member: &mut Member, license_type: &str, apply: &dyn Fn(&mut Slot)| {
        if let Some(slot) = member.slots.get_mut(license_type) {
            apply(slot);
        }
    };
    match event {
        Event::SlotOpened { license_type, generation, license_id, sources, .. } => {
            let slot = Slot {
                generation: *generation,
                license_id: *license_id,
                sources: sources.clone(),
                open: true,
                blocked: false,
            };
            member.slots.insert(license_type.clone(), slot);
            // There is a new key to deliver, so a direct message is worth another try.
            member.undeliverable = false;
        }
        Event::SourceAdded { license_type, rule_id, .. } => {
            change(member, license_type, &|slot| {
                slot.sources.insert(*rule_id);
            });
        }
        Event::SourceRemoved { license_type, rule_id, .. } => {
            change(member, license_type, &|slot| {
                slot.sources.remove(rule_id);
            });
        }
        Event::SlotClosed { license_type, .. } => change(member, license_type, &|slot| slot.open = false),
        Event::SlotBlocked { license_type, .. } => change(member, license_type, &|slot| slot.blocked = true),
        Event::SlotUnblocked { license_type, .. } => {
            change(member, license_type, &|slot| slot.blocked = false);
        }
        _ => {}
    }
}

impl Event {
    /// Its instant: when it was decided, and of `joined`, `left` and `rejoined` when it was observed.
    pub const fn at(&self) -> crate::time::Timestamp {
        match self {
            Self::Joined { at, .. }
            | Self::RolesChanged { at, .. }
            | Self::SlotOpened { at, .. }
            | Self::SourceAdded { at, .. }
            | Self::SourceRemoved { at, .. }
            | Self::SlotClosed { at, .. }
            | Self::SlotBlocked { at, .. }
            | Self::SlotUnblocked { at, .. }
            | Self::Left { at }
            | Self::Rejoined { at }
            | Self::DeliveryFailed { at, .. } => *at,
        }
    }
}
