//! New devices as whoever watches for shared keys finds them, and suspicions until staff were told: each once, in order,
//! and nothing from before.

use domain::id::{GuildId, LicenseId};
use domain::license::Event as LicenseEvent;
use domain::time::Span;
use projections::{NewDevice, Outbox, SendLimits, SharingAlert, Suspected};

use crate::engines::Engine;
use crate::world::{GUILD, NOW, New, World, activated, config, generated, license_id, of_license};

crate::on_both_engines!(
    new_devices_are_found_in_order_from_where_one_stands,
    what_nobody_watches_is_passed_without_a_word,
    two_who_watch_move_one_checkpoint,
    a_restored_log_is_watched_from_its_head,
    the_end_of_a_history_is_read,
    a_suspicion_is_told_once,
    each_guild_is_told_of_its_own,
    suspicions_before_a_restore_are_forgotten,
);

const OTHER: GuildId = GuildId(200);

fn license(number: u128) -> LicenseId {
    license_id(number)
}

fn device(number: u128, sequence: u64) -> NewDevice {
    NewDevice { guild: GUILD, license: license(number), sequence }
}

/// Where the one who watches stands.
async fn standing(world: &World) -> i64 {
    world.number("SELECT position FROM consumer_checkpoint WHERE name = 'sharing'").await
}

async fn new_devices_are_found_in_order_from_where_one_stands(engine: Engine) {
    let world = World::new(engine).await;
    world.append(vec![generated(license(1)), activated(license(1), 1, 1)]).await;
    let activations = world.queries.activations();
    assert_eq!(activations.next(10).await.unwrap().devices, [], "it begins at the head");
    assert_eq!(standing(&world).await, 2);
    let events = vec![
        generated(license(2)),
        activated(license(2), 1, 1),
        activated(license(1), 1, 2),
        activated(license(2), 1, 3),
    ];
    world.append(events).await;
    let first = activations.next(3).await.unwrap();
    assert_eq!((first.devices.clone(), first.more), (vec![device(2, 2), device(1, 3)], true));
    assert_eq!(activations.next(3).await.unwrap(), first, "nothing moves until it was looked at");
    activations.done(&first).await.unwrap();
    assert_eq!(standing(&world).await, 5);
    let second = activations.next(3).await.unwrap();
    assert_eq!((second.devices.clone(), second.more), (vec![device(2, 3)], false));
    // A crash here: the next process finds the same.
    let (next, _) = world.another(config()).await;
    assert_eq!(next.activations().next(3).await.unwrap(), second);
    activations.done(&second).await.unwrap();
    assert_eq!(activations.next(3).await.unwrap().devices, []);
}

async fn what_nobody_watches_is_passed_without_a_word(engine: Engine) {
    let world = World::new(engine).await;
    let activations = world.queries.activations();
    activations.next(10).await.unwrap();
    world.append(vec![generated(license(1)), activated(license(1), 1, 1)]).await;
    let part = activations.next(10).await.unwrap();
    activations.pass(&part).await.unwrap();
    assert_eq!(standing(&world).await, 0, "nothing was written");
    assert_eq!(activations.next(10).await.unwrap().devices, [], "and it is not read again");
    world.append(vec![activated(license(1), 1, 2)]).await;
    let part = activations.next(10).await.unwrap();
    assert_eq!(part.devices, [device(1, 3)]);
    activations.done(&part).await.unwrap();
    assert_eq!(standing(&world).await, 3);
    // So many events are not read again after a restart.
    world.append((0..2_000).map(|number| activated(license(1), 1, 10 + number)).collect()).await;
    let part = activations.next(5_000).await.unwrap();
    assert_eq!(part.devices.len(), 2_000);
    activations.pass(&part).await.unwrap();
    assert_eq!(standing(&world).await, 2_003);
}

async fn two_who_watch_move_one_checkpoint(engine: Engine) {
    let world = World::new(engine).await;
    let one = world.queries.activations();
    one.next(10).await.unwrap();
    world.append(vec![generated(license(1)), activated(license(1), 1, 1)]).await;
    let (other, _) = world.another(config()).await;
    let two = other.activations();
    let (seen, seen_too) = (one.next(1).await.unwrap(), two.next(10).await.unwrap());
    two.done(&seen_too).await.unwrap();
    // Whoever is late moves nothing back.
    one.done(&seen).await.unwrap();
    assert_eq!(standing(&world).await, 2);
    assert_eq!(one.next(10).await.unwrap().devices, []);
}

async fn a_restored_log_is_watched_from_its_head(engine: Engine) {
    let world = World::new(engine).await;
    world.queries.activations().next(10).await.unwrap();
    world.append(vec![generated(license(1)), activated(license(1), 1, 1)]).await;
    let restored = world.restored("e2").await;
    let activations = restored.activations();
    assert_eq!(activations.next(10).await.unwrap().devices, []);
    assert_eq!(standing(&world).await, 2);
}

async fn the_end_of_a_history_is_read(engine: Engine) {
    let world = World::new(engine).await;
    let devices = (1..=3).map(|number| activated(license(1), 1, number));
    world.append(std::iter::once(generated(license(1))).chain(devices).collect()).await;
    let activations = world.queries.activations();
    let ids = async |after| {
        let history = activations.history(license(1), after).await.unwrap();
        let id = |event: &LicenseEvent| match event {
            LicenseEvent::DeviceActivated { device, .. } => device.device_id.clone(),
            other => panic!("{other:?}"),
        };
        history.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids(2).await, ["machine-2", "machine-3"]);
    assert_eq!(ids(4).await, Vec::<String>::new());
    assert_eq!(activations.history(license(1), 0).await.unwrap().len(), 4);
}

fn suspected(number: u128) -> Suspected {
    let (rule, evidence) =
        ("devices".to_owned(), format!("{{\"count\":{number},\"limit\":5,\"window\":\"P1D\"}}"));
    Suspected { license: license(number), rule, evidence }
}

fn told(number: u128) -> New {
    let Suspected { license, rule, evidence } = suspected(number);
    of_license(license, LicenseEvent::SharingSuspected { rule, evidence, at: NOW })
}

const LIMITS: SendLimits = SendLimits {
    per_guild_minute: 10,
    bulk_above: 20,
    batch: 100,
    slot_pause: Span::seconds(600),
    lease: std::time::Duration::from_secs(30),
};

/// An outbox that stands at the head of the log.
async fn begun(world: &World) -> Outbox {
    let outbox = world.queries.outbox();
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    outbox
}

async fn a_suspicion_is_told_once(engine: Engine) {
    let world = World::new(engine).await;
    world.append(vec![told(9)]).await;
    let outbox = begun(&world).await;
    assert_eq!(outbox.alerting().await.unwrap(), [], "what was before is not told");
    assert_eq!(outbox.alert(GUILD).await.unwrap(), None);
    world.append(vec![told(1), told(2)]).await;
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!(outbox.alerting().await.unwrap(), [GUILD]);
    let first = outbox.alert(GUILD).await.unwrap().unwrap();
    assert_eq!(
        first,
        SharingAlert { nonce: first.nonce.clone(), suspected: vec![suspected(1), suspected(2)] }
    );
    assert!((1..=25).contains(&first.nonce.len()), "{}", first.nonce);
    // A crash here: the same message again, whatever came after it.
    world.append((3..=14).map(told).collect()).await;
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    let (other, _) = world.another(config()).await;
    assert_eq!(other.outbox().alert(GUILD).await.unwrap().as_ref(), Some(&first));
    outbox.alerted(GUILD, "another").await.unwrap();
    assert_eq!(outbox.alert(GUILD).await.unwrap().as_ref(), Some(&first));
    outbox.alerted(GUILD, &first.nonce).await.unwrap();
    let second = outbox.alert(GUILD).await.unwrap().unwrap();
    assert_ne!(second.nonce, first.nonce);
    assert_eq!(second.suspected, (3..=12).map(suspected).collect::<Vec<_>>(), "ten in one message");
    outbox.alerted(GUILD, &second.nonce).await.unwrap();
    let third = outbox.alert(GUILD).await.unwrap().unwrap();
    assert_eq!(third.suspected, [suspected(13), suspected(14)]);
    outbox.alerted(GUILD, &third.nonce).await.unwrap();
    assert_eq!(outbox.alerting().await.unwrap(), []);
    assert_eq!(world.number("SELECT count(*) FROM sharing_alert").await, 0);
}

async fn each_guild_is_told_of_its_own(engine: Engine) {
    let world = World::new(engine).await;
    let outbox = begun(&world).await;
    let elsewhere = New { guild: Some(OTHER), ..told(2) };
    world.append(vec![told(1), elsewhere]).await;
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!(outbox.alerting().await.unwrap(), [GUILD, OTHER]);
    let (own, others) =
        (outbox.alert(GUILD).await.unwrap().unwrap(), outbox.alert(OTHER).await.unwrap().unwrap());
    assert_eq!((own.suspected, others.suspected), (vec![suspected(1)], vec![suspected(2)]));
    assert_ne!(own.nonce, others.nonce);
    outbox.alerted(OTHER, &others.nonce).await.unwrap();
    assert_eq!(outbox.alerting().await.unwrap(), [GUILD]);
}

async fn suspicions_before_a_restore_are_forgotten(engine: Engine) {
    let world = World::new(engine).await;
    let outbox = begun(&world).await;
    world.append(vec![told(1)]).await;
    outbox.follow(NOW, 100, &LIMITS).await.unwrap();
    let restored = world.restored("e2").await.outbox();
    assert_eq!(restored.alert(GUILD).await.unwrap(), None, "it does not stand in this log yet");
    restored.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!(restored.alerting().await.unwrap(), []);
    world.append(vec![told(2)]).await;
    restored.follow(NOW, 100, &LIMITS).await.unwrap();
    assert_eq!(restored.alert(GUILD).await.unwrap().unwrap().suspected, [suspected(2)]);
}
