//! How fast `license_view` is built anew: 50,000 licenses of five events with two devices each, on both engines.
//! `cargo bench -p projections --bench rebuild [-- <licenses>]` prints events per second, indexes and swap included.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where it cannot go on"
)]

#[path = "../../commands/tests/it/engines.rs"]
mod engines;
#[path = "../tests/it/support.rs"]
mod support;
#[path = "../tests/it/world.rs"]
mod world;

use std::time::Instant;

use engines::Engine;
use projections::Config;
use projections::rebuild::rebuild;
use world::{World, activated, assigned, became_active, generated, license_id};

/// Licenses whose events stand mixed in the log.
const MIXED: u128 = 1_000;

async fn measure(engine: Engine, licenses: u128) {
    let mut world = World::with(engine, Config::default()).await;
    for part in (0..licenses).step_by(MIXED as usize) {
        let ids = part..licenses.min(part + MIXED);
        let mut events = Vec::new();
        events.extend(ids.clone().map(|n| generated(license_id(n))));
        events.extend(ids.clone().map(|n| assigned(license_id(n), n as u64 / 3 + 1)));
        events.extend(ids.clone().map(|n| activated(license_id(n), n as u64 / 3 + 1, 2 * n)));
        events.extend(ids.clone().map(|n| activated(license_id(n), n as u64 / 3 + 1, 2 * n + 1)));
        events.extend(ids.map(|n| became_active(license_id(n))));
        world.append_elsewhere(events).await;
    }
    let begun = Instant::now();
    let events = world.projector.catch_up().await.unwrap();
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    println!("{engine:?}: live runner, all read models: {events} events, {rate:.0} events/s");
    for name in ["license_view", "license_view", "license_view", "audit_trail"] {
        let (begun, before) = (Instant::now(), cpu());
        rebuild(&world.queries, name, &mut |_| {}).await.unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        let rate = events as f64 / seconds;
        println!(
            "{engine:?}: rebuild of {name}: {seconds:.2} s, {rate:.0} events/s, {:.2} s of CPU here",
            cpu() - before
        );
    }
}

/// Seconds of processor time that this process has used: what a busy machine does not change. A PostgreSQL works in
/// processes of its own.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

fn main() {
    let licenses = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(50_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        measure(Engine::Sqlite, licenses).await;
        measure(Engine::Postgres, licenses).await;
    });
}
