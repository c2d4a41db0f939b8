//! Who may what: every permission with what gives it, in one table. Ranks, scopes and roles are given elsewhere; here is only
//! what each is good for. What a permission lets somebody do is the matter of whoever asks for it.

use crate::credential::Scope;
use crate::guild::StaffRole;
use crate::platform::PlatformRole;

#[cfg(test)]
mod tests;

/// Something that not everybody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// See licenses, devices, history, types, rules, members.
    Read,
    /// See the events of a guild, and take them out with their proof.
    Audit,
    /// Hold licenses, and let them go on.
    Moderate,
    /// Rename and free devices.
    Devices,
    /// Issue offline licenses.
    Certify,
    /// Make, assign, renew, rekey and change licenses; types, rules, members and settings.
    Manage,
    /// Hand a license on: staff at once, the owner by an offer.
    Transfer,
    /// End licenses for good.
    Revoke,
    /// Read the feed of a guild's events.
    Events,
    /// See the keys of many licenses.
    Reveal,
    /// See the key of one license.
    RevealOne,
    /// Let removals happen that the brake held back.
    Confirm,
    /// Issue and revoke API keys, give and take ranks.
    Credentials,
    /// See checkpoints of the whole log.
    Checkpoints,
    /// Have events of the whole log proved.
    Prove,
    /// See who is known.
    Users,
    /// Ban people, and lift bans.
    Ban,
    /// Erase people.
    Erase,
    /// Give and take platform roles.
    PlatformRoles,
}

/// What gives a permission. Any of it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenBy {
    /// This rank in the guild, or a higher one; `None` is no rank.
    pub rank: Option<StaffRole>,
    /// This scope of a secret key, in its guild; `None` is no key, whatever its scopes.
    pub scope: Option<Scope>,
    /// This role on the platform, or a higher one.
    pub platform: PlatformRole,
    /// Whether the owner of a license has it for that license.
    pub owner: bool,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 19] = [
        Self::Read,
        Self::Audit,
        Self::Moderate,
        Self::Devices,
        Self::Certify,
        Self::Manage,
        Self::Transfer,
        Self::Revoke,
        Self::Events,
        Self::Reveal,
        Self::RevealOne,
        Self::Confirm,
        Self::Credentials,
        Self::Checkpoints,
        Self::Prove,
        Self::Users,
        Self::Ban,
        Self::Erase,
        Self::PlatformRoles,
    ];

    /// The table.
    pub const fn given_by(self) -> GivenBy {
        use PlatformRole as Platform;
        use StaffRole::{Admin, Auditor, Moderator};
        match self {
            Self::Read => in_guild(Auditor, Some(Scope::LicensesRead), true),
            Self::Audit => in_guild(Auditor, Some(Scope::AuditRead), false),
            Self::Moderate => in_guild(Moderator, Some(Scope::LicensesWrite), false),
            Self::Devices => in_guild(Moderator, Some(Scope::LicensesWrite), true),
            Self::Certify => in_guild(Moderator, Some(Scope::Certificate), true),
            Self::Manage => in_guild(Admin, Some(Scope::LicensesWrite), false),
            Self::Transfer => in_guild(Admin, Some(Scope::LicensesWrite), true),
            Self::Revoke | Self::Confirm => in_guild(Admin, Some(Scope::LicensesRevoke), false),
            Self::Events => in_guild(Auditor, Some(Scope::EventsRead), false),
            Self::Reveal => in_guild(Admin, Some(Scope::LicensesReveal), false),
            Self::RevealOne => in_guild(Admin, Some(Scope::LicensesReveal), true),
            Self::Credentials => in_guild(Admin, None, false),
            Self::Checkpoints => on_platform(Platform::Auditor, Some(Scope::AuditRead)),
            Self::Prove | Self::Users => on_platform(Platform::Auditor, None),
            Self::Ban | Self::Erase => on_platform(Platform::Admin, None),
            Self::PlatformRoles => on_platform(Platform::Owner, None),
        }
    }

    /// Whether a rank in the guild gives it.
    pub fn is_of_rank(self, rank: StaffRole) -> bool {
        self.given_by().rank.is_some_and(|least| rank >= least)
    }

    /// Whether a role on the platform gives it.
    pub fn is_of_platform(self, role: PlatformRole) -> bool {
        role >= self.given_by().platform
    }
}

/// A right inside a guild. The lowest role on the platform whose rank is enough has it everywhere.
const fn in_guild(rank: StaffRole, scope: Option<Scope>, owner: bool) -> GivenBy {
    let platform = match rank {
        StaffRole::Auditor => PlatformRole::Auditor,
        StaffRole::Moderator | StaffRole::Admin => PlatformRole::Admin,
        StaffRole::Owner => PlatformRole::Owner,
    };
    GivenBy { rank: Some(rank), scope, platform, owner }
}

/// A right over everything.
const fn on_platform(platform: PlatformRole, scope: Option<Scope>) -> GivenBy {
    GivenBy { rank: None, scope, platform, owner: false }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u32);

impl Permissions {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// Those for which `has` is true.
    pub fn of(has: impl Fn(Permission) -> bool) -> Self {
        let bit = |permission: Permission| 1 << permission as u32;
        Self(Permission::ALL.into_iter().filter(|permission| has(*permission)).map(bit).sum())
    }

    /// What a rank in a guild gives there.
    pub fn of_rank(rank: StaffRole) -> Self {
        Self::of(|permission| permission.is_of_rank(rank))
    }

    /// What scopes of a key give in its guild.
    pub fn of_scopes(has: impl Fn(Scope) -> bool) -> Self {
        Self::of(|permission| permission.given_by().scope.is_some_and(&has))
    }

    /// What a role on the platform gives everywhere.
    pub fn of_platform(role: PlatformRole) -> Self {
        Self::of(|permission| permission.is_of_platform(role))
    }

    /// What the owner of a license may with it.
    pub fn of_owner() -> Self {
        Self::of(|permission| permission.given_by().owner)
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it holds a permission.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 >> permission as u32 & 1 == 1
    }

    /// Whether it holds whatever `other` holds.
    pub const fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
