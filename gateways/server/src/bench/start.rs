//! The start of a server over existing data: until it says where it is, and what it has in memory then, and once its cache
//! holds every license.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Child;

use super::commands::{Bed, GUILD};
use super::usage::resident_bytes;
use super::{Scratch, load, validate};
use crate::cli::Bench;
use crate::door::Door;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::mode::Mode;

/// Starts; the median is reported.
const STARTS: usize = 5;
/// Connections over which the cache is filled.
const CONNECTIONS: usize = 32;
/// What a server does at its start is over after this time.
const SETTLED: Duration = Duration::from_secs(5);

/// Starts a server over nothing, and over so many licenses of five events and two devices each, and fills its cache.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let empty = Scratch::new()?;
    let embedded = Bench { database_url: None, nats_url: None, redis_url: None, ..bench.clone() };
    let (mut server, _, _) = started(&empty, &embedded).await?;
    tokio::time::sleep(SETTLED).await;
    let idle = memory_of(&server)?;
    ended(&mut server).await?;

    let bed = Bed::new(bench).await?;
    let keys = bed.licenses(bench.licenses).await?;
    bed.project().await?;
    bed.assembled.seal_log.catch_up().await.attempt(|| "the log cannot be sealed".to_owned())?;
    let texts = keys.iter().map(|key| bed.text(*key)).collect::<Outcome<Vec<String>>>()?;
    let scratch = bed.into_scratch();
    let mut starts = Vec::new();
    for _ in 1..STARTS {
        let (mut server, _, took) = started(&scratch, bench).await?;
        starts.push(took);
        ended(&mut server).await?;
    }
    let (mut server, door, took) = started(&scratch, bench).await?;
    starts.push(took);
    starts.sort();
    tokio::time::sleep(SETTLED).await;
    let before = memory_of(&server)?;
    let address = validate::address_of(door.url())?;
    let api_key = validate::api_key(&door, GUILD).await?;
    let body = |key: &String| json!({ "key": key, "deviceId": "first" }).to_string();
    let requests =
        texts.iter().map(|key| load::post(address, validate::PATH, &api_key, &body(key))).collect();
    let begin = Instant::now();
    load::once(address, Arc::new(requests), CONNECTIONS).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let after = memory_of(&server)?;
    ended(&mut server).await?;
    Ok(json!({
        "what": "start",
        "licenses": texts.len(),
        "startSeconds": starts[STARTS / 2].as_secs_f64(),
        "idleBytes": idle,
        "idleWithDataBytes": before,
        "filledBytes": after,
        "bytesPerCachedLicense": (after.saturating_sub(before)) as f64 / texts.len() as f64,
        "coldValidationsPerSecond": texts.len() as f64 / seconds,
    }))
}

/// A server of the folder, and how long it took until it said that it is ready.
async fn started(scratch: &Scratch, bench: &Bench) -> Outcome<(Child, Door, Duration)> {
    started_with(scratch, bench, &[]).await
}

/// The same with settings of its own.
pub(super) async fn started_with(
    scratch: &Scratch,
    bench: &Bench,
    variables: &[(&str, &str)],
) -> Outcome<(Child, Door, Duration)> {
    let mut command = validate::own_program()?;
    command.envs(variables.iter().copied());
    command.args(["serve", "--mode", "live", "--listen", "127.0.0.1:0", "--data-dir"]).arg(scratch.path());
    let begin = Instant::now();
    let server = validate::spawned(command, bench)?;
    let door = validate::ready(&scratch.config("live", bench)?, Mode::Live).await?;
    Ok((server, door, begin.elapsed()))
}

pub(super) fn memory_of(server: &Child) -> Outcome<u64> {
    server
        .id()
        .and_then(resident_bytes)
        .ok_or_else(|| Failure::new("this system does not say how much memory a process has"))
}

/// Ends a server as a crash does.
pub(super) async fn ended(server: &mut Child) -> Outcome<()> {
    server.kill().await.attempt(|| "the server cannot be ended".to_owned())
}
