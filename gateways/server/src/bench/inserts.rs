//! The measure of appends on PostgreSQL: rows of the same size put into a plain table, each in a transaction of its own,
//! by `pgbench`, the tool that PostgreSQL brings along.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::failure::{Attempt as _, Failure, Outcome};

/// Rows a second by so many clients.
pub(super) async fn by_clients(
    url: &str,
    clients: u32,
    seconds: u64,
    payload: usize,
    metadata: usize,
) -> Outcome<f64> {
    let table = "CREATE TABLE IF NOT EXISTS bench_row (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                 id uuid NOT NULL, payload json NOT NULL, metadata json NOT NULL);";
    pgbench(url, &["-c", "1", "-t", "1"], table).await?;
    let padded = |bytes: usize| format!("'{{\"padding\":\"{}\"}}'", "0".repeat(bytes));
    let insert = format!(
        "INSERT INTO bench_row (id, payload, metadata) VALUES (gen_random_uuid(), {}, {});",
        padded(payload),
        padded(metadata)
    );
    let (clients, seconds) = (clients.to_string(), seconds.to_string());
    let said = pgbench(url, &["-c", &clients, "-j", "2", "-M", "prepared", "-T", &seconds], &insert).await?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.ok_or_else(|| Failure::new(format!("pgbench gave no rate: {said}")))
}

/// Runs one statement as often as `arguments` say; what pgbench says of it.
async fn pgbench(url: &str, arguments: &[&str], statement: &str) -> Outcome<String> {
    let mut command = Command::new("pgbench");
    command.args(["-n", "-f", "-"]).args(arguments).arg(url);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed =
        || "pgbench, which makes the measure, cannot be run; Debian's package postgresql has it".to_owned();
    let mut child = command.spawn().attempt(failed)?;
    if let Some(mut script) = child.stdin.take() {
        script.write_all(statement.as_bytes()).await.attempt(failed)?;
    }
    let output = child.wait_with_output().await.attempt(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(Failure::new(format!("pgbench failed: {}", text(&output.stderr)))),
    }
}
