//! The commands that ask a server something: each builds one request, sends it through the door, and shows the
//! answer. Rules, permissions and effects are the server's; nothing here opens a store.

pub(crate) mod audit;
mod file;
mod keys;
mod license;
mod operate;

use client::{Answer, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::cli::Command;
use crate::config::Config;
use crate::door::Door;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format, answer};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One request, and how its answer reads.
pub(crate) struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    /// The answer in lines for people.
    text: fn(&Value) -> String,
    /// What of the answer means that the command failed, although the call did not.
    verdict: fn(&Value) -> Outcome<()>,
}

impl Ask {
    fn get(path: impl Into<String>, text: fn(&Value) -> String) -> Self {
        Self { method: Method::Get, path: path.into(), body: None, text, verdict: |_| Ok(()) }
    }

    fn post(path: impl Into<String>, body: Value, text: fn(&Value) -> String) -> Self {
        Self { method: Method::Post, path: path.into(), body: Some(body), text, verdict: |_| Ok(()) }
    }
}

/// Runs one command.
///
/// # Errors
/// What the server refuses, with its code.
pub(crate) async fn ask(config: &Config, command: Command, format: Format) -> Outcome<()> {
    let name = operate::name(&command);
    if let Some(done) = operate::without_request(config, &command, format).await {
        return done;
    }
    let ask = match command {
        Command::License(license) => license::ask(license),
        Command::Keys(keys) => keys::ask(keys),
        other => operate::ask(other)?,
    };
    let door = Door::open(config, name).await?;
    let called = send(&door, &ask, format).await;
    door.close().await;
    let body = called?.body;
    answer(format, &body, ask.text);
    (ask.verdict)(&body)
}

/// Sends the request. A write counts as done when the read models show it, so that the next request of anybody
/// sees its effect.
async fn send(door: &Door, ask: &Ask, format: Format) -> Outcome<Answer> {
    let mut done = door.call(ask.method, &ask.path, ask.body.as_ref()).await?;
    // Work that takes longer than a request may is asked for until it is done; each time the server waits a little.
    while done.body["running"].is_string() {
        if let Some(progress) = done.body["progress"].as_str() {
            output::aside(format, progress);
        }
        done = door.call(ask.method, &ask.path, ask.body.as_ref()).await?;
    }
    if ask.method != Method::Get {
        door.settle(done.position.as_deref()).await?;
    }
    Ok(done)
}

/// `name=value` pairs that are there, encoded, behind a question mark.
fn query(pairs: &[(&str, Option<String>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?))));
    let given: Vec<String> = given.collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

/// A text as a part of an address.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The object without its absent members.
fn object(members: &[(&str, Option<Value>)]) -> Value {
    Value::Object(
        members.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect(),
    )
}

fn text(value: Option<String>) -> Option<Value> {
    value.map(Value::String)
}

/// A failure that `verify` or `healthcheck` reports about what it looked at.
fn unsound(what: impl Into<String>) -> Failure {
    Failure::new(what)
}

/// A page of a list, with how to see the next.
fn page(body: &Value, lines: String) -> String {
    match body["nextCursor"].as_str() {
        Some(cursor) => format!("{lines}\nmore with --cursor {cursor}"),
        None => lines,
    }
}

/// The rows of a list.
fn rows(body: &Value) -> &[Value] {
    body["data"].as_array().map_or(&[], Vec::as_slice)
}
