//! What the document permits is not malformed, and what it forbids is refused: for every member of every body and of
//! every query, with values of many kinds in its place.

use axum::http::Method;
use serde_json::{Value, json};

use crate::conform::{DOCUMENT, faults};
use crate::examples::{APART, Operation, credited, operations, world};
use crate::world::{Reply, World};

/// Codes of 400 that the contract has for requests of the right form: the text is no license key, the log has not got
/// so far.
const BEYOND: [&str; 2] = ["MALFORMED_KEY", "POSITION_UNKNOWN"];
/// Members that no schema can describe: which cursors a list has made.
const OPAQUE: [&str; 1] = ["cursor"];
/// Addresses whose query has a rule between its members.
const RULED: [&str; 1] = ["devices_free"];

fn values() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "x",
        "7",
        "501",
        "01",
        "true",
        "P30D",
        "PT0S",
        "30 days",
        "2031-01-01T00:00:00Z",
        "1969-12-31T00:00:00Z",
        "8f14e45f-ceea-467f-9b2b-7c2f1a2f3c4d",
        "8f14e45fceea467f9b2b7c2f1a2f3c4d",
        "admin",
        "role_loss",
        "pro",
        "Pro \u{fc}",
        "a\u{0}b",
    ];
    let mut all: Vec<Value> = texts.into_iter().map(Value::from).collect();
    all.extend(
        [33, 65, 100, 101, 128, 129, 200, 201, 500, 501, 513].map(|length| json!("\u{fc}".repeat(length))),
    );
    all.extend([
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(200_000),
        json!(u64::MAX),
    ]);
    all.extend([
        json!([]),
        json!([1]),
        json!(["x"]),
        json!(["validate"]),
        json!([[]]),
        json!({}),
        json!({ "x": 1 }),
    ]);
    all
}

fn resolved(schema: &Value) -> &Value {
    schema["$ref"].as_str().map_or(schema, |reference| DOCUMENT.pointer(&reference[1..]).unwrap())
}

/// What is wrong with an answer to a request that the document permits, or does not.
fn wrong(of: &str, permitted: bool, reply: &Reply) -> Option<String> {
    let code = reply.body["code"].as_str().unwrap_or_default();
    let is_malformed = reply.status == 400 && !BEYOND.contains(&code);
    if permitted && is_malformed {
        return Some(format!("{of} is permitted and refused: {:#}", reply.body["errors"]));
    }
    (!permitted && reply.status.as_u16() < 400).then(|| format!("{of} is forbidden and taken"))
}

async fn sent(world: &World, operation: &Operation, body: &Value) -> Reply {
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
    let ask = credited(world, operation, world.ask(method, &operation.address()));
    ask.json(body).await
}

/// Everything wrong with the bodies of one operation.
async fn bodies(operation: &Operation) -> Vec<String> {
    let Some(("application/json", example)) = operation.request() else { return Vec::new() };
    let schema = &operation.value["requestBody"]["content"]["application/json"]["schema"];
    let Some(members) = resolved(schema)["properties"].as_object() else { return Vec::new() };
    let world = world(operation.id()).await;
    let mut tried: Vec<Value> = vec![json!([]), json!("x"), json!(null), json!({})];
    for name in members.keys().filter(|name| !OPAQUE.contains(&name.as_str())) {
        let with = |value: &Value| {
            let mut body = example.clone();
            body[name] = value.clone();
            body
        };
        tried.extend(values().iter().map(with));
        let mut without = example.clone();
        without.as_object_mut().unwrap().remove(name);
        tried.push(without);
    }
    let mut unknown = example.clone();
    unknown["unknown"] = json!(1);
    tried.push(unknown);
    assert!(tried.len() > 30, "{}: nothing was tried", operation.id());
    let mut found = Vec::new();
    for body in tried {
        let of =
            format!("{} with {}", operation.id(), body.to_string().chars().take(160).collect::<String>());
        let permitted = faults(schema, &body).is_empty();
        found.extend(wrong(&of, permitted, &sent(&world, operation, &body).await));
    }
    found
}

#[tokio::test]
async fn bodies_are_taken_as_the_document_says() {
    let mut found = Vec::new();
    for operation in operations() {
        if APART.iter().all(|(id, _)| *id != operation.id()) {
            found.extend(bodies(&operation).await);
        }
    }
    assert!(found.is_empty(), "{} requests:\n{}", found.len(), found.join("\n"));
}

/// A value of a query as its schema means it.
fn meant(schema: &Value, text: &str) -> Value {
    match resolved(schema)["type"].as_str() {
        Some("integer") => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        Some("boolean") => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}

/// Everything wrong with the queries of one operation.
async fn queries(operation: &Operation) -> Vec<String> {
    let parameters = operation.value["parameters"].as_array().unwrap();
    let named = parameters
        .iter()
        .filter(|one| one["in"] == "query" && !OPAQUE.contains(&one["name"].as_str().unwrap()));
    let mut found = Vec::new();
    let world = world(operation.id()).await;
    let path = operation.address().split('?').next().unwrap().to_owned();
    let method = || Method::from_bytes(operation.method.as_bytes()).unwrap();
    for parameter in named {
        let name = parameter["name"].as_str().unwrap();
        let others: Vec<String> = parameters
            .iter()
            .filter(|one| one["in"] == "query" && one["name"] != name && !one["example"].is_null())
            .map(|one| format!("{}={}", one["name"].as_str().unwrap(), plain(&one["example"])))
            .collect();
        let more = [
            "keep",
            "false",
            "version:1",
            "position:1",
            "position:99999",
            "version:01",
            "operator",
            "user:501",
            "0",
            "-1",
        ];
        let texts = values().into_iter().filter_map(|value| value.as_str().map(str::to_owned));
        for text in texts.chain(more.map(str::to_owned)) {
            let query: Vec<String> =
                others.iter().cloned().chain([format!("{name}={}", encoded(&text))]).collect();
            let address = format!("{path}?{}", query.join("&"));
            let ask = credited(&world, operation, world.ask(method(), &address));
            let reply = match operation.request() {
                Some((kind, value)) => ask.header("content-type", kind).raw(plain(value)).await,
                None => ask.empty().await,
            };
            let permitted = faults(&parameter["schema"], &meant(&parameter["schema"], &text)).is_empty();
            found.extend(wrong(&format!("{} with `{name}={text}`", operation.id()), permitted, &reply));
        }
    }
    found
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn queries_are_taken_as_the_document_says() {
    let mut found = Vec::new();
    for operation in operations() {
        let is_apart = APART.iter().any(|(id, _)| *id == operation.id()) || RULED.contains(&operation.id());
        if !is_apart {
            found.extend(queries(&operation).await);
        }
        let reply = world_of_any(&operation).await;
        if !is_apart {
            assert_eq!(reply.status, 400, "{} takes an unknown query: {reply:?}", operation.id());
        }
    }
    assert!(found.is_empty(), "{} requests:\n{}", found.len(), found.join("\n"));
}

/// With a member that no address knows.
async fn world_of_any(operation: &Operation) -> Reply {
    let world = world("").await;
    let address = operation.address();
    let sign = if address.contains('?') { '&' } else { '?' };
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
    let ask = credited(&world, operation, world.ask(method, &format!("{address}{sign}unknown=1")));
    match operation.request() {
        Some((kind, value)) => ask.header("content-type", kind).raw(plain(value)).await,
        None => ask.empty().await,
    }
}

#[tokio::test]
async fn conditions_and_keys_are_taken_as_the_document_says() {
    let operations = operations();
    let operation = operations.iter().find(|one| one.id() == "licenses_suspend").unwrap();
    let world = world(operation.id()).await;
    let mut found = Vec::new();
    for (component, name) in [("IdempotencyKey", "idempotency-key"), ("IfMatch", "if-match")] {
        let schema = &DOCUMENT["components"]["parameters"][component]["schema"];
        let lengths = [253, 255, 256].map(|length| "x".repeat(length));
        let texts = [
            "",
            "x",
            "*",
            "7",
            "\"7\"",
            "\"\"",
            "\"",
            "W/\"7\"",
            "\"-7\"",
            "\"7\", \"8\"",
            "a b",
            "a\tb",
            "\"x\"",
            "\"a b\"",
        ];
        for text in texts.map(str::to_owned).into_iter().chain(lengths) {
            let ask = world.ask(Method::POST, &operation.address());
            let reply = credited(&world, operation, ask).header(name, &text).json(&json!({})).await;
            let permitted = faults(schema, &json!(text)).is_empty();
            found.extend(wrong(&format!("{name}: {text}"), permitted, &reply));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
