//! A table of a read model as data: from one description come its DDL under any name, its indexes, and the batch
//! upsert of both engines. It runs nothing itself.

use std::fmt::Write as _;
use std::ops::Range;

/// Rows that one statement takes on PostgreSQL.
const CHUNK: usize = 1_000;
/// The same on SQLite, which binds each cell by itself: every power of two up to this one is a statement that stays
/// prepared. (A batch as one JSON text took three times as long, because SQLite reads each row's text once a column.)
const CELLS_MAX: usize = 1_024;

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

    pub(super) fn upsert_sqlite(&self, target: &str, rows: usize) -> String {
        // Without numbers: sqlx looks up the name of each parameter that has one, through a list of all of them.
        let one = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let source = vec![one.as_str(); rows].join(", ");
        let names = self.column_names();
        format!("INSERT INTO {target} ({names}) VALUES {source} {}", self.on_conflict())
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
        Self {
            table,
            target: target.to_owned(),
            columns: table.columns.iter().map(column).collect(),
            next: 0,
        }
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

    /// The parts that one statement each takes on PostgreSQL.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let length = self.len();
        (0..length).step_by(CHUNK).map(move |start| start..length.min(start + CHUNK))
    }

    /// The same on SQLite: as many rows as cells can be bound, then smaller and smaller powers of two.
    pub(super) fn small_chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let length = self.len();
        let most = 1 << (CELLS_MAX / self.columns.len()).max(1).ilog2();
        let mut start = 0;
        std::iter::from_fn(move || {
            let left = length - start;
            let size = (left > 0).then(|| most.min(1 << left.ilog2()))?;
            start += size;
            Some(start - size..start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: Table = Table {
        name: "t",
        columns: &[("id", Kind::Text, "NOT NULL"), ("n", Kind::Int, "NULL")],
        indexes: &[("n", "(n)")],
    };

    #[test]
    fn every_row_stands_in_one_chunk() {
        for count in [0, 1, 2, 3, 511, 512, 513, 1_000, 2_345] {
            let mut rows = Rows::new(&TABLE, "t");
            for n in 0..count {
                rows.text(format!("{n}")).int(n);
            }
            let parts: Vec<_> = rows.small_chunks().collect();
            assert_eq!(
                parts.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..count as usize).collect::<Vec<_>>()
            );
            assert!(parts.iter().all(|part| part.len().is_power_of_two() && part.len() <= 512));
            assert_eq!(rows.chunks().flatten().count(), rows.len());
        }
    }

    #[test]
    fn statements_name_every_column() {
        assert_eq!(
            TABLE.upsert_sqlite("t__next", 2),
            "INSERT INTO t__next (id, n) VALUES (?, ?), (?, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n"
        );
        assert_eq!(
            TABLE.upsert_postgres("t"),
            "INSERT INTO t (id, n) SELECT * FROM UNNEST($1::text[], $2::bigint[]) \
             ON CONFLICT (id) DO UPDATE SET n = excluded.n"
        );
        assert_eq!(TABLE.create_indexes("t__next", 4), ["CREATE INDEX t_n_4 ON t__next (n)"]);
    }
}
