//! Rebuilding: what is live equals what the log gives, and readers notice nothing of the swap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::private::Subject;
use projections::rebuild::{Difference, names, rebuild, verify};
use projections::{Config, LicenseFilter, Page, Projector};

use crate::engines::Engine;
use crate::mix::Mix;
use crate::world::{
    NOW, World, activated, assigned, config, generated, license_id, of_license, of_user, person, pseudonym,
    registered,
};

crate::on_both_engines!(
    live_equals_rebuild,
    readers_see_no_swap,
    a_difference_is_named,
    an_erased_person_is_shown_as_such_everywhere,
    a_second_rebuild_ends_the_first,
    a_hole_in_the_log_is_found,
);

async fn live_equals_rebuild(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut mix = Mix::new(3);
    for part in 0..6 {
        mix.run(&world, 500).await;
        world.projector.catch_up().await.unwrap();
        if part == 2 {
            for name in names() {
                let mut reported = 0;
                rebuild(&world.queries, name, &mut |progress| reported = progress.done).await.unwrap();
                assert_eq!(reported, world.queries.head());
            }
        }
    }
    let report = verify(&world.queries).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let least = |name: &str| if name == "platform_view" { 1 } else { 3 };
    assert!(report.models.iter().all(|model| model.rows >= least(model.name)), "{report:#?}");
    assert_eq!(
        world
            .number("SELECT count(*) FROM license_view WHERE subjects IS NOT NULL AND owner IS NOT NULL")
            .await
            .min(1),
        1
    );
}

async fn readers_see_no_swap(engine: Engine) {
    let world = World::with(engine, Config { license_entries: 0, ..config() }).await;
    let mut mix = Mix::new(9);
    mix.run(&world, 1_500).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(Projector::new(&world.queries).run(stop.clone()));
    let head = world.queries.head();
    world.queries.wait_for(head, std::time::Duration::from_secs(60)).await.unwrap();
    let all = world.number("SELECT count(*) FROM license_view").await;
    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let reader = |n: u128| {
        let (queries, done, reads) = (world.queries.clone(), done.clone(), reads.clone());
        tokio::spawn(async move {
            let filter = LicenseFilter::default();
            while !done.load(Ordering::Relaxed) {
                let page = queries.licenses(&filter, Page::first(200), NOW).await.unwrap();
                assert_eq!(page.data.len() as i64, all.min(200), "a half-built table was seen");
                assert!(queries.license(license_id(1 + n)).await.unwrap().is_some());
                reads.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let readers: Vec<_> = (0..3).map(reader).collect();
    for n in 0..4 {
        rebuild(&world.queries, "license_view", &mut |_| {}).await.unwrap();
        // The live table moves on between the swaps.
        let position = world.append(vec![activated(license_id(1), 7, 1_000 + n)]).await;
        world.queries.wait_for(position, std::time::Duration::from_secs(30)).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(reads.load(Ordering::Relaxed) > 4);
    stop.cancel();
    running.await.unwrap();
    let report = verify(&world.queries).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

async fn a_difference_is_named(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append(vec![generated(license_id(1)), generated(license_id(2))]).await;
    world.projector.catch_up().await.unwrap();
    world.execute(&format!("UPDATE license_view SET stage = 'revoked' WHERE id = '{}'", license_id(1))).await;
    world.execute(&format!("DELETE FROM license_view WHERE id = '{}'", license_id(2))).await;
    let report = verify(&world.queries).await.unwrap();
    assert!(!report.is_clean());
    let found = &report.models.iter().find(|model| model.name == "license_view").unwrap().differences;
    let (one, two) = (license_id(1).to_string(), license_id(2).to_string());
    assert!(found.contains(&Difference::Live(one.clone())) && found.contains(&Difference::Rebuilt(one)));
    assert!(found.contains(&Difference::Rebuilt(two)) && found.len() == 3, "{found:?}");
    rebuild(&world.queries, "license_view", &mut |_| {}).await.unwrap();
    assert!(verify(&world.queries).await.unwrap().is_clean());
}

async fn an_erased_person_is_shown_as_such_everywhere(engine: Engine) {
    let mut world = World::new(engine).await;
    let (kept, passed_on) = (license_id(1), license_id(2));
    let joined = domain::member::Event::Joined { guild_id: crate::world::GUILD, person: person(7), at: NOW };
    let member = crate::world::New {
        stream: domain::id::StreamId::member(crate::world::GUILD, &pseudonym(7)),
        guild: Some(crate::world::GUILD),
        event: joined.into(),
        reason: None,
    };
    let metadata = domain::license::Event::MetadataChanged {
        metadata: Some(Some(domain::private::Private::of_user(&pseudonym(7), "{\"mine\":true}"))),
        private_metadata: None,
        at: NOW,
    };
    let transferred =
        domain::license::Event::Transferred { from: Some(pseudonym(7)), to: person(8), at: NOW };
    world
        .append(vec![
            registered(7),
            member,
            generated(kept),
            assigned(kept, 7),
            activated(kept, 7, 1),
            generated(passed_on),
            assigned(passed_on, 7),
            of_license(passed_on, metadata),
            of_license(passed_on, transferred),
        ])
        .await;
    world.projector.catch_up().await.unwrap();
    let clear = "SELECT count(*) FROM license_view WHERE personal LIKE '%Laptop%' OR personal LIKE '%mine%'";
    assert_eq!(world.number(clear).await, 2);
    world.vault.erase(&Subject::User(pseudonym(7)));
    world.append(vec![of_user(7, domain::user::Event::Erased { at: NOW })]).await;
    world.queries.look().await.unwrap();
    let facts = world.queries.license(kept).await.unwrap().unwrap();
    assert_eq!(facts.personal.user_id, Some(domain::private::Unsealed::Erased));
    world.projector.catch_up().await.unwrap();
    assert_eq!(world.number(clear).await, 0);
    let leaks = "SELECT (SELECT count(*) FROM user_view WHERE personal LIKE '%clear%') \
        + (SELECT count(*) FROM member_view WHERE personal LIKE '%clear%')";
    assert_eq!(world.number(leaks).await, 0);
    let report = verify(&world.queries).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let other = world.queries.license(passed_on).await.unwrap().unwrap();
    assert_eq!(other.personal.user_id, Some(domain::private::Unsealed::Clear("8".to_owned())));
    assert_eq!(other.personal.metadata, Some(domain::private::Unsealed::Erased));
}

async fn a_second_rebuild_ends_the_first(engine: Engine) {
    let mut world = World::with(engine, Config { rebuild_page: 20, rebuild_entries: 5, ..config() }).await;
    Mix::new(21).run(&world, 800).await;
    world.projector.catch_up().await.unwrap();
    let (one, two) = (world.queries.clone(), world.queries.clone());
    let (first, second) =
        tokio::join!(async move { rebuild(&one, "license_view", &mut |_| {}).await }, async move {
            rebuild(&two, "license_view", &mut |_| {}).await
        },);
    assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
    assert!(verify(&world.queries).await.unwrap().is_clean());
    assert!(rebuild(&world.queries, "nonsense", &mut |_| {}).await.is_err());
}

async fn a_hole_in_the_log_is_found(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append(vec![generated(license_id(1)), generated(license_id(2)), generated(license_id(3))]).await;
    match engine {
        Engine::Postgres => world.execute("ALTER TABLE events DISABLE TRIGGER ALL").await,
        _ => world.execute("DROP TRIGGER events_no_delete").await,
    }
    world.execute("DELETE FROM events WHERE position = 2").await;
    assert!(world.queries.log().disorder().await.unwrap().is_some());
    assert!(world.projector.catch_up().await.is_err(), "a gap is never skipped");
    assert_eq!(world.number("SELECT max(position) FROM projection_checkpoint").await, 0);
}
