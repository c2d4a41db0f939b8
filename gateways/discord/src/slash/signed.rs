//! Interactions that Discord posts to our HTTP address instead of the gateway, for deployments that want it so. Every
//! one is signed with Ed25519 over its timestamp and body; one that is not, or too old, is refused before it is read.
//! The same functions answer that answer commands from the gateway.

use std::time::Duration;

use domain::id::{DiscordId, GuildId};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Map, Value, json};

use super::{Answer, Asker, BUTTON, Reply, check, license, reply_of, sync_me};
use crate::bot::Inner;
use crate::egress::Request;
use crate::texts;

/// The oldest and the most advanced timestamp that is taken.
const AGE_MAX_MS: i64 = 300_000;
/// After this long the answer is deferred.
const DEFER_AFTER: Duration = Duration::from_millis(2_000);
/// Discord's flag for what only the asker sees.
const EPHEMERAL: u32 = 1 << 6;

/// Why an interaction is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InteractionRefused {
    /// Its signature is missing, wrong, or too old.
    #[error("the signature of the interaction is not Discord's for this application, or it is too old")]
    Unsigned,
    /// It is signed and cannot be understood.
    #[error("the interaction cannot be read: {0}")]
    Unreadable(String),
    /// The application's public key is not known yet.
    #[error("the application's public key is not known: {0}")]
    Unavailable(String),
}

/// Checks and answers one interaction. `timestamp` and `signature` are the headers as they came.
pub(crate) async fn answer(
    bot: &std::sync::Arc<Inner>,
    signature: &str,
    timestamp: &str,
    body: &[u8],
) -> Result<Value, InteractionRefused> {
    let key = public_key(bot).await?;
    let sent: i64 = timestamp.parse().map_err(|_| InteractionRefused::Unsigned)?;
    let age = bot.now().ms().saturating_sub(sent.saturating_mul(1_000));
    if age.abs() > AGE_MAX_MS || !is_signed(&key, signature, timestamp, body) {
        return Err(InteractionRefused::Unsigned);
    }
    let unreadable = |what: &str| InteractionRefused::Unreadable(what.to_owned());
    let interaction: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
    match interaction["type"].as_u64() {
        Some(1) => Ok(json!({ "type": 1 })),
        Some(2 | 3) => replied(bot, interaction).await,
        Some(4) => choices(bot, &interaction).await,
        _ => Err(unreadable("its type is not known")),
    }
}

/// The application's public key, asked for once.
async fn public_key(bot: &Inner) -> Result<VerifyingKey, InteractionRefused> {
    if let Some(key) = bot.status().public_key {
        return Ok(key);
    }
    let unavailable = |why: String| InteractionRefused::Unavailable(why);
    let told = bot.egress.call(Request::get("/applications/@me")).await;
    let told = told.map_err(|error| unavailable(error.to_string()))?;
    let key = told["verify_key"].as_str().and_then(bytes::<32>);
    let key = key.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    let key = key.ok_or_else(|| unavailable("Discord gave none".to_owned()))?;
    bot.status().public_key = Some(key);
    Ok(key)
}

fn is_signed(key: &VerifyingKey, signature: &str, timestamp: &str, body: &[u8]) -> bool {
    let Some(signature) = bytes::<64>(signature) else { return false };
    let signed = [timestamp.as_bytes(), body].concat();
    key.verify_strict(&signed, &Signature::from_bytes(&signature)).is_ok()
}

/// `N` bytes in hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn asker(interaction: &Value) -> Result<Asker, InteractionRefused> {
    let id = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
    let user = &interaction["member"]["user"]["id"];
    let user = id(user).or_else(|| id(&interaction["user"]["id"]));
    let user = user.ok_or_else(|| InteractionRefused::Unreadable("it names no user".to_owned()))?;
    Ok(Asker {
        guild: id(&interaction["guild_id"]).map(GuildId),
        user: DiscordId(user),
        locale: texts::locale(interaction["locale"].as_str()),
        interaction: id(&interaction["id"]).unwrap_or(0),
    })
}

/// The full name of a command and its options, out of the tree that Discord sends.
fn command(data: &Value) -> (String, Map<String, Value>) {
    let mut path = data["name"].as_str().unwrap_or_default().to_owned();
    let (mut level, mut options) = (data, Map::new());
    while let Some(below) = level["options"].as_array() {
        let Some(next) = below.iter().find(|option| matches!(option["type"].as_u64(), Some(1 | 2))) else {
            for option in below {
                let name = option["name"].as_str().unwrap_or_default();
                options.insert(name.to_owned(), option["value"].clone());
            }
            break;
        };
        path = format!("{path} {}", next["name"].as_str().unwrap_or_default());
        level = next;
    }
    (path, options)
}

async fn reply(bot: &Inner, asker: &Asker, interaction: &Value) -> Answer {
    let data = &interaction["data"];
    if let Some(custom_id) = data["custom_id"].as_str() {
        return match custom_id.split(':').collect::<Vec<_>>()[..] {
            [BUTTON, "reveal", which] => license::reveal(bot, asker, which).await,
            _ => Ok(Reply::text(asker.texts().not_found)),
        };
    }
    let (path, options) = command(data);
    match path.as_str() {
        "license list" => license::list(bot, asker).await,
        "license show" => license::show(bot, asker, options.get("license").and_then(Value::as_str)).await,
        "setup check" => check::check(bot, asker).await,
        "sync me" => sync_me::sync(bot, asker).await,
        _ => Ok(Reply::text(asker.texts().not_found)),
    }
}

/// The reply, or a deferral whose reply follows.
async fn replied(bot: &std::sync::Arc<Inner>, interaction: Value) -> Result<Value, InteractionRefused> {
    let asker = asker(&interaction)?;
    let application = interaction["application_id"].as_str().unwrap_or_default().to_owned();
    let token = interaction["token"].as_str().unwrap_or_default().to_owned();
    let inner = std::sync::Arc::clone(bot);
    let mut work = tokio::spawn(async move {
        let answer = reply(&inner, &asker, &interaction).await;
        message(&reply_of(&asker, answer))
    });
    let failed = |error: tokio::task::JoinError| InteractionRefused::Unavailable(error.to_string());
    tokio::select! {
        done = &mut work => Ok(json!({ "type": 4, "data": done.map_err(failed)? })),
        () = tokio::time::sleep(DEFER_AFTER) => {
            let inner = std::sync::Arc::clone(bot);
            tokio::spawn(async move {
                let Ok(message) = work.await else { return };
                let path = format!("/webhooks/{application}/{token}/messages/@original");
                if let Err(error) = inner.egress.call(Request::patch(path, message)).await {
                    tracing::warn!(%error, "a deferred interaction could not be answered");
                }
            });
            Ok(json!({ "type": 5, "data": { "flags": EPHEMERAL } }))
        }
    }
}

fn message(reply: &Reply) -> Value {
    let mut message = json!({
        "content": reply.text,
        "flags": EPHEMERAL,
        "allowed_mentions": { "parse": [] },
    });
    if !reply.buttons.is_empty() {
        let button = |(id, label): &(String, String)| json!({ "type": 2, "style": 1, "custom_id": id, "label": label });
        let buttons: Vec<Value> = reply.buttons.iter().map(button).collect();
        message["components"] = json!([{ "type": 1, "components": buttons }]);
    }
    message
}

/// What autocomplete offers.
async fn choices(bot: &Inner, interaction: &Value) -> Result<Value, InteractionRefused> {
    let asker = asker(interaction)?;
    let (_, options) = command(&interaction["data"]);
    let typed = options.get("license").and_then(Value::as_str).unwrap_or_default();
    let offered = license::choices(bot, &asker, typed).await.unwrap_or_default();
    let choices: Vec<Value> =
        offered.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    Ok(json!({ "type": 8, "data": { "choices": choices } }))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn only_the_right_key_over_the_very_bytes_counts() {
        let signing = SigningKey::from_bytes(&[7; 32]);
        let key = signing.verifying_key();
        let signature = hex(&signing.sign(b"1700000000{}").to_bytes());
        assert!(is_signed(&key, &signature, "1700000000", b"{}"));
        assert!(!is_signed(&key, &signature, "1700000001", b"{}"));
        assert!(!is_signed(&key, &signature, "1700000000", b"{} "));
        // Where the timestamp ends is part of what is signed only as a whole.
        assert!(!is_signed(
            &SigningKey::from_bytes(&[8; 32]).verifying_key(),
            &signature,
            "1700000000",
            b"{}"
        ));
        for wrong in ["", "00", "zz", &"0".repeat(128), &"é".repeat(64), &format!("{signature}00")] {
            assert!(!is_signed(&key, wrong, "1700000000", b"{}"), "{wrong}");
        }
    }

    #[test]
    fn a_command_is_named_in_full() {
        let data = json!({ "name": "license", "options": [
            { "type": 1, "name": "show", "options": [{ "type": 3, "name": "license", "value": "x" }] },
        ]});
        let (path, options) = command(&data);
        assert_eq!((path.as_str(), &options["license"]), ("license show", &json!("x")));
        assert_eq!(
            command(&json!({ "name": "sync", "options": [{ "type": 1, "name": "me" }] })).0,
            "sync me"
        );
        assert_eq!(command(&json!(null)).0, "");
    }
}
