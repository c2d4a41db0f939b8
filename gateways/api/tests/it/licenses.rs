//! Making, listing and reading licenses, and their history.

use domain::time::Span;
use serde_json::{Value, json};

use crate::world::{ADA, ADMIN_ROLE, BOB, GRACE, GUILD, OTHER_GUILD, World};

fn ids(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn many_licenses_are_made_at_once_with_their_keys() {
    let world = World::new().await;
    let secret = world.secret().await;
    let request = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 25, "assignTo": ADA });
    let body = world.post("/admin/licenses/generate").key(&secret).json(&request).await.ok(201);
    let rows = body["data"].as_array().unwrap();
    assert_eq!(rows.len(), 25);
    assert_eq!(rows[0]["status"], "assigned");
    assert_eq!(rows[0]["userId"], ADA);
    assert_eq!(rows[0]["version"], 2);
    let keys: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 25);
    assert!(keys.iter().all(|key| domain::key::is_well_formed(key) && key.starts_with("DCA-")));
    for (change, pointer) in [
        (json!({ "type": "nothing" }), "/type"),
        (json!({ "count": 0 }), "/count"),
        (json!({ "count": 10_001 }), "/count"),
    ] {
        let mut request = request.clone();
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let reply = world.post("/admin/licenses/generate").key(&secret).json(&request).await;
        assert_eq!((reply.problem(422), reply.pointer()), ("INVALID_VALUE", pointer));
    }
    let foreign = json!({ "guildId": OTHER_GUILD.to_string(), "type": "pro", "count": 1 });
    assert_eq!(
        world.post("/admin/licenses/generate").key(&secret).json(&foreign).await.problem(404),
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_filtered() {
    let world = World::new().await;
    let secret = world.secret().await;
    for owner in [ADA, BOB, ADA] {
        world.license_of("pro", owner).await;
    }
    let (team, _) = world.license("team").await;
    world.settled().await;
    let list = async |query: &str| world.get(&format!("/licenses{query}")).key(&secret).empty().await.ok(200);
    let all = list("").await;
    assert_eq!(ids(&all).len(), 4);
    assert_eq!(ids(&all)[0], team);
    let first = list("?limit=3").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = list(&format!("?limit=3&cursor={cursor}")).await;
    assert_eq!(rest["nextCursor"], Value::Null);
    assert_eq!([ids(&first), ids(&rest)].concat(), ids(&all));
    assert_eq!(ids(&list("?type=team").await), [team.as_str()]);
    assert_eq!(ids(&list(&format!("?userId={ADA}")).await).len(), 2);
    assert_eq!(ids(&list(&format!("?q={team}")).await), [team.as_str()]);
    assert_eq!(ids(&list("?status=generated").await), [team.as_str()]);
    let soon = world.now().after(Span::days(31));
    assert_eq!(ids(&list(&format!("?expiresBefore={soon}")).await), [team.as_str()]);
    world.advance(Span::days(40));
    assert_eq!(ids(&list("?status=expired").await), [team.as_str()]);
    for (query, status, pointer) in [
        ("?colour=1", 400, "?colour"),
        ("?limit=0", 422, "?limit"),
        ("?limit=x", 400, "?limit"),
        ("?cursor=!!", 400, "?cursor"),
        ("?status=odd", 400, "?status"),
        ("?userId=me", 400, "?userId"),
        ("?expiresBefore=soon", 400, "?expiresBefore"),
        ("?q=ada", 400, "?q"),
    ] {
        let reply = world.get(&format!("/licenses{query}")).key(&secret).empty().await;
        reply.problem(status);
        assert_eq!(reply.pointer(), pointer);
    }
}

#[tokio::test]
async fn people_list_their_own_and_staff_their_guild() {
    let world = World::new().await;
    let (own, _) = world.license_of("pro", ADA).await;
    world.license_of("pro", BOB).await;
    world.settled().await;
    let mine = world.get("/licenses").token(ADA).empty().await.ok(200);
    assert_eq!(ids(&mine), [own.as_str()]);
    assert_eq!(mine["data"][0].get("privateMetadata"), None);
    let guild = format!("/licenses?guildId={GUILD}");
    assert_eq!(ids(&world.get(&guild).token(ADA).empty().await.ok(200)), [own.as_str()]);
    assert_eq!(ids(&world.get(&guild).token(GRACE).empty().await.ok(200)).len(), 2);
    let other = world.get(&format!("/licenses?userId={BOB}")).token(ADA).empty().await;
    assert_eq!(other.problem(403), "FORBIDDEN");
    let secret = world.secret().await;
    let foreign = world.get(&format!("/licenses?guildId={OTHER_GUILD}")).key(&secret).empty().await;
    assert_eq!(foreign.problem(404), "NOT_FOUND");
    // A role with ADMINISTRATOR makes an admin.
    world.observe(BOB, &[ADMIN_ROLE]).await;
    assert_eq!(ids(&world.get(&guild).token(BOB).empty().await.ok(200)).len(), 2);
}

#[tokio::test]
async fn one_license_is_read_as_it_is_and_as_it_was() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, _) = world.license_of("pro", ADA).await;
    world.post(&format!("/licenses/{id}/suspend")).token("operator").empty().await.ok(200);
    let path = format!("/licenses/{id}");
    let reply = world.get(&path).key(&secret).empty().await;
    assert_eq!(reply.header("etag"), Some("\"3\""));
    assert!(reply.header("dca-position").is_some());
    assert_eq!(reply.ok(200)["status"], "suspended");
    let before = world.get(&format!("{path}?asOf=version:2")).key(&secret).empty().await.ok(200);
    assert_eq!(before["status"], "assigned");
    let never = world.get(&format!("{path}?asOf=1999-01-01T00:00:00Z")).key(&secret).empty().await;
    assert_eq!(never.problem(404), "NOT_YET_EXISTING");
    let odd = world.get(&format!("{path}?asOf=yesterday")).key(&secret).empty().await;
    assert_eq!((odd.problem(400), odd.pointer()), ("INVALID_REQUEST", "?asOf"));
    assert_eq!(world.get(&path).token(ADA).empty().await.ok(200)["userId"], ADA);
    for stranger in [BOB, "999"] {
        assert_eq!(world.get(&path).token(stranger).empty().await.problem(404), "NOT_FOUND");
    }
    for unknown in ["00000000-0000-4000-8000-000000000000", "nonsense", "%00"] {
        let reply = world.get(&format!("/licenses/{unknown}")).key(&secret).empty().await;
        assert_eq!(reply.problem(404), "NOT_FOUND");
    }
}

#[tokio::test]
async fn the_history_says_who_when_and_why() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, _) = world.license_of("pro", ADA).await;
    let body = json!({ "reason": "too many complaints" });
    let ask = world.post(&format!("/licenses/{id}/suspend")).key(&secret).header("x-request-id", "req-1");
    ask.json(&body).await.ok(200);
    world.settled().await;
    let path = format!("/licenses/{id}/history");
    let history = world.get(&path).key(&secret).empty().await.ok(200);
    let rows = history["data"].as_array().unwrap();
    let types: Vec<&str> = rows.iter().map(|row| row["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["license.generated", "license.assigned", "license.suspended"]);
    let last = &rows[2];
    assert_eq!((&last["sequence"], &last["reason"]), (&json!(3), &json!("too many complaints")));
    assert_eq!(last["correlationId"], "req-1");
    assert!(last["actor"].as_str().unwrap().starts_with("apikey:"));
    assert_eq!(last["stateAfter"]["status"], "suspended");
    assert_eq!(last["data"].get("type"), None);
    assert_eq!(rows[1]["data"]["owner"]["discordId"], ADA);
    assert_eq!(rows[1]["stateAfter"]["userId"], ADA);
    let first = world.get(&format!("{path}?limit=1")).key(&secret).empty().await.ok(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    let next = world.get(&format!("{path}?limit=1&cursor={cursor}")).key(&secret).empty().await.ok(200);
    assert_eq!(next["data"][0]["sequence"], 2);
}

#[tokio::test]
async fn an_owner_sees_of_the_time_before_only_that_it_happened() {
    let world = World::new().await;
    let (id, _) = world.license_of("team", BOB).await;
    let offer = json!({ "toUserId": ADA, "reason": "a present" });
    world.post(&format!("/licenses/{id}/transfer")).token("operator").json(&offer).await.ok(200);
    world.settled().await;
    let path = format!("/licenses/{id}/history");
    let history = world.get(&path).token(ADA).empty().await.ok(200);
    let rows = history["data"].as_array().unwrap();
    let assigned = rows.iter().find(|row| row["type"] == "license.assigned").unwrap();
    assert_eq!(assigned["data"]["owner"].get("discordId"), None);
    assert_eq!(assigned["stateAfter"].get("userId"), None);
    let transferred = rows.iter().find(|row| row["type"] == "license.transferred").unwrap();
    assert_eq!(transferred["data"]["to"]["discordId"], ADA);
    assert_eq!(transferred["reason"], "a present");
    assert!(!history.to_string().contains(&format!("\"{BOB}\"")));
    let earlier = world.get(&format!("/licenses/{id}?asOf=version:2")).token(ADA).empty().await.ok(200);
    assert_eq!(earlier.get("userId"), None);
}
