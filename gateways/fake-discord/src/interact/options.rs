//! From `license show` with named values to the option tree that Discord sends: the command is looked up among the
//! registered ones, values take the type that was registered.

use serde_json::{Map, Value, json};

use crate::rest::id_of;
use crate::world::model::Guild;
use crate::world::shapes;
use crate::world::state::State;

/// A command that was found, with the path to its options.
pub(crate) struct Found<'a> {
    pub(crate) command: &'a Value,
    /// Groups and sub-commands below it, outermost first.
    path: Vec<&'a Value>,
}

/// Why there is no such command, or no such option.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// 404.
    Unknown(String),
    /// 400.
    Invalid(String),
}

/// Finds a command by its words; one of the guild before a global one.
pub(crate) fn find<'a>(state: &'a State, guild: Option<u64>, words: &str) -> Result<Found<'a>, Wrong> {
    let words = words.trim().trim_start_matches('/');
    let registered = || {
        let of = |own: Option<u64>| state.commands.values().filter(move |command| command.guild_id == own);
        of(guild).chain(of(None)).map(|command| &command.body)
    };
    // Context-menu commands may have spaces in their names.
    if let Some(command) = registered().find(|body| body["type"] != json!(1) && body["name"] == json!(words))
    {
        return Ok(Found { command, path: Vec::new() });
    }
    let mut words = words.split_whitespace();
    let name = words.next().unwrap_or_default();
    let command = registered().find(|body| body["type"] == json!(1) && body["name"] == json!(name));
    let command = command.ok_or_else(|| {
        let known: Vec<&str> = registered().filter_map(|body| body["name"].as_str()).collect();
        Wrong::Unknown(format!("no command {name} is registered; registered are: {}", known.join(", ")))
    })?;
    let (mut at, mut path) = (command, Vec::new());
    for word in words {
        let mut below = at["options"].as_array().into_iter().flatten();
        let next = below.find(|option| is_level(option) && option["name"] == json!(word));
        at = next.ok_or_else(|| Wrong::Unknown(format!("the command {name} has no sub-command {word}")))?;
        path.push(at);
    }
    if at["options"].as_array().into_iter().flatten().any(is_level) {
        return Err(Wrong::Invalid(format!("the command {name} needs a sub-command")));
    }
    Ok(Found { command, path })
}

fn is_level(option: &Value) -> bool {
    matches!(option["type"].as_u64(), Some(1 | 2))
}

impl Found<'_> {
    /// The `data` of the interaction. `focused` is the option that is being typed.
    pub(crate) fn data(
        &self,
        state: &State,
        guild: Option<(u64, &Guild)>,
        values: &Map<String, Value>,
        focused: Option<&str>,
    ) -> Result<Value, Wrong> {
        let leaf = self.path.last().copied().unwrap_or(self.command);
        let registered: Vec<&Value> = leaf["options"].as_array().into_iter().flatten().collect();
        for name in values.keys() {
            if !registered.iter().any(|option| option["name"] == json!(name)) {
                return Err(Wrong::Invalid(format!("the command has no option {name}")));
            }
        }
        let mut resolved = json!({});
        let mut options = Vec::new();
        for option in registered {
            let name = option["name"].as_str().unwrap_or_default();
            let is_focused = focused == Some(name);
            match values.get(name).filter(|value| !value.is_null()) {
                Some(value) => {
                    let kind = option["type"].as_u64().unwrap_or(3);
                    // What is being typed is text, whatever it will become.
                    let value = if is_focused { json!(text(value)) } else { typed(option, kind, value)? };
                    resolve(state, guild, kind, &value, &mut resolved);
                    let mut shape = json!({"name": name, "type": kind, "value": value});
                    if is_focused {
                        shape["focused"] = json!(true);
                    }
                    options.push(shape);
                }
                None if option["required"] == json!(true) && focused.is_none() => {
                    return Err(Wrong::Invalid(format!("the option {name} is required")));
                }
                None => {}
            }
        }
        for level in self.path.iter().rev() {
            options = vec![json!({"name": level["name"], "type": level["type"], "options": options})];
        }
        let mut data = json!({
            "id": self.command["id"], "name": self.command["name"], "type": self.command["type"], "options": options,
        });
        if resolved != json!({}) {
            data["resolved"] = resolved;
        }
        if let Some(guild) = self.command.get("guild_id") {
            data["guild_id"] = guild.clone();
        }
        Ok(data)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn typed(option: &Value, kind: u64, value: &Value) -> Result<Value, Wrong> {
    let given = text(value);
    let wrong = || Wrong::Invalid(format!("the option {} cannot be {given:?}", option["name"]));
    let typed = match kind {
        4 => json!(value.as_i64().or_else(|| given.parse().ok()).ok_or_else(wrong)?),
        5 => json!(value.as_bool().or_else(|| given.parse().ok()).ok_or_else(wrong)?),
        10 => json!(value.as_f64().or_else(|| given.parse().ok()).ok_or_else(wrong)?),
        6..=9 | 11 => json!(id_of(Some(value)).ok_or_else(wrong)?.to_string()),
        _ => json!(given),
    };
    let mut choices = option["choices"].as_array().into_iter().flatten().peekable();
    if choices.peek().is_some() && !choices.any(|choice| choice["value"] == typed) {
        return Err(wrong());
    }
    let number = typed.as_f64();
    let length = typed.as_str().map(|text| text.chars().count() as u64);
    let low = |name: &str| number.zip(option[name].as_f64());
    let long = |name: &str| length.zip(option[name].as_u64());
    let out = low("min_value").is_some_and(|(own, min)| own < min)
        || low("max_value").is_some_and(|(own, max)| own > max)
        || (kind == 3 && long("min_length").is_some_and(|(own, min)| own < min))
        || (kind == 3 && long("max_length").is_some_and(|(own, max)| own > max));
    if out { Err(wrong()) } else { Ok(typed) }
}

/// Adds what an id stands for.
fn resolve(state: &State, guild: Option<(u64, &Guild)>, kind: u64, value: &Value, resolved: &mut Value) {
    let Some(id) = id_of(Some(value)).filter(|_| matches!(kind, 6..=9)) else { return };
    let key = id.to_string();
    let role = guild.and_then(|(_, guild)| guild.roles.get(&id));
    let channel = guild.and_then(|(_, guild)| guild.channels.get(&id));
    if let (8 | 9, Some(role)) = (kind, role) {
        resolved["roles"][&key] = shapes::role(id, role);
    } else if let (7, Some(channel)) = (kind, channel) {
        let guild_id = guild.map_or(0, |(guild_id, _)| guild_id);
        let mut shape = shapes::channel(guild_id, id, channel);
        shape["permissions"] = json!("0");
        resolved["channels"][&key] = shape;
    } else if matches!(kind, 6 | 9) {
        user(state, guild.map(|(_, guild)| guild), id, resolved);
    }
}

/// Adds an account, and its membership without the account.
pub(crate) fn user(state: &State, guild: Option<&Guild>, id: u64, resolved: &mut Value) {
    let key = id.to_string();
    resolved["users"][&key] = shapes::user(state, id);
    if let Some(member) = guild.and_then(|guild| guild.members.get(&id)) {
        let mut shape = shapes::member(state, id, member);
        if let Some(members) = shape.as_object_mut() {
            members.remove("user");
            members.remove("deaf");
            members.remove("mute");
            members.insert("permissions".to_owned(), json!("0"));
        }
        resolved["members"][&key] = shape;
    }
}
