//! `GET /admin/audit-log`: who did what, over the events of a guild or of everything, newest first; as pages, or whole as
//! JSON Lines or CSV. Nothing sealed but the reason is opened here.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use domain::event::Actor;
use domain::id::{DiscordId, LicenseId, Pseudonym, StreamId};
use domain::ports::Mac;
use domain::time::Timestamp;
use projections::{AuditEntry, AuditFilter};

use crate::error::ApiError;
use crate::extract::accept::Form;
use crate::extract::access;
use crate::extract::query::{Query, wrong};
use crate::extract::read::{Read, page};
use crate::openapi::types as doc;
use crate::render::audit::{self, AuditBody};
use crate::render::stream::{self, line};
use crate::render::table::Table;
use crate::render::{List, json};

/// `limit` and `cursor` come last: a list that is sent whole does not know them.
const MEMBERS: [&str; 10] = [
    "guildId",
    "type",
    "actor",
    "licenseId",
    "userId",
    "after",
    "before",
    "correlationId",
    "limit",
    "cursor",
];
const FILTERS: usize = 8;

/// Lists the events that the caller may see, newest first; as pages, or whole as JSON Lines or CSV.
#[utoipa::path(
    get,
    path = "/admin/audit-log",
    operation_id = "audit_log_list",
    tag = "Audit log",
    params(doc::AuditFilters, doc::Paging),
    responses((status = 200, content(
        (List<AuditBody<'static>> = "application/json"), (String = "application/jsonl"), (String = "text/csv")
    ))),
)]
pub(crate) async fn list(read: Read) -> Result<Response, ApiError> {
    let known = if read.form == Form::Json { &MEMBERS[..] } else { &MEMBERS[..FILTERS] };
    let query = read.query(known)?;
    let mut filter = filter(read.state.mac(), &query)?;
    filter.guilds =
        access::guilds(&read.state, &read.principal, query.get("guildId")?, access::AUDIT).await?;
    if read.form == Form::Json {
        let found = read.state.queries().audit(&filter, page(&query)?).await?;
        let next_cursor = found.next.as_ref().map(ToString::to_string);
        let data = found.data.iter().map(AuditBody::from).collect();
        return Ok(json(StatusCode::OK, &List { data, next_cursor }));
    }
    let (form, queries) = (read.form, read.state.queries().clone());
    stream::pages(form, head(form)?, move |page| {
        let (queries, filter) = (queries.clone(), filter.clone());
        async move {
            let found = queries.audit(&filter, page).await?;
            Ok((written(form, &found.data)?, found.next))
        }
    })
    .await
}

fn head(form: Form) -> Result<Vec<u8>, ApiError> {
    let mut table = Table::new();
    if form == Form::Csv {
        table.row(audit::COLUMNS.map(Cow::Borrowed))?;
    }
    table.into_bytes()
}

fn written(form: Form, entries: &[AuditEntry]) -> Result<Vec<u8>, ApiError> {
    let (mut table, mut lines) = (Table::new(), Vec::new());
    for entry in entries {
        match form {
            Form::Csv => audit::row(&mut table, entry)?,
            Form::Json | Form::Lines => line(&mut lines, &AuditBody::from(entry))?,
        }
    }
    if form == Form::Csv { table.into_bytes() } else { Ok(lines) }
}

fn filter(mac: &dyn Mac, query: &Query) -> Result<AuditFilter, ApiError> {
    let license: Option<LicenseId> = query.get("licenseId")?;
    let person: Option<DiscordId> = query.get("userId")?;
    Ok(AuditFilter {
        guilds: None,
        stream: license.map(StreamId::license),
        about: person.map(|person| Pseudonym::of(mac, person)),
        actor: query.text("actor").map(|text| actor(mac, text)).transpose()?,
        event_type: query.text("type").map(str::to_owned),
        correlation_id: query.text("correlationId").map(str::to_owned),
        from: query.get::<Timestamp>("after")?,
        until: query.get::<Timestamp>("before")?,
    })
}

/// An actor as the list shows it, or a person by the id of the account.
fn actor(mac: &dyn Mac, text: &str) -> Result<Actor, ApiError> {
    let account = text.strip_prefix("user:").unwrap_or(text).parse::<DiscordId>();
    if let Ok(account) = account {
        return Ok(Actor::User(Pseudonym::of(mac, account)));
    }
    let form = "must be operator, bot, apikey:<id>, job:<name>, user:<id>, or a Discord user id";
    text.parse().map_err(|_| wrong("actor", &form))
}
