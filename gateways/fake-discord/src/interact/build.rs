//! Makes interactions: what somebody does in a client becomes the object that Discord sends to the application.
//! Sends nothing.

use std::time::Instant;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::options::{self, Wrong};
use super::{AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Pending};
use crate::hub::Inner;
use crate::rest::components;
use crate::settings::{APPLICATION_ID, BOT_ID};
use crate::world::model::{Guild, Message};
use crate::world::{permissions, shapes};

/// What is done, and by whom.
pub(crate) struct Doing {
    pub(crate) guild: Option<u64>,
    pub(crate) channel: Option<u64>,
    pub(crate) user: u64,
    pub(crate) locale: String,
    pub(crate) what: What,
    /// Members of the interaction that are replaced. `Some` also lets pass what no client would send.
    pub(crate) forge: Option<Map<String, Value>>,
}

/// What is done.
pub(crate) enum What {
    Command { words: String, options: Map<String, Value>, target: Option<u64> },
    Typing { words: String, options: Map<String, Value>, option: String },
    Click { custom_id: String, message: u64, values: Vec<Value> },
    Submit { custom_id: String, fields: Map<String, Value> },
}

/// The object, and the record that waits for its answer.
pub(crate) struct Made {
    pub(crate) pending: Pending,
    pub(crate) object: Value,
}

/// What the kind of doing adds.
struct Part {
    kind: u64,
    name: String,
    data: Value,
    message: Option<Message>,
}

/// Makes the interaction.
pub(crate) fn make(inner: &mut Inner, doing: &Doing) -> Result<Made, Wrong> {
    let forged = doing.forge.is_some();
    if let Some(guild) = doing.guild {
        let known = inner.state.guilds.get(&guild).filter(|_| inner.is_in(guild));
        let guild = known.ok_or_else(|| Wrong::Unknown(format!("no guild {guild} with the bot in it")))?;
        if !guild.members.contains_key(&doing.user) && !forged {
            return Err(Wrong::Unknown(format!("no member {} in this guild", doing.user)));
        }
    }
    let part = part(inner, doing)?;
    let channel = channel_of(inner, doing, part.message.as_ref())?;
    let id = inner.next_id();
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(|error| Wrong::Invalid(format!("no randomness: {error}")))?;
    let token = format!("aW50ZXJhY3Rpb246{}", HEXLOWER.encode(&secret));
    let mut object = frame(inner, doing, channel);
    object["id"] = json!(id.to_string());
    object["token"] = json!(token);
    object["type"] = json!(part.kind);
    object["data"] = part.data;
    let source = part.message.as_ref().map(|message| message.id);
    if let Some(message) = &part.message {
        object["message"] = shapes::message(&inner.state, message);
    }
    for (name, value) in doing.forge.iter().flatten() {
        object[name] = value.clone();
    }
    let pending = Pending {
        id,
        token,
        kind: part.kind,
        user: doing.user,
        channel,
        name: part.name,
        source,
        made: Instant::now(),
        made_ms: inner.now,
        answered: None,
        data: Value::Null,
        ephemeral: false,
        original: None,
        filled: false,
        follow_ups: Vec::new(),
    };
    Ok(Made { pending, object })
}

fn part(inner: &Inner, doing: &Doing) -> Result<Part, Wrong> {
    let state = &inner.state;
    let guild = doing.guild.and_then(|id| state.guilds.get(&id).map(|guild| (id, guild)));
    match &doing.what {
        What::Command { words, options, target } => {
            let found = options::find(state, doing.guild, words)?;
            may_use(&found, guild, doing)?;
            let mut data = found.data(state, guild, options, None)?;
            if let Some(target) = target {
                data["target_id"] = json!(target.to_string());
                let mut resolved = json!({});
                options::user(state, guild.map(|(_, guild)| guild), *target, &mut resolved);
                data["resolved"] = resolved;
            }
            let name = words.clone();
            Ok(Part { kind: COMMAND, name, data, message: None })
        }
        What::Typing { words, options, option } => {
            let found = options::find(state, doing.guild, words)?;
            may_use(&found, guild, doing)?;
            let data = found.data(state, guild, options, Some(option))?;
            let name = words.clone();
            Ok(Part { kind: AUTOCOMPLETE, name, data, message: None })
        }
        What::Click { custom_id, message, values } => click(inner, doing, custom_id, *message, values),
        What::Submit { custom_id, fields } => submit(inner, doing, custom_id, fields),
    }
}

/// Discord lets nobody use a command whose default permissions he lacks, or that is not meant for where he is.
fn may_use(found: &options::Found<'_>, guild: Option<(u64, &Guild)>, doing: &Doing) -> Result<(), Wrong> {
    if doing.forge.is_some() {
        return Ok(());
    }
    let (command, context) = (found.command, json!(u8::from(guild.is_none())));
    if command["contexts"].as_array().is_some_and(|contexts| !contexts.contains(&context)) {
        return Err(Wrong::Invalid("the command cannot be used here (contexts)".to_owned()));
    }
    let needed = command["default_member_permissions"].as_str().and_then(|bits| bits.parse::<u64>().ok());
    if let (Some(needed), Some((id, guild))) = (needed, guild) {
        let has = permissions::in_guild(id, guild, doing.user);
        let admin = has & permissions::ADMINISTRATOR != 0;
        if !admin && (needed == 0 || has & needed != needed) {
            return Err(Wrong::Invalid(format!(
                "{} lacks the permissions {needed} that the command needs",
                doing.user
            )));
        }
    }
    Ok(())
}

/// Whether somebody sees a message where he is.
fn sees(inner: &Inner, doing: &Doing, message: &Message) -> bool {
    if inner.interactions.ephemerals.contains_key(&message.id) {
        let of = |one: &Pending| one.original == Some(message.id) || one.follow_ups.contains(&message.id);
        return inner.interactions.all.values().any(|one| of(one) && one.user == doing.user);
    }
    match doing.guild {
        Some(guild) => inner.state.guild_of_channel(message.channel_id) == Some(guild),
        None => inner.state.dm_channels.get(&message.channel_id) == Some(&doing.user),
    }
}

fn click(inner: &Inner, doing: &Doing, custom_id: &str, id: u64, values: &[Value]) -> Result<Part, Wrong> {
    let forged = doing.forge.is_some();
    let kept = inner.state.messages.values().find_map(|messages| messages.get(&id));
    let message = kept.or_else(|| inner.interactions.ephemerals.get(&id)).cloned();
    let message = message.filter(|message| forged || sees(inner, doing, message));
    let component = message.as_ref().and_then(|message| components::find(&message.components, custom_id));
    let kind = match component {
        Some(component) if component["disabled"] == json!(true) && !forged => {
            return Err(Wrong::Invalid(format!("the component {custom_id} is disabled")));
        }
        Some(component) => component["type"].as_u64().unwrap_or(2),
        None if forged => 2,
        None if message.is_none() => return Err(Wrong::Unknown(format!("no message {id}"))),
        None => return Err(Wrong::Unknown(format!("no component {custom_id} in message {id}"))),
    };
    let mut data = json!({"custom_id": custom_id, "component_type": kind});
    if kind != 2 {
        data["values"] = json!(values);
    }
    let message = message.or_else(|| forged.then(|| Message { id, author_id: BOT_ID, ..Message::default() }));
    Ok(Part { kind: COMPONENT, name: custom_id.to_owned(), data, message })
}

fn submit(inner: &Inner, doing: &Doing, custom_id: &str, fields: &Map<String, Value>) -> Result<Part, Wrong> {
    let open = inner.interactions.modals.get(&(doing.user, custom_id.to_owned()));
    let forged = doing.forge.is_some();
    if open.is_none() && !forged {
        return Err(Wrong::Unknown(format!("no modal {custom_id} is open for this account")));
    }
    let rows = match open {
        Some((modal, _)) => {
            for name in fields.keys().filter(|_| !forged) {
                if components::find(&modal["components"], name).is_none() {
                    return Err(Wrong::Invalid(format!("the modal has no field {name}")));
                }
            }
            filled(&modal["components"], fields, forged)?
        }
        None => {
            let row = |(name, value): (&String, &Value)| json!({"type": 1, "components": [{"type": 4, "custom_id": name, "value": value}]});
            Value::Array(fields.iter().map(row).collect())
        }
    };
    let source = open.and_then(|(_, source)| *source);
    let kept = source.and_then(|id| inner.state.messages.values().find_map(|messages| messages.get(&id)));
    let message = kept.or_else(|| inner.interactions.ephemerals.get(&source?)).cloned();
    let data = json!({"custom_id": custom_id, "components": rows});
    Ok(Part { kind: MODAL, name: custom_id.to_owned(), data, message })
}

/// The modal's components as a submission has them: ids and values, without wording.
fn filled(components: &Value, fields: &Map<String, Value>, forged: bool) -> Result<Value, Wrong> {
    let mut rows = Vec::new();
    for item in components.as_array().into_iter().flatten() {
        let mut shape =
            json!({"type": item["type"], "id": item.get("id").cloned().unwrap_or_else(|| json!(0))});
        if let Some(custom_id) = item["custom_id"].as_str() {
            let value = fields.get(custom_id).cloned().unwrap_or_else(|| json!(""));
            let required = item.get("required").and_then(Value::as_bool).unwrap_or(true);
            if required && value == json!("") && !forged {
                return Err(Wrong::Invalid(format!("the field {custom_id} is required")));
            }
            shape["custom_id"] = json!(custom_id);
            let member = if value.is_array() { "values" } else { "value" };
            shape[member] = value;
        }
        if let Some(inner) = item.get("components") {
            shape["components"] = filled(inner, fields, forged)?;
        }
        if let Some(inner) = item.get("component") {
            let mut one = filled(&json!([inner]), fields, forged)?;
            shape["component"] = one.get_mut(0).map(Value::take).unwrap_or_default();
        }
        rows.push(shape);
    }
    Ok(Value::Array(rows))
}

fn channel_of(inner: &mut Inner, doing: &Doing, message: Option<&Message>) -> Result<u64, Wrong> {
    if let Some(message) = message.filter(|message| message.channel_id != 0) {
        return Ok(message.channel_id);
    }
    let Some(guild) = doing.guild else {
        return inner.dm_channel(doing.user).map_err(|error| Wrong::Invalid(error.0));
    };
    let channels = inner.state.guilds.get(&guild).map(|guild| &guild.channels);
    let first = channels.and_then(|channels| channels.keys().next().copied());
    match doing.channel {
        Some(channel) if channels.is_some_and(|channels| channels.contains_key(&channel)) => Ok(channel),
        Some(channel) => Err(Wrong::Unknown(format!("no channel {channel} in this guild"))),
        None => first.ok_or_else(|| Wrong::Unknown("no channel in this guild".to_owned())),
    }
}

/// What every interaction has.
fn frame(inner: &Inner, doing: &Doing, channel: u64) -> Value {
    let state = &inner.state;
    let own = |entitlement: &&Value| entitlement["user_id"] == json!(doing.user.to_string());
    let entitlements: Vec<&Value> = state.entitlements.values().filter(own).collect();
    let mut object = json!({
        "application_id": APPLICATION_ID.to_string(), "channel_id": channel.to_string(), "version": 1,
        "locale": doing.locale, "entitlements": entitlements, "attachment_size_limit": 10_485_760,
    });
    let user = shapes::user(state, doing.user);
    let Some((guild_id, guild)) = doing.guild.and_then(|id| state.guilds.get(&id).map(|guild| (id, guild)))
    else {
        object["user"] = user;
        object["context"] = json!(1);
        object["app_permissions"] = json!(permissions::BOT.to_string());
        object["authorizing_integration_owners"] = json!({"0": "0"});
        object["channel"] = shapes::dm_channel(state, channel, doing.user);
        return object;
    };
    let own = guild.channels.get(&channel).cloned().unwrap_or_default();
    let bits = |user| permissions::in_channel(guild_id, guild, &own, user).to_string();
    let member = guild.members.get(&doing.user).cloned().unwrap_or_default();
    let mut member = shapes::member(state, doing.user, &member);
    member["permissions"] = json!(bits(doing.user));
    let mut shape = shapes::channel(guild_id, channel, &own);
    shape["permissions"] = json!(bits(doing.user));
    object["guild_id"] = json!(guild_id.to_string());
    object["guild"] = json!({"id": guild_id.to_string(), "locale": "en-US", "features": []});
    object["guild_locale"] = json!("en-US");
    object["member"] = member;
    object["channel"] = shape;
    object["app_permissions"] = json!(bits(BOT_ID));
    object["context"] = json!(0);
    object["authorizing_integration_owners"] = json!({"0": guild_id.to_string()});
    object
}
