//! Which secrets of the key ring are known, to whom, and which are active: what lets a secret be activated only when
//! every running process knows it. Processes announce themselves here by the database's own clock. No secret stands
//! here, only ids and fingerprints; who holds the ring's file is not known here either.

use std::time::Duration;

use domain::time::Timestamp;

use super::whole_ms;
use crate::db::{Arg, Row, Sql, Tx};
use crate::error::QueryError;

/// Changes nothing, but whoever announces himself or activates a secret writes it first. So nobody begins with the
/// old ids while somebody who did not see him activates new ones.
const GATE: &str = "UPDATE meta SET value = value WHERE name = 'ring_active' RETURNING value";
const STATE: &str = "SELECT value, (SELECT count(*) FROM key_retirement WHERE finished_at IS NULL) \
    FROM meta WHERE name = 'ring_active'";
const SET_ACTIVE: &str = "UPDATE meta SET value = $1 WHERE name = 'ring_active'";
const RECORD: &str = "INSERT INTO ring_secret (id, fingerprint, created_at) VALUES ($1, $2, $3) \
    ON CONFLICT (id) DO NOTHING";
const RECORDED: &str = "SELECT id, fingerprint, created_at FROM ring_secret ORDER BY id";
const ANNOUNCE: &str = "INSERT INTO ring_holder (instance, place, secrets, active, expires_at) \
    VALUES ($1, $2, $3, $4, {now_ms} + CAST($5 AS BIGINT)) \
    ON CONFLICT (instance) DO UPDATE SET place = excluded.place, secrets = excluded.secrets, \
    active = excluded.active, expires_at = excluded.expires_at";
const BEAT: &str = "UPDATE ring_holder SET active = $2, expires_at = {now_ms} + CAST($3 AS BIGINT) \
    WHERE instance = $1 AND expires_at > {now_ms}";
const LEAVE: &str = "DELETE FROM ring_holder WHERE instance = $1";
const LEAVE_OTHERS: &str = "DELETE FROM ring_holder WHERE instance <> $1";
const PRUNE: &str = "DELETE FROM ring_holder WHERE expires_at <= {now_ms}";
const LIVE: &str = "SELECT instance, place, secrets, active, expires_at FROM ring_holder \
    WHERE expires_at > {now_ms} ORDER BY place, instance";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] =
    &[GATE, STATE, SET_ACTIVE, RECORD, RECORDED, ANNOUNCE, BEAT, LEAVE, LEAVE_OTHERS, PRUNE, LIVE];

/// A secret as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingSecret {
    /// Its list and number, `license-1`.
    pub id: String,
    /// Names it without giving it away.
    pub fingerprint: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A running process and what it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingHolder {
    /// A random name, no two processes have the same.
    pub instance: String,
    /// Where it runs, for people.
    pub place: String,
    /// Ids of the secrets that it knows.
    pub secrets: Vec<String>,
    /// The row of active ids that it goes by.
    pub active: String,
    /// Until when it counts as running, by the database's clock.
    pub expires_at: Timestamp,
}

/// What every process looks at again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingState {
    /// The ids of the active secrets, JSON.
    pub active: String,
    /// Secrets that are being retired.
    pub retiring: u64,
}

/// What became of an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activated {
    /// The ids that are active now, JSON.
    Done(String),
    /// These do not know the secret; nothing was changed.
    NotKnownTo(Vec<RingHolder>),
}

/// Who holds the ring. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct RingHolders {
    sql: Sql,
}

impl RingHolders {
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// The active ids, and whether something is to be retired; `None` in a database without a ring.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn state(&self) -> Result<Option<RingState>, QueryError> {
        let Some(row) = self.sql.fetch_one(STATE, &[]).await? else { return Ok(None) };
        Ok(Some(RingState { active: row.text(0)?.to_owned(), retiring: row.int(1)?.unsigned_abs() }))
    }

    /// Records `secrets`, where they were not known before; gives all that the database knows. One that it knows under
    /// another fingerprint stays as it was.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn record(&self, secrets: &[RingSecret]) -> Result<Vec<RingSecret>, QueryError> {
        let known = self.recorded().await?;
        let is_known = |secret: &&RingSecret| known.iter().any(|known| known.id == secret.id);
        if secrets.iter().all(|secret| is_known(&secret)) {
            return Ok(known);
        }
        let work = async {
            let mut tx = self.sql.begin().await?;
            for secret in secrets.iter().filter(|secret| !is_known(secret)) {
                let args =
                    [Arg::Text(&secret.id), Arg::Text(&secret.fingerprint), Arg::Int(secret.created_at.ms())];
                tx.execute(RECORD, &args).await?;
            }
            tx.commit().await
        };
        self.sql.within(work).await?;
        self.recorded().await
    }

    /// Every secret that some process ever had.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn recorded(&self) -> Result<Vec<RingSecret>, QueryError> {
        let rows = self.sql.fetch(RECORDED, &[]).await?;
        let read = |row: &Row| {
            Ok(RingSecret {
                id: row.text(0)?.to_owned(),
                fingerprint: row.text(1)?.to_owned(),
                created_at: Timestamp(row.int(2)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Says that `holder` runs and what it knows, for `ttl` from now; its `expires_at` is not read. Gives the active ids
    /// as they stand at that moment: none are activated without a look at this holder from here on.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn announce(&self, holder: &RingHolder, ttl: Duration) -> Result<Option<String>, QueryError> {
        let secrets = holder.secrets.join(" ");
        let work = async {
            let mut tx = self.sql.begin().await?;
            let active = gate(&mut tx).await?;
            tx.execute(PRUNE, &[]).await?;
            let args = [
                Arg::Text(&holder.instance),
                Arg::Text(&holder.place),
                Arg::Text(&secrets),
                Arg::Text(&holder.active),
                Arg::Int(whole_ms(ttl)),
            ];
            tx.execute(ANNOUNCE, &args).await?;
            tx.commit().await?;
            Ok::<_, QueryError>(active)
        };
        self.sql.within(work).await
    }

    /// Says that a holder still runs, and which active ids it goes by; false if it counted as ended meanwhile, or was
    /// never announced: then it has to be announced again before it goes on.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn beat(&self, instance: &str, active: &str, ttl: Duration) -> Result<bool, QueryError> {
        let args = [Arg::Text(instance), Arg::Text(active), Arg::Int(whole_ms(ttl))];
        Ok(self.sql.run(BEAT, &args).await? == 1)
    }

    /// A process has ended, or is surely gone.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn leave(&self, instance: &str) -> Result<(), QueryError> {
        self.sql.run(LEAVE, &[Arg::Text(instance)]).await?;
        Ok(())
    }

    /// Every process but `instance` has ended, because nobody else can have this database open.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn alone(&self, instance: &str) -> Result<(), QueryError> {
        self.sql.run(LEAVE_OTHERS, &[Arg::Text(instance)]).await?;
        Ok(())
    }

    /// Everybody who runs.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn live(&self) -> Result<Vec<RingHolder>, QueryError> {
        self.sql.fetch(LIVE, &[]).await?.iter().map(read).collect()
    }

    /// Makes secret `number` of `list` the active one, unless somebody who runs does not know it.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer, [`QueryError::Damaged`] if the row of active ids
    /// cannot be read.
    pub async fn activate(&self, list: &str, number: u32) -> Result<Activated, QueryError> {
        let wanted = format!("{list}-{number}");
        let work = async {
            let mut tx = self.sql.begin().await?;
            let active = gate(&mut tx).await?.unwrap_or_default();
            let mut live = Vec::new();
            for row in tx.fetch(LIVE, &[]).await? {
                live.push(read(&row)?);
            }
            live.retain(|holder| !holder.secrets.contains(&wanted));
            if !live.is_empty() {
                return Ok(Activated::NotKnownTo(live));
            }
            let mut ids: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&active)
                .map_err(|error| QueryError::Damaged(format!("the row `ring_active` of meta: {error}")))?;
            ids.insert(list.to_owned(), number.into());
            let active = serde_json::Value::Object(ids).to_string();
            tx.execute(SET_ACTIVE, &[Arg::Text(&active)]).await?;
            tx.commit().await?;
            Ok(Activated::Done(active))
        };
        self.sql.within(work).await
    }
}

async fn gate(tx: &mut Tx) -> Result<Option<String>, QueryError> {
    let rows = tx.fetch(GATE, &[]).await?;
    Ok(rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()?)
}

fn read(row: &Row) -> Result<RingHolder, QueryError> {
    Ok(RingHolder {
        instance: row.text(0)?.to_owned(),
        place: row.text(1)?.to_owned(),
        secrets: row.text(2)?.split(' ').map(str::to_owned).collect(),
        active: row.text(3)?.to_owned(),
        expires_at: Timestamp(row.int(4)?),
    })
}
