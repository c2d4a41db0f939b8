//! Shows the whole configuration with the source of every value. Secrets are hidden; nothing here is read back.

use figment::value::Value;
use serde_json::json;

use super::SECRETS;
use super::layers::{Layers, variable};
use super::read::shown;

const HIDDEN: &str = "(hidden)";

/// One line for each key: the key, its value, where that came from.
pub(crate) fn print_text(layers: &Layers) -> String {
    let rows: Vec<Vec<String>> =
        layers.keys().map(|(key, _)| vec![key.to_owned(), value(layers, key), layers.source(key)]).collect();
    crate::output::table(&["KEY", "VALUE", "FROM"], &rows)
}

/// The same as JSON: a list of `{key, value, source, variable}`.
pub(crate) fn print_json(layers: &Layers) -> serde_json::Value {
    let settings: Vec<serde_json::Value> = layers
        .keys()
        .map(|(key, _)| {
            let value = match layers.value(key) {
                Some(_) if hides(layers, key) => json!(HIDDEN),
                found => serde_json::to_value(found).unwrap_or_default(),
            };
            json!({ "key": key, "value": value, "source": layers.source(key), "variable": variable(key) })
        })
        .collect();
    json!({ "data": settings })
}

fn value(layers: &Layers, key: &str) -> String {
    match layers.value(key) {
        Some(_) if hides(layers, key) => HIDDEN.to_owned(),
        Some(Value::String(_, text)) => format!("{text:?}"),
        other => shown(other.as_ref()),
    }
}

/// A secret that is set. An empty one is no secret.
fn hides(layers: &Layers, key: &str) -> bool {
    SECRETS.contains(&key) && !matches!(layers.value(key), Some(Value::String(_, text)) if text.is_empty())
}
