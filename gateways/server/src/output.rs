//! What a command prints: text for people, or one JSON value with `--json`, on the standard output. Logs and
//! errors go to the standard error output; neither passes through here, save how far a long command is, and the last
//! word of a failed one.

use std::io::Write as _;

use serde_json::Value;

use crate::failure::Failure;

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// JSON if `--json` was given.
    pub(crate) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Prints lines. A reader that has gone away, such as `head`, is no error.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).ok();
}

/// Prints the answer of a command.
pub(crate) fn answer(format: Format, json: &Value, text: impl FnOnce(&Value) -> String) {
    match format {
        Format::Json => say(&json.to_string()),
        Format::Text => say(&text(json)),
    }
}

/// Prints for people how far a command is, past its answer.
pub(crate) fn aside(format: Format, text: &str) {
    if format == Format::Text {
        writeln!(std::io::stderr().lock(), "{text}").ok();
    }
}

/// Prints why a command failed.
pub(crate) fn complain(format: Format, failure: &Failure) {
    let mut out = std::io::stderr().lock();
    let written = match format {
        Format::Json => writeln!(out, "{}", failure.json()),
        Format::Text => writeln!(out, "{failure}"),
    };
    written.ok();
}

/// Rows in columns, with their heads.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heads.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// A member of an object as a short text; empty if it is absent or null.
pub(crate) fn cell(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
