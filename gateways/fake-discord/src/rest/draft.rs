//! A message that someone wants to send or edit: its shape checked, its parts taken out. Used alike by channels,
//! answers to interactions and follow-ups. Decides nothing about who may send it.

use serde_json::{Value, json};

use super::check::{self, Errors, Field, Kind, may, must};
use super::components::{self, Place};
use super::reply::Refusal;
use crate::world::model::{FLAG_COMPONENTS_V2, FLAG_EPHEMERAL, Message};

const CONTENT: Field = may("content", Kind::Text(0, 2_000));
const EMBEDS: Field = may("embeds", Kind::List(10, &Kind::Object(EMBED)));
const MENTIONS: Field = may("allowed_mentions", Kind::Object(&MENTION_FIELDS));
const COMPONENTS: Field = may("components", Kind::Any);
const ATTACHMENTS: Field = may("attachments", Kind::List(10, &Kind::Object(&ATTACHMENT)));
const FLAGS: Field = may("flags", Kind::Int(0, (1 << 20) - 1));
const TTS: Field = may("tts", Kind::Bool);

/// Body of Create Message.
pub(crate) const CREATE: &[Field] = &[
    CONTENT,
    may("nonce", Kind::Any),
    TTS,
    EMBEDS,
    MENTIONS,
    may("message_reference", Kind::Object(&REFERENCE)),
    COMPONENTS,
    may("sticker_ids", Kind::List(3, &Kind::Snowflake)),
    ATTACHMENTS,
    FLAGS,
    may("enforce_nonce", Kind::Bool),
    may("poll", Kind::Any),
];
/// Body of Edit Message and of the edits of interaction answers.
pub(crate) const EDIT: &[Field] =
    &[CONTENT, EMBEDS, FLAGS, MENTIONS, COMPONENTS, ATTACHMENTS, may("poll", Kind::Any)];
/// Body of a follow-up, and data of an answer that is a message.
pub(crate) const ANSWER: &[Field] =
    &[CONTENT, TTS, EMBEDS, MENTIONS, COMPONENTS, ATTACHMENTS, FLAGS, may("poll", Kind::Any)];

const MENTION_FIELDS: [Field; 4] = [
    may("parse", Kind::List(3, &Kind::Text(1, 20))),
    may("roles", Kind::List(100, &Kind::Snowflake)),
    may("users", Kind::List(100, &Kind::Snowflake)),
    may("replied_user", Kind::Bool),
];
const REFERENCE: [Field; 5] = [
    may("type", Kind::Int(0, 1)),
    may("message_id", Kind::Snowflake),
    may("channel_id", Kind::Snowflake),
    may("guild_id", Kind::Snowflake),
    may("fail_if_not_exists", Kind::Bool),
];
const ATTACHMENT: [Field; 3] = [
    must("id", Kind::Snowflake),
    may("filename", Kind::Text(1, 260)),
    may("description", Kind::Text(0, 1_024)),
];
const EMBED: &[Field] = &[
    may("title", Kind::Text(0, 256)),
    may("type", Kind::Text(1, 20)),
    may("description", Kind::Text(0, 4_096)),
    may("url", Kind::Text(0, 2_048)),
    may("timestamp", Kind::Text(1, 40)),
    may("color", Kind::Int(0, 0xFF_FF_FF)),
    may(
        "footer",
        Kind::Object(&[
            must("text", Kind::Text(0, 2_048)),
            may("icon_url", LINK),
            may("proxy_icon_url", LINK),
        ]),
    ),
    may("image", Kind::Object(PICTURE)),
    may("thumbnail", Kind::Object(PICTURE)),
    may("video", Kind::Any),
    may("provider", Kind::Any),
    may(
        "author",
        Kind::Object(&[
            must("name", Kind::Text(0, 256)),
            may("url", LINK),
            may("icon_url", LINK),
            may("proxy_icon_url", LINK),
        ]),
    ),
    may(
        "fields",
        Kind::List(
            25,
            &Kind::Object(&[
                must("name", Kind::Text(1, 256)),
                must("value", Kind::Text(1, 1_024)),
                may("inline", Kind::Bool),
            ]),
        ),
    ),
];
const LINK: Kind = Kind::Text(0, 2_048);
const PICTURE: &[Field] =
    &[must("url", LINK), may("proxy_url", LINK), may("height", Kind::Any), may("width", Kind::Any)];
/// Characters in all embeds together.
const EMBED_TOTAL: usize = 6_000;

/// Checks the body of a message. `flags` are those it already has, for an edit.
pub(crate) fn check_shape(body: &Value, fields: &'static [Field], flags: u64) -> Result<(), Refusal> {
    let mut errors = Errors::default();
    check::check(body, &Kind::Object(fields), &mut Vec::new(), &mut errors);
    let flags = flags | flags_of(body);
    let v2 = flags & FLAG_COMPONENTS_V2 != 0;
    if let Some(list) = body.get("components").filter(|list| !list.is_null()) {
        components::check_all(list, if v2 { Place::MessageV2 } else { Place::Message }, &mut errors);
    }
    if v2 {
        for name in ["content", "embeds"].into_iter().filter(|name| is_filled(body, name)) {
            errors.add(
                &[name.to_owned()],
                "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                "The 'content' and 'embeds' fields cannot be used when using MessageFlags.IS_COMPONENTS_V2",
            );
        }
    }
    if embed_characters(body) > EMBED_TOTAL {
        errors.add(
            &["embeds".to_owned()],
            "MAX_EMBED_SIZE_EXCEEDED",
            "Embed size exceeds maximum size of 6000",
        );
    }
    let nonce = body.get("nonce").unwrap_or(&Value::Null);
    let fits =
        nonce.is_null() || nonce.is_u64() || nonce.as_str().is_some_and(|text| text.chars().count() <= 25);
    if !fits {
        errors.add(&["nonce".to_owned()], "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.");
    }
    errors.into_result()
}

/// Whether a body says anything at all.
pub(crate) fn is_empty(body: &Value, files: usize) -> bool {
    let said = ["content", "embeds", "components", "sticker_ids", "poll"];
    files == 0 && !said.iter().any(|name| is_filled(body, name))
}

/// Puts the parts that the body names into the message.
pub(crate) fn fill(message: &mut Message, body: &Value) {
    if let Some(content) = body.get("content") {
        message.content = content.as_str().unwrap_or_default().to_owned();
    }
    let list = |name: &str| body.get(name).map(|list| if list.is_null() { json!([]) } else { list.clone() });
    if let Some(embeds) = list("embeds") {
        message.embeds = embeds;
    }
    if let Some(components) = list("components") {
        message.components = numbered(components, &mut 0);
    }
    message.flags |= flags_of(body) & !FLAG_EPHEMERAL;
}

/// The member `flags`.
pub(crate) fn flags_of(body: &Value) -> u64 {
    body.get("flags").and_then(Value::as_u64).unwrap_or(0)
}

/// Components without an id are given one, as Discord does.
fn numbered(mut components: Value, last: &mut u64) -> Value {
    for item in components.as_array_mut().into_iter().flatten() {
        *last += 1;
        let id = *last;
        if let Some(members) = item.as_object_mut() {
            members.entry("id").or_insert_with(|| json!(id));
            for name in ["components", "accessory"] {
                if let Some(inner) = members.get_mut(name) {
                    let taken = inner.take();
                    *inner = if name == "accessory" {
                        let mut one = numbered(json!([taken]), last);
                        one.get_mut(0).map(Value::take).unwrap_or_default()
                    } else {
                        numbered(taken, last)
                    };
                }
            }
        }
    }
    components
}

fn is_filled(body: &Value, name: &str) -> bool {
    match body.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    }
}

fn embed_characters(body: &Value) -> usize {
    let length = |value: Option<&Value>| value.and_then(Value::as_str).map_or(0, |text| text.chars().count());
    let embeds = body.get("embeds").and_then(Value::as_array).into_iter().flatten();
    embeds
        .map(|embed| {
            let fields = embed.get("fields").and_then(Value::as_array).into_iter().flatten();
            let fields: usize =
                fields.map(|field| length(field.get("name")) + length(field.get("value"))).sum();
            length(embed.get("title"))
                + length(embed.get("description"))
                + length(embed.pointer("/footer/text"))
                + length(embed.pointer("/author/name"))
                + fields
        })
        .sum()
}
