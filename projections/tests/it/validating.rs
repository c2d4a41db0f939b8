//! The hot path: verdicts through cache, read model and stream, and what happens when the database is away.

use std::time::Duration;

use domain::id::GuildId;
use domain::license::Event;
use domain::ports::Floor as _;
use domain::terms::Terms;
use projections::{Config, Db, DeviceAsk, QueryError};

use crate::engines::Engine;
use crate::world::{
    GUILD, NOW, World, activated, ask, assigned, became_active, config, generated, key, license_id,
    of_license, of_user, pseudonym, registered, revoked, validate,
};

crate::on_both_engines!(
    a_refused_key_touches_no_database,
    a_license_is_valid_before_it_is_projected,
    only_an_empty_stream_is_not_found,
    a_license_of_another_guild_is_not_found,
    a_superseded_key_shows_no_license,
    a_ban_refuses_at_once,
    an_owner_without_events_costs_one_read,
    the_first_validation_is_queued_once,
    the_device_that_asked_is_remembered,
    an_outage_degrades_and_never_says_not_found,
    misses_of_one_license_are_read_once,
    whoever_waits_for_a_position_sees_what_stands_there,
);

async fn a_refused_key_touches_no_database(engine: Engine) {
    let world = World::new(engine).await;
    let forged = key(license_id(1), 0);
    let other_ring = domain::key::render(
        &OtherRing,
        &Default::default(),
        license_id(1),
        domain::key::KeyVersion { secret_id: 1, version: 0 },
    );
    let before = world.queries.sql_statements();
    for text in ["", "hello", &forged[..40], &forged.replace('-', "+")] {
        assert_eq!(validate(&world.queries, GUILD, text).await.code.as_str(), "MALFORMED_KEY");
    }
    assert_eq!(validate(&world.queries, GUILD, &other_ring.unwrap()).await.code.as_str(), "NOT_FOUND");
    assert_eq!(world.queries.sql_statements(), before);
}

struct OtherRing;

impl domain::ports::Mac for OtherRing {
    fn mac(&self, _: domain::ports::Purpose, _: &[&[u8]]) -> [u8; 32] {
        [9; 32]
    }
    fn license_key_mac(&self, _: u8, _: &[&[u8]]) -> Option<[u8; 32]> {
        Some([9; 32])
    }
    fn active_license_secret(&self) -> u8 {
        1
    }
    fn cache_mac(&self, _: &[&[u8]]) -> (u32, [u8; 32]) {
        (0, [9; 32])
    }
    fn cache_mac_under(&self, _: u32, _: &[&[u8]]) -> Option<[u8; 32]> {
        Some([9; 32])
    }
}

async fn a_license_is_valid_before_it_is_projected(engine: Engine) {
    let world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id), assigned(id, 7)]).await;
    let answer = world.validate(id).await;
    assert_eq!(answer.code.as_str(), "VALID");
    let facts = answer.license.unwrap();
    assert_eq!(facts.position, 2);
    assert_eq!(facts.personal.user_id, Some(domain::private::Unsealed::Clear("7".to_owned())));
    assert_eq!(facts.personal.metadata, Some(domain::private::Unsealed::Clear(r#"{"note":"m"}"#.to_owned())));
    // The same without this process having heard of it at all: the tag proves that the key was made.
    world.append_elsewhere(vec![generated(license_id(2))]).await;
    assert_eq!(world.validate(license_id(2)).await.code.as_str(), "VALID");
    world.append(vec![revoked(id)]).await;
    assert_eq!(world.validate(id).await.code.as_str(), "REVOKED");
    assert_eq!(world.validate(id).await.detail, "fraud");
}

/// The event was appended by one process and applied by another; this one has an older fact in its cache.
async fn whoever_waits_for_a_position_sees_what_stands_there(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id)]).await;
    world.projector.catch_up().await.unwrap();
    let (other, _) = world.another(config()).await;
    assert_eq!(validate(&other, GUILD, &key(id, 0)).await.code.as_str(), "VALID");
    let position = world.append_elsewhere(vec![revoked(id)]).await;
    world.projector.catch_up().await.unwrap();
    other.wait_for(position, Duration::from_secs(5)).await.unwrap();
    assert_eq!(validate(&other, GUILD, &key(id, 0)).await.code.as_str(), "REVOKED");
}

async fn only_an_empty_stream_is_not_found(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append(vec![generated(license_id(1))]).await;
    world.projector.catch_up().await.unwrap();
    let answer = world.validate(license_id(404)).await;
    assert_eq!(answer.code.as_str(), "NOT_FOUND");
    assert!(answer.license.is_none());
    world.execute(&format!("DELETE FROM license_view WHERE id = '{}'", license_id(1))).await;
    assert_eq!(world.validate(license_id(1)).await.code.as_str(), "VALID", "no row is no proof of absence");
}

async fn a_license_of_another_guild_is_not_found(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append(vec![generated(license_id(1))]).await;
    world.projector.catch_up().await.unwrap();
    let mine = validate(&world.queries, GUILD, &key(license_id(1), 0)).await;
    let theirs = validate(&world.queries, GuildId(5), &key(license_id(1), 0)).await;
    let nobodys = validate(&world.queries, GUILD, &key(license_id(2), 0)).await;
    assert!(mine.code.is_valid());
    assert_eq!(
        (theirs.code, &theirs.detail, theirs.license.is_none()),
        (nobodys.code, &nobodys.detail, true)
    );
}

async fn a_superseded_key_shows_no_license(engine: Engine) {
    let world = World::new(engine).await;
    let id = license_id(1);
    let rekeyed = Event::Rekeyed { key: domain::key::KeyVersion { secret_id: 1, version: 1 }, at: NOW };
    world.append(vec![generated(id), of_license(id, rekeyed)]).await;
    let old = validate(&world.queries, GUILD, &key(id, 0)).await;
    assert_eq!((old.code.as_str(), old.license.is_none()), ("KEY_SUPERSEDED", true));
    assert_eq!(validate(&world.queries, GUILD, &key(id, 1)).await.code.as_str(), "VALID");
}

async fn a_ban_refuses_at_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![registered(7), generated(id), assigned(id, 7)]).await;
    world.projector.catch_up().await.unwrap();
    assert!(world.validate(id).await.code.is_valid());
    world.append(vec![of_user(7, domain::user::Event::Banned { at: NOW })]).await;
    assert_eq!(world.validate(id).await.code.as_str(), "USER_BANNED");
    world.append(vec![of_user(7, domain::user::Event::Unbanned { at: NOW })]).await;
    assert!(world.validate(id).await.code.is_valid());
}

async fn an_owner_without_events_costs_one_read(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id), assigned(id, 7)]).await;
    world.projector.catch_up().await.unwrap();
    world.validate(id).await;
    let before = world.queries.sql_statements();
    for _ in 0..10 {
        assert!(world.validate(id).await.code.is_valid());
    }
    assert_eq!(world.queries.sql_statements(), before, "a warm hit touches no database");
    assert!(world.queries.user(&pseudonym(7)).await.unwrap().is_none());
    world.append(vec![registered(7)]).await;
    assert!(world.queries.user(&pseudonym(7)).await.unwrap().is_some());
}

async fn the_first_validation_is_queued_once(engine: Engine) {
    let world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id)]).await;
    world.validate(id).await;
    world.validate(id).await;
    assert_eq!(world.queries.first_validations().len(), 1);
    assert_eq!(world.queries.first_validations().take().await.license, id);
    world.append(vec![became_active(id)]).await;
    world.validate(id).await;
    assert!(world.queries.first_validations().is_empty());
}

async fn the_device_that_asked_is_remembered(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    let needs_device = Event::TermsChanged {
        terms: Terms { max_devices: Some(2), require_device: true, ..Terms::default() },
        expires_at: None,
        at: NOW,
    };
    world.append(vec![generated(id), of_license(id, needs_device), activated(id, 7, 9)]).await;
    world.projector.catch_up().await.unwrap();
    let text = key(id, 0);
    assert_eq!(validate(&world.queries, GUILD, &text).await.code.as_str(), "DEVICE_REQUIRED");
    let from = |device_id| DeviceAsk { device_id, components: &[] };
    let unknown = projections::Ask { device: Some(from("elsewhere")), ..ask(GUILD, &text) };
    assert_eq!(world.queries.validate(unknown).await.unwrap().code.as_str(), "DEVICE_NOT_ACTIVATED");
    let known = projections::Ask { device: Some(from("machine-9")), ..ask(GUILD, &text) };
    let device = world.queries.validate(known).await.unwrap().device.unwrap();
    assert_eq!(device, uuid::Uuid::from_u128(9));
    let seen = world.queries.last_seen();
    assert_eq!(seen.get(id, device).await.unwrap(), Some(NOW));
    assert_eq!(seen.flush().await.unwrap(), 1);
    assert_eq!(seen.flush().await.unwrap(), 0);
    assert_eq!(seen.get(id, device).await.unwrap(), Some(NOW));
    seen.record(id, device, domain::time::Timestamp(NOW.ms() + 5));
    assert_eq!(seen.of_license(id).await.unwrap()[&device].ms(), NOW.ms() + 5);
}

async fn an_outage_degrades_and_never_says_not_found(engine: Engine) {
    let config = Config {
        contact_bound: Duration::from_millis(60),
        stale_if_error: Duration::from_millis(700),
        ..config()
    };
    let mut world = World::with(engine, config).await;
    let (known, unknown) = (license_id(1), license_id(2));
    world.append(vec![generated(known), generated(unknown)]).await;
    world.projector.catch_up().await.unwrap();
    assert!(!world.validate(known).await.degraded);
    world.queries.look().await.unwrap();
    match &world.db {
        Db::Sqlite { read, .. } => read.close().await,
        Db::Postgres(pool) => pool.close().await,
    }
    let refused = world.queries.validate(ask(GUILD, &key(unknown, 0))).await;
    assert!(matches!(refused, Err(QueryError::Unavailable(_))), "{refused:?}");
    tokio::time::sleep(Duration::from_millis(80)).await;
    let answer = world.validate(known).await;
    assert_eq!((answer.code.as_str(), answer.degraded), ("VALID", true));
    // What this process knows to be stale is not used, not even now.
    world.floors.raise(&domain::id::StreamId::license(known), 900);
    assert!(matches!(
        world.queries.validate(ask(GUILD, &key(known, 0))).await,
        Err(QueryError::Unavailable(_))
    ));
    let second = world.queries.validate(ask(GUILD, &key(unknown, 0))).await;
    assert!(matches!(second, Err(QueryError::Unavailable(_))));
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(matches!(
        world.queries.validate(ask(GUILD, &key(known, 0))).await,
        Err(QueryError::Unavailable(_))
    ));
    // What is no key of ours may be one of another system, which was brought in meanwhile.
    let foreign = world.queries.validate(ask(GUILD, "no key")).await;
    assert!(matches!(foreign, Err(QueryError::Unavailable(_))), "{foreign:?}");
}

async fn misses_of_one_license_are_read_once(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append(vec![generated(license_id(1))]).await;
    world.projector.catch_up().await.unwrap();
    let before = world.queries.sql_statements();
    let askers: Vec<_> = (0..50)
        .map(|_| {
            let queries = world.queries.clone();
            tokio::spawn(
                async move { validate(&queries, GUILD, &key(license_id(1), 0)).await.code.is_valid() },
            )
        })
        .collect();
    for asker in askers {
        assert!(asker.await.unwrap());
    }
    assert_eq!(world.queries.sql_statements(), before + 1);
}
