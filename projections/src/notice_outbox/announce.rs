//! Log messages about deliveries that were not sent: one message names all of a guild that none named before. What it
//! says is fixed in one transaction with the stamps of the rows, so that a crash repeats the same message.

use std::collections::BTreeMap;

use domain::id::GuildId;
use domain::time::Timestamp;

use super::Outbox;
use crate::db::{Arg, Row};
use crate::error::QueryError;
use crate::operational::parsed_text;

const UNANNOUNCED: &str = "SELECT guild_id FROM delivery \
    WHERE state IN ('bulk', 'undeliverable') AND announced IS NULL \
    UNION SELECT guild_id FROM delivery_announcement WHERE pending = 1 ORDER BY guild_id";
const LAST: &str =
    "SELECT number, pending, nonce, bulk, undeliverable FROM delivery_announcement WHERE guild_id = $1";
const STAMP: &str = "UPDATE delivery SET announced = $2 \
    WHERE guild_id = $1 AND state IN ('bulk', 'undeliverable') AND announced IS NULL \
    RETURNING license_type, state";
const KEEP: &str = "INSERT INTO delivery_announcement \
    (guild_id, number, pending, nonce, bulk, undeliverable, created_at) VALUES ($1, $2, 1, $3, $4, $5, $6) \
    ON CONFLICT (guild_id) DO UPDATE SET number = excluded.number, pending = 1, nonce = excluded.nonce, \
    bulk = excluded.bulk, undeliverable = excluded.undeliverable, created_at = excluded.created_at";
const DONE: &str = "UPDATE delivery_announcement SET pending = 0 WHERE guild_id = $1 AND nonce = $2";

/// Every statement of this file.
pub(super) const STATEMENTS: &[&str] = &[UNANNOUNCED, LAST, STAMP, KEEP, DONE];

/// A log message of a guild about deliveries that were not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// At most 25 symbols, the same until it is reported as sent.
    pub nonce: String,
    /// How many keys of each type wait at the claim panel because there were many at once.
    pub bulk: BTreeMap<String, u32>,
    /// How many wait there because their owners take no direct messages.
    pub undeliverable: u32,
}

impl Outbox {
    /// Guilds that have something to announce.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn unannounced(&self) -> Result<Vec<GuildId>, QueryError> {
        let rows = self.sql.fetch(UNANNOUNCED, &[]).await?;
        rows.iter().map(|row| parsed_text(row, 0, "delivery")).collect()
    }

    /// What is to be announced in a guild: the message that was begun and not yet reported as sent, or else one about
    /// all deliveries that none named. `None` if there is nothing to say.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn announce(&self, guild: GuildId, now: Timestamp) -> Result<Option<Announcement>, QueryError> {
        self.sql.within(self.announce_now(guild, now)).await
    }

    async fn announce_now(&self, guild: GuildId, now: Timestamp) -> Result<Option<Announcement>, QueryError> {
        let mut tx = self.sql.begin().await?;
        if !self.enter(&mut tx).await? {
            return Ok(None);
        }
        let id = guild.to_string();
        let last = tx.fetch(LAST, &[Arg::Text(&id)]).await?;
        let number = match last.first() {
            Some(row) if row.int(1)? == 1 => return pending(row).map(Some),
            Some(row) => row.int(0)? + 1,
            None => 1,
        };
        let nonce = format!("a{}-{number}", base36(guild.0));
        let stamped = tx.fetch(STAMP, &[Arg::Text(&id), Arg::Text(&nonce)]).await?;
        if stamped.is_empty() {
            return Ok(None);
        }
        let mut announcement = Announcement { nonce, bulk: BTreeMap::new(), undeliverable: 0 };
        for row in &stamped {
            match row.text(1)? {
                "bulk" => *announcement.bulk.entry(row.text(0)?.to_owned()).or_default() += 1,
                _ => announcement.undeliverable += 1,
            }
        }
        let bulk = serde_json::to_string(&announcement.bulk)
            .map_err(|error| QueryError::Damaged(format!("counts cannot be written: {error}")))?;
        let args = [
            Arg::Text(&id),
            Arg::Int(number),
            Arg::Text(&announcement.nonce),
            Arg::Text(&bulk),
            Arg::Int(i64::from(announcement.undeliverable)),
            Arg::Int(now.ms()),
        ];
        tx.execute(KEEP, &args).await?;
        tx.commit().await?;
        Ok(Some(announcement))
    }

    /// Reports that the message with this nonce was sent, or that there is nowhere to send it.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn announced(&self, guild: GuildId, nonce: &str) -> Result<(), QueryError> {
        self.sql.run(DONE, &[Arg::Text(&guild.to_string()), Arg::Text(nonce)]).await?;
        Ok(())
    }
}

fn pending(row: &Row) -> Result<Announcement, QueryError> {
    let bulk = serde_json::from_str(row.text(3)?).map_err(|error| {
        QueryError::Damaged(format!(
            "a row of delivery_announcement holds no counts: {error}; delete the row"
        ))
    })?;
    let undeliverable = u32::try_from(row.int(4)?).unwrap_or(u32::MAX);
    Ok(Announcement { nonce: row.text(2)?.to_owned(), bulk, undeliverable })
}

/// A number in digits and small letters: a guild in at most 13 symbols, which leaves ten digits for the number of the
/// message within the 25 symbols that Discord takes.
pub(super) fn base36(mut number: u64) -> String {
    let mut symbols = Vec::new();
    loop {
        symbols.extend(char::from_digit((number % 36) as u32, 36));
        number /= 36;
        if number == 0 {
            return symbols.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::base36;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 35, 36, 1_295, u64::MAX].map(base36), ["0", "z", "10", "zz", "3w5e11264sgsf"]);
    }
}
