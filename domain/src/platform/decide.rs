//! What the platform allows, and how it follows from its events. Only owners give and take roles; the last owner stays,
//! unless whoever has the data folder says otherwise; and ownership can be claimed only while there is no owner.

use super::model::{Action, By, Command, Event, Fitness, Platform, PlatformRole, Refusal};
use crate::aggregate::{Decide, aggregate};
use crate::id::{Kind, Pseudonym};

aggregate!(Platform, Command, Event, Refusal, Kind::Platform);

impl Decide for Platform {
    const KIND: Kind = Kind::Platform;

    fn version(&self) -> u64 {
        self.version
    }

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let at = command.now;
        match &command.action {
            Action::ChangeRole { user, role, .. } if self.role(user) == *role => Ok(Vec::new()),
            Action::ChangeRole { user, role, by, fitness } => {
                self.may_change(user, *role, by)?;
                if role.is_some() {
                    fitness.check()?;
                }
                Ok(vec![Event::RoleChanged { user: user.clone(), role: *role, at }])
            }
            Action::Claim { user, number, fitness } => {
                if self.claimable() != Some(*number) {
                    return Err(Refusal::ClaimVoid);
                }
                fitness.check()?;
                Ok(vec![Event::OwnershipClaimed { user: user.clone(), number: *number, at }])
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        self.version += 1;
        let (user, role, at) = match event {
            Event::RoleChanged { user, role, at } => (user, *role, *at),
            Event::OwnershipClaimed { user, at, .. } => (user, Some(PlatformRole::Owner), *at),
        };
        let had_owner = self.has_owner();
        match role {
            Some(role) => self.roles.insert(user.clone(), role),
            None => self.roles.remove(user),
        };
        if had_owner && !self.has_owner() {
            self.ownerless += 1;
        }
        self.last = Some(user.clone());
        self.updated_at = at;
    }
}

impl Platform {
    fn may_change(&self, user: &Pseudonym, role: Option<PlatformRole>, by: &By) -> Result<(), Refusal> {
        let By::Person(asking) = by else { return Ok(()) };
        if self.role(asking) != Some(PlatformRole::Owner) {
            return Err(Refusal::RankTooLow);
        }
        let other =
            |(person, has): (&Pseudonym, &PlatformRole)| *has == PlatformRole::Owner && person != user;
        let stays = role == Some(PlatformRole::Owner) || self.roles.iter().any(other);
        if stays { Ok(()) } else { Err(Refusal::LastOwner) }
    }
}

impl Fitness {
    fn check(self) -> Result<(), Refusal> {
        match self {
            Self::Fit => Ok(()),
            Self::Banned => Err(Refusal::Banned),
            Self::Erased => Err(Refusal::Erased),
        }
    }
}
