//! The audit log as others see it: an export that is checked with nothing but the file, a database that somebody altered,
//! and a server that dies while it seals.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::World;

crate::on_every_engine_and_two_instances!(
    an_export_is_checked_with_nothing_but_the_file,
    an_event_altered_in_the_database_is_named,
    a_server_that_is_killed_goes_on_sealing,
    the_trail_and_the_licenses_are_given_whole,
);

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that seals and signs at short intervals, in small steps.
async fn quick(engine: crate::world::Engine) -> World {
    let variables =
        [("DCA_AUDIT_SEAL_PACE_MS", "10"), ("DCA_AUDIT_SEAL_BATCH", "7"), ("DCA_AUDIT_CHECKPOINT_MS", "100")];
    World::demo_with(engine, &variables).await
}

/// Checks a file as somebody would who has nothing else: in an empty folder, without any configuration.
async fn check(world: &World, file: &Path, more: &[&str]) -> (Output, Value) {
    let empty = tempfile::tempdir().unwrap();
    let mut command = world.program();
    command.env_clear().current_dir(empty.path()).args(["verify", "--json", "--export"]).arg(file).args(more);
    let output = command.output().await.unwrap();
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is written");
    let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, told)
}

async fn an_export_is_checked_with_nothing_but_the_file(engine: crate::world::Engine) {
    let mut world = quick(engine).await;
    let guild = world.facts.guild.clone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guild.jsonl");
    let told = world.cli(&["export", "audit", "--guild", &guild, "--out", file.to_str().unwrap()]).await;
    assert_eq!(told["bytes"].as_u64().unwrap(), std::fs::metadata(&file).unwrap().len());
    let key = world.ask("GET", "/.well-known/dca-log.json", &[], Value::Null).await.expect(200);
    // The standard output, and with a key of the guild, gives the same events.
    let printed = world.run(&["export", "audit", "--guild", &guild]).await.stdout;
    let audit = world.api_key("secret", Some("audit:read")).await;
    let path = format!("/guilds/{guild}/audit-log/export");
    let fetched = world.with_key(&audit, "GET", &path, Value::Null).await.expect(200);
    let whole = std::fs::read_to_string(&file).unwrap();
    for text in [std::str::from_utf8(&printed).unwrap(), fetched.as_str().unwrap()] {
        assert!(text.lines().skip(1).zip(whole.lines().skip(1)).all(|(one, other)| one == other));
    }
    let again = world.run(&["export", "audit", "--guild", &guild, "--out", file.to_str().unwrap()]).await;
    assert_eq!(again.status.code(), Some(3), "a file that is there is not written over");
    world.stop().await;

    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    let (output, told) = check(&world, &file, &["--public-key", &text("key")]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&told["ok"], &told["guildId"]), (&json!(true), &json!(guild)));
    assert_eq!((&told["isKeyTrusted"], &told["keyFingerprint"]), (&json!(true), &key["fingerprint"]));
    assert_eq!(told["events"].as_u64().unwrap() as usize, whole.lines().count() - 1);
    let (output, told) = check(&world, &file, &[]).await;
    assert!(output.status.success());
    assert_eq!(told["isKeyTrusted"], false);
    let (output, _) = check(&world, &file, &["--public-key", "nonsense"]).await;
    assert_eq!(output.status.code(), Some(2));
    tampered(&world, &whole, folder.path()).await;
}

/// The file with one thing done to it each time.
async fn tampered(world: &World, whole: &str, folder: &Path) {
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let position = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["event"]["position"].as_i64().unwrap()
    };
    let fifth = position(lines[5]);
    let altered = lines[5].replacen("\"sequence\":", "\"sequense\":", 1);
    let cases: [(&str, i64, Vec<&str>); 4] = [
        ("altered", fifth, [&lines[..5], &[&*altered], &lines[6..]].concat()),
        ("removed", position(lines[4]), [&lines[..5], &lines[6..]].concat()),
        ("moved", fifth, [&lines[..5], &[lines[6], lines[5]], &lines[7..]].concat()),
        ("truncated", position(lines[lines.len() - 3]), lines[..lines.len() - 2].to_vec()),
    ];
    for (code, position, lines) in cases {
        let file = folder.join(code);
        std::fs::write(&file, lines.concat()).unwrap();
        let (output, told) = check(world, &file, &[]).await;
        assert_eq!(output.status.code(), Some(1), "{code}");
        let faults = told["faults"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{code}: {told}");
        assert_eq!((&faults[0]["code"], &faults[0]["position"]), (&json!(code), &json!(position)));
    }
}

async fn an_event_altered_in_the_database_is_named(engine: crate::world::Engine) {
    let mut world = quick(engine).await;
    world.generate("pro", 5).await;
    let checkpoint = world.owner("GET", "/admin/audit-log/checkpoint", Value::Null).await.expect(200);
    let size = checkpoint["size"].as_i64().unwrap();
    world.verify().await;
    let triggers = match world.database_url() {
        None => vec!["DROP TRIGGER events_no_update"],
        Some(_) => vec!["DROP TRIGGER events_append_only ON events"],
    };
    for statement in triggers {
        world.alter(statement).await;
    }
    // Kept elsewhere: the note, and an export.
    let folder = tempfile::tempdir().unwrap();
    let (note, export) = (folder.path().join("note"), folder.path().join("export.jsonl"));
    std::fs::write(&note, checkpoint["checkpoint"].as_str().unwrap()).unwrap();
    let guild = world.facts.guild.clone();
    world.cli(&["export", "audit", "--guild", &guild, "--out", export.to_str().unwrap()]).await;
    for kept in [&note, &export] {
        let told = world.cli(&["verify", "--checkpoint", kept.to_str().unwrap()]).await;
        assert_eq!(told["ok"], true);
    }
    std::fs::write(folder.path().join("none"), "nothing").unwrap();
    let none = world.run(&["verify", "--checkpoint", folder.path().join("none").to_str().unwrap()]).await;
    assert_eq!(none.status.code(), Some(1));
    let last = size - 1;
    world.alter(&format!("UPDATE events SET recorded_at = recorded_at + 1 WHERE position = {last}")).await;
    let output = world.run(&["verify", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["ok"], &told["seal"]["fault"]["position"]), (&json!(false), &json!(last)), "{told:#}");
    let text = world.run(&["verify"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains(&format!("BROKEN at position {last}")), "{text}");
    // Whoever made the trees anew to match is found by what was kept.
    world.stop().await;
    for statement in [
        "DELETE FROM merkle_tile",
        "DELETE FROM merkle_tree WHERE id <> 'log'",
        "UPDATE merkle_tree SET size = 0",
    ] {
        world.alter(statement).await;
    }
    let kept = world.run(&["verify", "--checkpoint", note.to_str().unwrap()]).await;
    let why = String::from_utf8_lossy(&kept.stderr).into_owned();
    assert!(kept.status.code() == Some(1) && why.contains("not those that were signed"), "{why}");
}

async fn a_server_that_is_killed_goes_on_sealing(engine: crate::world::Engine) {
    let mut world = quick(engine).await;
    for _ in 0..4 {
        world.generate("pro", 40).await;
        // At whatever it is doing.
        world.crash().await;
    }
    let begin = Instant::now();
    loop {
        let report = world.cli(&["verify"]).await;
        assert_eq!(report["ok"], true, "{report:#}");
        if report["seal"]["unsealed"] == 0 && report["seal"]["checkpoints"].as_u64().unwrap() > 0 {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{report:#}");
    }
    // An earlier checkpoint and the present one agree, by a path alone.
    let now = world.owner("GET", "/admin/audit-log/checkpoint", Value::Null).await.expect(200);
    let path = format!("/admin/audit-log/consistency?from=20&to={}", now["size"]);
    let proof = world.owner("GET", &path, Value::Null).await.expect(200);
    assert_eq!(proof["toRoot"], now["root"]);
    let proof = world.owner("GET", "/admin/audit-log/proof?position=20", Value::Null).await.expect(200);
    assert_eq!(proof["position"], 20);
    assert!(!proof["path"].as_array().unwrap().is_empty());
}

/// Every row of a list, page by page.
async fn pages(world: &mut World, path: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.owner("GET", &format!("{path}&limit=200{cursor}"), Value::Null).await.expect(200);
        rows.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["nextCursor"].as_str() else { return rows };
        cursor = format!("&cursor={next}");
    }
}

/// The same list, sent whole.
async fn whole(world: &mut World, path: &str, form: &str) -> String {
    let bearer = format!("Bearer {}", world.token().await);
    let headers = [("Authorization", bearer.as_str()), ("Accept", form)];
    world.ask("GET", path, &headers, Value::Null).await.expect(200).as_str().unwrap().to_owned()
}

async fn the_trail_and_the_licenses_are_given_whole(engine: crate::world::Engine) {
    let mut world = World::demo(engine).await;
    let guild = world.facts.guild.clone();
    let made = world.generate("studio", 450).await;
    let ada = world.facts.ada.clone();
    let assign = json!({ "userId": ada });
    world.owner("POST", &format!("/licenses/{}/assign", made[1].0), assign).await.expect(200);
    // The command line ends when the read models show its write, and so all before it.
    world.cli(&["license", "suspend", &made[0].0, "--reason", "=1+1"]).await;
    let parsed = |lines: &str| -> Vec<Value> {
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };

    let trail = format!("/admin/audit-log?guildId={guild}");
    let paged = pages(&mut world, &trail).await;
    assert!(paged.len() > 450);
    assert!(paged.iter().any(|row| row["reason"] == "=1+1" && row["type"] == "license.suspended"));
    // Jobs of the demo may have added to its beginning meanwhile.
    let lines = parsed(&whole(&mut world, &trail, "application/jsonl").await);
    assert!(lines.ends_with(&paged));
    let table = whole(&mut world, &trail, "text/csv").await;
    assert!(table.lines().count() > paged.len() && table.contains(",'=1+1,"));
    let of_license = format!("/admin/audit-log?licenseId={}", made[0].0);
    assert_eq!(pages(&mut world, &of_license).await.len(), 2);
    let about = pages(&mut world, &format!("/admin/audit-log?userId={ada}")).await;
    for kind in ["license", "user"] {
        assert!(about.iter().any(|row| row["aggregateType"] == kind), "{kind}: {about:#?}");
    }

    let filter = format!("guildId={guild}&type=studio");
    let paged = pages(&mut world, &format!("/licenses?{filter}")).await;
    // The demo has some of its own.
    assert!(paged.len() >= made.len());
    let export = format!("/admin/licenses/export?{filter}");
    assert_eq!(parsed(&whole(&mut world, &export, "application/jsonl").await), paged);
    let table = whole(&mut world, &format!("{export}&keys=true"), "text/csv").await;
    assert_eq!(table.lines().count(), paged.len() + 1);
    assert!(made.iter().all(|(id, key)| table.contains(id.as_str()) && table.contains(key.as_str())));

    let arguments = ["export", "licenses", "--guild", &guild, "--type", "studio"];
    let printed = world.run(&[&arguments[..], &["--lines"]].concat()).await.stdout;
    assert_eq!(parsed(std::str::from_utf8(&printed).unwrap()), paged);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("licenses.csv");
    let told = world.cli(&[&arguments[..], &["--keys", "--out", file.to_str().unwrap()]].concat()).await;
    assert_eq!(told["bytes"].as_u64().unwrap(), std::fs::metadata(&file).unwrap().len());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), table);
    // Sent back, it makes nothing; a file from elsewhere makes each license once.
    let import = ["import", "--guild", &guild, file.to_str().unwrap()];
    let told = world.cli(&import).await;
    assert_eq!((&told["created"], &told["existing"]), (&json!(0), &json!(paged.len())));
    let elsewhere = folder.path().join("elsewhere.csv");
    let rows: Vec<String> = (0..300).map(|n| format!("pro,OLD-{n}\n")).collect();
    std::fs::write(&elsewhere, format!("type,key\n{}", rows.concat())).unwrap();
    let import = ["import", "--guild", &guild, elsewhere.to_str().unwrap()];
    let tried = world.cli(&[&import[..], &["--dry-run"]].concat()).await;
    assert_eq!((&tried["created"], &tried["dryRun"]), (&json!(300), &json!(true)));
    for (created, existing) in [(300, 0), (0, 300)] {
        let told = world.cli(&import).await;
        assert_eq!((&told["created"], &told["existing"]), (&json!(created), &json!(existing)));
    }
    let listed = world.cli(&["audit", "--license", &made[0].0, "--type", "license.suspended"]).await;
    assert_eq!((&listed["data"][0]["reason"], &listed["data"][1]), (&json!("=1+1"), &Value::Null));
}
