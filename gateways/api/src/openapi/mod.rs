//! The document of the API (OpenAPI 3.1). Handlers say of themselves what is their own (`#[utoipa::path]`); what holds
//! for many is added here, in one place, to the document that the router has collected. Nothing here answers for what a
//! handler does.

mod answers;
mod domain_objects;
mod examples;
mod named;
mod requests;
mod rules;
mod tidying;
pub(crate) mod types;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// What stands at the top of the document.
const DESCRIPTION: &str = "\
License keys joined to Discord servers.

JSON in camelCase; times are RFC 3339 in UTC, durations ISO 8601 of days to seconds, ids text. Members and parameters that are \
not known are refused by name. Every error is `application/problem+json` (RFC 9457): programs compare its `code`, `detail` says \
what helps, `errors` names single members of the request.

Writes take an `Idempotency-Key`: a repeat within 24 hours is answered as the first time, without effect. Every write answers \
with `DCA-Position`; sent back as `DCA-Min-Position`, a read shows at least that. `If-Match` does a write only if the thing has \
that version. Lists are `{data, nextCursor}`.

One credential a request: an API key of a guild (`X-API-Key`), or a person's access token (`Authorization: Bearer`, or the cookie \
of a browser). A credential or a license key in an address is refused. What is not the caller's own is answered as if it were not \
there.

A change that breaks programs makes a new version, named by its day, and those before it are still spoken. A request is answered \
in the version of `DCA-Version`, else in the one that its API key was issued in, else in the newest; every answer names it.

Requests are limited by kind and caller; answers say how a caller stands (`RateLimit`). The head of a request beyond 64 KiB or 100 \
headers is answered 431 without a body.";

/// Areas of the API, in the order of the page.
const TAGS: &[(&str, &str)] = &[
    ("Validation", "What programs ask with a license key."),
    ("Licenses", "One license: what it is, what it was, what staff and owner do with it."),
    ("Devices", "The devices that a license is active on."),
    ("Offline licenses", "Certificates that a program checks without asking, and the keys to check with."),
    ("Many licenses", "Making, ending, importing and exporting many licenses at once."),
    ("Guilds", "A Discord server that uses this service, and its settings."),
    ("License types", "The templates that licenses take their terms from."),
    ("Role rules", "Which Discord role gives which license type, and what the brake holds back."),
    ("Members", "Whom the bot has seen in a guild."),
    ("Staff", "Who helps to run a guild."),
    ("API keys", "Credentials of programs."),
    ("Users", "People, across guilds."),
    ("Audit log", "Who did what, and the proof that nothing of it was changed."),
    ("Sign-in", "From a Discord account to a session."),
    ("Discord", "What Discord sends."),
    ("Server", "How the server is."),
    ("Documentation", "This document."),
];

/// The document, from what the router has collected.
fn document(collected: &OpenApi) -> Value {
    let mut document = serde_json::to_value(collected).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "DCA-Auth",
        "version": env!("CARGO_PKG_VERSION"),
        "description": DESCRIPTION,
    });
    document["servers"] = json!([{ "url": "/" }]);
    document["tags"] =
        TAGS.iter().map(|(name, sentence)| json!({ "name": name, "description": sentence })).collect();
    document["security"] = json!([{ "apiKey": [] }, { "bearer": [] }, { "cookie": [] }]);
    let components = &mut document["components"];
    components["securitySchemes"] = security_schemes();
    merge(&mut components["schemas"], named::all());
    components["headers"] = answers::headers();
    components["responses"] = answers::problems();
    components["parameters"] = requests::parameters();
    tidying::schemas(&mut document);
    rules::add(&mut document["components"]["schemas"]);
    let examples = examples::all();
    for (path, method, operation) in operations(&mut document) {
        tidying::operation(operation);
        requests::complete(&path, &method, operation);
        answers::complete(&path, &method, operation);
        examples::add(&examples, operation);
    }
    tidying::requests_and_answers(&mut document);
    sorted(&document)
}

/// The methods and addresses of the document with their operations.
fn operations(document: &mut Value) -> Vec<(String, String, &mut Map<String, Value>)> {
    let mut found = Vec::new();
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                if let Some(operation) = operation.as_object_mut() {
                    found.push((path.clone(), method.clone(), operation));
                }
            }
        }
    }
    found
}

fn security_schemes() -> Value {
    json!({
        "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key of a guild." },
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "An access token of a person or of the platform owner; an API key as well.",
        },
        "cookie": {
            "type": "apiKey", "in": "cookie", "name": "__Host-dca_at",
            "description": "The access token of a browser. A change needs the value of `__Host-dca_csrf` in `X-CSRF-Token`. Without \
                            TLS, on this machine, the names have no prefix.",
        },
        "refreshCookie": {
            "type": "apiKey", "in": "cookie", "name": "__Host-dca_rt", "description": "The refresh token of a browser.",
        },
    })
}

fn merge(into: &mut Value, more: Map<String, Value>) {
    if let Some(into) = into.as_object_mut() {
        into.extend(more);
    }
}

/// The same with every object in the order of its names, so that the text of the document is always the same.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The document as it is served and as it stands in `docs/openapi.json`.
pub fn text() -> String {
    let document = document(&crate::public_routes().into_openapi());
    // A value always has a text.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text + "\n"
}

#[cfg(test)]
mod tests;
