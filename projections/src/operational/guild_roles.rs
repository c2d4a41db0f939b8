//! The roles of guilds as the bot last saw them, for processes that have no connection to Discord. They are Discord's, not
//! ours: no event tells of them, and nothing is decided by them.

use domain::id::{GuildId, RoleId};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::db::{Arg, Sql};
use crate::error::QueryError;

const OF_GUILD: &str = "SELECT roles, seen_at FROM guild_roles WHERE guild_id = $1";
const PUT: &str = "INSERT INTO guild_roles (guild_id, roles, seen_at) VALUES ($1, $2, $3) \
    ON CONFLICT (guild_id) DO UPDATE SET roles = excluded.roles, seen_at = excluded.seen_at \
    WHERE guild_roles.seen_at <= excluded.seen_at";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[OF_GUILD, PUT];

/// A role of a guild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuildRole {
    /// Its id; that of @everyone is the guild's.
    pub id: RoleId,
    /// Its name as Discord has it.
    pub name: String,
    /// Its place: higher ones stand above lower ones.
    pub position: i64,
    /// Whether an integration manages it.
    pub managed: bool,
    /// Whether the bot can give it.
    pub assignable: bool,
}

/// The roles of guilds. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct GuildRoles {
    sql: Sql,
}

impl GuildRoles {
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// The roles of a guild, the highest first, and when they were seen; `None` if the bot has not told yet.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn of(&self, guild: GuildId) -> Result<Option<(Vec<GuildRole>, Timestamp)>, QueryError> {
        let Some(row) = self.sql.fetch_one(OF_GUILD, &[Arg::Text(&guild.to_string())]).await? else {
            return Ok(None);
        };
        let roles = serde_json::from_str(row.text(0)?).map_err(|error| {
            QueryError::Damaged(format!("the roles of guild {guild} cannot be read: {error}; delete the row"))
        })?;
        Ok(Some((roles, Timestamp(row.int(1)?))))
    }

    /// Keeps the roles of a guild as they were seen at `seen_at`; false: what stands there was seen later, and stays.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn put(
        &self,
        guild: GuildId,
        roles: &[GuildRole],
        seen_at: Timestamp,
    ) -> Result<bool, QueryError> {
        let text = serde_json::to_string(roles).map_err(|error| {
            QueryError::Damaged(format!("the roles of guild {guild} have no JSON form: {error}"))
        })?;
        let guild = guild.to_string();
        let args = [Arg::Text(&guild), Arg::Text(&text), Arg::Int(seen_at.ms())];
        Ok(self.sql.run(PUT, &args).await? == 1)
    }
}
