//! Answers to interactions: the callback with its three seconds, then follow-ups and edits for fifteen minutes.

use std::time::Instant;

use serde_json::{Value, json};

use super::check::{self, Errors, Field, Kind, may, must};
use super::components::{self, Place};
use super::draft;
use super::reply::{Refusal, Reply, done, ok};
use super::{Call, id};
use crate::hub::Inner;
use crate::interact::{ANSWER_WITHIN, AUTOCOMPLETE, COMPONENT, MODAL, Pending, TOKEN_MS};
use crate::settings::{APPLICATION_ID, BOT_ID};
use crate::world::model::{FLAG_COMPONENTS_V2, FLAG_EPHEMERAL, FLAG_LOADING, Message};
use crate::world::shapes;

const CALLBACK: &[Field] = &[must("type", Kind::Int(1, 12)), may("data", Kind::Any)];
const DEFER: &[Field] =
    &[may("flags", Kind::Int(0, (1 << 20) - 1)), may("attachments", Kind::List(0, &Kind::Any))];
const CHOICES: &[Field] = &[must(
    "choices",
    Kind::List(
        25,
        &Kind::Object(&[
            must("name", Kind::Text(1, 100)),
            may("name_localizations", Kind::Any),
            must("value", Kind::Any),
        ]),
    ),
)];
const MODAL_DATA: &[Field] =
    &[must("custom_id", Kind::Text(1, 100)), must("title", Kind::Text(1, 45)), must("components", Kind::Any)];

/// `POST /interactions/:id/:token/callback`.
pub(super) fn callbacks(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    let ("POST", [interaction, token, "callback"]) = (call.method, segments) else {
        return Err(Refusal::no_route());
    };
    let interaction = id(interaction)?;
    let pending = call.inner.interactions.all.get(&interaction).ok_or_else(|| Refusal::code(10_062))?;
    if pending.token != *token {
        return Err(Refusal::code(50_027));
    }
    let channel = pending.channel;
    // Files are kept only once it is clear that the answer is taken.
    let files = if pending.answered.is_none() { call.keep_files(channel) } else { json!([]) };
    accept(call.inner, interaction, call.body, files)?;
    if call.query.get("with_response").is_some_and(|with| with == "true") {
        return resource(call.inner, interaction);
    }
    done()
}

/// Takes the first answer, whichever way it came.
pub(crate) fn accept(inner: &mut Inner, id: u64, body: &Value, files: Value) -> Result<(), Refusal> {
    let pending = inner.interactions.all.get(&id).ok_or_else(|| Refusal::code(10_062))?.clone();
    if pending.answered.is_some() {
        return Err(Refusal::code(40_060));
    }
    if pending.made.elapsed() > ANSWER_WITHIN {
        return Err(Refusal::code(10_062));
    }
    check::body(body, CALLBACK)?;
    let kind = body.get("type").and_then(Value::as_u64).unwrap_or(0);
    let data = body.get("data").filter(|data| !data.is_null()).cloned().unwrap_or_else(|| json!({}));
    if !fits(&pending, kind) {
        let mut errors = Errors::default();
        errors.add(
            &["type".to_owned()],
            "INTERACTION_TYPE_INVALID",
            "This answer does not fit the interaction.",
        );
        errors.into_result()?;
    }
    let mut now = pending.clone();
    match kind {
        4 => {
            draft::check_shape(&data, draft::ANSWER, 0)?;
            if draft::is_empty(&data, files.as_array().map_or(0, Vec::len)) {
                return Err(Refusal::code(50_006));
            }
            now.ephemeral = draft::flags_of(&data) & FLAG_EPHEMERAL != 0;
            now.original = Some(new_answer(inner, &now, &data, files, 0)?);
        }
        5 => {
            check::body(&data, DEFER)?;
            now.ephemeral = draft::flags_of(&data) & FLAG_EPHEMERAL != 0;
            // Discord ignores the flag of components here; it can be set by the edit only.
            now.original = Some(new_answer(inner, &now, &json!({}), json!([]), FLAG_LOADING)?);
        }
        7 => update_source(inner, &pending, &data)?,
        8 => {
            check::body(&data, CHOICES)?;
            now.data = data;
        }
        9 => {
            check_modal(&data)?;
            let custom_id = data["custom_id"].as_str().unwrap_or_default().to_owned();
            inner.interactions.modals.insert((pending.user, custom_id), (data.clone(), pending.source));
            now.data = data;
        }
        _ => {}
    }
    now.answered = Some((kind, Instant::now()));
    inner.interactions.all.insert(id, now);
    Ok(())
}

fn fits(pending: &Pending, kind: u64) -> bool {
    match kind {
        1 | 8 => kind == 8 && pending.kind == AUTOCOMPLETE,
        4 | 5 => pending.kind != AUTOCOMPLETE,
        // A modal that no component opened may still be acknowledged.
        6 => pending.kind == COMPONENT || pending.kind == MODAL,
        7 => pending.source.is_some() && pending.kind != AUTOCOMPLETE,
        9 => pending.kind != AUTOCOMPLETE && pending.kind != MODAL,
        _ => false,
    }
}

fn check_modal(data: &Value) -> Result<(), Refusal> {
    let mut errors = Errors::default();
    check::check(data, &Kind::Object(MODAL_DATA), &mut Vec::new(), &mut errors);
    if let Some(list) = data.get("components") {
        components::check_all(list, Place::Modal, &mut errors);
    }
    errors.into_result()
}

fn metadata(inner: &Inner, pending: &Pending) -> Value {
    let mut shape = json!({
        "id": pending.id.to_string(), "type": pending.kind, "user": shapes::user(&inner.state, pending.user),
        "authorizing_integration_owners": {"0": "0"}, "name": pending.name,
    });
    if pending.kind == COMPONENT {
        shape["interacted_message_id"] = json!(pending.source.unwrap_or(0).to_string());
    }
    if pending.kind == MODAL {
        shape["triggering_interaction_metadata"] = json!({
            "id": pending.id.to_string(), "type": 2, "user": shapes::user(&inner.state, pending.user),
            "authorizing_integration_owners": {"0": "0"},
        });
    }
    shape
}

/// A new message of this interaction.
fn new_answer(
    inner: &mut Inner,
    pending: &Pending,
    data: &Value,
    files: Value,
    flags: u64,
) -> Result<u64, Refusal> {
    let id = inner.next_id();
    let mut message = Message {
        id,
        channel_id: pending.channel,
        author_id: BOT_ID,
        attachments: files,
        flags: flags | if pending.ephemeral { FLAG_EPHEMERAL } else { 0 },
        sent_ms: inner.now,
        interaction: Some(metadata(inner, pending)),
        ..Message::default()
    };
    draft::fill(&mut message, data);
    inner.put_answer(message)?;
    Ok(id)
}

/// Type 7: the message whose component was used becomes another.
fn update_source(inner: &mut Inner, pending: &Pending, data: &Value) -> Result<(), Refusal> {
    let source = pending.source.unwrap_or(0);
    let mut message =
        inner.any_message(pending.channel, source).ok_or_else(|| Refusal::code(10_008))?.clone();
    draft::check_shape(data, draft::ANSWER, message.flags)?;
    draft::fill(&mut message, data);
    message.edited_ms = Some(inner.now);
    inner.put_answer(message)?;
    Ok(())
}

fn resource(inner: &Inner, id: u64) -> Reply {
    let pending = inner.interactions.all.get(&id).ok_or_else(|| Refusal::code(10_062))?;
    let kind = pending.answered.map_or(0, |(kind, _)| kind);
    let shown = pending.original.or(if kind == 7 { pending.source } else { None });
    let message = shown.and_then(|id| inner.any_message(pending.channel, id));
    let mut interaction = json!({"id": id.to_string(), "type": pending.kind});
    let mut body = json!({});
    if let Some(message) = message {
        interaction["response_message_id"] = json!(message.id.to_string());
        interaction["response_message_loading"] = json!(message.flags & FLAG_LOADING != 0);
        interaction["response_message_ephemeral"] = json!(message.flags & FLAG_EPHEMERAL != 0);
        body["resource"] = json!({"type": kind, "message": shapes::message(&inner.state, message)});
    }
    body["interaction"] = interaction;
    ok(body)
}

/// `/webhooks/:app/:token`, with or without `/messages/:message`.
pub(super) fn webhooks(call: &mut Call<'_>, segments: &[&str]) -> Reply {
    let [app, token, rest @ ..] = segments else { return Err(Refusal::no_route()) };
    let known = matches!((call.method, rest), ("POST", []) | ("GET" | "PATCH" | "DELETE", ["messages", _]));
    if !known {
        return Err(Refusal::no_route());
    }
    if id(app)? != APPLICATION_ID {
        return Err(Refusal::code(10_015));
    }
    let pending = call.inner.interactions.by_token(token).ok_or_else(|| Refusal::code(10_015))?.clone();
    if call.inner.now - pending.made_ms > TOKEN_MS {
        return Err(Refusal::code(50_027));
    }
    // Before the first answer there is no webhook yet.
    if pending.answered.is_none() {
        return Err(Refusal::code(10_015));
    }
    match (call.method, rest) {
        ("POST", _) => follow_up(call, pending),
        (_, ["messages", which]) => {
            let message = if *which == "@original" {
                pending.original.or(pending.source).ok_or_else(|| Refusal::code(10_008))?
            } else {
                id(which)?
            };
            one(call, &pending, message)
        }
        _ => Err(Refusal::no_route()),
    }
}

fn follow_up(call: &mut Call<'_>, mut pending: Pending) -> Reply {
    draft::check_shape(call.body, draft::ANSWER, 0)?;
    if draft::is_empty(call.body, call.files.len()) {
        return Err(Refusal::code(50_006));
    }
    let deferred = pending.answered.is_some_and(|(kind, _)| kind == 5) && !pending.filled;
    if let (true, Some(original)) = (deferred, pending.original) {
        // The first follow-up of a deferred answer is that answer.
        return fill_in(call, &pending, original);
    }
    let files = call.keep_files(pending.channel);
    pending.ephemeral = draft::flags_of(call.body) & FLAG_EPHEMERAL != 0;
    let message = new_answer(call.inner, &pending, call.body, files, 0)?;
    if let Some(kept) = call.inner.interactions.all.get_mut(&pending.id) {
        kept.follow_ups.push(message);
    }
    shown(call, &pending, message)
}

fn shown(call: &Call<'_>, pending: &Pending, message: u64) -> Reply {
    let message = call.inner.any_message(pending.channel, message).ok_or_else(|| Refusal::code(10_008))?;
    ok(shapes::message(&call.inner.state, message))
}

fn fill_in(call: &mut Call<'_>, pending: &Pending, id: u64) -> Reply {
    let mut message =
        call.inner.any_message(pending.channel, id).ok_or_else(|| Refusal::code(10_008))?.clone();
    message.attachments = call.edited_files(pending.channel, &message.attachments);
    draft::fill(&mut message, call.body);
    if message.flags & FLAG_LOADING == 0 {
        message.edited_ms = Some(call.inner.now);
    }
    message.flags &= !FLAG_LOADING;
    call.inner.put_answer(message)?;
    let is_first = pending.original == Some(id) || pending.original.is_none();
    if let Some(kept) = call.inner.interactions.all.get_mut(&pending.id).filter(|_| is_first) {
        kept.filled = true;
    }
    shown(call, pending, id)
}

fn one(call: &mut Call<'_>, pending: &Pending, message: u64) -> Reply {
    let own = pending.original == Some(message)
        || pending.source == Some(message)
        || pending.follow_ups.contains(&message);
    let found = call.inner.any_message(pending.channel, message).filter(|_| own);
    let flags = found.ok_or_else(|| Refusal::code(10_008))?.flags;
    match call.method {
        "GET" => shown(call, pending, message),
        "PATCH" => {
            draft::check_shape(call.body, draft::EDIT, flags & FLAG_COMPONENTS_V2)?;
            fill_in(call, pending, message)
        }
        _ => {
            if call.inner.interactions.ephemerals.remove(&message).is_none() {
                call.inner.delete_message(pending.channel, message)?;
            }
            if let Some(kept) = call.inner.interactions.all.get_mut(&pending.id) {
                kept.follow_ups.retain(|id| *id != message);
                kept.filled = kept.filled || kept.original == Some(message);
            }
            done()
        }
    }
}
