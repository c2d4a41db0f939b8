//! Rows as CSV (RFC 4180: CRLF, quotes where they are needed) that a spreadsheet opens without harm: a cell that it
//! would take for a formula begins with an apostrophe. [`plain`] takes exactly those away again.

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};

use crate::error::ApiError;

/// What a spreadsheet takes for the beginning of a formula, or skips before one.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Lines of a table.
pub(crate) struct Table(csv::Writer<Vec<u8>>);

impl Table {
    /// No lines yet.
    pub(crate) fn new() -> Self {
        Self(WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new()))
    }

    /// One more line.
    pub(crate) fn row<'c>(&mut self, cells: impl IntoIterator<Item = Cow<'c, str>>) -> Result<(), ApiError> {
        let cells = cells.into_iter().map(|cell| defused(cell).into_owned());
        self.0.write_record(cells).map_err(|error| fault(&error))
    }

    /// The lines.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, ApiError> {
        self.0.into_inner().map_err(|error| fault(&error))
    }
}

/// Memory takes everything, so this is not known to happen.
fn fault(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a row has no form as CSV");
    ApiError::internal()
}

/// A cell that begins a formula, behind any apostrophes of its own, gets one more.
fn defused(cell: Cow<'_, str>) -> Cow<'_, str> {
    if begins_formula(&cell) { Cow::Owned(format!("'{cell}")) } else { cell }
}

/// The cell that [`Table`] wrote as `cell`.
pub(crate) fn plain(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| begins_formula(rest)).unwrap_or(cell)
}

fn begins_formula(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(FORMULA)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELLS: [&str; 12] = [
        "",
        "plain",
        "'quoted'",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "'=1",
        "''-1",
        "a \"b\", c\r\nd",
    ];

    #[test]
    fn no_cell_begins_a_formula_and_each_is_read_as_it_was() {
        let mut table = Table::new();
        table.row(CELLS.map(Cow::Borrowed)).unwrap();
        let bytes = table.into_bytes().unwrap();
        assert!(bytes.ends_with(b"\r\n"));
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]);
        let record = reader.records().next().unwrap().unwrap();
        for (cell, written) in CELLS.iter().zip(&record) {
            assert!(!written.starts_with(FORMULA), "{written}");
            assert_eq!(plain(written), *cell);
        }
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut table = Table::new();
        table.row(["a", "b,c", "d\"e", "f\ng"].map(Cow::Borrowed)).unwrap();
        assert_eq!(table.into_bytes().unwrap(), b"a,\"b,c\",\"d\"\"e\",\"f\ng\"\r\n");
    }
}
