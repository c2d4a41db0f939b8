//! What people do in their clients: commands, clicks, forms. The call waits for what the bot answers.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, Id, Outcome, Problem, id};
use crate::interact::build::{self, Doing, What};
use crate::interact::deliver;
use crate::interact::options::Wrong;

/// How long the call waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    guild_id: Option<Id>,
    channel_id: Option<Id>,
    user_id: Id,
    locale: Option<String>,
    command: Option<String>,
    #[serde(default)]
    options: Map<String, Value>,
    target_id: Option<Id>,
    autocomplete: Option<Autocomplete>,
    custom_id: Option<String>,
    message_id: Option<Id>,
    #[serde(default)]
    values: Vec<Value>,
    modal: Option<String>,
    #[serde(default)]
    fields: Map<String, Value>,
    /// `true` lets pass what no client would send; an object also replaces members.
    forge: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Autocomplete {
    option: String,
    value: Value,
}

impl Body {
    fn what(self) -> Result<What, Problem> {
        match (self.command, self.custom_id, self.modal) {
            (Some(words), None, None) => Ok(match self.autocomplete {
                Some(Autocomplete { option, value }) => {
                    let mut options = self.options;
                    options.insert(option.clone(), value);
                    What::Typing { words, options, option }
                }
                None => What::Command { words, options: self.options, target: self.target_id.map(|id| id.0) },
            }),
            (None, Some(custom_id), None) => {
                let message = self.message_id.ok_or_else(|| Problem::new(400, "messageId is missing"))?.0;
                Ok(What::Click { custom_id, message, values: self.values })
            }
            (None, None, Some(custom_id)) => Ok(What::Submit { custom_id, fields: self.fields }),
            _ => Err(Problem::new(400, "give one of command, customId, modal")),
        }
    }
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Unknown(what) => Self::new(404, what),
            Wrong::Invalid(what) => Self::new(400, what),
        }
    }
}

pub(super) async fn create(call: &Call<'_>) -> Outcome {
    let body: Body = call.body()?;
    let forge = match &body.forge {
        None | Some(Value::Null | Value::Bool(false)) => None,
        Some(Value::Bool(true)) => Some(Map::new()),
        Some(Value::Object(members)) => Some(members.clone()),
        Some(_) => return Err(Problem::new(400, "forge must be true or an object")),
    };
    let doing = Doing {
        guild: body.guild_id.map(|id| id.0),
        channel: body.channel_id.map(|id| id.0),
        user: body.user_id.0,
        locale: body.locale.clone().unwrap_or_else(|| "en-US".to_owned()),
        forge,
        what: body.what()?,
    };
    let made = build::make(&mut call.hub.lock(), &doing)?;
    let interaction = made.pending.id;
    deliver::send(call.hub, made);
    wait(call, interaction).await
}

/// Waits until the first answer is final.
async fn wait(call: &Call<'_>, interaction: u64) -> Outcome {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let changed = call.hub.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if let Some(shown) = shown(call, interaction, true) {
            return Ok((200, shown));
        }
        // A deferred update becomes final by time alone, so this looks again without being told.
        let next = tokio::time::Instant::now() + Duration::from_millis(250);
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(next.min(deadline)) => {}
        }
        if tokio::time::Instant::now() >= deadline {
            return match shown(call, interaction, true) {
                Some(shown) => Ok((200, shown)),
                None => Err(Problem::new(504, "the bot did not answer within 15 seconds")),
            };
        }
    }
}

fn shown(call: &Call<'_>, interaction: u64, only_final: bool) -> Option<Value> {
    let inner = call.hub.lock();
    let pending = inner.interactions.all.get(&interaction)?;
    if only_final && !pending.is_final() {
        return None;
    }
    Some(json!({
        "id": interaction.to_string(), "channelId": pending.channel.to_string(), "final": pending.is_final(),
        "responses": inner.responses(pending),
    }))
}

/// What came back so far, later follow-ups included.
pub(super) fn get(call: &Call<'_>, interaction: &str) -> Outcome {
    let interaction = id(interaction)?;
    shown(call, interaction, false)
        .map(|shown| (200, shown))
        .ok_or_else(|| Problem::unknown(format!("interaction {interaction}")))
}
