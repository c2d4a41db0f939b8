//! All durable state and the only ways to change it. Memory and file cannot diverge, because both are made of the
//! same changes: a change is written, then applied. Never sends a frame and never checks a permission.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{Account, Channel, Command, Grant, Guild, Member, Message, Role};

/// A channel keeps this many messages; older ones are forgotten.
pub(crate) const MESSAGES_PER_CHANNEL: usize = 5_000;

/// Everything that survives a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The highest id seen; the next one is above it.
    pub(crate) last_id: u64,
    pub(crate) accounts: BTreeMap<u64, Account>,
    pub(crate) guilds: BTreeMap<u64, Guild>,
    /// Direct-message channel → the account at its other end.
    pub(crate) dm_channels: BTreeMap<u64, u64>,
    /// Channel → message id → message.
    pub(crate) messages: BTreeMap<u64, BTreeMap<u64, Message>>,
    pub(crate) commands: BTreeMap<u64, Command>,
    /// Role-connection metadata records of the application.
    pub(crate) role_metadata: Vec<Value>,
    /// Account → its role connection with the application.
    pub(crate) connections: BTreeMap<u64, Value>,
    pub(crate) grants: BTreeMap<u64, Grant>,
    /// Entitlement objects as Discord shows them.
    pub(crate) entitlements: BTreeMap<u64, Value>,
}

/// One step of durable state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    Account {
        id: u64,
        account: Account,
    },
    Guild {
        id: u64,
        name: String,
        owner_id: u64,
        outage: bool,
    },
    Channel {
        guild: u64,
        id: u64,
        channel: Channel,
    },
    Role {
        guild: u64,
        id: u64,
        role: Role,
    },
    /// Also takes the role from every member.
    RoleGone {
        guild: u64,
        id: u64,
    },
    Members {
        guild: u64,
        members: Vec<(u64, Member)>,
    },
    MemberGone {
        guild: u64,
        user: u64,
    },
    DmChannel {
        id: u64,
        user: u64,
    },
    Message(Box<Message>),
    MessageGone {
        channel: u64,
        id: u64,
    },
    Command {
        id: u64,
        command: Command,
    },
    CommandGone {
        id: u64,
    },
    RoleMetadata(Vec<Value>),
    Connection {
        user: u64,
        connection: Value,
    },
    Grant {
        id: u64,
        grant: Grant,
    },
    GrantGone {
        id: u64,
    },
    Entitlement {
        id: u64,
        entitlement: Value,
    },
    EntitlementGone {
        id: u64,
    },
    /// Its messages go with it.
    ChannelGone {
        guild: u64,
        id: u64,
    },
}

impl State {
    /// Makes a change; one that names something unknown changes nothing.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Account { id, account } => {
                self.saw(id);
                self.accounts.insert(id, account);
            }
            Change::DmChannel { id, user } => {
                self.saw(id);
                self.dm_channels.insert(id, user);
            }
            Change::Message(message) => self.keep_message(*message),
            Change::MessageGone { channel, id } => {
                if let Some(messages) = self.messages.get_mut(&channel) {
                    messages.remove(&id);
                }
            }
            Change::Command { id, command } => {
                self.saw(id);
                self.commands.insert(id, command);
            }
            Change::CommandGone { id } => {
                self.commands.remove(&id);
            }
            Change::RoleMetadata(records) => self.role_metadata = records,
            Change::Connection { user, connection } => {
                self.connections.insert(user, connection);
            }
            Change::Grant { id, grant } => {
                self.saw(id);
                self.grants.insert(id, grant);
            }
            Change::GrantGone { id } => {
                self.grants.remove(&id);
            }
            Change::Entitlement { id, entitlement } => {
                self.saw(id);
                self.entitlements.insert(id, entitlement);
            }
            Change::EntitlementGone { id } => {
                self.entitlements.remove(&id);
            }
            other => self.apply_to_guild(other),
        }
    }

    fn apply_to_guild(&mut self, change: Change) {
        match change {
            Change::Guild { id, name, owner_id, outage } => {
                self.saw(id);
                let guild = self.guilds.entry(id).or_default();
                (guild.name, guild.owner_id, guild.outage) = (name, owner_id, outage);
            }
            Change::Channel { guild, id, channel } => {
                self.saw(id);
                if let Some(guild) = self.guilds.get_mut(&guild) {
                    guild.channels.insert(id, channel);
                }
            }
            Change::ChannelGone { guild, id } => {
                if let Some(guild) = self.guilds.get_mut(&guild) {
                    guild.channels.remove(&id);
                }
                self.messages.remove(&id);
            }
            Change::Role { guild, id, role } => {
                self.saw(id);
                if let Some(guild) = self.guilds.get_mut(&guild) {
                    guild.roles.insert(id, role);
                }
            }
            Change::RoleGone { guild, id } => {
                if let Some(guild) = self.guilds.get_mut(&guild) {
                    guild.roles.remove(&id);
                    for member in guild.members.values_mut() {
                        member.roles.remove(&id);
                    }
                }
            }
            Change::Members { guild, members } => {
                for (id, member) in members {
                    self.saw(id);
                    if let Some(guild) = self.guilds.get_mut(&guild) {
                        guild.former.remove(&id);
                        guild.members.insert(id, member);
                    }
                }
            }
            Change::MemberGone { guild, user } => {
                if let Some(guild) = self.guilds.get_mut(&guild) {
                    guild.members.remove(&user);
                    guild.former.insert(user);
                }
            }
            _ => {}
        }
    }

    fn saw(&mut self, id: u64) {
        self.last_id = self.last_id.max(id);
    }

    fn keep_message(&mut self, message: Message) {
        self.saw(message.id);
        let messages = self.messages.entry(message.channel_id).or_default();
        messages.insert(message.id, message);
        while messages.len() > MESSAGES_PER_CHANNEL {
            messages.pop_first();
        }
    }

    /// The account's direct-message channel with the bot.
    pub(crate) fn dm_channel_of(&self, user: u64) -> Option<u64> {
        self.dm_channels.iter().find(|(_, owner)| **owner == user).map(|(id, _)| *id)
    }

    /// The guild of a text channel.
    pub(crate) fn guild_of_channel(&self, channel: u64) -> Option<u64> {
        self.guilds.iter().find(|(_, guild)| guild.channels.contains_key(&channel)).map(|(id, _)| *id)
    }
}
