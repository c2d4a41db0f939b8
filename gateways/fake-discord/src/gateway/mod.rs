//! Gateway v10 over WebSocket: one task per socket reads what the client says and writes what its session sends.
//! Knows nothing of guilds: what a session gets to see is decided where the change happens.

pub(crate) mod chunks;
pub(crate) mod close;
pub(crate) mod intents;
pub(crate) mod ops;
pub(crate) mod session;

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::hub::Hub;
use crate::wire::Wire;
use close::Close;
use session::{Out, Socket};

/// Sends a client may make in [`SEND_WINDOW`].
const SENDS: usize = 120;
const SEND_WINDOW: Duration = Duration::from_secs(60);
/// Bytes of one payload of a client.
const PAYLOAD_BYTES: usize = 4_096;

/// Answers `GET /` with a WebSocket.
pub(crate) async fn upgrade(
    State(hub): State<Arc<Hub>>,
    Extension(wire): Extension<Wire>,
    Query(query): Query<HashMap<String, String>>,
    ws: WebSocketUpgrade,
) -> Response {
    let json = query.get("encoding").is_none_or(|encoding| encoding == "json");
    let plain = !query.contains_key("compress");
    let is_v10 = query.get("v").is_some_and(|v| v == "10");
    ws.max_message_size(1 << 20).on_upgrade(move |mut socket| async move {
        if is_v10 && json && plain {
            Connection::open(hub, &wire).serve(socket).await;
        } else {
            let _ = socket.send(close_message(close::INVALID_VERSION)).await;
        }
    })
}

/// One socket.
pub(crate) struct Connection {
    pub(crate) hub: Arc<Hub>,
    /// The way to this task; sessions hold clones.
    pub(crate) socket: Socket,
    pub(crate) session: Option<String>,
    /// Since the control API said so, nothing is sent any more.
    silent: bool,
    queue: mpsc::Receiver<Out>,
    sends: VecDeque<Instant>,
    pub(crate) heard: Instant,
}

type Sink = SplitSink<WebSocket, Message>;

impl Connection {
    fn open(hub: Arc<Hub>, wire: &Wire) -> Self {
        let (out, queue) = mpsc::channel(session::QUEUE);
        let connection = {
            let mut inner = hub.lock();
            inner.sessions.connections += 1;
            inner.sessions.connections
        };
        let (now, socket) = (Instant::now(), Socket { connection, out, cut: wire.0.clone() });
        Self { hub, socket, session: None, silent: false, queue, sends: VecDeque::new(), heard: now }
    }

    async fn serve(mut self, socket: WebSocket) {
        let (mut sink, mut stream) = socket.split();
        let interval_ms = self.hub.lock().tunables.heartbeat_interval_ms;
        let hello =
            json!({"op": 10, "t": null, "s": null, "d": {"heartbeat_interval": interval_ms, "_trace": []}});
        if sink.send(Message::Text(hello.to_string().into())).await.is_err() {
            return;
        }
        // A client that was silent for two intervals is dead; the rest is patience for a slow machine.
        let patience = Duration::from_millis(interval_ms.saturating_mul(2)) + Duration::from_secs(2);
        let stopped = self.hub.stopped.clone();
        let code = loop {
            let deadline = tokio::time::Instant::from_std(self.heard + patience);
            tokio::select! {
                () = stopped.cancelled() => break None,
                () = tokio::time::sleep_until(deadline) => break self.close(&mut sink, close::SESSION_TIMED_OUT).await,
                out = self.queue.recv() => {
                    let Some(out) = out else { break None };
                    match self.send(&mut sink, out).await {
                        Ok(()) => {}
                        Err(code) => break code,
                    }
                }
                message = stream.next() => {
                    let Some(Ok(message)) = message else { break None };
                    match self.hear(&message) {
                        Ok(Some(code)) => { self.note("client", Some(code)); break Some(code) }
                        Ok(None) => {}
                        Err(close) => break self.close(&mut sink, close).await,
                    }
                }
            }
        };
        self.hub.lock().sessions.left(self.socket.connection, code);
    }

    /// Writes one thing; `Err` ends the connection (with the code that ends its session, if any).
    async fn send(&mut self, sink: &mut Sink, out: Out) -> Result<(), Option<u16>> {
        match out {
            Out::Cut => Err(None),
            Out::Silence => {
                self.silent = true;
                Ok(())
            }
            Out::Close(close) => Err(self.close(sink, close).await),
            Out::Frame { .. } if self.silent => Ok(()),
            Out::Frame { text, zlib } => {
                let message = if zlib {
                    Message::Binary(deflated(&text).into())
                } else {
                    Message::Text(text.as_ref().into())
                };
                sink.send(message).await.map_err(|_| None)
            }
        }
    }

    async fn close(&self, sink: &mut Sink, close: Close) -> Option<u16> {
        self.note("server", Some(close.0));
        let _ = sink.send(close_message(close)).await;
        None
    }

    fn note(&self, by: &str, code: Option<u16>) {
        self.hub.lock().sessions.closed(by, code);
    }

    /// Takes one message; `Ok(Some)` is the code with which the client closed.
    fn hear(&mut self, message: &Message) -> Result<Option<u16>, Close> {
        let bytes = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes.as_ref(),
            Message::Close(frame) => return Ok(Some(frame.as_ref().map_or(1005, |frame| frame.code))),
            Message::Ping(_) | Message::Pong(_) => return Ok(None),
        };
        let now = Instant::now();
        self.sends.push_back(now);
        while self.sends.front().is_some_and(|first| now.duration_since(*first) > SEND_WINDOW) {
            self.sends.pop_front();
        }
        if self.sends.len() > SENDS {
            return Err(close::RATE_LIMITED);
        }
        if bytes.len() > PAYLOAD_BYTES {
            return Err(close::DECODE_ERROR);
        }
        let payload: Value = serde_json::from_slice(bytes).map_err(|_| close::DECODE_ERROR)?;
        self.journal(&payload);
        ops::take(self, &payload).map(|()| None)
    }

    fn journal(&self, payload: &Value) {
        let mut inner = self.hub.lock();
        let now = inner.now;
        let entry = json!({"session": self.session, "connection": self.socket.connection, "op": payload["op"], "body": payload});
        inner.journal.add(now, "gateway-in", entry);
    }

    /// Queues a payload that is no dispatch.
    pub(crate) fn reply(&self, op: u8, data: &Value) {
        let text = json!({"op": op, "d": data, "s": null, "t": null}).to_string();
        let _ = self.socket.out.try_send(Out::Frame { text: text.into(), zlib: false });
    }
}

fn close_message(close: Close) -> Message {
    Message::Close(Some(CloseFrame { code: close.0, reason: close.1.into() }))
}

/// The whole payload as one zlib stream.
fn deflated(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into memory does not fail.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}
