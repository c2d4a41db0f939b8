//! Reading the event log: in order of position, one stream, its head. Rows come back as stored, as texts; whoever
//! needs them understood calls `StoredEvent::read`. Nothing here writes.

use domain::alias;
use domain::event::StoredEvent;
use domain::id::{GuildId, Kind, StreamId};
use domain::time::Timestamp;

use crate::db::{Arg, DbError, Row, Sql};
use crate::error::QueryError;

const AFTER: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
    FROM events WHERE position > $1 AND position <= $2 ORDER BY position";
const STREAM: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
    FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence";
const STREAM_AFTER: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
    FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3 ORDER BY sequence";
const OF_GUILD: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
    FROM events WHERE guild_id = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $4";
const OF_LICENSES: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
    FROM events WHERE aggregate_type = 'license' AND aggregate_id {in:$1} AND position <= $2 \
    ORDER BY aggregate_id, sequence";
const FIRST_OF_MEMBERS: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
    FROM events WHERE aggregate_type = 'member' AND aggregate_id {in:$1} AND sequence = 1";
const NUMBER: &str = "SELECT count(*) FROM events WHERE guild_id = $1 AND position <= $2";
const HEAD: &str = "SELECT coalesce(max(position), 0) FROM events";
const ALIASES: &str = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at \
    FROM events WHERE guild_id = $1 AND position > $2 AND event_type = $3 ORDER BY position LIMIT $4";
const TAIL: &str = "SELECT position, aggregate_type, aggregate_id, event_type, recorded_at, guild_id \
    FROM events WHERE position > $1 AND position <= $2 ORDER BY position";
const CONTIGUITY: &str =
    "SELECT count(*), coalesce(min(position), 0), coalesce(max(position), 0) FROM events";
const BROKEN_STREAM: &str = "SELECT aggregate_type, aggregate_id FROM events \
    GROUP BY aggregate_type, aggregate_id HAVING max(sequence) <> count(*) OR min(sequence) <> 1 \
    ORDER BY aggregate_type, aggregate_id LIMIT 1";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[
    AFTER,
    STREAM,
    STREAM_AFTER,
    OF_GUILD,
    OF_LICENSES,
    FIRST_OF_MEMBERS,
    NUMBER,
    HEAD,
    ALIASES,
    TAIL,
    CONTIGUITY,
    BROKEN_STREAM,
];

/// The log.
#[derive(Debug, Clone)]
pub struct EventLog {
    sql: Sql,
}

/// What the follower needs to know of an event: where it stands and what it is about.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) position: i64,
    /// `None` for a kind of stream that only a newer release knows: nobody here reads it.
    pub(crate) stream: Option<StreamId>,
    pub(crate) event_type: String,
    pub(crate) recorded_at: Timestamp,
    pub(crate) guild: Option<GuildId>,
}

impl EventLog {
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Up to `limit` events after `after`, in order of position. The log has no gaps, so the positions are
    /// `after + 1, after + 2, …`; anything else is refused as damage.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer, [`QueryError::Damaged`] for a gap or a row that
    /// names no known kind of stream.
    pub async fn read(&self, after: i64, limit: u32) -> Result<Vec<StoredEvent>, QueryError> {
        let events = self.as_stored(after, after.saturating_add(i64::from(limit))).await?;
        contiguous(after, events.iter().map(|event| event.position))?;
        Ok(events)
    }

    /// The events after `after`, up to and with `to`, as far as there are any: whether one is missing is for the caller.
    pub(crate) async fn as_stored(&self, after: i64, to: i64) -> Result<Vec<StoredEvent>, QueryError> {
        self.sql.fetch(AFTER, &[Arg::Int(after), Arg::Int(to)]).await?.iter().map(stored).collect()
    }

    /// Up to `limit` events of `guild` after `after`, up to and with `to`, in order of position.
    pub(crate) async fn of_guild(
        &self,
        guild: GuildId,
        after: i64,
        to: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, QueryError> {
        let id = guild.to_string();
        let args = [Arg::Text(&id), Arg::Int(after), Arg::Int(to), Arg::Int(i64::from(limit))];
        self.sql.fetch_of(Some(&[guild]), OF_GUILD, &args).await?.iter().map(stored).collect()
    }

    /// Up to `limit` events after `after` by which licenses of `guild` got aliases, in order of position.
    pub(crate) async fn aliases(
        &self,
        guild: GuildId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, QueryError> {
        let id = guild.to_string();
        let args = [Arg::Text(&id), Arg::Int(after), Arg::Text(alias::ADDED), Arg::Int(limit)];
        self.sql.fetch_of(Some(&[guild]), ALIASES, &args).await?.iter().map(stored).collect()
    }

    /// The events of some licenses up to the position `until`, license by license in order of sequence.
    pub(crate) async fn of_licenses(
        &self,
        ids: &[String],
        until: i64,
    ) -> Result<Vec<StoredEvent>, QueryError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.sql.fetch(OF_LICENSES, &[Arg::List(ids), Arg::Int(until)]).await?.iter().map(stored).collect()
    }

    /// The first event of some members: it says who they are.
    pub(crate) async fn first_of_members(&self, ids: &[String]) -> Result<Vec<StoredEvent>, QueryError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.sql.fetch(FIRST_OF_MEMBERS, &[Arg::List(ids)]).await?.iter().map(stored).collect()
    }

    /// Which event of `guild` the one at `position` is, from 1.
    pub(crate) async fn number_in_guild(&self, guild: GuildId, position: i64) -> Result<u64, QueryError> {
        let guild = guild.to_string();
        let row = self.sql.fetch_one(NUMBER, &[Arg::Text(&guild), Arg::Int(position)]).await?;
        Ok(row.map_or(Ok(0), |row| row.int(0))?.unsigned_abs())
    }

    /// All events of `stream`, in order of sequence; empty if nothing ever happened to it.
    ///
    /// # Errors
    /// As [`EventLog::read`].
    pub async fn stream(&self, stream: &StreamId) -> Result<Vec<StoredEvent>, QueryError> {
        let args = [Arg::Text(stream.kind.as_str()), Arg::Text(&stream.id)];
        self.sql.fetch(STREAM, &args).await?.iter().map(stored).collect()
    }

    /// The events of `stream` after its event number `after`, in order of sequence.
    pub(crate) async fn stream_after(
        &self,
        stream: &StreamId,
        after: u64,
    ) -> Result<Vec<StoredEvent>, QueryError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let args = [Arg::Text(stream.kind.as_str()), Arg::Text(&stream.id), Arg::Int(after)];
        self.sql.fetch(STREAM_AFTER, &args).await?.iter().map(stored).collect()
    }

    /// Position of the last event; 0 for an empty log.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn head(&self) -> Result<i64, QueryError> {
        let row = self.sql.fetch_one(HEAD, &[]).await?;
        Ok(row.map_or(Ok(0), |row| row.int(0))?)
    }

    /// Where the events after `after`, up to and with `to`, stand and what they are about.
    pub(crate) async fn seen(&self, after: i64, to: i64) -> Result<Vec<Seen>, QueryError> {
        let rows = self.sql.fetch(TAIL, &[Arg::Int(after), Arg::Int(to)]).await?;
        let seen = rows
            .iter()
            .map(|row| {
                Ok(Seen {
                    position: row.int(0)?,
                    stream: stream_id(row.text(1)?, row.text(2)?, row.int(0)?).ok(),
                    event_type: row.text(3)?.to_owned(),
                    recorded_at: Timestamp(row.int(4)?),
                    guild: row.opt_text(5)?.and_then(|guild| guild.parse().ok()),
                })
            })
            .collect::<Result<Vec<_>, QueryError>>()?;
        contiguous(after, seen.iter().map(|event| event.position))?;
        Ok(seen)
    }

    /// What is wrong with the order of the log: positions that are not 1 to N, or a stream whose sequences are not
    /// 1 to n; `None` if nothing is.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn disorder(&self) -> Result<Option<String>, QueryError> {
        if let Some(row) = self.sql.fetch_one(CONTIGUITY, &[]).await? {
            let (count, first, last) = (row.int(0)?, row.int(1)?, row.int(2)?);
            if count != last || first != i64::from(count > 0) {
                return Ok(Some(format!("the log has {count} events at positions {first} to {last}")));
            }
        }
        let broken = self.sql.fetch_one(BROKEN_STREAM, &[]).await?;
        broken
            .map(|row| {
                Ok(format!("the sequences of stream {}:{} are not 1 to n", row.text(0)?, row.text(1)?))
            })
            .transpose()
    }
}

/// The log is gapless in commit order, so a gap in what a statement gave is damage and never a commit under way.
fn contiguous(after: i64, positions: impl Iterator<Item = i64>) -> Result<(), QueryError> {
    for (expected, position) in (after + 1..).zip(positions) {
        if position != expected {
            return Err(QueryError::Damaged(format!(
                "the log has no event at position {expected}, but one at {position}; restore it from a backup"
            )));
        }
    }
    Ok(())
}

fn stream_id(kind: &str, id: &str, position: i64) -> Result<StreamId, QueryError> {
    let kind: Kind = kind.parse().map_err(|error| {
        QueryError::Damaged(format!(
            "event {position}: {error}; if a newer release wrote it, update this process"
        ))
    })?;
    Ok(StreamId { kind, id: id.into() })
}

fn stored(row: &Row) -> Result<StoredEvent, QueryError> {
    let position = row.int(0)?;
    let damaged = |what: &str| QueryError::Damaged(format!("event {position} has an impossible {what}"));
    let guild = row.opt_text(8)?.map(str::parse::<GuildId>).transpose().map_err(|_| damaged("guild id"))?;
    Ok(StoredEvent {
        position,
        stream: stream_id(row.text(1)?, row.text(2)?, position)?,
        sequence: u64::try_from(row.int(3)?).map_err(|_| damaged("sequence"))?,
        event_type: row.text(4)?.to_owned(),
        event_version: row.text(5)?.to_owned(),
        payload: row.text(6)?.to_owned(),
        metadata: row.text(7)?.to_owned(),
        guild,
        recorded_at: Timestamp(row.int(9)?),
    })
}

impl From<DbError> for QueryError {
    fn from(error: DbError) -> Self {
        if error.transient { Self::Unavailable(error.to_string()) } else { Self::Damaged(error.to_string()) }
    }
}
