//! Frames and addresses: what passes untouched, what is held back, and who gets in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use discord::relay::{Relay, RelayConfig};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::scripted::{Client, Ear, Gateway, Heard, Running, identify, resume, within, zlib};

#[tokio::test(flavor = "multi_thread")]
async fn frames_pass_untouched_both_ways_and_compressed_ones_are_read_for_the_tap() {
    let mut run = Running::start().await;
    let odd_spacing = r#"{"t":"NEVER_HEARD_OF","s":2 , "op":0,"d":{"a":[1,2.50,"\u00fc"]}}"#;
    let text = Message::text(odd_spacing);
    let packed = zlib(&json!({"op": 0, "s": 3, "t": "GUILD_CREATE", "d": {"id": "1"}}));
    run.conn.raw(text.clone()).await;
    run.conn.raw(packed.clone()).await;
    assert_eq!(run.client.next().await, text);
    assert_eq!(run.client.next().await, packed);
    let heard = run.ear.heard();
    assert!(
        matches!(&heard[4], Heard::Dispatch(event) if event.data == json!({"id": "1"}) && event.sequence == 3)
    );
    let chunk = json!({"op": 8, "d": {"guild_id": "1", "query": "", "limit": 0}});
    run.client.send(chunk.clone()).await;
    assert_eq!(run.conn.recv().await, chunk);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_of_every_kind_are_survived() {
    let mut run = Running::start().await;
    let odd = [
        Message::text("not JSON"),
        Message::text(""),
        Message::text("[1, 2]"),
        Message::text("null"),
        Message::text("{}"),
        Message::text(r#"{"op": "0"}"#),
        Message::text(r#"{"op": -1}"#),
        Message::text(r#"{"op": 99, "d": {}}"#),
        Message::text(r#"{"op": 0, "s": 2, "d": {}}"#),
        Message::text(r#"{"op": 10, "d": 5}"#).clone(),
        Message::text("[".repeat(5_000)),
        Message::binary(&b"not zlib"[..]),
        Message::binary(&b""[..]),
        zlib(&json!("a text")),
    ];
    for message in odd.clone() {
        run.conn.raw(message).await;
    }
    run.conn.raw(Message::Ping("still there?".into())).await;
    run.conn.dispatch(2, "A", json!({})).await;
    assert_eq!(run.client.recv().await["t"], "A");
    let heard = run.ear.heard();
    assert_eq!(heard.iter().filter(|heard| matches!(heard, Heard::Odd(_))).count(), odd.len(), "{heard:?}");
    assert_eq!(run.ear.events().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_inflates_beyond_the_limit_is_not_inflated() {
    let gateway = Gateway::start().await;
    let mut config = gateway.config();
    config.frame_max_bytes = 10_000;
    let mut run = Running::with(gateway, config, 41_250).await;
    run.conn.raw(zlib(&json!({"op": 0, "s": 2, "t": "BOMB", "d": "a".repeat(1 << 20)}))).await;
    run.conn.dispatch(3, "A", json!({})).await;
    assert_eq!(run.client.recv().await["t"], "A");
    assert_eq!(run.ear.count(&Heard::Odd("a compressed frame larger than 10000 bytes".into())), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serenity_says_before_the_session_runs_waits_for_it() {
    let gateway = Gateway::start().await;
    let relay = Relay::start(gateway.config(), Arc::new(Ear::default())).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    let presence = json!({"op": 3, "d": {"status": "idle"}});
    client.send(presence.clone()).await;
    let mut conn = gateway.accept().await;
    assert_eq!(conn.recv().await, identify());
    conn.dispatch(1, "READY", gateway.ready("s1")).await;
    assert_eq!(conn.recv().await, presence);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_updates_reach_the_tap_in_order() {
    let mut run = Running::start().await;
    for sequence in 2..5_002 {
        run.conn.dispatch(sequence, "GUILD_MEMBER_UPDATE", json!({"roles": [sequence.to_string()]})).await;
    }
    for sequence in 2..5_002 {
        assert_eq!(run.client.recv().await["s"], sequence);
    }
    let events = run.ear.events();
    assert_eq!(events.len(), 5_001);
    assert!(events.windows(2).all(|pair| pair[0].1 < pair[1].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_secret_path_gets_in() {
    let gateway = Gateway::start().await;
    let relay = Relay::start(gateway.config(), Arc::new(Ear::default())).await.unwrap();
    let url = relay.url();
    let (base, secret) = url.rsplit_once('/').unwrap();
    assert!(base.starts_with("ws://127.0.0.1:") && secret.len() == 64);
    for path in
        ["/", "/?v=10", &format!("/{}", "0".repeat(64)), &format!("/{secret}/"), &format!("/{secret}0")]
    {
        let refused = within(tokio_tungstenite::connect_async(format!("{base}{path}"))).await;
        assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 404), "{path}");
    }
    assert!(!format!("{relay:?}").contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_allowed_is_not_gone_to() {
    let ear = Arc::new(Ear::default());
    for url in ["wss://gateway.discord.gg", "ws://192.0.2.1", "http://127.0.0.1", "nonsense", ""] {
        let mut config = RelayConfig::new(url);
        config.loopback_only = true;
        let refused = Relay::start(config, ear.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{url}");
    }
    // The address that READY names is not gone to either; the session is resumed where it began.
    let gateway = Gateway::start().await;
    let relay = Relay::start(gateway.config(), ear.clone()).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    let mut conn = gateway.accept().await;
    conn.recv().await;
    let mut ready = gateway.ready("s1");
    ready["resume_gateway_url"] = json!("wss://gateway-us-east1-b.discord.gg");
    conn.dispatch(1, "READY", ready).await;
    assert_eq!(client.recv().await["t"], "READY");
    drop(conn);
    let mut conn = gateway.accept().await;
    assert_eq!((conn.path.clone().as_str(), conn.recv().await), ("/?v=10&encoding=json", resume("s1", 1)));
    let heard = ear.heard();
    let refused = "resume address refused: a gateway address that is not loopback";
    assert!(heard.contains(&Heard::Odd(refused.into())), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_ready_without_a_word_from_the_process() {
    // A plain listener: the handshake fails, but it must fail in words, not in a panic about providers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = RelayConfig::new(format!("wss://{}", listener.local_addr().unwrap()));
    config.reconnect_pause = Duration::from_millis(5)..Duration::from_millis(10);
    let relay = Relay::start(config, Arc::new(Ear::default())).await.unwrap();
    let mut client = Client::connect(&relay).await;
    client.send(identify()).await;
    for _ in 0..2 {
        drop(within(listener.accept()).await.unwrap());
    }
    client.send(json!({"op": 1, "d": null})).await;
    assert_eq!(client.recv().await, json!({"op": 11}));
}
