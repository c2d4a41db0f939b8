//! What a member allows: observations in order, slot changes only where they fit. Which slots are to change is
//! planned by `crate::roles` from the same state; here the plan is checked against it, and nothing is planned.

use std::collections::BTreeSet;

use super::event::Event;
use super::model::{Action, Command, Member, Slot, SlotChange};
use super::refusal::Refusal;
use crate::aggregate::{Decide, aggregate};
use crate::guild::RuleId;
use crate::id::{GuildId, Kind, LicenseId, RoleId};
use crate::private::Person;
use crate::time::Timestamp;

aggregate!(Member, Command, Event, Refusal, Kind::Member);

/// What every function of `decide` answers: events, none if there is nothing to do.
type Decision = Result<Vec<Event>, Refusal>;

/// What was seen on Discord; leaving is losing every role.
struct Seen<'a> {
    present: bool,
    roles: &'a BTreeSet<RoleId>,
    observed_at: Timestamp,
}

impl Decide for Member {
    const KIND: Kind = Kind::Member;

    fn version(&self) -> u64 {
        self.version
    }

    fn decide(&self, command: &Command) -> Decision {
        let at = command.now;
        match &command.action {
            Action::Observe { guild, person, present, roles, observed_at, changes } => {
                let none = BTreeSet::new();
                let roles = if *present { roles } else { &none };
                let seen = Seen { present: *present, roles, observed_at: *observed_at };
                self.observe(*guild, person, &seen, changes, at)
            }
            Action::Block { license_type } => {
                self.known()?;
                block(license_type, self.slot(license_type)?, at)
            }
            Action::Unblock { license_type } => {
                self.known()?;
                let blocked = self.slot(license_type)?.blocked;
                let license_type = license_type.clone();
                Ok(if blocked { vec![Event::SlotUnblocked { license_type, at }] } else { Vec::new() })
            }
            Action::RecordDeliveryFailure { code } => {
                self.known()?;
                let first = !self.undeliverable;
                Ok(if first { vec![Event::DeliveryFailed { code: *code, at }] } else { Vec::new() })
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        super::evolve::evolve(self, event);
    }
}

impl Member {
    /// Whether something newer was observed already: such an observation decides nothing, and nothing may be
    /// planned from it.
    pub fn is_outdated(&self, observed_at: Timestamp) -> bool {
        self.guild.is_some() && observed_at < self.observed_at
    }

    fn known(&self) -> Result<(), Refusal> {
        if self.guild.is_some() { Ok(()) } else { Err(Refusal::NotFound) }
    }

    fn slot(&self, license_type: &str) -> Result<&Slot, Refusal> {
        let missing = || Refusal::SlotNotFound { license_type: license_type.to_owned() };
        self.slots.get(license_type).ok_or_else(missing)
    }

    /// Presence first, then roles, then slots, so that a reader of the stream meets the cause before its effect.
    fn observe(
        &self,
        guild: GuildId,
        person: &Person,
        seen: &Seen<'_>,
        changes: &[SlotChange],
        at: Timestamp,
    ) -> Decision {
        let other_guild = self.guild.is_some_and(|own| own != guild);
        if other_guild || self.person.as_ref().is_some_and(|own| own.id != person.id) {
            return Err(Refusal::OtherMember);
        }
        if self.is_outdated(seen.observed_at) {
            return Ok(Vec::new());
        }
        let mut events = Vec::from_iter(self.presence(guild, person, seen));
        events.extend(self.roles_changed(seen, at));
        let mut member = self.clone();
        events.iter().for_each(|event| member.evolve(event));
        for change in changes {
            let fitting = member.fit(change, at)?;
            fitting.iter().for_each(|event| member.evolve(event));
            events.extend(fitting);
        }
        Ok(events)
    }

    /// A member begins at his first role; somebody unknown without one leaves no trace. These events are dated
    /// at the observation, because an older one that comes late must not undo them.
    fn presence(&self, guild: GuildId, person: &Person, seen: &Seen<'_>) -> Option<Event> {
        let at = seen.observed_at;
        match (self.guild, self.present, seen.present) {
            (None, _, _) if seen.roles.is_empty() => None,
            (None, _, _) => Some(Event::Joined { guild_id: guild, person: person.clone(), at }),
            (Some(_), true, false) => Some(Event::Left { at }),
            (Some(_), false, true) => Some(Event::Rejoined { at }),
            (Some(_), true, true) | (Some(_), false, false) => None,
        }
    }

    fn roles_changed(&self, seen: &Seen<'_>, at: Timestamp) -> Option<Event> {
        (self.roles != *seen.roles).then(|| Event::RolesChanged {
            roles: seen.roles.clone(),
            added: seen.roles.difference(&self.roles).copied().collect(),
            removed: self.roles.difference(seen.roles).copied().collect(),
            observed_at: seen.observed_at,
            at,
        })
    }

    /// The events of one planned change, if it fits this state.
    fn fit(&self, change: &SlotChange, at: Timestamp) -> Decision {
        match change {
            SlotChange::Open { license_type, generation, license_id, sources } => {
                self.open(license_type, *generation, *license_id, sources, at)
            }
            SlotChange::AddSource { license_type, rule } => self.add_source(license_type, *rule, at),
            SlotChange::RemoveSource { license_type, rule } => self.remove_source(license_type, *rule, at),
            SlotChange::Close { license_type } => {
                let slot = self.planned(license_type)?;
                if !slot.open {
                    return stale(license_type, "its slot is closed already");
                }
                Ok(vec![closed(license_type, slot, at)])
            }
            SlotChange::Block { license_type } => {
                let slot = self.planned(license_type)?;
                if slot.blocked {
                    return stale(license_type, "its slot is blocked already");
                }
                block(license_type, slot, at)
            }
        }
    }

    fn open(
        &self,
        license_type: &str,
        generation: u32,
        license_id: LicenseId,
        sources: &BTreeSet<RuleId>,
        at: Timestamp,
    ) -> Decision {
        let before = match self.slots.get(license_type) {
            _ if self.guild.is_none() => return stale(license_type, "the member is not known"),
            Some(slot) if slot.open => return stale(license_type, "its slot is open already"),
            Some(slot) if slot.blocked => return stale(license_type, "its slot is blocked"),
            Some(slot) => slot.generation,
            None => 0,
        };
        if before.checked_add(1) != Some(generation) {
            return stale(license_type, "its generation is not the next");
        }
        if sources.is_empty() {
            return stale(license_type, "no source opens it");
        }
        let (license_type, sources) = (license_type.to_owned(), sources.clone());
        Ok(vec![Event::SlotOpened { license_type, generation, license_id, sources, at }])
    }

    fn add_source(&self, license_type: &str, rule: RuleId, at: Timestamp) -> Decision {
        if self.planned(license_type)?.sources.contains(&rule) {
            return stale(license_type, "it has this source already");
        }
        Ok(vec![Event::SourceAdded { license_type: license_type.to_owned(), rule_id: rule, at }])
    }

    fn remove_source(&self, license_type: &str, rule: RuleId, at: Timestamp) -> Decision {
        let sources = &self.planned(license_type)?.sources;
        if !sources.contains(&rule) {
            return stale(license_type, "it has no such source");
        }
        let last = sources.len() == 1;
        Ok(vec![Event::SourceRemoved { license_type: license_type.to_owned(), rule_id: rule, last, at }])
    }

    /// The slot that a plan names.
    fn planned(&self, license_type: &str) -> Result<&Slot, Refusal> {
        let missing =
            || Refusal::StalePlan { license_type: license_type.to_owned(), mismatch: "it has no slot" };
        self.slots.get(license_type).ok_or_else(missing)
    }
}

/// A slot is closed before it is blocked; a blocked one stays as it is.
fn block(license_type: &str, slot: &Slot, at: Timestamp) -> Decision {
    let mut events = Vec::new();
    if slot.open {
        events.push(closed(license_type, slot, at));
    }
    if !slot.blocked {
        events.push(Event::SlotBlocked { license_type: license_type.to_owned(), at });
    }
    Ok(events)
}

fn closed(license_type: &str, slot: &Slot, at: Timestamp) -> Event {
    Event::SlotClosed { license_type: license_type.to_owned(), generation: slot.generation, at }
}

fn stale(license_type: &str, mismatch: &'static str) -> Decision {
    Err(Refusal::StalePlan { license_type: license_type.to_owned(), mismatch })
}
