//! Serenity itself at the relay: what it makes of resumed sessions, of losses and of odd frames.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Json, Router, routing::get};
use discord::relay::{Relay, Saved};
use serde_json::{Value, json};
use serenity::all::{Client, Context, Event, GatewayError, GatewayIntents, HttpBuilder, RawEventHandler};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::scripted::{Conn, Ear, Gateway, Heard, within, zlib};

/// What reaches serenity's handlers: the events' names.
#[derive(Clone, Default)]
struct Handler(Arc<Mutex<Vec<String>>>);

#[serenity::async_trait]
impl RawEventHandler for Handler {
    async fn raw_event(&self, _: Context, event: Event) {
        let name = match &event {
            Event::Ready(ready) => format!("READY {}", ready.ready.session_id),
            other => other.name().unwrap_or_else(|| "?".into()),
        };
        self.0.lock().unwrap().push(name);
    }
}

/// A running serenity.
struct Bot {
    handler: Handler,
    shards: Arc<serenity::all::ShardManager>,
    running: JoinHandle<serenity::Result<()>>,
}

impl Bot {
    async fn start(relay: &Relay) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let elsewhere = json!({"url": "ws://127.0.0.1:1"});
        let app = Router::new().route("/api/v10/gateway", get(|| async { Json(elsewhere) }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let http = HttpBuilder::new("t0ps3cret").proxy(api).ratelimiter_disabled(true).build();
        let handler = Handler::default();
        let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_MEMBERS;
        let builder = serenity::client::ClientBuilder::new_with_http(http, intents);
        let mut client: Client = builder.raw_event_handler(handler.clone()).await.unwrap();
        *client.ws_url.lock().await = relay.url();
        let shards = Arc::clone(&client.shard_manager);
        Self { handler, shards, running: tokio::spawn(async move { client.start().await }) }
    }

    fn count(&self, name: &str) -> usize {
        self.handler.0.lock().unwrap().iter().filter(|seen| *seen == name).count()
    }

    async fn wait(&self, name: &str, count: usize) {
        within(async {
            while self.count(name) < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

struct World {
    gateway: Gateway,
    ear: Arc<Ear>,
    relay: Relay,
    bot: Bot,
    conn: Conn,
}

impl World {
    async fn start(interval_ms: u64) -> Self {
        let gateway = Gateway::start().await;
        let ear = Arc::new(Ear::default());
        let relay = Relay::start(gateway.config(), ear.clone()).await.unwrap();
        let bot = Bot::start(&relay).await;
        let mut conn = gateway.accept_with(interval_ms).await;
        let identify = conn.recv().await;
        assert_eq!((&identify["op"], &identify["d"]["compress"]), (&json!(2), &json!(true)));
        conn.raw(zlib(&json!({"op": 0, "s": 1, "t": "READY", "d": gateway.ready("s1")}))).await;
        bot.wait("READY s1", 1).await;
        Self { gateway, ear, relay, bot, conn }
    }
}

fn update(roles: &[String], joined_at: &Value) -> Value {
    json!({"guild_id": "41", "roles": roles, "joined_at": joined_at, "nick": null, "avatar": null, "flags": 0,
           "user": {"id": "42", "username": "ada", "discriminator": "0", "avatar": null, "global_name": null}})
}

const UPDATE: &str = "GUILD_MEMBER_UPDATE";
const TIME: &str = "2024-01-01T00:00:00.000000+00:00";

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_replayed_and_a_refused_resume_begins_anew() {
    let World { gateway, bot, ear, conn, relay: _relay } = World::start(41_250).await;
    drop(conn);
    let mut conn = gateway.accept().await;
    let resume = conn.recv().await;
    assert_eq!((&resume["op"], &resume["d"]["seq"]), (&json!(6), &json!(1)));
    conn.dispatch(2, UPDATE, update(&[], &json!(TIME))).await;
    conn.dispatch(3, "RESUMED", json!({"_trace": []})).await;
    bot.wait(UPDATE, 1).await;
    bot.wait("RESUMED", 1).await;

    drop(conn);
    let mut conn = gateway.accept().await;
    assert_eq!(conn.recv().await["d"]["seq"], 3);
    conn.send(json!({"op": 9, "d": false})).await;
    conn.ended().await;
    let mut conn = gateway.accept().await;
    assert_eq!(conn.recv().await["op"], 2);
    conn.dispatch(1, "READY", gateway.ready("s2")).await;
    conn.dispatch(2, UPDATE, update(&[], &json!(TIME))).await;
    bot.wait("READY s2", 1).await;
    bot.wait(UPDATE, 2).await;
    assert_eq!((ear.count(&Heard::Ended), ear.count(&Heard::Asked)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_resumes_without_identify_and_its_handlers_hear() {
    let mut world = World::start(41_250).await;
    world.conn.dispatch(2, UPDATE, update(&[], &json!(TIME))).await;
    world.bot.wait(UPDATE, 1).await;
    let Some(Heard::Began(began)) = world.ear.heard().into_iter().find(|h| matches!(h, Heard::Began(_)))
    else {
        panic!("no session began")
    };
    let sequence = world.relay.sequence((0, 1)).unwrap();
    // Serenity says goodbye with 1000; Discord must not hear that.
    let bye = tokio::spawn(world.conn.ended());
    within(world.bot.shards.shutdown_all()).await;
    assert_eq!(bye.await.unwrap(), Some(4000));
    within(world.relay.stop()).await;

    let ear = Arc::new(Ear::default());
    *ear.kept.lock().unwrap() = Some(Saved { sequence, ..began });
    let relay = Relay::start(world.gateway.config(), ear.clone()).await.unwrap();
    let bot = Bot::start(&relay).await;
    let mut conn = world.gateway.accept().await;
    let resume = conn.recv().await;
    assert_eq!(
        (&resume["op"], &resume["d"]["seq"], &resume["d"]["token"]),
        (&json!(6), &json!(2), &json!("Bot t0ps3cret"))
    );
    conn.dispatch(3, UPDATE, update(&[], &json!(TIME))).await;
    conn.dispatch(4, "RESUMED", json!({"_trace": []})).await;
    conn.dispatch(5, UPDATE, update(&[], &json!(TIME))).await;
    bot.wait(UPDATE, 2).await;
    bot.wait("RESUMED", 1).await;
    assert_eq!(bot.count("READY s1"), 1);
    assert_eq!(ear.count(&Heard::Asked), 0);
    assert_eq!(ear.events().iter().map(|(_, s)| *s).collect::<Vec<_>>(), [3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_connection_ends_in_a_resume() {
    let world = World::start(60).await;
    // Nobody answers heartbeats from here on.
    assert_eq!(world.conn.ended().await, Some(4000));
    let mut conn = world.gateway.accept().await;
    assert_eq!(conn.recv().await["op"], 6);
    conn.dispatch(2, "RESUMED", json!({"_trace": []})).await;
    conn.dispatch(3, UPDATE, update(&[], &json!(TIME))).await;
    world.bot.wait(UPDATE, 1).await;
    assert_eq!(world.ear.count(&Heard::Asked), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_shard_continues_the_living_session() {
    let world = World::start(41_250).await;
    let shards = Arc::clone(&world.bot.shards);
    let restart = tokio::spawn(async move { shards.restart(serenity::all::ShardId(0)).await });
    assert_eq!(world.conn.ended().await, Some(4000));
    let mut conn = world.gateway.accept().await;
    assert_eq!(conn.recv().await["op"], 6);
    conn.dispatch(2, "RESUMED", json!({"_trace": []})).await;
    conn.dispatch(3, UPDATE, update(&[], &json!(TIME))).await;
    world.bot.wait("READY s1", 2).await;
    world.bot.wait(UPDATE, 1).await;
    within(restart).await.unwrap();
    assert_eq!(world.ear.count(&Heard::Asked), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_updates_reach_the_tap_without_an_inversion() {
    let mut world = World::start(41_250).await;
    for sequence in 2..5_002 {
        world.conn.dispatch(sequence, UPDATE, update(&[sequence.to_string()], &json!(TIME))).await;
    }
    world.bot.wait(UPDATE, 5_000).await;
    let all = world.ear.heard();
    let roles: Vec<i64> = all
        .iter()
        .filter_map(|heard| match heard {
            Heard::Dispatch(event) => event.data["roles"][0].as_str()?.parse().ok(),
            _ => None,
        })
        .collect();
    assert_eq!(roles, (2..5_002).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serenity_drops_reaches_the_tap_and_odd_frames_hurt_neither() {
    let mut world = World::start(41_250).await;
    world.conn.dispatch(2, UPDATE, update(&["7".into()], &Value::Null)).await;
    world.conn.raw(Message::text("not JSON")).await;
    world.conn.raw(Message::text("[]")).await;
    world.conn.raw(Message::text(r#"{"op": 99}"#)).await;
    world.conn.raw(Message::binary(&b"not zlib"[..])).await;
    world.conn.dispatch(3, "NEVER_HEARD_OF", json!({"a": 1})).await;
    world.conn.dispatch(4, "GUILD_ROLE_DELETE", json!({"a": 1})).await;
    world.conn.dispatch(5, UPDATE, update(&["8".into()], &json!(TIME))).await;
    world.bot.wait(UPDATE, 1).await;
    let numbers: Vec<i64> = world.ear.events().into_iter().map(|(_, sequence)| sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(world.bot.count(UPDATE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_intent_ends_start_with_serenitys_typed_error() {
    let gateway = Gateway::start().await;
    let relay = Relay::start(gateway.config(), Arc::new(Ear::default())).await.unwrap();
    let bot = Bot::start(&relay).await;
    let mut conn = gateway.accept().await;
    conn.recv().await;
    conn.close(4014).await;
    let ended = within(bot.running).await.unwrap();
    let why = ended.unwrap_err();
    assert!(matches!(why, serenity::Error::Gateway(GatewayError::DisallowedGatewayIntents)), "{why:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_identify_is_asked_for_again_by_serenity_itself() {
    let gateway = Gateway::start().await;
    let ear = Arc::new(Ear::default());
    ear.refusals.lock().unwrap().push_back("another owner".into());
    let relay = Relay::start(gateway.config(), ear.clone()).await.unwrap();
    let bot = Bot::start(&relay).await;
    assert_eq!(gateway.accept().await.ended().await, Some(4000));
    // Some 5 s later, and once only.
    let mut conn = gateway.accept().await;
    assert_eq!(conn.recv().await["op"], 2);
    conn.dispatch(1, "READY", gateway.ready("s1")).await;
    bot.wait("READY s1", 1).await;
    assert_eq!(ear.count(&Heard::Asked), 2);
}
