//! Keys of other systems: found at once, by whom and for how long, and what guessing them costs.

use std::time::Duration;

use domain::alias::Alias;
use domain::id::{GuildId, LicenseId};
use domain::key::KeyVersion;
use domain::license::Event;
use projections::rebuild::{rebuild, verify};
use projections::{Config, Db, Opens, Queries, QueryError};

use crate::engines::Engine;
use crate::support::TestRing;
use crate::world::{
    GUILD, NOW, New, World, ask, config, generated, license_id, of_license, revoked, validate,
};

crate::on_both_engines!(
    a_foreign_key_opens_its_license_at_once,
    a_new_key_ends_it,
    guesses_ask_nobody,
    another_process_hears_of_it,
    a_process_that_begins_knows_it,
    a_read_model_that_is_built_anew_has_the_same,
    sets_of_many_are_whole,
    an_outage_degrades_what_is_known_and_denies_nothing,
);

const OTHER: GuildId = GuildId(200);

fn aliased(id: LicenseId, text: &str) -> New {
    of_license(id, Event::AliasAdded { alias: Alias::of(&TestRing, GUILD, text).to_string(), at: NOW })
}

/// What a key change makes of a license with this alias.
fn rekeyed(id: LicenseId, text: &str) -> Vec<New> {
    let key = KeyVersion { secret_id: 1, version: 1 };
    let alias = Alias::of(&TestRing, GUILD, text).to_string();
    vec![
        of_license(id, Event::Rekeyed { key, at: NOW }),
        of_license(id, Event::AliasRetired { alias, at: NOW }),
    ]
}

async fn code(queries: &Queries, text: &str) -> &'static str {
    let answer = validate(queries, GUILD, text).await;
    assert!(!answer.degraded, "{text}");
    answer.code.as_str()
}

async fn a_foreign_key_opens_its_license_at_once(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    assert_eq!(code(&world.queries, "OLD-1").await, "MALFORMED_KEY");
    world.append(vec![generated(id), aliased(id, "Schl\u{fc}ssel-1")]).await;
    for _ in 0..2 {
        for text in ["Schl\u{fc}ssel-1", "  Schlu\u{308}ssel-1\n"] {
            let answer = validate(&world.queries, GUILD, text).await;
            let found = answer.license.map(|facts| facts.license.id);
            assert_eq!((answer.code.as_str(), found), ("VALID", Some(id)), "{text:?}");
        }
        // Case counts, and so does the guild.
        assert_eq!(code(&world.queries, "schl\u{fc}ssel-1").await, "MALFORMED_KEY");
        let other = validate(&world.queries, OTHER, "Schl\u{fc}ssel-1").await;
        assert_eq!((other.code.as_str(), other.license.is_some()), ("MALFORMED_KEY", false));
        world.projector.catch_up().await.unwrap();
    }
    world.append(vec![revoked(id)]).await;
    assert_eq!(code(&world.queries, "Schl\u{fc}ssel-1").await, "REVOKED");
}

async fn a_new_key_ends_it(engine: Engine) {
    let mut world = World::new(engine).await;
    let (id, other) = (license_id(1), license_id(2));
    world.append(vec![generated(id), aliased(id, "A"), generated(other), aliased(other, "B")]).await;
    assert_eq!(code(&world.queries, "A").await, "VALID");
    world.append(rekeyed(id, "A")).await;
    for _ in 0..2 {
        let answer = validate(&world.queries, GUILD, "A").await;
        assert_eq!((answer.code.as_str(), answer.license.is_none()), ("KEY_SUPERSEDED", true));
        assert_eq!(world.queries.alias(GUILD, "A").await.unwrap(), Opens::Superseded);
        assert!(
            matches!(world.queries.alias(GUILD, "B").await.unwrap(), Opens::License(key) if key.license == other)
        );
        assert_eq!(world.queries.alias(OTHER, "B").await.unwrap(), Opens::Nothing);
        world.projector.catch_up().await.unwrap();
    }
}

async fn guesses_ask_nobody(engine: Engine) {
    let mut world = World::with(engine, Config { ttl: Duration::ZERO, ..config() }).await;
    let id = license_id(1);
    let asked = |world: &World| world.queries.sql_statements();
    // Of a guild without any, not even the first.
    let before = asked(&world);
    for n in 0..200 {
        assert_eq!(code(&world.queries, &format!("guess {n}")).await, "MALFORMED_KEY");
    }
    assert_eq!(asked(&world), before);
    world.append(vec![generated(id), aliased(id, "A")]).await;
    world.projector.catch_up().await.unwrap();
    assert_eq!(code(&world.queries, "first").await, "MALFORMED_KEY");
    let before = asked(&world);
    for n in 0..200 {
        assert_eq!(code(&world.queries, &format!("guess {n}")).await, "MALFORMED_KEY");
        assert_eq!(validate(&world.queries, OTHER, "A").await.code.as_str(), "MALFORMED_KEY");
    }
    assert_eq!(asked(&world), before);
}

async fn another_process_hears_of_it(engine: Engine) {
    let mut world = World::new(engine).await;
    let (id, later) = (license_id(1), license_id(2));
    assert_eq!(code(&world.queries, "A").await, "MALFORMED_KEY");
    world.append_elsewhere(vec![generated(id), aliased(id, "A")]).await;
    world.queries.look().await.unwrap();
    assert_eq!(code(&world.queries, "A").await, "VALID");
    world.projector.catch_up().await.unwrap();
    world.append_elsewhere(vec![generated(later), aliased(later, "B")]).await;
    world.append_elsewhere(rekeyed(id, "A")).await;
    world.queries.look().await.unwrap();
    assert_eq!(
        (code(&world.queries, "A").await, code(&world.queries, "B").await),
        ("KEY_SUPERSEDED", "VALID")
    );
}

async fn a_process_that_begins_knows_it(engine: Engine) {
    let mut world = World::new(engine).await;
    let (id, later) = (license_id(1), license_id(2));
    world.append(vec![generated(id), aliased(id, "A")]).await;
    world.projector.catch_up().await.unwrap();
    world.append(vec![generated(later), aliased(later, "B")]).await;
    // One alias stands in the read model, the other only in the log.
    let (queries, _) = world.another(config()).await;
    assert_eq!((code(&queries, "A").await, code(&queries, "B").await), ("VALID", "VALID"));
    assert_eq!(code(&queries, "C").await, "MALFORMED_KEY");
    // After a restore no read model is believed before it is built anew.
    let restored = world.restored("e2").await;
    assert_eq!((code(&restored, "A").await, code(&restored, "B").await), ("VALID", "VALID"));
}

async fn a_read_model_that_is_built_anew_has_the_same(engine: Engine) {
    let mut world = World::new(engine).await;
    for n in 1..=5 {
        world.append(vec![generated(license_id(n)), aliased(license_id(n), &format!("K{n}"))]).await;
    }
    world.append(rekeyed(license_id(1), "K1")).await;
    world.projector.catch_up().await.unwrap();
    for _ in 0..2 {
        let report = verify(&world.queries).await.unwrap();
        assert!(report.is_clean(), "{report:#?}");
        let rows = report.models.iter().find(|model| model.name == "alias_view").unwrap().rows;
        assert_eq!(rows, 5);
        rebuild(&world.queries, "alias_view", &mut |_| {}).await.unwrap();
    }
    let (queries, _) = world.another(config()).await;
    assert_eq!((code(&queries, "K1").await, code(&queries, "K5").await), ("KEY_SUPERSEDED", "VALID"));
}

/// More than one statement brings, from the log and from the read model.
async fn sets_of_many_are_whole(engine: Engine) {
    let mut world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![generated(id)]).await;
    let texts: Vec<String> = (0..12_345).map(|n| format!("KEY-{n}")).collect();
    world.append(texts.iter().map(|text| aliased(id, text)).collect()).await;
    let of_log = &world.queries;
    for text in texts.iter().step_by(1_111) {
        assert_eq!(code(of_log, text).await, "VALID", "{text}");
    }
    world.projector.catch_up().await.unwrap();
    let (of_view, _) = world.another(config()).await;
    for text in texts.iter().step_by(617).chain(texts.last()) {
        assert_eq!(code(&of_view, text).await, "VALID", "{text}");
    }
    assert_eq!(code(&of_view, "KEY-12345").await, "MALFORMED_KEY");
}

async fn an_outage_degrades_what_is_known_and_denies_nothing(engine: Engine) {
    let config = Config {
        contact_bound: Duration::from_millis(60),
        stale_if_error: Duration::from_millis(700),
        ..config()
    };
    let mut world = World::with(engine, config.clone()).await;
    let id = license_id(1);
    world.append(vec![generated(id), aliased(id, "A")]).await;
    world.projector.catch_up().await.unwrap();
    world.queries.look().await.unwrap();
    assert_eq!(code(&world.queries, "A").await, "VALID");
    let (unasked, _) = world.another(config).await;
    world.queries.look().await.unwrap();
    match &world.db {
        Db::Sqlite { read, .. } => read.close().await,
        Db::Postgres(pool) => pool.close().await,
    }
    // Whether it has the key, it does not know, and says so.
    let refused = unasked.validate(ask(GUILD, "A")).await;
    assert!(matches!(refused, Err(QueryError::Unavailable(_))), "{refused:?}");
    tokio::time::sleep(Duration::from_millis(80)).await;
    for (text, code) in [("A", "VALID"), ("B", "MALFORMED_KEY")] {
        let answer = validate(&world.queries, GUILD, text).await;
        assert_eq!((answer.code.as_str(), answer.degraded), (code, true));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    for text in ["A", "B"] {
        let refused = world.queries.validate(ask(GUILD, text)).await;
        assert!(matches!(refused, Err(QueryError::Unavailable(_))), "{refused:?}");
    }
}
