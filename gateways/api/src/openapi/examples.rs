//! The examples of the document. They stand in `examples.json` by the ids of operations: the parameters and the body of
//! a request, and what comes back. A test sends every one of them (`tests/it/examples.rs`), and fills in answers that
//! are missing.

use serde_json::{Map, Value, json};

/// The text of the examples.
const TEXT: &str = include_str!("examples.json");

/// Every example by the id of its operation.
pub(super) fn all() -> Map<String, Value> {
    serde_json::from_str(TEXT).unwrap_or_default()
}

/// Adds its example to an operation.
pub(super) fn add(examples: &Map<String, Value>, operation: &mut Map<String, Value>) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let Some(example) = examples.get(id) else { return };
    let status = example.get("status").map_or("200".to_owned(), Value::to_string);
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let place = match parameter["in"].as_str() {
            Some("path") => "path",
            Some("query") => "query",
            Some("header") => "headers",
            _ => continue,
        };
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        if let Some(value) = example.get(place).and_then(|values| values.get(&name)) {
            parameter["example"] = value.clone();
        }
    }
    if let (Some(request), Some(body)) = (example.get("request"), operation.get_mut("requestBody")) {
        put(&mut body["content"], request);
    }
    if let (Some(answer), Some(answers)) = (example.get("answer"), operation.get_mut("responses")) {
        put(&mut answers[&status]["content"], answer);
    }
}

/// Puts an example to the first media type.
fn put(content: &mut Value, value: &Value) {
    if let Some((_, media)) = content.as_object_mut().and_then(|kinds| kinds.iter_mut().next()) {
        media["examples"] = json!({ "usual": { "value": value } });
    }
}
