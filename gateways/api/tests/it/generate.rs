//! New licenses as JSON, JSON Lines and CSV: the same licenses and keys in each, whole however many they are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{Config, GRACE, GUILD, Reply, World};

async fn generate(world: &World, count: u32, accept: &str, key: &str) -> Reply {
    let body =
        json!({ "guildId": GUILD.to_string(), "type": "pro", "count": count, "metadata": { "batch": "=1" } });
    let ask = world.post("/admin/licenses/generate").token(GRACE).header("accept", accept);
    ask.header("idempotency-key", key).json(&body).await
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_same_licenses_come_in_every_form() {
    // Fewer than a part of a streamed answer, exactly one, and more.
    for count in [1, 500, 1_001] {
        let world = World::new().await;
        let whole = generate(&world, count, "application/json", "k").await;
        assert_eq!(whole.header("content-type"), Some("application/json"));
        let whole = whole.ok(201);
        let rows = whole["data"].as_array().unwrap();
        assert_eq!((rows.len(), &whole["nextCursor"]), (count as usize, &Value::Null));
        let ids: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), count as usize);
        // A repeat makes nothing new and may ask for another form.
        for accept in ["application/jsonl", "application/x-ndjson"] {
            let lined = generate(&world, count, accept, "k").await;
            assert_eq!(lined.header("idempotency-replayed"), Some("true"));
            assert_eq!(lined.header("content-type"), Some("application/jsonl"));
            assert_eq!(lines(lined.ok(201).as_str().unwrap()), *rows);
        }
        let table = generate(&world, count, "text/csv", "k").await;
        assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        let text = table.ok(201);
        let mut reader = csv::Reader::from_reader(text.as_str().unwrap().as_bytes());
        let columns = reader.headers().unwrap().clone();
        let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
        let found: Vec<(String, String)> = reader
            .records()
            .map(|record| {
                let record = record.unwrap();
                (record[at("id")].to_owned(), record[at("key")].to_owned())
            })
            .collect();
        let expected: Vec<(String, String)> = rows
            .iter()
            .map(|row| (row["id"].as_str().unwrap().to_owned(), row["key"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(world.get("/licenses").token(GRACE).empty().await.status, 200);
    }
}

#[tokio::test]
async fn a_table_of_new_licenses_can_be_sent_to_the_import() {
    let world = World::new().await;
    let table = generate(&world, 3, "text/csv", "k").await.ok(201);
    let path = format!("/admin/licenses/import?guildId={GUILD}");
    let ask = world.post(&path).token(GRACE).header("content-type", "text/csv");
    let told = ask.raw(table.as_str().unwrap().to_owned()).await.ok(200);
    assert_eq!(told, json!({ "created": 0, "existing": 3 }));
}

#[tokio::test]
async fn the_limit_holds_in_every_form_and_errors_are_problems() {
    let limits = api::Limits { generate_max: 10, ..api::Limits::default() };
    let world = World::with(Config { limits, ..Config::default() }).await;
    for accept in ["application/json", "application/jsonl", "text/csv"] {
        let refused = generate(&world, 11, accept, accept).await;
        assert_eq!((refused.problem(422), refused.pointer()), ("INVALID_VALUE", "/count"));
        generate(&world, 10, accept, &format!("{accept} whole")).await.ok(201);
    }
}
