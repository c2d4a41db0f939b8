//! The runner: contiguous, repeatable, and never past an event that it cannot take.

use std::time::Duration;

use projections::rebuild::{names, verify};
use projections::{Config, Projector, QueryError, Step};

use crate::engines::Engine;
use crate::mix::Mix;
use crate::world::{World, activated, assigned, config, generated, license_id, registered};

crate::on_both_engines!(
    every_statement_is_understood,
    events_are_applied_in_order_and_once,
    a_runner_that_is_dropped_anywhere_loses_nothing,
    two_runners_do_no_harm,
    an_outage_is_waited_for,
    a_running_projector_is_woken,
    a_log_of_another_epoch_is_read_anew,
);

async fn every_statement_is_understood(engine: Engine) {
    let world = World::new(engine).await;
    assert!(world.queries.check_statements().await.unwrap() > 500);
}

async fn events_are_applied_in_order_and_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id), registered(7), assigned(id, 7)]).await;
    assert_eq!(world.projector.step().await.unwrap(), Step::Applied(3));
    assert_eq!(world.projector.step().await.unwrap(), Step::Idle(3));
    world.append(vec![activated(id, 7, 1)]).await;
    assert_eq!(world.projector.catch_up().await.unwrap(), 4);
    assert_eq!(world.number("SELECT version FROM license_view").await, 3);
    assert_eq!(world.number("SELECT count(*) FROM audit_trail").await, 4);
    world.queries.wait_for(4, Duration::ZERO).await.unwrap();
    let behind = world.queries.wait_for(5, Duration::from_millis(30)).await;
    assert_eq!(behind, Err(QueryError::Behind { wanted: 5, checkpoint: 4 }));
    // A second runner that believes to stand earlier finds that the checkpoint moved.
    assert_eq!(Projector::new(&world.queries).catch_up().await.unwrap(), 4);
    assert!(verify(&world.queries).await.unwrap().is_clean());
}

async fn a_runner_that_is_dropped_anywhere_loses_nothing(engine: Engine) {
    let mut world = World::with(engine, Config { batch: 7, ..config() }).await;
    let mut mix = Mix::new(11);
    mix.run(&world, 600).await;
    let head = world.queries.current_head().await.unwrap();
    for round in 0_u64.. {
        // Between 50 µs and about 4 ms: some steps end before they are dropped, most do not.
        let limit = Duration::from_micros(50 + (round * 137) % 4_000);
        let _ = tokio::time::timeout(limit, world.projector.catch_up()).await;
        if round > 400 || world.number("SELECT min(position) FROM projection_checkpoint").await == head {
            break;
        }
    }
    assert_eq!(world.projector.catch_up().await.unwrap(), head);
    assert_eq!(world.number("SELECT count(*) FROM audit_trail").await, head);
    let report = verify(&world.queries).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

async fn two_runners_do_no_harm(engine: Engine) {
    let mut world = World::with(engine, Config { batch: 5, ..config() }).await;
    Mix::new(5).run(&world, 400).await;
    let head = world.queries.current_head().await.unwrap();
    let (other, _) = world.another(Config { batch: 9, ..config() }).await;
    let mut second = Projector::new(&other);
    let (first, second) = tokio::join!(world.projector.catch_up(), second.catch_up());
    assert_eq!(first.or(second).unwrap(), head);
    world.projector.catch_up().await.unwrap();
    assert!(verify(&world.queries).await.unwrap().is_clean());
}

async fn an_outage_is_waited_for(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append(vec![registered(3), generated(license_id(1))]).await;
    world.vault.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(world.projector.step().await, Err(QueryError::Unavailable(_))));
    world.vault.is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.projector.catch_up().await.unwrap(), 2);
    assert!(world.queries.models().await.unwrap().iter().all(|model| model.stopped.is_none()));
}

async fn a_running_projector_is_woken(engine: Engine) {
    let world = World::with(engine, Config { poll: Duration::from_secs(60), ..config() }).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(Projector::new(&world.queries).run(stop.clone()));
    for n in 1..=20 {
        let position = world.append(vec![generated(license_id(n))]).await;
        world.queries.wait_for(position, Duration::from_secs(10)).await.unwrap();
    }
    stop.cancel();
    running.await.unwrap();
}

async fn a_log_of_another_epoch_is_read_anew(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append(vec![generated(license_id(1)), generated(license_id(2))]).await;
    world.projector.catch_up().await.unwrap();
    world.execute("UPDATE projection_checkpoint SET epoch = 'of the backup', position = 900").await;
    world.execute("UPDATE license_view SET stage = 'revoked'").await;
    // Nothing is read from a table that stands in another log.
    assert_eq!(world.validate(license_id(1)).await.code.as_str(), "VALID");
    assert_eq!(world.projector.catch_up().await.unwrap(), 2);
    assert!(verify(&world.queries).await.unwrap().is_clean());
    assert_eq!(names().len(), 8);
}
