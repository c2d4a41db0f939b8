//! What can happen in a guild, each with its frames: joining, leaving, roles given, taken, made and deleted, outage
//! and kick. Asks for no permission: that is the business of who calls.

use std::collections::BTreeSet;

use serde_json::json;

use super::model::{Account, Member, Role};
use super::seed;
use super::shapes;
use super::state::Change;
use crate::gateway::intents::{GUILD_MEMBERS, GUILDS};
use crate::hub::{Inner, StoreError};
use crate::settings::{BOT_ID, WorldGuild};

impl Inner {
    /// Makes the account if it was never seen.
    pub(crate) fn ensure_account(&mut self, id: u64, username: Option<&str>) -> Result<(), StoreError> {
        if self.state.accounts.contains_key(&id) {
            return Ok(());
        }
        let username = username.map_or_else(|| format!("user{id}"), str::to_owned);
        self.commit(vec![Change::Account { id, account: Account { username, ..Account::default() } }])
    }

    /// Makes the account a member with exactly these roles; says whether it joined just now. A member whose roles
    /// are these already causes no frame.
    pub(crate) fn set_member(
        &mut self,
        guild: u64,
        user: u64,
        roles: BTreeSet<u64>,
    ) -> Result<bool, StoreError> {
        let known = self.state.guilds.get(&guild).and_then(|guild| guild.members.get(&user)).cloned();
        let joins = known.is_none();
        let mut member = known.unwrap_or_else(|| Member { joined_ms: self.now, ..Member::default() });
        if !joins && member.roles == roles {
            return Ok(false);
        }
        member.roles = roles;
        self.commit(vec![Change::Members { guild, members: vec![(user, member)] }])?;
        self.member_frame(guild, user, if joins { "GUILD_MEMBER_ADD" } else { "GUILD_MEMBER_UPDATE" });
        Ok(joins)
    }

    /// Tells the sessions how a member is now. News of the bot itself need no intent of members.
    pub(crate) fn member_frame(&mut self, guild: u64, user: u64, name: &str) {
        let Some(member) = self.state.guilds.get(&guild).and_then(|guild| guild.members.get(&user)) else {
            return;
        };
        let data = shapes::member_event(&self.state, guild, user, member);
        let intents = if user == BOT_ID { GUILDS } else { GUILD_MEMBERS };
        self.dispatch(Some(guild), intents, name, &data);
    }

    /// A member leaves, is kicked or banned: Discord does not tell these apart. The bot leaving is [`Self::kick`].
    pub(crate) fn leave(&mut self, guild: u64, user: u64) -> Result<(), StoreError> {
        self.commit(vec![Change::MemberGone { guild, user }])?;
        let data = json!({"guild_id": guild.to_string(), "user": shapes::user(&self.state, user)});
        self.dispatch(Some(guild), GUILD_MEMBERS, "GUILD_MEMBER_REMOVE", &data);
        Ok(())
    }

    /// Makes or changes a role.
    pub(crate) fn put_role(&mut self, guild: u64, id: u64, role: Role) -> Result<(), StoreError> {
        let is_new = self.state.guilds.get(&guild).is_none_or(|guild| !guild.roles.contains_key(&id));
        let data = json!({"guild_id": guild.to_string(), "role": shapes::role(id, &role)});
        self.commit(vec![Change::Role { guild, id, role }])?;
        let name = if is_new { "GUILD_ROLE_CREATE" } else { "GUILD_ROLE_UPDATE" };
        self.dispatch(Some(guild), GUILDS, name, &data);
        Ok(())
    }

    /// Deletes a role and takes it from everybody who had it.
    pub(crate) fn delete_role(&mut self, guild: u64, id: u64) -> Result<(), StoreError> {
        let members = self.state.guilds.get(&guild).map(|guild| &guild.members);
        let had: Vec<u64> = members
            .into_iter()
            .flatten()
            .filter(|(_, member)| member.roles.contains(&id))
            .map(|(user, _)| *user)
            .collect();
        self.commit(vec![Change::RoleGone { guild, id }])?;
        let data = json!({"guild_id": guild.to_string(), "role_id": id.to_string()});
        self.dispatch(Some(guild), GUILDS, "GUILD_ROLE_DELETE", &data);
        for user in had {
            self.member_frame(guild, user, "GUILD_MEMBER_UPDATE");
        }
        Ok(())
    }

    /// Makes a guild with the bot in it, or lets the bot back into one that it was kicked from.
    pub(crate) fn open_guild(&mut self, guild: &WorldGuild) -> Result<(), StoreError> {
        let id = guild.id;
        let changes = if let Some(known) = self.state.guilds.get(&id) {
            let highest = known.roles.values().map(|role| role.position).max().unwrap_or(0);
            let role = self.next_id();
            seed::bot_changes(id, role, highest, self.now)
        } else {
            seed::guild_changes(&self.state, guild, self.now)
        };
        self.commit(changes)?;
        self.guild_create(id);
        Ok(())
    }

    /// Tells the sessions all about a guild.
    pub(crate) fn guild_create(&mut self, id: u64) {
        if let Some(guild) = self.state.guilds.get(&id) {
            let data = shapes::guild_create(&self.state, id, guild);
            self.dispatch(Some(id), GUILDS, "GUILD_CREATE", &data);
        }
    }

    /// The bot is thrown out; its managed role goes with it.
    pub(crate) fn kick(&mut self, id: u64) -> Result<(), StoreError> {
        let roles = self.state.guilds.get(&id).map(|guild| &guild.roles);
        let own = roles.into_iter().flatten().filter(|(_, role)| role.bot_id == Some(BOT_ID));
        let mut changes: Vec<Change> =
            own.map(|(role, _)| Change::RoleGone { guild: id, id: *role }).collect();
        changes.push(Change::MemberGone { guild: id, user: BOT_ID });
        self.commit(changes)?;
        // Removed, not an outage: the member `unavailable` is not set.
        self.dispatch_anyway(Some(id), GUILDS, "GUILD_DELETE", &json!({"id": id.to_string()}));
        Ok(())
    }

    /// Begins or ends an outage.
    pub(crate) fn set_outage(&mut self, id: u64, on: bool) -> Result<(), StoreError> {
        let Some(guild) = self.state.guilds.get(&id) else { return Ok(()) };
        if guild.outage == on {
            return Ok(());
        }
        let (name, owner_id) = (guild.name.clone(), guild.owner_id);
        let was_in = self.is_in(id);
        self.commit(vec![Change::Guild { id, name, owner_id, outage: on }])?;
        if !was_in {
            return Ok(());
        }
        if on {
            let data = json!({"id": id.to_string(), "unavailable": true});
            self.dispatch_anyway(Some(id), GUILDS, "GUILD_DELETE", &data);
        } else {
            self.guild_create(id);
        }
        Ok(())
    }

    /// Changes name or owner.
    pub(crate) fn edit_guild(&mut self, id: u64, name: String, owner_id: u64) -> Result<(), StoreError> {
        let outage = self.state.guilds.get(&id).is_some_and(|guild| guild.outage);
        self.commit(vec![Change::Guild { id, name, owner_id, outage }])?;
        if let Some(guild) = self.state.guilds.get(&id) {
            let data = shapes::guild(id, guild);
            self.dispatch(Some(id), GUILDS, "GUILD_UPDATE", &data);
        }
        Ok(())
    }
}
