//! The demo's server as the simulated Discord has it at its first start: the same roles and people, each with the roles
//! that he has at the end of the story, so that the two agree.

use std::collections::BTreeMap;

use fake_discord::{World, WorldChannel, WorldGuild, WorldMember, WorldRole};

use super::cast::{self, GENERAL_CHANNEL, GUILD, GUILD_NAME, LOG_CHANNEL, MEMBERS, ROLES, member};
use super::script::{Step, script};

/// Discord's permission bit MANAGE_GUILD, which the role Admin has.
const MANAGE_GUILD: u64 = 1 << 5;

/// The server.
pub(crate) fn world() -> World {
    let mut last: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (_, step) in script() {
        if let Step::Observe(name, roles) = step {
            last.insert(name, roles.iter().map(|role| cast::role(role).0).collect());
        }
    }
    let members = MEMBERS.iter().map(|name| WorldMember {
        id: member(name).0,
        username: (*name).to_owned(),
        roles: last.remove(name).unwrap_or_default(),
        bot: false,
    });
    let roles = ROLES.iter().zip(1..).map(|((name, id), position)| WorldRole {
        id: id.0,
        name: (*name).to_owned(),
        position,
        permissions: if *name == "Admin" { MANAGE_GUILD } else { 0 },
        managed: false,
    });
    let channel = |id: domain::id::ChannelId, name: &str| WorldChannel { id: id.0, name: name.to_owned() };
    let guild = WorldGuild {
        id: GUILD.0,
        name: GUILD_NAME.to_owned(),
        owner_id: member(cast::OWNER).0,
        channels: vec![channel(GENERAL_CHANNEL, "general"), channel(LOG_CHANNEL, "license-log")],
        roles: roles.collect(),
        members: members.collect(),
    };
    World { guilds: vec![guild] }
}
