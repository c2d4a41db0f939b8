//! What staff see of their server and do to it, on every set of engines: its roles as the bot tells them, the feed of events
//! while others write, members who are blocked, types that are applied, licenses by the thousand, numbers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::discord::{Sim, reconcile, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    the_roles_of_a_server_are_known_to_every_instance,
    the_feed_has_no_gap_and_tells_nothing_twice,
    a_blocked_member_gets_no_license_by_a_sweep,
    a_type_is_applied_and_the_numbers_are_right,
);

async fn roles(world: &mut World) -> Vec<Value> {
    let path = format!("/guilds/{}/roles", world.facts.guild);
    world.owner("GET", &path, Value::Null).await.expect(200)["data"].as_array().unwrap().clone()
}

fn role<'a>(roles: &'a [Value], id: &str) -> Option<&'a Value> {
    roles.iter().find(|role| role["id"] == id)
}

/// Waits until every instance knows a role, or does not, in turn.
async fn roles_with(world: &mut World, id: &str, is_there: bool) -> Vec<Value> {
    let begin = Instant::now();
    loop {
        let (one, other) = (roles(world).await, roles(world).await);
        if role(&one, id).is_some() == is_there && role(&other, id).is_some() == is_there {
            return one;
        }
        assert!(begin.elapsed() < Duration::from_secs(40), "{one:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn the_roles_of_a_server_are_known_to_every_instance(engine: Engine) {
    let mut world = World::demo(engine).await;
    let sim = Sim::of(&world).await;
    let (guild, pro) = (world.facts.guild.clone(), world.facts.pro.clone());
    let known = roles_with(&mut world, &pro, true).await;
    let of_pro = role(&known, &pro).unwrap();
    assert_eq!((&of_pro["name"], &of_pro["assignable"]), (&json!("Pro"), &json!(true)), "{known:#?}");
    assert_eq!(of_pro["rule"]["roleId"], json!(pro));
    let everyone = role(&known, &guild).unwrap();
    assert_eq!((&everyone["assignable"], &everyone["position"]), (&json!(false), &json!(0)));
    let managed = known.iter().find(|role| role["managed"] == true).unwrap();
    assert_eq!(
        (&managed["assignable"], &managed["rule"]),
        (&json!(false), &Value::Null),
        "it is the bot's own"
    );
    let made = sim.role(&guild, "Made later").await;
    let known = roles_with(&mut world, &made, true).await;
    assert_eq!(role(&known, &made).unwrap()["assignable"], true);
    sim.call("DELETE", &format!("/guilds/{guild}/roles/{made}"), Value::Null).await;
    roles_with(&mut world, &made, false).await;
}

async fn the_feed_has_no_gap_and_tells_nothing_twice(engine: Engine) {
    const ROUNDS: usize = 15;
    const EACH: usize = 4;
    let mut world = World::demo(engine).await;
    let key = world.api_key("secret", Some("events:read")).await;
    let bearer = format!("Bearer {}", world.token().await);
    let guild = world.facts.guild.clone();
    let path = format!("/guilds/{guild}/events");
    let world = &world;
    let pull = async |query: String| {
        world.with_key(&key, "GET", &format!("{path}?{query}"), Value::Null).await.expect(200)
    };
    let begin = pull("limit=1".to_owned()).await["head"].as_str().unwrap().to_owned();
    let write = async || {
        let headers = [("Authorization", bearer.as_str())];
        for _ in 0..ROUNDS {
            let body = json!({ "guildId": guild, "type": "studio", "count": EACH });
            world.ask("POST", "/admin/licenses/generate", &headers, body).await.expect(201);
        }
    };
    let read = async || {
        let (mut seen, mut after) = (Vec::new(), begin.clone());
        let started = Instant::now();
        while seen.len() < 3 * ROUNDS * EACH && started.elapsed() < Duration::from_secs(90) {
            let page = pull(format!("after={after}&limit=7&wait=1&types=license.created")).await;
            let items = page["data"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["position"].as_i64().unwrap()));
            after = page["nextAfter"].as_str().unwrap().to_owned();
        }
        seen
    };
    let ((), (), (), seen) = tokio::join!(write(), write(), write(), read());
    assert_eq!(seen.len(), 3 * ROUNDS * EACH);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    // Read again in other pages it is the same.
    let (mut again, mut after) = (Vec::new(), begin.clone());
    loop {
        let page = pull(format!("after={after}&limit=200&types=license.created")).await;
        again.extend(page["data"].as_array().unwrap().iter().map(|item| item["position"].as_i64().unwrap()));
        after = page["nextAfter"].as_str().unwrap().to_owned();
        if page["nextAfter"] == page["head"] {
            break;
        }
    }
    assert_eq!(again, seen);
}

/// Waits until the list of members, which a sweep goes by, shows that nothing is blocked for somebody.
async fn unblocked(world: &mut World, guild: &str, user: &str) {
    let begin = Instant::now();
    loop {
        let path = format!("/guilds/{guild}/members?limit=200");
        let members = world.owner("GET", &path, Value::Null).await.expect(200);
        let found = members["data"].as_array().unwrap().iter().find(|member| member["userId"] == user);
        if found.unwrap()["slots"].as_array().unwrap().iter().all(|slot| slot["blocked"] == false) {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(40), "{members:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_blocked_member_gets_no_license_by_a_sweep(engine: Engine) {
    let mut world = World::demo(engine).await;
    let sim = Sim::of(&world).await;
    let (guild, pro) = (world.facts.guild.clone(), world.facts.pro.clone());
    let user = sim.join(&guild, "blocked", &[&pro]).await;
    let first = wait_for_live(&mut world, &guild, &user, 1).await;
    let path = format!("/guilds/{guild}/members/{user}");
    let body = json!({ "type": "pro", "reason": "resold" });
    let blocked = world.owner("POST", &format!("{path}/block"), body).await.expect(200);
    let slot = blocked["slots"].as_array().unwrap().iter().find(|slot| slot["type"] == "pro").unwrap();
    assert_eq!((&slot["blocked"], &slot["open"]), (&json!(true), &json!(false)));
    let id = first[0]["id"].as_str().unwrap();
    let license = world.owner("GET", &format!("/licenses/{id}"), Value::Null).await.expect(200);
    assert_eq!(license["status"], "revoked");
    reconcile(&mut world).await;
    sim.take(&guild, &user, &pro).await;
    sim.give(&guild, &user, &pro).await;
    reconcile(&mut world).await;
    wait_for_live(&mut world, &guild, &user, 0).await;
    world.owner("POST", &format!("{path}/unblock"), json!({ "type": "pro" })).await.expect(200);
    unblocked(&mut world, &guild, &user).await;
    reconcile(&mut world).await;
    let next = wait_for_live(&mut world, &guild, &user, 1).await;
    assert_ne!(next[0]["id"], first[0]["id"]);
    world.verify().await;
}

async fn a_type_is_applied_and_the_numbers_are_right(engine: Engine) {
    const COUNT: usize = 1_100;
    let mut world = World::demo(engine).await;
    let guild = world.facts.guild.clone();
    let analytics = format!("/admin/analytics?guildId={guild}");
    let before = world.owner("GET", &analytics, Value::Null).await.expect(200);
    let define = json!({ "slug": "bulk", "name": "Bulk", "terms": { "maxDevices": 3 } });
    world.owner("POST", &format!("/guilds/{guild}/license-types"), define).await.expect(201);
    let made = world.generate("bulk", COUNT as u32).await;
    let bearer = format!("Bearer {}", world.token().await);
    let headers = [("Authorization", bearer.as_str()), ("Accept", "text/csv")];
    let body = json!({ "guildId": guild, "type": "bulk", "count": COUNT });
    let table = world.ask("POST", "/admin/licenses/generate", &headers, body).await.expect(201);
    let lines: Vec<&str> = table.as_str().unwrap().lines().collect();
    assert_eq!(lines.len(), COUNT + 1);
    assert!(lines[0].starts_with("id,") && lines[0].ends_with(",key"));
    let key = world.api_key("secret", None).await;
    for device in ["a", "b"] {
        let body = json!({ "key": made[0].1, "deviceId": device });
        world.with_key(&key, "POST", "/licenses/activate", body).await.expect(201);
    }
    world.owner("POST", &format!("/licenses/{}/revoke", made[1].0), Value::Null).await.expect(200);
    let change = json!({ "terms": { "maxDevices": 1, "entitlements": ["late"] } });
    world.owner("PATCH", &format!("/guilds/{guild}/license-types/bulk"), change).await.expect(200);
    let apply = format!("/guilds/{guild}/license-types/bulk/apply");
    let (mut changed, mut refused, mut cursor) = (0, Vec::new(), Value::Null);
    loop {
        let done = world.owner("POST", &apply, json!({ "cursor": cursor })).await.expect(200);
        for item in done["data"].as_array().unwrap() {
            match item["status"].as_str().unwrap() {
                "changed" => changed += 1,
                _ => refused.push(item.clone()),
            }
        }
        cursor = done["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let in_use = json!({ "id": made[0].0, "status": "refused", "code": "DEVICES_IN_USE" });
    assert_eq!((changed, refused), (2 * COUNT - 2, vec![in_use]));
    let told = world.owner("GET", &analytics, Value::Null).await.expect(200);
    let of_type =
        told["licenses"]["byType"].as_array().unwrap().iter().find(|one| one["type"] == "bulk").unwrap();
    let expected = json!({ "activated": 1, "generated": 2 * COUNT - 2, "revoked": 1 });
    assert_eq!((&of_type["total"], &of_type["byStatus"]), (&json!(2 * COUNT), &expected));
    let count = |numbers: &Value, member: &str| -> u64 {
        numbers["days"].as_array().unwrap().iter().map(|day| day[member].as_u64().unwrap()).sum()
    };
    assert_eq!(count(&told, "created") - count(&before, "created"), 2 * COUNT as u64);
    assert_eq!(count(&told, "revoked") - count(&before, "revoked"), 1);
    let devices = |numbers: &Value| numbers["activeDevices"].as_u64().unwrap();
    assert_eq!(devices(&told) - devices(&before), 2);
    let list = format!("/licenses?guildId={guild}&type=bulk&status=activated");
    let listed = world.owner("GET", &list, Value::Null).await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    world.verify().await;
}
