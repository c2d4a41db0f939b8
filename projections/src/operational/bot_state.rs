//! What the bot must still know after a restart: its sessions at the gateway, how often it identified itself in the
//! last 24 hours, channels of direct messages, and small notes. It never speaks with Discord.

use domain::id::{ChannelId, Pseudonym};

use super::{Lease, in_force, parsed_text};
use crate::db::{Arg, Sql};
use crate::error::QueryError;

const SESSION: &str =
    "SELECT shard, session_id, sequence, resume_url, ready FROM gateway_session WHERE shard = $1";
const SAVE_SESSION: &str = "INSERT INTO gateway_session (shard, session_id, sequence, resume_url, ready) \
    VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (shard) DO UPDATE SET session_id = excluded.session_id, sequence = excluded.sequence, \
    resume_url = excluded.resume_url, ready = excluded.ready";
const FORGET_DM_CHANNEL: &str = "DELETE FROM dm_channel WHERE pseudonym = $1";
const FORGET_SESSION: &str = "DELETE FROM gateway_session WHERE shard = $1";
const PRUNE_IDENTIFIES: &str = "DELETE FROM gateway_identify WHERE sent_at <= {now_ms} - 86400000";
const SPEND_IDENTIFY: &str = "INSERT INTO gateway_identify (number, shard, sent_at) \
    SELECT coalesce(max(number), 0) + 1, CAST($1 AS TEXT), {now_ms} FROM gateway_identify \
    HAVING count(*) < CAST($2 AS BIGINT)";
const IDENTIFIES: &str = "SELECT count(*) FROM gateway_identify WHERE sent_at > {now_ms} - 86400000";
const NOTE: &str = "SELECT value FROM bot_note WHERE name = $1";
const SET_NOTE: &str = "INSERT INTO bot_note (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const DROP_NOTE: &str = "DELETE FROM bot_note WHERE name = $1";
const DM_CHANNEL: &str = "SELECT channel_id FROM dm_channel WHERE pseudonym = $1";
const SET_DM_CHANNEL: &str = "INSERT INTO dm_channel (pseudonym, channel_id) VALUES ($1, $2) \
    ON CONFLICT (pseudonym) DO UPDATE SET channel_id = excluded.channel_id";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[
    SESSION,
    SAVE_SESSION,
    FORGET_SESSION,
    FORGET_DM_CHANNEL,
    PRUNE_IDENTIFIES,
    SPEND_IDENTIFY,
    IDENTIFIES,
    NOTE,
    SET_NOTE,
    DROP_NOTE,
    DM_CHANNEL,
    SET_DM_CHANNEL,
];

/// The note that whoever spends an IDENTIFY writes first, so that all of them stand in one line; it names the shard
/// that did so last.
const LAST_IDENTIFY: &str = "last_identify";

/// A session of a shard at the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySession {
    /// Which shard of how many, `0/1`.
    pub shard: String,
    /// Discord's name of the session.
    pub session_id: String,
    /// The last event that was taken.
    pub sequence: i64,
    /// Where to resume it.
    pub resume_url: String,
    /// The READY that it began with, JSON.
    pub ready: String,
}

/// What the bot remembers. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct BotState {
    sql: Sql,
}

impl BotState {
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// The session of a shard.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn session(&self, shard: &str) -> Result<Option<GatewaySession>, QueryError> {
        let Some(row) = self.sql.fetch_one(SESSION, &[Arg::Text(shard)]).await? else { return Ok(None) };
        Ok(Some(GatewaySession {
            shard: row.text(0)?.to_owned(),
            session_id: row.text(1)?.to_owned(),
            sequence: row.int(2)?,
            resume_url: row.text(3)?.to_owned(),
            ready: row.text(4)?.to_owned(),
        }))
    }

    /// Keeps a session if `lease` is in force with its token; false, and nothing is written, if not.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn save_session(&self, session: &GatewaySession, lease: &Lease) -> Result<bool, QueryError> {
        let args = [
            Arg::Text(&session.shard),
            Arg::Text(&session.session_id),
            Arg::Int(session.sequence),
            Arg::Text(&session.resume_url),
            Arg::Text(&session.ready),
        ];
        self.fenced(lease, SAVE_SESSION, &args).await
    }

    /// Forgets the session of a shard, because Discord has; false, and nothing is forgotten, if `lease` is not in force
    /// with its token: the session is its successor's then.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn forget_session(&self, shard: &str, lease: &Lease) -> Result<bool, QueryError> {
        self.fenced(lease, FORGET_SESSION, &[Arg::Text(shard)]).await
    }

    /// Writes while `lease` is in force; false, and nothing is written, if it is not.
    async fn fenced(&self, lease: &Lease, text: &'static str, args: &[Arg<'_>]) -> Result<bool, QueryError> {
        let work = async {
            let mut tx = self.sql.begin().await?;
            if !in_force(&mut tx, lease).await? {
                return Ok(false);
            }
            tx.execute(text, args).await?;
            tx.commit().await?;
            Ok(true)
        };
        self.sql.within(work).await
    }

    /// Notes an IDENTIFY that is about to be sent, if fewer than `limit` of any shard stand in the last 24 hours by the
    /// database's clock. False if the budget is used up: then none may be sent.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer; it may have been noted all the same.
    pub async fn spend_identify(&self, shard: &str, limit: u32) -> Result<bool, QueryError> {
        let work = async {
            let mut tx = self.sql.begin().await?;
            tx.execute(SET_NOTE, &[Arg::Text(LAST_IDENTIFY), Arg::Text(shard)]).await?;
            tx.execute(PRUNE_IDENTIFIES, &[]).await?;
            let args = [Arg::Text(shard), Arg::Int(i64::from(limit))];
            if tx.execute(SPEND_IDENTIFY, &args).await? == 0 {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        };
        self.sql.within(work).await
    }

    /// How many IDENTIFYs stand in the last 24 hours.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn identifies(&self) -> Result<u32, QueryError> {
        let row = self.sql.fetch_one(IDENTIFIES, &[]).await?;
        let count = row.map_or(Ok(0), |row| row.int(0))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// A small value by its name, such as the hash of the commands as they were registered.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn note(&self, name: &str) -> Result<Option<String>, QueryError> {
        let row = self.sql.fetch_one(NOTE, &[Arg::Text(name)]).await?;
        Ok(row.map(|row| row.text(0).map(str::to_owned)).transpose()?)
    }

    /// Keeps a small value, or forgets it.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn set_note(&self, name: &str, value: Option<&str>) -> Result<(), QueryError> {
        match value {
            Some(value) => self.sql.run(SET_NOTE, &[Arg::Text(name), Arg::Text(value)]).await?,
            None => self.sql.run(DROP_NOTE, &[Arg::Text(name)]).await?,
        };
        Ok(())
    }

    /// The channel of direct messages with a person, if one was opened.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn dm_channel(&self, user: &Pseudonym) -> Result<Option<ChannelId>, QueryError> {
        let row = self.sql.fetch_one(DM_CHANNEL, &[Arg::Text(user.as_str())]).await?;
        row.map(|row| parsed_text(&row, 0, "dm_channel")).transpose()
    }

    /// Forgets the channel of direct messages with a person: the next message opens it again.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn forget_dm_channel(&self, user: &Pseudonym) -> Result<(), QueryError> {
        self.sql.run(FORGET_DM_CHANNEL, &[Arg::Text(user.as_str())]).await?;
        Ok(())
    }

    /// Keeps the channel of direct messages with a person, until the person is erased.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn set_dm_channel(&self, user: &Pseudonym, channel: ChannelId) -> Result<(), QueryError> {
        let channel = channel.to_string();
        self.sql.run(SET_DM_CHANNEL, &[Arg::Text(user.as_str()), Arg::Text(&channel)]).await?;
        Ok(())
    }
}
