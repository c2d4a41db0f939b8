//! `GET /admin/audit-log`: filters, pages, the whole as JSON Lines and CSV, and who sees what.

use serde_json::{Value, json};

use crate::world::{ADA, ADMIN_ROLE, BOB, GRACE, GUILD, OTHER_GUILD, World};

const PATH: &str = "/admin/audit-log";

async fn list(world: &World, query: &str) -> Value {
    world.get(&format!("{PATH}{query}")).token("operator").empty().await.ok(200)
}

fn types(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|row| row["type"].as_str().unwrap()).collect()
}

/// Three events of a license, each with a correlation of its own, and the last with a reason.
async fn furnished(world: &World, reason: &str) -> String {
    let request = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 1, "assignTo": ADA });
    let ask = world.post("/admin/licenses/generate").token("operator").header("x-request-id", "make");
    let id = ask.json(&request).await.ok(201)["data"][0]["id"].as_str().unwrap().to_owned();
    let secret = world.secret().await;
    let ask = world.post(&format!("/licenses/{id}/suspend")).key(&secret).header("x-request-id", "hold");
    ask.json(&json!({ "reason": reason })).await.ok(200);
    world.settled().await;
    id
}

#[tokio::test]
async fn each_filter_holds_its_part_newest_first() {
    let world = World::new().await;
    let id = furnished(&world, "too loud").await;
    let of_license = list(&world, &format!("?licenseId={id}")).await;
    assert_eq!(types(&of_license), ["license.suspended", "license.assigned", "license.generated"]);
    let last = &of_license["data"][0];
    assert_eq!((&last["licenseId"], &last["guildId"]), (&json!(id), &json!(GUILD.to_string())));
    assert_eq!((&last["sequence"], &last["reason"]), (&json!(3), &json!("too loud")));
    assert_eq!((&last["correlationId"], &last["aggregateType"]), (&json!("hold"), &json!("license")));
    assert!(last["actor"].as_str().unwrap().starts_with("apikey:"));
    assert_eq!(of_license["data"][1]["reason"], Value::Null);
    let middle = of_license["data"][1]["timestamp"].as_str().unwrap();
    for (query, expected) in [
        ("?type=license.assigned".to_owned(), vec!["license.assigned"]),
        ("?correlationId=make".to_owned(), vec!["license.assigned", "license.generated", "user.registered"]),
        (format!("?licenseId={id}&actor=operator"), vec!["license.assigned", "license.generated"]),
        (format!("?licenseId={id}&actor={}", last["actor"].as_str().unwrap()), vec!["license.suspended"]),
        (
            format!("?userId={ADA}"),
            vec!["license.suspended", "license.assigned", "license.generated", "user.registered"],
        ),
        (
            format!("?userId={ADA}&guildId={GUILD}"),
            vec!["license.suspended", "license.assigned", "license.generated"],
        ),
        (format!("?userId={BOB}"), vec![]),
        (format!("?licenseId={id}&after=2999-01-01T00:00:00Z"), vec![]),
        (format!("?licenseId={id}&before={middle}"), vec![]),
        (format!("?guildId={OTHER_GUILD}&licenseId={id}"), vec![]),
    ] {
        assert_eq!(types(&list(&world, &query).await), expected, "{query}");
    }
    world.observe(BOB, &[ADMIN_ROLE]).await;
    world.settled().await;
    let about = list(&world, &format!("?userId={BOB}")).await;
    assert!(types(&about).contains(&"member.joined"), "{about:#}");
    let since = list(&world, &format!("?licenseId={id}&after={middle}")).await;
    assert_eq!(types(&since).len(), 3);
    let all = list(&world, "?limit=200").await;
    let first = list(&world, "?limit=2").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = list(&world, &format!("?limit=200&cursor={cursor}")).await;
    assert_eq!([types(&first), types(&rest)].concat(), types(&all));
}

#[tokio::test]
async fn it_is_given_whole_as_lines_and_as_a_table() {
    let world = World::new().await;
    let reason = "=HYPERLINK(\"http://x\"), \"quoted\"\r\nand more";
    let id = furnished(&world, reason).await;
    // More than one page.
    world.licenses(json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 450 })).await;
    world.settled().await;
    let guild = format!("{PATH}?guildId={GUILD}");
    let whole = async |form: &str| {
        let reply = world.get(&guild).token("operator").header("accept", form).empty().await;
        let kind = reply.header("content-type").unwrap().to_owned();
        (kind, reply.ok(200).as_str().unwrap().to_owned())
    };
    let (kind, lines) = whole("application/jsonl").await;
    assert_eq!(kind, "application/jsonl");
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() > 450);
    let mut pages = Vec::new();
    let mut query = "?limit=200".to_owned();
    loop {
        let page = list(&world, &format!("{query}&guildId={GUILD}")).await;
        pages.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        query = format!("?limit=200&cursor={cursor}");
    }
    assert_eq!(rows, pages);
    let (kind, table) = whole("text/csv").await;
    assert_eq!(kind, "text/csv; charset=utf-8; header=present");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        columns.iter().collect::<std::collections::BTreeSet<_>>(),
        rows[0].as_object().unwrap().keys().collect()
    );
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(&rows) {
        for (column, cell) in columns.iter().zip(record) {
            let expected = match &row[column] {
                Value::Null => String::new(),
                Value::String(text) if text == reason => format!("'{reason}"),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(cell, expected, "{column}");
        }
    }
    assert!(rows.iter().any(|row| row["licenseId"] == id.as_str() && row["reason"] == reason));
}

#[tokio::test]
async fn everybody_sees_exactly_his_guilds() {
    let world = World::new().await;
    let id = furnished(&world, "x").await;
    let ask =
        async |subject: &str, query: &str| world.get(&format!("{PATH}{query}")).token(subject).empty().await;
    let guilds = |body: &Value| {
        let rows = body["data"].as_array().unwrap();
        rows.iter().map(|row| row["guildId"].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    let (own, other) = (json!(GUILD.to_string()).to_string(), json!(OTHER_GUILD.to_string()).to_string());
    let everything = ask("operator", "?limit=200").await.ok(200);
    assert_eq!(guilds(&everything), [own.clone(), other.clone(), "null".to_owned()].into());
    // The owner of both.
    let both = ask(GRACE, "?limit=200").await.ok(200);
    assert_eq!(guilds(&both), [own.clone(), other].into());
    assert_eq!(ask(BOB, "").await.problem(403), "FORBIDDEN");
    assert_eq!(ask(BOB, &format!("?guildId={GUILD}")).await.problem(404), "NOT_FOUND");
    assert_eq!(ask("operator", "?guildId=5").await.problem(404), "NOT_FOUND");
    world.observe(BOB, &[ADMIN_ROLE]).await;
    world.settled().await;
    assert_eq!(guilds(&ask(BOB, "?limit=200").await.ok(200)), [own.clone()].into());
    let audit = world.api_key(GUILD, json!({ "kind": "secret", "scopes": ["audit:read"] })).await;
    assert_eq!(guilds(&world.get(PATH).key(&audit).empty().await.ok(200)), [own].into());
    let foreign = world.get(&format!("{PATH}?guildId={OTHER_GUILD}")).key(&audit).empty().await;
    assert_eq!(foreign.problem(404), "NOT_FOUND");
    let narrow = world.secret().await;
    assert_eq!(world.get(PATH).key(&narrow).empty().await.problem(403), "MISSING_SCOPE");
    // Somebody else's license is in no list of theirs.
    let audit = world.api_key(OTHER_GUILD, json!({ "kind": "secret", "scopes": ["audit:read"] })).await;
    for query in [format!("?licenseId={id}"), format!("?userId={ADA}"), "?correlationId=make".to_owned()] {
        for form in ["application/json", "application/jsonl"] {
            let asked = world.get(&format!("{PATH}{query}")).key(&audit).header("accept", form);
            let told = asked.empty().await.ok(200);
            assert!(told["data"] == json!([]) || told.is_null(), "{told}");
        }
    }
}

#[tokio::test]
async fn what_is_no_filter_is_refused_by_name() {
    let world = World::new().await;
    for (query, form, status, pointer) in [
        ("?colour=1", "", 400, "?colour"),
        ("?actor=somebody", "", 400, "?actor"),
        ("?licenseId=1", "", 400, "?licenseId"),
        ("?userId=ada", "", 400, "?userId"),
        ("?after=yesterday", "", 400, "?after"),
        ("?limit=201", "", 422, "?limit"),
        ("?cursor=!", "", 400, "?cursor"),
        // The whole has no pages.
        ("?limit=5", "text/csv", 400, "?limit"),
        ("?cursor=x", "application/jsonl", 400, "?cursor"),
    ] {
        let ask = world.get(&format!("{PATH}{query}")).token("operator").header("accept", form);
        let reply = ask.empty().await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(reply.pointer(), pointer);
        assert!(reply.problem(status).starts_with("INVALID"));
    }
}
