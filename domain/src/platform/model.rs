//! What the platform's people are made of, what can be asked and what can have happened. The rules stand in `decide.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::aggregate::Refuse;
use crate::guild::StaffRole;
use crate::id::{InvalidId, Pseudonym};
use crate::private::{Private, PrivateFields};
use crate::time::Timestamp;

/// What a person is on the whole platform. A higher one may whatever a lower one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformRole {
    /// Reads everything.
    Auditor,
    /// Does in every guild what its admins do, and bans people.
    Admin,
    /// Gives and takes platform roles, too.
    Owner,
}

impl PlatformRole {
    /// From the lowest to the highest.
    pub const ALL: [Self; 3] = [Self::Auditor, Self::Admin, Self::Owner];

    /// The rank that he has in every guild by it.
    pub const fn rank(self) -> StaffRole {
        match self {
            Self::Auditor => StaffRole::Auditor,
            Self::Admin => StaffRole::Admin,
            Self::Owner => StaffRole::Owner,
        }
    }

    /// The word in events and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for PlatformRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PlatformRole {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| InvalidId::new(text, "a platform role (owner, admin or auditor)"))
    }
}

/// The platform's people: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Platform {
    /// Events applied.
    pub version: u64,
    /// Who has which role. Whoever is not in it has none.
    pub roles: BTreeMap<Pseudonym, PlatformRole>,
    /// How often the last owner went.
    pub ownerless: u32,
    /// Whom the last event was about.
    pub last: Option<Pseudonym>,
    /// When the last event happened.
    pub updated_at: Timestamp,
}

impl Platform {
    /// The role of a person, whatever else is true of him: of somebody who is banned or erased it counts for nothing.
    pub fn role(&self, user: &Pseudonym) -> Option<PlatformRole> {
        self.roles.get(user).copied()
    }

    /// Whether anybody is an owner.
    pub fn has_owner(&self) -> bool {
        self.roles.values().any(|role| *role == PlatformRole::Owner)
    }

    /// The number of the ownership that can be claimed; `None` while there is an owner.
    pub fn claimable(&self) -> Option<u32> {
        if self.has_owner() { None } else { Some(self.ownerless) }
    }
}

/// Who gives or takes a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Whoever has the data folder.
    Operator,
    /// A signed-in person; what he may, the platform itself knows.
    Person(Pseudonym),
}

/// What is true of the person who is to have a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// Nothing stands against it.
    Fit,
    /// He is banned.
    Banned,
    /// His personal data was destroyed.
    Erased,
}

/// What is asked of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Give a person a role, or take it with `None`; what he has already is no change.
    ChangeRole {
        /// Who.
        user: Pseudonym,
        /// Which from now on.
        role: Option<PlatformRole>,
        /// Who asks for it.
        by: By,
        /// What is true of the person.
        fitness: Fitness,
    },
    /// Make a person the owner of a platform that has none.
    Claim {
        /// Who.
        user: Pseudonym,
        /// The number of the ownership, as the claim says it.
        number: u32,
        /// What is true of the person.
        fitness: Fitness,
    },
}

/// A command to the platform: what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// What is asked.
    pub action: Action,
}

/// What happened to the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// A person has this role from now on.
    #[serde(rename = "platform.role_changed")]
    RoleChanged {
        /// Who.
        user: Pseudonym,
        /// Which; none any more if it is absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<PlatformRole>,
        /// When.
        at: Timestamp,
    },
    /// A person became the owner by the printed sign-in link.
    #[serde(rename = "platform.ownership_claimed")]
    OwnershipClaimed {
        /// Who.
        user: Pseudonym,
        /// Which claim it was: how often the platform had lost its last owner before.
        number: u32,
        /// When.
        at: Timestamp,
    },
}

crate::aggregate::wire_names!(Event {
    RoleChanged => "platform.role_changed", "1";
    OwnershipClaimed => "platform.ownership_claimed", "1";
});

impl PrivateFields for Event {
    fn private_fields(&mut self, _: &mut dyn FnMut(&str, &mut Private)) {
        match self {
            Self::RoleChanged { .. } | Self::OwnershipClaimed { .. } => {}
        }
    }
}

/// Why a command to the platform is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Whoever asks is no owner.
    #[error("only an owner of the platform gives and takes platform roles")]
    RankTooLow,
    /// Nobody else is an owner.
    #[error("this is the only owner of the platform")]
    LastOwner,
    /// The platform has an owner, or the claim is of another time.
    #[error("this sign-in link is void: somebody owns the platform, or owned it since it was printed")]
    ClaimVoid,
    /// A banned person gets no role.
    #[error("this user is banned")]
    Banned,
    /// An erased person gets no role.
    #[error("this user was erased")]
    Erased,
}

impl Refusal {
    /// Every code, each once, in alphabetical order.
    pub const CODES: &'static [&'static str] =
        &["CLAIM_VOID", "LAST_OWNER", "RANK_TOO_LOW", "USER_BANNED", "USER_ERASED"];
}

impl Refuse for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::RankTooLow => "RANK_TOO_LOW",
            Self::LastOwner => "LAST_OWNER",
            Self::ClaimVoid => "CLAIM_VOID",
            Self::Banned => "USER_BANNED",
            Self::Erased => "USER_ERASED",
        }
    }

    fn help(&self) -> String {
        match self {
            Self::RankTooLow => "Ask an owner of the platform.",
            Self::LastOwner => {
                "Make somebody else an owner first; whoever has the data folder can take the role with `dca-auth admin revoke`."
            }
            Self::ClaimVoid => {
                "Sign in without it; `dca-auth admin sign-in-link` prints the link that is good now, if there is one."
            }
            Self::Banned => "Lift the ban first.",
            Self::Erased => "The account is known again once its person signs in.",
        }
        .to_owned()
    }
}
