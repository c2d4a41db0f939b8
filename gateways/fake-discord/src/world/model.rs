//! The things that exist, as they are kept. Plain data: no rule of Discord is applied here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) bot: bool,
    pub(crate) dms_closed: bool,
}

/// A guild, whether or not the bot is in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Guild {
    pub(crate) name: String,
    pub(crate) owner_id: u64,
    pub(crate) outage: bool,
    pub(crate) channels: BTreeMap<u64, Channel>,
    pub(crate) roles: BTreeMap<u64, Role>,
    pub(crate) members: BTreeMap<u64, Member>,
    /// Accounts that were members once and are not now.
    pub(crate) former: BTreeSet<u64>,
}

/// A text channel.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) position: i64,
    /// Permission bits that the channel denies to everyone.
    pub(crate) denied: u64,
}

/// A role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) position: i64,
    pub(crate) permissions: u64,
    pub(crate) managed: bool,
    /// The bot whose own role it is.
    pub(crate) bot_id: Option<u64>,
}

/// A membership.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) roles: BTreeSet<u64>,
    pub(crate) joined_ms: i64,
}

/// A message in a text or direct-message channel, or an ephemeral one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) channel_id: u64,
    pub(crate) author_id: u64,
    pub(crate) content: String,
    pub(crate) embeds: Value,
    pub(crate) components: Value,
    pub(crate) attachments: Value,
    pub(crate) flags: u64,
    pub(crate) nonce: Option<Value>,
    pub(crate) sent_ms: i64,
    pub(crate) edited_ms: Option<i64>,
    /// The id of the message that it answers.
    pub(crate) reply_to: Option<u64>,
    /// The `interaction_metadata` of an answer to an interaction.
    pub(crate) interaction: Option<Value>,
}

/// Sent only to who caused it.
pub(crate) const FLAG_EPHEMERAL: u64 = 1 << 6;
/// "… is thinking": a deferred answer that has not come.
pub(crate) const FLAG_LOADING: u64 = 1 << 7;
/// The message consists of components of the second version.
pub(crate) const FLAG_COMPONENTS_V2: u64 = 1 << 15;

/// A registered application command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    /// `None` is a global command.
    pub(crate) guild_id: Option<u64>,
    /// The object as Discord shows it.
    pub(crate) body: Value,
}

/// What an account allowed the application through OAuth2.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) user_id: u64,
    pub(crate) scopes: Vec<String>,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) expires_ms: i64,
}
