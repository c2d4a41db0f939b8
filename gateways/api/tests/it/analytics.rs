//! Numbers of guilds: what is, what happened on each day, and of whose guilds.

use domain::guild::{Action, StaffRole};
use domain::private::Person;
use domain::time::Span;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GRACE, GUILD, OTHER_GUILD, World};

async fn numbers(world: &World, query: &str) -> Value {
    world.settled().await;
    world.get(&format!("/admin/analytics?{query}")).token("operator").empty().await.ok(200)
}

fn day(world: &World, shift: i64) -> String {
    world.now().after(Span(shift * 86_400_000)).to_string().chars().take(10).collect()
}

#[tokio::test]
async fn licenses_are_counted_by_what_they_are() {
    let world = World::new().await;
    let secret = world.secret().await;
    world.license("pro").await;
    let (id, key) = world.license_of("pro", ADA).await;
    for device in ["a", "b"] {
        let body = json!({ "key": key, "deviceId": device });
        world.post("/licenses/activate").key(&secret).json(&body).await.ok(201);
    }
    let (held, _) = world.license_of("team", ADA).await;
    world.post(&format!("/licenses/{held}/suspend")).token(GRACE).empty().await.ok(200);
    world.license_of("team", BOB).await;
    let (gone, gone_key) = world.license_of("pro", BOB).await;
    let body = json!({ "key": gone_key, "deviceId": "c" });
    world.post("/licenses/activate").key(&secret).json(&body).await.ok(201);
    world.post(&format!("/licenses/{gone}/revoke")).token(GRACE).empty().await.ok(200);
    let told = numbers(&world, &format!("guildId={GUILD}")).await;
    let licenses = &told["licenses"];
    assert_eq!(licenses["total"], 5);
    assert_eq!(
        licenses["byStatus"],
        json!({ "generated": 1, "activated": 1, "suspended": 1, "assigned": 1, "revoked": 1 })
    );
    let pro = &licenses["byType"][0];
    assert_eq!(
        (&pro["type"], &pro["total"], &pro["guildId"]),
        (&json!("pro"), &json!(3), &json!(GUILD.to_string()))
    );
    // Devices of a revoked license are not counted.
    assert_eq!(told["activeDevices"], 2, "{told:#} {id}");
    // Types of 30 days and 3 of grace: by the clock alone the license ends, and is counted so before the job records it.
    world.advance(Span(40 * 86_400_000));
    let later = numbers(&world, &format!("guildId={GUILD}")).await;
    assert_eq!(
        (&later["licenses"]["byStatus"]["expired"], &later["licenses"]["byStatus"]["suspended"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn days_are_counted_in_utc_and_empty_ones_are_there() {
    let world = World::new().await;
    let body = json!({ "guildId": GUILD.to_string(), "type": "team", "count": 4 });
    world.licenses(body.clone()).await;
    let first = day(&world, 0);
    world.advance(Span(2 * 86_400_000));
    let (id, _) = world.licenses(body).await.remove(0);
    world.post(&format!("/licenses/{id}/revoke")).token(GRACE).empty().await.ok(200);
    let told = numbers(&world, &format!("guildId={GUILD}&from={first}")).await;
    let days: Vec<(&str, u64, u64)> = told["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| {
            (
                day["date"].as_str().unwrap(),
                day["created"].as_u64().unwrap(),
                day["revoked"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        (days.len(), days[0], (days[1].1, days[1].2)),
        (3, (first.as_str(), 4, 0), (0, 0)),
        "{days:?}"
    );
    assert_eq!((days[2].1, days[2].2), (4, 1));
    assert_eq!((&told["from"], &told["to"]), (&json!(first), &json!(day(&world, 0))));
    let usual = numbers(&world, "").await;
    assert_eq!(usual["days"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn everybody_sees_the_guilds_in_which_he_may_read() {
    let world = World::new().await;
    let person = Person::new(world.commands.ring().as_ref(), BOB.parse().unwrap());
    let action = Action::ChangeStaff { person, role: Some(StaffRole::Auditor), granted_by: StaffRole::Owner };
    world.commands.guild(&world.context(), GUILD, action).await.unwrap();
    for guild in [GUILD, OTHER_GUILD] {
        let body = json!({ "guildId": guild.to_string(), "type": "team", "count": 2 });
        world.licenses(body).await;
    }
    assert_eq!(numbers(&world, "").await["licenses"]["total"], 4);
    let own = world.get("/admin/analytics").token(BOB).empty().await.ok(200);
    assert_eq!(own["licenses"]["total"], 2);
    let key = world.secret().await;
    assert_eq!(world.get("/admin/analytics").key(&key).empty().await.ok(200)["licenses"]["total"], 2);
    let path = format!("/admin/analytics?guildId={OTHER_GUILD}");
    assert_eq!(world.get(&path).token(BOB).empty().await.problem(404), "NOT_FOUND");
}

#[tokio::test]
async fn days_that_cannot_be_meant_are_refused() {
    let world = World::new().await;
    for (query, status) in [
        ("from=2026-02-30", 400),
        ("from=2026-1-1", 400),
        ("from=2026-01-01T00:00:00Z", 400),
        ("from=", 400),
        ("from=2026-01-02&to=2026-01-01", 422),
        ("from=2024-01-01&to=2025-01-01", 422),
        ("days=1", 400),
    ] {
        let refused = world.get(&format!("/admin/analytics?{query}")).token("operator").empty().await;
        refused.problem(status);
    }
    // A leap year fits.
    let year = world.get("/admin/analytics?from=2024-01-01&to=2024-12-31").token("operator").empty().await;
    assert_eq!(year.ok(200)["days"].as_array().unwrap().len(), 366);
}
