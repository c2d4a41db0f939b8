//! Makes the first guilds: from the world of the settings, or one at a time. Adds what no guild of the bot is
//! without: @everyone, the owner, the bot with its managed role, two channels. Sends no frame.

use std::collections::BTreeSet;

use super::model::{Account, Channel, Member, Role};
use super::permissions;
use super::state::{Change, State};
use crate::settings::{BOT_ID, World, WorldGuild};
use crate::time;

/// The bot's role and its account name.
pub(crate) const BOT_NAME: &str = "DCA-Auth";
const CHANNELS: [&str; 2] = ["general", "license-log"];
/// Where the bot's role stands at least, so that roles made later find room below it.
const BOT_ROLE_POSITION: i64 = 100;

/// The state a world describes.
pub(crate) fn state_of(world: &World, now_ms: i64) -> State {
    let mut state = State::default();
    for guild in &world.guilds {
        for change in guild_changes(&state, guild, now_ms) {
            state.apply(change);
        }
    }
    state
}

/// The changes that make one guild.
pub(crate) fn guild_changes(state: &State, guild: &WorldGuild, now_ms: i64) -> Vec<Change> {
    let id = guild.id;
    let mut last = last_id(state, guild);
    let mut next = || {
        last = time::snowflake(now_ms, last);
        last
    };
    let mut changes =
        vec![Change::Guild { id, name: guild.name.clone(), owner_id: guild.owner_id, outage: false }];
    let everyone =
        Role { name: "@everyone".to_owned(), permissions: permissions::EVERYONE, ..Role::default() };
    changes.push(Change::Role { guild: id, id, role: everyone });
    for role in &guild.roles {
        let made = Role {
            name: role.name.clone(),
            position: role.position,
            permissions: role.permissions,
            managed: role.managed,
            bot_id: None,
        };
        changes.push(Change::Role { guild: id, id: role.id, role: made });
    }
    let named = |name: &str, position: usize| Channel {
        name: name.to_owned(),
        position: i64::try_from(position).unwrap_or_default(),
        denied: 0,
    };
    for (i, channel) in guild.channels.iter().enumerate() {
        changes.push(Change::Channel { guild: id, id: channel.id, channel: named(&channel.name, i) });
    }
    if guild.channels.is_empty() {
        for (i, name) in CHANNELS.iter().enumerate() {
            changes.push(Change::Channel { guild: id, id: next(), channel: named(name, i) });
        }
    }
    changes.extend(member_changes(state, guild, now_ms));
    if !guild.members.iter().any(|member| member.id == BOT_ID) {
        let highest = guild.roles.iter().map(|role| role.position).max().unwrap_or(0);
        changes.extend(bot_changes(id, next(), highest, now_ms));
    }
    changes
}

fn last_id(state: &State, guild: &WorldGuild) -> u64 {
    let roles = guild.roles.iter().map(|role| role.id);
    let channels = guild.channels.iter().map(|channel| channel.id);
    let members = guild.members.iter().map(|member| member.id);
    roles.chain(channels).chain(members).chain([guild.id, state.last_id]).max().unwrap_or(0)
}

fn member_changes(state: &State, guild: &WorldGuild, now_ms: i64) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut members = Vec::new();
    for member in &guild.members {
        if !state.accounts.contains_key(&member.id) {
            let account =
                Account { username: member.username.clone(), bot: member.bot, ..Account::default() };
            changes.push(Change::Account { id: member.id, account });
        }
        let roles: BTreeSet<u64> = member.roles.iter().copied().collect();
        members.push((member.id, Member { roles, joined_ms: now_ms }));
    }
    let owner = guild.owner_id;
    if owner != 0 && !guild.members.iter().any(|member| member.id == owner) {
        if !state.accounts.contains_key(&owner) {
            let account = Account { username: format!("user{owner}"), ..Account::default() };
            changes.push(Change::Account { id: owner, account });
        }
        members.push((owner, Member { roles: BTreeSet::new(), joined_ms: now_ms }));
    }
    changes.push(Change::Members { guild: guild.id, members });
    changes
}

/// The bot comes into a guild, with a managed role above every other.
pub(crate) fn bot_changes(guild: u64, role_id: u64, highest: i64, now_ms: i64) -> Vec<Change> {
    let account = Account { username: BOT_NAME.to_owned(), bot: true, dms_closed: false };
    let role = Role {
        name: BOT_NAME.to_owned(),
        position: BOT_ROLE_POSITION.max(highest.saturating_add(1)),
        permissions: permissions::BOT,
        managed: true,
        bot_id: Some(BOT_ID),
    };
    let member = Member { roles: BTreeSet::from([role_id]), joined_ms: now_ms };
    vec![
        Change::Account { id: BOT_ID, account },
        Change::Role { guild, id: role_id, role },
        Change::Members { guild, members: vec![(BOT_ID, member)] },
    ]
}
