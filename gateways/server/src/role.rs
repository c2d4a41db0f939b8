//! What a process does: all of it, or a part of what several processes do together. Nothing here starts anything.

use std::str::FromStr;

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Answers the API.
    Api,
    /// Speaks with Discord; of several, one owns each shard.
    Bot,
    /// Keeps the read models, and copies events to NATS.
    Projector,
    /// Does what the clock has made due; of several, one does it at a time.
    Worker,
}

impl Role {
    const ALL: [Self; 4] = [Self::Api, Self::Bot, Self::Projector, Self::Worker];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Bot => "bot",
            Self::Projector => "projector",
            Self::Worker => "worker",
        }
    }
}

impl FromStr for Role {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// The roles of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(Vec<Role>);

impl Roles {
    /// Every role.
    pub(crate) fn all() -> Self {
        Self(Role::ALL.to_vec())
    }

    /// These; all of them if none is named.
    pub(crate) fn of(named: Vec<Role>) -> Self {
        if named.is_empty() { Self::all() } else { Self(named) }
    }

    /// Whether the process has this one.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether the process does everything.
    pub(crate) fn is_whole(&self) -> bool {
        Role::ALL.iter().all(|role| self.has(*role))
    }

    /// Their names, in the order of the documentation.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        Role::ALL.iter().filter(|role| self.has(**role)).map(|role| role.as_str()).collect()
    }
}
