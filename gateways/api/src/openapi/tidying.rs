//! Makes the collected schemas true and plain: every member of an answer is always there unless it stands in a table,
//! text of requests has no U+0000, structs that hold another (`flatten`) are one object, lists have readable names.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Members of answers that can be absent, by the name of the schema. All others are there, if only as `null`.
const ABSENT: &[(&str, &[&str])] = &[
    // A publishable key sees neither; the owner of a license sees no private metadata.
    ("License", &["userId", "privateMetadata"]),
    ("LicenseWithKey", &["userId", "privateMetadata"]),
    ("ApiKey", &["key"]),
    ("Verdict", &["nonce"]),
    ("RevokedItem", &["code"]),
    ("AppliedItem", &["code"]),
    ("AppliedAnswer", &["dryRun"]),
    ("RevokedList", &["dryRun"]),
    ("Imported", &["dryRun", "skipped", "ignoredColumns"]),
    ("HealthComponent", &["latencyMs", "lagEvents", "detail"]),
    // It stands in the history, and not where the state stands elsewhere.
    ("HistoryEntry", &["stateAfter"]),
    ("Problem", &["errors"]),
    ("ReplayStep", &["stateAfter"]),
    ("Sharing", &["detect", "autoSuspend", "devices", "networks", "churn", "window"]),
];

/// Mends the schemas one by one.
pub(super) fn schemas(document: &mut Value) {
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        lifted(schemas);
    }
    renamed(document);
    let Some(all) = document["components"]["schemas"].as_object().cloned() else { return };
    let whole: Map<String, Value> =
        all.iter().map(|(name, schema)| (name.clone(), flattened(schema, &all))).collect();
    document["components"]["schemas"] = Value::Object(whole);
}

/// What a generic struct holds stands in it whole; here it becomes a schema with a name, which is referred to.
fn lifted(schemas: &mut Map<String, Value>) {
    let generic: Vec<String> = schemas.keys().filter(|name| plain_name(name).is_some()).cloned().collect();
    for name in &generic {
        let Some((outer, inner)) = name.split_once('_') else { continue };
        let Some(mut schema) = schemas.remove(name) else { continue };
        if outer == "List" {
            lift(&mut schema["properties"]["data"]["items"], inner, schemas);
        } else {
            lift(&mut schema["properties"]["events"], &format!("List_{inner}"), schemas);
        }
        schemas.insert(name.clone(), schema);
    }
    // It holds the members of a list, and is none.
    if let Some(mut replay) = schemas.remove("Replay") {
        lift_steps(&mut replay, schemas);
        schemas.insert("Replay".to_owned(), replay);
    }
}

fn lift(place: &mut Value, name: &str, schemas: &mut Map<String, Value>) {
    if place.get("$ref").is_none() {
        let schema = std::mem::replace(place, json!({ "$ref": format!("#/components/schemas/{name}") }));
        schemas.entry(name).or_insert(schema);
    }
}

fn lift_steps(value: &mut Value, schemas: &mut Map<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "data" {
                    lift(&mut member["items"], "ReplayStep", schemas);
                } else {
                    lift_steps(member, schemas);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lift_steps(item, schemas)),
        _ => {}
    }
}

/// `List_License` is called `LicenseList`.
fn renamed(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            for name in names {
                if let Some(mut member) = members.remove(&name) {
                    renamed(&mut member);
                    members.insert(plain_name(&name).unwrap_or(name), member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(renamed),
        Value::String(text) => {
            let name = text.strip_prefix("#/components/schemas/").and_then(plain_name);
            if let Some(name) = name {
                *text = format!("#/components/schemas/{name}");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn plain_name(name: &str) -> Option<String> {
    let (outer, inner) = name.split_once('_')?;
    ["List", "Diff"].contains(&outer).then(|| format!("{inner}{outer}"))
}

/// One object instead of several that are to hold together.
fn flattened(schema: &Value, all: &Map<String, Value>) -> Value {
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let mut whole = json!({ "type": "object" });
    let (mut required, mut properties) = (BTreeSet::new(), Map::new());
    for part in parts {
        let part = part["$ref"].as_str().and_then(|name| all.get(named(name))).unwrap_or(part);
        let part = flattened(part, all);
        required
            .extend(part["required"].as_array().cloned().into_iter().flatten().map(|name| name.to_string()));
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
    }
    if let Some(description) = schema.get("description") {
        whole["description"] = description.clone();
    }
    whole["required"] = required.iter().filter_map(|name| serde_json::from_str::<Value>(name).ok()).collect();
    whole["properties"] = Value::Object(properties);
    whole
}

fn named(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

/// Mends one operation.
pub(super) fn operation(operation: &mut Map<String, Value>) {
    // An operation for everybody is one without a requirement.
    if operation.get("security") == Some(&json!([{}])) {
        operation.insert("security".to_owned(), json!([]));
    }
}

/// What holds for what is sent, and for what is answered.
pub(super) fn requests_and_answers(document: &mut Value) {
    let (mut sent, mut answered) = (BTreeSet::new(), BTreeSet::new());
    for (_, _, operation) in super::operations(document) {
        for place in ["requestBody", "parameters"] {
            if let Some(part) = operation.get_mut(place) {
                references(part, &mut sent);
                without_nul(part);
            }
        }
        references(&operation["responses"], &mut answered);
    }
    needed_bodies(document);
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    answered.insert("Problem".to_owned());
    closed(schemas, &mut sent);
    closed(schemas, &mut answered);
    for (name, schema) in schemas.iter_mut() {
        if sent.contains(name) {
            without_nul(schema);
        } else if answered.contains(name) {
            complete(name, schema);
        }
    }
    schemas.retain(|name, _| sent.contains(name) || answered.contains(name));
}

/// An empty body stands for `{}`, so a body is needed exactly where a member is.
fn needed_bodies(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for (_, _, operation) in super::operations(document) {
        let Some(body) = operation.get_mut("requestBody") else { continue };
        if let Some(reference) = body["content"]["application/json"]["schema"]["$ref"].as_str() {
            let needs =
                schemas[named(reference)]["required"].as_array().is_some_and(|names| !names.is_empty());
            body["required"] = Value::Bool(needs);
        }
    }
}

/// The names of the schemas that a part of the document refers to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(name) = members.get("$ref").and_then(Value::as_str)
                && name.starts_with("#/components/schemas/")
            {
                found.insert(named(name).to_owned());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Adds what the found ones refer to in turn.
fn closed(schemas: &Map<String, Value>, found: &mut BTreeSet<String>) {
    loop {
        let before = found.len();
        for name in found.clone() {
            references(schemas.get(&name).unwrap_or(&Value::Null), found);
        }
        if found.len() == before {
            return;
        }
    }
}

/// Text of any kind is text without U+0000.
fn without_nul(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let is_text = members.get("type").is_some_and(|kind| {
                kind == "string" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("string")))
            });
            let is_formed = ["pattern", "format", "enum", "const", "anyOf"]
                .iter()
                .any(|name| members.contains_key(*name));
            if is_text && !is_formed {
                members.insert("pattern".to_owned(), json!("^[^\\u0000]*$"));
            }
            members.values_mut().for_each(without_nul);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        _ => {}
    }
}

/// Every member of an answer is there, but for those of the table.
fn complete(name: &str, schema: &mut Value) {
    let absent: &[&str] = ABSENT.iter().find(|(other, _)| *other == name).map_or(&[], |(_, members)| members);
    let Some(members) = schema["properties"].as_object() else { return };
    let required: Vec<&String> = members.keys().filter(|member| !absent.contains(&member.as_str())).collect();
    schema["required"] = json!(required);
}
