//! The feed that programs pull: every event of the guild once and in order, nothing of another guild, no secret.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use domain::id::{Pseudonym, RoleId};
use domain::private::Subject;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GRACE, GUILD, OTHER_GUILD, World};

async fn reader(world: &World) -> String {
    world.api_key(GUILD, json!({ "kind": "secret", "scopes": ["events:read"] })).await
}

async fn pull(world: &World, key: &str, query: &str) -> Value {
    world.get(&format!("/guilds/{GUILD}/events?{query}")).key(key).empty().await.ok(200)
}

fn names<'a>(page: &'a Value, member: &str) -> Vec<&'a str> {
    page["data"].as_array().unwrap().iter().map(|item| item[member].as_str().unwrap_or("-")).collect()
}

/// Everything after a position, page by page.
async fn all(world: &World, key: &str, query: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = pull(world, key, &format!("{query}&after={after}")).await;
        items.extend(page["data"].as_array().unwrap().iter().cloned());
        after = page["nextAfter"].as_str().unwrap().to_owned();
        if page["nextAfter"] == page["head"] {
            return items;
        }
    }
}

#[tokio::test]
async fn every_event_of_the_guild_comes_once_and_in_order_whatever_the_page() {
    let world = World::new().await;
    let key = reader(&world).await;
    for guild in [GUILD, OTHER_GUILD] {
        let body = json!({ "guildId": guild.to_string(), "type": "team", "count": 3 });
        world.licenses(body).await;
    }
    let (id, license) = world.license_of("pro", ADA).await;
    let body = json!({ "key": license, "deviceId": "laptop" });
    world.post("/licenses/activate").key(&world.secret().await).json(&body).await.ok(201);
    let whole = all(&world, &key, "limit=200").await;
    for limit in [1, 2, 7] {
        assert_eq!(all(&world, &key, &format!("limit={limit}")).await, whole, "pages of {limit}");
    }
    let positions: Vec<i64> = whole.iter().map(|item| item["position"].as_i64().unwrap()).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    let ids: BTreeSet<&str> = whole.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), whole.len());
    assert!(whole.iter().all(|item| item["data"]["guildId"] == GUILD.to_string()), "{whole:#?}");
    // As many as the log has of this guild.
    let listed = world.get(&format!("/admin/audit-log?guildId={GUILD}&limit=200")).token("operator").empty();
    world.settled().await;
    assert_eq!(listed.await.ok(200)["data"].as_array().unwrap().len(), whole.len());
    let activated = whole.iter().find(|item| item["event"] == "license.activated").unwrap();
    assert_eq!(
        (&activated["type"], &activated["aggregateId"]),
        (&json!("license.device_activated"), &json!(id))
    );
    let data = &activated["data"];
    assert_eq!(
        (&data["licenseId"], &data["userId"], &data["deviceId"], &data["licenseType"]),
        (&json!(id), &json!(ADA), &json!("laptop"), &json!("pro"))
    );
    let text = Value::from(whole.clone()).to_string();
    assert!(!text.contains(&license) && !text.contains("dca_sec_") && !text.contains("\"u_"), "{text}");
}

#[tokio::test]
async fn holds_resets_and_metadata_are_told_as_they_were() {
    let world = World::new().await;
    let (key, secret) = (reader(&world).await, world.secret().await);
    let request = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 1, "assignTo": ADA,
        "metadata": { "order": 7 }, "privateMetadata": { "note": "hidden" } });
    let (id, license) = world.licenses(request).await.remove(0);
    for device in ["a", "b"] {
        let body = json!({ "key": license, "deviceId": device });
        world.post("/licenses/activate").key(&secret).json(&body).await.ok(201);
    }
    let post = |what: &str, body: Value| {
        let path = format!("/licenses/{id}/{what}");
        let world = &world;
        async move { world.post(&path).token(GRACE).json(&body).await.ok(200) }
    };
    post("suspend", json!({})).await;
    post("suspend", json!({ "by": "policy" })).await;
    post("resume", json!({})).await;
    post("resume", json!({ "by": "policy" })).await;
    post("transfer", json!({ "toUserId": BOB })).await;
    let items = all(&world, &key, "limit=200&types=license.*").await;
    let of: Vec<(&str, &str)> = items
        .iter()
        .map(|item| (item["type"].as_str().unwrap(), item["event"].as_str().unwrap_or("-")))
        .collect();
    // The second hold suspends nothing more, and the first that goes resumes nothing.
    for pair in [
        ("license.suspended", "license.suspended"),
        ("license.suspended", "-"),
        ("license.resumed", "-"),
        ("license.resumed", "license.resumed"),
    ] {
        assert_eq!(of.iter().filter(|found| **found == pair).count(), 1, "{pair:?} in {of:?}");
    }
    let gone: Vec<&Value> = items.iter().filter(|item| item["event"] == "license.deactivated").collect();
    let devices: BTreeSet<&str> =
        gone.iter().map(|item| item["data"]["deviceId"].as_str().unwrap()).collect();
    assert_eq!(devices, BTreeSet::from(["a", "b"]), "{gone:#?}");
    let made = items.iter().find(|item| item["event"] == "license.created").unwrap();
    assert_eq!(made["data"]["metadata"], json!({ "order": 7 }));
    let transferred = items.iter().find(|item| item["event"] == "license.transferred").unwrap();
    assert_eq!(transferred["data"]["userId"], BOB);
    assert!(!Value::from(items).to_string().contains("hidden"));
}

#[tokio::test]
async fn members_and_the_guild_are_told_of_without_secrets() {
    let world = World::new().await;
    let key = reader(&world).await;
    let rule = json!({ "roleId": "42", "type": "pro" });
    world.post(&format!("/guilds/{GUILD}/role-rules")).token(GRACE).json(&rule).await.ok(201);
    world.observe(ADA, &[RoleId(42)]).await;
    let items = all(&world, &key, "limit=200&types=user.*,member.*,guild.*").await;
    let registered = items.iter().find(|item| item["event"] == "user.registered").unwrap();
    assert_eq!((&registered["type"], &registered["data"]["userId"]), (&json!("member.joined"), &json!(ADA)));
    let changed = items.iter().find(|item| item["event"] == "user.role_changed").unwrap();
    assert_eq!((&changed["data"]["userId"], &changed["data"]["added"]), (&json!(ADA), &json!(["42"])));
    let issued = items.iter().find(|item| item["type"] == "guild.api_key_issued").unwrap();
    let members: BTreeSet<&str> = issued["data"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["guildId", "keyId", "kind"]));
    let first = items.iter().find(|item| item["type"] == "guild.registered").unwrap();
    assert_eq!(first["data"]["ownerId"], GRACE);
}

#[tokio::test]
async fn an_erased_persons_number_does_not_come_back() {
    let world = World::new().await;
    let key = reader(&world).await;
    world.license_of("team", ADA).await;
    let user = Pseudonym::of(world.commands.ring().as_ref(), ADA.parse().unwrap());
    world.commands.vault().destroy(&Subject::User(user)).await.unwrap();
    let items = all(&world, &key, "limit=200&types=license.assigned").await;
    assert_eq!(items[0]["data"]["userId"], "erased");
}

#[tokio::test]
async fn positions_and_filters_that_cannot_be_meant_are_refused() {
    let world = World::new().await;
    let key = reader(&world).await;
    let path = format!("/guilds/{GUILD}/events");
    let head = pull(&world, &key, "").await["head"].as_str().unwrap().to_owned();
    let (epoch, number) = head.rsplit_once('.').unwrap();
    let beyond = number.parse::<i64>().unwrap() + 1_000;
    for (query, status, code) in [
        (format!("after={epoch}.{beyond}"), 400, "POSITION_UNKNOWN"),
        (format!("after={beyond}"), 400, "POSITION_UNKNOWN"),
        ("after=ffff.1".to_owned(), 400, "POSITION_UNKNOWN"),
        ("after=x".to_owned(), 400, "INVALID_REQUEST"),
        ("after=-1".to_owned(), 400, "INVALID_REQUEST"),
        ("types=license.made".to_owned(), 422, "INVALID_VALUE"),
        ("types=".to_owned(), 422, "INVALID_VALUE"),
        ("wait=21".to_owned(), 422, "INVALID_VALUE"),
        ("wait=x".to_owned(), 400, "INVALID_REQUEST"),
        ("limit=0".to_owned(), 422, "INVALID_VALUE"),
        ("cursor=1".to_owned(), 400, "INVALID_REQUEST"),
    ] {
        let refused = world.get(&format!("{path}?{query}")).key(&key).empty().await;
        assert_eq!(refused.problem(status), code, "{query}");
    }
    assert_eq!(pull(&world, &key, &format!("after={head}")).await["data"], json!([]));
    let no_scope = world.secret().await;
    assert_eq!(world.get(&path).key(&no_scope).empty().await.problem(403), "MISSING_SCOPE");
}

#[tokio::test]
async fn a_wait_ends_when_something_happens_and_not_before() {
    let world = World::new().await;
    let key = reader(&world).await;
    let after = pull(&world, &key, "").await["head"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let nothing = pull(&world, &key, &format!("after={after}&wait=1")).await;
    assert_eq!(nothing["data"], json!([]));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let begun = Instant::now();
    let query = format!("after={after}&wait=20&types=license.created");
    let asked = pull(&world, &key, &query);
    let made = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // What is not asked for, and what is another guild's, does not end the wait.
        let other = json!({ "guildId": OTHER_GUILD.to_string(), "type": "team", "count": 1 });
        world.licenses(other).await;
        world
            .patch(&format!("/guilds/{GUILD}/settings"))
            .token(GRACE)
            .json(&json!({ "locale": "de" }))
            .await
            .ok(200);
        world.license("team").await
    };
    let (told, (id, _)) = tokio::join!(asked, made);
    assert_eq!(names(&told, "event"), ["license.created"]);
    assert_eq!(told["data"][0]["data"]["licenseId"], id);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn nothing_is_left_out_or_told_twice_while_others_write() {
    let world = World::new().await;
    let key = reader(&world).await;
    let writes = async {
        for _ in 0..20 {
            let body = json!({ "guildId": GUILD.to_string(), "type": "team", "count": 3 });
            tokio::join!(world.licenses(body.clone()), world.licenses(body));
        }
    };
    let reads = async {
        let (mut seen, mut after) = (Vec::new(), "0".to_owned());
        let begun = Instant::now();
        while seen.len() < 120 && begun.elapsed() < Duration::from_secs(60) {
            let query = format!("after={after}&limit=5&wait=1&types=license.created");
            let page = pull(&world, &key, &query).await;
            let items = page["data"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["position"].as_i64().unwrap()));
            after = page["nextAfter"].as_str().unwrap().to_owned();
        }
        seen
    };
    let ((), seen) = tokio::join!(writes, reads);
    assert_eq!(seen.len(), 120);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}
