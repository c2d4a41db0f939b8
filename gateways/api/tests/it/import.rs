//! `POST /admin/licenses/import`: all rows or none, an export sent back, foreign keys, dry runs and wrong cells.

use serde_json::{Value, json};

use crate::world::{ADA, BOB, GUILD, OTHER_GUILD, Reply, World};

fn path(query: &str) -> String {
    format!("/admin/licenses/import?guildId={GUILD}{query}")
}

async fn send(world: &World, query: &str, file: &str) -> Reply {
    world.post(&path(query)).token("operator").header("content-type", "text/csv").raw(file.to_owned()).await
}

async fn listed(world: &World) -> Vec<Value> {
    world.settled().await;
    let list =
        world.get(&format!("/licenses?guildId={GUILD}&limit=200")).token("operator").empty().await.ok(200);
    list["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn rows_become_licenses_once() {
    let world = World::new().await;
    let file = format!(
        "type,userId,expiresAt,status,metadata,key\r\n\
         pro,{ADA},,active,\"{{\"\"seats\"\":2.50}}\",OLD-1\r\n\
         team,,2999-01-01T00:00:00Z,suspended,,  OLD-2 \r\n\
         pro,,,revoked,,\r\n"
    );
    let head = world.queries.current_head().await.unwrap();
    let tried = send(&world, "&dryRun=true", &file).await.ok(200);
    assert_eq!(tried, json!({ "created": 3, "existing": 0, "dryRun": true }));
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    let done = send(&world, "", &file).await;
    assert!(done.header("dca-position").is_some());
    assert_eq!(done.ok(200), json!({ "created": 3, "existing": 0 }));
    let rows = listed(&world).await;
    let of = |kind: &str, status: &str| {
        rows.iter().find(|row| row["type"] == kind && row["status"] == status).unwrap().clone()
    };
    let first = of("pro", "assigned");
    assert_eq!((&first["userId"], &first["metadata"]), (&json!(ADA), &json!({ "seats": 2.5 })));
    assert_eq!(first["maxDevices"], 2);
    assert_eq!(of("team", "suspended")["expiresAt"], "2999-01-01T00:00:00.000Z");
    of("pro", "revoked");
    let path = format!("/licenses/{}/history", first["id"].as_str().unwrap());
    let history = world.get(&path).token("operator").empty().await.ok(200);
    let types: Vec<&str> =
        history["data"].as_array().unwrap().iter().map(|row| row["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["license.generated", "license.assigned", "license.alias_added"]);
    assert!(!history.to_string().contains("OLD-1"));
    // The same keys again, written in another way, make nothing; a new one does.
    let again = "key,type\nOLD-1,pro\nOLD-2,pro\nOLD-3,pro\n";
    assert_eq!(send(&world, "", again).await.ok(200), json!({ "created": 1, "existing": 2 }));
    assert_eq!(listed(&world).await.len(), 4);
    // Another guild has keys of its own.
    let other = format!("/admin/licenses/import?guildId={OTHER_GUILD}");
    let ask = world.post(&other).token("operator").header("content-type", "text/csv; charset=utf-8");
    assert_eq!(ask.raw(again).await.ok(200), json!({ "created": 3, "existing": 0 }));
}

#[tokio::test]
async fn an_export_sent_back_makes_no_duplicates() {
    let world = World::new().await;
    let metadata = json!({ "note": "=1+1" });
    for (kind, owner) in [("pro", ADA), ("team", BOB)] {
        let request = json!({
            "guildId": GUILD.to_string(), "type": kind, "count": 3, "assignTo": owner, "metadata": metadata,
        });
        world.licenses(request).await;
    }
    let before = listed(&world).await;
    for keys in ["", "&keys=true"] {
        let export = format!("/admin/licenses/export?guildId={GUILD}{keys}");
        let file = world.get(&export).token("operator").empty().await.ok(200);
        let sent = send(&world, "", file.as_str().unwrap()).await.ok(200);
        assert_eq!(sent, json!({ "created": 0, "existing": 6 }));
    }
    assert_eq!(listed(&world).await, before);
    // On a server that has none of them it makes them all, once.
    let fresh = World::new().await;
    let export = format!("/admin/licenses/export?guildId={GUILD}");
    let file = world.get(&export).token("operator").empty().await.ok(200);
    for expected in [json!({ "created": 6, "existing": 0 }), json!({ "created": 0, "existing": 6 })] {
        assert_eq!(send(&fresh, "", file.as_str().unwrap()).await.ok(200), expected);
    }
    let shown = |rows: Vec<Value>| -> std::collections::BTreeSet<String> {
        let members = ["id", "type", "userId", "status", "expiresAt", "metadata"];
        rows.iter().map(|row| members.map(|member| row[member].to_string()).join(" ")).collect()
    };
    assert_eq!(shown(listed(&fresh).await), shown(before));
}

#[tokio::test]
async fn one_wrong_cell_keeps_all_and_is_named_by_line_and_column() {
    let world = World::new().await;
    let (foreign, key) = {
        let request = json!({ "guildId": OTHER_GUILD.to_string(), "type": "pro", "count": 1 });
        world.licenses(request).await.remove(0)
    };
    let file = format!(
        "id,type,userId,startsAt,metadata,key\n\
         ,pro,{ADA},,,\n\
         ,nothing,,,,\n\
         odd,pro,,,,\n\
         ,pro,ada,yesterday,,\n\
         ,pro,,,[1],\n\
         ,,,,,\n\
         {foreign},pro,,,,\n\
         ,pro,,,,{key}\n\
         ,pro,,,,A\n\
         ,pro,,,,A\n"
    );
    let named = |reply: &Reply| -> Vec<(String, String)> {
        let errors = reply.body["errors"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
    };
    let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    let head = world.queries.current_head().await.unwrap();
    let reply = send(&world, "", &file).await;
    assert_eq!(reply.problem(422), "IMPORT_REFUSED");
    let form = [
        pair("/4/id", "WRONG_FORM"),
        pair("/5/userId", "WRONG_FORM"),
        pair("/5/startsAt", "WRONG_FORM"),
        pair("/6/metadata", "NOT_JSON"),
        pair("/7/type", "MISSING_MEMBER"),
    ];
    assert_eq!(named(&reply), form);
    // With these mended, what they say is looked at.
    let lines: Vec<&str> = file.lines().collect();
    let mended = [&lines[..3], &lines[7..]].concat().join("\n");
    let reply = send(&world, "", &mended).await;
    assert_eq!(reply.problem(422), "IMPORT_REFUSED");
    let meant = [
        pair("/3/type", "IMPOSSIBLE"),
        pair("/4/id", "ALREADY_EXISTS"),
        pair("/5/key", "IMPOSSIBLE"),
        pair("/7/key", "DUPLICATE_MEMBER"),
    ];
    assert_eq!(named(&reply), meant);
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    assert!(listed(&world).await.is_empty());
}

#[tokio::test]
async fn what_is_no_file_of_licenses_is_refused() {
    let world = World::new().await;
    for (file, pointer) in [
        ("type,colour\npro,red\n", "/1/colour"),
        ("id\n\n", "/1/type"),
        ("type,id\npro\n", ""),
        ("", "/1/type"),
    ] {
        let reply = send(&world, "", file).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", pointer), "{file}");
    }
    let long = format!("type\n{}", "pro\n".repeat(10_001));
    let reply = send(&world, "", &long).await;
    assert_eq!((reply.problem(422), reply.pointer()), ("INVALID_VALUE", ""));
    let big = "x".repeat(9 * 1024 * 1024);
    assert_eq!(send(&world, "", &big).await.problem(413), "BODY_TOO_LARGE");
    let json = world.post(&path("")).token("operator").json(&json!({})).await;
    assert_eq!(json.problem(415), "UNSUPPORTED_MEDIA_TYPE");
    let nowhere = world.post("/admin/licenses/import").token("operator").header("content-type", "text/csv");
    let nowhere = nowhere.raw("type\npro\n").await;
    assert_eq!((nowhere.problem(400), nowhere.pointer()), ("INVALID_REQUEST", "?guildId"));
    let odd = send(&world, "&colour=1", "type\npro\n").await;
    assert_eq!((odd.problem(400), odd.pointer()), ("INVALID_REQUEST", "?colour"));
}

#[tokio::test]
async fn it_needs_what_generating_needs_and_is_answered_again() {
    let world = World::new().await;
    let file = "type\npro\npro\n";
    let ask = |key: &str| world.post(&path("")).key(key).header("content-type", "text/csv");
    let narrow = world.api_key(GUILD, json!({ "kind": "secret", "scopes": ["licenses:read"] })).await;
    assert_eq!(ask(&narrow).raw(file).await.problem(403), "MISSING_SCOPE");
    let other = world.api_key(OTHER_GUILD, json!({ "kind": "secret", "scopes": ["licenses:write"] })).await;
    assert_eq!(ask(&other).raw(file).await.problem(404), "NOT_FOUND");
    let secret = world.secret().await;
    for replayed in [None, Some("true")] {
        let reply = ask(&secret).header("idempotency-key", "one").raw(file).await;
        assert_eq!(reply.header("idempotency-replayed"), replayed);
        assert_eq!(reply.ok(200), json!({ "created": 2, "existing": 0 }));
    }
    let another = ask(&secret).header("idempotency-key", "one").raw("type\npro\n").await;
    assert_eq!(another.problem(422), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(listed(&world).await.len(), 2);
}
