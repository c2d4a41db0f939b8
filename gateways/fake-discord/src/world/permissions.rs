//! Permission bits and the hierarchy of roles, as topics/permissions of Discord's documentation computes them.
//! Looks only; decides nothing and changes nothing.

use std::cmp::Reverse;

use super::model::{Channel, Guild, Role};

pub(crate) const ADMINISTRATOR: u64 = 1 << 3;
pub(crate) const VIEW_CHANNEL: u64 = 1 << 10;
pub(crate) const SEND_MESSAGES: u64 = 1 << 11;
const EMBED_LINKS: u64 = 1 << 14;
const ATTACH_FILES: u64 = 1 << 15;
const READ_MESSAGE_HISTORY: u64 = 1 << 16;
pub(crate) const MANAGE_ROLES: u64 = 1 << 28;
const USE_APPLICATION_COMMANDS: u64 = 1 << 31;
/// Every bit that Discord has given a meaning.
pub(crate) const ALL: u64 = (1 << 53) - 1;
/// What @everyone may do in a new guild.
pub(crate) const EVERYONE: u64 = VIEW_CHANNEL
    | SEND_MESSAGES
    | EMBED_LINKS
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | USE_APPLICATION_COMMANDS;
/// What the bot's own role allows in a new guild.
pub(crate) const BOT: u64 = EVERYONE | MANAGE_ROLES;

/// What an account may do in a guild as a whole; nothing if it is no member.
pub(crate) fn in_guild(guild_id: u64, guild: &Guild, user: u64) -> u64 {
    let Some(member) = guild.members.get(&user) else { return 0 };
    if guild.owner_id == user {
        return ALL;
    }
    let of = |id: &u64| guild.roles.get(id).map_or(0, |role| role.permissions);
    let bits = member.roles.iter().map(of).fold(of(&guild_id), |all, bits| all | bits);
    if bits & ADMINISTRATOR == 0 { bits } else { ALL }
}

/// What an account may do in a channel.
pub(crate) fn in_channel(guild_id: u64, guild: &Guild, channel: &Channel, user: u64) -> u64 {
    let bits = in_guild(guild_id, guild, user);
    if bits & ADMINISTRATOR == 0 { bits & !channel.denied } else { bits }
}

/// Whether the account's highest role stands above this one. Of two at the same position the older is the higher.
pub(crate) fn is_above(guild_id: u64, guild: &Guild, user: u64, role_id: u64, role: &Role) -> bool {
    if guild.owner_id == user {
        return true;
    }
    let place = |id: u64, role: &Role| (role.position, Reverse(id));
    let own = guild.members.get(&user).into_iter().flat_map(|member| &member.roles);
    let highest =
        own.chain([&guild_id]).filter_map(|id| guild.roles.get(id).map(|role| place(*id, role))).max();
    highest.is_some_and(|highest| highest > place(role_id, role))
}
