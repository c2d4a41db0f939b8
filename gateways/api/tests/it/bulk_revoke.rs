//! `POST /admin/licenses/revoke`: all or nothing, each by itself, by filter, as a dry run, again, and by whom.

use domain::guild::{Action, StaffRole};
use domain::private::Person;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GUILD, OTHER_GUILD, Reply, World};

const PATH: &str = "/admin/licenses/revoke";
const NO_SUCH: &str = "00000000-0000-4000-8000-000000000000";

/// `count` new licenses of `pro`.
async fn made(world: &World, count: u32) -> Vec<String> {
    let request = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": count });
    world.licenses(request).await.into_iter().map(|(id, _)| id).collect()
}

fn order(ids: &[String], mode: &str) -> Value {
    json!({ "ids": ids, "mode": mode, "reason": "a sweep" })
}

async fn ask(world: &World, body: &Value) -> Reply {
    world.post(PATH).token("operator").json(body).await
}

async fn status(world: &World, id: &str) -> Value {
    world.get(&format!("/licenses/{id}")).token("operator").empty().await.ok(200)["status"].clone()
}

/// Status, then code, of each item.
fn fates(body: &Value) -> Vec<(&str, Option<&str>)> {
    let rows = body["data"].as_array().unwrap();
    rows.iter().map(|row| (row["status"].as_str().unwrap(), row["code"].as_str())).collect()
}

#[tokio::test]
async fn all_of_them_end_in_one_append() {
    let world = World::new().await;
    let ids = made(&world, 30).await;
    let before = world.queries.current_head().await.unwrap();
    let reply = ask(&world, &order(&ids, "all_or_nothing")).await;
    assert!(reply.header("dca-position").unwrap().ends_with(&format!(".{}", before + 30)));
    let body = reply.ok(200);
    let named: Vec<&str> =
        body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(named, ids);
    assert!(fates(&body).iter().all(|fate| *fate == ("revoked", None)));
    for id in &ids {
        assert_eq!(status(&world, id).await, "revoked");
    }
    let history = world.get(&format!("/licenses/{}/history", ids[7])).token("operator").empty().await.ok(200);
    let last = history["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["type"], &last["reason"]), (&json!("license.revoked"), &json!("a sweep")));
    assert_eq!(last["data"]["category"], "manual");
}

#[tokio::test]
async fn one_that_refuses_keeps_all_and_is_named() {
    let world = World::new().await;
    let mut ids = made(&world, 3).await;
    world.post(&format!("/licenses/{}/revoke", ids[1])).token("operator").empty().await.ok(200);
    ids.push(NO_SUCH.to_owned());
    let head = world.queries.current_head().await.unwrap();
    let reply = ask(&world, &order(&ids, "all_or_nothing")).await;
    assert_eq!(reply.problem(409), "BULK_REFUSED");
    let errors = reply.body["errors"].as_array().unwrap();
    let named: Vec<(&str, &str)> = errors
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    assert_eq!(named, [("/ids/1", "REVOKED"), ("/ids/3", "NOT_FOUND")]);
    assert!(errors[0]["detail"].as_str().unwrap().starts_with(&format!("{}: the license was", ids[1])));
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    assert_eq!(status(&world, &ids[0]).await, "generated");
    // What would be refused is refused as a dry run too.
    let mut dry = order(&ids, "all_or_nothing");
    dry["dryRun"] = json!(true);
    assert_eq!(ask(&world, &dry).await.problem(409), "BULK_REFUSED");
}

#[tokio::test]
async fn each_by_itself_says_what_became_of_it() {
    let world = World::new().await;
    let mut ids = made(&world, 3).await;
    let revoke = json!({ "category": "refund" });
    world.post(&format!("/licenses/{}/revoke", ids[0])).token("operator").json(&revoke).await.ok(200);
    ids.push(NO_SUCH.to_owned());
    let mut body = order(&ids, "each");
    body["category"] = json!("fraud");
    body["dryRun"] = json!(true);
    let expected = [("refused", Some("REVOKED")), ("revoked", None), ("revoked", None), ("not_found", None)];
    let head = world.queries.current_head().await.unwrap();
    let tried = ask(&world, &body).await.ok(200);
    assert_eq!((fates(&tried), &tried["dryRun"]), (expected.to_vec(), &json!(true)));
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    body["dryRun"] = json!(false);
    let done = ask(&world, &body).await.ok(200);
    assert_eq!((fates(&done), done.get("dryRun")), (expected.to_vec(), None));
    assert_eq!(status(&world, &ids[2]).await, "revoked");
    // Nothing is left to do.
    let again = ask(&world, &body).await;
    assert!(again.header("dca-position").is_some());
    assert_eq!(fates(&again.ok(200))[1], ("refused", Some("REVOKED")));
}

#[tokio::test]
async fn the_slot_of_a_role_is_blocked_with_its_license() {
    let world = World::new().await;
    let rule = json!({ "roleId": "91", "type": "pro" });
    world.post(&format!("/guilds/{GUILD}/role-rules")).token("operator").json(&rule).await.ok(201);
    let role = domain::id::RoleId(91);
    world.observe(ADA, &[role]).await;
    world.settled().await;
    let list = format!("/licenses?guildId={GUILD}&userId={ADA}");
    let listed = world.get(&list).token("operator").empty().await.ok(200);
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    let done = ask(&world, &order(std::slice::from_ref(&id), "each")).await.ok(200);
    assert_eq!(fates(&done), [("revoked", None)]);
    // The role comes again and finds the slot blocked.
    world.observe(ADA, &[]).await;
    world.observe(ADA, &[role]).await;
    world.settled().await;
    let listed = world.get(&list).token("operator").empty().await.ok(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(listed["data"][0]["status"], "revoked");
}

#[tokio::test]
async fn a_filter_takes_what_the_list_holds() {
    let world = World::new().await;
    let ids = made(&world, 5).await;
    let (team, _) = world.license_of("team", ADA).await;
    world.post(&format!("/licenses/{}/suspend", ids[2])).token("operator").empty().await.ok(200);
    world.settled().await;
    let with = |filter: Value, dry: bool| json!({ "filter": filter, "mode": "all_or_nothing", "reason": "x", "dryRun": dry });
    let guild = GUILD.to_string();
    for (filter, count) in [
        (json!({ "guildId": guild }), 6),
        (json!({ "guildId": guild, "type": "pro" }), 5),
        (json!({ "guildId": guild, "status": "suspended" }), 1),
        (json!({ "guildId": guild, "userId": ADA }), 1),
        (json!({ "guildId": guild, "q": ids[4] }), 1),
        (json!({ "guildId": guild, "expiresBefore": "2999-01-01T00:00:00Z" }), 1),
        (json!({ "guildId": guild, "type": "nothing" }), 0),
        (json!({ "guildId": OTHER_GUILD.to_string() }), 0),
    ] {
        let tried = ask(&world, &with(filter.clone(), true)).await.ok(200);
        assert_eq!(fates(&tried).len(), count, "{filter}");
    }
    let filter = json!({ "guildId": guild, "type": "pro", "status": "generated" });
    let call = async || {
        let ask = world.post(PATH).token("operator").header("idempotency-key", "sweep");
        ask.json(&with(filter.clone(), false)).await
    };
    let first = call().await.ok(200);
    assert_eq!(fates(&first).len(), 4);
    world.settled().await;
    // The filter holds nothing any more; the repeat shows what was done.
    let repeat = call().await;
    assert_eq!(repeat.header("idempotency-replayed"), Some("true"));
    assert_eq!(repeat.ok(200), first);
    assert_eq!(status(&world, &ids[2]).await, "suspended");
    assert_eq!(status(&world, &team).await, "assigned");
}

#[tokio::test]
async fn a_filter_waits_for_what_the_caller_has_written() {
    let world = World::new().await;
    for _ in 0..5 {
        let request = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 2 });
        let made = world.post("/admin/licenses/generate").token("operator").json(&request).await;
        let position = made.header("dca-position").unwrap().to_owned();
        let filter = json!({ "guildId": GUILD.to_string(), "status": "generated" });
        let body = json!({ "filter": filter, "mode": "each", "reason": "x" });
        let ask = world.post(PATH).token("operator").header("dca-min-position", &position);
        assert_eq!(fates(&ask.json(&body).await.ok(200)).len(), 2);
    }
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first() {
    let world = World::new().await;
    let mut ids = made(&world, 20).await;
    ids.push(NO_SUCH.to_owned());
    let call = async |key: &str, mode: &str| {
        let ask = world.post(PATH).token("operator").header("idempotency-key", key);
        ask.json(&order(&ids, mode)).await
    };
    let refused = call("all", "all_or_nothing").await;
    assert_eq!(refused.problem(409), "BULK_REFUSED");
    let first = call("each", "each").await;
    let head = world.queries.current_head().await.unwrap();
    for (key, mode, first) in [("all", "all_or_nothing", &refused), ("each", "each", &first)] {
        let repeat = call(key, mode).await;
        assert_eq!(repeat.header("idempotency-replayed"), Some("true"), "{key}");
        assert_eq!(repeat.status, first.status);
        for member in ["data", "code", "detail", "errors"] {
            assert_eq!(repeat.body.get(member), first.body.get(member), "{key}");
        }
    }
    assert_eq!(world.queries.current_head().await.unwrap(), head);
    assert_eq!(call("each", "all_or_nothing").await.problem(422), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn another_tenants_license_is_one_that_is_not_there() {
    let world = World::new().await;
    let ids = made(&world, 1).await;
    let scopes = json!({ "kind": "secret", "scopes": ["licenses:revoke"] });
    let other = world.api_key(OTHER_GUILD, scopes.clone()).await;
    let body = order(&[ids[0].clone(), NO_SUCH.to_owned()], "each");
    let told = world.post(PATH).key(&other).json(&body).await.ok(200);
    assert_eq!(fates(&told), [("not_found", None), ("not_found", None)]);
    let stranger = world.post(PATH).token(BOB).json(&body).await.ok(200);
    assert_eq!(fates(&stranger), [("not_found", None), ("not_found", None)]);
    let filter = json!({ "filter": { "guildId": GUILD.to_string() }, "mode": "each", "reason": "x" });
    assert_eq!(world.post(PATH).key(&other).json(&filter).await.problem(404), "NOT_FOUND");
    assert_eq!(world.post(PATH).token(BOB).json(&filter).await.problem(404), "NOT_FOUND");
    assert_eq!(status(&world, &ids[0]).await, "generated");
    let own = world.api_key(GUILD, scopes).await;
    assert_eq!(fates(&world.post(PATH).key(&own).json(&body).await.ok(200))[0], ("revoked", None));
}

#[tokio::test]
async fn it_needs_the_rank_or_the_scope_of_a_revocation() {
    let world = World::new().await;
    let ids = made(&world, 2).await;
    let narrow = world
        .api_key(GUILD, json!({ "kind": "secret", "scopes": ["licenses:write", "licenses:read"] }))
        .await;
    let filter = json!({ "filter": { "guildId": GUILD.to_string() }, "mode": "each", "reason": "x" });
    for body in [order(&ids, "each"), filter.clone()] {
        assert_eq!(world.post(PATH).key(&narrow).json(&body).await.problem(403), "MISSING_SCOPE");
        let publishable = world.publishable().await;
        assert_eq!(world.post(PATH).key(&publishable).json(&body).await.problem(403), "MISSING_SCOPE");
    }
    let promote = async |role| {
        let person = Person::new(world.commands.ring().as_ref(), BOB.parse().unwrap());
        let action = Action::ChangeStaff { person, role: Some(role), granted_by: StaffRole::Owner };
        world.commands.guild(&world.context(), GUILD, action).await.unwrap();
    };
    promote(StaffRole::Moderator).await;
    let told = world.post(PATH).token(BOB).json(&order(&ids, "each")).await.ok(200);
    assert_eq!(fates(&told), [("refused", Some("FORBIDDEN")); 2]);
    assert_eq!(world.post(PATH).token(BOB).json(&filter).await.problem(403), "FORBIDDEN");
    promote(StaffRole::Admin).await;
    let told = world.post(PATH).token(BOB).json(&order(&ids, "all_or_nothing")).await.ok(200);
    assert_eq!(fates(&told), [("revoked", None); 2]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_name() {
    let world = World::new().await;
    let id = made(&world, 1).await.remove(0);
    let guild = GUILD.to_string();
    let many: Vec<String> = (0..1_001_u128).map(|n| uuid::Uuid::from_u128(n).to_string()).collect();
    let good = order(std::slice::from_ref(&id), "each");
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let without_ids = json!({ "mode": "each", "reason": "x" });
    for (body, status, pointer) in [
        (with("ids", json!([])), 422, "/ids"),
        (with("ids", json!(many)), 422, "/ids"),
        (with("ids", json!([id, id])), 400, "/ids/1"),
        (with("ids", json!(["nonsense"])), 400, "/ids/0"),
        (with("filter", json!({ "guildId": guild })), 400, "/filter"),
        (with("mode", json!("some")), 400, "/mode"),
        (with("reason", json!(" ")), 400, "/reason"),
        (with("reason", json!("x".repeat(501))), 400, "/reason"),
        (with("category", json!("role_lost")), 422, "/category"),
        (without_ids.clone(), 400, "/ids"),
        (json!({ "filter": { "type": "pro" }, "mode": "each", "reason": "x" }), 400, "/filter/guildId"),
        (
            json!({ "filter": { "guildId": guild, "q": "ada" }, "mode": "each", "reason": "x" }),
            400,
            "/filter/q",
        ),
        (
            json!({ "filter": { "guildId": guild, "colour": 1 }, "mode": "each", "reason": "x" }),
            400,
            "/filter/colour",
        ),
    ] {
        let reply = ask(&world, &body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(reply.pointer(), pointer);
    }
    // One more than a request may take at once.
    made(&world, 1_000).await;
    world.settled().await;
    let filter = json!({ "filter": { "guildId": guild }, "mode": "each", "reason": "x" });
    let reply = ask(&world, &filter).await;
    assert_eq!((reply.problem(422), reply.pointer()), ("INVALID_VALUE", "/filter"));
    world.post(&format!("/licenses/{id}/revoke")).token("operator").empty().await.ok(200);
    world.settled().await;
    let filter = json!({ "filter": { "guildId": guild, "status": "generated" }, "mode": "all_or_nothing", "reason": "x" });
    assert_eq!(fates(&ask(&world, &filter).await.ok(200)).len(), 1_000);
}
