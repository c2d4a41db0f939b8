//! The history of a license or a guild: every event with who, why and the state after it. An owner sees what happened while
//! the license was his in full, and of the time before only that it happened.

use domain::event::{Actor, DomainEvent, Recorded};
use domain::id::Pseudonym;
use domain::time::Timestamp;
use projections::{GuildHistoryEntry, HistoryEntry};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Audience;
use super::guild::GuildBody;
use super::instant::Instant;
use super::license::LicenseBody;
use crate::openapi::types as doc;

/// Members of a payload that hold personal data, at any depth.
const PERSONAL: [&str; 6] = ["discordId", "deviceName", "name", "metadata", "privateMetadata", "externalRef"];

/// Members of a payload that say which API key or webhook it is about, and no more.
const CREDENTIAL: [&str; 4] = ["keyId", "webhookId", "kind", "at"];

/// An event: who did what, why and when. For a guild it stands alone, because what the event says is for another rank
/// each time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Event)]
pub(crate) struct EventBody<'a> {
    position: i64,
    r#type: String,
    sequence: u64,
    #[schema(value_type = doc::Time)]
    timestamp: Instant,
    #[schema(value_type = doc::Actor)]
    actor: &'a Actor,
    reason: Option<&'a str>,
    correlation_id: &'a str,
    causation_id: &'a str,
}

/// An event of a license, with what it says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HistoryEntry)]
pub(crate) struct EntryBody<'a> {
    #[serde(flatten)]
    event: EventBody<'a>,
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_after: Option<LicenseBody<'a>>,
}

/// An event of a guild, with what it says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GuildHistoryEntry)]
pub(crate) struct GuildEntryBody<'a> {
    #[serde(flatten)]
    event: EventBody<'a>,
    data: Value,
    state_after: GuildBody<'a>,
}

impl<'a> GuildEntryBody<'a> {
    /// One entry. What it says of API keys and webhooks is for whoever may see those; without it only which one it was.
    /// The address of a webhook often holds a secret and is shown to nobody here.
    pub(crate) fn new(entry: &'a GuildHistoryEntry, owner: Option<&'a str>, sees_credentials: bool) -> Self {
        let mut data = entry.data.clone();
        let name = wire_name(&entry.recorded.event);
        if let Value::Object(members) = &mut data {
            members.remove("type");
            members.remove("url");
            let is_credential =
                ["guild.api_key_", "guild.webhook_"].iter().any(|part| name.starts_with(part));
            if is_credential && !sees_credentials {
                members.retain(|name, _| CREDENTIAL.contains(&name.as_str()));
            }
        }
        let event = EventBody::new(&entry.recorded, entry.reason.as_deref());
        Self { event, data, state_after: GuildBody::new(&entry.after.guild, owner) }
    }
}

/// Who reads a history.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Viewer<'a> {
    /// Staff, secret keys, the platform owner.
    Staff,
    /// The owner.
    Owner(&'a Pseudonym),
}

impl<'a> EntryBody<'a> {
    /// One entry as `viewer` may see it.
    pub(crate) fn new(entry: &'a HistoryEntry, viewer: Viewer<'_>) -> Self {
        let mut data = entry.data.clone();
        if let Value::Object(members) = &mut data {
            // It stands beside `data` already.
            members.remove("type");
        }
        let (audience, reason) = match viewer {
            Viewer::Staff => (Audience::Staff, entry.reason.as_deref()),
            Viewer::Owner(own) if is_owner(entry, own) => {
                strip(&mut data, &["privateMetadata"]);
                (Audience::Owner, entry.reason.as_deref())
            }
            Viewer::Owner(_) => {
                strip(&mut data, &PERSONAL);
                (Audience::Publishable, None)
            }
        };
        let as_of: Timestamp = entry.state_after.updated_at;
        let mut state_after = LicenseBody::new(&entry.state_after, &entry.personal_after, audience, as_of);
        if audience == Audience::Publishable {
            state_after.hide_metadata();
        }
        Self { event: EventBody::new(&entry.recorded, reason), data, state_after: Some(state_after) }
    }

    /// The same without the state, where that stands elsewhere.
    pub(crate) fn without_state(self) -> Self {
        Self { state_after: None, ..self }
    }
}

impl<'a> EventBody<'a> {
    /// One event with its reason, opened.
    pub(crate) fn new(recorded: &'a Recorded, reason: Option<&'a str>) -> Self {
        let metadata = &recorded.metadata;
        Self {
            position: recorded.position,
            r#type: wire_name(&recorded.event),
            sequence: recorded.sequence,
            timestamp: recorded.recorded_at.into(),
            actor: &metadata.actor,
            reason,
            correlation_id: &metadata.correlation_id,
            causation_id: &metadata.causation_id,
        }
    }
}

fn wire_name(event: &DomainEvent) -> String {
    event.wire().0
}

fn is_owner(entry: &HistoryEntry, own: &Pseudonym) -> bool {
    entry.state_after.owner.as_ref().is_some_and(|owner| owner.id == *own)
}

/// Takes members out of a JSON value, at any depth.
fn strip(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|member| strip(member, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_members_are_taken_out_at_any_depth() {
        let mut data = serde_json::json!({
            "to": { "id": "u_x", "discordId": "1" },
            "device": { "id": "d", "name": "n" },
            "list": [{ "deviceName": "x", "at": "t" }],
        });
        strip(&mut data, &PERSONAL);
        assert_eq!(
            data,
            serde_json::json!({ "to": { "id": "u_x" }, "device": { "id": "d" }, "list": [{ "at": "t" }] })
        );
    }
}
