//! A gateway that does what a test tells it, a tap that remembers, and a client in serenity's place.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use discord::relay::{Dispatch, Relay, RelayConfig, Saved, Shard, Tap};
use futures::future::BoxFuture;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn within<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work).await.expect("it took too long")
}

/// A listener that hands out its connections one by one.
pub(crate) struct Gateway {
    listener: TcpListener,
    pub(crate) url: String,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Short pauses, so that a test does not wait for Discord's manners.
    pub(crate) fn config(&self) -> RelayConfig {
        let mut config = RelayConfig::new(&self.url);
        config.loopback_only = true;
        config.identify_pause = Duration::from_millis(30)..Duration::from_millis(60);
        config.reconnect_pause = Duration::from_millis(5)..Duration::from_millis(50);
        config
    }

    /// The next connection, after its HELLO.
    pub(crate) async fn accept(&self) -> Conn {
        self.accept_with(41_250).await
    }

    pub(crate) async fn accept_with(&self, interval_ms: u64) -> Conn {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        let mut path = String::new();
        #[allow(clippy::result_large_err)]
        let note = |request: &Request, response: Response| {
            path = request.uri().to_string();
            Ok(response)
        };
        let socket = within(tokio_tungstenite::accept_hdr_async(stream, note)).await.unwrap();
        let mut conn = Conn { socket, path };
        conn.send(json!({"op": 10, "d": {"heartbeat_interval": interval_ms}})).await;
        conn
    }

    /// Takes a connection and drops it.
    pub(crate) async fn turn_away(&self) {
        drop(self.let_stand().await);
    }

    /// Takes a connection and says nothing.
    pub(crate) async fn let_stand(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }

    /// Whether somebody is knocking.
    pub(crate) fn knocked(&self) -> bool {
        self.listener.accept().now_or_never().is_some()
    }

    /// READY's content, resuming at `/again` of this gateway.
    pub(crate) fn ready(&self, session_id: &str) -> Value {
        json!({
            "v": 10, "session_id": session_id, "resume_gateway_url": format!("{}/again", self.url),
            "shard": [0, 1], "guilds": [], "application": {"id": "900", "flags": 0},
            "user": {"id": "901", "username": "bot", "discriminator": "0000", "avatar": null, "bot": true,
                     "verified": true, "email": null, "flags": 0, "mfa_enabled": true, "global_name": null},
        })
    }
}

/// Discord's end of one connection.
pub(crate) struct Conn {
    socket: WebSocketStream<TcpStream>,
    pub(crate) path: String,
}

impl Conn {
    pub(crate) async fn send(&mut self, frame: Value) {
        self.raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        within(self.socket.send(message)).await.unwrap();
    }

    pub(crate) async fn dispatch(&mut self, sequence: i64, kind: &str, data: Value) {
        self.send(json!({"op": 0, "s": sequence, "t": kind, "d": data})).await;
    }

    /// The next frame that is no heartbeat; heartbeats are answered.
    pub(crate) async fn recv(&mut self) -> Value {
        loop {
            let frame = self.recv_any().await.expect("the relay closed");
            if frame["op"] != 1 {
                return frame;
            }
            self.send(json!({"op": 11})).await;
        }
    }

    pub(crate) async fn recv_any(&mut self) -> Option<Value> {
        loop {
            match within(self.socket.next()).await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(text.as_str()).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Waits for the end and gives the close code.
    pub(crate) async fn ended(mut self) -> Option<u16> {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                None | Some(Err(_)) => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        within(self.socket.close(Some(frame))).await.unwrap();
        while self.recv_any().await.is_some() {}
    }
}

pub(crate) fn zlib(frame: &Value) -> Message {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(frame.to_string().as_bytes()).unwrap();
    Message::binary(encoder.finish().unwrap())
}

/// What the tap heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Dispatch(Dispatch),
    Odd(String),
    Began(Saved),
    Resuming,
    Resumed,
    Ended,
    Asked,
    Closed(Option<u16>),
}

/// A tap that remembers.
#[derive(Default)]
pub(crate) struct Ear {
    pub(crate) heard: Mutex<Vec<Heard>>,
    pub(crate) kept: Mutex<Option<Saved>>,
    pub(crate) refusals: Mutex<VecDeque<String>>,
}

impl Ear {
    fn note(&self, what: Heard) {
        self.heard.lock().unwrap().push(what);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) async fn wait(&self, what: impl Fn(&[Heard]) -> bool) {
        within(async {
            while !what(&self.heard.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    pub(crate) fn count(&self, what: &Heard) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| *heard == what).count()
    }

    /// Kinds and sequence numbers of all dispatches.
    pub(crate) fn events(&self) -> Vec<(String, i64)> {
        let all = self.heard();
        all.into_iter()
            .filter_map(|heard| match heard {
                Heard::Dispatch(event) => Some((event.kind, event.sequence)),
                _ => None,
            })
            .collect()
    }
}

impl Tap for Ear {
    fn dispatch(&self, event: Dispatch) {
        self.note(Heard::Dispatch(event));
    }
    fn odd_frame(&self, _: Shard, what: String) {
        self.note(Heard::Odd(what));
    }
    fn saved(&self, _: Shard) -> BoxFuture<'_, Option<Saved>> {
        let kept = self.kept.lock().unwrap().clone();
        async move { kept }.boxed()
    }
    fn began(&self, _: Shard, saved: Saved) {
        self.note(Heard::Began(saved));
    }
    fn resuming(&self, _: Shard) {
        self.note(Heard::Resuming);
    }
    fn resumed(&self, _: Shard) {
        self.note(Heard::Resumed);
    }
    fn ended(&self, _: Shard) {
        self.note(Heard::Ended);
    }
    fn may_identify(&self, _: Shard) -> BoxFuture<'_, Result<(), String>> {
        self.note(Heard::Asked);
        let refusal = self.refusals.lock().unwrap().pop_front();
        async move { refusal.map_or(Ok(()), Err) }.boxed()
    }
    fn closed(&self, _: Shard, code: Option<u16>) {
        self.note(Heard::Closed(code));
    }
}

/// A plain WebSocket client in serenity's place.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Connects as serenity does, and takes the HELLO.
    pub(crate) async fn connect(relay: &Relay) -> Self {
        let url = format!("{}?v=10", relay.url());
        let (socket, _) = within(tokio_tungstenite::connect_async(url)).await.unwrap();
        let mut client = Self { socket };
        assert_eq!(client.recv().await["op"], 10);
        client
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        within(self.socket.send(Message::text(frame.to_string()))).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Message {
        within(self.socket.next()).await.expect("the relay closed").unwrap()
    }

    pub(crate) async fn recv(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(text.as_str()).unwrap(),
            Message::Binary(bytes) => {
                let mut text = String::new();
                flate2::read::ZlibDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
                serde_json::from_str(&text).unwrap()
            }
            other => panic!("no data frame: {other:?}"),
        }
    }

    /// The close code that ends it.
    pub(crate) async fn closed(mut self) -> Option<u16> {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                None | Some(Err(_)) => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        within(self.socket.close(Some(frame))).await.unwrap();
        self.closed().await;
    }
}

/// An IDENTIFY in serenity's form.
pub(crate) fn identify() -> Value {
    json!({"op": 2, "d": {
        "compress": true, "token": "t0ps3cret", "large_threshold": 250, "shard": [0, 1], "intents": 3,
        "properties": {"browser": "serenity", "device": "serenity", "os": "linux"}, "presence": null,
    }})
}

pub(crate) fn resume(session_id: &str, sequence: i64) -> Value {
    json!({"op": 6, "d": {"token": "t0ps3cret", "session_id": session_id, "seq": sequence}})
}

/// A relay with a running session `s1`: gateway, tap, relay, client and Discord's end.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) ear: Arc<Ear>,
    pub(crate) relay: Relay,
    pub(crate) client: Client,
    pub(crate) conn: Conn,
}

impl Running {
    pub(crate) async fn start() -> Self {
        let gateway = Gateway::start().await;
        let config = gateway.config();
        Self::with(gateway, config, 41_250).await
    }

    pub(crate) async fn with(gateway: Gateway, config: RelayConfig, interval_ms: u64) -> Self {
        let ear = Arc::new(Ear::default());
        let relay = Relay::start(config, ear.clone()).await.unwrap();
        let mut client = Client::connect(&relay).await;
        client.send(identify()).await;
        let mut conn = gateway.accept_with(interval_ms).await;
        assert_eq!(conn.recv().await, identify());
        conn.dispatch(1, "READY", gateway.ready("s1")).await;
        assert_eq!(client.recv().await["t"], "READY");
        Self { gateway, ear, relay, client, conn }
    }
}
