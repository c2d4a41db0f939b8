//! What is known of each guild from Discord, in memory only: whether it can be reached, its roles, its owner. A guild
//! that is not known here, or not available, is frozen: nothing may be decided about its members.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::guild::{Guild, RuleId, RuleSource};
use domain::id::{DiscordId, GuildId, RoleId};

use projections::GuildRole;

use crate::frames::{ADMINISTRATOR, GuildFrame, MANAGE_GUILD, Role};

/// A guild as Discord last described it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) owner: Option<DiscordId>,
    pub(crate) roles: BTreeMap<RoleId, Role>,
    pub(crate) members: Option<u64>,
    /// The bots that are in it, with their roles, as far as they were told of.
    pub(crate) bots: BTreeMap<DiscordId, BTreeSet<RoleId>>,
    /// The shard whose session tells of it.
    pub(crate) shard: u32,
    /// Whether Discord can be asked about it.
    pub(crate) available: bool,
    /// Whether the bot is in it, as far as this session was told.
    pub(crate) present: bool,
}

impl Known {
    /// Nothing known yet: frozen.
    const fn new(shard: u32) -> Self {
        Self {
            name: String::new(),
            owner: None,
            roles: BTreeMap::new(),
            members: None,
            bots: BTreeMap::new(),
            shard,
            available: false,
            present: true,
        }
    }

    /// Roles that make a Discord administrator: with ADMINISTRATOR or MANAGE_GUILD.
    pub(crate) fn watched(&self) -> BTreeSet<RoleId> {
        let bits = ADMINISTRATOR | MANAGE_GUILD;
        self.roles.iter().filter(|(_, role)| role.permissions & bits != 0).map(|(id, _)| *id).collect()
    }

    /// All roles as others are to know them. Discord lets `bot` give those that stand below its own highest one and that no
    /// integration manages; of two roles in one place the older stands higher.
    pub(crate) fn described_roles(&self, guild: GuildId, bot: Option<DiscordId>) -> Vec<GuildRole> {
        let place = |id: RoleId, role: &Role| (role.position, std::cmp::Reverse(id));
        let own = bot.and_then(|bot| self.bots.get(&bot));
        let is_own = |id: &RoleId, role: &Role| {
            own.is_some_and(|own| own.contains(id)) || (bot.is_some() && role.of_bot == bot)
        };
        let own = self.roles.iter().filter(|(id, role)| is_own(id, role));
        let highest = own.map(|(id, role)| place(*id, role)).max();
        let described = |(id, role): (&RoleId, &Role)| GuildRole {
            id: *id,
            name: role.name.clone(),
            position: role.position,
            managed: role.managed,
            assignable: id.0 != guild.0
                && !role.managed
                && highest.is_some_and(|highest| place(*id, role) < highest),
        };
        let mut roles: Vec<GuildRole> = self.roles.iter().map(described).collect();
        roles.sort_by_key(|role| std::cmp::Reverse((role.position, std::cmp::Reverse(role.id))));
        roles
    }

    /// Rules whose source nobody can observe: the role was deleted, or it is a product, which this bot does not
    /// follow. What they gave stays.
    pub(crate) fn blind_rules(&self, guild: &Guild) -> BTreeSet<RuleId> {
        let is_blind = |source: RuleSource| match source {
            RuleSource::Role { role_id } => !self.roles.contains_key(&role_id),
            RuleSource::Sku { .. } => true,
        };
        guild.active_rules().filter(|rule| is_blind(rule.source)).map(|rule| rule.id).collect()
    }
}

/// Every guild.
#[derive(Default)]
pub(crate) struct Guilds(Mutex<HashMap<GuildId, Known>>);

impl Guilds {
    fn all(&self) -> MutexGuard<'_, HashMap<GuildId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A guild, if it is available and the bot is in it.
    pub(crate) fn usable(&self, guild: GuildId) -> Option<Known> {
        self.all().get(&guild).filter(|known| known.available && known.present).cloned()
    }

    /// A guild, frozen or not.
    pub(crate) fn get(&self, guild: GuildId) -> Option<Known> {
        self.all().get(&guild).cloned()
    }

    /// Guilds that are available.
    pub(crate) fn usable_ids(&self) -> Vec<GuildId> {
        let all = self.all();
        let usable = all.iter().filter(|(_, known)| known.available && known.present);
        let mut ids: Vec<GuildId> = usable.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// How many there are, and how many of them are frozen.
    pub(crate) fn count(&self) -> (usize, usize) {
        let all = self.all();
        (all.len(), all.values().filter(|known| !known.available || !known.present).count())
    }

    /// A guild was described; members that the description lacks stay as they were.
    pub(crate) fn put(&self, shard: u32, frame: GuildFrame) {
        let mut all = self.all();
        let known = all.entry(frame.id).or_insert_with(|| Known::new(shard));
        if !frame.name.is_empty() {
            known.name = frame.name;
        }
        known.owner = frame.owner.or(known.owner);
        known.members = frame.members.or(known.members);
        known.bots.extend(frame.bots);
        if let Some(roles) = frame.roles {
            // Without its roles a guild stays frozen: every rule would look as if its role was deleted.
            known.roles = roles;
            known.available = true;
        }
        known.shard = shard;
        known.present = true;
    }

    /// A guild was asked about. The gateway's word about its roles and whether it can be reached is newer than any
    /// answer, so of a guild that is known only the rest is taken; false if it is frozen.
    pub(crate) fn described(&self, shard: u32, frame: GuildFrame) -> bool {
        let mut all = self.all();
        let Some(known) = all.get_mut(&frame.id) else {
            drop(all);
            self.put(shard, frame);
            return true;
        };
        known.members = frame.members.or(known.members);
        known.available && known.present
    }

    /// A guild cannot be reached.
    pub(crate) fn outage(&self, guild: GuildId) {
        if let Some(known) = self.all().get_mut(&guild) {
            known.available = false;
        }
    }

    /// The bot was removed.
    pub(crate) fn removed(&self, shard: u32, guild: GuildId) {
        self.all().entry(guild).or_insert_with(|| Known::new(shard)).present = false;
    }

    /// A bot has these roles now.
    pub(crate) fn bot(&self, guild: GuildId, bot: DiscordId, roles: BTreeSet<RoleId>) {
        if let Some(known) = self.all().get_mut(&guild) {
            known.bots.insert(bot, roles);
        }
    }

    /// A role is there.
    pub(crate) fn role(&self, guild: GuildId, id: RoleId, role: Role) {
        if let Some(known) = self.all().get_mut(&guild) {
            known.roles.insert(id, role);
        }
    }

    /// A role was deleted.
    pub(crate) fn role_gone(&self, guild: GuildId, id: RoleId) {
        if let Some(known) = self.all().get_mut(&guild) {
            known.roles.remove(&id);
        }
    }

    /// Nothing is known any more of the guilds of a shard, because its session ended.
    pub(crate) fn forget_shard(&self, shard: u32) {
        self.all().retain(|_, known| known.shard != shard);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::frames::guild_frame;

    const GUILD: GuildId = GuildId(10);
    const BOT: DiscordId = DiscordId(7);

    fn role(id: &str, position: i64, managed: bool) -> serde_json::Value {
        json!({ "id": id, "name": id, "position": position, "permissions": "0", "managed": managed })
    }

    fn assignable(own: &[&str], bot: Option<DiscordId>) -> Vec<u64> {
        let mut tagged = role("14", 2, true);
        tagged["tags"] = json!({ "bot_id": "7" });
        let data = json!({
            "id": "10", "name": "G", "owner_id": "1",
            "roles": [role("10", 0, false), role("11", 1, false), role("12", 3, false), role("13", 3, false),
                tagged, role("15", 1, true), role("16", 4, false)],
            "members": [{ "user": { "id": "7", "bot": true }, "roles": own }],
        });
        let guilds = Guilds::default();
        guilds.put(0, guild_frame(GUILD, &data));
        let roles = guilds.get(GUILD).unwrap().described_roles(GUILD, bot);
        assert!(roles.iter().map(|role| role.position).rev().is_sorted(), "the highest comes first");
        let mut ids: Vec<u64> = roles.iter().filter(|role| role.assignable).map(|role| role.id.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_bot_gives_what_stands_below_its_highest_role_and_nothing_managed() {
        // By its own managed role alone: what stands below place 2, without @everyone (10) and the managed 15.
        assert_eq!(assignable(&[], Some(BOT)), [11]);
        assert_eq!(assignable(&["16"], Some(BOT)), [11, 12, 13]);
        // Of 12 and 13, in one place, the older stands higher.
        assert_eq!(assignable(&["12"], Some(BOT)), [11, 13]);
        // Who we are is not known yet: then nothing is promised.
        assert_eq!(assignable(&["16"], None), [] as [u64; 0]);
    }

    #[test]
    fn what_a_bot_is_given_later_counts() {
        let guilds = Guilds::default();
        let data = json!({ "id": "10", "roles": [role("10", 0, false), role("11", 1, false), role("12", 2, false)] });
        guilds.put(0, guild_frame(GUILD, &data));
        guilds.bot(GUILD, BOT, BTreeSet::from([RoleId(12)]));
        let roles = guilds.get(GUILD).unwrap().described_roles(GUILD, Some(BOT));
        let given: Vec<u64> = roles.iter().filter(|role| role.assignable).map(|role| role.id.0).collect();
        assert_eq!(given, [11]);
    }
}
