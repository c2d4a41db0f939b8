//! Interactions under way: what was asked, what came back, and for how long answers are still taken.
//! Lives in memory only: after a restart nobody waits any more.

pub(crate) mod build;
pub(crate) mod deliver;
pub(crate) mod options;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hub::{Inner, StoreError};
use crate::world::model::{FLAG_EPHEMERAL, FLAG_LOADING, Message};

/// The first answer must come within this time.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The token lives this long by the host's clock.
pub(crate) const TOKEN_MS: i64 = 15 * 60_000;
/// A deferred update may change nothing; after this time nobody waits for its edit.
const UPDATE_GRACE: Duration = Duration::from_secs(1);
/// Interactions, ephemeral messages and open modals that are remembered.
const REMEMBERED: usize = 5_000;

/// Kinds of interactions.
pub(crate) const COMMAND: u64 = 2;
pub(crate) const COMPONENT: u64 = 3;
pub(crate) const AUTOCOMPLETE: u64 = 4;
pub(crate) const MODAL: u64 = 5;

/// One interaction.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: u64,
    pub(crate) token: String,
    pub(crate) kind: u64,
    pub(crate) user: u64,
    pub(crate) channel: u64,
    /// Command name or custom id.
    pub(crate) name: String,
    /// The message whose component was used.
    pub(crate) source: Option<u64>,
    pub(crate) made: Instant,
    pub(crate) made_ms: i64,
    /// The type of the first answer, and when it came.
    pub(crate) answered: Option<(u64, Instant)>,
    /// Choices or modal of the first answer.
    pub(crate) data: Value,
    pub(crate) ephemeral: bool,
    /// The message of the first answer.
    pub(crate) original: Option<u64>,
    /// A deferred answer has come.
    pub(crate) filled: bool,
    pub(crate) follow_ups: Vec<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Interactions {
    pub(crate) all: BTreeMap<u64, Pending>,
    /// Messages that only one account sees.
    pub(crate) ephemerals: BTreeMap<u64, Message>,
    /// (account, custom id) → the modal that is open there and the message it came from.
    pub(crate) modals: BTreeMap<(u64, String), (Value, Option<u64>)>,
}

impl Interactions {
    pub(crate) fn add(&mut self, pending: Pending) {
        self.all.insert(pending.id, pending);
        while self.all.len() > REMEMBERED {
            self.all.pop_first();
        }
        while self.ephemerals.len() > REMEMBERED {
            self.ephemerals.pop_first();
        }
        while self.modals.len() > REMEMBERED {
            self.modals.pop_first();
        }
    }

    /// The interaction of a token.
    pub(crate) fn by_token(&self, token: &str) -> Option<&Pending> {
        self.all.values().rev().find(|pending| pending.token == token)
    }
}

impl Pending {
    /// Whether the answer is what it will be.
    pub(crate) fn is_final(&self) -> bool {
        match self.answered {
            Some((5, _)) => self.filled,
            Some((6, since)) => self.filled || since.elapsed() > UPDATE_GRACE,
            Some(_) => true,
            None => false,
        }
    }
}

impl Inner {
    /// The message, wherever it is kept.
    pub(crate) fn any_message(&self, channel: u64, id: u64) -> Option<&Message> {
        let kept = self.state.messages.get(&channel).and_then(|messages| messages.get(&id));
        kept.or_else(|| self.interactions.ephemerals.get(&id))
    }

    /// Keeps an answer: ephemeral ones in memory, others in their channel.
    pub(crate) fn put_answer(&mut self, message: Message) -> Result<(), StoreError> {
        if message.flags & FLAG_EPHEMERAL == 0 {
            self.put_message(message)
        } else {
            self.interactions.ephemerals.insert(message.id, message);
            Ok(())
        }
    }

    /// All that came back so far, as the control API shows it.
    pub(crate) fn responses(&self, pending: &Pending) -> Vec<Value> {
        let Some((kind, _)) = pending.answered else { return Vec::new() };
        let original = pending.original.or(if matches!(kind, 6 | 7) { pending.source } else { None });
        let mut responses = Vec::new();
        let mut first = self.response(pending, kind, original);
        if !pending.data.is_null() {
            first["data"] = pending.data.clone();
            for name in ["choices", "custom_id", "title"] {
                if let Some(value) = pending.data.get(name) {
                    first[if name == "custom_id" { "customId" } else { name }] = value.clone();
                }
            }
            if kind == 9 {
                first["components"] = pending.data.get("components").cloned().unwrap_or_else(|| json!([]));
            }
        }
        responses.push(first);
        for id in &pending.follow_ups {
            let mut next = self.response(pending, 4, Some(*id));
            next["followUp"] = json!(true);
            responses.push(next);
        }
        responses
    }

    fn response(&self, pending: &Pending, kind: u64, message: Option<u64>) -> Value {
        let found = message.and_then(|id| self.any_message(pending.channel, id));
        let list =
            |value: Option<&Value>| value.filter(|v| !v.is_null()).cloned().unwrap_or_else(|| json!([]));
        json!({
            "type": kind,
            "ephemeral": found.is_some_and(|message| message.flags & FLAG_EPHEMERAL != 0),
            "loading": found.is_some_and(|message| message.flags & FLAG_LOADING != 0),
            "content": found.map_or("", |message| message.content.as_str()),
            "embeds": list(found.map(|message| &message.embeds)),
            "components": list(found.map(|message| &message.components)),
            "attachments": list(found.map(|message| &message.attachments)),
            "messageId": message.filter(|_| found.is_some()).map(|id| id.to_string()),
        })
    }
}
