//! What whoever causes a command may do, and what each command needs: the second door. Gateways ask first, because they
//! know what must look as if it were not there; here every decision is asked for again, whichever way it came. A route that
//! forgot to ask, or asked for too little, changes nothing.

use domain::credential::Scope;
use domain::guild::{self, Guild, StaffRole};
use domain::id::{GuildId, Pseudonym};
use domain::license::{self, AssignedHow, Authority, Hold, License, RevokeCategory};
use domain::member::{self, Member};
use domain::platform::{self, Platform, PlatformRole};
use domain::rbac::Permission;
use domain::session::{self, Session};
use domain::user::{self, User};

use crate::CommandError;

#[cfg(test)]
mod tests;

/// What whoever causes a command may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Everything: the operator, and the program itself where it follows Discord, the clock or a sign-in.
    Everything,
    /// What he was found to have.
    Held(Held),
}

/// What was found out about somebody from outside. What was not looked up is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// His account.
    pub account: Option<Pseudonym>,
    /// His role on the platform.
    pub platform: Option<PlatformRole>,
    /// Ranks in guilds.
    pub ranks: Vec<(GuildId, StaffRole)>,
    /// The guild and the scopes of an API key.
    pub key: Option<(GuildId, Vec<Scope>)>,
}

/// What a command needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it only follows from what was allowed.
    Nothing,
    /// Everything: nobody from outside asks for it.
    Program,
    /// One of these, as the table of `domain::rbac` gives them.
    Any(&'static [Permission]),
    /// This one, and by more than being the owner.
    Staff(Permission),
    /// The license key, shown with an API key that has this scope, or by its owner.
    Key(Scope),
    /// To be this person, or one of the permissions.
    Person(Option<Pseudonym>, &'static [Permission]),
}

/// What a command is about, as far as rights go by it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    pub(crate) guild: Option<GuildId>,
    pub(crate) owner: Option<&'a Pseudonym>,
}

impl Rights {
    /// Refuses what is not allowed.
    pub(crate) fn check(&self, need: &Need, about: About<'_>) -> Result<(), CommandError> {
        match self {
            Self::Everything => Ok(()),
            Self::Held(held) if held.meets(need, about) => Ok(()),
            Self::Held(_) => Err(CommandError::Forbidden),
        }
    }
}

impl Held {
    fn meets(&self, need: &Need, about: About<'_>) -> bool {
        let owns = self.account.is_some() && self.account.as_ref() == about.owner;
        let any = |permissions: &[Permission], owns| {
            permissions.iter().any(|one| self.has(*one, about.guild, owns))
        };
        match need {
            Need::Nothing => true,
            Need::Program => false,
            Need::Any(permissions) => any(permissions, owns),
            Need::Staff(permission) => self.has(*permission, about.guild, false),
            Need::Key(scope) => owns || self.has_scope(*scope, about.guild),
            Need::Person(person, permissions) => {
                (self.account.is_some() && self.account == *person) || any(permissions, false)
            }
        }
    }

    fn has(&self, permission: Permission, guild: Option<GuildId>, owns: bool) -> bool {
        let given = permission.given_by();
        let by_rank = self.ranks.iter().any(|(of, rank)| Some(*of) == guild && permission.is_of_rank(*rank));
        let by_platform = self.platform.is_some_and(|role| permission.is_of_platform(role));
        let by_scope = given.scope.is_some_and(|scope| self.has_scope(scope, guild));
        by_rank || by_platform || by_scope || (owns && given.owner)
    }

    fn has_scope(&self, scope: Scope, guild: Option<GuildId>) -> bool {
        self.key.as_ref().is_some_and(|(of, scopes)| Some(*of) == guild && scopes.contains(&scope))
    }
}

/// An aggregate whose commands need something.
pub(crate) trait Guarded: domain::aggregate::Decide {
    /// What a command needs of whoever causes it.
    fn need(&self, command: &Self::Command) -> Need;
    /// Who owns it.
    fn owner(&self) -> Option<&Pseudonym> {
        None
    }
}

const MANAGE: Need = Need::Any(&[Permission::Manage]);
const MODERATE: Need = Need::Any(&[Permission::Moderate]);
const CREDENTIALS: Need = Need::Any(&[Permission::Credentials]);

impl Guarded for License {
    fn need(&self, command: &license::Command) -> Need {
        use license::Action;
        match &command.action {
            Action::Generate(_)
            | Action::Assign { how: AssignedHow::Assign, .. }
            | Action::Renew { .. }
            | Action::Rekey { .. }
            | Action::ChangeTerms { .. }
            | Action::ChangeMetadata { .. }
            | Action::AddAlias { .. } => MANAGE,
            Action::Assign { how: AssignedHow::Redeem, owner } => Need::Person(Some(owner.id.clone()), &[]),
            Action::AcceptTransfer { by, .. } => Need::Person(Some(by.id.clone()), &[]),
            Action::ActivateDevice { by, .. } => match by {
                Authority::Client | Authority::Owner => Need::Key(Scope::Activate),
                // Whoever passed for staff would have no budget to keep to.
                Authority::Staff => Need::Staff(Permission::Devices),
                Authority::Job => Need::Program,
            },
            Action::DeactivateDevice { by, .. } | Action::ResetDevices { by } => match by {
                Authority::Client => Need::Key(Scope::Deactivate),
                Authority::Owner => Need::Any(&[Permission::Devices]),
                // An owner who passed for staff would have no allowance to keep to.
                Authority::Staff => Need::Staff(Permission::Devices),
                Authority::Job => Need::Program,
            },
            Action::RenameDevice { .. } => Need::Any(&[Permission::Devices]),
            Action::Suspend { hold: Hold::Admin | Hold::Policy } | Action::Resume { .. } => MODERATE,
            Action::OfferTransfer { .. } => Need::Any(&[Permission::Transfer]),
            Action::Transfer { .. } => Need::Staff(Permission::Transfer),
            Action::Revoke { category: RevokeCategory::RoleLost } => Need::Program,
            Action::Revoke { .. } => Need::Any(&[Permission::Revoke]),
            Action::IssueLease { .. } => Need::Any(&[Permission::Certify]),
            Action::ReleaseLease { .. } => Need::Any(&[Permission::Devices]),
            Action::RecordDelivery { .. } => Need::Any(&[Permission::RevealOne]),
            Action::Assign { how: AssignedHow::Role, .. }
            | Action::Suspend { hold: Hold::RoleLoss }
            | Action::RecordFirstValidation { .. }
            | Action::Settle { .. }
            | Action::SuspectSharing { .. }
            | Action::StartRoleLoss
            | Action::EndRoleLoss => Need::Program,
        }
    }

    fn owner(&self) -> Option<&Pseudonym> {
        self.owner.as_ref().map(|owner| &owner.id)
    }
}

impl Guarded for Guild {
    fn need(&self, command: &guild::Command) -> Need {
        use guild::Action;
        match &command.action {
            Action::Register { .. } | Action::Leave | Action::Rejoin | Action::DisableWebhook { .. } => {
                Need::Program
            }
            Action::ChangeSettings(_)
            | Action::DefineType { .. }
            | Action::ChangeType { .. }
            | Action::RetireType { .. }
            | Action::SetRule { .. }
            | Action::RemoveRule { .. }
            | Action::AddWebhook { .. }
            | Action::ChangeWebhook { .. }
            | Action::RemoveWebhook { .. } => MANAGE,
            Action::ChangeStaff { .. } | Action::IssueApiKey { .. } | Action::RevokeApiKey { .. } => {
                CREDENTIALS
            }
        }
    }
}

impl Guarded for Member {
    fn need(&self, command: &member::Command) -> Need {
        use member::Action;
        match &command.action {
            Action::Observe { .. } | Action::RecordDeliveryFailure { .. } => Need::Program,
            Action::Block { .. } => Need::Any(&[Permission::Revoke]),
            Action::Unblock { .. } => MANAGE,
        }
    }
}

impl Guarded for User {
    fn need(&self, command: &user::Command) -> Need {
        use user::Action;
        match &command.action {
            // Whoever is named in a command is known from then on.
            Action::Register { .. } => Need::Nothing,
            Action::ChangePreferences(_) => {
                Need::Person(self.person.as_ref().map(|person| person.id.clone()), &[])
            }
            Action::Ban | Action::Unban => Need::Any(&[Permission::Ban]),
            Action::Erase => Need::Any(&[Permission::Erase]),
            Action::ChangeProfile { .. } | Action::Return { .. } => Need::Program,
        }
    }
}

impl Guarded for Session {
    fn need(&self, command: &session::Command) -> Need {
        use session::Action;
        match &command.action {
            Action::Start { .. } => Need::Program,
            Action::End(_) => {
                let person = self.person.as_ref().map(|person| person.id.clone());
                Need::Person(person, &[Permission::Ban, Permission::Erase])
            }
        }
    }
}

impl Guarded for Platform {
    fn need(&self, command: &platform::Command) -> Need {
        use platform::Action;
        match &command.action {
            // Whoever is banned or erased loses his role with it.
            Action::ChangeRole { role: None, .. } => {
                Need::Any(&[Permission::PlatformRoles, Permission::Ban, Permission::Erase])
            }
            Action::ChangeRole { role: Some(_), .. } => Need::Any(&[Permission::PlatformRoles]),
            Action::Claim { .. } => Need::Program,
        }
    }
}
