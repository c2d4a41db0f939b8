//! New devices, for whoever watches how licenses are used: a consumer of the log with a checkpoint of its own, which is
//! never rewound. It reads ids and positions, judges nothing, and writes only where it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use domain::event::DomainEvent;
use domain::id::{GuildId, LicenseId, StreamId};
use domain::license;

use crate::consumer::{self, LAZY};
use crate::db::{Arg, Row, Sql};
use crate::error::QueryError;
use crate::event_log::EventLog;
use crate::{Bus, Queries};

/// The name of its checkpoint.
const NAME: &str = "sharing";

const AFTER: &str = "SELECT position, guild_id, aggregate_id, sequence FROM events \
    WHERE position > $1 AND position <= $2 AND event_type = 'license.device_activated' ORDER BY position";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[AFTER];

/// A device was activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewDevice {
    /// The tenant.
    pub guild: GuildId,
    /// The license.
    pub license: LicenseId,
    /// Which event of the license it was.
    pub sequence: u64,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewDevices {
    /// What was activated in it, in order.
    pub devices: Vec<NewDevice>,
    /// Whether there is more to look at now.
    pub more: bool,
    /// Where the consumer stood, and the end of this part.
    from: i64,
    end: i64,
}

/// The consumer. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Activations {
    sql: Sql,
    log: EventLog,
    epoch: Box<str>,
    bus: Bus,
    /// Up to here this process saw nothing that concerns anybody; below 0 before its first look.
    passed: Arc<AtomicI64>,
}

impl Queries {
    /// A consumer of new devices. A process has one.
    pub fn activations(&self) -> Activations {
        let core = &self.core;
        Activations {
            sql: core.sql.clone(),
            log: core.log.clone(),
            epoch: core.epoch.clone(),
            bus: core.bus.clone(),
            passed: Arc::new(AtomicI64::new(-1)),
        }
    }
}

impl Activations {
    /// What was activated in the next `limit` events that this process has heard of. A consumer that never followed this
    /// log begins at its head: what was before nobody looked at, or it was looked at before the log was restored.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer, [`QueryError::Damaged`] for an event that no license
    /// can have.
    pub async fn next(&self, limit: u32) -> Result<NewDevices, QueryError> {
        let (head, passed) = (self.bus.head(), self.passed.load(Ordering::Acquire));
        if head <= passed {
            return Ok(NewDevices { from: passed, end: passed, ..NewDevices::default() });
        }
        let Some(from) = consumer::standing(&self.sql, NAME, &self.epoch).await? else {
            self.begin().await?;
            return Ok(NewDevices::default());
        };
        let after = from.max(passed);
        let end = head.min(after.saturating_add(i64::from(limit)));
        if end <= after {
            return Ok(NewDevices { from, end: after, ..NewDevices::default() });
        }
        let rows = self.sql.fetch(AFTER, &[Arg::Int(after), Arg::Int(end)]).await?;
        let devices = rows.iter().map(new_device).collect::<Result<_, _>>()?;
        Ok(NewDevices { devices, more: end < head, from, end })
    }

    async fn begin(&self) -> Result<(), QueryError> {
        let head = self.log.head().await?;
        let work = async {
            let mut tx = self.sql.begin().await?;
            consumer::begin(&mut tx, NAME, &self.epoch, head).await?;
            tx.commit().await
        };
        Ok(self.sql.within(work).await?)
    }

    /// Nothing of this part concerns anybody. Only now and then is that written down.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn pass(&self, part: &NewDevices) -> Result<(), QueryError> {
        if part.end - part.from >= LAZY {
            return self.done(part).await;
        }
        self.passed.fetch_max(part.end, Ordering::AcqRel);
        Ok(())
    }

    /// Everything of this part was looked at. If another process wrote so meanwhile, its word stands.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer: the same part comes again.
    pub async fn done(&self, part: &NewDevices) -> Result<(), QueryError> {
        let work = async {
            let mut tx = self.sql.begin().await?;
            consumer::advance(&mut tx, NAME, &self.epoch, (part.from, part.end)).await?;
            tx.commit().await
        };
        self.sql.within(work).await?;
        self.passed.fetch_max(part.end, Ordering::AcqRel);
        Ok(())
    }

    /// The events of a license after its event number `after`, in order: how many there are before them is `after`.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn history(&self, id: LicenseId, after: u64) -> Result<Vec<license::Event>, QueryError> {
        let stream = StreamId::license(id);
        let stored = self.log.stream_after(&stream, after).await?;
        let event = |stored: &domain::event::StoredEvent| match stored.read()?.event {
            DomainEvent::License(event) => Ok(event),
            other => Err(QueryError::Damaged(format!("the stream {stream} holds {other:?}"))),
        };
        stored.iter().map(event).collect()
    }
}

fn new_device(row: &Row) -> Result<NewDevice, QueryError> {
    let position = row.int(0)?;
    let damaged =
        |_| QueryError::Damaged(format!("event {position} activates a device of no license or no guild"));
    Ok(NewDevice {
        guild: row.text(1)?.parse().map_err(damaged)?,
        license: row.text(2)?.parse().map_err(damaged)?,
        sequence: row.int(3)?.unsigned_abs(),
    })
}
