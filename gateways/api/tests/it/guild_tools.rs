//! What staff look at and try before they change a guild: its history, its roles, what a rule would do, and types that are
//! applied to licenses.

use std::collections::BTreeSet;

use domain::guild::StaffRole;
use domain::id::RoleId;
use projections::GuildRole;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GRACE, GUILD, Reply, World};

const ROLE: RoleId = RoleId(42);
const OTHER_ROLE: RoleId = RoleId(43);

fn guild(rest: &str) -> String {
    format!("/guilds/{GUILD}/{rest}")
}

async fn rule(world: &World, role: RoleId, slug: &str) {
    let body = json!({ "roleId": role.to_string(), "type": slug });
    world.post(&guild("role-rules")).token(GRACE).json(&body).await.ok(201);
}

async fn preview(world: &World, role: RoleId, slug: &str) -> Reply {
    let body = json!({ "roleId": role.to_string(), "type": slug });
    world.post(&guild("role-rules/preview")).token(GRACE).json(&body).await
}

async fn apply(world: &World, slug: &str, body: Value) -> Reply {
    world.post(&guild(&format!("license-types/{slug}/apply"))).token(GRACE).json(&body).await
}

#[tokio::test]
async fn the_history_of_a_guild_has_every_event_and_the_state_after_it() {
    let world = World::new().await;
    let settings = json!({ "locale": "de" });
    world.patch(&guild("settings")).token(GRACE).json(&settings).await.ok(200);
    let key = world.secret().await;
    let page = world.get(&guild("history?limit=2")).token(GRACE).empty().await.ok(200);
    let first = &page["data"][0];
    assert_eq!((&first["type"], &first["sequence"]), (&json!("guild.registered"), &json!(1)));
    assert_eq!(first["data"]["owner"]["discordId"], GRACE);
    assert_eq!(
        (&first["stateAfter"]["name"], &first["stateAfter"]["ownerId"]),
        (&json!("Test"), &json!(GRACE))
    );
    let mut all = page["data"].as_array().unwrap().clone();
    let mut next = page["nextCursor"].as_str().map(str::to_owned);
    while let Some(cursor) = next {
        let path = guild(&format!("history?limit=2&cursor={cursor}"));
        let page = world.get(&path).token(GRACE).empty().await.ok(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        next = page["nextCursor"].as_str().map(str::to_owned);
    }
    let now = world.get(&format!("/guilds/{GUILD}")).token(GRACE).empty().await.ok(200);
    assert_eq!(all.last().unwrap()["stateAfter"], now);
    let sequences: Vec<u64> = all.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=all.len() as u64).collect::<Vec<_>>());
    let changed = all.iter().find(|entry| entry["type"] == "guild.settings_changed").unwrap();
    assert_eq!(changed["stateAfter"]["settings"]["locale"], "de");
    assert_eq!(changed["data"]["settings"]["locale"], "de");
    assert!(!Value::from(all).to_string().contains(&key));
}

#[tokio::test]
async fn what_credentials_can_do_is_told_to_those_who_may_see_credentials() {
    let world = World::new().await;
    let role = json!({ "role": StaffRole::Auditor });
    world
        .ask(axum::http::Method::PUT, &guild(&format!("staff/{BOB}")))
        .token(GRACE)
        .json(&role)
        .await
        .ok(200);
    world.secret().await;
    let issued = async |who: &str| {
        let all = world.get(&guild("history?limit=200")).token(who).empty().await.ok(200);
        let entries = all["data"].as_array().unwrap();
        entries.iter().find(|entry| entry["type"] == "guild.api_key_issued").unwrap()["data"].clone()
    };
    assert!(issued(GRACE).await["scopes"].is_array());
    let seen = issued(BOB).await;
    let members: BTreeSet<&str> = seen.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["at", "keyId", "kind"]));
}

#[tokio::test]
async fn roles_are_those_that_the_bot_told_of_with_their_rules() {
    let world = World::new().await;
    let nothing = world.get(&guild("roles")).token(GRACE).empty().await.ok(200);
    assert_eq!((&nothing["data"], &nothing["seenAt"]), (&json!([]), &Value::Null));
    let role = |id: RoleId, position, assignable| GuildRole {
        id,
        name: format!("role {id}"),
        position,
        managed: false,
        assignable,
    };
    let seen = [role(OTHER_ROLE, 2, false), role(ROLE, 1, true)];
    let stored = world.queries.guild_roles();
    assert!(stored.put(GUILD, &seen, world.now()).await.unwrap());
    // What was seen before that does not come back.
    assert!(!stored.put(GUILD, &seen[..1], domain::time::Timestamp(1)).await.unwrap());
    rule(&world, ROLE, "pro").await;
    let listed = world.get(&guild("roles")).token(GRACE).empty().await.ok(200);
    let [high, low] = listed["data"].as_array().unwrap().as_slice() else { panic!("{listed:#}") };
    assert_eq!(
        (&high["id"], &high["assignable"], &high["rule"]),
        (&json!("43"), &json!(false), &Value::Null)
    );
    assert_eq!(
        (&low["discordRoleId"], &low["position"], &low["name"]),
        (&json!("42"), &json!(1), &json!("role 42"))
    );
    assert_eq!((&low["rule"]["type"], &low["guildId"]), (&json!("pro"), &json!(GUILD.to_string())));
    assert!(listed["seenAt"].is_string());
}

#[tokio::test]
async fn a_preview_counts_who_gets_and_who_loses_and_writes_nothing() {
    let world = World::new().await;
    rule(&world, ROLE, "pro").await;
    for (user, roles) in [(ADA, &[ROLE][..]), (BOB, &[ROLE]), ("504", &[])] {
        world.observe(user, roles).await;
    }
    world.settled().await;
    let head = world.queries.current_head().await.unwrap();
    // The same rule again: nothing would follow, for anybody who is known.
    let same = preview(&world, ROLE, "pro").await.ok(200);
    assert_eq!((&same["issue"], &same["lose"], &same["unchanged"]), (&json!(0), &json!(0), &json!(2)));
    // Another type for the role: everybody who has it gets the one and loses the other.
    let other = preview(&world, ROLE, "team").await.ok(200);
    assert_eq!(
        (&other["issue"], &other["lose"], &other["unchanged"]),
        (&json!(2), &json!(2), &json!(0)),
        "{other:#}"
    );
    assert!(other["ruleId"].is_string());
    let users: BTreeSet<&str> =
        other["sample"].as_array().unwrap().iter().map(|one| one["userId"].as_str().unwrap()).collect();
    assert_eq!(users, BTreeSet::from([ADA, BOB]));
    assert_eq!(
        (&other["sample"][0]["issue"], &other["sample"][0]["lose"]),
        (&json!(["team"]), &json!(["pro"]))
    );
    assert_eq!(other["picture"], json!({ "members": 2, "complete": true, "limit": null }));
    // Who has a role that no rule maps is not known, and the answer says so.
    let unknown = preview(&world, OTHER_ROLE, "team").await.ok(200);
    assert_eq!((&unknown["issue"], &unknown["ruleId"]), (&json!(0), &Value::Null));
    assert_eq!(unknown["picture"]["complete"], false);
    assert!(unknown["picture"]["limit"].as_str().unwrap().contains("sweep"));
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    assert_eq!(preview(&world, ROLE, "none").await.problem(422), "INVALID_VALUE");
}

/// What a preview says is what setting the rule does.
#[tokio::test]
async fn a_preview_says_what_then_happens() {
    let world = World::new().await;
    rule(&world, ROLE, "pro").await;
    for user in [ADA, BOB] {
        world.observe(user, &[ROLE]).await;
    }
    world.settled().await;
    let said = preview(&world, ROLE, "team").await.ok(200);
    let rules = world.get(&guild("role-rules")).token(GRACE).empty().await.ok(200);
    let path = guild(&format!("role-rules/{}", rules["data"][0]["id"].as_str().unwrap()));
    world.ask(axum::http::Method::PUT, &path).token(GRACE).json(&json!({ "type": "team" })).await.ok(200);
    let (mut issued, mut lost) = (0, 0);
    for user in [ADA, BOB] {
        let seen = world.observe(user, &[ROLE]).await;
        let licenses = seen["licenses"].as_array().unwrap();
        let of = |slug: &str| licenses.iter().find(|one| one["type"] == slug).unwrap()["status"].clone();
        issued += usize::from(of("team") != "revoked");
        lost += usize::from(of("pro") == "revoked");
    }
    assert_eq!((&said["issue"], &said["lose"]), (&json!(issued), &json!(lost)));
}

#[tokio::test]
async fn a_type_is_applied_to_the_licenses_that_it_fits() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (used, key) = world.license_of("pro", ADA).await;
    for device in ["a", "b"] {
        let body = json!({ "key": key, "deviceId": device });
        world.post("/licenses/activate").key(&secret).json(&body).await.ok(201);
    }
    let (free, _) = world.license_of("pro", BOB).await;
    let (ended, _) = world.license("pro").await;
    world.post(&format!("/licenses/{ended}/revoke")).token(GRACE).empty().await.ok(200);
    let change = json!({ "terms": { "maxDevices": 1, "entitlements": ["x"] } });
    world.patch(&guild("license-types/pro")).token(GRACE).json(&change).await.ok(200);
    world.settled().await;
    let expected = json!([
        { "id": free, "status": "changed" },
        { "id": used, "status": "refused", "code": "DEVICES_IN_USE" },
    ]);
    let head = world.queries.current_head().await.unwrap();
    let tried = apply(&world, "pro", json!({ "dryRun": true })).await.ok(200);
    assert_eq!(
        (&tried["data"], &tried["dryRun"], &tried["nextCursor"]),
        (&expected, &json!(true), &Value::Null)
    );
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    let only = apply(&world, "pro", json!({ "filter": { "userId": ADA }, "dryRun": true })).await.ok(200);
    assert_eq!(only["data"].as_array().unwrap().len(), 1);
    let path = guild("license-types/pro/apply");
    let nothing = json!({});
    let once = || world.post(&path).token(GRACE).header("idempotency-key", "k").json(&nothing);
    let done = once().await.ok(200);
    assert_eq!(done, json!({ "data": expected, "nextCursor": null }));
    let license = world.get(&format!("/licenses/{free}")).token(GRACE).empty().await.ok(200);
    assert_eq!((&license["maxDevices"], &license["entitlements"]), (&json!(1), &json!(["x"])));
    assert_eq!(world.get(&format!("/licenses/{used}")).token(GRACE).empty().await.ok(200)["maxDevices"], 2);
    // The repeat is answered as the first time, although nothing would be left to do for one of them.
    let again = once().await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(200), done);
    world.settled().await;
    let rest = apply(&world, "pro", json!({})).await.ok(200);
    assert_eq!(rest["data"], json!([{ "id": used, "status": "refused", "code": "DEVICES_IN_USE" }]));
}

#[tokio::test]
async fn more_licenses_than_one_order_takes_are_applied_page_by_page() {
    let world = World::new().await;
    let body = json!({ "guildId": GUILD.to_string(), "type": "team", "count": 1_201 });
    world.licenses(body).await;
    let change = json!({ "terms": { "transferable": false } });
    world.patch(&guild("license-types/team")).token(GRACE).json(&change).await.ok(200);
    world.settled().await;
    let (mut ids, mut cursor) = (BTreeSet::new(), Value::Null);
    for expected in [1_000, 201] {
        let done = apply(&world, "team", json!({ "cursor": cursor })).await.ok(200);
        let items = done["data"].as_array().unwrap();
        assert_eq!(items.len(), expected);
        assert!(items.iter().all(|item| item["status"] == "changed"));
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        cursor = done["nextCursor"].clone();
    }
    assert_eq!((ids.len(), &cursor), (1_201, &Value::Null));
}

#[tokio::test]
async fn orders_that_cannot_be_meant_apply_nothing() {
    let world = World::new().await;
    world.license("team").await;
    for (body, status, code) in [
        (json!({ "filter": { "type": "pro" } }), 400, "INVALID_REQUEST"),
        (json!({ "filter": { "q": "x" } }), 400, "INVALID_REQUEST"),
        (json!({ "filter": [] }), 400, "INVALID_REQUEST"),
        (json!({ "cursor": "x" }), 400, "INVALID_REQUEST"),
        (json!({ "dryRun": "yes" }), 400, "INVALID_REQUEST"),
    ] {
        assert_eq!(apply(&world, "team", body.clone()).await.problem(status), code, "{body}");
    }
    assert_eq!(apply(&world, "none", json!({})).await.problem(404), "NOT_FOUND");
}
