//! The objects of Discord's documentation, as JSON. Reads state, changes none.

use serde_json::{Value, json};

use super::model::{Account, Channel, Guild, Member, Message, Role};
use super::permissions;
use super::seed::BOT_NAME;
use super::state::State;
use crate::settings::{APPLICATION_ID, BOT_ID};
use crate::time::iso;

/// A user object.
pub(crate) fn user(state: &State, id: u64) -> Value {
    let unknown = Account { username: format!("user{id}"), ..Account::default() };
    let account = state.accounts.get(&id).unwrap_or(&unknown);
    let bot = account.bot || id == BOT_ID;
    let name =
        if id == BOT_ID && account.username.starts_with("user") { BOT_NAME } else { &account.username };
    let mut shape = json!({
        "id": id.to_string(), "username": name, "discriminator": if bot { "0000" } else { "0" }, "global_name": null,
        "avatar": null, "avatar_decoration_data": null, "banner": null, "accent_color": null, "public_flags": 0,
        "flags": 0,
    });
    if bot {
        shape["bot"] = json!(true);
    }
    shape
}

/// The user object of the bot itself, as `GET /users/@me` and READY have it.
pub(crate) fn current_bot(state: &State) -> Value {
    let mut shape = user(state, BOT_ID);
    shape["verified"] = json!(true);
    shape["email"] = Value::Null;
    shape["mfa_enabled"] = json!(true);
    shape
}

/// A guild member object with its user.
pub(crate) fn member(state: &State, id: u64, member: &Member) -> Value {
    json!({
        "user": user(state, id), "nick": null, "avatar": null, "banner": null,
        "roles": member.roles.iter().map(u64::to_string).collect::<Vec<_>>(), "joined_at": iso(member.joined_ms),
        "premium_since": null, "deaf": false, "mute": false, "flags": 0, "pending": false,
        "communication_disabled_until": null, "avatar_decoration_data": null,
    })
}

/// The data of GUILD_MEMBER_ADD and GUILD_MEMBER_UPDATE.
pub(crate) fn member_event(state: &State, guild: u64, id: u64, value: &Member) -> Value {
    let mut shape = member(state, id, value);
    shape["guild_id"] = json!(guild.to_string());
    shape
}

/// A role object.
pub(crate) fn role(id: u64, role: &Role) -> Value {
    let mut shape = json!({
        "id": id.to_string(), "name": role.name, "color": 0,
        "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null}, "hoist": false, "icon": null,
        "unicode_emoji": null, "position": role.position, "permissions": role.permissions.to_string(),
        "managed": role.managed, "mentionable": false, "flags": 0,
    });
    if let Some(bot) = role.bot_id {
        shape["tags"] = json!({"bot_id": bot.to_string()});
    }
    shape
}

/// The roles of a guild.
pub(crate) fn roles(guild: &Guild) -> Vec<Value> {
    guild.roles.iter().map(|(id, value)| role(*id, value)).collect()
}

/// A text channel object.
pub(crate) fn channel(guild_id: u64, id: u64, channel: &Channel) -> Value {
    let overwrites = if channel.denied == 0 {
        json!([])
    } else {
        json!([{"id": guild_id.to_string(), "type": 0, "allow": "0", "deny": channel.denied.to_string()}])
    };
    json!({
        "id": id.to_string(), "type": 0, "guild_id": guild_id.to_string(), "name": channel.name, "topic": null,
        "position": channel.position, "permission_overwrites": overwrites, "nsfw": false, "parent_id": null,
        "last_message_id": null, "rate_limit_per_user": 0, "flags": 0,
    })
}

/// A direct-message channel object.
pub(crate) fn dm_channel(state: &State, id: u64, recipient: u64) -> Value {
    let last = state.messages.get(&id).and_then(|messages| messages.keys().next_back());
    json!({
        "id": id.to_string(), "type": 1, "last_message_id": last.map(u64::to_string), "flags": 0,
        "recipients": [user(state, recipient)],
    })
}

/// A guild object as REST has it.
pub(crate) fn guild(id: u64, guild: &Guild) -> Value {
    json!({
        "id": id.to_string(), "name": guild.name, "icon": null, "splash": null, "discovery_splash": null,
        "owner_id": guild.owner_id.to_string(), "afk_channel_id": null, "afk_timeout": 300,
        "verification_level": 0, "default_message_notifications": 0, "explicit_content_filter": 0,
        "roles": roles(guild), "emojis": [], "features": [], "mfa_level": 0, "application_id": null,
        "system_channel_id": null, "system_channel_flags": 0, "rules_channel_id": null, "max_members": 500_000,
        "vanity_url_code": null, "description": null, "banner": null, "premium_tier": 0,
        "premium_subscription_count": 0, "preferred_locale": "en-US", "public_updates_channel_id": null,
        "nsfw_level": 0, "stickers": [], "premium_progress_bar_enabled": false, "safety_alerts_channel_id": null,
    })
}

/// The data of GUILD_CREATE. Without the presence intent only the bot's own membership is in it.
pub(crate) fn guild_create(state: &State, id: u64, value: &Guild) -> Value {
    let mut shape = guild(id, value);
    let own = value.members.get(&BOT_ID);
    let channels: Vec<Value> = value.channels.iter().map(|(c, v)| channel(id, *c, v)).collect();
    let extra = json!({
        "joined_at": iso(own.map_or(0, |own| own.joined_ms)), "large": value.members.len() > 250,
        "unavailable": false, "member_count": value.members.len(), "voice_states": [],
        "members": own.map(|own| vec![member(state, BOT_ID, own)]).unwrap_or_default(), "channels": channels,
        "threads": [], "presences": [], "stage_instances": [], "guild_scheduled_events": [],
        "soundboard_sounds": [],
    });
    if let (Value::Object(shape), Value::Object(extra)) = (&mut shape, extra) {
        shape.extend(extra);
    }
    shape
}

/// A message object.
pub(crate) fn message(state: &State, message: &Message) -> Value {
    let mut shape = json!({
        "id": message.id.to_string(), "channel_id": message.channel_id.to_string(),
        "author": user(state, message.author_id), "content": message.content, "timestamp": iso(message.sent_ms),
        "edited_timestamp": message.edited_ms.map(iso), "tts": false, "mention_everyone": false, "mentions": [],
        "mention_roles": [], "attachments": or_empty(&message.attachments), "embeds": or_empty(&message.embeds),
        "pinned": false, "type": if message.interaction.is_some() { 20 } else { 0 }, "flags": message.flags,
        "components": or_empty(&message.components),
    });
    if let Some(nonce) = &message.nonce {
        shape["nonce"] = nonce.clone();
    }
    if let Some(answered) = message.reply_to {
        shape["type"] = json!(19);
        shape["message_reference"] = json!({
            "type": 0, "message_id": answered.to_string(), "channel_id": message.channel_id.to_string(),
        });
    }
    if let Some(interaction) = &message.interaction {
        shape["interaction_metadata"] = interaction.clone();
        shape["application_id"] = json!(APPLICATION_ID.to_string());
        shape["webhook_id"] = json!(APPLICATION_ID.to_string());
    }
    shape
}

/// A guild of `GET /users/@me/guilds`, as this account sees it.
pub(crate) fn partial_guild(id: u64, guild: &Guild, user: u64) -> Value {
    json!({
        "id": id.to_string(), "name": guild.name, "icon": null, "banner": null, "owner": guild.owner_id == user,
        "permissions": permissions::in_guild(id, guild, user).to_string(), "features": [],
        "approximate_member_count": guild.members.len(), "approximate_presence_count": guild.members.len(),
    })
}

fn or_empty(value: &Value) -> Value {
    if value.is_null() { json!([]) } else { value.clone() }
}
