//! What was said to the stand-in and what it said: an append-only list that forgets its oldest entries, and says so.
//! Never holds a token or a secret.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};

const ENTRIES: usize = 50_000;
/// Bodies above this many bytes are counted, not kept.
const BODY_BYTES: usize = 64 * 1024;
const SECRETS: [&str; 6] =
    ["token", "access_token", "refresh_token", "client_secret", "code", "code_verifier"];

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    last: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    members: Map<String, Value>,
    /// A frame that was sent, kept as it went out.
    frame: Option<Arc<str>>,
}

impl Journal {
    /// Adds an entry; `at` is Unix milliseconds.
    pub(crate) fn add(&mut self, at: i64, kind: &str, members: Value) {
        self.push(at, kind, members, None);
    }

    /// Adds a frame that was sent to a session.
    pub(crate) fn sent(&mut self, at: i64, session: &str, frame: Arc<str>) {
        self.push(at, "gateway-out", json!({"session": session}), Some(frame));
    }

    fn push(&mut self, at: i64, kind: &str, members: Value, frame: Option<Arc<str>>) {
        self.last += 1;
        let mut members = match members {
            Value::Object(members) => members,
            other => Map::from_iter([("body".to_owned(), other)]),
        };
        if let Some(body) = members.remove("body") {
            members.insert("body".to_owned(), kept(body));
        }
        members.insert("seq".to_owned(), json!(self.last));
        members.insert("at".to_owned(), json!(at));
        members.insert("kind".to_owned(), json!(kind));
        self.entries.push_back(Entry { seq: self.last, members, frame });
        while self.entries.len() > ENTRIES {
            self.entries.pop_front();
            self.dropped += 1;
        }
    }

    /// Entries after a sequence number, oldest first, with how many were dropped since the start.
    pub(crate) fn page(&self, after: u64, limit: usize) -> Value {
        let entries: Vec<Value> =
            self.entries.iter().filter(|entry| entry.seq > after).take(limit).map(Entry::shown).collect();
        json!({"entries": entries, "last": self.last, "dropped": self.dropped})
    }
}

impl Entry {
    fn shown(&self) -> Value {
        let mut members = self.members.clone();
        if let Some(frame) = &self.frame {
            let body = if frame.len() > BODY_BYTES {
                json!({"omittedBytes": frame.len()})
            } else {
                serde_json::from_str(frame).unwrap_or_else(|_| json!(frame.as_ref()))
            };
            for name in ["op", "t", "s"] {
                if let Some(value) = body.get(name) {
                    members.insert(name.to_owned(), value.clone());
                }
            }
            members.insert("body".to_owned(), kept(body));
        }
        Value::Object(members)
    }
}

fn kept(mut body: Value) -> Value {
    let bytes = body.to_string().len();
    if bytes > BODY_BYTES {
        return json!({"omittedBytes": bytes});
    }
    redact(&mut body);
    body
}

/// Replaces whatever authorises its bearer.
fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                // `code` is a secret of OAuth2 only as text; errors carry a number of that name.
                if SECRETS.contains(&name.as_str()) && member.is_string() {
                    *member = json!("***");
                } else {
                    redact(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}
