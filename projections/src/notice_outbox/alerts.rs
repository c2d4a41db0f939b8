//! Log messages about keys that seem to be shared: one message names the oldest that none named before. What it is about
//! is fixed in one transaction with the stamps of the rows, so that a crash repeats the same message; a row is deleted
//! when its message was sent. Rows hold ids and numbers, and no person.

use domain::id::{GuildId, LicenseId};

use super::Outbox;
use super::announce::base36;
use crate::db::{Arg, Row, Tx};
use crate::error::QueryError;
use crate::operational::parsed_text;

/// Suspicions that one message names.
const NAMED_MAX: i64 = 10;

const ADD: &str = "INSERT INTO sharing_alert (guild_id, position, license_id, rule, evidence, nonce) \
    VALUES ($1, $2, $3, $4, $5, NULL) ON CONFLICT (guild_id, position) DO NOTHING";
const FORGET_ALL: &str = "DELETE FROM sharing_alert";
const ALERTING: &str = "SELECT DISTINCT guild_id FROM sharing_alert ORDER BY guild_id";
const BEGUN: &str = "SELECT license_id, rule, evidence, nonce FROM sharing_alert \
    WHERE guild_id = $1 AND nonce IS NOT NULL ORDER BY position";
const FIRST: &str = "SELECT min(position) FROM sharing_alert WHERE guild_id = $1";
const STAMP: &str = "UPDATE sharing_alert SET nonce = $2 WHERE guild_id = $1 AND position IN \
    (SELECT position FROM sharing_alert WHERE guild_id = $1 ORDER BY position LIMIT $3)";
const DONE: &str = "DELETE FROM sharing_alert WHERE guild_id = $1 AND nonce = $2";

/// Every statement of this file.
pub(super) const STATEMENTS: &[&str] = &[ADD, FORGET_ALL, ALERTING, BEGUN, FIRST, STAMP, DONE];

/// A license whose key seems to be shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspected {
    /// Which.
    pub license: LicenseId,
    /// The rule that fired.
    pub rule: String,
    /// What it saw, as the event has it.
    pub evidence: String,
}

/// A log message of a guild about keys that seem to be shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingAlert {
    /// At most 25 symbols, the same until it is reported as sent.
    pub nonce: String,
    /// The oldest first.
    pub suspected: Vec<Suspected>,
}

impl Outbox {
    /// Guilds that are to be told of keys that seem to be shared.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn alerting(&self) -> Result<Vec<GuildId>, QueryError> {
        let rows = self.sql.fetch(ALERTING, &[]).await?;
        rows.iter().map(|row| parsed_text(row, 0, "sharing_alert")).collect()
    }

    /// What a guild is to be told: the message that was begun and not yet reported as sent, or else one about the oldest
    /// suspicions. `None` if there is nothing to say.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn alert(&self, guild: GuildId) -> Result<Option<SharingAlert>, QueryError> {
        self.sql.within(self.alert_now(guild)).await
    }

    async fn alert_now(&self, guild: GuildId) -> Result<Option<SharingAlert>, QueryError> {
        let mut tx = self.sql.begin().await?;
        if !self.enter(&mut tx).await? {
            return Ok(None);
        }
        let id = guild.to_string();
        if let Some(begun) = begun(&tx.fetch(BEGUN, &[Arg::Text(&id)]).await?)? {
            return Ok(Some(begun));
        }
        let first = tx.fetch(FIRST, &[Arg::Text(&id)]).await?;
        let Some(first) = first.first().map(|row| row.opt_int(0)).transpose()?.flatten() else {
            return Ok(None);
        };
        let nonce = format!("s{}-{}", base36(guild.0), base36(first.unsigned_abs()));
        tx.execute(STAMP, &[Arg::Text(&id), Arg::Text(&nonce), Arg::Int(NAMED_MAX)]).await?;
        let alert = begun(&tx.fetch(BEGUN, &[Arg::Text(&id)]).await?)?;
        tx.commit().await?;
        Ok(alert)
    }

    /// Reports that the message with this nonce was sent, or that there is nowhere to send it.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn alerted(&self, guild: GuildId, nonce: &str) -> Result<(), QueryError> {
        self.sql.run(DONE, &[Arg::Text(&guild.to_string()), Arg::Text(nonce)]).await?;
        Ok(())
    }
}

/// Keeps a suspicion until its guild was told.
pub(super) async fn keep(
    tx: &mut Tx,
    guild: GuildId,
    position: i64,
    license: LicenseId,
    (rule, evidence): (&str, &str),
) -> Result<(), QueryError> {
    let (guild, license) = (guild.to_string(), license.to_string());
    let args =
        [Arg::Text(&guild), Arg::Int(position), Arg::Text(&license), Arg::Text(rule), Arg::Text(evidence)];
    tx.execute(ADD, &args).await?;
    Ok(())
}

/// What waited when the log was restored may have been told since the backup.
pub(super) async fn forget_all(tx: &mut Tx) -> Result<(), crate::db::DbError> {
    tx.execute(FORGET_ALL, &[]).await?;
    Ok(())
}

/// The message that the stamped rows of a guild belong to.
fn begun(rows: &[Row]) -> Result<Option<SharingAlert>, QueryError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let suspected = rows.iter().map(|row| {
        Ok(Suspected {
            license: parsed_text(row, 0, "sharing_alert")?,
            rule: row.text(1)?.to_owned(),
            evidence: row.text(2)?.to_owned(),
        })
    });
    let nonce = first.text(3)?.to_owned();
    Ok(Some(SharingAlert { nonce, suspected: suspected.collect::<Result<_, QueryError>>()? }))
}
