//! Gateway sessions: what was sent to each, so that it can be sent again, and which socket serves it now.
//! Never waits: a socket that cannot keep up is dropped, as Discord does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::close::Close;

/// Frames that may wait for a socket.
pub(crate) const QUEUE: usize = 65_536;
/// Sessions without a socket that are kept for a RESUME.
const DETACHED: usize = 200;

/// What a socket's task is told.
#[derive(Debug)]
pub(crate) enum Out {
    /// Send this text; as zlib when asked to.
    Frame { text: Arc<str>, zlib: bool },
    /// Close with this code.
    Close(Close),
    /// Cut the connection without a word.
    Cut,
    /// Say and acknowledge nothing any more.
    Silence,
}

/// The way to a socket's task.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) connection: u64,
    pub(crate) out: mpsc::Sender<Out>,
    /// Cuts the connection, also while its task waits for a client that does not read.
    pub(crate) cut: CancellationToken,
}

impl Socket {
    /// Whether it could take this; else it is cut.
    fn send(&self, out: Out) -> bool {
        let taken = self.out.try_send(out).is_ok();
        if !taken {
            self.cut.cancel();
        }
        taken
    }
}

/// One dispatch that was numbered.
#[derive(Clone, Debug)]
struct Sent {
    seq: u64,
    text: Arc<str>,
    zlib: bool,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) shard: (u64, u64),
    pub(crate) intents: u64,
    pub(crate) seq: u64,
    compress: bool,
    log: VecDeque<Sent>,
    /// The newest number that has been forgotten.
    forgotten: u64,
    socket: Option<Socket>,
}

impl Session {
    pub(crate) fn new(id: String, shard: (u64, u64), intents: u64, compress: bool) -> Self {
        Self { id, shard, intents, seq: 0, compress, log: VecDeque::new(), forgotten: 0, socket: None }
    }

    /// Gives the session a socket; a former one is cut.
    pub(crate) fn attach(&mut self, socket: Socket) {
        if let Some(old) = self.socket.replace(socket) {
            old.send(Out::Cut);
        }
    }

    /// Whether a socket serves it.
    pub(crate) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Numbers an event, remembers it and sends it; the frame that went out.
    pub(crate) fn dispatch(&mut self, name: &str, data: &str, replay_max: usize) -> Arc<str> {
        self.seq += 1;
        let text: Arc<str> = format!(r#"{{"op":0,"t":"{name}","s":{},"d":{data}}}"#, self.seq).into();
        let zlib = self.compress && matches!(name, "READY" | "GUILD_CREATE");
        self.log.push_back(Sent { seq: self.seq, text: Arc::clone(&text), zlib });
        while self.log.len() > replay_max {
            if let Some(gone) = self.log.pop_front() {
                self.forgotten = gone.seq;
            }
        }
        self.send(Out::Frame { text: Arc::clone(&text), zlib });
        text
    }

    /// Sends without numbering.
    pub(crate) fn send(&mut self, out: Out) {
        if self.socket.as_ref().is_some_and(|socket| !socket.send(out)) {
            self.socket = None;
        }
    }

    /// Ends the socket, keeps the session.
    pub(crate) fn detach(&mut self, last: Out) {
        self.send(last);
        self.socket = None;
    }

    /// Whether everything after `seq` is still there.
    pub(crate) fn can_replay(&self, seq: u64) -> bool {
        seq >= self.forgotten
    }

    /// Sends again what came after `seq`.
    pub(crate) fn replay(&mut self, seq: u64) {
        let missed: Vec<Sent> = self.log.iter().filter(|sent| sent.seq > seq).cloned().collect();
        for Sent { text, zlib, .. } in missed {
            self.send(Out::Frame { text, zlib });
        }
    }
}

/// All sessions, and what is counted about them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: BTreeMap<String, Session>,
    pub(crate) connections: u64,
    pub(crate) identifies: u64,
    pub(crate) refused_identifies: u64,
    pub(crate) resumes: u64,
    pub(crate) refused_resumes: u64,
    pub(crate) heartbeats: u64,
    pub(crate) close_codes: VecDeque<Value>,
}

impl Sessions {
    /// The sessions that an event of a guild goes to (without a guild: those of shard 0). `intents` 0 needs none.
    pub(crate) fn of(&mut self, guild: Option<u64>, intents: u64) -> impl Iterator<Item = &mut Session> {
        self.all.values_mut().filter(move |session| {
            let (shard, count) = session.shard;
            let owner = guild.map_or(0, |guild| (guild >> 22) % count.max(1));
            owner == shard && (intents == 0 || session.intents & intents != 0)
        })
    }

    /// Every session.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.all.values_mut()
    }

    /// One session.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.all.get_mut(id)
    }

    /// Adds a session; the oldest without a socket makes room.
    pub(crate) fn add(&mut self, session: Session) {
        let detached = self.all.values().filter(|session| !session.is_connected());
        if detached.clone().count() >= DETACHED {
            let oldest = detached.map(|session| session.id.clone()).next();
            if let Some(oldest) = oldest {
                self.all.remove(&oldest);
            }
        }
        self.all.insert(session.id.clone(), session);
    }

    /// Forgets a session.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Session> {
        self.all.remove(id)
    }

    /// A socket is gone. When the client closed it with 1000 or 1001 its session is over.
    pub(crate) fn left(&mut self, connection: u64, code: Option<u16>) {
        let is_its =
            |session: &Session| session.socket.as_ref().is_some_and(|socket| socket.connection == connection);
        let Some(id) = self.all.values().find(|session| is_its(session)).map(|session| session.id.clone())
        else {
            return;
        };
        if matches!(code, Some(1000 | 1001)) {
            self.all.remove(&id);
        } else if let Some(session) = self.all.get_mut(&id) {
            session.socket = None;
        }
    }

    /// Remembers a close code, ours or the client's.
    pub(crate) fn closed(&mut self, by: &str, code: Option<u16>) {
        self.close_codes.push_back(json!({"by": by, "code": code}));
        while self.close_codes.len() > 1_000 {
            self.close_codes.pop_front();
        }
    }

    /// What `GET /_control/gateway` shows.
    pub(crate) fn shown(&self) -> Value {
        let sessions: Vec<Value> = self
            .all
            .values()
            .map(|session| {
                json!({
                    "id": session.id, "shard": [session.shard.0, session.shard.1], "intents": session.intents,
                    "connected": session.is_connected(), "seq": session.seq,
                })
            })
            .collect();
        json!({
            "sessions": sessions, "identifies": self.identifies, "refusedIdentifies": self.refused_identifies,
            "resumes": self.resumes, "refusedResumes": self.refused_resumes, "heartbeats": self.heartbeats,
            "closeCodes": self.close_codes,
        })
    }
}
