//! Reads single keys out of the layers and judges their values. It collects everything that is wrong, so that a
//! person mends it once; it never stops at the first fault and never invents a value that is then used.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use figment::value::Value;

use super::layers::{Layers, Problem};

/// Reads keys and collects problems.
pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of `layers`; the problems of their names are the first ones collected.
    pub(crate) fn new(layers: &'a Layers) -> Self {
        Self { layers, problems: layers.problems().to_vec() }
    }

    /// Everything that was wrong.
    pub(crate) fn problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Notes that `key` is wrong.
    pub(crate) fn refuse(&mut self, key: &str, what: impl Into<String>) {
        let source = self.layers.source(key);
        self.problems.push(Problem { key: key.to_owned(), what: what.into(), source });
    }

    /// A text; empty means that it is not set.
    pub(crate) fn text(&mut self, key: &str) -> String {
        match self.layers.value(key) {
            Some(Value::String(_, text)) => text,
            found => {
                self.refuse(key, format!("must be a text, not {}", shown(found.as_ref())));
                String::new()
            }
        }
    }

    /// A text that is shown nowhere; or the content of the file that `<key>_file` names. `None` if neither is set.
    pub(crate) fn secret(&mut self, key: &str) -> Option<String> {
        let file_key = format!("{key}_file");
        let (text, file) = (self.text(key), self.text(&file_key));
        match (text.is_empty(), file.is_empty()) {
            (true, true) => None,
            (false, true) => Some(text),
            (false, false) => {
                self.refuse(&file_key, format!("cannot be set together with `{key}`; leave one of them out"));
                None
            }
            (true, false) => match std::fs::read_to_string(&file) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(error) => {
                    self.refuse(&file_key, format!("names the file {file}, which cannot be read: {error}"));
                    None
                }
            },
        }
    }

    /// A text that is not empty, read as `T`.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let text = self.text(key);
        if text.is_empty() {
            return None;
        }
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.refuse(key, format!("must be {expected}, not `{text}`"));
        }
        parsed
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)], otherwise: T) -> T {
        let text = self.text(key);
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => *meaning,
            None => {
                let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                self.refuse(key, format!("must be one of {}, not `{text}`", known.join(", ")));
                otherwise
            }
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, key: &str) -> bool {
        match self.layers.value(key) {
            Some(Value::Bool(_, yes)) => yes,
            found => {
                self.refuse(key, format!("must be true or false, not {}", shown(found.as_ref())));
                false
            }
        }
    }

    /// A whole number inside `range`.
    pub(crate) fn number<T>(&mut self, key: &str, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i128> + PartialOrd + Display + Copy,
    {
        let found = self.layers.value(key);
        let number = found.as_ref().and_then(|value| match value {
            Value::Num(_, number) => number.to_i128().or_else(|| i128::try_from(number.to_u128()?).ok()),
            _ => None,
        });
        match number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                let (low, high) = (range.start(), range.end());
                self.refuse(
                    key,
                    format!("must be a whole number from {low} to {high}, not {}", shown(found.as_ref())),
                );
                *low
            }
        }
    }

    /// A number of milliseconds inside `range`.
    pub(crate) fn millis(&mut self, key: &str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(key, range))
    }

    /// A list of texts, each read as `T`.
    pub(crate) fn list<T: FromStr>(&mut self, key: &str, expected: &str) -> Vec<T> {
        let found = self.layers.value(key);
        let Some(Value::Array(_, items)) = found else {
            self.refuse(key, format!("must be a list, not {}", shown(found.as_ref())));
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in items {
            match item.as_str().and_then(|text| text.parse().ok()) {
                Some(value) => list.push(value),
                None => {
                    self.refuse(key, format!("must be a list of {expected}; {} is none", shown(Some(&item))));
                }
            }
        }
        list
    }
}

/// A value as a person would write it.
pub(crate) fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::String(_, text)) => format!("`{text}`"),
        Some(Value::Char(_, char)) => format!("`{char}`"),
        Some(Value::Bool(_, yes)) => yes.to_string(),
        Some(Value::Num(_, number)) => number
            .to_i128()
            .map(|whole| whole.to_string())
            .or_else(|| number.to_u128().map(|whole| whole.to_string()))
            .unwrap_or_else(|| number.to_f64().map_or_else(String::new, |real| real.to_string())),
        Some(Value::Empty(..)) => "nothing".to_owned(),
        Some(Value::Array(_, items)) => {
            let items: Vec<String> = items.iter().map(|item| shown(Some(item))).collect();
            format!("[{}]", items.join(", "))
        }
        Some(Value::Dict(..)) => "a section".to_owned(),
    }
}
