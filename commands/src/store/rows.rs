//! The statements that both engines share, written once and made for each by a macro. Appends are not here, and
//! nothing here opens or keeps a connection.

use domain::event::StoredEvent;
use domain::id::StreamId;
use domain::time::Timestamp;

use super::error::StoreError;
use super::model::{IdempotencyKey, IdempotencyRow, SubjectKeyRow};
use super::sql;

/// Whether a connection may keep a prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepared {
    /// It is kept and used again.
    Kept,
    /// Each time anew, because a pooler hands the connection to others between two transactions.
    Anew,
}

impl Prepared {
    fn is_kept(self) -> bool {
        self == Self::Kept
    }
}

/// A row of `events` as the database gives it, its payload and metadata as text.
pub(super) type EventRow = (i64, String, String, i64, String, String, String, String, Option<String>, i64);

/// Puts a row into words of the domain.
pub(super) fn stored(row: EventRow) -> Result<StoredEvent, StoreError> {
    let (position, kind, id, sequence, event_type, event_version, payload, metadata, guild, recorded_at) =
        row;
    let damaged = |why: String| StoreError::Damaged(format!("event {position}: {why}"));
    Ok(StoredEvent {
        position,
        stream: stream_id(&kind, id).map_err(damaged)?,
        sequence: u64::try_from(sequence).map_err(|_| damaged(format!("its sequence is {sequence}")))?,
        event_type,
        event_version,
        payload,
        metadata,
        guild: guild.map(|guild| guild.parse()).transpose().map_err(|e| damaged(format!("{e}")))?,
        recorded_at: Timestamp(recorded_at),
    })
}

/// A stream from its two columns.
pub(super) fn stream_id(kind: &str, id: String) -> Result<StreamId, String> {
    kind.parse().map(|kind| StreamId { kind, id: id.into() }).map_err(|error| error.to_string())
}

type IdempotencyColumns = (String, String, Option<i64>, Option<i64>, i64);

fn idempotency_row(key: &IdempotencyKey, columns: IdempotencyColumns) -> IdempotencyRow {
    let (payload_hash, outcome, first, last, created_at) = columns;
    IdempotencyRow { key: key.clone(), payload_hash, outcome, first, last, created_at: Timestamp(created_at) }
}

type SubjectColumns = (String, String, i64, Vec<u8>, i64);

fn subject_row(columns: SubjectColumns) -> SubjectKeyRow {
    let (subject, key_id, kek_id, wrapped, created_at) = columns;
    SubjectKeyRow { subject, key_id, kek_id, wrapped, created_at: Timestamp(created_at) }
}

/// The item at `index`, or the last one: fills a statement of fixed width.
fn padded<T>(items: &[T], width: usize) -> impl Iterator<Item = &T> {
    let last = items.last();
    (0..width).filter_map(move |index| items.get(index).or(last))
}

/// A fault in the numbering of a stream: position, kind, id, sequence found, sequence expected.
pub(super) type SequenceFault = (i64, String, String, i64, i64);

macro_rules! statements {
    ($engine:ident, $connection:ty) => {
        pub(super) mod $engine {
            use super::*;

            type Connection = $connection;

            pub(in crate::store) async fn head(on: &mut Connection, how: Prepared) -> sqlx::Result<i64> {
                sqlx::query_scalar(sql::HEAD).persistent(how.is_kept()).fetch_one(on).await
            }

            pub(in crate::store) async fn stream(
                on: &mut Connection,
                how: Prepared,
                stream: &StreamId,
            ) -> sqlx::Result<Vec<EventRow>> {
                sqlx::query_as(sql::STREAM)
                    .bind(stream.kind.as_str())
                    .bind(&*stream.id)
                    .persistent(how.is_kept())
                    .fetch_all(on)
                    .await
            }

            pub(in crate::store) async fn range(
                on: &mut Connection,
                how: Prepared,
                after: i64,
                until: i64,
                limit: i64,
            ) -> sqlx::Result<Vec<EventRow>> {
                sqlx::query_as(sql::RANGE)
                    .bind(after)
                    .bind(until)
                    .bind(limit)
                    .persistent(how.is_kept())
                    .fetch_all(on)
                    .await
            }

            pub(in crate::store) async fn sequence_fault(
                on: &mut Connection,
                how: Prepared,
                until: i64,
            ) -> sqlx::Result<Option<SequenceFault>> {
                sqlx::query_as(sql::SEQUENCE_FAULT)
                    .bind(until)
                    .persistent(how.is_kept())
                    .fetch_optional(on)
                    .await
            }

            pub(in crate::store) async fn idempotency(
                on: &mut Connection,
                how: Prepared,
                key: &IdempotencyKey,
            ) -> sqlx::Result<Option<IdempotencyRow>> {
                let row: Option<IdempotencyColumns> = sqlx::query_as(sql::IDEMPOTENCY)
                    .bind(&key.credential)
                    .bind(&key.method)
                    .bind(&key.route)
                    .bind(&key.key)
                    .persistent(how.is_kept())
                    .fetch_optional(on)
                    .await?;
                Ok(row.map(|columns| idempotency_row(key, columns)))
            }

            pub(in crate::store) async fn prune_idempotency(
                on: &mut Connection,
                how: Prepared,
                older_than: Timestamp,
                limit: i64,
            ) -> sqlx::Result<u64> {
                let done = sqlx::query(sql::PRUNE_IDEMPOTENCY)
                    .bind(older_than.ms())
                    .bind(limit)
                    .persistent(how.is_kept())
                    .execute(on)
                    .await?;
                Ok(done.rows_affected())
            }

            pub(in crate::store) async fn claim_owner(
                on: &mut Connection,
                how: Prepared,
                scope: &str,
                value: &str,
            ) -> sqlx::Result<Option<(String, String)>> {
                let owner = sqlx::query_as(sql::CLAIM_OWNER).bind(scope).bind(value);
                owner.persistent(how.is_kept()).fetch_optional(on).await
            }

            pub(in crate::store) async fn meta(
                on: &mut Connection,
                how: Prepared,
                name: &str,
            ) -> sqlx::Result<Option<String>> {
                sqlx::query_scalar(sql::META).bind(name).persistent(how.is_kept()).fetch_optional(on).await
            }

            pub(in crate::store) async fn set_meta(
                on: &mut Connection,
                how: Prepared,
                name: &str,
                value: &str,
            ) -> sqlx::Result<()> {
                sqlx::query(sql::SET_META)
                    .bind(name)
                    .bind(value)
                    .persistent(how.is_kept())
                    .execute(on)
                    .await?;
                Ok(())
            }

            pub(in crate::store) async fn insert_meta(
                on: &mut Connection,
                how: Prepared,
                name: &str,
                value: &str,
            ) -> sqlx::Result<String> {
                let insert = sqlx::query(sql::INSERT_META).bind(name).bind(value);
                insert.persistent(how.is_kept()).execute(&mut *on).await?;
                sqlx::query_scalar(sql::META).bind(name).persistent(how.is_kept()).fetch_one(on).await
            }

            pub(in crate::store) async fn subject_keys(
                on: &mut Connection,
                how: Prepared,
                subjects: &[String],
            ) -> sqlx::Result<Vec<SubjectKeyRow>> {
                let mut found = Vec::with_capacity(subjects.len());
                for chunk in subjects.chunks(sql::SUBJECTS_AT_ONCE) {
                    let mut query = sqlx::query_as::<_, SubjectColumns>(sql::SUBJECT_KEYS);
                    for subject in padded(chunk, sql::SUBJECTS_AT_ONCE) {
                        query = query.bind(subject);
                    }
                    let rows = query.persistent(how.is_kept()).fetch_all(&mut *on).await?;
                    found.extend(rows.into_iter().map(subject_row));
                }
                Ok(found)
            }

            pub(in crate::store) async fn insert_subject_keys(
                on: &mut Connection,
                how: Prepared,
                rows: &[SubjectKeyRow],
            ) -> sqlx::Result<()> {
                for chunk in rows.chunks(sql::SUBJECT_ROWS_AT_ONCE) {
                    let mut query = sqlx::query(sql::INSERT_SUBJECT_KEYS);
                    for row in padded(chunk, sql::SUBJECT_ROWS_AT_ONCE) {
                        query = query.bind(&row.subject).bind(&row.key_id).bind(row.kek_id);
                        query = query.bind(&row.wrapped).bind(row.created_at.ms());
                    }
                    query.persistent(how.is_kept()).execute(&mut *on).await?;
                }
                Ok(())
            }

            pub(in crate::store) async fn wrapped_by(
                on: &mut Connection,
                how: Prepared,
                kek_id: i64,
                after: &str,
                limit: i64,
            ) -> sqlx::Result<Vec<SubjectKeyRow>> {
                let query = sqlx::query_as::<_, SubjectColumns>(sql::WRAPPED_BY);
                let query = query.bind(kek_id).bind(after).bind(limit).persistent(how.is_kept());
                Ok(query.fetch_all(on).await?.into_iter().map(subject_row).collect())
            }

            pub(in crate::store) async fn rewrap_subject_keys(
                on: &mut Connection,
                how: Prepared,
                from: i64,
                rows: &[SubjectKeyRow],
            ) -> sqlx::Result<u64> {
                let mut done = 0;
                for row in rows {
                    let query = sqlx::query(sql::REWRAP_SUBJECT_KEY).bind(&row.subject).bind(&row.key_id);
                    let query = query.bind(from).bind(row.kek_id).bind(&row.wrapped);
                    done += query.persistent(how.is_kept()).execute(&mut *on).await?.rows_affected();
                }
                Ok(done)
            }

            pub(in crate::store) async fn delete_subject_key(
                on: &mut Connection,
                how: Prepared,
                subject: &str,
            ) -> sqlx::Result<bool> {
                let delete = sqlx::query(sql::DELETE_SUBJECT_KEY).bind(subject);
                Ok(delete.persistent(how.is_kept()).execute(on).await?.rows_affected() > 0)
            }
        }
    };
}

statements!(sqlite, sqlx::SqliteConnection);
statements!(postgres, sqlx::PgConnection);
