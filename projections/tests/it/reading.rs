//! Lists, history, due times: the questions that are not a validation.

use std::collections::BTreeSet;

use domain::event::Actor;
use domain::id::{GuildId, StreamId};
use domain::license::{Event, Hold, Status};
use domain::terms::Terms;
use domain::time::{Span, Timestamp};
use projections::{AsOf, AuditFilter, Cursor, LicenseFilter, Page, QueryError};

use crate::engines::Engine;
use crate::mix::Mix;
use crate::world::{
    GUILD, NOW, New, World, activated, assigned, generated, license_id, of_license, pseudonym, registered,
    revoked,
};

crate::on_both_engines!(
    a_status_filter_is_the_status_function,
    a_cursor_is_stable_while_rows_are_added,
    filters_hold_what_they_say,
    history_shows_every_event_opened,
    the_clock_is_asked_in_order,
    the_audit_trail_is_filtered,
    guilds_members_and_users_are_read,
);

const STATUSES: [Status; 8] = [
    Status::Generated,
    Status::Assigned,
    Status::Activated,
    Status::Active,
    Status::Renewed,
    Status::Suspended,
    Status::Expired,
    Status::Revoked,
];

async fn a_status_filter_is_the_status_function(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut mix = Mix::new(77);
    mix.run(&world, 1_500).await;
    // An end so late that the grace after it does not fit into time.
    let last = license_id(9_999);
    let terms = Terms { duration: Some(Span::MAX), expiry_grace: Some(Span::MAX), ..Terms::default() };
    let end = Some(Timestamp(Timestamp::MAX.ms() - 1_000));
    world
        .append(vec![
            generated(last),
            of_license(last, Event::TermsChanged { terms, expires_at: end, at: NOW }),
        ])
        .await;
    world.projector.catch_up().await.unwrap();
    let mut all = Vec::new();
    let mut page = Page::first(200);
    loop {
        let paged = world.queries.licenses(&LicenseFilter::default(), page.clone(), NOW).await.unwrap();
        all.extend(paged.data);
        match paged.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    let mut instants: Vec<Timestamp> = vec![Timestamp(0), NOW, mix.now, Timestamp::MAX];
    for facts in all.iter().step_by(9) {
        let instant = facts.license.expiry_instant().unwrap_or(NOW);
        instants.extend([-1, 0, 1].map(|d| Timestamp((instant.ms() + d).clamp(0, Timestamp::MAX.ms()))));
    }
    let mut seen = BTreeSet::new();
    for now in instants {
        for status in STATUSES {
            let expected: BTreeSet<_> =
                all.iter().filter(|f| f.license.status(now) == Some(status)).map(|f| f.license.id).collect();
            let filter = LicenseFilter { status: Some(status), ..LicenseFilter::default() };
            let mut found = BTreeSet::new();
            let mut page = Page::first(200);
            loop {
                let paged = world.queries.licenses(&filter, page.clone(), now).await.unwrap();
                found.extend(paged.data.iter().map(|f| f.license.id));
                match paged.next {
                    Some(next) => page.cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(found, expected, "{status:?} at {now}");
            if !found.is_empty() {
                seen.insert(status.as_str());
            }
        }
    }
    assert!(seen.len() >= 6, "the mix should reach most statuses: {seen:?}");
}

async fn a_cursor_is_stable_while_rows_are_added(engine: Engine) {
    let mut world = World::new(engine).await;
    world.append((1..=25).map(|n| generated(license_id(n))).collect()).await;
    world.projector.catch_up().await.unwrap();
    let mut page = Page::first(10);
    let mut found = Vec::new();
    for round in 0_u128.. {
        let paged = world.queries.licenses(&LicenseFilter::default(), page.clone(), NOW).await.unwrap();
        found.extend(paged.data.iter().map(|facts| facts.license.id));
        // New licenses, and changes of old ones, while somebody pages.
        world.append(vec![generated(license_id(1_000 + round)), assigned(license_id(3), 7)]).await;
        world.projector.catch_up().await.unwrap();
        match paged.next {
            Some(next) => page.cursor = Some(Cursor::parse(&next.to_string()).unwrap()),
            None => break,
        }
    }
    let expected: Vec<_> = (1..=25).rev().map(license_id).collect();
    assert_eq!(found, expected);
    let foreign = Cursor::parse(&data_encoding::BASE64URL_NOPAD.encode(b"other.5")).unwrap();
    let refused = world
        .queries
        .licenses(&LicenseFilter::default(), Page { limit: 5, cursor: Some(foreign) }, NOW)
        .await;
    assert_eq!(refused.unwrap_err(), QueryError::CursorInvalid);
}

async fn filters_hold_what_they_say(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut mix = Mix::new(41);
    mix.run(&world, 900).await;
    world.projector.catch_up().await.unwrap();
    let list = async |filter: LicenseFilter| {
        world.queries.licenses(&filter, Page::first(200), NOW).await.unwrap().data
    };
    let all = list(LicenseFilter::default()).await;
    let owner = pseudonym(3);
    let owned = list(LicenseFilter { owner: Some(owner.clone()), ..LicenseFilter::default() }).await;
    assert!(owned.iter().all(|f| f.license.owner.as_ref().map(|o| &o.id) == Some(&owner)));
    assert_eq!(
        owned.len(),
        all.iter().filter(|f| f.license.owner.as_ref().map(|o| &o.id) == Some(&owner)).count()
    );
    let two =
        list(LicenseFilter { guilds: Some(vec![GuildId(1), GuildId(3)]), ..LicenseFilter::default() }).await;
    assert_eq!(two.len(), all.iter().filter(|f| f.license.guild != Some(GuildId(2))).count());
    assert!(list(LicenseFilter { guilds: Some(vec![]), ..LicenseFilter::default() }).await.is_empty());
    let kind =
        list(LicenseFilter { license_type: Some("basic".to_owned()), ..LicenseFilter::default() }).await;
    assert!(!kind.is_empty() && kind.iter().all(|f| f.license.license_type == "basic"));
    let before = NOW.after(Span::hours(8));
    let ending = list(LicenseFilter { expires_before: Some(before), ..LicenseFilter::default() }).await;
    assert_eq!(ending.len(), all.iter().filter(|f| f.license.expires_at.is_some_and(|e| e < before)).count());
    let one = list(LicenseFilter { id: Some(all[0].license.id), ..LicenseFilter::default() }).await;
    assert_eq!(one, vec![all[0].clone()]);
    let cached = world.queries.license(all[0].license.id).await.unwrap().unwrap();
    assert_eq!(cached, all[0]);
}

async fn history_shows_every_event_opened(engine: Engine) {
    let world = World::new(engine).await;
    let id = license_id(1);
    let reasoned = New { reason: Some("a refund".to_owned()), ..revoked(id) };
    world.append(vec![generated(id), assigned(id, 7), activated(id, 7, 5), reasoned]).await;
    let history = world.queries.history(id, Page::first(200)).await.unwrap().unwrap().data;
    assert_eq!(history.len(), 4);
    assert_eq!(history[1].data["owner"]["discordId"], "7");
    assert_eq!(history[2].data["device"]["name"], "Laptop 5");
    assert_eq!(history[2].personal_after.device_names.len(), 1);
    assert_eq!(history[3].reason.as_deref(), Some("a refund"));
    assert_eq!(history[3].state_after.version, 4);
    assert_eq!(history[0].state_after.status(NOW), Some(Status::Generated));
    let first = world.queries.history(id, Page::first(3)).await.unwrap().unwrap();
    let rest = world.queries.history(id, Page { limit: 3, cursor: first.next }).await.unwrap().unwrap();
    assert_eq!((first.data.len(), rest.data.len(), rest.next), (3, 1, None));
    assert_eq!(rest.data[0].state_after, history[3].state_after);
    assert!(world.queries.history(license_id(2), Page::first(3)).await.unwrap().is_none());
    let as_of =
        async |as_of| world.queries.license_as_of(id, as_of).await.unwrap().map(|f| f.license.version);
    assert_eq!(as_of(AsOf::Version(2)).await, Some(2));
    assert_eq!(as_of(AsOf::Position(3)).await, Some(3));
    assert_eq!(as_of(AsOf::Time(history[0].recorded.recorded_at)).await, Some(1));
    assert_eq!(as_of(AsOf::Time(Timestamp(5))).await, None);
}

async fn the_clock_is_asked_in_order(engine: Engine) {
    let mut world = World::new(engine).await;
    let with_end = |n: u128, hours: i64| {
        let terms = Terms {
            duration: Some(Span::hours(hours)),
            expiry_grace: Some(Span::hours(1)),
            ..Terms::default()
        };
        let expires_at = Some(NOW.after(Span::hours(hours)));
        [
            generated(license_id(n)),
            of_license(license_id(n), Event::TermsChanged { terms, expires_at, at: NOW }),
        ]
    };
    world.append([with_end(1, 5), with_end(2, 3), with_end(3, 9)].into_iter().flatten().collect()).await;
    let loss = Event::RoleLossStarted { ends_at: NOW.after(Span::hours(1)), at: NOW };
    world.append(vec![of_license(license_id(3), loss), generated(license_id(4))]).await;
    world.append(vec![of_license(license_id(4), Event::Suspended { hold: Hold::Admin, at: NOW })]).await;
    world.projector.catch_up().await.unwrap();
    assert_eq!(world.queries.next_due().await.unwrap(), Some(NOW.after(Span::hours(1))));
    let due = world.queries.due(NOW.after(Span::hours(6)), 10).await.unwrap();
    let found: Vec<_> = due.iter().map(|d| (d.license, d.role_loss)).collect();
    assert_eq!(found, [(license_id(3), true), (license_id(2), false), (license_id(1), false)]);
    assert_eq!(world.queries.due(NOW, 10).await.unwrap(), []);
    assert_eq!(world.queries.due(NOW.after(Span::hours(6)), 1).await.unwrap().len(), 1);
    let expiring = async |span| world.queries.expiring(GUILD, NOW, span, 10).await.unwrap();
    assert_eq!(expiring(Span::hours(6)).await, [license_id(2), license_id(1)]);
    let announced = Event::ExpiryAnnounced { expires_at: NOW.after(Span::hours(3)), at: NOW };
    world.append(vec![of_license(license_id(2), announced)]).await;
    world.projector.catch_up().await.unwrap();
    assert_eq!(expiring(Span::hours(6)).await, [license_id(1)]);
}

async fn the_audit_trail_is_filtered(engine: Engine) {
    let mut world = World::new(engine).await;
    Mix::new(17).run(&world, 300).await;
    let head = world.projector.catch_up().await.unwrap();
    let list = async |filter: AuditFilter| {
        let mut all = Vec::new();
        let mut page = Page::first(70);
        loop {
            let paged = world.queries.audit(&filter, page.clone()).await.unwrap();
            all.extend(paged.data);
            match paged.next {
                Some(next) => page.cursor = Some(next),
                None => return all,
            }
        }
    };
    let all = list(AuditFilter::default()).await;
    assert_eq!(all.iter().map(|e| e.position).collect::<Vec<_>>(), (1..=head).rev().collect::<Vec<_>>());
    let stream = all[0].stream.clone();
    let of_stream = list(AuditFilter { stream: Some(stream.clone()), ..AuditFilter::default() }).await;
    assert_eq!(of_stream.len(), all.iter().filter(|e| e.stream == stream).count());
    let bot = list(AuditFilter { actor: Some(Actor::Bot), ..AuditFilter::default() }).await;
    assert!(!bot.is_empty() && bot.iter().all(|e| e.actor == "bot"));
    let of_guild = list(AuditFilter { guilds: Some(vec![GuildId(1)]), ..AuditFilter::default() }).await;
    assert!(!of_guild.is_empty() && of_guild.iter().all(|e| e.guild == Some(GuildId(1))));
    let request =
        list(AuditFilter { correlation_id: Some("request-3".to_owned()), ..AuditFilter::default() }).await;
    assert_eq!(request.len(), 5);
    let late = list(AuditFilter {
        from: Some(all[9].recorded_at),
        until: Some(all[0].recorded_at),
        ..AuditFilter::default()
    })
    .await;
    assert_eq!(late.len(), 9);
}

async fn guilds_members_and_users_are_read(engine: Engine) {
    let mut world = World::new(engine).await;
    Mix::new(1234).run(&world, 500).await;
    world.append(vec![registered(7)]).await;
    for projected in [false, true] {
        if projected {
            world.projector.catch_up().await.unwrap();
            assert!(!world.queries.guilds().await.unwrap().is_empty());
        }
        let guild = world.queries.guild(GuildId(1)).await.unwrap().unwrap();
        let owner = guild.guild.owner.as_ref().unwrap().id.clone();
        assert!(guild.discord_id(&owner).is_some());
        let urls = world.queries.webhook_urls(&guild.guild).await.unwrap();
        assert!(urls.iter().all(|(_, url)| url.shown().starts_with("https://")));
        assert!(world.queries.guild(GuildId(99)).await.unwrap().is_none());
        let user = world.queries.user(&pseudonym(7)).await.unwrap().unwrap();
        assert!(user.discord_id.as_deref() == Some("7") || user.user.erased);
        assert!(world.queries.member(GuildId(99), &pseudonym(7)).await.unwrap().is_none());
    }
    let members = world.queries.members(GuildId(1), Page::first(200)).await.unwrap().data;
    assert!(!members.is_empty());
    let person = members[0].member.person.as_ref().unwrap().id.clone();
    assert_eq!(world.queries.member(GuildId(1), &person).await.unwrap().unwrap(), members[0]);
    assert!(world.queries.memberships(&person).await.unwrap().contains(&members[0]));
    let users =
        world.queries.users(&projections::UserFilter::default(), Page::first(200)).await.unwrap().data;
    assert!(users.windows(2).all(|pair| pair[0].position != pair[1].position));
    assert_eq!(world.queries.log().stream(&StreamId::guild(GuildId(99))).await.unwrap(), []);
}
