//! Licenses as lines of a file: JSON Lines with the members of every other answer, or the same as a table. Metadata is
//! given as the text that it was, so that no number loses a digit.

use std::borrow::Cow;

use domain::license::{License, Personal};
use domain::private::Unsealed;
use domain::time::Timestamp;
use serde_json::Value;

use super::Audience;
use super::license::{Keyed, LicenseBody};
use super::stream::line;
use super::table::Table;
use crate::error::ApiError;
use crate::extract::accept::Form;

/// The header line: the members of a license, in their order.
const COLUMNS: [&str; 19] = [
    "id",
    "guildId",
    "userId",
    "type",
    "status",
    "isActive",
    "maxDevices",
    "deviceCount",
    "createdAt",
    "updatedAt",
    "startsAt",
    "expiresAt",
    "graceEndsAt",
    "roleLossEndsAt",
    "entitlements",
    "metadata",
    "privateMetadata",
    "keyVersion",
    "version",
];
/// The last column, where keys were asked for.
const KEY: &str = "key";

/// One license of a file.
pub(crate) struct Row<'a> {
    pub(crate) license: &'a License,
    pub(crate) personal: &'a Personal,
    /// The inner level is absent for a key that cannot be rendered; the outer for keys that were not asked for.
    pub(crate) key: Option<Option<String>>,
}

/// What stands before the rows.
pub(crate) fn head(form: Form, has_keys: bool) -> Result<Vec<u8>, ApiError> {
    let mut table = Table::new();
    if form == Form::Csv {
        table.row(COLUMNS.into_iter().chain(has_keys.then_some(KEY)).map(Cow::Borrowed))?;
    }
    table.into_bytes()
}

/// The rows of one page, as they are at `now`.
pub(crate) fn written(form: Form, rows: &[Row<'_>], now: Timestamp) -> Result<Vec<u8>, ApiError> {
    let (mut table, mut lines) = (Table::new(), Vec::new());
    for row in rows {
        let body = LicenseBody::new(row.license, row.personal, Audience::Staff, now);
        match (form, &row.key) {
            (Form::Csv, _) => cells(&mut table, row, &body)?,
            (Form::Json | Form::Lines, None) => line(&mut lines, &body)?,
            (Form::Json | Form::Lines, Some(key)) => {
                line(&mut lines, &Keyed { license: body, key: key.clone() })?;
            }
        }
    }
    if form == Form::Csv { table.into_bytes() } else { Ok(lines) }
}

fn cells(table: &mut Table, row: &Row<'_>, body: &LicenseBody<'_>) -> Result<(), ApiError> {
    let members = serde_json::to_value(body).map_err(|error| {
        tracing::error!(%error, "a license has no JSON form");
        ApiError::internal()
    })?;
    let cell = |column: &str| match column {
        "metadata" => clear(row.personal.metadata.as_ref()),
        "privateMetadata" => clear(row.personal.private_metadata.as_ref()),
        other => match &members[other] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
    };
    let key = row.key.as_ref().map(|key| key.clone().unwrap_or_default());
    table.row(COLUMNS.iter().map(|column| cell(column)).chain(key).map(Cow::Owned))
}

/// What cannot be shown is an empty cell, as it is null in JSON.
fn clear(field: Option<&Unsealed>) -> String {
    match field {
        Some(Unsealed::Clear(text)) => text.clone(),
        Some(Unsealed::Erased | Unsealed::Damaged) | None => String::new(),
    }
}
