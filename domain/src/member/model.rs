//! What a member is made of and what can be asked of one. The rules stand in `decide.rs` beside this file;
//! which slots change is planned by `crate::roles`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::guild::RuleId;
use crate::id::{GuildId, LicenseId, RoleId};
use crate::private::Person;
use crate::time::Timestamp;

/// Where a license that comes from roles lives. It is open from its first source until its license is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// 1 for the first license of the slot.
    pub generation: u32,
    /// The license of this generation.
    pub license_id: LicenseId,
    /// Rules that give it, sorted.
    pub sources: BTreeSet<RuleId>,
    /// Whether a live license belongs here.
    pub open: bool,
    /// Whether staff must unblock it before a source opens it again.
    pub blocked: bool,
}

/// A member: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Member {
    /// Events applied.
    pub version: u64,
    /// The tenant; `None` before the first event.
    pub guild: Option<GuildId>,
    /// Who.
    pub person: Option<Person>,
    /// Whether he is in the guild.
    pub present: bool,
    /// Mapped and watched roles as last observed.
    pub roles: BTreeSet<RoleId>,
    /// When they were observed.
    pub observed_at: Timestamp,
    /// Slots by slug of their type.
    pub slots: BTreeMap<String, Slot>,
    /// Whether the last direct message could not be delivered.
    pub undeliverable: bool,
    /// When he was first seen.
    pub created_at: Timestamp,
    /// When he last changed.
    pub updated_at: Timestamp,
}

/// A change of one slot, as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotChange {
    /// Its first source, or its first after the last license was revoked.
    Open {
        /// Slug of the type.
        license_type: String,
        /// One more than before.
        generation: u32,
        /// The license of this generation.
        license_id: LicenseId,
        /// The sources it opens with.
        sources: BTreeSet<RuleId>,
    },
    /// One more source.
    AddSource {
        /// Slug of the type.
        license_type: String,
        /// Which.
        rule: RuleId,
    },
    /// One source less.
    RemoveSource {
        /// Slug of the type.
        license_type: String,
        /// Which.
        rule: RuleId,
    },
    /// Its license was revoked because its roles are gone.
    Close {
        /// Slug of the type.
        license_type: String,
    },
    /// Its license was revoked for another reason and the slot was left open: close it and block it.
    Block {
        /// Slug of the type.
        license_type: String,
    },
}

/// What is asked of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Take what was observed on Discord, with the changes that were planned from it.
    Observe {
        /// The tenant.
        guild: GuildId,
        /// Who.
        person: Person,
        /// Whether he is in the guild.
        present: bool,
        /// His mapped and watched roles.
        roles: BTreeSet<RoleId>,
        /// When that was observed.
        observed_at: Timestamp,
        /// Planned from it.
        changes: Vec<SlotChange>,
    },
    /// The slot's license was revoked by staff: close it and let no source open it.
    Block {
        /// Slug of the type.
        license_type: String,
    },
    /// Let sources open the slot again.
    Unblock {
        /// Slug of the type.
        license_type: String,
    },
    /// A direct message could not be delivered.
    RecordDeliveryFailure {
        /// Discord's code.
        code: u32,
    },
}

/// A command to a member: what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// What is asked.
    pub action: Action,
}
