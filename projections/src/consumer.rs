//! Where consumers with side effects stand in the log. Such a checkpoint is never rewound, whatever is rebuilt; it moves
//! only from where its owner read it, so of several that follow under one name one is counted.

use crate::db::{Arg, DbError, Sql, Tx};

const STANDING: &str = "SELECT epoch, position FROM consumer_checkpoint WHERE name = $1";
const BEGIN: &str = "INSERT INTO consumer_checkpoint (name, epoch, position) VALUES ($1, $2, $3) \
    ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, position = excluded.position \
    WHERE consumer_checkpoint.epoch <> excluded.epoch";
const ADVANCE: &str =
    "UPDATE consumer_checkpoint SET position = $1 WHERE name = $2 AND epoch = $3 AND position = $4";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[STANDING, BEGIN, ADVANCE];

/// A checkpoint may lie so many events behind while none of them concerns its consumer: a write for each would cost the
/// log its own. They are read again after a restart.
pub(crate) const LAZY: i64 = 2_000;

/// Where `name` stands in the log of `epoch`; `None` if it does not.
pub(crate) async fn standing(sql: &Sql, name: &str, epoch: &str) -> Result<Option<i64>, DbError> {
    let Some(row) = sql.fetch_one(STANDING, &[Arg::Text(name)]).await? else { return Ok(None) };
    Ok(if row.text(0)? == epoch { Some(row.int(1)?) } else { None })
}

/// Lets `name` stand at `position`; false if it stands in this log already.
pub(crate) async fn begin(tx: &mut Tx, name: &str, epoch: &str, position: i64) -> Result<bool, DbError> {
    Ok(tx.execute(BEGIN, &[Arg::Text(name), Arg::Text(epoch), Arg::Int(position)]).await? == 1)
}

/// Moves `name` from `start` to `end`; false if it does not stand there any more.
pub(crate) async fn advance(
    tx: &mut Tx,
    name: &str,
    epoch: &str,
    (start, end): (i64, i64),
) -> Result<bool, DbError> {
    let args = [Arg::Int(end), Arg::Text(name), Arg::Text(epoch), Arg::Int(start)];
    Ok(tx.execute(ADVANCE, &args).await? == 1)
}
