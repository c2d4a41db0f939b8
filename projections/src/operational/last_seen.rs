//! When each device was last seen by a validation. A sight is noted in memory and written with many others every few
//! seconds, so that a validation never waits for a write; a crash loses at most those seconds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::id::LicenseId;
use domain::time::Timestamp;
use uuid::Uuid;

use crate::db::{Arg, Kind, Rows, Sql, Table};
use crate::error::QueryError;

const SHARDS: usize = 32;

static TABLE: Table = Table {
    name: "last_seen",
    columns: &[
        ("id", Kind::Text, "NOT NULL"),
        ("license_id", Kind::Text, "NOT NULL"),
        ("device_id", Kind::Text, "NOT NULL"),
        ("seen_at", Kind::Int, "NOT NULL"),
    ],
    indexes: &[("license", "(license_id)")],
};

const OF_LICENSE: &str = "SELECT device_id, seen_at FROM last_seen WHERE license_id = $1";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[OF_LICENSE];

/// When devices were last seen.
pub struct LastSeen {
    shards: Box<[Mutex<Sights>]>,
    shard_max: usize,
    hasher: RandomState,
    sql: Sql,
}

/// The devices of each license, by our id.
type Sights = HashMap<LicenseId, Vec<(Uuid, Timestamp)>>;

impl LastSeen {
    pub(crate) fn new(sql: Sql, entries_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, shard_max: entries_max.div_ceil(SHARDS), hasher: RandomState::new(), sql }
    }

    fn shard(&self, license: LicenseId) -> MutexGuard<'_, Sights> {
        let shard = &self.shards[self.hasher.hash_one(license.0.as_u128()) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the device `device` (our id) of `license` was seen. With the memory full, a license not yet noted is
    /// left out until the next flush.
    pub fn record(&self, license: LicenseId, device: Uuid, now: Timestamp) {
        let mut sights = self.shard(license);
        if sights.len() >= self.shard_max && !sights.contains_key(&license) {
            return;
        }
        let devices = sights.entry(license).or_default();
        match devices.iter_mut().find(|(known, _)| *known == device) {
            Some((_, seen)) => *seen = (*seen).max(now),
            None => devices.push((device, now)),
        }
    }

    /// When the device was last seen; `None` if never since it was activated.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn get(&self, license: LicenseId, device: Uuid) -> Result<Option<Timestamp>, QueryError> {
        Ok(self.of_license(license).await?.get(&device).copied())
    }

    /// When each device of `license` was last seen, by our id of the device.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn of_license(&self, license: LicenseId) -> Result<HashMap<Uuid, Timestamp>, QueryError> {
        let mut seen = HashMap::new();
        for row in self.sql.fetch(OF_LICENSE, &[Arg::Text(&license.to_string())]).await? {
            let device = Uuid::try_parse(row.text(0)?).map_err(|_| {
                QueryError::Damaged("a row of last_seen names no device; delete it".to_owned())
            })?;
            seen.insert(device, Timestamp(row.int(1)?));
        }
        for (device, at) in self.shard(license).get(&license).into_iter().flatten() {
            let known = seen.entry(*device).or_insert(*at);
            *known = (*known).max(*at);
        }
        Ok(seen)
    }

    /// Writes what was noted; how many licenses that were. What cannot be written is noted again.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn flush(&self) -> Result<usize, QueryError> {
        let mut noted = Sights::new();
        for shard in &self.shards {
            noted.extend(shard.lock().unwrap_or_else(PoisonError::into_inner).drain());
        }
        if noted.is_empty() {
            return Ok(0);
        }
        let written = self.write(&noted).await;
        if written.is_err() {
            for (license, (device, at)) in sights(&noted) {
                self.record(license, device, at);
            }
        }
        written.map(|()| noted.len())
    }

    async fn write(&self, noted: &Sights) -> Result<(), QueryError> {
        let mut rows = Rows::new(&TABLE, TABLE.name);
        for (license, (device, at)) in sights(noted) {
            rows.text(format!("{license}:{device}"))
                .text(license.to_string())
                .text(device.to_string())
                .int(at.ms());
        }
        let mut tx = self.sql.begin().await?;
        tx.upsert(&rows).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn sights(noted: &Sights) -> impl Iterator<Item = (LicenseId, (Uuid, Timestamp))> {
    noted.iter().flat_map(|(license, devices)| devices.iter().map(|sight| (*license, *sight)))
}

/// Its table, for whoever prepares every statement.
pub(crate) fn table() -> &'static Table {
    &TABLE
}
