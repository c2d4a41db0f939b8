//! What programs outside are told of: one table from events of the log to the names under which webhooks and the event
//! feed know them. Nothing here sends anything.

use crate::event::DomainEvent;
use crate::license::{self, License};
use crate::{guild, member};

/// Every name that an event can have outside, sorted.
pub const NAMES: &[&str] = &[
    "license.activated",
    "license.assigned",
    "license.created",
    "license.deactivated",
    "license.expired",
    "license.expiring",
    "license.rekeyed",
    "license.renewed",
    "license.resumed",
    "license.revoked",
    "license.sharing_suspected",
    "license.suspended",
    "license.transferred",
    "user.registered",
    "user.role_changed",
];

/// The name of an event outside; `None` for what only the feed tells, under its own name. `after` is the license after an
/// event of a license: only the first hold suspends it, and only the last one that goes resumes it.
pub fn name(event: &DomainEvent, after: Option<&License>) -> Option<&'static str> {
    match event {
        DomainEvent::License(event) => of_license(event, after),
        // To a guild somebody is new when it first sees him.
        DomainEvent::Member(member::Event::Joined { .. }) => Some("user.registered"),
        DomainEvent::Member(member::Event::RolesChanged { .. }) => Some("user.role_changed"),
        DomainEvent::Member(_)
        | DomainEvent::Guild(_)
        | DomainEvent::User(_)
        | DomainEvent::Session(_)
        | DomainEvent::Platform(_)
        | DomainEvent::Security(_) => None,
    }
}

fn of_license(event: &license::Event, after: Option<&License>) -> Option<&'static str> {
    use license::Event;
    let holds = after.map(|license| license.holds.len());
    match event {
        Event::Generated { .. } => Some("license.created"),
        Event::Assigned { .. } => Some("license.assigned"),
        Event::DeviceActivated { .. } => Some("license.activated"),
        Event::DeviceDeactivated { .. } | Event::DevicesReset { .. } => Some("license.deactivated"),
        Event::Suspended { .. } => (holds == Some(1)).then_some("license.suspended"),
        Event::Resumed { .. } => (holds == Some(0)).then_some("license.resumed"),
        Event::ExpiryAnnounced { .. } => Some("license.expiring"),
        Event::Expired { .. } => Some("license.expired"),
        Event::Renewed { .. } => Some("license.renewed"),
        Event::Revoked { .. } => Some("license.revoked"),
        Event::Transferred { .. } => Some("license.transferred"),
        Event::Rekeyed { .. } => Some("license.rekeyed"),
        Event::SharingSuspected { .. } => Some("license.sharing_suspected"),
        Event::BecameActive { .. }
        | Event::DeviceRenamed { .. }
        | Event::TransferOffered { .. }
        | Event::TermsChanged { .. }
        | Event::MetadataChanged { .. }
        | Event::OfflineLeaseIssued { .. }
        | Event::OfflineLeaseReleased { .. }
        | Event::AliasAdded { .. }
        | Event::AliasRetired { .. }
        | Event::Delivered { .. }
        | Event::RoleLossStarted { .. }
        | Event::RoleLossEnded { .. } => None,
    }
}

/// Whether a filter names something that can come: a name outside, a name of the log, or one of their first parts with
/// `.*` behind it.
pub fn is_known(wanted: &str) -> bool {
    let log = [license::Event::NAMES, member::Event::NAMES, guild::Event::NAMES].into_iter().flatten();
    let mut names = NAMES.iter().copied().chain(log.map(|(name, _)| *name));
    names.any(|name| matches(wanted, name))
}

/// Whether a filter holds a name: it is the name, or `license.*` for whatever begins with `license.`.
pub fn matches(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(part) => part.ends_with('.') && name.starts_with(part),
        None => wanted == name,
    }
}

#[cfg(test)]
mod tests;
