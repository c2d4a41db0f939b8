//! Security facts: keys that are shown or exported, and requests that are refused. Each stands in the audit log of the guild or
//! of the platform that it is about.

use domain::time::Span;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GRACE, GUILD, OTHER_GUILD, World};

/// The newest facts of one name, as the platform's audit log shows them.
async fn facts(world: &World, name: &str) -> Vec<Value> {
    world.settled().await;
    let path = format!("/admin/audit-log?type={name}");
    world.get(&path).token("operator").empty().await.ok(200)["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_key_is_shown_to_whoever_may_see_it_and_that_is_recorded() {
    let world = World::new().await;
    let (id, key) = world.license_of("pro", ADA).await;
    let path = format!("/licenses/{id}/key");
    let all = json!({ "kind": "secret", "scopes": ["licenses:read", "licenses:reveal"] });
    let (reveals, reads) = (world.api_key(GUILD, all.clone()).await, world.secret().await);
    let foreign = world.api_key(OTHER_GUILD, all).await;
    for (refused, code) in [
        (world.get(&path).key(&reads).empty().await, (403, "MISSING_SCOPE")),
        (world.get(&path).key(&foreign).empty().await, (404, "NOT_FOUND")),
        (world.get(&path).key(&world.publishable().await).empty().await, (403, "MISSING_SCOPE")),
        (world.get(&path).token(BOB).empty().await, (404, "NOT_FOUND")),
        (world.get(&path).empty().await, (401, "CREDENTIAL_REQUIRED")),
    ] {
        assert_eq!(refused.problem(code.0), code.1);
    }
    assert_eq!(facts(&world, "security.key_revealed").await, Vec::<Value>::new());
    let shown = json!({ "key": key, "keyVersion": 0 });
    for ask in [world.get(&path).token(ADA), world.get(&path).token(GRACE), world.get(&path).key(&reveals)] {
        let reply = ask.header("x-request-id", "looking").empty().await;
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(reply.header("dca-position").is_some());
        assert_eq!(reply.ok(200), shown);
    }
    let recorded = facts(&world, "security.key_revealed").await;
    assert_eq!(recorded.len(), 3);
    for one in &recorded {
        assert_eq!((&one["guildId"], &one["correlationId"]), (&json!(GUILD.to_string()), &json!("looking")));
        assert_eq!((&one["data"]["licenseId"], &one["data"]["keyVersion"]), (&json!(id), &json!(0)));
        assert_eq!(one["aggregateType"], "security");
    }
    let actors: Vec<&str> = recorded.iter().map(|one| one["actor"].as_str().unwrap()).collect();
    assert!(actors[0].starts_with("apikey:") && actors[1].starts_with("user:"), "{actors:?}");
    assert!(!recorded.iter().any(|one| one.to_string().contains(&key[4..])), "the key itself is not in it");
    // The guild's own auditors see it, another guild's do not.
    let own = world.get(&format!("/admin/audit-log?guildId={GUILD}&type=security.key_revealed"));
    assert_eq!(own.token(GRACE).empty().await.ok(200)["data"].as_array().unwrap().len(), 3);
    let other = world.get(&format!("/admin/audit-log?guildId={OTHER_GUILD}&type=security.key_revealed"));
    assert_eq!(other.token(GRACE).empty().await.ok(200)["data"], json!([]));
    let table = world.get("/admin/audit-log?type=security.key_revealed").token("operator");
    let table = table.header("accept", "text/csv").empty().await.ok(200);
    assert!(table.as_str().unwrap().contains("licenseId"), "{table}");
}

#[tokio::test]
async fn the_key_that_is_shown_is_the_one_that_works_now() {
    let world = World::new().await;
    let (id, old) = world.license_of("team", ADA).await;
    world.post(&format!("/licenses/{id}/rekey")).token("operator").empty().await.ok(200);
    let shown = world.get(&format!("/licenses/{id}/key")).token(ADA).empty().await.ok(200);
    assert_eq!(shown["keyVersion"], 1);
    assert_ne!(shown["key"], old.as_str());
    let asked = json!({ "key": shown["key"] });
    let client = world.publishable().await;
    let valid = world.post("/licenses/validate").key(&client).json(&asked).await.ok(200);
    assert_eq!(valid["code"], "VALID");
    // Whoever had it before does not see the new owner's, whatever a cache thinks.
    let license = id.parse().unwrap();
    let bob = domain::id::Pseudonym::of(world.commands.ring().as_ref(), BOB.parse().unwrap());
    let refused = world.commands.reveal_key(&world.context(), license, Some(&bob)).await;
    assert!(refused.is_err());
    assert_eq!(facts(&world, "security.key_revealed").await.len(), 1);
    let absent = uuid::Uuid::nil();
    let path = format!("/licenses/{absent}/key");
    assert_eq!(world.get(&path).token("operator").empty().await.problem(404), "NOT_FOUND");
    let unknown = world.get(&format!("/licenses/{id}/key?x=1")).token(ADA).empty().await;
    assert_eq!(unknown.problem(400), "INVALID_REQUEST");
}

#[tokio::test]
async fn an_export_with_keys_is_recorded_and_one_without_is_not() {
    let world = World::new().await;
    world.license("pro").await;
    let export = |query: &str| world.get(&format!("/admin/licenses/export{query}"));
    export("").token("operator").empty().await.ok(200);
    assert_eq!(facts(&world, "security.keys_exported").await, Vec::<Value>::new());
    export("?keys=true").token("operator").empty().await.ok(200);
    export(&format!("?keys=true&guildId={GUILD}")).token(GRACE).empty().await.ok(200);
    let recorded = facts(&world, "security.keys_exported").await;
    assert_eq!(recorded.len(), 2);
    assert_eq!((&recorded[0]["guildId"], &recorded[1]["guildId"]), (&json!(GUILD.to_string()), &Value::Null));
    assert_eq!(recorded[0]["data"]["format"], "csv");
}

#[tokio::test]
async fn refused_credentials_are_counted_and_recorded_once_a_minute() {
    let world = World::new().await;
    let revoked = world.secret().await;
    let listed = world.get(&format!("/guilds/{GUILD}/api-keys")).token("operator").empty().await.ok(200);
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    world.delete(&format!("/guilds/{GUILD}/api-keys/{id}")).token("operator").empty().await;
    for n in 0..20 {
        let from = format!("198.51.100.{n}");
        let forged = world.get("/licenses").from(&from).header("authorization", "Bearer a.b.c").empty().await;
        assert_eq!(forged.problem(401), "INVALID_CREDENTIAL");
        world.get("/licenses").key(&revoked).from(&from).empty().await.problem(401);
    }
    let in_address = world.get("/licenses?key=x").from("198.51.100.7").token("operator").empty().await;
    assert_eq!(in_address.problem(400), "KEY_IN_URL");
    assert_eq!(facts(&world, "security.requests_refused").await, Vec::<Value>::new(), "nothing yet");
    api::write_refusals(&world.state).await.unwrap();
    api::write_refusals(&world.state).await.unwrap();
    let recorded = facts(&world, "security.requests_refused").await;
    assert_eq!(recorded.len(), 3, "{recorded:#?}");
    let of = |cause: &str, member: &str| {
        let is = |one: &&Value| one["data"]["cause"] == cause && one["data"][member].is_string();
        recorded.iter().find(is).unwrap_or_else(|| panic!("no {cause} with {member}: {recorded:#?}"))
    };
    let forged = of("credential_invalid", "network");
    assert_eq!(
        (&forged["data"]["count"], &forged["data"]["network"]),
        (&json!(20), &json!("198.51.100.0/24"))
    );
    assert_eq!((&forged["guildId"], &forged["actor"]), (&Value::Null, &json!("job:refusals")));
    let own = of("credential_invalid", "apiKeyId");
    assert_eq!((&own["data"]["count"], &own["guildId"]), (&json!(20), &json!(GUILD.to_string())));
    assert_eq!(of("key_in_url", "network")["data"]["count"], 1);
    world.advance(Span::days(1));
    world.get("/licenses").key(&revoked).empty().await.problem(401);
    api::write_refusals(&world.state).await.unwrap();
    assert_eq!(facts(&world, "security.requests_refused").await.len(), 4, "another day, another stream");
}
