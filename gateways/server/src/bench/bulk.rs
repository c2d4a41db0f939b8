//! Many licenses in one command: to the commit, to the read models, and what another guild notices of it meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::id::GuildId;
use domain::key::OpenedKey;
use projections::Projector;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::commands::{BULK, Bed, GUILD, LARGE, median};
use super::histogram::Histogram;
use crate::cli::Bench;
use crate::failure::{Attempt as _, Outcome};

/// Orders of the small size; the median is reported.
const ORDERS: usize = 5;
/// The guild that goes on meanwhile.
const NEIGHBOUR: GuildId = GuildId(900_000_000_000_000_003);
/// Devices that it activates, each second.
const PER_SECOND: u32 = 50;
/// Its licenses, each for one device: more than it activates in the longest time that this may take.
const LICENSES: usize = 10_000;

/// Ten thousand licenses in one command, then a hundred thousand beside a guild that goes on activating.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let bed = Arc::new(Bed::new(bench).await?);
    bed.project().await?;
    let stop = CancellationToken::new();
    let runner = tokio::spawn(Projector::new(&bed.assembled.queries).run(stop.clone()));
    let (mut commits, mut shown) = (Vec::new(), Vec::new());
    for _ in 0..ORDERS {
        let (commit, read) = ordered(&bed, BULK).await?;
        commits.push(commit);
        shown.push(read);
    }
    bed.register(NEIGHBOUR).await?;
    let keys = bed.order(NEIGHBOUR, LICENSES).await?;
    bed.shown().await?;
    let end = CancellationToken::new();
    let neighbour = tokio::spawn(activating(Arc::clone(&bed), keys, end.clone()));
    let (commit, read) = ordered(&bed, LARGE).await?;
    end.cancel();
    let latencies = neighbour.await.attempt(|| "the neighbour was cut off".to_owned())??;
    stop.cancel();
    runner.await.ok();
    Ok(json!({
        "what": "bulk",
        "engine": bed.assembled.engine.store,
        "licenses": BULK,
        "commitSeconds": median(commits),
        "readModelsSeconds": median(shown),
        "large": {
            "licenses": LARGE,
            "commitSeconds": commit,
            "readModelsSeconds": read,
            "neighbourActivations": latencies.count(),
            "neighbourP50Micros": latencies.quantile(0.5),
            "neighbourP99Micros": latencies.quantile(0.99),
            "neighbourMaxMicros": latencies.quantile(1.0),
        },
    }))
}

/// Seconds until an order of `count` licenses is committed, and until the read models show it.
async fn ordered(bed: &Bed, count: usize) -> Outcome<(f64, f64)> {
    let begin = Instant::now();
    bed.order(GUILD, count).await?;
    let commit = begin.elapsed().as_secs_f64();
    bed.shown().await?;
    Ok((commit, begin.elapsed().as_secs_f64()))
}

/// Activates devices at a constant rate until `end`; how long each took, from when it was due.
async fn activating(bed: Arc<Bed>, keys: Vec<OpenedKey>, end: CancellationToken) -> Outcome<Histogram> {
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    // What the generator missed it makes up for, as requests do that do not wait for each other.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut work = JoinSet::new();
    for key in keys {
        if end.is_cancelled() {
            break;
        }
        let due = ticks.tick().await;
        let bed = Arc::clone(&bed);
        work.spawn(async move {
            bed.activate(key, "neighbour").await?;
            Outcome::Ok(due.elapsed())
        });
    }
    let mut latencies = Histogram::default();
    while let Some(done) = work.join_next().await {
        latencies.record(done.attempt(|| "a command was cut off".to_owned())??);
    }
    Ok(latencies)
}
