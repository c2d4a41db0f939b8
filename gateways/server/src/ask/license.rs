//! The commands about licenses, as requests of the API.

use serde_json::{Value, json};

use super::{Ask, encoded, object, page, query, rows, text, unsound};
use crate::cli::{Between, Change, License, RevokeMany};
use crate::failure::Outcome;
use crate::output::{cell, table};

/// The request that a command stands for.
pub(super) fn ask(command: License) -> Ask {
    match command {
        License::Generate { guild, license_type, count, assign_to, starts_at } => {
            let body = object(&[
                ("guildId", Some(guild.into())),
                ("type", Some(license_type.into())),
                ("count", Some(count.into())),
                ("assignTo", text(assign_to)),
                ("startsAt", text(starts_at)),
            ]);
            Ask::post("/admin/licenses/generate", body, generated)
        }
        License::List { guild, user, status, license_type, as_of, limit, cursor } => {
            let query = query(&[
                ("guildId", guild),
                ("userId", user),
                ("status", status),
                ("type", license_type),
                ("asOf", as_of),
                ("limit", limit.map(|limit| limit.to_string())),
                ("cursor", cursor),
            ]);
            Ask::get(format!("/licenses{query}"), listed)
        }
        License::Show { id, as_of } => {
            Ask::get(format!("/licenses/{}{}", encoded(&id), query(&[("asOf", as_of)])), shown)
        }
        License::History { id } => Ask::get(format!("/licenses/{}/history?limit=200", encoded(&id)), history),
        License::Diff(between) => diff("licenses", between),
        License::Replay { id, cursor } => {
            let query = query(&[("limit", Some("200".to_owned())), ("cursor", cursor)]);
            Ask { verdict: same, ..Ask::get(format!("/licenses/{}/replay{query}", encoded(&id)), replayed) }
        }
        License::Suspend(change) => post(change, "suspend", &[]),
        License::Resume(change) => post(change, "resume", &[]),
        License::Renew { change, span, until, external_ref } => {
            let members = [
                ("for", span.map(|span| json!(span))),
                ("until", text(until)),
                ("externalRef", text(external_ref)),
            ];
            post(change, "renew", &members)
        }
        License::RevokeMany(many) => revoke_many(many),
        License::Revoke { change, category } => {
            post(change, "revoke", &[("category", Some(category.into()))])
        }
    }
}

fn post(change: Change, what: &str, members: &[(&str, Option<Value>)]) -> Ask {
    let mut members = members.to_vec();
    members.push(("reason", text(change.reason)));
    Ask::post(format!("/licenses/{}/{what}", encoded(&change.id)), object(&members), shown)
}

fn revoke_many(many: RevokeMany) -> Ask {
    let RevokeMany { ids, guild, user, status, license_type, reason, category, each, dry_run } = many;
    let mode = if each { "each" } else { "all_or_nothing" };
    let filter = guild.map(|guild| {
        object(&[
            ("guildId", Some(guild.into())),
            ("userId", text(user)),
            ("status", text(status)),
            ("type", text(license_type)),
        ])
    });
    let body = object(&[
        ("ids", filter.is_none().then(|| json!(ids))),
        ("filter", filter),
        ("mode", Some(mode.into())),
        ("category", Some(category.into())),
        ("reason", Some(reason.into())),
        ("dryRun", dry_run.then(|| true.into())),
    ]);
    Ask::post("/admin/licenses/revoke", body, revoked)
}

fn revoked(body: &Value) -> String {
    let rows: Vec<Vec<String>> = rows(body)
        .iter()
        .map(|one| vec![cell(one, "/id"), cell(one, "/status"), cell(one, "/code")])
        .collect();
    let lines = table(&["ID", "STATUS", "CODE"], &rows);
    if body["dryRun"].as_bool() == Some(true) { format!("{lines}\nnothing was done") } else { lines }
}

fn generated(body: &Value) -> String {
    let rows: Vec<Vec<String>> =
        rows(body).iter().map(|one| vec![cell(one, "/id"), cell(one, "/key")]).collect();
    table(&["ID", "KEY"], &rows)
}

fn listed(body: &Value) -> String {
    let members = ["/id", "/type", "/status", "/userId", "/expiresAt", "/deviceCount"];
    let rows: Vec<Vec<String>> =
        rows(body).iter().map(|one| members.iter().map(|member| cell(one, member)).collect()).collect();
    page(body, table(&["ID", "TYPE", "STATUS", "OWNER", "EXPIRES", "DEVICES"], &rows))
}

/// One member a line.
pub(super) fn shown(body: &Value) -> String {
    let members = body.as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = members
        .filter(|(_, value)| !value.is_null())
        .map(|(name, _)| vec![name.clone(), cell(body, &format!("/{name}"))])
        .collect();
    table(&["MEMBER", "VALUE"], &rows)
}

fn history(body: &Value) -> String {
    let members = ["/sequence", "/timestamp", "/type", "/actor", "/reason"];
    let rows: Vec<Vec<String>> =
        rows(body).iter().map(|one| members.iter().map(|member| cell(one, member)).collect()).collect();
    table(&["#", "TIME", "EVENT", "ACTOR", "REASON"], &rows)
}

/// What changed of one of `these` between two instants.
pub(super) fn diff(these: &str, between: Between) -> Ask {
    let Between { id, from, to } = between;
    let query = query(&[("from", Some(from)), ("to", to), ("limit", Some("200".to_owned()))]);
    Ask::get(format!("/{these}/{}/diff{query}", encoded(&id)), difference)
}

/// What changed, then who did it.
fn difference(body: &Value) -> String {
    let members = ["/field", "/old", "/new"];
    let changes: Vec<Vec<String>> = body["changes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| members.iter().map(|member| cell(one, member)).collect())
        .collect();
    let changes = match changes.as_slice() {
        [] => "nothing that is shown changed".to_owned(),
        rows => table(&["MEMBER", "BEFORE", "AFTER"], rows),
    };
    format!("{changes}\n\n{}", page(&body["events"], history(&body["events"])))
}

/// Each event with what it changed; whether the read model is what the log gives comes last.
fn replayed(body: &Value) -> String {
    let mut lines = Vec::new();
    for step in rows(body) {
        let part = |member: &str| cell(step, member);
        lines.push(format!(
            "{:>4}  {}  {}  {}",
            part("/sequence"),
            part("/timestamp"),
            part("/type"),
            part("/actor")
        ));
        for change in step["changes"].as_array().into_iter().flatten() {
            let part = |member: &str| cell(change, member);
            lines.push(format!("        {}: {} -> {}", part("/field"), part("/old"), part("/new")));
        }
    }
    let model = &body["readModel"];
    lines.push(match model["matches"].as_bool() {
        Some(true) => {
            format!("the read model, at version {}, is what the log gives", cell(model, "/version"))
        }
        Some(false) => format!("the read model differs in {}", model["differences"]),
        None => "the read model does not have it yet".to_owned(),
    });
    page(body, lines.join("\n"))
}

fn same(body: &Value) -> Outcome<()> {
    if body["readModel"]["matches"].as_bool() == Some(false) {
        return Err(unsound("the read model is not what the log gives")
            .help("`dca-auth rebuild license_view` mends it."));
    }
    Ok(())
}
