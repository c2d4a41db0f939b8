//! Who has which rank in a guild, who may give it, and what becomes of types, rules and members that staff change.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::id::DiscordId;
use serde_json::{Value, json};

use crate::world::{ADA, ADMIN_ROLE, BOB, GRACE, GUILD, OTHER_GUILD, World};

fn staff(user: &str) -> String {
    format!("/guilds/{GUILD}/staff/{user}")
}

async fn put(world: &World, by: &str, user: &str, role: Value) -> crate::world::Reply {
    world.ask(Method::PUT, &staff(user)).token(by).json(&json!({ "role": role })).await
}

/// Waits until the read model shows what was written last.
async fn caught_up(world: &World) {
    let head = world.queries.head();
    world.queries.wait_for(head, std::time::Duration::from_secs(20)).await.unwrap();
}

#[tokio::test]
async fn nobody_grants_or_takes_a_rank_above_his_own() {
    let world = World::new().await;
    let given = put(&world, GRACE, ADA, json!("admin")).await.ok(200);
    assert_eq!((&given["userId"], &given["role"]), (&json!(ADA), &json!("admin")));
    assert!(given["since"].is_string());
    // An admin makes moderators and auditors, and no second admin; nobody makes an owner.
    assert_eq!(put(&world, ADA, BOB, json!("moderator")).await.ok(200)["role"], "moderator");
    assert_eq!(put(&world, ADA, BOB, json!("admin")).await.problem(403), "RANK_TOO_LOW");
    assert_eq!(put(&world, ADA, ADA, json!("admin")).await.problem(403), "RANK_TOO_LOW");
    for by in [GRACE, "operator"] {
        assert_eq!(put(&world, by, BOB, json!("owner")).await.problem(403), "RANK_TOO_LOW");
    }
    // A moderator changes no staff at all.
    assert_eq!(put(&world, BOB, "504", json!("auditor")).await.problem(403), "FORBIDDEN");
    // No API key does, and another tenant's staff see nothing.
    let key = world.secret().await;
    let by_key = world.ask(Method::PUT, &staff(BOB)).key(&key).json(&json!({ "role": "auditor" })).await;
    assert_eq!(by_key.problem(403), "FORBIDDEN");
    let path = format!("/guilds/{OTHER_GUILD}/staff/{BOB}");
    let elsewhere = world.ask(Method::PUT, &path).token(ADA).json(&json!({ "role": "auditor" })).await;
    assert_eq!(elsewhere.problem(404), "NOT_FOUND");
    caught_up(&world).await;
    let listed = world.get(&format!("/guilds/{GUILD}/staff")).token(BOB).empty().await.ok(200);
    let mut ranks: Vec<(&str, &str)> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["userId"].as_str().unwrap(), one["role"].as_str().unwrap()))
        .collect();
    ranks.sort_unstable();
    assert_eq!(ranks, [(ADA, "admin"), (BOB, "moderator")]);
}

#[tokio::test]
async fn a_dismissal_takes_every_right_at_once() {
    let world = World::new().await;
    put(&world, GRACE, BOB, json!("auditor")).await.ok(200);
    let path = format!("/guilds/{GUILD}/staff");
    assert_eq!(world.get(&path).token(BOB).empty().await.status, 200);
    let gone = world.delete(&staff(BOB)).token(GRACE).header("idempotency-key", "x").empty().await;
    assert_eq!(gone.status, 204);
    assert_eq!(world.get(&path).token(BOB).empty().await.problem(404), "NOT_FOUND");
    let again = world.delete(&staff(BOB)).token(GRACE).header("idempotency-key", "x").empty().await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (204, Some("true")));
    assert_eq!(put(&world, GRACE, BOB, Value::Null).await.status, 204, "to be none again is no change");
    for (body, pointer) in [(json!({}), "/role"), (json!({ "role": "king" }), "/role")] {
        let odd = world.ask(Method::PUT, &staff(BOB)).token(GRACE).json(&body).await;
        odd.problem(400);
        assert_eq!(odd.pointer(), pointer);
    }
    assert_eq!(put(&world, GRACE, "nobody", json!("auditor")).await.problem(404), "NOT_FOUND");
}

/// An administrator on Discord is an admin here for as long as he is one there.
#[tokio::test]
async fn a_watched_role_makes_an_admin_while_it_is_there() {
    let world = World::new().await;
    let path = format!("/guilds/{GUILD}/license-types");
    let define = |slug: &str| json!({ "slug": slug, "name": "X" });
    assert_eq!(world.post(&path).token(ADA).json(&define("a")).await.problem(404), "NOT_FOUND");
    for (roles, status) in [(BTreeSet::from([ADMIN_ROLE]), 201), (BTreeSet::new(), 404)] {
        let user: DiscordId = ADA.parse().unwrap();
        let body = json!({ "guildId": GUILD.to_string(), "userId": user.to_string(), "roles": roles });
        world.post("/_demo/members/observe").token("operator").json(&body).await.ok(200);
        caught_up(&world).await;
        assert_eq!(world.post(&path).token(ADA).json(&define("b")).await.status, status);
    }
}

#[tokio::test]
async fn members_are_listed_with_what_their_roles_gave() {
    let world = World::new().await;
    let rule = json!({ "roleId": "42", "type": "pro" });
    world.post(&format!("/guilds/{GUILD}/role-rules")).token(GRACE).json(&rule).await.ok(201);
    for user in [ADA, BOB] {
        let body = json!({ "guildId": GUILD.to_string(), "userId": user, "roles": ["42"] });
        world.post("/_demo/members/observe").token("operator").json(&body).await.ok(200);
    }
    caught_up(&world).await;
    let path = format!("/guilds/{GUILD}/members");
    let page = world.get(&format!("{path}?limit=1")).token(GRACE).empty().await.ok(200);
    let first = &page["data"][0];
    assert_eq!(
        (&first["userId"], &first["roles"], &first["present"]),
        (&json!(ADA), &json!(["42"]), &json!(true))
    );
    assert_eq!((&first["slots"][0]["type"], &first["slots"][0]["open"]), (&json!("pro"), &json!(true)));
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = world.get(&format!("{path}?limit=1&cursor={cursor}")).token(GRACE).empty().await.ok(200);
    assert_eq!((&rest["data"][0]["userId"], &rest["nextCursor"]), (&json!(BOB), &Value::Null));
    assert_eq!(world.get(&path).token(ADA).empty().await.problem(404), "NOT_FOUND", "members see no list");
    // Staff revoked it, so roles give no other one until staff say so.
    let license = first["slots"][0]["licenseId"].as_str().unwrap();
    let why = json!({ "category": "abuse", "reason": "resold" });
    world.post(&format!("/licenses/{license}/revoke")).token(GRACE).json(&why).await.ok(200);
    let unblock = format!("{path}/{ADA}/unblock");
    let freed = world.post(&unblock).token(GRACE).json(&json!({ "type": "pro" })).await.ok(200);
    assert_eq!((&freed["userId"], &freed["slots"][0]["blocked"]), (&json!(ADA), &json!(false)), "{freed:#}");
    let odd = world.post(&unblock).token(GRACE).json(&json!({ "type": "none" })).await;
    assert_eq!(odd.problem(409), "SLOT_NOT_FOUND");
}

#[tokio::test]
async fn types_retire_and_rules_change_and_go() {
    let world = World::new().await;
    let rules = format!("/guilds/{GUILD}/role-rules");
    let rule = json!({ "roleId": "42", "type": "pro" });
    let set = world.post(&rules).token(GRACE).json(&rule).await.ok(201);
    let path = format!("{rules}/{}", set["id"].as_str().unwrap());
    let reply = world.ask(Method::PUT, &path).token(GRACE).json(&json!({ "type": "team" })).await.ok(200);
    assert_eq!((&reply["id"], &reply["roleId"], &reply["type"]), (&set["id"], &json!("42"), &json!("team")));
    let odd = world.ask(Method::PUT, &path).token(GRACE).json(&json!({ "type": "none" })).await;
    assert_eq!((odd.problem(422), odd.pointer()), ("INVALID_VALUE", "/type"));
    for query in ["", "?existing=perhaps"] {
        let odd = world.delete(&format!("{path}{query}")).token(GRACE).empty().await;
        assert_eq!((odd.problem(400), odd.pointer()), ("INVALID_REQUEST", "?existing"));
    }
    let gone = world.delete(&format!("{path}?existing=lose")).token(GRACE).empty().await.ok(200);
    assert_eq!(gone["id"], set["id"]);
    caught_up(&world).await;
    assert_eq!(world.get(&rules).token(GRACE).empty().await.ok(200)["data"], json!([]));
    let late = world.ask(Method::PUT, &path).token(GRACE).json(&json!({ "type": "pro" })).await;
    assert_eq!(late.problem(404), "NOT_FOUND");
    let unknown = format!("{rules}/00000000-0000-4000-8000-000000000000?existing=keep");
    assert_eq!(world.delete(&unknown).token(GRACE).empty().await.problem(404), "RULE_NOT_FOUND");

    let team = format!("/guilds/{GUILD}/license-types/team");
    let retired = world.delete(&team).token(GRACE).empty().await.ok(200);
    assert_eq!((&retired["slug"], &retired["retired"]), (&json!("team"), &json!(true)));
    let body = json!({ "guildId": GUILD.to_string(), "type": "team", "count": 1 });
    let made = world.post("/admin/licenses/generate").token(GRACE).json(&body).await;
    assert!(made.status.is_client_error(), "{made:?}");
}
