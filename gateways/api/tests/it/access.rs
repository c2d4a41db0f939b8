//! Ranks and scopes: what each right needs, for every write, and what another tenant sees.

use domain::guild::{Action, StaffRole};
use domain::private::Person;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GUILD, OTHER_GUILD, World};

async fn promote(world: &World, user: &str, role: StaffRole) {
    let person = Person::new(world.commands.ring().as_ref(), user.parse().unwrap());
    let action = Action::ChangeStaff { person, role: Some(role), granted_by: StaffRole::Owner };
    world.commands.guild(&world.context(), GUILD, action).await.unwrap();
}

/// Every staff's write to one license, the scope and the lowest rank that it needs.
const WRITES: [(&str, &str, StaffRole); 9] = [
    ("suspend", "licenses:write", StaffRole::Moderator),
    ("resume", "licenses:write", StaffRole::Moderator),
    ("assign", "licenses:write", StaffRole::Admin),
    ("renew", "licenses:write", StaffRole::Admin),
    ("rekey", "licenses:write", StaffRole::Admin),
    ("terms", "licenses:write", StaffRole::Admin),
    ("metadata", "licenses:write", StaffRole::Admin),
    ("transfer", "licenses:write", StaffRole::Admin),
    ("revoke", "licenses:revoke", StaffRole::Admin),
];

fn body(what: &str) -> Value {
    match what {
        "assign" => json!({ "userId": ADA }),
        "transfer" => json!({ "toUserId": ADA }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn each_write_needs_its_rank() {
    let world = World::new().await;
    let (id, _) = world.license("team").await;
    for rank in [StaffRole::Auditor, StaffRole::Moderator, StaffRole::Admin] {
        promote(&world, BOB, rank).await;
        for (what, _, needed) in WRITES {
            let reply = world.post(&format!("/licenses/{id}/{what}")).token(BOB).json(&body(what)).await;
            if rank < needed {
                assert_eq!(reply.problem(403), "FORBIDDEN", "{what} as {rank:?}");
            } else {
                assert!(!matches!(reply.status.as_u16(), 401 | 403 | 404), "{what} as {rank:?}: {reply:?}");
            }
        }
        world.get(&format!("/licenses/{id}")).token(BOB).empty().await.ok(200);
        world.get(&format!("/licenses/{id}/history")).token(BOB).empty().await.ok(200);
    }
}

#[tokio::test]
async fn each_write_needs_its_scope() {
    let world = World::new().await;
    let (id, _) = world.license("team").await;
    let other = world
        .api_key(OTHER_GUILD, json!({ "kind": "secret", "scopes": ["licenses:write", "licenses:revoke"] }))
        .await;
    let publishable = world.publishable().await;
    for (what, scope, _) in WRITES {
        let ask =
            async |key: &str| world.post(&format!("/licenses/{id}/{what}")).key(key).json(&body(what)).await;
        assert_eq!(ask(&publishable).await.problem(403), "MISSING_SCOPE", "{what}");
        let lacking = if scope == "licenses:write" { "licenses:revoke" } else { "licenses:write" };
        let narrow = world.api_key(GUILD, json!({ "kind": "secret", "scopes": [lacking] })).await;
        let refused = ask(&narrow).await;
        assert_eq!(refused.problem(403), "MISSING_SCOPE", "{what}");
        assert!(refused.body["detail"].as_str().unwrap().contains(scope));
        assert_eq!(ask(&other).await.problem(404), "NOT_FOUND", "{what}");
    }
}

#[tokio::test]
async fn another_tenants_things_are_not_there() {
    let world = World::new().await;
    let (id, _) = world.license_of("pro", ADA).await;
    let scopes = ["licenses:read", "licenses:write", "licenses:revoke"];
    let other = world.api_key(OTHER_GUILD, json!({ "kind": "secret", "scopes": scopes })).await;
    for path in [
        format!("/licenses/{id}"),
        format!("/licenses/{id}/history"),
        format!("/licenses/{id}/devices"),
        format!("/licenses/{id}?asOf=version:1"),
        format!("/licenses/{id}/diff?from=version:1"),
        format!("/licenses/{id}/replay"),
        format!("/guilds/{GUILD}"),
        format!("/guilds/{GUILD}?asOf=version:1"),
        format!("/guilds/{GUILD}/diff?from=version:1"),
        format!("/guilds/{GUILD}/license-types"),
        format!("/guilds/{GUILD}/role-rules"),
        format!("/guilds/{GUILD}/held-removals"),
    ] {
        let reply = world.get(&path).key(&other).empty().await;
        assert_eq!(reply.problem(404), "NOT_FOUND", "{path}");
        assert!(!reply.body.to_string().contains(&format!("\"{ADA}\"")));
    }
    for list in ["/licenses".to_owned(), format!("/licenses?userId={ADA}&asOf=2026-01-01T00:00:00Z")] {
        let listed = world.get(&list).key(&other).empty().await.ok(200);
        assert_eq!(listed["data"], json!([]), "{list}");
    }
    let rename = world
        .patch(&format!("/licenses/{id}/devices/a"))
        .key(&other)
        .json(&json!({ "deviceName": "x" }))
        .await;
    assert_eq!(rename.problem(404), "NOT_FOUND");
    let free = world.delete(&format!("/licenses/{id}/deactivate?all=true")).key(&other).empty().await;
    assert_eq!(free.problem(404), "NOT_FOUND");
    for (path, body) in [
        (format!("/guilds/{GUILD}/license-types"), json!({ "slug": "x", "name": "X" })),
        (format!("/guilds/{GUILD}/role-rules"), json!({ "roleId": "1", "type": "pro" })),
    ] {
        assert_eq!(world.post(&path).key(&other).json(&body).await.problem(404), "NOT_FOUND", "{path}");
    }
    let change = world
        .patch(&format!("/guilds/{GUILD}/license-types/pro"))
        .key(&other)
        .json(&json!({ "name": "X" }))
        .await;
    assert_eq!(change.problem(404), "NOT_FOUND");
    let confirm = format!("/guilds/{GUILD}/held-removals/{}/confirm", uuid::Uuid::nil());
    assert_eq!(world.post(&confirm).key(&other).empty().await.problem(404), "NOT_FOUND");
    let settings =
        world.patch(&format!("/guilds/{GUILD}/settings")).key(&other).json(&json!({ "locale": "de" })).await;
    assert_eq!(settings.problem(404), "NOT_FOUND");
}

#[tokio::test]
async fn an_owner_may_not_do_what_staff_do() {
    let world = World::new().await;
    let (id, _) = world.license_of("pro", ADA).await;
    for (what, _, _) in WRITES.into_iter().filter(|(what, ..)| *what != "transfer") {
        let reply = world.post(&format!("/licenses/{id}/{what}")).token(ADA).json(&body(what)).await;
        assert_eq!(reply.problem(403), "FORBIDDEN", "{what}");
    }
    let guild = json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 1 });
    assert_eq!(
        world.post("/admin/licenses/generate").token(ADA).json(&guild).await.problem(404),
        "NOT_FOUND"
    );
}
