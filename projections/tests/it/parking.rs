//! An aggregate that cannot be followed is left out of its read model, which goes on with all others; it is answered from
//! its own events or not at all, and comes back by a rebuild.

use domain::id::{LicenseId, StreamId};
use domain::license::Event;
use domain::private::Subject;
use projections::rebuild::{rebuild, verify};
use projections::{Config, LicenseFilter, ModelHealth, Page, Projector, Queries, QueryError};

use crate::engines::Engine;
use crate::world::{
    GUILD, NOW, World, activated, ask, assigned, config, generated, key, license_id, of_license, pseudonym,
    registered, revoked,
};

crate::on_both_engines!(
    a_poison_aggregate_is_left_out_and_the_rest_goes_on,
    a_rebuild_brings_back_what_can_be_read_again,
    a_ban_that_cannot_be_read_is_not_overlooked,
    too_many_of_them_stop_the_read_model,
    a_key_that_does_not_open_leaves_out_whom_it_concerns,
    a_value_that_the_database_refuses_leaves_out_its_aggregate,
    an_event_without_an_author_is_missing_from_the_audit_trail_only,
);

async fn model(queries: &Queries, name: &str) -> ModelHealth {
    queries.models().await.unwrap().into_iter().find(|model| model.name == name).unwrap()
}

async fn refused(world: &World, id: LicenseId) -> QueryError {
    world.queries.validate(ask(GUILD, &key(id, 0))).await.unwrap_err()
}

/// Makes the poison readable, as an update of the program would.
async fn mend(world: &World, engine: Engine, position: i64) {
    match engine {
        Engine::Postgres => world.execute("ALTER TABLE events DISABLE TRIGGER ALL").await,
        _ => world.execute("DROP TRIGGER events_no_update").await,
    }
    let payload = format!(r#"{{"type":"license.revoked","category":"fraud","at":{}}}"#, timestamp());
    world.execute(&format!("UPDATE events SET payload = '{payload}' WHERE position = {position}")).await;
}

/// An instant as events write it.
fn timestamp() -> String {
    serde_json::to_string(&NOW).unwrap()
}

async fn a_poison_aggregate_is_left_out_and_the_rest_goes_on(engine: Engine) {
    let mut world = World::new(engine).await;
    let (good, bad) = (license_id(1), license_id(2));
    world.append(vec![generated(good), generated(bad)]).await;
    world.projector.catch_up().await.unwrap();
    assert!(world.validate(bad).await.code.is_valid() && world.validate(good).await.code.is_valid());
    let position = world.poison(&StreamId::license(bad), "license.revoked").await;
    // As soon as it is heard of, the cache is not believed any more; and what it took away is not given.
    world.queries.look().await.unwrap();
    assert!(matches!(refused(&world, bad).await, QueryError::Unreadable(_)));
    world.append(vec![activated(bad, 7, 1), revoked(good), registered(3)]).await;
    assert_eq!(world.projector.catch_up().await.unwrap(), 6);
    for found in world.queries.models().await.unwrap() {
        let parked = (found.name == "license_view").then_some((1, position));
        assert_eq!((found.checkpoint, found.stopped, found.parked), (6, None, parked), "{}", found.name);
    }
    let parked = world.queries.parked(10).await.unwrap();
    let [one] = &parked[..] else { panic!("{parked:?}") };
    assert_eq!((&*one.kind, &one.id, one.position), ("license", &bad.to_string(), position));
    assert!(one.error.contains("cannot be read"), "{one:?}");
    // Here, and in a process that has cached nothing.
    let (other, _) = world.another(config()).await;
    for queries in [&world.queries, &other] {
        let refused = queries.validate(ask(GUILD, &key(bad, 0))).await.unwrap_err();
        assert!(matches!(refused, QueryError::Unreadable(_)), "{refused:?}");
        let told = queries.validate(ask(GUILD, &key(good, 0))).await.unwrap();
        assert_eq!(told.code.as_str(), "REVOKED");
    }
    let listed = world.queries.licenses(&LicenseFilter::default(), Page::first(10), NOW).await.unwrap();
    assert_eq!(listed.data.iter().map(|facts| facts.license.id).collect::<Vec<_>>(), [good]);
    let report = verify(&world.queries).await.unwrap();
    assert!(report.models.iter().all(|model| model.differences.is_empty()), "{report:#?}");
    assert!(!report.is_clean() && report.parked == parked, "{report:#?}");
    assert_eq!(Projector::new(&other).catch_up().await.unwrap(), 6);
}

async fn a_rebuild_brings_back_what_can_be_read_again(engine: Engine) {
    let mut world = World::new(engine).await;
    let (early, late) = (license_id(1), license_id(2));
    world.append(vec![generated(early), generated(late), registered(7)]).await;
    let position = world.poison(&StreamId::license(early), "license.revoked").await;
    world.append(vec![assigned(late, 7)]).await;
    world.projector.catch_up().await.unwrap();
    // As long as it cannot be read, a rebuild leaves it out, too.
    rebuild(&world.queries, "license_view", &mut |_| {}).await.unwrap();
    assert_eq!(model(&world.queries, "license_view").await.parked, Some((1, position)));
    assert_eq!(world.number("SELECT count(*) FROM license_view").await, 1);
    mend(&world, engine, position).await;
    // Its own events tell already what the read model does not know.
    world.queries.look().await.unwrap();
    assert_eq!(world.validate(early).await.code.as_str(), "REVOKED");
    let report = verify(&world.queries).await.unwrap();
    assert!(report.models.iter().any(|model| !model.differences.is_empty()), "{report:#?}");
    rebuild(&world.queries, "license_view", &mut |_| {}).await.unwrap();
    assert_eq!(model(&world.queries, "license_view").await.parked, None);
    assert_eq!(world.validate(early).await.code.as_str(), "REVOKED");
    world.append(vec![activated(late, 7, 1)]).await;
    world.projector.catch_up().await.unwrap();
    let report = verify(&world.queries).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

async fn a_ban_that_cannot_be_read_is_not_overlooked(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![registered(7), generated(id), assigned(id, 7)]).await;
    world.projector.catch_up().await.unwrap();
    assert!(world.validate(id).await.code.is_valid());
    world.poison(&StreamId::user(&pseudonym(7)), "user.banned").await;
    world.projector.catch_up().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM user_view").await, 0);
    world.queries.look().await.unwrap();
    assert!(matches!(refused(&world, id).await, QueryError::Unreadable(_)));
    let (other, _) = world.another(config()).await;
    let refused = other.validate(ask(GUILD, &key(id, 0))).await;
    assert!(matches!(refused, Err(QueryError::Unreadable(_))), "{refused:?}");
}

async fn too_many_of_them_stop_the_read_model(engine: Engine) {
    let mut world = World::with(engine, Config { parked_max: 1, ..config() }).await;
    let (one, two, good) = (license_id(1), license_id(2), license_id(3));
    world.append(vec![generated(one), generated(two), generated(good)]).await;
    let first = world.poison(&StreamId::license(one), "license.revoked").await;
    let second = world.poison(&StreamId::license(two), "license.revoked").await;
    world.append(vec![revoked(good)]).await;
    assert_eq!(world.projector.catch_up().await.unwrap(), 6);
    let found = model(&world.queries, "license_view").await;
    assert_eq!((found.checkpoint, found.parked), (first, Some((1, first))), "{found:?}");
    assert_eq!(found.stopped.map(|(position, _)| position), Some(second));
    assert_eq!(model(&world.queries, "user_view").await.checkpoint, 6);
    // What stands still hides nothing: a revoked license is read from its stream.
    assert_eq!(world.validate(good).await.code.as_str(), "REVOKED");
    assert!(rebuild(&world.queries, "license_view", &mut |_| {}).await.is_err());
    // A new process with more room goes on.
    let (other, _) = world.another(Config { parked_max: 2, ..config() }).await;
    Projector::new(&other).catch_up().await.unwrap();
    let found = model(&other, "license_view").await;
    assert_eq!((found.checkpoint, found.stopped, found.parked), (6, None, Some((2, first))));
}

async fn a_key_that_does_not_open_leaves_out_whom_it_concerns(engine: Engine) {
    let mut world = World::new(engine).await;
    let (his, hers) = (license_id(1), license_id(2));
    world
        .append(vec![
            registered(7),
            registered(8),
            generated(his),
            generated(hers),
            assigned(his, 7),
            assigned(hers, 8),
        ])
        .await;
    *world.vault.damaged.lock().unwrap() = Some(Subject::User(pseudonym(7)));
    assert_eq!(world.projector.catch_up().await.unwrap(), 6);
    assert_eq!(model(&world.queries, "license_view").await.parked.map(|(count, _)| count), Some(1));
    assert_eq!(model(&world.queries, "user_view").await.parked.map(|(count, _)| count), Some(1));
    assert_eq!(world.number("SELECT count(*) FROM license_view").await, 1);
    assert!(world.validate(hers).await.code.is_valid());
    assert!(world.queries.validate(ask(GUILD, &key(his, 0))).await.is_err());
    *world.vault.damaged.lock().unwrap() = None;
    for name in ["license_view", "user_view"] {
        rebuild(&world.queries, name, &mut |_| {}).await.unwrap();
    }
    assert!(world.validate(his).await.code.is_valid());
    assert!(verify(&world.queries).await.unwrap().is_clean());
}

async fn a_value_that_the_database_refuses_leaves_out_its_aggregate(engine: Engine) {
    let mut world = World::new(engine).await;
    let (good, odd) = (license_id(1), license_id(2));
    // PostgreSQL takes this character in no text; SQLite does.
    let mut strange = generated(odd);
    if let domain::event::DomainEvent::License(Event::Generated { license_type, .. }) = &mut strange.event {
        license_type.push('\0');
    }
    world.append(vec![generated(good), strange, revoked(good)]).await;
    assert_eq!(world.projector.catch_up().await.unwrap(), 3);
    let parked = (engine == Engine::Postgres).then_some((1, 2));
    assert_eq!(model(&world.queries, "license_view").await.parked, parked);
    assert_eq!(world.validate(good).await.code.as_str(), "REVOKED");
    assert!(world.validate(odd).await.code.is_valid(), "its own events can be read");
}

async fn an_event_without_an_author_is_missing_from_the_audit_trail_only(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id)]).await;
    let insert = format!(
        "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
         metadata, guild_id, recorded_at) SELECT 2, aggregate_type, '{}', 1, event_type, event_version, payload, '{{}}', \
         guild_id, recorded_at FROM events WHERE position = 1",
        license_id(2)
    );
    world.execute(&insert).await;
    world.append(vec![of_license(id, Event::BecameActive { at: NOW, expires_at: None })]).await;
    assert_eq!(world.projector.catch_up().await.unwrap(), 3);
    assert_eq!(world.number("SELECT count(*) FROM audit_trail").await, 2);
    assert_eq!(model(&world.queries, "audit_trail").await.parked, Some((1, 2)));
    assert!(world.validate(id).await.code.is_valid());
}
