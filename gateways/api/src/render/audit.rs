//! The audit trail as answers show it: who did what to what, when, why and in which connection. What an event says
//! stands in the history of the thing, which each rank sees its part of.

use std::borrow::Cow;

use domain::id::{GuildId, Kind};
use projections::AuditEntry;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::instant::Instant;
use super::table::Table;
use crate::error::ApiError;
use crate::openapi::types as doc;

/// One event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub(crate) struct AuditBody<'a> {
    position: i64,
    #[schema(value_type = doc::Time)]
    timestamp: Instant,
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
    r#type: &'a str,
    /// `license`, `member`, `guild`, `user`, `session`, `platform` or `security`.
    #[schema(value_type = doc::AggregateKind)]
    aggregate_type: &'static str,
    /// The id of the license, the guild or the person, or `<guild>:<person>`.
    aggregate_id: &'a str,
    /// The license, if it is about one.
    #[schema(value_type = Option<doc::LicenseId>)]
    license_id: Option<&'a str>,
    sequence: u64,
    #[schema(value_type = doc::Actor)]
    actor: &'a str,
    reason: Option<&'a str>,
    correlation_id: &'a str,
    causation_id: &'a str,
    /// What it says, of a fact about security alone: it has no other history.
    #[schema(value_type = Option<doc::Metadata>)]
    data: Option<&'a RawValue>,
}

impl<'a> From<&'a AuditEntry> for AuditBody<'a> {
    fn from(entry: &'a AuditEntry) -> Self {
        Self {
            position: entry.position,
            timestamp: entry.recorded_at.into(),
            guild_id: entry.guild,
            r#type: &entry.event_type,
            aggregate_type: entry.stream.kind.as_str(),
            aggregate_id: &entry.stream.id,
            license_id: (entry.stream.kind == Kind::License).then_some(&*entry.stream.id),
            sequence: entry.sequence,
            actor: &entry.actor,
            reason: entry.reason.as_deref(),
            correlation_id: &entry.correlation_id,
            causation_id: &entry.causation_id,
            data: entry.data.as_deref(),
        }
    }
}

/// The header line of the table: the members of [`AuditBody`], in their order.
pub(crate) const COLUMNS: [&str; 13] = [
    "position",
    "timestamp",
    "guildId",
    "type",
    "aggregateType",
    "aggregateId",
    "licenseId",
    "sequence",
    "actor",
    "reason",
    "correlationId",
    "causationId",
    "data",
];

/// One event as a line of the table.
pub(crate) fn row(table: &mut Table, entry: &AuditEntry) -> Result<(), ApiError> {
    let body = AuditBody::from(entry);
    let text = |text: &'_ str| Cow::Owned(text.to_owned());
    table.row([
        Cow::Owned(entry.position.to_string()),
        Cow::Owned(entry.recorded_at.to_string()),
        Cow::Owned(entry.guild.map_or_else(String::new, |guild| guild.to_string())),
        text(body.r#type),
        text(body.aggregate_type),
        text(body.aggregate_id),
        text(body.license_id.unwrap_or_default()),
        Cow::Owned(entry.sequence.to_string()),
        text(body.actor),
        text(body.reason.unwrap_or_default()),
        text(body.correlation_id),
        text(body.causation_id),
        text(body.data.map_or("", RawValue::get)),
    ])
}
