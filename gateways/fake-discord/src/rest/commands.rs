//! Application commands: registering, reading, changing and removing them, with the rules for names, options,
//! choices and localisations (interactions/application-commands).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::check::{self, Errors, Field, Kind, may, must};
use super::reply::{Answer, Refusal, Reply, created, done, ok};
use super::{Call, id};
use crate::settings::APPLICATION_ID;
use crate::world::model::Command;
use crate::world::state::Change;

const COMMAND: &[Field] = &[
    may("id", Kind::Snowflake),
    must("name", Kind::Text(1, 32)),
    may("name_localizations", Kind::Any),
    may("description", Kind::Text(0, 100)),
    may("description_localizations", Kind::Any),
    may("options", Kind::List(25, &OPTION)),
    may("default_member_permissions", Kind::Text(1, 20)),
    may("dm_permission", Kind::Bool),
    may("default_permission", Kind::Bool),
    may("integration_types", Kind::List(2, &Kind::Int(0, 1))),
    may("contexts", Kind::List(3, &Kind::Int(0, 2))),
    may("type", Kind::Int(1, 4)),
    may("nsfw", Kind::Bool),
    may("handler", Kind::Int(1, 2)),
];
const OPTION: Kind = Kind::Object(&[
    must("type", Kind::Int(1, 11)),
    must("name", Kind::Text(1, 32)),
    may("name_localizations", Kind::Any),
    must("description", Kind::Text(1, 100)),
    may("description_localizations", Kind::Any),
    may("required", Kind::Bool),
    may("choices", Kind::List(25, &CHOICE)),
    may("options", Kind::Any),
    may("channel_types", Kind::List(20, &Kind::Int(0, 20))),
    may("min_value", Kind::Any),
    may("max_value", Kind::Any),
    may("min_length", Kind::Int(0, 6_000)),
    may("max_length", Kind::Int(1, 6_000)),
    may("autocomplete", Kind::Bool),
]);
const CHOICE: Kind = Kind::Object(&[
    must("name", Kind::Text(1, 100)),
    may("name_localizations", Kind::Any),
    must("value", Kind::Any),
]);
/// Languages of Discord's client.
const LOCALES: [&str; 34] = [
    "id", "da", "de", "en-GB", "en-US", "es-ES", "es-419", "fr", "hr", "it", "lt", "hu", "nl", "no", "pl",
    "pt-BR", "ro", "fi", "sv-SE", "vi", "tr", "cs", "el", "bg", "ru", "uk", "hi", "th", "zh-CN", "ja",
    "zh-TW", "ko", "he", "ar",
];
/// Commands of each type in one place: chat, user, message, entry point.
const MOST: [usize; 4] = [100, 15, 15, 1];
/// Characters of names, descriptions and values of one command with its options.
const CHARACTERS: usize = 8_000;

pub(super) fn route(call: &mut Call<'_>, guild: Option<u64>, segments: &[&str]) -> Reply {
    match (call.method, segments) {
        ("GET", []) => list(call, guild),
        ("PUT", []) => overwrite(call, guild),
        ("POST", []) => create(call, guild),
        ("GET", [command]) => {
            let (_, command) = known(call, guild, id(command)?)?;
            ok(command.body.clone())
        }
        ("PATCH", [command]) => edit(call, guild, id(command)?),
        ("DELETE", [command]) => {
            let (id, _) = known(call, guild, id(command)?)?;
            call.inner.commit(vec![Change::CommandGone { id }])?;
            done()
        }
        _ => Err(Refusal::no_route()),
    }
}

fn known<'a>(call: &'a Call<'_>, guild: Option<u64>, id: u64) -> Result<(u64, &'a Command), Refusal> {
    let command = call.inner.state.commands.get(&id).filter(|command| command.guild_id == guild);
    command.map(|command| (id, command)).ok_or_else(|| Refusal::code(10_063))
}

fn list(call: &Call<'_>, guild: Option<u64>) -> Reply {
    let full = call.query.get("with_localizations").is_some_and(|with| with == "true");
    let commands = call.inner.state.commands.values().filter(|command| command.guild_id == guild);
    let shown = commands.map(|command| {
        let mut body = command.body.clone();
        if !full && let Some(members) = body.as_object_mut() {
            members.remove("name_localizations");
            members.remove("description_localizations");
        }
        body
    });
    ok(Value::Array(shown.collect()))
}

fn overwrite(call: &mut Call<'_>, guild: Option<u64>) -> Reply {
    let mut errors = Errors::default();
    let Some(items) = call.body.as_array() else {
        errors.add(&[], "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType.");
        return errors.into_result().and_then(|()| done());
    };
    for (i, item) in items.iter().enumerate() {
        check_command(item, &mut vec![i.to_string()], &mut errors);
    }
    let mut seen = BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        if !seen.insert((kind_of(item), item["name"].as_str().unwrap_or_default().to_owned())) {
            let path = [i.to_string(), "name".to_owned()];
            errors.add(
                &path,
                "APPLICATION_COMMANDS_DUPLICATE_NAME",
                "Application command names must be unique",
            );
        }
    }
    errors.into_result()?;
    for (kind, most) in (1..).zip(MOST) {
        if items.iter().filter(|item| kind_of(item) == kind).count() > most {
            return Err(Refusal::code(30_032));
        }
    }
    let inner = &mut *call.inner;
    let old: Vec<(u64, Value)> = inner
        .state
        .commands
        .iter()
        .filter(|(_, command)| command.guild_id == guild)
        .map(|(id, command)| (*id, command.body.clone()))
        .collect();
    let mut changes: Vec<Change> = old.iter().map(|(id, _)| Change::CommandGone { id: *id }).collect();
    let mut shown = Vec::new();
    for item in items {
        // A command of the same name and type keeps its id.
        let same =
            old.iter().find(|(_, body)| body["name"] == item["name"] && body["type"] == json!(kind_of(item)));
        let id = same.map_or_else(|| inner.next_id(), |(id, _)| *id);
        let version = inner.next_id();
        let body = stored(item, id, version, guild);
        shown.push(body.clone());
        changes.push(Change::Command { id, command: Command { guild_id: guild, body } });
    }
    inner.commit(changes)?;
    ok(Value::Array(shown))
}

fn create(call: &mut Call<'_>, guild: Option<u64>) -> Reply {
    let mut errors = Errors::default();
    check_command(call.body, &mut Vec::new(), &mut errors);
    errors.into_result()?;
    let inner = &mut *call.inner;
    let kind = kind_of(call.body);
    let mut own = inner.state.commands.iter().filter(|(_, command)| command.guild_id == guild);
    let same =
        own.clone().find(|(_, c)| c.body["name"] == call.body["name"] && c.body["type"] == json!(kind));
    let count = own.by_ref().filter(|(_, command)| command.body["type"] == json!(kind)).count();
    let most = usize::try_from(kind).ok().and_then(|kind| MOST.get(kind - 1)).copied().unwrap_or(0);
    let known = same.map(|(id, _)| *id);
    if known.is_none() && count >= most {
        return Err(Refusal::code(30_032));
    }
    let id = known.unwrap_or_else(|| inner.next_id());
    let version = inner.next_id();
    let body = stored(call.body, id, version, guild);
    inner.commit(vec![Change::Command { id, command: Command { guild_id: guild, body: body.clone() } }])?;
    if known.is_some() { Ok(Answer::new(200, Some(body))) } else { created(body) }
}

fn edit(call: &mut Call<'_>, guild: Option<u64>, id: u64) -> Reply {
    let (_, command) = known(call, guild, id)?;
    let mut merged: Map<String, Value> = command.body.as_object().cloned().unwrap_or_default();
    for name in ["application_id", "guild_id", "version"] {
        merged.remove(name);
    }
    merged.extend(call.body.as_object().cloned().unwrap_or_default());
    let merged = Value::Object(merged);
    let mut errors = Errors::default();
    check_command(&merged, &mut Vec::new(), &mut errors);
    errors.into_result()?;
    let version = call.inner.next_id();
    let body = stored(&merged, id, version, guild);
    call.inner
        .commit(vec![Change::Command { id, command: Command { guild_id: guild, body: body.clone() } }])?;
    ok(body)
}

/// The type; chat input if absent.
pub(crate) fn kind_of(command: &Value) -> u64 {
    command.get("type").and_then(Value::as_u64).unwrap_or(1)
}

fn stored(item: &Value, id: u64, version: u64, guild: Option<u64>) -> Value {
    let mut body = item.clone();
    body["id"] = json!(id.to_string());
    body["application_id"] = json!(APPLICATION_ID.to_string());
    body["version"] = json!(version.to_string());
    body["type"] = json!(kind_of(item));
    if let Some(guild) = guild {
        body["guild_id"] = json!(guild.to_string());
    }
    for (name, default) in [
        ("description", json!("")),
        ("default_member_permissions", Value::Null),
        ("nsfw", json!(false)),
        ("options", json!([])),
    ] {
        if body.get(name).is_none_or(Value::is_null) {
            body[name] = default;
        }
    }
    body
}

fn check_command(item: &Value, path: &mut Vec<String>, errors: &mut Errors) {
    check::check(item, &Kind::Object(COMMAND), path, errors);
    let chat = kind_of(item) == 1;
    let name = item["name"].as_str().unwrap_or_default();
    if chat && !is_chat_name(name) {
        at(path, "name", |path| {
            errors.add(path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
        });
    }
    let description = item["description"].as_str().unwrap_or_default();
    if chat == description.is_empty() {
        at(path, "description", |path| {
            if chat {
                errors.add(path, "BASE_TYPE_REQUIRED", "This field is required");
            } else {
                errors.add(
                    path,
                    "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_CANNOT_BE_SET",
                    "Context menu commands cannot have description",
                );
            }
        });
    }
    let permissions = item.get("default_member_permissions").and_then(Value::as_str);
    if permissions.is_some_and(|bits| bits.parse::<u64>().is_err()) {
        at(path, "default_member_permissions", |path| {
            errors.add(path, "NUMBER_TYPE_COERCE", "Value is not a number of permission bits.");
        });
    }
    localisations(item, path, errors, chat);
    let has_options = item["options"].as_array().is_some_and(|options| !options.is_empty());
    if has_options && !chat {
        at(path, "options", |path| {
            errors.add(
                path,
                "APPLICATION_COMMAND_CONTEXT_MENU_OPTIONS_CANNOT_BE_SET",
                "Context menu commands cannot have options",
            );
        });
    }
    check_options(item, 0, path, errors);
    if characters(item) > CHARACTERS {
        errors.add(path, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)");
    }
}

/// Options of a command (depth 0), of a group or of a sub-command.
fn check_options(item: &Value, depth: usize, path: &mut Vec<String>, errors: &mut Errors) {
    let options = item.get("options").and_then(Value::as_array).into_iter().flatten();
    let mut seen = BTreeSet::new();
    let mut optional_before = false;
    for (i, option) in options.enumerate() {
        path.extend(["options".to_owned(), i.to_string()]);
        // The outermost level was checked with the command.
        if depth > 0 {
            check::check(option, &OPTION, path, errors);
        }
        let kind = option["type"].as_u64().unwrap_or(0);
        let name = option["name"].as_str().unwrap_or_default();
        if !is_chat_name(name) || !seen.insert(name) {
            at(path, "name", |path| {
                errors.add(path, "APPLICATION_COMMAND_INVALID_NAME", "Option name is invalid or used twice");
            });
        }
        let required = option["required"].as_bool().unwrap_or(false);
        if required && optional_before {
            errors.add(
                path,
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            );
        }
        optional_before |= kind > 2 && !required;
        let choices = option["choices"].as_array().is_some_and(|choices| !choices.is_empty());
        if choices && option["autocomplete"].as_bool().unwrap_or(false) {
            errors.add(
                path,
                "APPLICATION_COMMAND_AUTOCOMPLETE_CHOICES",
                "Autocomplete options cannot have choices",
            );
        }
        // Groups stand in commands only, sub-commands in commands and groups.
        if (kind == 2 && depth > 0) || (kind == 1 && depth > 1) {
            errors.add(
                path,
                "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
                "Sub-command option of this type must not be nested here",
            );
        }
        localisations(option, path, errors, true);
        if kind == 1 || kind == 2 {
            check_options(option, depth + kind_depth(kind), path, errors);
        }
        path.truncate(path.len().saturating_sub(2));
    }
}

/// In a group sub-commands may follow; in a sub-command only values.
fn kind_depth(kind: u64) -> usize {
    if kind == 2 { 1 } else { 2 }
}

fn localisations(item: &Value, path: &mut Vec<String>, errors: &mut Errors, chat: bool) {
    for (member, most) in [("name_localizations", 32), ("description_localizations", 100)] {
        let texts = match item.get(member) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(texts)) => texts,
            Some(_) => {
                at(path, member, |path| {
                    errors.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType");
                });
                continue;
            }
        };
        for (locale, text) in texts {
            let text = text.as_str().unwrap_or_default();
            let fits = (1..=most).contains(&text.chars().count());
            let valid = fits && (most != 32 || !chat || is_chat_name(text));
            path.extend([member.to_owned(), locale.clone()]);
            if !LOCALES.contains(&locale.as_str()) {
                errors.add(path, "BASE_TYPE_CHOICES", "Value must be one of Discord's locales.");
            } else if !valid {
                errors.add(path, "APPLICATION_COMMAND_INVALID_NAME", "Localisation is invalid");
            }
            path.truncate(path.len().saturating_sub(2));
        }
    }
}

/// `^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$`, in lower case.
fn is_chat_name(name: &str) -> bool {
    let fits = |c: char| {
        let script = matches!(u32::from(c), 0x0900..=0x097F | 0x0E00..=0x0E7F);
        (c.is_alphanumeric() || matches!(c, '-' | '_' | '\'') || script) && !c.is_uppercase()
    };
    (1..=32).contains(&name.chars().count()) && name.chars().all(fits)
}

fn characters(item: &Value) -> usize {
    let length = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
    let children = item.get("options").and_then(Value::as_array).into_iter().flatten();
    let choices = item.get("choices").and_then(Value::as_array).into_iter().flatten();
    let choices = choices.map(|choice| length(&choice["name"]) + length(&choice["value"]));
    length(&item["name"])
        + length(&item["description"])
        + children.map(characters).sum::<usize>()
        + choices.sum::<usize>()
}

fn at(path: &mut Vec<String>, name: &str, then: impl FnOnce(&[String])) {
    path.push(name.to_owned());
    then(path);
    path.pop();
}
