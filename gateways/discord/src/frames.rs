//! What a dispatch of the gateway says, as far as roles depend on it. Reads leniently: only what is needed must be
//! there, everything else may be missing, null or new. Nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{DiscordId, GuildId, RoleId};
use serde_json::Value;

/// Discord's permission bit ADMINISTRATOR.
pub(crate) const ADMINISTRATOR: u64 = 1 << 3;
/// Discord's permission bit MANAGE_GUILD.
pub(crate) const MANAGE_GUILD: u64 = 1 << 5;

/// Longest name that is kept of a guild.
const NAME_MAX_CHARS: usize = 100;

/// A role of a guild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    /// Its name as Discord has it; never shown unescaped.
    pub(crate) name: String,
    /// Its place: a bot gives roles below its own highest only.
    pub(crate) position: i64,
    /// Permission bits.
    pub(crate) permissions: u64,
    /// Whether an integration manages it: then nobody can give it.
    pub(crate) managed: bool,
    /// The bot that it is the own role of.
    pub(crate) of_bot: Option<DiscordId>,
}

/// A guild as Discord describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuildFrame {
    pub(crate) id: GuildId,
    pub(crate) name: String,
    pub(crate) owner: Option<DiscordId>,
    pub(crate) roles: Option<BTreeMap<RoleId, Role>>,
    /// How many members it has, if that is said.
    pub(crate) members: Option<u64>,
    /// The roles of bots that are described with it: our own is always among them.
    pub(crate) bots: BTreeMap<DiscordId, BTreeSet<RoleId>>,
}

/// What a dispatch says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A session began; these guilds belong to its shard.
    Ready { guilds: BTreeSet<GuildId>, application: Option<u64>, bot: Option<DiscordId> },
    /// A guild became available, or changed.
    Guild(Box<GuildFrame>),
    /// A guild cannot be reached for now.
    Outage(GuildId),
    /// The bot was removed from a guild.
    Removed(GuildId),
    /// A role is there or changed.
    Role(GuildId, RoleId, Role),
    /// A role was deleted.
    RoleGone(GuildId, RoleId),
    /// All roles that a member has.
    Member { guild: GuildId, user: DiscordId, roles: BTreeSet<RoleId>, bot: bool },
    /// A member left, was kicked or banned.
    MemberGone { guild: GuildId, user: DiscordId },
    /// Something else.
    Other,
}

/// Why a dispatch cannot be used, and about whom it was, if that much can be read: he is looked at by REST then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) what: String,
    pub(crate) guild: Option<GuildId>,
    pub(crate) user: Option<DiscordId>,
}

/// Reads a dispatch.
pub(crate) fn read(kind: &str, data: &Value) -> Result<Frame, Unusable> {
    let guild = id(data, "guild_id").map(GuildId);
    let user = data.get("user").and_then(|user| id(user, "id")).map(DiscordId);
    let unusable = |what: &str| Unusable { what: format!("{kind} without {what}"), guild, user };
    Ok(match kind {
        // Without its list every guild would look as if the bot had left it.
        "READY" if !data.get("guilds").is_some_and(Value::is_array) => return Err(unusable("guilds")),
        "READY" => Frame::Ready {
            guilds: list(data, "guilds").filter_map(|guild| id(guild, "id")).map(GuildId).collect(),
            application: data.get("application").and_then(|application| id(application, "id")),
            bot: user,
        },
        "GUILD_CREATE" | "GUILD_UPDATE" => {
            let guild = id(data, "id").map(GuildId).ok_or_else(|| unusable("an id"))?;
            match data.get("unavailable").and_then(Value::as_bool) {
                Some(true) => Frame::Outage(guild),
                _ => Frame::Guild(Box::new(guild_frame(guild, data))),
            }
        }
        "GUILD_DELETE" => {
            let guild = id(data, "id").map(GuildId).ok_or_else(|| unusable("an id"))?;
            // Set at all means an outage; being removed leaves it out.
            match data.get("unavailable") {
                None | Some(Value::Null | Value::Bool(false)) => Frame::Removed(guild),
                Some(_) => Frame::Outage(guild),
            }
        }
        "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => {
            let guild = guild.ok_or_else(|| unusable("guild_id"))?;
            let (role_id, role) = data.get("role").and_then(role).ok_or_else(|| unusable("a role"))?;
            Frame::Role(guild, role_id, role)
        }
        "GUILD_ROLE_DELETE" => {
            let guild = guild.ok_or_else(|| unusable("guild_id"))?;
            Frame::RoleGone(guild, id(data, "role_id").map(RoleId).ok_or_else(|| unusable("role_id"))?)
        }
        "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE" => {
            let guild = guild.ok_or_else(|| unusable("guild_id"))?;
            let user_id = user.ok_or_else(|| unusable("a user"))?;
            let roles = roles(data).ok_or_else(|| unusable("a list of roles"))?;
            Frame::Member { guild, user: user_id, roles, bot: is_bot(data) }
        }
        "GUILD_MEMBER_REMOVE" => Frame::MemberGone {
            guild: guild.ok_or_else(|| unusable("guild_id"))?,
            user: user.ok_or_else(|| unusable("a user"))?,
        },
        _ => Frame::Other,
    })
}

/// A guild out of `GUILD_CREATE`, `GUILD_UPDATE` or `GET /guilds/:id`, whose id is known already.
pub(crate) fn guild_frame(id_: GuildId, data: &Value) -> GuildFrame {
    let name = data.get("name").and_then(Value::as_str).unwrap_or_default();
    let roles = data.get("roles").and_then(Value::as_array);
    let count = |member| data.get(member).and_then(Value::as_u64);
    GuildFrame {
        id: id_,
        name: name.chars().take(NAME_MAX_CHARS).collect(),
        owner: id(data, "owner_id").map(DiscordId),
        roles: roles.map(|roles| roles.iter().filter_map(role).collect()),
        members: count("member_count").or_else(|| count("approximate_member_count")),
        bots: list(data, "members")
            .filter(|member| is_bot(member))
            .filter_map(|member| user(member).zip(self::roles(member)))
            .collect(),
    }
}

/// The roles of a member object; `None` if it has no list of them, or something in it is no id.
pub(crate) fn roles(member: &Value) -> Option<BTreeSet<RoleId>> {
    let list = member.get("roles")?.as_array()?;
    list.iter().map(|role| snowflake(role).map(RoleId)).collect()
}

/// The account of a member object.
pub(crate) fn user(member: &Value) -> Option<DiscordId> {
    member.get("user").and_then(|user| id(user, "id")).map(DiscordId)
}

/// Whether a member object is about a bot. Bots get no licenses: no message reaches them.
pub(crate) fn is_bot(member: &Value) -> bool {
    member.get("user").and_then(|user| user.get("bot")).and_then(Value::as_bool).unwrap_or(false)
}

fn role(data: &Value) -> Option<(RoleId, Role)> {
    let text = |member: &str| data.get(member).and_then(Value::as_str);
    let role = Role {
        name: text("name").unwrap_or_default().to_owned(),
        position: data.get("position").and_then(Value::as_i64).unwrap_or(0),
        permissions: text("permissions").and_then(|bits| bits.parse().ok()).unwrap_or(0),
        managed: data.get("managed").and_then(Value::as_bool).unwrap_or(false),
        of_bot: data.get("tags").and_then(|tags| id(tags, "bot_id")).map(DiscordId),
    };
    id(data, "id").map(|id| (RoleId(id), role))
}

fn list<'a>(data: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    data.get(member).and_then(Value::as_array).into_iter().flatten()
}

fn id(data: &Value, member: &str) -> Option<u64> {
    data.get(member).and_then(snowflake)
}

fn snowflake(value: &Value) -> Option<u64> {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64()).filter(|id| *id > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_update_needs_ids_and_roles_and_nothing_else() {
        let full = json!({ "guild_id": "1", "user": { "id": "2" }, "roles": ["3", "4"], "joined_at": null });
        let roles = BTreeSet::from([RoleId(3), RoleId(4)]);
        let expected = Frame::Member { guild: GuildId(1), user: DiscordId(2), roles, bot: false };
        assert_eq!(read("GUILD_MEMBER_UPDATE", &full), Ok(expected));
    }

    #[test]
    fn a_member_update_without_roles_says_about_whom_it_was() {
        for roles in [json!(null), json!("x"), json!([null]), json!(["x"]), json!([0])] {
            let data = json!({ "guild_id": "1", "user": { "id": "2" }, "roles": roles });
            let unusable = read("GUILD_MEMBER_UPDATE", &data).unwrap_err();
            assert_eq!((unusable.guild, unusable.user), (Some(GuildId(1)), Some(DiscordId(2))));
        }
        let nobody = read("GUILD_MEMBER_ADD", &json!({ "roles": [] })).unwrap_err();
        assert_eq!((nobody.guild, nobody.user), (None, None));
    }

    #[test]
    fn an_outage_is_no_removal() {
        let outage = |value: Value| read("GUILD_DELETE", &json!({ "id": "1", "unavailable": value }));
        assert_eq!(outage(json!(true)), Ok(Frame::Outage(GuildId(1))));
        assert_eq!(outage(json!("?")), Ok(Frame::Outage(GuildId(1))));
        assert_eq!(outage(json!(null)), Ok(Frame::Removed(GuildId(1))));
        assert_eq!(read("GUILD_DELETE", &json!({ "id": "1" })), Ok(Frame::Removed(GuildId(1))));
        let unavailable = json!({ "id": "1", "unavailable": true });
        assert_eq!(read("GUILD_CREATE", &unavailable), Ok(Frame::Outage(GuildId(1))));
    }

    #[test]
    fn whatever_comes_is_read_or_refused() {
        for kind in ["READY", "GUILD_CREATE", "GUILD_ROLE_DELETE", "GUILD_MEMBER_REMOVE", "TYPING_START", ""]
        {
            for data in [json!(null), json!([]), json!("x"), json!({}), json!({ "id": {} })] {
                let _ = read(kind, &data);
            }
        }
        assert_eq!(read("TYPING_START", &json!(null)), Ok(Frame::Other));
    }
}
