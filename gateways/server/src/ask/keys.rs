//! The commands about the key ring, as requests of the operator.

use serde_json::{Value, json};

use super::{Ask, encoded, rows};
use crate::cli::Keys;
use crate::output::{cell, table};

/// The request that a command stands for.
pub(super) fn ask(command: Keys) -> Ask {
    match command {
        Keys::List => Ask::get("/_admin/keys", listed),
        Keys::Add { kind } => Ask::post("/_admin/keys", json!({ "kind": kind }), added),
        Keys::Activate { id } => Ask {
            body: None,
            ..Ask::post(format!("/_admin/keys/{}/activate", encoded(&id)), Value::Null, activated)
        },
        Keys::Rotate { kind, wait } => {
            Ask::post("/_admin/keys/rotate", json!({ "kind": kind, "wait": wait }), activated)
        }
        Keys::Retire { id, dry_run } => {
            Ask::post(format!("/_admin/keys/{}/retire", encoded(&id)), json!({ "dryRun": dry_run }), retired)
        }
    }
}

fn listed(body: &Value) -> String {
    let row = |secret: &Value| {
        let state = match (secret["active"].as_bool(), secret["inThisRing"].as_bool()) {
            (Some(true), _) => "active",
            (_, Some(false)) => "not in this key file",
            _ => "",
        };
        vec![cell(secret, "/id"), cell(secret, "/createdAt"), state.to_owned(), names(&secret["notKnownTo"])]
    };
    let secrets: Vec<Vec<String>> = rows(body).iter().map(row).collect();
    let mut text = table(&["ID", "MADE", "STATE", "NOT KNOWN TO"], &secrets);
    let retirements = body["retirements"].as_array().map_or(&[][..], Vec::as_slice);
    if !retirements.is_empty() {
        let members = ["/id", "/requestedAt", "/finishedAt", "/rekeyed", "/refused"];
        let lines: Vec<Vec<String>> =
            retirements.iter().map(|one| members.iter().map(|member| cell(one, member)).collect()).collect();
        text.push_str("\n\n");
        text.push_str(&table(&["RETIRED", "ASKED FOR", "DONE", "NEW KEYS", "WITHOUT"], &lines));
    }
    text
}

fn names(list: &Value) -> String {
    let names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(", ")
}

fn added(body: &Value) -> String {
    let id = cell(body, "/id");
    format!("added {id}; `dca-auth keys activate {id}` makes new things with it once every process knows it")
}

fn activated(body: &Value) -> String {
    let id = cell(body, "/id");
    match names(&body["notYetFollowedBy"]) {
        late if late.is_empty() => format!("{id} is active, and every running process goes by it"),
        late => format!("{id} is active; not yet gone by: {late}"),
    }
}

fn retired(body: &Value) -> String {
    let count = |member: &str| cell(body, member);
    if body.get("wouldRewrap").is_some() {
        return format!(
            "{} keys of personal fields would be wrapped by the active secret",
            count("/wouldRewrap")
        );
    }
    if body.get("rewrapped").is_some() {
        return format!(
            "{} keys of personal fields are wrapped by the active secret now; {} are damaged (the log names them). The \
             earlier secret opens only backups made before",
            count("/rewrapped"),
            count("/damaged")
        );
    }
    if body["dryRun"].as_bool() == Some(true) {
        return format!(
            "{} licenses would get a new key, {} of them by message; {} are revoked and keep theirs",
            count("/wouldRekey"),
            count("/wouldDeliver"),
            count("/revoked")
        );
    }
    format!(
        "{} licenses have a new key; {} could get none (`dca-auth keys list`, and the log names them)",
        count("/rekeyed"),
        count("/refused")
    )
}
