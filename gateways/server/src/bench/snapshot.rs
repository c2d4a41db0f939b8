//! Commands beside what makes databases slow: a transaction that stays open and keeps old versions of rows alive, and the
//! sealing of the log.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::commands::Bed;
use crate::cli::Bench;
use crate::failure::{Attempt as _, Failure, Outcome};

const IN_FLIGHT: usize = 32;

/// Commands a second alone, beside the sealer, and beside a snapshot of PostgreSQL that is open all the while.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let Some(url) = &bench.database_url else {
        return Err(Failure::refused("a snapshot is kept open by psql, in PostgreSQL")
            .help("Name an empty PostgreSQL database with --database-url."));
    };
    let bed = Bed::new(bench).await?;
    let keys = bed.licenses(bench.licenses).await?;
    let span = Duration::from_secs(bench.seconds);
    let before = bed.rate(&keys, IN_FLIGHT, "alone", span).await?;
    let stop = CancellationToken::new();
    let (sealer, token) = (bed.assembled.seal_log.clone(), stop.clone());
    let sealing = tokio::spawn(async move { sealer.run("bench".to_owned(), token).await });
    let sealed = bed.rate(&keys, IN_FLIGHT, "sealed", span).await?;
    stop.cancel();
    sealing.await.ok();
    let mut snapshot = open(url).await?;
    let beside = bed.rate(&keys, IN_FLIGHT, "beside", span).await?;
    snapshot.kill().await.attempt(|| "psql cannot be ended".to_owned())?;
    let after = bed.rate(&keys, IN_FLIGHT, "after", span).await?;
    Ok(json!({
        "what": "snapshot",
        "licenses": keys.len(),
        "alonePerSecond": before,
        "besideSealerPerSecond": sealed,
        "besideSnapshotPerSecond": beside,
        "afterPerSecond": after,
        "snapshotRatio": beside / before,
    }))
}

/// A transaction that has taken its snapshot.
async fn open(url: &str) -> Outcome<Child> {
    let failed = || {
        "psql, which keeps the snapshot open, cannot be run; Debian's package postgresql-client has it"
            .to_owned()
    };
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = command.spawn().attempt(failed)?;
    let statements = b"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM events;\n";
    let input = child.stdin.as_mut().ok_or_else(|| Failure::new("psql takes no input"))?;
    input.write_all(statements).await.attempt(failed)?;
    let output = child.stdout.take().ok_or_else(|| Failure::new("psql says nothing"))?;
    let mut count = String::new();
    BufReader::new(output).read_line(&mut count).await.attempt(failed)?;
    match count.trim().parse::<u64>() {
        Ok(_) => Ok(child),
        Err(_) => Err(Failure::new("psql could not read the log")),
    }
}
