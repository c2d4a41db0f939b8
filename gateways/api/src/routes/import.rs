//! `POST /admin/licenses/import`: licenses from a CSV file, all rows or none. What an export of ours holds can be sent
//! back, and files of other systems can be read by a layout; what is here already stays as it is.

mod foreign;
mod layouts;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use commands::{IMPORT_MAX, ImportColumns, ImportOrder, ImportRow, Imported, RefusedItem, import_refused};
use csv::{Position, StringRecord};
use domain::guild::Guild;
use domain::id::{GuildId, LicenseId};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::body;
use crate::extract::checks::{self, TOKEN_MAX};
use crate::extract::query::Query;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::{Outcome, PassedOver, Recipe};
use crate::render::license::ImportedBody;
use crate::render::table::plain;
use crate::render::{Audience, json};
use crate::state::ApiState;
use foreign::{Foreign, Read};
use layouts::is;

const MEMBERS: [&str; 6] = ["guildId", "dryRun", "layout", "type", "types", "ownerColumn"];
/// Stands with the events; a file has no other.
const REASON: &str = "import";
/// Columns that are read. `type` must be there.
const READ: [&str; 9] =
    ["type", "id", "userId", "startsAt", "expiresAt", "status", "metadata", "privateMetadata", "key"];
/// Columns of an export that follow from others, or are another server's.
const PASSED_OVER: [&str; 11] = [
    "guildId",
    "isActive",
    "maxDevices",
    "deviceCount",
    "createdAt",
    "updatedAt",
    "graceEndsAt",
    "roleLossEndsAt",
    "entitlements",
    "keyVersion",
    "version",
];

/// Brings licenses in from a CSV file, all rows or none.
///
/// `layout` names the system that the file is from; without it the file has the columns of an export. With it, `type` is the
/// type of the licenses, `types` gives products types of their own (`Editor:pro,Editor for teams:team`), and `ownerColumn`
/// names a column of Discord user ids.
#[utoipa::path(
    post,
    path = "/admin/licenses/import",
    operation_id = "licenses_import",
    tag = "Many licenses",
    request_body(content = String, content_type = "text/csv"),
    params(
        ("guildId" = doc::Snowflake, Query), ("dryRun" = Option<bool>, Query), ("layout" = Option<String>, Query),
        ("type" = Option<String>, Query), ("types" = Option<String>, Query), ("ownerColumn" = Option<String>, Query),
    ),
    responses((status = 200, body = ImportedBody)),
)]
pub(crate) async fn import(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let write = Write::of_table(request, &state).await?;
    let query = Query::of(&write.uri, &MEMBERS)?;
    let missing = || ApiError::invalid("?guildId", "MISSING_MEMBER", "is needed here");
    let guild: GuildId = query.get("guildId")?.ok_or_else(missing)?;
    let is_dry_run = query.flag("dryRun")?;
    let facts = access::guild(&write.state, &write.principal, guild, access::MANAGE).await?;
    let (order, passed_over) = order(&write, &query, &facts.guild, guild, is_dry_run)?;
    let commands = write.state.commands();
    if is_dry_run {
        let done = commands
            .import(&write.context(Some(guild), Some(REASON.to_owned())), &order, &|_| Value::Null)
            .await?;
        let body = ImportedBody::new(done.created, done.existing, true, passed_over.as_ref());
        let mut response = json(StatusCode::OK, &body);
        stamp(&write.state, &mut response, None, write.state.queries().head());
        return Ok(response);
    }
    let plan = Plan {
        tenant: Some(guild),
        reason: Some(REASON.to_owned()),
        audience: Audience::Staff,
        recipe: Recipe::Imported { created: 0, existing: 0, passed_over: None },
    };
    write
        .perform(plan, |context| async move {
            let passed = &passed_over;
            let remember =
                |done: &Imported| serde_json::to_value(Recipe::imported(done, passed)).unwrap_or(Value::Null);
            let done = commands.import(&context, &order, &remember).await?;
            Ok(Outcome::imported(&done, passed_over))
        })
        .await
}

/// What is to be brought in, and what is passed over of another system's file.
fn order(
    write: &Write,
    query: &Query,
    found: &Guild,
    guild: GuildId,
    is_dry_run: bool,
) -> Result<(ImportOrder, Option<PassedOver>), ApiError> {
    Ok(match Foreign::of(query, found)? {
        None => {
            let (rows, columns) = (rows(write.table())?, ImportColumns::default());
            (ImportOrder { guild, rows, columns, is_dry_run }, None)
        }
        Some(foreign) => {
            let Read { rows, columns, passed_over } = foreign.read(write.table())?;
            (ImportOrder { guild, rows, columns, is_dry_run }, Some(passed_over))
        }
    })
}

/// The rows of a file, or everything that is wrong with its form.
fn rows(file: &Bytes) -> Result<Vec<ImportRow>, ApiError> {
    let (headers, records) = table(file)?;
    let known = |name: &str| READ.contains(&name) || PASSED_OVER.contains(&name);
    if let Some(name) = headers.iter().find(|name| !known(name)) {
        let detail = format!("is not known here; known are {} and those of an export", READ.join(", "));
        let name: String = name.chars().take(64).collect();
        return Err(ApiError::invalid(format!("/1/{name}"), "UNKNOWN_MEMBER", detail));
    }
    if !headers.iter().any(|name| name == "type") {
        return Err(ApiError::invalid("/1/type", "MISSING_MEMBER", "is a column that must be there"));
    }
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for record in &records {
        rows.extend(Cells { headers: &headers, record }.row(&mut faults));
    }
    if faults.is_empty() { Ok(rows) } else { Err(import_refused(faults).into()) }
}

/// The first line of a file, and the others, each with its place.
fn table(file: &Bytes) -> Result<(StringRecord, Vec<StringRecord>), ApiError> {
    let mut reader = csv::ReaderBuilder::new().from_reader(&file[..]);
    let headers = reader.headers().map_err(|error| unreadable(&error))?.clone();
    let (mut records, mut at, mut line) = (Vec::new(), 0, 1);
    for record in reader.records() {
        let mut record = record.map_err(|error| unreadable(&error))?;
        if records.len() == IMPORT_MAX {
            return Err(too_many());
        }
        // The reader begins a record before the end of the line above it, if that has two characters.
        let begin = record.position().map_or(at, |position| position.byte() as usize);
        let gap = file[begin..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += file[at..begin + gap].iter().filter(|byte| **byte == b'\n').count() as u64;
        at = begin + gap;
        let mut position = Position::new();
        record.set_position(Some(position.set_line(line).clone()));
        records.push(record);
    }
    Ok((headers, records))
}

fn too_many() -> ApiError {
    let detail = format!("may have {IMPORT_MAX} rows; send more of them as files of their own");
    ApiError::impossible("", detail)
}

fn unreadable(error: &csv::Error) -> ApiError {
    ApiError::invalid("", "NOT_CSV", format!("cannot be read as CSV in UTF-8: {error}"))
}

/// One line of a file.
struct Cells<'a> {
    headers: &'a StringRecord,
    record: &'a StringRecord,
}

impl Cells<'_> {
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// A cell that is not empty, as it was before it was defused.
    fn text(&self, column: &str) -> Option<&str> {
        let index = self.headers.iter().position(|name| is(column, name))?;
        self.record.get(index).map(plain).filter(|cell| !cell.is_empty())
    }

    fn fault(&self, column: &str, code: &'static str, detail: String) -> RefusedItem {
        RefusedItem { pointer: format!("/{}/{column}", self.line()), code: code.into(), detail }
    }

    fn parsed<T>(&self, column: &str, faults: &mut Vec<RefusedItem>) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let text = self.text(column)?;
        text.parse()
            .map_err(|error: T::Err| faults.push(self.fault(column, "WRONG_FORM", error.to_string())))
            .ok()
    }

    fn json(&self, column: &str, faults: &mut Vec<RefusedItem>) -> Option<String> {
        let raw = serde_json::from_str::<&RawValue>(self.text(column)?);
        let checked = match raw {
            Ok(raw) => checks::metadata(column, raw).map_err(|error| error.errors()[0].detail.clone()),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        let text = checked.map_err(|detail| faults.push(self.fault(column, "NOT_JSON", detail))).ok()?;
        if body::pointer_to_nul(&text).is_some() {
            let detail = "holds U+0000, which nothing here may hold".to_owned();
            faults.push(self.fault(column, "NUL_CHARACTER", detail));
        }
        Some(text)
    }

    fn short(&self, column: &str, most: usize, faults: &mut Vec<RefusedItem>) -> Option<String> {
        let text = self.text(column)?;
        if text.len() > most || text.contains('\0') {
            let detail = format!("may have {most} bytes, without U+0000, and has {}", text.len());
            faults.push(self.fault(column, "WRONG_LENGTH", detail));
        }
        Some(text.to_owned())
    }

    fn row(&self, faults: &mut Vec<RefusedItem>) -> Option<ImportRow> {
        let Some(license_type) = self.short("type", TOKEN_MAX, faults) else {
            faults.push(self.fault("type", "MISSING_MEMBER", "is empty and must not be".to_owned()));
            return None;
        };
        let status = self.text("status").unwrap_or_default();
        // An erased owner is nobody any more.
        let has_owner = self.text("userId") != Some("erased");
        let key = self.short("key", domain::key::TEXT_MAX_BYTES, faults);
        Some(ImportRow {
            line: self.line(),
            id: self.parsed("id", faults).unwrap_or_else(|| LicenseId(Uuid::new_v4())),
            license_type,
            owner: if has_owner { self.parsed("userId", faults) } else { None },
            starts_at: self.parsed("startsAt", faults),
            expires_at: self.parsed("expiresAt", faults),
            is_suspended: status == "suspended",
            is_revoked: status == "revoked",
            metadata: self.json("metadata", faults),
            private_metadata: self.json("privateMetadata", faults),
            foreign_key: key.filter(|text| !text.trim().is_empty()),
        })
    }
}
