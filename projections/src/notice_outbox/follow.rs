//! The outbox follows the log: which events make deliveries, and which erase them. Events and checkpoint are written in
//! one transaction that begins with the checkpoint, so that each event counts once, whoever follows.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use domain::event::{DomainEvent, StoredEvent};
use domain::id::{GuildId, Kind, LicenseId, Pseudonym};
use domain::time::Timestamp;
use domain::{license, member};

use super::{Cause, DeliveryState, Followed, NAME, Outbox, SendLimits, alerts, send};
use crate::consumer::{self, LAZY};
use crate::db::{Arg, Tx};
use crate::error::QueryError;

/// What waited when the log was restored may have been sent since the backup.
const SET_ASIDE: &str =
    "UPDATE delivery SET state = 'bulk', announced = NULL WHERE state IN ('waiting', 'sending')";
/// A delivery that is replaced while it is sent counts as sent: nobody can tell.
const OPEN: &str = "INSERT INTO delivery (guild_id, pseudonym, license_type, license_id, generation, number, nonce, \
    state, position, created_at, due_at, attempts) \
    VALUES ($1, $2, $3, $4, $5, 1, CAST($6 AS TEXT) || '1', $7, $8, $9, $9, 0) \
    ON CONFLICT (guild_id, pseudonym, license_type) DO UPDATE SET license_id = excluded.license_id, \
    generation = excluded.generation, number = delivery.number + 1, \
    nonce = CAST($6 AS TEXT) || CAST(delivery.number + 1 AS TEXT), state = excluded.state, \
    position = excluded.position, created_at = excluded.created_at, \
    due_at = CASE \
    WHEN delivery.state = 'sending' AND delivery.counted_at + CAST($10 AS BIGINT) > excluded.created_at \
    THEN delivery.counted_at + CAST($10 AS BIGINT) \
    WHEN delivery.state <> 'sending' AND delivery.sent_at + CAST($10 AS BIGINT) > excluded.created_at \
    THEN delivery.sent_at + CAST($10 AS BIGINT) \
    ELSE excluded.created_at END, \
    sent_at = CASE WHEN delivery.state = 'sending' THEN delivery.counted_at ELSE delivery.sent_at END, \
    attempts = 0, first_attempt_at = NULL, code = NULL, announced = NULL";
/// A new key goes the way of the one before. What waits is rendered with the key that the license has when it is sent;
/// what waits at the claim panel, or could not be delivered, goes on waiting there.
const REKEY: &str = "UPDATE delivery SET number = number + 1, \
    nonce = CAST($2 AS TEXT) || CAST(number + 1 AS TEXT), state = 'waiting', position = $3, created_at = $4, \
    due_at = CASE \
    WHEN state = 'sending' AND counted_at + CAST($5 AS BIGINT) > $4 THEN counted_at + CAST($5 AS BIGINT) \
    WHEN state = 'sent' AND sent_at + CAST($5 AS BIGINT) > $4 THEN sent_at + CAST($5 AS BIGINT) \
    ELSE $4 END, \
    sent_at = CASE WHEN state = 'sending' THEN counted_at ELSE sent_at END, \
    attempts = 0, first_attempt_at = NULL, code = NULL, announced = NULL \
    WHERE license_id = $1 AND state IN ('sent', 'sending')";
const ERASE_DELIVERIES: &str = "DELETE FROM delivery WHERE pseudonym = $1";
const ERASE_CHANNEL: &str = "DELETE FROM dm_channel WHERE pseudonym = $1";
const ERASE_REMOVALS: &str = "DELETE FROM held_removal WHERE pseudonym = $1";

/// Every statement of this file.
pub(super) const STATEMENTS: &[&str] =
    &[SET_ASIDE, OPEN, REKEY, ERASE_DELIVERIES, ERASE_CHANNEL, ERASE_REMOVALS];

/// What an event changes here.
enum Change {
    Open {
        guild: GuildId,
        user: Pseudonym,
        license_type: String,
        license: LicenseId,
        generation: u32,
        cause: Cause,
        position: i64,
    },
    Rekey {
        license: LicenseId,
        position: i64,
    },
    Suspect {
        guild: GuildId,
        license: LicenseId,
        rule: String,
        evidence: String,
        position: i64,
    },
    Erase(Pseudonym),
}

impl Outbox {
    /// Reads up to `limit` events after the checkpoint and writes what they change, with the checkpoint. A slot that was
    /// opened makes a delivery, or replaces the one before: due at `now`, or `slot_pause` after the last message of the
    /// slot. So does a new key of a license whose key was sent. A suspicion makes an alert. An outbox that never followed
    /// this log begins at its head, so nothing old is ever sent; what waited when the log was restored is left to the claim
    /// panel, and alerts are forgotten.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer, [`QueryError::Damaged`] for an event that cannot be
    /// read: the outbox then stands before it.
    pub async fn follow(
        &self,
        now: Timestamp,
        limit: u32,
        limits: &SendLimits,
    ) -> Result<Followed, QueryError> {
        let Some(start) = self.standing().await? else {
            self.start_at_head().await?;
            let position = self.standing().await?.unwrap_or(0);
            return Ok(Followed { position, more: true, ..Followed::default() });
        };
        // From where this process read last, though another one may have written since: who follows first makes the
        // deliveries, but everybody is to hear of rules.
        let passed = self.passed.load(Ordering::Acquire);
        let from = if passed == 0 { start } else { passed };
        let events = self.log.read(from, limit).await?;
        let Some(end) = events.last().map(|event| event.position) else {
            return Ok(Followed { position: from.max(start), ..Followed::default() });
        };
        let mut followed = Followed {
            position: end.max(start),
            more: events.len() >= limit as usize,
            ..Followed::default()
        };
        let mut changes = Vec::new();
        for event in &events {
            if event.position > start {
                changes.extend(change(event, &mut followed)?);
            } else {
                rules(event, &mut followed)?;
            }
        }
        // Most events concern nobody here: a write for each would cost the log its own.
        if !changes.is_empty() || end - start >= LAZY {
            let written = self.sql.within(self.write(&changes, (start, end), now, limits)).await?;
            if !written {
                // Another process was faster; the next turn reads again from where this one did.
                let position = self.standing().await?.unwrap_or(start);
                return Ok(Followed { position, more: true, ..Followed::default() });
            }
        }
        self.passed.fetch_max(end, Ordering::AcqRel);
        Ok(followed)
    }

    /// This process has nothing to follow for at present: later it begins where the outbox stands then.
    pub fn rest(&self) {
        self.passed.store(0, Ordering::Release);
    }

    /// Where the outbox stands in this log; `None` if it does not.
    async fn standing(&self) -> Result<Option<i64>, QueryError> {
        Ok(consumer::standing(&self.sql, NAME, &self.epoch).await?)
    }

    async fn start_at_head(&self) -> Result<(), QueryError> {
        let head = self.log.head().await?;
        let work = async {
            let mut tx = self.sql.begin().await?;
            if consumer::begin(&mut tx, NAME, &self.epoch, head).await? {
                tx.execute(SET_ASIDE, &[]).await?;
                alerts::forget_all(&mut tx).await?;
            }
            tx.commit().await
        };
        Ok(self.sql.within(work).await?)
    }

    /// Moves the checkpoint from `start` to `end` and writes `changes`; false if it does not stand there any more.
    async fn write(
        &self,
        changes: &[Change],
        (start, end): (i64, i64),
        now: Timestamp,
        limits: &SendLimits,
    ) -> Result<bool, QueryError> {
        let mut tx = self.sql.begin().await?;
        if !consumer::advance(&mut tx, NAME, &self.epoch, (start, end)).await? {
            return Ok(false);
        }
        let mut opened = BTreeSet::new();
        for change in changes {
            change.write(&mut tx, now, limits).await?;
            if let Change::Open { guild, .. } = change {
                opened.insert(*guild);
            }
        }
        for guild in opened {
            send::brake(&mut tx, guild, now, limits).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

impl Change {
    async fn write(&self, tx: &mut Tx, now: Timestamp, limits: &SendLimits) -> Result<(), QueryError> {
        match self {
            Self::Open { guild, user, license_type, license, generation, cause, position } => {
                let state = match cause {
                    Cause::Gain => DeliveryState::Waiting,
                    Cause::Bulk => DeliveryState::Bulk,
                };
                let (guild, id) = (guild.to_string(), license.to_string());
                let nonce = nonce_stem(*license);
                let args = [
                    Arg::Text(&guild),
                    Arg::Text(user.as_str()),
                    Arg::Text(license_type),
                    Arg::Text(&id),
                    Arg::Int(i64::from(*generation)),
                    Arg::Text(&nonce),
                    Arg::Text(state.as_str()),
                    Arg::Int(*position),
                    Arg::Int(now.ms()),
                    Arg::Int(limits.slot_pause.ms()),
                ];
                tx.execute(OPEN, &args).await?;
            }
            Self::Rekey { license, position } => {
                let (id, nonce) = (license.to_string(), nonce_stem(*license));
                let args = [
                    Arg::Text(&id),
                    Arg::Text(&nonce),
                    Arg::Int(*position),
                    Arg::Int(now.ms()),
                    Arg::Int(limits.slot_pause.ms()),
                ];
                tx.execute(REKEY, &args).await?;
            }
            Self::Suspect { guild, license, rule, evidence, position } => {
                alerts::keep(tx, *guild, *position, *license, (rule.as_str(), evidence.as_str())).await?;
            }
            Self::Erase(user) => {
                for text in [ERASE_DELIVERIES, ERASE_CHANNEL, ERASE_REMOVALS] {
                    tx.execute(text, &[Arg::Text(user.as_str())]).await?;
                }
            }
        }
        Ok(())
    }
}

/// What the nonces of a license begin with: half of its id, 16 symbols, and a dash. The number of the delivery follows;
/// with up to 8 digits that makes the 25 symbols that Discord takes.
fn nonce_stem(license: LicenseId) -> String {
    format!("{:016x}-", license.0.as_u64_pair().1)
}

/// Notes the guild whose rules, types or presence `event` changes.
fn rules(event: &StoredEvent, followed: &mut Followed) -> Result<(), QueryError> {
    if let (
        Kind::Guild,
        "guild.role_rule_set"
        | "guild.role_rule_removed"
        | "guild.license_type_retired"
        | "guild.license_type_defined"
        | "guild.rejoined",
    ) = (event.stream.kind, event.event_type.as_str())
    {
        let guild = event.stream.id.parse().map_err(|_| damaged(event))?;
        followed.rules_changed.insert(guild);
    }
    Ok(())
}

/// What `event` changes in rows; which guilds it concerns is noted in `followed`.
fn change(event: &StoredEvent, followed: &mut Followed) -> Result<Option<Change>, QueryError> {
    rules(event, followed)?;
    match (event.stream.kind, event.event_type.as_str()) {
        (Kind::User, "user.erased") => {
            Ok(Some(Change::Erase(event.stream.id.parse().map_err(|_| damaged(event))?)))
        }
        (Kind::License, "license.rekeyed") => {
            let license = event.stream.id.parse().map_err(|_| damaged(event))?;
            Ok(Some(Change::Rekey { license, position: event.position }))
        }
        (Kind::License, "license.sharing_suspected") => suspected(event).map(Some),
        (Kind::Member, "member.slot_opened") => opened(event, followed).map(Some),
        _ => Ok(None),
    }
}

fn opened(event: &StoredEvent, followed: &mut Followed) -> Result<Change, QueryError> {
    let recorded = event.read()?;
    let DomainEvent::Member(member::Event::SlotOpened { license_type, generation, license_id, .. }) =
        recorded.event
    else {
        return Err(damaged(event));
    };
    let (guild, user) = event.stream.id.split_once(':').ok_or_else(|| damaged(event))?;
    let guild = guild.parse().map_err(|_| damaged(event))?;
    followed.granted.insert(guild);
    Ok(Change::Open {
        guild,
        user: user.parse().map_err(|_| damaged(event))?,
        license_type,
        license: license_id,
        generation,
        cause: Cause::of(&recorded.metadata.actor),
        position: event.position,
    })
}

fn suspected(event: &StoredEvent) -> Result<Change, QueryError> {
    let DomainEvent::License(license::Event::SharingSuspected { rule, evidence, .. }) = event.read()?.event
    else {
        return Err(damaged(event));
    };
    Ok(Change::Suspect {
        guild: event.guild.ok_or_else(|| damaged(event))?,
        license: event.stream.id.parse().map_err(|_| damaged(event))?,
        rule,
        evidence,
        position: event.position,
    })
}

fn damaged(event: &StoredEvent) -> QueryError {
    QueryError::Damaged(format!(
        "event {} is a `{}` of the stream {}, which cannot be",
        event.position, event.event_type, event.stream
    ))
}
