//! What a thing was at an earlier instant: the fold of its events up to there, whoever asks when.

use std::collections::BTreeSet;

use domain::guild::{self, Settings};
use domain::id::{GuildId, LicenseId, StreamId};
use domain::license::{Event, Hold, Status};
use domain::private::{Subject, Unsealed};
use domain::time::Timestamp;
use projections::{AsOf, LicenseFilter, Owned, Page, QueryError};

use crate::engines::Engine;
use crate::mix::Mix;
use crate::world::{
    GUILD, NOW, New, World, activated, assigned, generated, license_id, of_license, of_user, person,
    pseudonym, registered, revoked,
};

crate::on_both_engines!(
    every_version_is_the_fold_of_as_many_events,
    what_was_erased_stays_erased,
    a_list_holds_what_somebody_had_then,
    a_guild_is_read_as_it_was,
    what_has_not_happened_is_no_instant,
);

/// Of a random history, every version, position and instant of each license against its history.
async fn every_version_is_the_fold_of_as_many_events(engine: Engine) {
    let mut world = World::new(engine).await;
    Mix::new(20_261_124).run(&world, 600).await;
    world.projector.catch_up().await.unwrap();
    let all = world.queries.licenses(&LicenseFilter::default(), Page::first(200), NOW).await.unwrap().data;
    assert!(all.len() > 5, "{}", all.len());
    let mut compared = 0;
    for id in all.iter().map(|facts| facts.license.id).step_by(3) {
        let history = world.queries.history(id, Page::first(200)).await.unwrap().unwrap().data;
        for entry in &history {
            let recorded = &entry.recorded;
            for as_of in [
                AsOf::Version(recorded.sequence),
                AsOf::Position(recorded.position),
                AsOf::Time(recorded.recorded_at),
            ] {
                let then = world.queries.license_as_of(id, as_of).await.unwrap().unwrap();
                assert_eq!(then.license, entry.state_after, "{as_of:?}");
                assert_eq!((then.personal, then.position), (entry.personal_after.clone(), recorded.position));
            }
            compared += 3;
        }
        let first = &history[0].recorded;
        for as_of in [AsOf::Version(0), AsOf::Position(first.position - 1), AsOf::Time(Timestamp(0))] {
            assert_eq!(world.queries.license_as_of(id, as_of).await.unwrap(), None, "{as_of:?}");
        }
    }
    assert!(compared > 50, "{compared}");
}

async fn what_was_erased_stays_erased(engine: Engine) {
    let world = World::new(engine).await;
    let id = license_id(1);
    world.append(vec![registered(7), generated(id), assigned(id, 7), activated(id, 7, 5)]).await;
    let then = async || world.queries.license_as_of(id, AsOf::Version(3)).await.unwrap().unwrap();
    let before = then().await;
    assert_eq!(before.personal.user_id, Some(Unsealed::Clear("7".to_owned())));
    world.vault.erase(&Subject::User(pseudonym(7)));
    world.append(vec![of_user(7, domain::user::Event::Erased { at: NOW })]).await;
    let after = then().await;
    assert_eq!(after.license, before.license, "the state is what it was");
    assert_eq!(after.personal.user_id, Some(Unsealed::Erased));
    assert!(after.personal.device_names.iter().all(|(_, name)| *name == Unsealed::Erased));
}

async fn a_list_holds_what_somebody_had_then(engine: Engine) {
    let mut world = World::new(engine).await;
    let (kept, passed_on, taken_over, ended) = (license_id(1), license_id(2), license_id(3), license_id(4));
    let transferred = |id, from, to| {
        of_license(id, Event::Transferred { from: Some(pseudonym(from)), to: person(to), at: NOW })
    };
    let then = world
        .append(vec![
            generated(kept),
            assigned(kept, 7),
            generated(passed_on),
            assigned(passed_on, 7),
            generated(taken_over),
            assigned(taken_over, 8),
            generated(ended),
            assigned(ended, 7),
        ])
        .await;
    world
        .append(vec![
            transferred(passed_on, 7, 8),
            transferred(taken_over, 8, 7),
            revoked(ended),
            of_license(kept, Event::Suspended { hold: Hold::Admin, at: NOW }),
        ])
        .await;
    let head = world.projector.catch_up().await.unwrap();
    let list = async |owned, filter: LicenseFilter, position| {
        let owner = pseudonym(7);
        let as_of = AsOf::Position(position);
        let paged =
            world.queries.licenses_as_of((&owner, owned), &filter, as_of, Page::first(50)).await.unwrap();
        assert_eq!(paged.next, None);
        paged.data.iter().map(|facts| facts.license.id).collect::<Vec<LicenseId>>()
    };
    let any = LicenseFilter::default;
    assert_eq!(list(Owned::Ever, any(), then).await, [ended, passed_on, kept]);
    assert_eq!(list(Owned::Now, any(), then).await, [ended, kept]);
    assert_eq!(list(Owned::Ever, any(), head).await, [ended, taken_over, kept]);
    assert_eq!(list(Owned::Ever, any(), 2).await, [kept]);
    assert_eq!(list(Owned::Ever, any(), 0).await, []);
    let status = |status| LicenseFilter { status: Some(status), ..LicenseFilter::default() };
    assert_eq!(list(Owned::Ever, status(Status::Revoked), then).await, []);
    assert_eq!(list(Owned::Ever, status(Status::Revoked), head).await, [ended]);
    assert_eq!(list(Owned::Ever, status(Status::Suspended), head).await, [kept]);
    let elsewhere = LicenseFilter { guilds: Some(vec![GuildId(99)]), ..LicenseFilter::default() };
    assert_eq!(list(Owned::Ever, elsewhere, then).await, []);
    // Pages of one, with the same rows.
    let mut page = Page::first(1);
    let mut paged = Vec::new();
    loop {
        let owner = (&pseudonym(7), Owned::Ever);
        let found =
            world.queries.licenses_as_of(owner, &any(), AsOf::Position(then), page.clone()).await.unwrap();
        paged.extend(found.data.iter().map(|facts| facts.license.id));
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(paged, [ended, passed_on, kept]);
}

async fn a_guild_is_read_as_it_was(engine: Engine) {
    let world = World::new(engine).await;
    let of_guild = |event: guild::Event, reason: Option<&str>| New {
        stream: StreamId::guild(GUILD),
        guild: Some(GUILD),
        event: event.into(),
        reason: reason.map(str::to_owned),
    };
    let registered = guild::Event::Registered {
        guild_id: GUILD,
        name: "First".to_owned(),
        owner: person(9),
        watched_roles: BTreeSet::new(),
        at: NOW,
    };
    let settings = Settings { key_prefix: "NEW".parse().unwrap(), ..Settings::default() };
    let changed = guild::Event::SettingsChanged { settings, at: NOW };
    let renamed = guild::Event::ProfileChanged {
        name: "Second".to_owned(),
        owner: person(9),
        watched_roles: BTreeSet::new(),
        at: NOW,
    };
    let first = world.append(vec![of_guild(registered, None)]).await;
    let last = world.append(vec![of_guild(changed, Some("a new brand")), of_guild(renamed, None)]).await;
    let then = async |as_of| world.queries.guild_as_of(GUILD, as_of).await.unwrap().unwrap().guild;
    assert_eq!(then(AsOf::Version(1)).await.name, "First");
    assert_ne!(then(AsOf::Version(1)).await.settings, then(AsOf::Version(2)).await.settings);
    assert_eq!(then(AsOf::Position(last)).await.name, "Second");
    let events = world.queries.guild_events(GUILD, first, last, Page::first(1)).await.unwrap();
    assert_eq!(events.data.len(), 1);
    assert_eq!(events.data[0].1.as_deref(), Some("a new brand"));
    let rest = Page { limit: 5, cursor: events.next };
    let rest = world.queries.guild_events(GUILD, first, last, rest).await.unwrap();
    assert_eq!((rest.data[0].0.sequence, rest.next), (3, None));
    assert_eq!(world.queries.guild_as_of(GuildId(99), AsOf::Position(last)).await.unwrap(), None);
}

async fn what_has_not_happened_is_no_instant(engine: Engine) {
    let world = World::new(engine).await;
    let id = license_id(1);
    let head = world.append(vec![generated(id), assigned(id, 7)]).await;
    let ask = async |as_of| world.queries.license_as_of(id, as_of).await;
    assert_eq!(ask(AsOf::Version(3)).await, Err(QueryError::VersionUnknown { asked: 3, has: 2 }));
    assert_eq!(
        ask(AsOf::Position(head + 1)).await,
        Err(QueryError::PositionUnknown { asked: head + 1, head })
    );
    assert_eq!(world.queries.instant_of(AsOf::Version(1)).await.unwrap(), None);
    assert_eq!(world.queries.instant_of(AsOf::Position(1)).await.unwrap(), Some(NOW));
    assert_eq!(world.queries.instant_of(AsOf::Position(0)).await.unwrap(), Some(NOW));
    assert!(world.queries.instant_of(AsOf::Position(head + 1)).await.is_err());
}
