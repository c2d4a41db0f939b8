//! Licenses that move in: ten thousand rows of a file, of which three are wrong; and out and in again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{Engine, World};
use crate::{on_engines, on_every_engine_and_two_instances};

on_every_engine_and_two_instances!(ten_thousand_licenses_move_in_whole_or_not_at_all);
on_engines!(crash_sqlite, crate::world::Engine::Sqlite, a_crash_in_an_import_leaves_all_or_nothing);
on_engines!(
    crash_postgres,
    crate::world::Engine::postgres().await,
    a_crash_in_an_import_leaves_all_or_nothing
);

/// How long it may take until everything is shown, under the load of all tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// As many as one file may have.
const ROWS: usize = 10_000;
/// What each of them leaves in the log: that it was made, and by which key it was known before.
const EVENTS: i64 = 2 * ROWS as i64;
/// Lines with a mistake: the first row is line 2.
const WRONG: [(usize, &str); 3] = [(2, "nothing,OLD-0"), (5_001, "pro,OLD-1"), (10_001, "pro,OLD-2")];

/// A file of `ROWS` rows, with these lines in the place of the right ones.
fn file(wrong: &[(usize, &str)]) -> String {
    let mut lines = vec!["type,key".to_owned()];
    lines.extend((0..ROWS).map(|row| format!("pro,OLD-{row}")));
    for (line, text) in wrong {
        lines[line - 1] = (*text).to_owned();
    }
    lines.join("\n") + "\n"
}

/// Sends a file as the platform owner; again for as long as the answer is "not now", as programs do: the whole file is one
/// transaction, and many tests share a slow machine.
async fn send(world: &mut World, query: &str, file: &str) -> (u16, Value) {
    let token = world.token().await;
    let path = format!("/admin/licenses/import?guildId={}{query}", world.facts.guild);
    let begin = Instant::now();
    loop {
        let request = world.request("POST", &path).bearer_auth(&token).header("Content-Type", "text/csv");
        let sent = world.send(request.body(file.to_owned())).await.unwrap();
        if sent.0 != 503 || begin.elapsed() > PATIENCE {
            return (sent.0, serde_json::from_str(&sent.1).unwrap());
        }
    }
}

async fn position(world: &World) -> i64 {
    world.cli(&["status"]).await["position"].as_i64().unwrap()
}

async fn ten_thousand_licenses_move_in_whole_or_not_at_all(engine: Engine) {
    let mut world = World::demo(engine).await;
    let before = position(&world).await;
    for query in ["", "&dryRun=true"] {
        let (status, told) = send(&mut world, query, &file(&WRONG)).await;
        assert_eq!((status, &told["code"]), (422, &json!("IMPORT_REFUSED")), "{told:#}");
        let named: Vec<&str> =
            told["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
        assert_eq!(named, ["/2/type", "/5001/key", "/10001/key"], "{told:#}");
    }
    assert_eq!(position(&world).await, before, "half of it was done");

    let right = file(&[]);
    let (status, told) = send(&mut world, "&dryRun=true", &right).await;
    assert_eq!((status, &told["created"], &told["dryRun"]), (200, &json!(ROWS), &json!(true)), "{told:#}");
    assert_eq!(position(&world).await, before);
    for (created, existing) in [(ROWS, 0), (0, ROWS)] {
        let (status, told) = send(&mut world, "", &right).await;
        assert_eq!(status, 200, "{told:#}");
        assert_eq!((&told["created"], &told["existing"]), (&json!(created), &json!(existing)));
    }
    assert_eq!(position(&world).await, before + EVENTS);

    let begin = Instant::now();
    let ids = loop {
        let ids = exported(&mut world).await;
        if ids.len() >= ROWS {
            break ids;
        }
        assert!(begin.elapsed() < PATIENCE, "{} of {ROWS} licenses are shown", ids.len());
    };
    let table = export(&mut world, "text/csv", "&keys=true").await;
    let (status, told) = send(&mut world, "", &first_rows(&table)).await;
    assert_eq!((status, &told["created"], &told["existing"]), (200, &json!(0), &json!(ROWS)), "{told:#}");
    assert_eq!(exported(&mut world).await, ids);
    world.verify().await;
}

/// As many rows of a table as one file may have.
fn first_rows(table: &str) -> String {
    table.lines().take(ROWS + 1).map(|line| format!("{line}\n")).collect()
}

/// All licenses of the type.
async fn export(world: &mut World, form: &str, query: &str) -> String {
    let token = world.token().await;
    let path = format!("/admin/licenses/export?guildId={}&type=pro{query}", world.facts.guild);
    let request = world.request("GET", &path).bearer_auth(token).header("Accept", form);
    let (status, text) = world.send(request).await.unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

/// The ids of all licenses of the type.
async fn exported(world: &mut World) -> BTreeSet<String> {
    let lines = export(world, "application/jsonl", "").await;
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = lines.lines().map(id).collect();
    let unique: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(unique.len(), ids.len(), "a license stands there twice");
    unique
}

async fn a_crash_in_an_import_leaves_all_or_nothing(engine: Engine) {
    let mut world = World::demo(engine).await;
    let before = position(&world).await;
    let right = file(&[]);
    for share in [0.02, 0.2, 0.5] {
        // Whether it was answered in time does not matter.
        let moment = Duration::from_secs_f64(5.0 * share);
        let _ = tokio::time::timeout(moment, send(&mut world, "", &right)).await;
        world.crash().await;
        let done = position(&world).await - before;
        assert!(done == 0 || done == EVENTS, "{done} of {EVENTS} events are there after a crash");
        world.verify().await;
    }
    let (status, told) = send(&mut world, "", &right).await;
    assert_eq!(status, 200, "{told:#}");
    assert_eq!(position(&world).await - before, EVENTS);
}
