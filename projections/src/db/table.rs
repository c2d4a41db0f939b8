//! A table of a read model as data: from one description come its DDL under any name, its indexes, and the batch
//! upsert of both engines. It runs nothing itself.

use std::fmt::Write as _;
use std::ops::Range;

/// Rows that one upsert statement takes.
pub(super) const CHUNK: usize = 1_000;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
}

/// A table of a read model.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its live name, which is also the name of its checkpoint.
    pub(crate) name: &'static str,
    /// Columns with what follows the type in the DDL; the first is the primary key.
    pub(crate) columns: &'static [(&'static str, Kind, &'static str)],
    /// Name and `(columns) WHERE …` of each index.
    pub(crate) indexes: &'static [(&'static str, &'static str)],
}

impl Table {
    /// The DDL of this table under the name `target`, without indexes.
    pub(crate) fn create(&self, target: &str) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, (name, kind, rest))| {
                let kind = if *kind == Kind::Text { "TEXT" } else { "{int}" };
                let key = if i == 0 { " PRIMARY KEY" } else { "" };
                format!("    {name} {kind} {rest}{key}")
            })
            .collect();
        format!("CREATE TABLE {target} (\n{}\n){{strict}}", columns.join(",\n"))
    }

    /// The DDL of its indexes over `target`. Their names carry `generation`, because names are unique in a database
    /// and SQLite cannot rename an index with its table.
    pub(crate) fn create_indexes(&self, target: &str, generation: i64) -> Vec<String> {
        let name = self.name;
        let one = |(index, rest): &(&str, &str)| {
            format!("CREATE INDEX {name}_{index}_{generation} ON {target} {rest}")
        };
        self.indexes.iter().map(one).collect()
    }

    /// The names of its columns, with commas.
    pub(crate) fn column_names(&self) -> String {
        self.columns.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn upsert_postgres(&self, target: &str) -> String {
        let mut source = String::new();
        for (i, (_, kind, _)) in self.columns.iter().enumerate() {
            let array = if *kind == Kind::Text { "text[]" } else { "bigint[]" };
            let comma = if i == 0 { "" } else { ", " };
            let _ = write!(source, "{comma}${}::{array}", i + 1);
        }
        let names = self.column_names();
        format!("INSERT INTO {target} ({names}) SELECT * FROM UNNEST({source}) {}", self.on_conflict())
    }

    pub(super) fn upsert_sqlite(&self, target: &str) -> String {
        let mut source = String::new();
        for i in 0..self.columns.len() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = write!(source, "{comma}json_extract(value, '$[{i}]')");
        }
        let names = self.column_names();
        // Without a WHERE, SQLite reads ON as the ON of a join.
        format!("INSERT INTO {target} ({names}) SELECT {source} FROM json_each($1) WHERE true {}", self.on_conflict())
    }

    fn on_conflict(&self) -> String {
        let set: Vec<String> =
            self.columns[1..].iter().map(|(name, ..)| format!("{name} = excluded.{name}")).collect();
        format!("ON CONFLICT ({}) DO UPDATE SET {}", self.columns[0].0, set.join(", "))
    }
}

/// The cells of one column.
#[derive(Debug)]
pub(crate) enum Cells {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
}

/// Rows that are to be written, column by column.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) table: &'static Table,
    /// The name of the table they go to.
    pub(crate) target: String,
    pub(crate) columns: Vec<Cells>,
    next: usize,
}

impl Rows {
    pub(crate) fn new(table: &'static Table, target: &str) -> Self {
        let column = |(_, kind, _): &(&str, Kind, &str)| match kind {
            Kind::Text => Cells::Text(Vec::new()),
            Kind::Int => Cells::Int(Vec::new()),
        };
        Self { table, target: target.to_owned(), columns: table.columns.iter().map(column).collect(), next: 0 }
    }

    /// The next cell of the row that is being written, in the order of the table's columns.
    pub(crate) fn text(&mut self, cell: impl Into<Option<String>>) -> &mut Self {
        let next = self.advance();
        match &mut self.columns[next] {
            Cells::Text(cells) => cells.push(cell.into()),
            Cells::Int(cells) => cells.push(None),
        }
        self
    }

    /// The next cell of the row that is being written, in the order of the table's columns.
    pub(crate) fn int(&mut self, cell: impl Into<Option<i64>>) -> &mut Self {
        let next = self.advance();
        match &mut self.columns[next] {
            Cells::Int(cells) => cells.push(cell.into()),
            Cells::Text(cells) => cells.push(None),
        }
        self
    }

    fn advance(&mut self) -> usize {
        let next = self.next;
        self.next = (next + 1) % self.columns.len();
        next
    }

    pub(crate) fn len(&self) -> usize {
        match self.columns.last() {
            Some(Cells::Text(cells)) => cells.len(),
            Some(Cells::Int(cells)) => cells.len(),
            None => 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let length = self.len();
        (0..length).step_by(CHUNK).map(move |start| start..length.min(start + CHUNK))
    }

    /// The rows of `chunk` as one JSON array of arrays.
    pub(super) fn json(&self, chunk: Range<usize>) -> String {
        let mut text = String::with_capacity(chunk.len() * 512);
        text.push('[');
        for row in chunk.clone() {
            text.push_str(if row == chunk.start { "[" } else { ",[" });
            for (i, cells) in self.columns.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                match cells {
                    Cells::Text(cells) => push_json_text(&mut text, cells[row].as_deref()),
                    Cells::Int(cells) => match cells[row] {
                        Some(number) => {
                            let _ = write!(text, "{number}");
                        }
                        None => text.push_str("null"),
                    },
                }
            }
            text.push(']');
        }
        text.push(']');
        text
    }
}

/// A JSON string, or null.
fn push_json_text(out: &mut String, cell: Option<&str>) {
    let Some(cell) = cell else {
        out.push_str("null");
        return;
    };
    out.push('"');
    let mut clean = 0;
    for (at, byte) in cell.bytes().enumerate() {
        if byte != b'"' && byte != b'\\' && byte >= 0x20 {
            continue;
        }
        out.push_str(&cell[clean..at]);
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        clean = at + 1;
    }
    out.push_str(&cell[clean..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_survives_the_way_through_json() {
        for cell in ["", "plain", "a \"quoted\" \\ word", "tab\t line\n nul-free \u{1f} é 漢", "{\"a\":\"b\\\\\"}"] {
            let mut text = String::new();
            push_json_text(&mut text, Some(cell));
            assert_eq!(serde_json::from_str::<String>(&text).unwrap(), cell);
        }
    }
}
