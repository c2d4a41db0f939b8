//! What may be sent when: claiming deliveries and reporting what became of them. It counts, and sends nothing.

use domain::id::GuildId;
use domain::time::{Span, Timestamp};

use super::{Delivery, Outbox, SendLimits, columns, read};
use crate::db::{Arg, Tx};
use crate::error::QueryError;
use crate::operational::{Lease, in_force, parsed_text, whole_ms};

/// What limits a minute count.
const MINUTE: Span = Span::seconds(60);

const DUE_GUILDS: &str = "SELECT DISTINCT guild_id FROM delivery \
    WHERE state IN ('waiting', 'sending') AND due_at <= $1 ORDER BY guild_id";
const NEXT_DUE: &str = "SELECT min(due_at) FROM delivery WHERE state IN ('waiting', 'sending')";
const BRAKE: &str = "UPDATE delivery SET state = 'bulk', announced = NULL \
    WHERE guild_id = $1 AND state = 'waiting' AND attempts = 0 AND created_at > $2 AND \
    (SELECT count(*) FROM delivery AS recent WHERE recent.guild_id = $1 AND recent.created_at > $2) > $3";
const COUNTED: &str = "SELECT count(*) FROM delivery WHERE guild_id = $1 AND counted_at > $2";
/// What chooses the rows stands in it twice: the outer one is looked at again if a report changed a row meanwhile.
const CLAIM: &str = concat!(
    "UPDATE delivery SET state = 'sending', attempts = attempts + 1, \
    first_attempt_at = coalesce(first_attempt_at, $2), counted_at = $2, due_at = $3 \
    WHERE (guild_id, pseudonym, license_type) IN ( \
    SELECT guild_id, pseudonym, license_type FROM delivery \
    WHERE guild_id = $1 AND state IN ('waiting', 'sending') AND due_at <= $2 \
    ORDER BY created_at, position LIMIT $4) \
    AND state IN ('waiting', 'sending') AND due_at <= $2 RETURNING ",
    columns!()
);
const SENT: &str = "UPDATE delivery SET state = 'sent', sent_at = $5, counted_at = $5, code = NULL \
    WHERE guild_id = $1 AND pseudonym = $2 AND license_type = $3 AND nonce = $4";
const RETRY: &str = "UPDATE delivery SET state = 'waiting', due_at = $5, counted_at = sent_at \
    WHERE guild_id = $1 AND pseudonym = $2 AND license_type = $3 AND nonce = $4 AND state = 'sending'";
const UNDELIVERABLE: &str = "UPDATE delivery SET state = 'undeliverable', code = $5, counted_at = $6, announced = NULL \
    WHERE guild_id = $1 AND pseudonym = $2 AND license_type = $3 AND nonce = $4 \
    AND state IN ('waiting', 'sending')";
const DROPPED: &str = "UPDATE delivery SET state = 'dropped', counted_at = sent_at \
    WHERE guild_id = $1 AND pseudonym = $2 AND license_type = $3 AND nonce = $4 AND state <> 'sent'";

/// Every statement of this file.
pub(super) const STATEMENTS: &[&str] =
    &[DUE_GUILDS, NEXT_DUE, BRAKE, COUNTED, CLAIM, SENT, RETRY, UNDELIVERABLE, DROPPED];

impl Outbox {
    /// Guilds with deliveries that wait and are due, or whose sender did not report in time. A guild whose minute is
    /// used up is among them.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn due_guilds(&self, now: Timestamp) -> Result<Vec<GuildId>, QueryError> {
        let rows = self.sql.fetch(DUE_GUILDS, &[Arg::Int(now.ms())]).await?;
        rows.iter().map(|row| parsed_text(row, 0, "delivery")).collect()
    }

    /// When the next delivery is due; it may lie in the past. `None` if none waits.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, QueryError> {
        let row = self.sql.fetch_one(NEXT_DUE, &[]).await?;
        Ok(row.map_or(Ok(None), |row| row.opt_int(0))?.map(Timestamp))
    }

    /// Claims what may be sent now in one guild, oldest first: with more than `bulk_above` deliveries in the last
    /// minute none of those that nobody tried yet, and at most `per_guild_minute` less what was sent, or is being sent,
    /// in the last minute. Each is the caller's for `lease`; if he does not report by then, it is claimed again with the
    /// same nonce. Nothing is claimed unless `fence` is in force.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn claim(
        &self,
        guild: GuildId,
        now: Timestamp,
        limits: &SendLimits,
        fence: &Lease,
    ) -> Result<Vec<Delivery>, QueryError> {
        let mut claimed = self.sql.within(self.claim_now(guild, now, limits, fence)).await?;
        claimed.sort_by_key(|delivery| (delivery.created_at, delivery.position));
        Ok(claimed)
    }

    async fn claim_now(
        &self,
        guild: GuildId,
        now: Timestamp,
        limits: &SendLimits,
        fence: &Lease,
    ) -> Result<Vec<Delivery>, QueryError> {
        let mut tx = self.sql.begin().await?;
        if !self.enter(&mut tx).await? || !in_force(&mut tx, fence).await? {
            return Ok(Vec::new());
        }
        brake(&mut tx, guild, now, limits).await?;
        let id = guild.to_string();
        let counted = tx.fetch(COUNTED, &[Arg::Text(&id), Arg::Int(minute_before(now))]).await?;
        let counted = counted.first().map_or(Ok(0), |row| row.int(0))?;
        let room = i64::from(limits.per_guild_minute).saturating_sub(counted).min(i64::from(limits.batch));
        let mut claimed = Vec::new();
        if room > 0 {
            let until = now.ms().saturating_add(whole_ms(limits.lease));
            let args = [Arg::Text(&id), Arg::Int(now.ms()), Arg::Int(until), Arg::Int(room)];
            let rows = tx.fetch(CLAIM, &args).await?;
            claimed = rows.iter().map(read).collect::<Result<_, _>>()?;
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Reports that Discord took the message. False if the slot has another delivery by now.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn sent(&self, delivery: &Delivery, now: Timestamp) -> Result<bool, QueryError> {
        self.report(SENT, delivery, &[Arg::Int(now.ms())]).await
    }

    /// Reports that it could not be sent, and may be at `due_at`. False if the slot has another delivery by now, or
    /// nobody sends this one.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn retry(&self, delivery: &Delivery, due_at: Timestamp) -> Result<bool, QueryError> {
        self.report(RETRY, delivery, &[Arg::Int(due_at.ms())]).await
    }

    /// Reports that Discord takes no message for this person, and its code. False if the slot has another delivery by
    /// now, or this one is over.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn undeliverable(
        &self,
        delivery: &Delivery,
        code: u32,
        now: Timestamp,
    ) -> Result<bool, QueryError> {
        self.report(UNDELIVERABLE, delivery, &[Arg::Int(i64::from(code)), Arg::Int(now.ms())]).await
    }

    /// Reports that there is nothing to deliver any more: the license is not live, or its key was shown elsewhere.
    /// False if the slot has another delivery by now, or this one was sent.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn dropped(&self, delivery: &Delivery) -> Result<bool, QueryError> {
        self.report(DROPPED, delivery, &[]).await
    }

    async fn report(&self, text: &str, delivery: &Delivery, more: &[Arg<'_>]) -> Result<bool, QueryError> {
        let guild = delivery.guild.to_string();
        let slot = [
            Arg::Text(&guild),
            Arg::Text(delivery.user.as_str()),
            Arg::Text(&delivery.license_type),
            Arg::Text(&delivery.nonce),
        ];
        Ok(self.sql.run(text, &[&slot, more].concat()).await? == 1)
    }
}

/// Leaves the deliveries of a guild's last minute to the claim panel if they are too many; those that were tried
/// already stay as they are.
pub(super) async fn brake(
    tx: &mut Tx,
    guild: GuildId,
    now: Timestamp,
    limits: &SendLimits,
) -> Result<(), QueryError> {
    let guild = guild.to_string();
    let above = Arg::Int(i64::from(limits.bulk_above));
    tx.execute(BRAKE, &[Arg::Text(&guild), Arg::Int(minute_before(now)), above]).await?;
    Ok(())
}

fn minute_before(now: Timestamp) -> i64 {
    now.ms() - MINUTE.ms()
}
