//! The audit trail: one row an event with who, in which connection and when, in columns that can be filtered by. What
//! the event says stands in the log; this only finds it. A payload that cannot be understood is listed all the same.

use std::borrow::Cow;

use domain::event::Actor;
use domain::id::{GuildId, Pseudonym, StreamId};
use domain::private::{Private, Subject, Unsealed};
use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Core;
use crate::cursor::{Page, Paged};
use crate::db::Kind::{Int, Text};
use crate::db::{Arg, Row, Rows, Table};
use crate::error::QueryError;
use crate::model::Entry;
use crate::parked::Parked;

/// Its table.
pub(crate) static TABLE: Table = Table {
    name: "audit_trail",
    columns: &[
        ("position", Int, "NOT NULL"),
        ("guild_id", Text, "NULL"),
        ("aggregate_type", Text, "NOT NULL"),
        ("aggregate_id", Text, "NOT NULL"),
        ("sequence", Int, "NOT NULL"),
        ("event_type", Text, "NOT NULL"),
        ("actor", Text, "NOT NULL"),
        ("correlation_id", Text, "NOT NULL"),
        ("causation_id", Text, "NOT NULL"),
        ("recorded_at", Int, "NOT NULL"),
    ],
    indexes: &[
        ("guild", "(guild_id, position)"),
        ("aggregate", "(aggregate_type, aggregate_id, position)"),
        ("actor", "(actor, position)"),
        ("type", "(event_type, position)"),
        ("correlation", "(correlation_id)"),
        ("day", "(guild_id, event_type, recorded_at)"),
    ],
};

/// The part of an event's metadata that is listed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<'a> {
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    correlation_id: Cow<'a, str>,
    #[serde(borrow)]
    causation_id: Cow<'a, str>,
}

/// The rows of a batch for the table `target`, and the events that have none, because nobody can tell who caused them.
pub(crate) fn rows(entries: &[Entry], target: &str) -> (Rows, Vec<Parked>) {
    let (mut rows, mut parked) = (Rows::new(&TABLE, target), Vec::new());
    for entry in entries {
        let event = &entry.stored;
        let connection: Connection<'_> = match serde_json::from_str(&event.metadata) {
            Ok(connection) => connection,
            Err(error) => {
                let why = format!("event {}: its metadata cannot be read: {error}", event.position);
                let stream = &event.stream;
                parked.push(Parked::new(TABLE.name, stream.kind.as_str(), &stream.id, event.position, &why));
                continue;
            }
        };
        rows.int(event.position)
            .text(event.guild.map(|guild| guild.to_string()))
            .text(event.stream.kind.as_str().to_owned())
            .text(event.stream.id.to_string())
            .int(event.sequence as i64)
            .text(event.event_type.clone())
            .text(connection.actor.into_owned())
            .text(connection.correlation_id.into_owned())
            .text(connection.causation_id.into_owned())
            .int(event.recorded_at.ms());
    }
    (rows, parked)
}

/// Which events a list holds. What is `None` filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of these guilds only; an empty list holds nothing.
    pub guilds: Option<Vec<GuildId>>,
    /// Of one aggregate.
    pub stream: Option<StreamId>,
    /// Of this person's account, memberships, and the licenses that are his now.
    pub about: Option<Pseudonym>,
    /// Caused by this actor.
    pub actor: Option<Actor>,
    /// With this wire name.
    pub event_type: Option<String>,
    /// Of this request or run.
    pub correlation_id: Option<String>,
    /// Recorded at this instant or later.
    pub from: Option<Timestamp>,
    /// Recorded before this instant.
    pub until: Option<Timestamp>,
}

/// A line of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Where the event stands.
    pub position: i64,
    /// The tenant; none for users.
    pub guild: Option<GuildId>,
    /// What it is about.
    pub stream: StreamId,
    /// Its place in its stream, from 1.
    pub sequence: u64,
    /// Wire name.
    pub event_type: String,
    /// Who caused it, as written in the log.
    pub actor: String,
    /// The request or the run that it belongs to.
    pub correlation_id: String,
    /// The command, or the event, that caused it.
    pub causation_id: String,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// The reason that was given with it, opened: the text, `erased`, or `unreadable`.
    pub reason: Option<String>,
    /// What it says, if it is a fact about security: of those there is no other history, and nothing in them is personal.
    pub data: Option<Box<RawValue>>,
}

/// The part of an event's metadata that is personal.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    reason: Option<Private>,
}

impl Core {
    /// A page of the trail, newest first, with its reasons opened.
    pub(crate) async fn audit(
        &self,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<Paged<AuditEntry>, QueryError> {
        page.check(&self.epoch)?;
        let query = AuditQuery::new(filter, &page);
        let rows = self.list(filter.guilds.as_deref(), &query.text, &query.args()).await?;
        let mut read = Vec::with_capacity(rows.len());
        for row in &rows {
            // What only a newer release understands is told as unreadable, and the event is listed all the same.
            let said = serde_json::from_str::<Said>(row.text(10)?);
            read.push((AuditEntry::read(row)?, said));
        }
        let reasons = read.iter().filter_map(|(_, said)| said.as_ref().ok()?.reason.as_ref());
        let subjects: Vec<Subject> = reasons.filter_map(Private::subject).collect();
        let seal = self.vault.keys(&subjects).await?;
        let opened = read.into_iter().map(|(mut entry, said)| {
            entry.reason = match said {
                Ok(said) => said.reason.map(|reason| reason.open(&*seal, &entry.stream).shown().to_owned()),
                Err(_) => Some(Unsealed::Damaged.shown().to_owned()),
            };
            (entry.position, entry)
        });
        Ok(Paged::cut(opened.collect(), page.limit(), &self.epoch))
    }
}

impl AuditEntry {
    fn read(row: &Row) -> Result<Self, QueryError> {
        let damaged = |what: &str| {
            QueryError::Damaged(format!("a row of audit_trail has an impossible {what}; rebuild it"))
        };
        let kind = row.text(2)?.parse().map_err(|_| damaged("aggregate type"))?;
        Ok(Self {
            position: row.int(0)?,
            guild: row.opt_text(1)?.map(str::parse).transpose().map_err(|_| damaged("guild id"))?,
            stream: StreamId { kind, id: row.text(3)?.into() },
            sequence: u64::try_from(row.int(4)?).map_err(|_| damaged("sequence"))?,
            event_type: row.text(5)?.to_owned(),
            actor: row.text(6)?.to_owned(),
            correlation_id: row.text(7)?.to_owned(),
            causation_id: row.text(8)?.to_owned(),
            recorded_at: Timestamp(row.int(9)?),
            reason: None,
            data: row.opt_text(11)?.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
        })
    }
}

/// A list statement with the values it binds.
pub(crate) struct AuditQuery {
    pub(crate) text: String,
    texts: Vec<Bound>,
}

enum Bound {
    Text(String),
    Int(i64),
    List(Vec<String>),
}

impl Bound {
    fn arg(&self) -> Arg<'_> {
        match self {
            Self::Text(text) => Arg::Text(text),
            Self::Int(number) => Arg::Int(*number),
            Self::List(list) => Arg::List(list),
        }
    }
}

/// The aggregates of a person. A union instead of three conditions, so that each half begins with an index.
const ABOUT: &str = "(trail.aggregate_type, trail.aggregate_id) IN ( \
    SELECT 'license', id FROM license_view WHERE owner = CAST(? AS TEXT) \
    UNION ALL SELECT 'member', id FROM member_view WHERE pseudonym = CAST(? AS TEXT) \
    UNION ALL SELECT 'user', CAST(? AS TEXT))";

impl AuditQuery {
    /// The statement for `filter`: newest first, one row more than the page. Filters that are not asked for are left
    /// out of the text, so that an index can serve those that are.
    pub(crate) fn new(filter: &AuditFilter, page: &Page) -> Self {
        let columns: Vec<String> = TABLE.columns.iter().map(|(name, ..)| format!("trail.{name}")).collect();
        let text = format!(
            "SELECT {}, CAST(events.metadata AS TEXT), \
             CASE WHEN trail.aggregate_type = 'security' THEN CAST(events.payload AS TEXT) END \
             FROM audit_trail AS trail \
             JOIN events ON events.position = trail.position",
            columns.join(", ")
        );
        let mut query = Self { text, texts: Vec::new() };
        let mut conditions = Vec::new();
        let mut add = |condition: &str, value: Bound| {
            query.texts.push(value);
            conditions.push(condition.replace('?', &format!("${}", query.texts.len())));
        };
        match filter.guilds.as_deref() {
            None => {}
            Some([guild]) => add("trail.guild_id = ?", Bound::Text(guild.to_string())),
            Some(guilds) => {
                add("trail.guild_id {in:?}", Bound::List(guilds.iter().map(GuildId::to_string).collect()));
            }
        }
        if let Some(stream) = &filter.stream {
            add("trail.aggregate_type = ?", Bound::Text(stream.kind.as_str().to_owned()));
            add("trail.aggregate_id = ?", Bound::Text(stream.id.to_string()));
        }
        if let Some(person) = &filter.about {
            add(ABOUT, Bound::Text(person.as_str().to_owned()));
        }
        if let Some(actor) = &filter.actor {
            add("trail.actor = ?", Bound::Text(actor.to_string()));
        }
        if let Some(event_type) = &filter.event_type {
            add("trail.event_type = ?", Bound::Text(event_type.clone()));
        }
        if let Some(correlation_id) = &filter.correlation_id {
            add("trail.correlation_id = ?", Bound::Text(correlation_id.clone()));
        }
        if let Some(from) = filter.from {
            add("trail.recorded_at >= ?", Bound::Int(from.ms()));
        }
        if let Some(until) = filter.until {
            add("trail.recorded_at < ?", Bound::Int(until.ms()));
        }
        if let Some(cursor) = &page.cursor {
            add("trail.position < ?", Bound::Int(cursor.position()));
        }
        if !conditions.is_empty() {
            query.text.push_str(" WHERE ");
            query.text.push_str(&conditions.join(" AND "));
        }
        query.texts.push(Bound::Int(i64::from(page.limit()) + 1));
        query.text.push_str(&format!(" ORDER BY trail.position DESC LIMIT ${}", query.texts.len()));
        query
    }

    pub(crate) fn args(&self) -> Vec<Arg<'_>> {
        self.texts.iter().map(Bound::arg).collect()
    }
}
