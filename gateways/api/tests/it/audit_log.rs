//! Who may take the log out, what stands in it, and what is refused.

use commands::signer;
use domain::merkle::proof::{proves_consistency, proves_inclusion};
use domain::merkle::{Hash, leaf_hash};
use domain::proof::{Expected, ExportCheck, LogKey, Note};
use serde_json::{Value, json};

use crate::world::{ADA, GRACE, GUILD, OTHER_GUILD, World};

fn export_of(guild: impl std::fmt::Display) -> String {
    format!("/guilds/{guild}/audit-log/export")
}

async fn key(world: &World) -> LogKey {
    let body = world.get("/.well-known/dca-log.json").empty().await.ok(200);
    body["key"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_export_holds_every_event_of_the_guild_and_nothing_in_the_clear() {
    let world = World::new().await;
    let (id, text) = world.license_of("pro", ADA).await;
    let request = json!({ "key": text, "deviceId": "machine", "deviceName": "Ada's own laptop" });
    world.post("/licenses/activate").key(&world.publishable().await).json(&request).await.ok(201);
    let reply = world.get(&export_of(GUILD)).token(GRACE).empty().await;
    assert_eq!(reply.header("content-type"), Some("application/jsonl"));
    let body = reply.ok(200);
    let file = body.as_str().unwrap();
    assert!(file.contains(&id) && file.contains("license.device_activated"));
    let foreign = format!("\"guildId\":\"{OTHER_GUILD}\"");
    for secret in ["Ada's own laptop", &text, &foreign] {
        assert!(!file.contains(secret), "{secret}");
    }
    let key = Some(key(&world).await);
    let mut check = ExportCheck::new(Expected { key, any_epoch: false, verify: &signer::verify });
    file.split_inclusive('\n').for_each(|line| check.take(line.as_bytes()));
    let checked = check.finish().unwrap();
    assert_eq!((checked.guild_id, checked.events as usize), (GUILD, file.lines().count() - 1));
}

#[tokio::test]
async fn an_export_needs_its_rank_or_scope() {
    let world = World::new().await;
    let audit = |guild| world.api_key(guild, json!({ "kind": "secret", "scopes": ["audit:read"] }));
    let (own, other) = (audit(GUILD).await, audit(OTHER_GUILD).await);
    world.get(&export_of(GUILD)).key(&own).empty().await.ok(200);
    assert_eq!(world.get(&export_of(GUILD)).key(&other).empty().await.problem(404), "NOT_FOUND");
    let narrow = world.secret().await;
    assert_eq!(world.get(&export_of(GUILD)).key(&narrow).empty().await.problem(403), "MISSING_SCOPE");
    let public = world.publishable().await;
    assert_eq!(world.get(&export_of(GUILD)).key(&public).empty().await.problem(403), "MISSING_SCOPE");
    assert_eq!(world.get(&export_of(GUILD)).token(ADA).empty().await.problem(404), "NOT_FOUND");
    assert_eq!(world.get(&export_of(GUILD)).empty().await.problem(401), "CREDENTIAL_REQUIRED");
    assert_eq!(world.get(&export_of(77)).token("operator").empty().await.problem(404), "NOT_FOUND");
    world.get(&export_of(GUILD)).token("operator").empty().await.ok(200);
    let reply = world.get(&format!("{}?since=1", export_of(GUILD))).token(GRACE).empty().await;
    assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", "?since"));
}

#[tokio::test]
async fn the_operator_is_given_proofs() {
    let world = World::new().await;
    let get =
        async |path: &str| world.get(&format!("/admin/audit-log/{path}")).token("operator").empty().await;
    let early = get("checkpoint").await.ok(200);
    world.license("pro").await;
    let late = get("checkpoint").await.ok(200);
    let number = |value: &Value| value.as_u64().unwrap();
    let hash = |value: &Value| -> Hash { serde_json::from_value(value.clone()).unwrap() };
    let path = |value: &Value| -> Vec<Hash> { serde_json::from_value(value["path"].clone()).unwrap() };
    let note = Note::new(late["checkpoint"].as_str().unwrap());
    let said = note.open(&key(&world).await, &signer::verify).unwrap();
    assert_eq!((said.size, said.root), (number(&late["size"]), hash(&late["root"])));
    let (from, to) = (number(&early["size"]), number(&late["size"]));
    let grown = get(&format!("consistency?from={from}&to={to}")).await.ok(200);
    assert!(proves_consistency(from, hash(&early["root"]), to, hash(&late["root"]), &path(&grown)));
    assert_eq!(get(&format!("checkpoint?size={from}")).await.ok(200), early);
    let proof = get("proof?position=3").await.ok(200);
    let leaf = leaf_hash(proof["record"].as_str().unwrap().as_bytes());
    assert_eq!(leaf, hash(&proof["leaf"]));
    assert!(proves_inclusion(leaf, 2, number(&proof["size"]), &path(&proof), hash(&proof["root"])));
}

#[tokio::test]
async fn proofs_of_nothing_are_refused() {
    let world = World::new().await;
    let get =
        async |path: &str| world.get(&format!("/admin/audit-log/{path}")).token("operator").empty().await;
    assert_eq!(get("proof?position=0").await.problem(404), "NOT_FOUND");
    assert_eq!(get("proof?position=9999").await.problem(404), "NOT_FOUND");
    assert_eq!(get("proof").await.problem(400), "INVALID_REQUEST");
    assert_eq!(get("proof?position=x").await.problem(400), "INVALID_REQUEST");
    assert_eq!(get("consistency?from=0").await.problem(422), "INVALID_VALUE");
    assert_eq!(get("consistency?from=3&to=2").await.problem(422), "INVALID_VALUE");
    assert_eq!(get("consistency?from=1&to=9999").await.problem(422), "INVALID_VALUE");
    assert_eq!(get("checkpoint?size=9999").await.problem(404), "NOT_FOUND");
    for path in ["proof?position=1", "consistency?from=1", "checkpoint"] {
        let reply = world.get(&format!("/admin/audit-log/{path}")).token(GRACE).empty().await;
        assert_eq!(reply.problem(403), "FORBIDDEN", "{path}");
    }
}
