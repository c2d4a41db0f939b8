//! The loop of one running connection: every dispatch to the tap, then to serenity, in Discord's order.
//!
//! A frame that serenity could not read is reported, not passed on; nothing else is held back.

use tokio_tungstenite::tungstenite::{Error, Message};

use super::frame::{self, FromDiscord, FromSerenity};
use super::link::Link;
use super::tap::{Dispatch, Saved};
use super::upstream::Upstream;

/// How a connection ended.
pub(super) enum End {
    /// Serenity has gone, or all stops.
    Left,
    /// Discord closed, with its code, or the connection fell.
    Lost(Option<u16>),
    /// Discord wants a new connection, or answers no heartbeats: resume on another.
    Broken,
    /// Op 9.
    Invalid { resumable: bool },
}

impl Link {
    /// Passes frames until the connection ends.
    pub(super) async fn pump(&mut self, up: &mut Upstream) -> End {
        let mut running = false;
        let end = loop {
            let next_beat = up.next_beat();
            let ended = tokio::select! {
                () = self.stop.cancelled() => Some(End::Left),
                message = up.next() => self.on_discord(up, message, &mut running).await,
                message = self.down.next() => self.on_serenity(up, message, running).await,
                () = tokio::time::sleep_until(next_beat) => {
                    let alive = up.beat(self.hub.sequence(self.shard)).await;
                    (!alive).then_some(End::Broken)
                }
            };
            if let Some(end) = ended {
                break end;
            }
        };
        if !running && !matches!(end, End::Left) {
            self.hub.failed(self.shard);
        }
        end
    }

    async fn on_discord(
        &mut self,
        up: &mut Upstream,
        message: Option<Result<Message, Error>>,
        running: &mut bool,
    ) -> Option<End> {
        let message = match message {
            Some(Ok(Message::Close(frame))) => return Some(End::Lost(frame.map(|frame| frame.code.into()))),
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message,
            Some(Ok(_)) => return None,
            Some(Err(Error::Capacity(_))) => {
                self.hub.tap.odd_frame(self.shard, "a frame larger than is taken".into());
                return Some(End::Lost(None));
            }
            Some(Err(_)) | None => return Some(End::Lost(None)),
        };
        match frame::from_discord(&message, self.hub.config.frame_max_bytes) {
            Err(what) => self.hub.tap.odd_frame(self.shard, what),
            Ok(FromDiscord::Hello { .. }) => {}
            Ok(FromDiscord::Ack) => {
                let latency = up.acked();
                self.hub.set_latency(self.shard, latency);
            }
            Ok(FromDiscord::WantsHeartbeat) => {
                if !up.beat_now(self.hub.sequence(self.shard)).await {
                    return Some(End::Broken);
                }
            }
            Ok(FromDiscord::Reconnect) => return Some(End::Broken),
            Ok(FromDiscord::Invalid { resumable }) => return Some(End::Invalid { resumable }),
            Ok(FromDiscord::Dispatch { sequence, kind, data }) => {
                let begins = matches!(kind.as_str(), "READY" | "RESUMED");
                if self.dispatch(message, sequence, kind, data).await.is_none() {
                    return Some(End::Left);
                }
                if begins {
                    *running = true;
                    self.settled();
                    return self.flush(up).await;
                }
            }
        }
        None
    }

    /// One dispatch to the tap, and to serenity; `None` when serenity has gone.
    async fn dispatch(
        &mut self,
        mut message: Message,
        sequence: Option<i64>,
        kind: String,
        data: serde_json::Value,
    ) -> Option<()> {
        let number = sequence.or_else(|| self.hub.sequence(self.shard)).unwrap_or(0);
        let mut fresh = true;
        match kind.as_str() {
            "READY" => {
                self.owed = None;
                self.ready(number, &data);
            }
            "RESUMED" => {
                self.hub.advance(self.shard, number);
                self.hub.tap.resumed(self.shard);
                if sequence.is_none() {
                    message = frame::resumed(number, &data);
                }
            }
            _ if sequence.is_some() => fresh = self.hub.advance(self.shard, number),
            _ => {}
        }
        if fresh {
            self.hub.tap.dispatch(Dispatch { shard: self.shard, sequence: number, kind, data });
        }
        if let Some(saved) = self.owed.take()
            && !self.down.send(frame::ready(&saved)).await
        {
            return None;
        }
        self.given = number;
        self.down.send(message).await.then_some(())
    }

    fn ready(&self, sequence: i64, data: &serde_json::Value) {
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        let session_id = text("session_id");
        if session_id.is_empty() {
            self.hub.tap.odd_frame(self.shard, "a READY without a session".into());
            return;
        }
        let resume_url = text("resume_gateway_url");
        self.hub.begin(self.shard, Saved { session_id, sequence, resume_url, ready: data.clone() });
    }

    async fn on_serenity(
        &mut self,
        up: &mut Upstream,
        message: Option<Message>,
        running: bool,
    ) -> Option<End> {
        let Some(message) = message else { return Some(End::Left) };
        if running && matches!(frame::from_serenity(&message), Some(FromSerenity::Other)) {
            return (!up.send(message).await).then_some(End::Lost(None));
        }
        self.keep(message).await.is_none().then_some(End::Left)
    }

    /// Sends what serenity said before the session ran.
    async fn flush(&mut self, up: &mut Upstream) -> Option<End> {
        while let Some(message) = self.waiting.pop_front() {
            if !up.send(message).await {
                return Some(End::Lost(None));
            }
        }
        None
    }
}
