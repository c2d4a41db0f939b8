//! The log over NATS: copied whole and in order whatever dies, and other processes woken by it.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream::Stream};
use domain::ports::Floor as _;
use projections::{Bus, Config, Queries, Relay};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engines::Engine;
use crate::nats::Nats;
use crate::world::{GUILD, World, config, generated, key, license_id, registered, revoked, validate};

crate::on_both_engines!(
    events_go_out_once_and_in_order,
    a_relay_goes_on_where_the_stream_ends,
    two_relays_at_once_double_nothing,
    a_lost_stream_is_filled_again,
    a_process_that_is_gone_is_followed_by_another,
    others_are_woken_and_do_not_depend_on_it,
    what_strangers_say_is_not_believed
);

const PATIENCE: Duration = Duration::from_secs(30);

async fn over(world: &World, nats: &Nats) -> Queries {
    over_with(world, nats, config()).await
}

async fn over_with(world: &World, nats: &Nats, config: Config) -> Queries {
    let bus = Bus::nats(&nats.url(), "e1").await.unwrap();
    world.on_bus(config, bus).await.0
}

fn relay(queries: &Queries, holder: &str) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let relay = Relay::new(queries, holder).unwrap();
    (tokio::spawn(relay.run(stop.clone())), stop)
}

async fn stream(nats: &Nats) -> Option<Stream> {
    let client = async_nats::connect(nats.url()).await.unwrap();
    jetstream::new(client).get_stream("DCA_EVENTS_e1").await.ok()
}

/// Waits until the stream has as many messages as the log has events, and looks at every one of them.
async fn copied(nats: &Nats, head: i64) -> Vec<(String, Value)> {
    let begin = Instant::now();
    let stream = loop {
        if let Some(stream) = stream(nats).await
            && stream.cached_info().state.messages >= head as u64
        {
            break stream;
        }
        assert!(begin.elapsed() < PATIENCE, "the stream has not got {head} messages");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let state = &stream.cached_info().state;
    assert_eq!(state.messages, head as u64, "no event twice");
    let mut found = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        let position = found.len() as i64 + 1;
        assert_eq!(body["position"], position);
        assert_eq!(message.headers.get("Dca-Position").unwrap().as_str(), position.to_string());
        found.push((message.subject.to_string(), body));
    }
    found
}

/// Some licenses of this many persons.
async fn some(world: &World, people: std::ops::Range<u64>) -> i64 {
    let mut events = Vec::new();
    for person in people {
        events.extend([registered(person), generated(license_id(u128::from(person)))]);
    }
    world.append_elsewhere(events).await
}

async fn events_go_out_once_and_in_order(engine: Engine) {
    let (world, nats) = (World::new(engine).await, Nats::start().await);
    let head = some(&world, 1..701).await;
    let queries = over(&world, &nats).await;
    let (running, stop) = relay(&queries, "a");
    let found = copied(&nats, head).await;
    assert_eq!(found[0].0, "dca.e1.event.user.registered._");
    assert_eq!(found[1].0, format!("dca.e1.event.license.generated.{GUILD}"));
    let body = &found[1].1;
    assert_eq!((&body["previousPosition"], &body["sequence"]), (&Value::from(1), &Value::from(1)));
    assert_eq!((&body["type"], &body["aggregateType"]), (&"license.generated".into(), &"license".into()));
    assert_eq!(body["payload"]["type"], "license.generated");
    assert!(body["metadata"]["correlationId"].is_string());
    // What is appended from now on follows at once.
    let head = some(&world, 701..703).await;
    copied(&nats, head).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(world.queries.leases().holder("relay").await.unwrap(), None, "it lets go when it ends");
}

async fn a_relay_goes_on_where_the_stream_ends(engine: Engine) {
    let (world, nats) = (World::new(engine).await, Nats::start().await);
    let queries = over(&world, &nats).await;
    for round in 0..3_u64 {
        let (running, stop) = relay(&queries, &format!("r{round}"));
        let head = some(&world, round * 50 + 1..round * 50 + 51).await;
        copied(&nats, head).await;
        stop.cancel();
        running.await.unwrap();
        some(&world, round * 50 + 1_000..round * 50 + 1_010).await;
    }
    let (_running, stop) = relay(&queries, "last");
    copied(&nats, 3 * 120).await;
    stop.cancel();
}

async fn two_relays_at_once_double_nothing(engine: Engine) {
    let (world, nats) = (World::new(engine).await, Nats::start().await);
    let (first, second) = (over(&world, &nats).await, over(&world, &nats).await);
    // Of one name, both have the lease: only the stream itself keeps them apart.
    let running = [relay(&first, "same"), relay(&second, "same")];
    let mut head = 0;
    for round in 0..40_u64 {
        head = some(&world, round * 30 + 1..round * 30 + 31).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    copied(&nats, head).await;
    for (running, stop) in running {
        stop.cancel();
        running.await.unwrap();
    }
}

async fn a_lost_stream_is_filled_again(engine: Engine) {
    let (world, mut nats) = (World::new(engine).await, Nats::start().await);
    let head = some(&world, 1..101).await;
    let queries = over(&world, &nats).await;
    let (_running, stop) = relay(&queries, "a");
    copied(&nats, head).await;
    nats.kill();
    nats.wipe();
    nats.run().await;
    // Somebody appends; the relay finds out that its stream is gone.
    let head = some(&world, 101..111).await;
    copied(&nats, head).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    jetstream::new(client).delete_stream("DCA_EVENTS_e1").await.unwrap();
    let head = some(&world, 111..121).await;
    copied(&nats, head).await;
    // Killed without a loss, it goes on.
    nats.kill();
    let head = some(&world, 121..131).await;
    nats.run().await;
    copied(&nats, head).await;
    stop.cancel();
}

async fn a_process_that_is_gone_is_followed_by_another(engine: Engine) {
    let (world, nats) = (World::new(engine).await, Nats::start().await);
    let (first, second) = (over(&world, &nats).await, over(&world, &nats).await);
    let (dying, _) = relay(&first, "first");
    let head = some(&world, 1..11).await;
    copied(&nats, head).await;
    let (_running, stop) = relay(&second, "second");
    // Cut off: nothing lets the lease go.
    dying.abort();
    let head = some(&world, 11..21).await;
    copied(&nats, head).await;
    stop.cancel();
}

async fn others_are_woken_and_do_not_depend_on_it(engine: Engine) {
    let (mut world, mut nats) = (World::new(engine).await, Nats::start().await);
    let id = license_id(1);
    world.append(vec![registered(1), generated(id)]).await;
    world.projector.catch_up().await.unwrap();
    let key = key(id, 0);
    let stop = CancellationToken::new();
    // One that would look by itself once in an hour, and one that looks often.
    let rare = over_with(&world, &nats, Config { poll: Duration::from_secs(3_600), ..config() }).await;
    let often = over(&world, &nats).await;
    let bus = Bus::nats(&nats.url(), "e1").await.unwrap();
    let (writer, floors) = world.on_bus(config(), bus).await;
    for queries in [&rare, &often, &writer] {
        let (queries, stop) = (queries.clone(), stop.clone());
        tokio::spawn(async move { queries.follow(stop).await });
    }
    for queries in [&rare, &often] {
        assert!(validate(queries, GUILD, &key).await.code.is_valid());
    }
    // Until all are connected, nobody can be called.
    let begin = Instant::now();
    loop {
        let head = world.append_elsewhere(vec![registered(2 + begin.elapsed().as_micros() as u64)]).await;
        floors.advance(head);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if rare.head() >= head {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "nobody calls");
    }
    let head = world.append_elsewhere(vec![revoked(id)]).await;
    floors.advance(head);
    while validate(&rare, GUILD, &key).await.code.is_valid() {
        assert!(begin.elapsed() < PATIENCE, "it does not hear that the license was revoked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Without NATS whoever looks often finds it out by himself.
    let other = license_id(2);
    let head = world.append_elsewhere(vec![generated(other)]).await;
    floors.advance(head);
    world.projector.catch_up().await.unwrap();
    let key = crate::world::key(other, 0);
    assert!(validate(&often, GUILD, &key).await.code.is_valid());
    nats.kill();
    world.append_elsewhere(vec![revoked(other)]).await;
    while validate(&often, GUILD, &key).await.code.is_valid() {
        assert!(begin.elapsed() < PATIENCE, "without NATS it does not hear");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
}

async fn what_strangers_say_is_not_believed(engine: Engine) {
    let (mut world, nats) = (World::new(engine).await, Nats::start().await);
    let id = license_id(1);
    world.append(vec![registered(1), generated(id)]).await;
    world.projector.catch_up().await.unwrap();
    let queries = over(&world, &nats).await;
    let following = CancellationToken::new();
    let (follower, token) = (queries.clone(), following.clone());
    tokio::spawn(async move { follower.follow(token).await });
    let (_running, stop) = relay(&queries, "a");
    copied(&nats, 2).await;
    // Calls that name no position, and one that nobody has: whoever hears them looks, and finds what there is.
    let client = async_nats::connect(nats.url()).await.unwrap();
    for body in ["9223372036854775807", "-1", "", "what?"] {
        client.publish("dca.e1.head", body.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let head = some(&world, 2..3).await;
    copied(&nats, head).await;
    let begin = Instant::now();
    while queries.head() < head {
        assert!(begin.elapsed() < PATIENCE, "it does not look");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(queries.head(), head, "and no higher, whatever was said");
    // A message that is no event stops the copying until the stream is deleted, and nothing else.
    let context = jetstream::new(client);
    context.publish("dca.e1.event.license.revoked.100", "{}".into()).await.unwrap().await.unwrap();
    assert!(validate(&queries, GUILD, &key(id, 0)).await.code.is_valid(), "and no license is revoked by it");
    let head = some(&world, 3..4).await;
    // The event that its place was taken from is refused; the one after it may slip in, and then nothing more.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = some(&world, 4..8).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let written = stream(&nats).await.unwrap().cached_info().state.messages;
    assert!(written <= 6, "{written} messages: it goes on behind a stranger's");
    assert!(later > head);
    let head = later;
    context.delete_stream("DCA_EVENTS_e1").await.unwrap();
    copied(&nats, head).await;
    stop.cancel();
    following.cancel();
}
