//! The outbox: one delivery a slot, sent when it may be, and never anything old.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::event::Actor;
use domain::guild::{Event as GuildEvent, ExistingLicenses, RuleId, RuleSource};
use domain::id::{ChannelId, GuildId, LicenseId, RoleId, StreamId};
use domain::member::Event as MemberEvent;
use domain::terms::Terms;
use domain::time::{Span, Timestamp};
use domain::user::Event as UserEvent;
use projections::rebuild::{names, rebuild, verify};
use projections::{
    Announcement, Cause, Delivery, DeliveryState, Followed, Lease, Outbox, QueryError, SendLimits,
};
use uuid::Uuid;

use crate::bot::held;
use crate::engines::Engine;
use crate::world::{GUILD, NOW, New, World, config, license_id, of_license, of_user, pseudonym};

crate::on_both_engines!(
    a_slot_makes_one_delivery,
    the_last_delivery_of_a_slot_wins,
    a_slot_is_quiet_after_a_message,
    a_delivery_replaced_while_it_is_sent_counts_as_sent,
    what_a_job_opens_is_left_to_the_panel,
    a_new_key_goes_the_way_of_the_one_before,
    many_in_a_minute_are_left_to_the_panel,
    a_burst_is_no_message_although_nobody_claims_for_long,
    senders_beside_each_other_claim_each_delivery_once,
    a_guild_gets_so_many_messages_a_minute,
    what_was_not_sent_counts_for_nothing,
    a_sender_that_died_is_replaced_with_the_same_nonce,
    a_stolen_lease_claims_nothing,
    what_cannot_be_delivered_is_over,
    the_outbox_begins_at_the_head,
    many_followers_write_each_delivery_once,
    a_restored_log_is_followed_from_its_head,
    an_event_that_cannot_be_read_is_not_passed,
    an_erased_person_leaves_no_row,
    changes_of_rules_are_reported,
    an_announcement_survives_a_crash,
    rebuilds_leave_deliveries_alone,
);

const LIMITS: SendLimits = SendLimits {
    per_guild_minute: 10,
    bulk_above: 20,
    batch: 100,
    slot_pause: Span::seconds(600),
    lease: Duration::from_secs(30),
};

fn at(seconds: i64) -> Timestamp {
    NOW + Span::seconds(seconds)
}

fn license(user: u64, generation: u32) -> LicenseId {
    license_id(u128::from(user) * 1_000 + u128::from(generation))
}

fn opened_in(guild: GuildId, user: u64, generation: u32) -> New {
    let event = MemberEvent::SlotOpened {
        license_type: "pro".to_owned(),
        generation,
        license_id: license(user, generation),
        sources: BTreeSet::new(),
        at: NOW,
    };
    New {
        stream: StreamId::member(guild, &pseudonym(user)),
        guild: Some(guild),
        event: event.into(),
        reason: None,
    }
}

fn opened(user: u64, generation: u32) -> New {
    opened_in(GUILD, user, generation)
}

fn of_guild(event: GuildEvent) -> New {
    New { stream: StreamId::guild(GUILD), guild: Some(GUILD), event: event.into(), reason: None }
}

/// A world whose outbox stands at the head of the log, and the lease of its sender.
async fn begun(engine: Engine) -> (World, Outbox, Lease) {
    let world = World::new(engine).await;
    let outbox = world.queries.outbox();
    let followed = outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!(followed, Followed { more: true, ..Followed::default() });
    let lease = world.queries.leases().acquire("egress", "a", Duration::from_secs(600)).await.unwrap();
    (world, outbox, lease.unwrap())
}

/// Opens the first generation of slots and follows.
async fn gained(world: &World, users: std::ops::RangeInclusive<u64>, now: Timestamp) {
    world.append(users.map(|user| opened(user, 1)).collect()).await;
    world.queries.outbox().follow(now, 1_000, &LIMITS).await.unwrap();
}

async fn only(outbox: &Outbox, user: u64) -> Delivery {
    let found = outbox.of_user(GUILD, &pseudonym(user)).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn depth(states: &[(&str, u64)]) -> BTreeMap<String, u64> {
    states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect()
}

async fn a_slot_makes_one_delivery(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    let position = world.append(vec![of_user(9, UserEvent::Banned { at: NOW }), opened(1, 3)]).await;
    let followed = outbox.follow(at(5), 100, &LIMITS).await.unwrap();
    let expected = Followed { position, granted: BTreeSet::from([GUILD]), ..Followed::default() };
    assert_eq!(followed, expected);
    let waiting = only(&outbox, 1).await;
    let expected = Delivery {
        guild: GUILD,
        user: pseudonym(1),
        license_type: "pro".to_owned(),
        license: license(1, 3),
        generation: 3,
        state: DeliveryState::Waiting,
        position,
        created_at: at(5),
        due_at: at(5),
        attempts: 0,
        first_attempt_at: None,
        nonce: waiting.nonce.clone(),
        code: None,
        sent_at: None,
    };
    assert_eq!(waiting, expected);
    assert!((1..=25).contains(&waiting.nonce.len()), "{}", waiting.nonce);
    assert_eq!(outbox.next_due().await.unwrap(), Some(at(5)));
    assert_eq!(outbox.due_guilds(at(4)).await.unwrap(), []);
    assert_eq!(outbox.claim(GUILD, at(4), &LIMITS, &lease).await.unwrap(), []);
    assert_eq!(outbox.due_guilds(at(5)).await.unwrap(), [GUILD]);
    assert_eq!(outbox.claim(GuildId(200), at(5), &LIMITS, &lease).await.unwrap(), []);

    let claimed = outbox.claim(GUILD, at(6), &LIMITS, &lease).await.unwrap();
    let sending = Delivery {
        state: DeliveryState::Sending,
        attempts: 1,
        first_attempt_at: Some(at(6)),
        due_at: at(36),
        ..waiting
    };
    assert_eq!(claimed, std::slice::from_ref(&sending));
    assert_eq!(outbox.claim(GUILD, at(6), &LIMITS, &lease).await.unwrap(), []);
    assert!(outbox.sent(&sending, at(7)).await.unwrap());
    let sent = only(&outbox, 1).await;
    assert_eq!((sent.state, sent.sent_at), (DeliveryState::Sent, Some(at(7))));
    assert_eq!(outbox.depth().await.unwrap(), depth(&[("sent", 1)]));
    assert_eq!(outbox.next_due().await.unwrap(), None);
    assert_eq!(outbox.due_guilds(at(9_999)).await.unwrap(), []);
    assert_eq!(
        outbox.follow(at(8), 100, &LIMITS).await.unwrap(),
        Followed { position, ..Followed::default() }
    );
}

async fn the_last_delivery_of_a_slot_wins(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=1, NOW).await;
    let old = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap().remove(0);
    assert!(outbox.retry(&old, at(20)).await.unwrap());
    let again = only(&outbox, 1).await;
    assert_eq!((again.state, again.due_at, &again.nonce), (DeliveryState::Waiting, at(20), &old.nonce));

    // The same license once more is another delivery too.
    world.append(vec![opened(1, 1)]).await;
    outbox.follow(at(1), 100, &LIMITS).await.unwrap();
    let same = only(&outbox, 1).await;
    world.append(vec![opened(1, 2)]).await;
    outbox.follow(at(2), 100, &LIMITS).await.unwrap();
    let new = only(&outbox, 1).await;
    let nonces = BTreeSet::from([&old.nonce, &same.nonce, &new.nonce]);
    assert_eq!(nonces.len(), 3, "{nonces:?}");
    assert_eq!((same.license, new.license), (license(1, 1), license(1, 2)));
    assert_eq!((new.state, new.attempts, new.first_attempt_at), (DeliveryState::Waiting, 0, None));
    assert_eq!((new.created_at, new.due_at), (at(2), at(2)));

    // Reports of the one before do not touch it.
    assert!(!outbox.sent(&old, at(3)).await.unwrap());
    assert!(!outbox.retry(&old, at(3)).await.unwrap());
    assert!(!outbox.undeliverable(&old, 50_007, at(3)).await.unwrap());
    assert!(!outbox.dropped(&old).await.unwrap());
    assert_eq!(only(&outbox, 1).await, new);
}

async fn a_slot_is_quiet_after_a_message(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=1, NOW).await;
    let first = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap().remove(0);
    outbox.sent(&first, at(10)).await.unwrap();
    for generation in [2, 3] {
        world.append(vec![opened(1, generation)]).await;
        outbox.follow(at(60), 100, &LIMITS).await.unwrap();
        let next = only(&outbox, 1).await;
        assert_eq!((next.due_at, next.sent_at), (at(610), Some(at(10))), "{generation}");
    }
    assert_eq!(outbox.claim(GUILD, at(609), &LIMITS, &lease).await.unwrap(), []);
    let second = outbox.claim(GUILD, at(610), &LIMITS, &lease).await.unwrap().remove(0);
    assert_eq!(second.license, license(1, 3));
    outbox.sent(&second, at(610)).await.unwrap();
    // Long after, at once.
    world.append(vec![opened(1, 4)]).await;
    outbox.follow(at(2_000), 100, &LIMITS).await.unwrap();
    assert_eq!(only(&outbox, 1).await.due_at, at(2_000));
}

async fn a_delivery_replaced_while_it_is_sent_counts_as_sent(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=1, NOW).await;
    outbox.claim(GUILD, at(5), &LIMITS, &lease).await.unwrap();
    world.append(vec![opened(1, 2)]).await;
    outbox.follow(at(6), 100, &LIMITS).await.unwrap();
    let new = only(&outbox, 1).await;
    assert_eq!((new.state, new.due_at, new.sent_at), (DeliveryState::Waiting, at(605), Some(at(5))));
}

async fn what_a_job_opens_is_left_to_the_panel(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    for (user, actor) in [(1, Actor::Bot), (2, Actor::Operator), (3, Actor::Job("sweep".into()))] {
        let bulk = Cause::of(&actor) == Cause::Bulk;
        assert_eq!(bulk, user == 3);
        world.act_as(Some(actor));
        gained(&world, user..=user, NOW).await;
        let expected = if bulk { DeliveryState::Bulk } else { DeliveryState::Waiting };
        assert_eq!(only(&outbox, user).await.state, expected);
    }
    let claimed = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap();
    assert_eq!(claimed.iter().map(|d| d.license).collect::<Vec<_>>(), [license(1, 1), license(2, 1)]);
    // A gain afterwards is a message again.
    world.act_as(Some(Actor::Bot));
    world.append(vec![opened(3, 2)]).await;
    outbox.follow(at(1), 100, &LIMITS).await.unwrap();
    assert_eq!(only(&outbox, 3).await.state, DeliveryState::Waiting);
}

/// Sent, and it is sent again, once the slot has been quiet; everything else goes on as it was.
async fn a_new_key_goes_the_way_of_the_one_before(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=4, NOW).await;
    let limits = SendLimits { batch: 3, ..LIMITS };
    let claimed = outbox.claim(GUILD, NOW, &limits, &lease).await.unwrap();
    outbox.sent(&claimed[0], at(1)).await.unwrap();
    outbox.undeliverable(&claimed[1], 50_007, at(1)).await.unwrap();
    let (sending, waiting) = (&claimed[2], only(&outbox, 4).await);
    let rekeyed = |user| {
        let key = domain::key::KeyVersion { secret_id: 1, version: 1 };
        of_license(license(user, 1), domain::license::Event::Rekeyed { key, at: NOW })
    };
    let position = world.append(vec![rekeyed(4), rekeyed(3), rekeyed(2), rekeyed(1), rekeyed(9)]).await;
    outbox.follow(at(100), 100, &LIMITS).await.unwrap();

    let again = only(&outbox, 1).await;
    assert_eq!((again.state, again.position, again.attempts), (DeliveryState::Waiting, position - 1, 0));
    assert_eq!((again.due_at, again.sent_at), (at(601), Some(at(1))), "ten minutes after the last one");
    assert_ne!(again.nonce, claimed[0].nonce, "Discord would take it for the same message");
    assert_eq!(only(&outbox, 2).await.state, DeliveryState::Undeliverable);
    // Nobody can tell whether the message that is under way has the earlier key.
    let replaced = only(&outbox, 3).await;
    assert_eq!((replaced.state, replaced.due_at), (DeliveryState::Waiting, at(600)));
    assert!(!outbox.sent(sending, at(101)).await.unwrap(), "it is another delivery by now");
    assert_eq!(only(&outbox, 4).await, waiting, "it is rendered with the new key when it is sent");
    assert_eq!(outbox.of_user(GUILD, &pseudonym(9)).await.unwrap(), []);
}

async fn many_in_a_minute_are_left_to_the_panel(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=20, NOW).await;
    world.append(vec![opened_in(GuildId(200), 1, 1)]).await;
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    let claimed = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap();
    assert_eq!(claimed.len(), 10, "twenty are not too many");
    // The next one in the same minute is: what was tried stays as it is.
    gained(&world, 21..=21, at(59)).await;
    assert_eq!(outbox.claim(GUILD, at(59), &LIMITS, &lease).await.unwrap(), [], "ten were claimed");
    assert_eq!(outbox.depth().await.unwrap(), depth(&[("bulk", 11), ("sending", 10), ("waiting", 1)]));
    // Not in the next.
    gained(&world, 22..=40, at(119)).await;
    let states = outbox.depth().await.unwrap();
    assert_eq!((states["bulk"], states["waiting"]), (11, 20));

    // Whoever follows may allow more than whoever claims.
    let generous = SendLimits { bulk_above: 1_000, ..LIMITS };
    world.append((100..=130).map(|user| opened(user, 1)).collect()).await;
    outbox.follow(at(1_000), 100, &generous).await.unwrap();
    assert_eq!(only(&outbox, 100).await.state, DeliveryState::Waiting);
    let claimed = outbox.claim(GUILD, at(1_001), &LIMITS, &lease).await.unwrap();
    assert!(claimed.iter().all(|delivery| delivery.created_at < at(1_000)), "{claimed:?}");
    assert_eq!(outbox.depth().await.unwrap()["bulk"], 11 + 31);
}

async fn a_burst_is_no_message_although_nobody_claims_for_long(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=21, NOW).await;
    assert_eq!(outbox.claim(GUILD, at(600), &LIMITS, &lease).await.unwrap(), []);
    assert_eq!(outbox.depth().await.unwrap(), depth(&[("bulk", 21)]));
}

async fn senders_beside_each_other_claim_each_delivery_once(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=20, NOW).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (outbox, lease) = (outbox.clone(), lease.clone());
        let few = SendLimits { batch: 3, ..LIMITS };
        tasks.spawn(async move { outbox.claim(GUILD, NOW, &few, &lease).await.unwrap() });
    }
    let claimed: Vec<Delivery> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 10, "no more than the minute allows");
    assert!(claimed.iter().all(|delivery| delivery.attempts == 1), "{claimed:?}");
}

async fn a_guild_gets_so_many_messages_a_minute(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=15, NOW).await;
    let few = SendLimits { batch: 4, ..LIMITS };
    let mut claimed = outbox.claim(GUILD, at(1), &few, &lease).await.unwrap();
    assert_eq!(claimed.len(), 4);
    claimed.extend(outbox.claim(GUILD, at(1), &LIMITS, &lease).await.unwrap());
    let users: Vec<_> = claimed.iter().map(|delivery| delivery.user.clone()).collect();
    assert_eq!(users, (1..=10).map(pseudonym).collect::<Vec<_>>(), "the oldest first");
    for delivery in &claimed {
        assert!(outbox.sent(delivery, at(2)).await.unwrap());
    }
    assert_eq!(outbox.claim(GUILD, at(61), &LIMITS, &lease).await.unwrap(), []);
    assert_eq!(outbox.claim(GUILD, at(62), &LIMITS, &lease).await.unwrap().len(), 5);
    // Another guild has a minute of its own.
    world.append(vec![opened_in(GuildId(200), 1, 1)]).await;
    outbox.follow(at(62), 100, &LIMITS).await.unwrap();
    assert_eq!(outbox.claim(GuildId(200), at(62), &LIMITS, &lease).await.unwrap().len(), 1);
}

async fn what_was_not_sent_counts_for_nothing(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=14, NOW).await;
    let claimed = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap();
    assert!(outbox.retry(&claimed[0], at(500)).await.unwrap());
    assert!(outbox.dropped(&claimed[1]).await.unwrap());
    assert!(outbox.undeliverable(&claimed[2], 50_007, at(1)).await.unwrap());
    assert!(outbox.sent(&claimed[3], at(1)).await.unwrap());
    // Discord counts a refused message too.
    let next = outbox.claim(GUILD, at(2), &LIMITS, &lease).await.unwrap();
    assert_eq!(next.iter().map(|d| d.user.clone()).collect::<Vec<_>>(), [pseudonym(11), pseudonym(12)]);
}

async fn a_sender_that_died_is_replaced_with_the_same_nonce(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=1, NOW).await;
    let first = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap().remove(0);
    assert_eq!(outbox.next_due().await.unwrap(), Some(at(30)));
    assert_eq!(outbox.claim(GUILD, at(29), &LIMITS, &lease).await.unwrap(), []);
    assert_eq!(outbox.due_guilds(at(30)).await.unwrap(), [GUILD]);
    let second = outbox.claim(GUILD, at(30), &LIMITS, &lease).await.unwrap().remove(0);
    assert_eq!(second, Delivery { attempts: 2, due_at: at(60), ..first.clone() });
    assert_eq!((first.first_attempt_at, second.first_attempt_at), (Some(NOW), Some(NOW)));
    // The first one was only slow: what it reports is true of the message, whoever sent it.
    assert!(outbox.sent(&first, at(31)).await.unwrap());
    assert!(!outbox.retry(&second, at(32)).await.unwrap());
    assert!(!outbox.dropped(&second).await.unwrap());
    assert_eq!(only(&outbox, 1).await.state, DeliveryState::Sent);
}

async fn a_stolen_lease_claims_nothing(engine: Engine) {
    let (world, outbox, old) = begun(engine).await;
    gained(&world, 1..=3, NOW).await;
    world.execute("UPDATE lease SET expires_at = expires_at - 6000000").await;
    assert_eq!(outbox.claim(GUILD, NOW, &LIMITS, &old).await.unwrap(), [], "it ran out");
    let new = world.queries.leases().acquire("egress", "b", Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!(outbox.claim(GUILD, NOW, &LIMITS, &old).await.unwrap(), [], "it was stolen");
    let forged = Lease { holder: new.holder.clone(), ..old };
    assert_eq!(outbox.claim(GUILD, NOW, &LIMITS, &forged).await.unwrap(), [], "its token is old");
    assert_eq!(outbox.depth().await.unwrap(), depth(&[("waiting", 3)]));
    assert_eq!(outbox.claim(GUILD, NOW, &LIMITS, &new).await.unwrap().len(), 3);
}

async fn what_cannot_be_delivered_is_over(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=2, NOW).await;
    let claimed = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap();
    assert!(outbox.undeliverable(&claimed[0], 50_007, at(1)).await.unwrap());
    assert!(outbox.dropped(&claimed[1]).await.unwrap());
    let refused = only(&outbox, 1).await;
    assert_eq!((refused.state, refused.code), (DeliveryState::Undeliverable, Some(50_007)));
    assert_eq!(only(&outbox, 2).await.state, DeliveryState::Dropped);
    assert_eq!(outbox.next_due().await.unwrap(), None);
    assert!(!outbox.undeliverable(&claimed[0], 1, at(1)).await.unwrap(), "again is no change");
    // The key was shown at the panel.
    assert!(outbox.dropped(&refused).await.unwrap());
    assert_eq!(outbox.depth().await.unwrap(), depth(&[("dropped", 2)]));
}

async fn the_outbox_begins_at_the_head(engine: Engine) {
    let world = World::new(engine).await;
    let outbox = world.queries.outbox();
    let lease =
        world.queries.leases().acquire("egress", "a", Duration::from_secs(60)).await.unwrap().unwrap();
    let head = world.append(vec![opened(1, 1), opened(2, 1)]).await;
    assert_eq!(outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap(), []);
    let followed = outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!((followed.position, followed.granted.len()), (head, 0));
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!(outbox.depth().await.unwrap(), depth(&[]));
    // And goes on from there, as much as is asked for at a time.
    world.append(vec![opened(3, 1), opened(4, 1), opened(5, 1)]).await;
    let followed = outbox.follow(NOW, 2, &LIMITS).await.unwrap();
    assert_eq!((followed.position, followed.more), (head + 2, true));
    let followed = outbox.follow(NOW, 2, &LIMITS).await.unwrap();
    assert_eq!((followed.position, followed.more), (head + 3, false));
    assert_eq!(outbox.depth().await.unwrap(), depth(&[("waiting", 3)]));
}

async fn many_followers_write_each_delivery_once(engine: Engine) {
    let world = World::new(engine).await;
    let (other, _) = world.another(config()).await;
    world.queries.outbox().follow(NOW, 1, &LIMITS).await.unwrap();
    let head = world.append((1..=120).map(|user| opened(user, 1)).collect()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let outbox = if n % 2 == 0 { world.queries.outbox() } else { other.outbox() };
        tasks.spawn(async move {
            let mut granted = 0;
            loop {
                match outbox.follow(NOW, 3 + n, &LIMITS).await {
                    Ok(followed) => {
                        granted += followed.granted.len();
                        if !followed.more && followed.position == head {
                            return granted;
                        }
                    }
                    Err(error) => assert!(matches!(error, QueryError::Unavailable(_)), "{error}"),
                }
            }
        });
    }
    let granted: usize = tasks.join_all().await.into_iter().sum();
    assert!(granted >= 120 / 8, "each batch is reported by whoever wrote it: {granted}");
    assert_eq!(world.number("SELECT count(*) FROM delivery").await, 120);
    assert_eq!(world.number("SELECT max(number) FROM delivery").await, 1);
    assert_eq!(world.number("SELECT position FROM consumer_checkpoint").await, head);
}

async fn a_restored_log_is_followed_from_its_head(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=2, NOW).await;
    let claimed = outbox.claim(GUILD, NOW, &SendLimits { batch: 1, ..LIMITS }, &lease).await.unwrap();
    outbox.sent(&claimed[0], NOW).await.unwrap();
    let head = world.append(vec![opened(3, 1)]).await;

    let restored = world.restored("e2").await;
    let after = restored.outbox();
    // Before it followed, nothing is sent.
    assert_eq!(after.claim(GUILD, at(100), &LIMITS, &lease).await.unwrap(), []);
    assert_eq!(after.announce(GUILD, at(100)).await.unwrap(), None);
    let followed = after.follow(at(100), 100, &LIMITS).await.unwrap();
    assert_eq!((followed.position, followed.granted.len()), (head, 0));
    assert_eq!(after.follow(at(100), 100, &LIMITS).await.unwrap().position, head);
    // What waited may have been sent since the backup.
    assert_eq!(after.depth().await.unwrap(), depth(&[("bulk", 1), ("sent", 1)]));
    assert_eq!(outbox.claim(GUILD, at(100), &LIMITS, &lease).await.unwrap(), [], "of the log before");
    world.append(vec![opened(4, 1)]).await;
    let followed = after.follow(at(101), 100, &LIMITS).await.unwrap();
    assert_eq!((followed.position, followed.granted.len()), (head + 1, 1));
    assert_eq!(after.claim(GUILD, at(101), &LIMITS, &lease).await.unwrap().len(), 1);
}

async fn an_event_that_cannot_be_read_is_not_passed(engine: Engine) {
    let (world, outbox, _) = begun(engine).await;
    world.append(vec![opened(1, 1)]).await;
    world
        .execute(
            "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
             payload, metadata, guild_id, recorded_at) SELECT 2, aggregate_type, aggregate_id, 2, event_type, '99', \
             payload, metadata, guild_id, recorded_at FROM events WHERE position = 1",
        )
        .await;
    assert!(matches!(outbox.follow(NOW, 100, &LIMITS).await, Err(QueryError::Damaged(_))));
    assert_eq!(outbox.depth().await.unwrap(), depth(&[]));
    assert_eq!(outbox.follow(NOW, 1, &LIMITS).await.unwrap().position, 1);
    assert!(matches!(outbox.follow(NOW, 1, &LIMITS).await, Err(QueryError::Damaged(_))));
    assert_eq!(world.number("SELECT position FROM consumer_checkpoint").await, 1);
}

async fn an_erased_person_leaves_no_row(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=2, NOW).await;
    let sending = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap().remove(0);
    assert_eq!(sending.user, pseudonym(1));
    let (state, removals) = (world.queries.bot_state(), world.queries.held_removals());
    for user in [1, 2] {
        state.set_dm_channel(&pseudonym(user), ChannelId(user)).await.unwrap();
    }
    removals.hold(&[held(1, 1, 7), held(1, 2, 7)]).await.unwrap();
    // Opened and erased in one batch, and opened for somebody else.
    let erased = of_user(1, UserEvent::Erased { at: NOW });
    world.append(vec![opened_in(GuildId(200), 1, 1), erased, opened(3, 1)]).await;
    outbox.follow(at(1), 100, &LIMITS).await.unwrap();

    for guild in [GUILD, GuildId(200)] {
        assert_eq!(outbox.of_user(guild, &pseudonym(1)).await.unwrap(), []);
    }
    assert_eq!(state.dm_channel(&pseudonym(1)).await.unwrap(), None);
    assert_eq!(removals.all().await.unwrap(), [held(1, 2, 7)]);
    assert!(!outbox.sent(&sending, at(2)).await.unwrap());
    assert_eq!(only(&outbox, 2).await.state, DeliveryState::Sending);
    assert_eq!(only(&outbox, 3).await.state, DeliveryState::Waiting);
    assert_eq!(state.dm_channel(&pseudonym(2)).await.unwrap(), Some(ChannelId(2)));
}

async fn changes_of_rules_are_reported(engine: Engine) {
    let (world, outbox, _) = begun(engine).await;
    let (second, _) = world.another(config()).await;
    // So that it stands somewhere.
    world.append(vec![opened(8, 1)]).await;
    second.outbox().follow(NOW, 100, &LIMITS).await.unwrap();
    let (slug, rule_id) = ("pro".to_owned(), RuleId(Uuid::from_u128(1)));
    let changes = [
        GuildEvent::RoleRuleSet {
            rule_id,
            source: RuleSource::Role { role_id: RoleId(5) },
            license_type: slug.clone(),
            at: NOW,
        },
        GuildEvent::RoleRuleRemoved { rule_id, existing: ExistingLicenses::Keep, at: NOW },
        GuildEvent::LicenseTypeDefined {
            slug: slug.clone(),
            name: "Pro".to_owned(),
            terms: Terms::default(),
            at: NOW,
        },
        GuildEvent::LicenseTypeRetired { slug, at: NOW },
        GuildEvent::Rejoined { at: NOW },
    ];
    for change in changes {
        world.append(vec![of_guild(change.clone())]).await;
        let followed = outbox.follow(NOW, 100, &LIMITS).await.unwrap();
        assert_eq!(followed.rules_changed, BTreeSet::from([GUILD]), "{change:?}");
        assert!(followed.granted.is_empty());
        // Another process hears of it too, though the first one wrote what else there was.
        world.append(vec![opened(9, 1)]).await;
        outbox.follow(NOW, 100, &LIMITS).await.unwrap();
        let heard = second.outbox().follow(NOW, 100, &LIMITS).await.unwrap();
        assert_eq!((heard.rules_changed, heard.granted), (BTreeSet::from([GUILD]), BTreeSet::new()));
    }
    world.append(vec![of_guild(GuildEvent::Left { at: NOW })]).await;
    assert!(outbox.follow(NOW, 100, &LIMITS).await.unwrap().rules_changed.is_empty());
}

async fn an_announcement_survives_a_crash(engine: Engine) {
    let (world, outbox, lease) = begun(engine).await;
    assert_eq!(outbox.unannounced().await.unwrap(), []);
    assert_eq!(outbox.announce(GUILD, NOW).await.unwrap(), None);
    gained(&world, 1..=1, NOW).await;
    let refused = outbox.claim(GUILD, NOW, &LIMITS, &lease).await.unwrap().remove(0);
    outbox.undeliverable(&refused, 50_007, NOW).await.unwrap();
    world.act_as(Some(Actor::Job("sweep".into())));
    gained(&world, 2..=4, NOW).await;
    assert_eq!(outbox.unannounced().await.unwrap(), [GUILD]);

    let first = outbox.announce(GUILD, NOW).await.unwrap().unwrap();
    let bulk = BTreeMap::from([("pro".to_owned(), 3)]);
    assert_eq!(first, Announcement { nonce: first.nonce.clone(), bulk, undeliverable: 1 });
    assert!((1..=25).contains(&first.nonce.len()));
    // A crash here: the same message again, whatever happened to its rows and came after them.
    gained(&world, 5..=6, NOW).await;
    world.append(vec![of_user(2, UserEvent::Erased { at: NOW }), opened(3, 2)]).await;
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!(outbox.unannounced().await.unwrap(), [GUILD]);
    let (other, _) = world.another(config()).await;
    assert_eq!(other.outbox().announce(GUILD, at(1)).await.unwrap().as_ref(), Some(&first));
    // Not by a message of another name.
    outbox.announced(GUILD, "another").await.unwrap();
    assert_eq!(outbox.announce(GUILD, at(1)).await.unwrap().as_ref(), Some(&first));

    outbox.announced(GUILD, &first.nonce).await.unwrap();
    let second = outbox.announce(GUILD, at(2)).await.unwrap().unwrap();
    assert_ne!(second.nonce, first.nonce);
    assert_eq!((second.bulk["pro"], second.undeliverable), (3, 0), "two new ones and one that came anew");
    outbox.announced(GUILD, &first.nonce).await.unwrap();
    assert_eq!(outbox.announce(GUILD, at(2)).await.unwrap().as_ref(), Some(&second));
    outbox.announced(GUILD, &second.nonce).await.unwrap();
    assert_eq!(outbox.unannounced().await.unwrap(), []);
    assert_eq!(outbox.announce(GUILD, at(3)).await.unwrap(), None);
}

async fn rebuilds_leave_deliveries_alone(engine: Engine) {
    let (mut world, outbox, lease) = begun(engine).await;
    gained(&world, 1..=3, NOW).await;
    outbox.claim(GUILD, NOW, &SendLimits { batch: 1, ..LIMITS }, &lease).await.unwrap();
    world.projector.catch_up().await.unwrap();
    for name in names() {
        rebuild(&world.queries, name, &mut |_| {}).await.unwrap();
    }
    assert!(verify(&world.queries).await.unwrap().is_clean());
    assert_eq!(outbox.depth().await.unwrap(), depth(&[("sending", 1), ("waiting", 2)]));
    assert_eq!(world.number("SELECT position FROM consumer_checkpoint").await, 3);
}
