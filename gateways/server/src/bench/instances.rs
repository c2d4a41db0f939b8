//! Two instances over one log: how long after a commit the other one's read models show it, and how long after a revoke it
//! refuses the key. Both stand in this process with connections of their own, and meet only in the database, in NATS and
//! in Redis, whatever is named; without `--database-url` there is one instance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::key::OpenedKey;
use domain::license::RevokeCategory;
use projections::{Ask, Projector, Queries};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::commands::Bed;
use super::histogram::Histogram;
use crate::assemble::Assembled;
use crate::cli::Bench;
use crate::failure::{Attempt as _, Failure, Outcome};

/// Commands a second while it is measured how far the read models are behind.
const COMMANDS_PER_SECOND: u32 = 500;
/// Licenses that are revoked, one after the other.
const REVOKED: usize = 500;
/// The pause between two questions about a revoked key.
const ASK_AGAIN: Duration = Duration::from_micros(250);
/// Longest wait for one event.
const PATIENCE: Duration = Duration::from_secs(20);

/// An instance that follows the log.
pub(super) struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// `has_projector`: whether it also keeps the read models.
    pub(super) async fn start(instance: &Assembled, has_projector: bool) -> Outcome<Self> {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        instance.queries.prepare().await.attempt(|| "the read models cannot be read".to_owned())?;
        let (queries, token) = (instance.queries.clone(), stop.clone());
        tasks.spawn(async move { queries.follow(token).await });
        if has_projector {
            tasks.spawn(Projector::new(&instance.queries).run(stop.clone()));
        }
        Ok(Self { stop, tasks })
    }

    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// From a commit of one instance until the read models of the other show it, at a constant rate.
pub(super) async fn project(bench: &Bench) -> Outcome<Value> {
    let bed = Arc::new(Bed::new(bench).await?);
    let count = u64::from(COMMANDS_PER_SECOND) * bench.seconds;
    let keys = bed.licenses(usize::try_from(count).unwrap_or(usize::MAX)).await?;
    bed.project().await?;
    let other = match bench.database_url {
        Some(_) => Some(bed.another(bench).await?),
        None => None,
    };
    let mut running = vec![Running::start(&bed.assembled, other.is_none()).await?];
    if let Some(other) = &other {
        running.push(Running::start(other, true).await?);
    }
    let shown_by = other.as_ref().unwrap_or(&bed.assembled).queries.clone();
    let latencies = Arc::new(Mutex::new(Histogram::default()));
    let mut ticks = interval(Duration::from_secs(1) / COMMANDS_PER_SECOND);
    // What the generator missed it makes up for, as requests do that do not wait for each other.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (begin, mut work) = (Instant::now(), JoinSet::new());
    for key in keys {
        ticks.tick().await;
        let (bed, queries, latencies) = (Arc::clone(&bed), shown_by.clone(), Arc::clone(&latencies));
        work.spawn(async move {
            let position = bed.activate(key, "measured").await?;
            let committed = Instant::now();
            shown(&queries, position).await?;
            latencies.lock().await.record(committed.elapsed());
            Outcome::Ok(())
        });
    }
    while let Some(done) = work.join_next().await {
        done.attempt(|| "a command was cut off".to_owned())??;
    }
    let seconds = begin.elapsed().as_secs_f64();
    for instance in running {
        instance.end().await;
    }
    let latencies = latencies.lock().await;
    Ok(json!({
        "what": "project",
        "engine": engine(&bed.assembled),
        "commandsPerSecond": latencies.count() as f64 / seconds,
        "commitToReadModel": quantiles(&latencies),
    }))
}

async fn shown(queries: &Queries, position: i64) -> Outcome<()> {
    let shown = queries.wait_for(position, PATIENCE).await;
    shown.attempt(|| "the read models did not follow".to_owned())
}

/// From the commit of a revoke on one instance until the other, which has the license in its cache, refuses the key.
pub(super) async fn revoke(bench: &Bench) -> Outcome<Value> {
    if bench.database_url.is_none() {
        return Err(Failure::refused(
            "one instance refuses a revoked key with the next call: there is nothing to measure",
        )
        .help("Name an empty PostgreSQL database with --database-url, and NATS with --nats-url."));
    }
    let bed = Bed::new(bench).await?;
    let keys = bed.licenses(REVOKED).await?;
    bed.project().await?;
    let other = bed.another(bench).await?;
    let running = [Running::start(&bed.assembled, true).await?, Running::start(&other, false).await?];
    let mut latencies = Histogram::default();
    for key in keys {
        let text = bed.text(key)?;
        if !is_valid(&other, &text).await? {
            return Err(Failure::new("a license was not valid before it was revoked"));
        }
        revoke_one(&bed, key).await?;
        let revoked = Instant::now();
        while is_valid(&other, &text).await? {
            if revoked.elapsed() > PATIENCE {
                return Err(Failure::new("the other instance goes on taking a revoked key"));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        latencies.record(revoked.elapsed());
    }
    for instance in running {
        instance.end().await;
    }
    Ok(json!({
        "what": "revoke",
        "engine": engine(&bed.assembled),
        "revoked": latencies.count(),
        "revokeToRefused": quantiles(&latencies),
    }))
}

async fn revoke_one(bed: &Bed, key: OpenedKey) -> Outcome<()> {
    let revoked = bed.commands().revoke(&bed.context(), key.license, RevokeCategory::Manual).await;
    revoked.map(|_| ()).attempt(|| "a license cannot be revoked".to_owned())
}

async fn is_valid(instance: &Assembled, key: &str) -> Outcome<bool> {
    let ask = Ask {
        guild: super::commands::GUILD,
        key,
        device: Some(projections::DeviceAsk { device_id: "first", components: &[] }),
        license_type: None,
        entitlements: &[],
        now: instance.clock.now(),
    };
    let answer = instance.queries.validate(ask).await.attempt(|| "a key cannot be validated".to_owned())?;
    Ok(answer.code.is_valid())
}

fn engine(instance: &Assembled) -> Value {
    let engine = instance.engine;
    json!({ "store": engine.store, "bus": engine.bus, "cache": engine.cache })
}

fn quantiles(latencies: &Histogram) -> Value {
    let micros = |share| latencies.quantile(share);
    json!({ "p50Micros": micros(0.5), "p95Micros": micros(0.95), "p99Micros": micros(0.99), "maxMicros": micros(1.0) })
}
