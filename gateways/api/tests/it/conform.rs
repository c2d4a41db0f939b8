//! Every answer that any test here gets is one that the document has: its status, its media type, and its body to the
//! last member.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use axum::http::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::world::Reply;

/// An operation of the document.
struct Operation {
    method: String,
    parts: Vec<String>,
    answers: Value,
}

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&api::document()).unwrap());
/// Its components, closed: a member that no schema names is none that may be there.
static COMPONENTS: LazyLock<Value> = LazyLock::new(|| {
    let mut components = DOCUMENT["components"].clone();
    close(&mut components);
    components
});
static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let mut found = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push(Operation {
                method: method.to_uppercase(),
                parts: path.split('/').map(str::to_owned).collect(),
                answers: operation["responses"].clone(),
            });
        }
    }
    found
});

/// Panics unless the document has this answer.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, reply: &Reply) {
    let Some(operation) = operation(method, path) else { return };
    if reply.status == StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let of = format!("{method} {path}");
    let answer = &operation.answers[reply.status.as_str()];
    assert!(answer.is_object(), "{of}: the document has no answer {}: {reply:?}", reply.status);
    let answer =
        answer["$ref"].as_str().map_or(answer, |reference| DOCUMENT.pointer(&reference[1..]).unwrap());
    let Some(content) = answer["content"].as_object() else {
        assert!(reply.body.is_null(), "{of}: the document has no body for {reply:?}");
        return;
    };
    let kind = reply.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let media = content.get(kind).unwrap_or_else(|| panic!("{of}: the document has no `{kind}`: {reply:?}"));
    // A file may be empty, or no text.
    let found = if kind.ends_with("json") { faults(&media["schema"], &reply.body) } else { Vec::new() };
    assert!(found.is_empty(), "{of}, answered {}:\n{}\n{:#}", reply.status, found.join("\n"), reply.body);
}

/// The operation of an address: a part that is named counts more than one that is any.
fn operation(method: &Method, path: &str) -> Option<&'static Operation> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |known: &str, part: &str| known == part || (known.starts_with('{') && !part.is_empty());
    OPERATIONS
        .iter()
        .filter(|operation| operation.parts.len() == parts.len())
        .filter(|operation| operation.parts.iter().zip(&parts).all(|(known, part)| fits(known, part)))
        .max_by_key(|operation| operation.parts.iter().filter(|known| !known.starts_with('{')).count())
        .into_iter()
        .flat_map(|best| OPERATIONS.iter().filter(|other| other.parts == best.parts))
        .find(|operation| operation.method == method.as_str())
}

/// What is wrong with an instance of a schema of the document.
pub(crate) fn faults(schema: &Value, instance: &Value) -> Vec<String> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let name = schema.to_string();
    let known = KNOWN.lock().unwrap().get(&name).cloned();
    let validator = known.unwrap_or_else(|| {
        let mut schema = schema.clone();
        close(&mut schema);
        let whole = json!({ "components": *COMPONENTS, "allOf": [schema] });
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        let made = Arc::new(options.build(&whole).unwrap());
        KNOWN.lock().unwrap().insert(name, Arc::clone(&made));
        made
    });
    validator.iter_errors(instance).map(|error| format!("{error} at {}", error.instance_path())).collect()
}

fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let is_object = members.get("type").is_some_and(|kind| kind == "object");
            if is_object
                && members.contains_key("properties")
                && !members.contains_key("additionalProperties")
            {
                members.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
