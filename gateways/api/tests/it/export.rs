//! `GET /admin/licenses/export`: exactly what the list holds, as CSV and as JSON Lines, with keys for those who may.

use domain::guild::{Action, StaffRole};
use domain::private::Person;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GRACE, GUILD, OTHER_GUILD, World};

const PATH: &str = "/admin/licenses/export";

async fn lines(world: &World, query: &str) -> Vec<Value> {
    let ask = world.get(&format!("{PATH}{query}")).token("operator").header("accept", "application/jsonl");
    match ask.empty().await.ok(200) {
        Value::Null => Vec::new(),
        text => text.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    }
}

async fn table(world: &World, query: &str) -> Vec<csv::StringRecord> {
    let reply =
        world.get(&format!("{PATH}{query}")).token("operator").header("accept", "text/csv").empty().await;
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let text = reply.ok(200);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_str().unwrap().as_bytes());
    reader.records().map(Result::unwrap).collect()
}

/// Every row of the list, page by page.
async fn listed(world: &World, query: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/licenses?limit=200{}{cursor}", query.replace('?', "&"));
        let page = world.get(&path).token("operator").empty().await.ok(200);
        rows.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["nextCursor"].as_str() else { return rows };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn it_is_exactly_the_filtered_list() {
    let world = World::new().await;
    let metadata = json!({
        "guildId": GUILD.to_string(), "type": "pro", "count": 2, "assignTo": ADA,
        "metadata": { "note": "=1+1, \"x\"", "price": 1.50 }, "privateMetadata": { "a": "b" },
    });
    world.licenses(metadata).await;
    world.licenses(json!({ "guildId": GUILD.to_string(), "type": "team", "count": 430 })).await;
    world.licenses(json!({ "guildId": OTHER_GUILD.to_string(), "type": "pro", "count": 3 })).await;
    world.settled().await;
    for (query, count) in [
        (String::new(), 435),
        (format!("?guildId={GUILD}"), 432),
        (format!("?guildId={GUILD}&type=pro&userId={ADA}"), 2),
        ("?status=revoked".to_owned(), 0),
    ] {
        let (rows, lines, table) =
            (listed(&world, &query).await, lines(&world, &query).await, table(&world, &query).await);
        assert_eq!((rows.len(), &lines), (count, &rows), "{query}");
        assert_eq!(table.len(), count + 1, "{query}");
        let columns: Vec<&str> = table[0].iter().collect();
        if let Some(row) = rows.first() {
            let names: std::collections::BTreeSet<&str> = columns.iter().copied().collect();
            assert_eq!(names, row.as_object().unwrap().keys().map(String::as_str).collect());
        }
        for (record, row) in table[1..].iter().zip(&rows) {
            for (column, cell) in columns.iter().zip(record) {
                match &row[*column] {
                    Value::Null => assert_eq!(cell, "", "{column}"),
                    Value::String(text) => assert_eq!(cell, text, "{column}"),
                    other => assert_eq!(&serde_json::from_str::<Value>(cell).unwrap(), other, "{column}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn keys_are_in_it_for_those_who_may_see_them() {
    let world = World::new().await;
    let made = world.licenses(json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 2 })).await;
    world.settled().await;
    let without = table(&world, "").await;
    assert!(!without[0].iter().any(|column| column == "key"));
    let with = table(&world, "?keys=true").await;
    assert_eq!(with[0].iter().next_back(), Some("key"));
    let keys: Vec<(&str, &str)> = with[1..].iter().map(|row| (&row[0], &row[row.len() - 1])).collect();
    let mut made: Vec<(&str, &str)> = made.iter().map(|(id, key)| (id.as_str(), key.as_str())).collect();
    made.reverse();
    assert_eq!(keys, made);
    let rows = lines(&world, "?keys=true").await;
    assert_eq!(
        rows.iter().map(|row| row["key"].as_str().unwrap()).collect::<Vec<_>>(),
        [made[0].1, made[1].1]
    );
    let promote = async |role| {
        let person = Person::new(world.commands.ring().as_ref(), BOB.parse().unwrap());
        let action = Action::ChangeStaff { person, role: Some(role), granted_by: StaffRole::Owner };
        world.commands.guild(&world.context(), GUILD, action).await.unwrap();
    };
    let guild = format!("{PATH}?guildId={GUILD}");
    let keyed = format!("{guild}&keys=true");
    promote(StaffRole::Auditor).await;
    world.get(&guild).token(BOB).empty().await.ok(200);
    assert_eq!(world.get(&keyed).token(BOB).empty().await.problem(403), "FORBIDDEN");
    promote(StaffRole::Admin).await;
    world.get(&keyed).token(BOB).empty().await.ok(200);
    let secret = world.secret().await;
    world.get(PATH).key(&secret).empty().await.ok(200);
    let keyed_all = format!("{PATH}?keys=true");
    assert_eq!(world.get(&keyed_all).key(&secret).empty().await.problem(403), "MISSING_SCOPE");
    let scopes = json!({ "kind": "secret", "scopes": ["licenses:read", "licenses:reveal"] });
    let reveals = world.api_key(GUILD, scopes).await;
    world.get(&keyed_all).key(&reveals).empty().await.ok(200);
}

#[tokio::test]
async fn it_is_for_staff_and_takes_no_unknown_filter() {
    let world = World::new().await;
    world.license_of("pro", ADA).await;
    world.settled().await;
    assert_eq!(world.get(PATH).token(ADA).empty().await.problem(403), "FORBIDDEN");
    let guild = format!("{PATH}?guildId={GUILD}");
    assert_eq!(world.get(&guild).token(ADA).empty().await.problem(404), "NOT_FOUND");
    for own in [PATH, &guild] {
        world.get(own).token(GRACE).empty().await.ok(200);
    }
    let publishable = world.publishable().await;
    assert_eq!(world.get(PATH).key(&publishable).empty().await.problem(403), "MISSING_SCOPE");
    let secret = world.secret().await;
    let foreign = world.get(&format!("{PATH}?guildId={OTHER_GUILD}")).key(&secret).empty().await;
    assert_eq!(foreign.problem(404), "NOT_FOUND");
    for (query, pointer) in [
        ("limit=5", "?limit"),
        ("cursor=x", "?cursor"),
        ("asOf=position:1", "?asOf"),
        ("keys=yes", "?keys"),
        ("status=odd", "?status"),
    ] {
        let reply = world.get(&format!("{PATH}?{query}")).token("operator").empty().await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", pointer), "{query}");
    }
}
