//! What can have happened to a member. Wire names of events and their members never change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::guild::RuleId;
use crate::id::{GuildId, LicenseId, RoleId};
use crate::private::{Person, Private, PrivateFields};
use crate::time::Timestamp;

/// What happened to a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// He was first seen with a mapped or watched role.
    #[serde(rename = "member.joined")]
    Joined {
        /// The tenant.
        guild_id: GuildId,
        /// Who.
        person: Person,
        /// When.
        at: Timestamp,
    },
    /// His mapped and watched roles are these from now on.
    #[serde(rename = "member.roles_changed")]
    RolesChanged {
        /// All of them.
        roles: BTreeSet<RoleId>,
        /// Those that he did not have.
        added: BTreeSet<RoleId>,
        /// Those that he has no more.
        removed: BTreeSet<RoleId>,
        /// When they were observed.
        observed_at: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A slot was opened.
    #[serde(rename = "member.slot_opened")]
    SlotOpened {
        /// Slug of the type.
        license_type: String,
        /// Its generation.
        generation: u32,
        /// Its license.
        license_id: LicenseId,
        /// The rules that opened it.
        sources: BTreeSet<RuleId>,
        /// When.
        at: Timestamp,
    },
    /// One more rule gives the slot.
    #[serde(rename = "member.source_added")]
    SourceAdded {
        /// Slug of the type.
        license_type: String,
        /// Which.
        rule_id: RuleId,
        /// When.
        at: Timestamp,
    },
    /// One rule less gives the slot.
    #[serde(rename = "member.source_removed")]
    SourceRemoved {
        /// Slug of the type.
        license_type: String,
        /// Which.
        rule_id: RuleId,
        /// Whether it was the last.
        last: bool,
        /// When.
        at: Timestamp,
    },
    /// The slot's license was revoked.
    #[serde(rename = "member.slot_closed")]
    SlotClosed {
        /// Slug of the type.
        license_type: String,
        /// Its generation.
        generation: u32,
        /// When.
        at: Timestamp,
    },
    /// The slot stays closed until staff unblock it.
    #[serde(rename = "member.slot_blocked")]
    SlotBlocked {
        /// Slug of the type.
        license_type: String,
        /// When.
        at: Timestamp,
    },
    /// Sources may open the slot again.
    #[serde(rename = "member.slot_unblocked")]
    SlotUnblocked {
        /// Slug of the type.
        license_type: String,
        /// When.
        at: Timestamp,
    },
    /// He left the guild.
    #[serde(rename = "member.left")]
    Left {
        /// When.
        at: Timestamp,
    },
    /// He came back.
    #[serde(rename = "member.rejoined")]
    Rejoined {
        /// When.
        at: Timestamp,
    },
    /// A direct message could not be delivered.
    #[serde(rename = "member.delivery_failed")]
    DeliveryFailed {
        /// Discord's code.
        code: u32,
        /// When.
        at: Timestamp,
    },
}

crate::aggregate::wire_names!(Event {
    Joined => "member.joined", "1";
    RolesChanged => "member.roles_changed", "1";
    SlotOpened => "member.slot_opened", "1";
    SourceAdded => "member.source_added", "1";
    SourceRemoved => "member.source_removed", "1";
    SlotClosed => "member.slot_closed", "1";
    SlotBlocked => "member.slot_blocked", "1";
    SlotUnblocked => "member.slot_unblocked", "1";
    Left => "member.left", "1";
    Rejoined => "member.rejoined", "1";
    DeliveryFailed => "member.delivery_failed", "1";
});

impl PrivateFields for Event {
    fn private_fields(&mut self, visit: &mut dyn FnMut(&str, &mut Private)) {
        match self {
            Self::Joined { person, .. } => visit("person.discordId", &mut person.discord_id),
            Self::RolesChanged { .. }
            | Self::SlotOpened { .. }
            | Self::SourceAdded { .. }
            | Self::SourceRemoved { .. }
            | Self::SlotClosed { .. }
            | Self::SlotBlocked { .. }
            | Self::SlotUnblocked { .. }
            | Self::Left { .. }
            | Self::Rejoined { .. }
            | Self::DeliveryFailed { .. } => {}
        }
    }
}
