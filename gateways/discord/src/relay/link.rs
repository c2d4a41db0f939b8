//! One serenity connection and the connections to Discord behind it.
//!
//! Serenity sees one unbroken gateway: heartbeats, cuts and resumes are the relay's own business. It hears of
//! a new session by its READY. Nothing here ever changes or reorders an event.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::chance;
use super::downstream::Downstream;
use super::frame::{self, FromSerenity};
use super::hub::Hub;
use super::pump::End;
use super::tap::{Saved, Shard};
use super::upstream::{self, Upstream};

/// The heartbeat interval that serenity is told; its heartbeats end here.
const SERENITY_INTERVAL_MS: u64 = 41_250;
/// How many of serenity's frames wait for a session.
const WAITING_MAX: usize = 64;
/// After so many refusals that promise a resume, the session is taken for lost.
const REFUSALS_MAX: u32 = 3;
/// Makes serenity forget its session and identify anew, at its own pace of some 5 s.
const START_ANEW: u16 = 4009;

/// The state of one serenity connection.
pub(super) struct Link {
    pub(super) hub: Arc<Hub>,
    pub(super) shard: Shard,
    pub(super) down: Downstream,
    pub(super) stop: CancellationToken,
    /// The READY that serenity has not got yet.
    pub(super) owed: Option<Saved>,
    /// The last sequence number that serenity was given.
    pub(super) given: i64,
    /// Serenity's frames that wait for a session.
    pub(super) waiting: VecDeque<Message>,
    refusals: u32,
}

/// Serves one accepted connection until either side is done with it.
pub(super) async fn serve(hub: Arc<Hub>, mut down: Downstream, root: CancellationToken) {
    let started = tokio::select! {
        () = root.cancelled() => return,
        started = first_word(&mut down) => started,
    };
    let (shard, resumed_at) = match started {
        Some(FromSerenity::Identify(identify)) => {
            let shard = identify.shard;
            hub.keep_identify(identify);
            (shard, None)
        }
        Some(FromSerenity::Resume { session_id, sequence }) => match hub.shard_of(&session_id) {
            Some(shard) => (shard, Some((session_id, sequence))),
            None => {
                // Serenity waits 5 s and identifies.
                down.send(frame::unknown_session()).await;
                return down.close(START_ANEW).await;
            }
        },
        _ => return,
    };
    let (stop, _served) = hub.claim(shard, &root).await;
    let waiting = VecDeque::new();
    let link = Link { hub, shard, down, stop, owed: None, given: 0, waiting, refusals: 0 };
    link.run(resumed_at).await;
}

/// Greets serenity and waits until it says what it wants.
async fn first_word(down: &mut Downstream) -> Option<FromSerenity> {
    if !down.send(frame::hello(SERENITY_INTERVAL_MS)).await {
        return None;
    }
    loop {
        match frame::from_serenity(&down.next().await?) {
            Some(FromSerenity::Heartbeat) if !down.send(frame::ack()).await => return None,
            Some(word @ (FromSerenity::Identify(_) | FromSerenity::Resume { .. })) => return Some(word),
            _ => {}
        }
    }
}

/// What follows a round.
enum Step {
    Again,
    /// Serenity is left, with a code if it is still there.
    Leave(Option<u16>),
}

impl Link {
    async fn run(mut self, resumed_at: Option<(String, i64)>) {
        let code = match self.begin(resumed_at).await {
            Step::Leave(code) => code,
            Step::Again => loop {
                if let Step::Leave(code) = self.round().await {
                    break code;
                }
            },
        };
        if let Some(code) = code {
            self.down.close(code).await;
        }
    }

    /// Finds out which session there is to continue, and what serenity has of it.
    async fn begin(&mut self, resumed_at: Option<(String, i64)>) -> Step {
        if self.hub.given_up(self.shard) {
            return Step::Leave(Some(START_ANEW));
        }
        if self.hub.session(self.shard).is_none() {
            let tap = Arc::clone(&self.hub.tap);
            match self.attend(tap.saved(self.shard)).await {
                Some(Some(saved)) => self.hub.adopt(self.shard, saved),
                Some(None) => {}
                None => return Step::Leave(None),
            }
        }
        if let Some(session) = self.hub.session(self.shard) {
            match resumed_at {
                Some((id, sequence)) if id == session.session_id => self.given = sequence,
                _ => {
                    self.given = session.sequence;
                    self.owed = Some(session);
                }
            }
        }
        Step::Again
    }

    /// One connection to Discord, from its opening to its end.
    async fn round(&mut self) -> Step {
        let pause = self.hub.pace(self.shard);
        if self.attend(tokio::time::sleep(pause)).await.is_none() {
            return Step::Leave(None);
        }
        let session = self.hub.session(self.shard);
        let config = self.hub.config.clone();
        let opened = match self.address(session.as_ref()) {
            Ok(address) => self.attend(Upstream::open(address, config)).await,
            Err(why) => Some(Err(why)),
        };
        let mut up = match opened {
            None => return Step::Leave(None),
            Some(Ok(up)) => up,
            Some(Err(why)) => {
                tracing::warn!(shard = self.shard.0, why, "no connection to Discord's gateway");
                self.hub.failed(self.shard);
                return Step::Again;
            }
        };
        let end = match self.greet(&mut up, session.as_ref()).await {
            Ok(()) => self.pump(&mut up).await,
            Err(step) => {
                up.close().await;
                return step;
            }
        };
        if !matches!(end, End::Lost(_)) {
            up.close().await;
        }
        self.conclude(end).await
    }

    /// Where to go: to the session's own address if it has one that is allowed; after a failure to the gateway and to
    /// that address in turn, because the host that the session was begun with may be gone.
    fn address(&self, session: Option<&Saved>) -> Result<String, String> {
        let config = &self.hub.config;
        let session = session.filter(|_| self.hub.failures(self.shard).is_multiple_of(2));
        if let Some(url) = session.map(|session| &session.resume_url).filter(|url| !url.is_empty()) {
            match upstream::address(url, config) {
                Ok(address) => return Ok(address),
                Err(why) => self.hub.tap.odd_frame(self.shard, format!("resume address refused: {why}")),
            }
        }
        upstream::address(&config.gateway_url, config)
    }

    /// RESUME if there is a session, else IDENTIFY if the tap allows it.
    async fn greet(&mut self, up: &mut Upstream, session: Option<&Saved>) -> Result<(), Step> {
        let Some(identify) = self.hub.identify(self.shard) else {
            return Err(Step::Leave(Some(START_ANEW)));
        };
        let message = if let Some(session) = session {
            self.hub.tap.resuming(self.shard);
            identify.resume(&session.session_id, self.given.min(session.sequence))
        } else {
            let tap = Arc::clone(&self.hub.tap);
            match self.attend(tap.may_identify(self.shard)).await {
                None => return Err(Step::Leave(None)),
                Some(Ok(())) => Message::Text(identify.text),
                Some(Err(reason)) => {
                    tracing::warn!(shard = self.shard.0, reason, "no IDENTIFY goes to Discord");
                    return Err(Step::Leave(Some(START_ANEW)));
                }
            }
        };
        if up.send(message).await {
            return Ok(());
        }
        self.hub.failed(self.shard);
        Err(Step::Again)
    }

    /// Judges how a connection ended.
    async fn conclude(&mut self, end: End) -> Step {
        match end {
            End::Left => Step::Leave(None),
            End::Broken => {
                self.hub.tap.closed(self.shard, None);
                Step::Again
            }
            End::Lost(code) => {
                self.hub.tap.closed(self.shard, code);
                self.conclude_code(code).await
            }
            End::Invalid { resumable: true } if self.refusals < REFUSALS_MAX => {
                self.refusals += 1;
                self.pause_before_identify().await
            }
            End::Invalid { .. } => self.start_over().await,
        }
    }

    async fn conclude_code(&mut self, code: Option<u16>) -> Step {
        match code {
            // Serenity gives these to its caller as typed errors.
            Some(4004 | 4013 | 4014) => {
                self.hub.end(self.shard);
                Step::Leave(code)
            }
            // Serenity would spin on these, then identify for ever; the tap's owner hears the code.
            Some(useless @ 4010..=4012) => {
                self.hub.end(self.shard);
                self.hub.give_up(self.shard, useless);
                Step::Leave(Some(START_ANEW))
            }
            Some(1000 | 4006 | 4007 | 4009) => self.start_over().await,
            // 1001 too: it is what Discord's edge sends when it restarts, and asking to resume costs nothing.
            _ => Step::Again,
        }
    }

    async fn start_over(&mut self) -> Step {
        self.hub.end(self.shard);
        self.owed = None;
        self.refusals = 0;
        self.pause_before_identify().await
    }

    async fn pause_before_identify(&mut self) -> Step {
        let (least, most) = (self.hub.config.identify_pause.start, self.hub.config.identify_pause.end);
        let pause = least + most.saturating_sub(least).mul_f64(chance());
        match self.attend(tokio::time::sleep(pause)).await {
            Some(()) => Step::Again,
            None => Step::Leave(None),
        }
    }

    /// Looks after serenity while something else is waited for; `None` when serenity has gone or all stops.
    async fn attend<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                done = &mut work => return Some(done),
                message = self.down.next() => {
                    let kept = self.keep(message?).await;
                    kept?;
                }
            }
        }
    }

    /// Answers a heartbeat; anything else waits for a session. `None` when serenity has gone.
    pub(super) async fn keep(&mut self, message: Message) -> Option<()> {
        match frame::from_serenity(&message) {
            Some(FromSerenity::Heartbeat) => self.down.send(frame::ack()).await.then_some(()),
            Some(FromSerenity::Other) => {
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.push_back(message);
                }
                Some(())
            }
            _ => Some(()),
        }
    }

    /// The session runs.
    pub(super) fn settled(&mut self) {
        self.refusals = 0;
        self.hub.succeeded(self.shard);
    }
}
