//! Channels and messages: who may be written to, what a message may be, and the nonce that makes sending it twice
//! the same as sending it once.

use serde_json::{Value, json};

use super::draft;
use super::reply::{Refusal, Reply, done, ok};
use super::{Call, id, id_of};
use crate::gateway::intents::{DIRECT_MESSAGES, GUILD_MESSAGES, MESSAGE_CONTENT};
use crate::hub::{Inner, StoreError};
use crate::settings::BOT_ID;
use crate::world::model::Message;
use crate::world::permissions::{SEND_MESSAGES, VIEW_CHANNEL, in_channel};
use crate::world::shapes;
use crate::world::state::Change;

/// How long a nonce is remembered: "a few minutes".
const NONCE_MS: i64 = 5 * 60_000;

/// Where a message goes.
enum Target {
    Text { guild: u64 },
    Direct { user: u64 },
}

pub(super) fn route(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    match (call.method, segments) {
        ("GET", [channel]) => get_channel(call, id(channel)?),
        ("GET", [channel, "messages"]) => list(call, id(channel)?),
        ("POST", [channel, "messages"]) => create(call, id(channel)?),
        ("GET", [channel, "messages", message]) => {
            let (channel, message) = (id(channel)?, id(message)?);
            target(call.inner, channel)?;
            ok(shapes::message(&call.inner.state, known(call.inner, channel, message)?))
        }
        ("PATCH", [channel, "messages", message]) => edit(call, id(channel)?, id(message)?),
        ("DELETE", [channel, "messages", message]) => delete(call, id(channel)?, id(message)?),
        ("POST", [channel, "typing"]) => target(call.inner, id(channel)?).and_then(|_| done()),
        _ => Err(Refusal::no_route()),
    }
}

/// The channel, if the bot can see it.
fn target(inner: &Inner, channel: u64) -> Result<Target, Refusal> {
    if let Some(user) = inner.state.dm_channels.get(&channel) {
        return Ok(Target::Direct { user: *user });
    }
    let guild_id = inner.state.guild_of_channel(channel).ok_or_else(|| Refusal::code(10_003))?;
    let guild = inner.state.guilds.get(&guild_id).ok_or_else(|| Refusal::code(10_003))?;
    if guild.outage && inner.is_in(guild_id) {
        return Err(Refusal::new(503, 0, "503: Service Unavailable"));
    }
    let bits = guild.channels.get(&channel).map_or(0, |own| in_channel(guild_id, guild, own, BOT_ID));
    if bits & VIEW_CHANNEL == 0 { Err(Refusal::code(50_001)) } else { Ok(Target::Text { guild: guild_id }) }
}

fn known(inner: &Inner, channel: u64, message: u64) -> Result<&Message, Refusal> {
    let messages = inner.state.messages.get(&channel);
    messages.and_then(|messages| messages.get(&message)).ok_or_else(|| Refusal::code(10_008))
}

fn get_channel(call: &Call<'_>, channel: u64) -> Reply {
    let state = &call.inner.state;
    match target(call.inner, channel)? {
        Target::Direct { user } => ok(shapes::dm_channel(state, channel, user)),
        Target::Text { guild } => {
            let own = state.guilds.get(&guild).and_then(|guild| guild.channels.get(&channel));
            let own = own.ok_or_else(|| Refusal::code(10_003))?;
            ok(shapes::channel(guild, channel, own))
        }
    }
}

fn list(call: &Call<'_>, channel: u64) -> Reply {
    target(call.inner, channel)?;
    let limit = call.limit(50, 100)?;
    let (before, after) = (call.number("before")?, call.number("after")?);
    let state = &call.inner.state;
    let messages = state.messages.get(&channel).into_iter().flatten().map(|(_, message)| message);
    let mut fitting: Vec<&Message> = messages
        .filter(|message| before.is_none_or(|before| message.id < before))
        .filter(|message| after.is_none_or(|after| message.id > after))
        .collect();
    // The newest first; with `after` the nearest to it.
    if after.is_some() {
        fitting.truncate(limit);
        fitting.reverse();
    } else {
        fitting.reverse();
        fitting.truncate(limit);
    }
    ok(Value::Array(fitting.into_iter().map(|message| shapes::message(state, message)).collect()))
}

fn create(call: &mut Call<'_>, channel: u64) -> Reply {
    draft::check_shape(call.body, draft::CREATE, 0)?;
    may_send(call.inner, channel)?;
    if draft::is_empty(call.body, call.files.len()) {
        return Err(Refusal::code(50_006));
    }
    let nonce = call.body.get("nonce").filter(|nonce| !nonce.is_null()).cloned();
    let enforced = call.body.get("enforce_nonce").and_then(Value::as_bool).unwrap_or(false);
    if enforced && let Some(nonce) = &nonce {
        let since = call.inner.now.saturating_sub(NONCE_MS);
        let state = &call.inner.state;
        let mut sent = state.messages.get(&channel).into_iter().flatten().rev().map(|(_, message)| message);
        let same = |message: &&Message| {
            message.author_id == BOT_ID && message.sent_ms >= since && message.nonce.as_ref() == Some(nonce)
        };
        if let Some(first) = sent.find(same) {
            return ok(shapes::message(state, first));
        }
    }
    let attachments = call.keep_files(channel);
    let inner = &mut *call.inner;
    let mut message = Message {
        id: inner.next_id(),
        channel_id: channel,
        author_id: BOT_ID,
        attachments,
        nonce,
        sent_ms: inner.now,
        reply_to: id_of(call.body.pointer("/message_reference/message_id")),
        ..Message::default()
    };
    draft::fill(&mut message, call.body);
    inner.put_message(message.clone())?;
    ok(shapes::message(&inner.state, &message))
}

/// Whether the bot may write there.
fn may_send(inner: &Inner, channel: u64) -> Result<(), Refusal> {
    match target(inner, channel)? {
        Target::Text { guild: guild_id } => {
            let guild = inner.state.guilds.get(&guild_id).ok_or_else(|| Refusal::code(10_003))?;
            let bits = guild.channels.get(&channel).map_or(0, |own| in_channel(guild_id, guild, own, BOT_ID));
            if bits & SEND_MESSAGES == 0 { Err(Refusal::code(50_013)) } else { Ok(()) }
        }
        Target::Direct { user } => {
            let account = inner.state.accounts.get(&user);
            if account.is_some_and(|account| account.dms_closed) {
                return Err(Refusal::code(50_007));
            }
            let mutual = inner.guilds().any(|(_, guild)| guild.members.contains_key(&user));
            if mutual { Ok(()) } else { Err(Refusal::code(50_278)) }
        }
    }
}

fn edit(call: &mut Call<'_>, channel: u64, message: u64) -> Reply {
    target(call.inner, channel)?;
    let mut message = known(call.inner, channel, message)?.clone();
    if message.author_id != BOT_ID {
        return Err(Refusal::code(50_005));
    }
    draft::check_shape(call.body, draft::EDIT, message.flags)?;
    draft::fill(&mut message, call.body);
    message.attachments = call.edited_files(channel, &message.attachments);
    message.edited_ms = Some(call.inner.now);
    call.inner.put_message(message.clone())?;
    ok(shapes::message(&call.inner.state, &message))
}

fn delete(call: &mut Call<'_>, channel: u64, message: u64) -> Reply {
    target(call.inner, channel)?;
    // Without MANAGE_MESSAGES only one's own.
    if known(call.inner, channel, message)?.author_id != BOT_ID {
        return Err(Refusal::code(50_013));
    }
    call.inner.delete_message(channel, message)?;
    done()
}

impl Inner {
    /// Keeps a new or edited message and tells the sessions.
    pub(crate) fn put_message(&mut self, message: Message) -> Result<(), StoreError> {
        let (channel, id) = (message.channel_id, message.id);
        let is_new = !self.state.messages.get(&channel).is_some_and(|messages| messages.contains_key(&id));
        let shape = shapes::message(&self.state, &message);
        let own = message.author_id == BOT_ID;
        self.commit(vec![Change::Message(Box::new(message))])?;
        self.message_frame(channel, if is_new { "MESSAGE_CREATE" } else { "MESSAGE_UPDATE" }, shape, own);
        Ok(())
    }

    /// Deletes a message and tells the sessions.
    pub(crate) fn delete_message(&mut self, channel: u64, id: u64) -> Result<(), StoreError> {
        self.commit(vec![Change::MessageGone { channel, id }])?;
        let data = json!({"id": id.to_string(), "channel_id": channel.to_string()});
        self.message_frame(channel, "MESSAGE_DELETE", data, true);
        Ok(())
    }

    /// Without the intent of message contents a session sees the words of the bot and of direct messages only.
    fn message_frame(&mut self, channel: u64, name: &str, mut data: Value, own: bool) {
        let guild = self.state.guild_of_channel(channel);
        let Some(guild_id) = guild else {
            self.dispatch(None, DIRECT_MESSAGES, name, &data);
            return;
        };
        data["guild_id"] = json!(guild_id.to_string());
        let reads = self.tunables.denied() & MESSAGE_CONTENT == 0;
        if !own && !reads && name != "MESSAGE_DELETE" {
            data["content"] = json!("");
            data["embeds"] = json!([]);
            data["components"] = json!([]);
        }
        self.dispatch(guild, GUILD_MESSAGES, name, &data);
    }
}
