//! What a validation costs inside the process: a warm hit with and without a device, and keys that are refused.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench has no callers, and ends where it cannot go on"
)]

#[path = "../../commands/tests/it/engines.rs"]
mod engines;
#[path = "../tests/it/support.rs"]
mod support;
#[path = "../tests/it/world.rs"]
mod world;

use criterion::{Criterion, criterion_group, criterion_main};
use domain::ports::Floor as _;
use projections::{Ask, Config, DeviceAsk};
use tokio_util::sync::CancellationToken;
use world::{GUILD, World, activated, ask, assigned, became_active, generated, key, license_id, registered};

fn validation(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let id = license_id(1);
    let world = runtime.block_on(async {
        let mut world = World::with(engines::Engine::Sqlite, Config::default()).await;
        let (laptop, tower) = (activated(id, 7, 1), activated(id, 7, 2));
        world
            .append(vec![registered(7), generated(id), assigned(id, 7), laptop, tower, became_active(id)])
            .await;
        world.projector.catch_up().await.unwrap();
        // As on a busy instance: floors under many other streams.
        for n in 2..20_000 {
            world.floors.raise(&domain::id::StreamId::license(license_id(n)), 6);
        }
        let queries = world.queries.clone();
        tokio::spawn(async move { queries.follow(CancellationToken::new()).await });
        world
    });
    let queries = world.queries.clone();
    let text = key(id, 0);
    let forged = text.replace("DCA", "ACD");
    let device = DeviceAsk { device_id: "machine-2", components: &[] };
    let mut one = |name: &str, ask: Ask<'_>, code: &str| {
        assert_eq!(runtime.block_on(queries.validate(ask)).unwrap().code.as_str(), code);
        c.bench_function(name, |b| b.to_async(&runtime).iter(|| queries.validate(ask)));
    };
    one("validate/warm", ask(GUILD, &text), "VALID");
    one("validate/warm_with_device", Ask { device: Some(device), ..ask(GUILD, &text) }, "VALID");
    one("validate/malformed", ask(GUILD, &forged), "MALFORMED_KEY");
    let before = queries.sql_statements();
    assert!(queries.cache_stats().licenses.hits > 0 && before > 0);
}

criterion_group!(benches, validation);
criterion_main!(benches);
