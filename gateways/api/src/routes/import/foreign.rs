//! Files of other systems: rows are read by a layout, and licenses come of them whose old keys go on opening them. What names
//! people (names, addresses) is not read; what is passed over is told.

use std::collections::HashSet;

use axum::body::Bytes;
use commands::{IMPORT_MAX, ImportColumns, ImportRow, RefusedItem, import_refused};
use csv::{Position, StringRecord};
use domain::alias;
use domain::guild::Guild;
use domain::id::LicenseId;
use domain::time::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::layouts::{self, Layout, Standing, States, is};
use super::{Cells, table, too_many};
use crate::error::ApiError;
use crate::extract::checks::TOKEN_MAX;
use crate::extract::query::Query;
use crate::recipe::PassedOver;

/// Members of the query that go with `layout`.
pub(super) const MEMBERS: [&str; 3] = ["type", "types", "ownerColumn"];
/// Most columns of a file.
const COLUMNS_MAX: usize = 200;
/// What `lines` calls its only column.
const LINE: &str = "key";

/// How a file of another system is read.
pub(super) struct Foreign {
    layout: &'static Layout,
    /// The type of rows whose product stands in no pair.
    license_type: Option<String>,
    /// Product and type.
    types: Vec<(String, String)>,
    /// The column of Discord user ids.
    owner: Option<String>,
}

/// What a file holds.
pub(super) struct Read {
    pub(super) rows: Vec<ImportRow>,
    pub(super) columns: ImportColumns,
    pub(super) passed_over: PassedOver,
}

impl Foreign {
    /// What the query says of the file; `None` if it is of our own layout.
    pub(super) fn of(query: &Query, guild: &Guild) -> Result<Option<Self>, ApiError> {
        let text = |name: &str| query.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(name) = query.text("layout") else {
            let stray = MEMBERS.iter().find(|name| query.text(name).is_some());
            return match stray {
                None => Ok(None),
                Some(name) => {
                    let detail = "goes with `layout`, which is not there; give it, or leave this out";
                    Err(ApiError::impossible(format!("?{name}"), detail))
                }
            };
        };
        let layout = layouts::named(name).ok_or_else(|| {
            let detail =
                format!("is none of the layouts: {}; leave it out for an export of ours", layouts::names());
            ApiError::impossible("?layout", detail)
        })?;
        let license_type = text("type");
        let types = pairs(query.text("types").unwrap_or_default())?;
        let known = |slug: &str| guild.types.get(slug).is_some_and(|found| !found.retired);
        for (member, slug) in license_type
            .iter()
            .map(|slug| ("?type", slug))
            .chain(types.iter().map(|(_, slug)| ("?types", slug)))
        {
            if !known(slug) {
                let slug: String = slug.chars().take(TOKEN_MAX).collect();
                return Err(ApiError::impossible(
                    member,
                    format!("names the type `{slug}`, which the guild does not have"),
                ));
            }
        }
        Ok(Some(Self { layout, license_type, types, owner: text("ownerColumn") }))
    }

    /// The licenses of a file, or everything that is wrong with its form.
    pub(super) fn read(&self, file: &Bytes) -> Result<Read, ApiError> {
        let (headers, records) = match self.layout.key {
            Some(_) => table(file)?,
            None => lines(file)?,
        };
        self.check_head(&headers)?;
        let (mut rows, mut faults, mut keys) = (Vec::new(), Vec::new(), HashSet::new());
        let mut skipped = 0;
        for record in &records {
            let cells = Cells { headers: &headers, record };
            let key = cells.short(self.key(), domain::key::TEXT_MAX_BYTES, &mut faults);
            let key = key.filter(|key| !key.trim().is_empty());
            let is_first = key.as_ref().is_some_and(|key| keys.insert(alias::normal(key)));
            if self.layout.is_of_sales && !is_first {
                skipped += 1;
                continue;
            }
            rows.extend(self.row(&cells, key, &mut faults));
        }
        if !faults.is_empty() {
            return Err(import_refused(faults).into());
        }
        let ignored = headers.iter().filter(|column| !self.reads(column));
        let ignored_columns = ignored.map(shown).collect();
        Ok(Read { rows, columns: self.columns(), passed_over: PassedOver { skipped, ignored_columns } })
    }

    fn key(&self) -> &'static str {
        self.layout.key.unwrap_or(LINE)
    }

    fn reads(&self, column: &str) -> bool {
        let owner = self.owner.as_deref().is_some_and(|owner| is(owner, column));
        owner || is(self.key(), column) || self.layout.reads(column)
    }

    /// How this file calls what the rules find wrong.
    fn columns(&self) -> ImportColumns {
        let license_type = self.layout.products.first().copied().unwrap_or(LINE);
        ImportColumns { id: self.key().into(), license_type: license_type.into(), key: self.key().into() }
    }

    fn check_head(&self, headers: &StringRecord) -> Result<(), ApiError> {
        if headers.len() > COLUMNS_MAX {
            return Err(ApiError::impossible(
                "/1",
                format!("may have {COLUMNS_MAX} columns, and has {}", headers.len()),
            ));
        }
        for needed in [Some(self.key()), self.owner.as_deref()].into_iter().flatten() {
            if !headers.iter().any(|column| is(needed, column)) {
                let detail = format!(
                    "is a column that must be there in the layout {}; the file has {}",
                    self.layout.name,
                    headers.iter().take(20).map(shown).collect::<Vec<_>>().join(", ")
                );
                return Err(ApiError::invalid(format!("/1/{}", shown(needed)), "MISSING_MEMBER", detail));
            }
        }
        Ok(())
    }

    fn row(
        &self,
        cells: &Cells<'_>,
        key: Option<String>,
        faults: &mut Vec<RefusedItem>,
    ) -> Option<ImportRow> {
        if key.is_none() {
            faults.push(cells.fault(self.key(), "MISSING_MEMBER", "is empty and must not be".to_owned()));
        }
        let license_type = self.license_type(cells, faults);
        let expires_at = self.layout.ends.and_then(|column| end(cells, column, faults));
        let standing = self.standing(cells, expires_at, faults);
        let owner = self.owner.as_deref().and_then(|column| cells.parsed(column, faults));
        Some(ImportRow {
            line: cells.line(),
            id: LicenseId(Uuid::new_v4()),
            license_type: license_type?,
            owner,
            starts_at: None,
            expires_at,
            is_suspended: standing == Standing::Suspended,
            is_revoked: standing == Standing::Revoked,
            metadata: None,
            private_metadata: self.references(cells),
            foreign_key: Some(key?),
        })
    }

    /// The type that goes with the product of a row.
    fn license_type(&self, cells: &Cells<'_>, faults: &mut Vec<RefusedItem>) -> Option<String> {
        let products =
            || self.layout.products.iter().filter_map(|column| Some((*column, cells.text(column)?.trim())));
        let of =
            |product: &str| self.types.iter().find(|(name, _)| name == product).map(|(_, slug)| slug.clone());
        let found = products().find_map(|(_, product)| of(product)).or_else(|| self.license_type.clone());
        if found.is_none() {
            let fault = match products().next() {
                Some((column, product)) => {
                    let product: String = product.chars().take(64).collect();
                    let detail = format!(
                        "is `{product}`, to which `types` gives no type; add it there, or give `type` for all others"
                    );
                    cells.fault(column, "IMPOSSIBLE", detail)
                }
                None => cells.fault(
                    self.key(),
                    "MISSING_MEMBER",
                    "names no product; give its type as `type`".to_owned(),
                ),
            };
            faults.push(fault);
        }
        found
    }

    /// How the license stands: the gravest of what its columns say.
    fn standing(&self, cells: &Cells<'_>, end: Option<Timestamp>, faults: &mut Vec<RefusedItem>) -> Standing {
        let (mut standing, mut over) = (Standing::Usable, None);
        for states in self.layout.states {
            match word(states, cells, faults) {
                Standing::Revoked => standing = Standing::Revoked,
                Standing::Suspended if standing != Standing::Revoked => standing = Standing::Suspended,
                Standing::Over => over = Some(states.column),
                Standing::Usable | Standing::Suspended => {}
            }
        }
        if let Some(column) = over.filter(|_| end.is_none()) {
            let since = self.layout.ends.unwrap_or(column);
            let detail = format!("says that it is over, and `{since}` not since when; fill that in");
            faults.push(cells.fault(column, "IMPOSSIBLE", detail));
        }
        standing
    }

    fn references(&self, cells: &Cells<'_>) -> Option<String> {
        let named = self.layout.references.iter().filter_map(|column| {
            let text: String = cells.text(column)?.chars().filter(|c| *c != '\0').take(TOKEN_MAX).collect();
            Some(((*column).to_owned(), Value::String(text)))
        });
        let named: Map<String, Value> = named.collect();
        (!named.is_empty()).then(|| Value::Object(named).to_string())
    }
}

/// What a column says.
fn word(states: &States, cells: &Cells<'_>, faults: &mut Vec<RefusedItem>) -> Standing {
    let lifted = |(column, word): (&str, &str)| cells.text(column).is_some_and(|text| is(word, text));
    let Some(text) = cells.text(states.column).filter(|_| !states.unless.is_some_and(lifted)) else {
        return Standing::Usable;
    };
    if let Some((_, standing)) = states.words.iter().find(|(word, _)| is(word, text)) {
        return *standing;
    }
    let words = states.words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    faults.push(cells.fault(states.column, "WRONG_FORM", format!("must be one of {words}")));
    Standing::Usable
}

/// An end: RFC 3339, a date with or without a time (in UTC), or seconds since 1970.
fn end(cells: &Cells<'_>, column: &str, faults: &mut Vec<RefusedItem>) -> Option<Timestamp> {
    let text = cells.text(column)?.trim();
    let found = instant(text);
    if found.is_none() {
        let detail = "must be a time as RFC 3339 has it, a date such as 2026-11-23 with or without 12:00:00, or seconds since 1970";
        faults.push(cells.fault(column, "WRONG_FORM", detail.to_owned()));
    }
    found
}

fn instant(text: &str) -> Option<Timestamp> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let ms = text.parse::<i64>().ok()?.checked_mul(1_000)?;
        return Some(Timestamp(ms)).filter(|at| *at <= Timestamp::MAX);
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let utc = || format!("{date}T{time}Z").parse().ok();
    text.parse().ok().or_else(utc)
}

/// The pairs of `types`: a product, a colon and a slug, with commas between them.
fn pairs(text: &str) -> Result<Vec<(String, String)>, ApiError> {
    let pair = |pair: &str| {
        let (product, slug) = pair.rsplit_once(':')?;
        let (product, slug) = (product.trim(), slug.trim());
        (!product.is_empty() && !slug.is_empty()).then(|| (product.to_owned(), slug.to_owned()))
    };
    let all = text.split(',').filter(|part| !part.trim().is_empty()).map(pair);
    all.collect::<Option<_>>().ok_or_else(|| {
        let detail = "must be pairs of a product and a type, such as `Editor:pro,Editor for teams:team`";
        ApiError::impossible("?types", detail)
    })
}

/// A name for messages: cut, because it may be anything.
fn shown(name: &str) -> String {
    name.trim().chars().take(64).collect()
}

/// A file that has a key in each line, and no head; empty lines are none.
fn lines(file: &Bytes) -> Result<(StringRecord, Vec<StringRecord>), ApiError> {
    let text = std::str::from_utf8(file)
        .map_err(|error| ApiError::invalid("", "NOT_CSV", format!("cannot be read as UTF-8: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut records = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let mut record = StringRecord::from(vec![line.trim()]);
        let mut position = Position::new();
        position.set_line(number);
        record.set_position(Some(position));
        if records.len() == IMPORT_MAX {
            return Err(too_many());
        }
        records.push(record);
    }
    Ok((StringRecord::from(vec![LINE]), records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_in_the_forms_that_files_have() {
        let noon = "2026-11-23T12:00:00Z".parse().ok();
        for text in [
            "2026-11-23T12:00:00Z",
            "2026-11-23T12:00:00.000000Z",
            "2026-11-23 12:00:00",
            "2026-11-23 12:00:00 UTC",
            "2026-11-23T12:00:00",
            "2026-11-23T13:00:00+01:00",
            "1795435200",
        ] {
            assert_eq!(instant(text), noon, "{text}");
        }
        assert_eq!(instant("2026-11-23"), "2026-11-23T00:00:00Z".parse().ok());
        for bad in ["", "never", "23.11.2026", "11/23/2026", "2026-13-01", "99999999999999", "-1"] {
            assert_eq!(instant(bad), None, "{bad}");
        }
    }

    #[test]
    fn pairs_name_products_and_types() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(pairs("A: B:pro, C :team,").ok(), Some(vec![pair("A: B", "pro"), pair("C", "team")]));
        assert_eq!(pairs("").ok(), Some(Vec::new()));
        for bad in ["pro", ":pro", "A:", "A:pro,team"] {
            assert!(pairs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_layout_reads_a_column_for_one_thing_only() {
        for layout in &layouts::LAYOUTS {
            let states = layout.states.iter().map(|states| states.column);
            let all = [layout.key, layout.ends].into_iter().flatten().chain(states);
            let all: Vec<&str> =
                all.chain(layout.products.iter().copied()).chain(layout.references.iter().copied()).collect();
            let different: HashSet<String> = all.iter().map(|name| name.to_lowercase()).collect();
            assert_eq!(different.len(), all.len(), "{}", layout.name);
            assert!(all.iter().all(|column| layout.reads(column)));
        }
    }
}
