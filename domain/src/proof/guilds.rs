//! The list of guilds under a checkpoint: how many events of each are in the log, and the root over them. It is a tree
//! itself, so that one guild's line can be proved without showing another's. Nothing here reads it from anywhere.

use serde::{Deserialize, Serialize};

use crate::id::GuildId;
use crate::merkle::{Hash, leaf_hash, root_of};

/// A guild's tree as a checkpoint has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuildHead {
    /// Which guild.
    pub guild_id: GuildId,
    /// Its events.
    pub size: u64,
    /// The root over their records.
    pub root: Hash,
}

impl GuildHead {
    /// The hash of its line in the list: `<guild id> <size> <root>`.
    pub fn leaf(&self) -> Hash {
        leaf_hash(format!("{} {} {}", self.guild_id, self.size, self.root).as_bytes())
    }
}

/// The root over `heads`, which stand in the order of their guild ids as numbers.
pub fn guilds_root<'a>(heads: impl IntoIterator<Item = &'a GuildHead>) -> Hash {
    root_of(heads.into_iter().map(GuildHead::leaf))
}
