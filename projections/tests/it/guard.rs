//! Floors against the read model: what is stale is not used, and a late fill never wins.

use std::time::Duration;

use domain::ports::Floor as _;
use projections::{Config, Floors};

use crate::engines::Engine;
use crate::world::{World, assigned, config, generated, license_id, registered, revoked};

crate::on_both_engines!(
    a_row_below_its_floor_is_not_used,
    what_another_process_appends_is_seen_after_a_look,
    a_read_model_below_the_low_water_is_not_trusted,
    a_late_fill_never_wins,
    the_last_minute_gets_floors_at_the_start,
);

async fn a_row_below_its_floor_is_not_used(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id)]).await;
    world.projector.catch_up().await.unwrap();
    assert!(world.validate(id).await.code.is_valid());
    assert_eq!(world.queries.cache_stats().licenses.read_model, 1);
    // The projector stands still; the stream is read instead.
    world.append(vec![revoked(id)]).await;
    assert_eq!(world.validate(id).await.code.as_str(), "REVOKED");
    assert_eq!(world.queries.cache_stats().licenses.stream, 1);
    assert_eq!(world.validate(id).await.code.as_str(), "REVOKED");
    assert_eq!(world.queries.cache_stats().licenses.hits, 1);
}

async fn what_another_process_appends_is_seen_after_a_look(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id)]).await;
    world.projector.catch_up().await.unwrap();
    assert!(world.validate(id).await.code.is_valid());
    world.append_elsewhere(vec![revoked(id)]).await;
    assert!(world.validate(id).await.code.is_valid(), "nobody told this process yet");
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn({
        let (queries, stop) = (world.queries.clone(), stop.clone());
        async move { queries.follow(stop).await }
    });
    let seen = async {
        while world.validate(id).await.code.is_valid() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), seen).await.expect("within the published bound");
    stop.cancel();
    following.await.unwrap();
}

async fn a_read_model_below_the_low_water_is_not_trusted(engine: Engine) {
    let mut world = World::new(engine).await;
    let (one, two) = (license_id(1), license_id(2));
    world.append(vec![generated(one), generated(two)]).await;
    world.projector.catch_up().await.unwrap();
    world.append_elsewhere(vec![revoked(one), assigned(two, 3)]).await;
    // More than a minute later another process starts, while the read models stand where they stood.
    world.pass(Duration::from_secs(61));
    world.append_elsewhere(vec![registered(3)]).await;
    let (late, floors) = world.another(config()).await;
    assert_eq!(floors.low_water(), 4);
    assert_eq!(floors.len(), 1);
    let answer = crate::world::validate(&late, crate::world::GUILD, &crate::world::key(one, 0)).await;
    assert_eq!(answer.code.as_str(), "REVOKED");
    assert_eq!(late.cache_stats().licenses.stream, 1);
    world.projector.catch_up().await.unwrap();
    let owner = late.license(two).await.unwrap().unwrap().license.owner.clone();
    assert!(owner.is_some());
    assert_eq!(late.cache_stats().licenses.read_model, 1, "it has passed the low water by now");
}

async fn a_late_fill_never_wins(engine: Engine) {
    let mut world = World::new(engine).await;
    for n in 1..=40 {
        let id = license_id(n);
        world.append(vec![generated(id)]).await;
        world.projector.catch_up().await.unwrap();
        // Fills race with an append whose projection does not happen; from the append's return on, nobody sees the
        // license as it was.
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let queries = world.queries.clone();
                tokio::spawn(async move { queries.license(id).await.unwrap() })
            })
            .collect();
        world.append(vec![revoked(id)]).await;
        assert_eq!(world.validate(id).await.code.as_str(), "REVOKED");
        for reader in readers {
            reader.await.unwrap();
        }
        assert_eq!(world.validate(id).await.code.as_str(), "REVOKED", "a late fill hid the event");
    }
}

async fn the_last_minute_gets_floors_at_the_start(engine: Engine) {
    let mut world = World::with(engine, Config { batch: 3, ..config() }).await;
    for n in 1..=5 {
        world.append_elsewhere(vec![generated(license_id(n))]).await;
        world.pass(Duration::from_secs(25));
    }
    let (_, floors) = world.another(config()).await;
    assert_eq!((floors.low_water(), floors.len()), (2, 3));
    world.projector.catch_up().await.unwrap();
    let empty = Floors::new(projections::Bus::memory());
    empty.advance(0);
    assert!(empty.is_empty());
}
