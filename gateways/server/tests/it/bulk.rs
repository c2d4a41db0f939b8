//! A crash in the middle of a bulk generation or revocation: all of it happened, or nothing did.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    a_crash_in_a_bulk_leaves_all_or_nothing,
    a_stop_lets_the_request_under_way_end,
    a_crash_in_a_revocation_of_many_leaves_all_or_nothing,
    a_revocation_of_many_is_known_everywhere,
);

const COUNT: i64 = 10_000;
/// As many as one request may name.
const REVOKED: i64 = 1_000;

async fn position(world: &World) -> i64 {
    world.cli(&["status"]).await["position"].as_i64().unwrap()
}

async fn a_crash_in_a_bulk_leaves_all_or_nothing(engine: Engine) {
    let mut world = World::demo(engine).await;
    let begin = Instant::now();
    let before = position(&world).await;
    assert_eq!(world.generate("studio", COUNT as u32).await.len() as i64, COUNT);
    let whole = begin.elapsed();
    assert_eq!(position(&world).await, before + COUNT);

    let (mut all, mut none) = (0, 0);
    for round in 1..=5 {
        let before = position(&world).await;
        let token = world.token().await;
        let bearer = format!("Bearer {token}");
        let body = json!({ "guildId": world.facts.guild, "type": "studio", "count": COUNT });
        // Each round dies at another moment of the work.
        let moment = whole.mul_f64(f64::from(round) / 6.0)
            + Duration::from_micros(u64::from(uuid::Uuid::new_v4().as_u128() as u16));
        {
            let headers = [("Authorization", bearer.as_str())];
            let asked = world.try_ask("POST", "/admin/licenses/generate", &headers, body);
            // Whether it was answered in time does not matter.
            let _ = tokio::time::timeout(moment, asked).await;
        }
        world.crash().await;
        match position(&world).await - before {
            0 => none += 1,
            COUNT => all += 1,
            other => panic!("{other} of {COUNT} licenses are there after a crash"),
        }
        world.verify().await;
    }
    assert_eq!(all + none, 5);
}

/// One event each, and the slot of none: made by hand.
async fn a_crash_in_a_revocation_of_many_leaves_all_or_nothing(engine: Engine) {
    let mut world = World::demo(engine).await;
    let body = |made: &[(String, String)]| {
        let ids: Vec<&str> = made.iter().map(|(id, _)| id.as_str()).collect();
        json!({ "ids": ids, "mode": "all_or_nothing", "reason": "a sweep" })
    };
    let made = world.generate("studio", REVOKED as u32).await;
    let begin = Instant::now();
    world.owner("POST", "/admin/licenses/revoke", body(&made)).await.expect(200);
    let whole = begin.elapsed();
    for round in 1..=3 {
        let made = world.generate("studio", REVOKED as u32).await;
        let before = position(&world).await;
        let bearer = format!("Bearer {}", world.token().await);
        {
            let headers = [("Authorization", bearer.as_str())];
            let asked = world.try_ask("POST", "/admin/licenses/revoke", &headers, body(&made));
            // Whether it was answered in time does not matter.
            let _ = tokio::time::timeout(whole.mul_f64(f64::from(round) / 4.0), asked).await;
        }
        world.crash().await;
        let done = position(&world).await - before;
        assert!(done == 0 || done == REVOKED, "{done} of {REVOKED} licenses are revoked after a crash");
        // Whoever sends it again with a key of its own gets all of it, once.
        let bearer = format!("Bearer {}", world.token().await);
        let key = format!("round {round}");
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key.as_str())];
        let mut each = body(&made);
        each["mode"] = json!("each");
        for _ in 0..2 {
            world.ask("POST", "/admin/licenses/revoke", &headers, each.clone()).await.expect(200);
        }
        assert_eq!(position(&world).await - before, REVOKED);
        world.verify().await;
    }
}

async fn a_revocation_of_many_is_known_everywhere(engine: Engine) {
    let mut world = World::demo(engine).await;
    let key = world.api_key("publishable", None).await;
    let made = world.generate("pro", 50).await;
    for (_, license) in &made {
        world.with_key(&key, "POST", "/licenses/validate", json!({ "key": license })).await.expect(200);
    }
    let guild = world.facts.guild.clone();
    let ids: Vec<&str> = made.iter().map(|(id, _)| id.as_str()).collect();
    let arguments = ["license", "revoke-many", "--reason", "a sweep", "--category", "fraud"];
    let tried = world.cli(&[&arguments[..], &ids, &["--dry-run"]].concat()).await;
    assert_eq!((tried["data"].as_array().unwrap().len(), &tried["dryRun"]), (50, &json!(true)));
    let told = world.cli(&[&arguments[..], &ids].concat()).await;
    assert!(told["data"].as_array().unwrap().iter().all(|row| row["status"] == "revoked"));
    // The command ends when the read models show it; caches follow within the bound of a revocation.
    let begin = Instant::now();
    for (_, license) in &made {
        loop {
            let asked = json!({ "key": license });
            let told = world.with_key(&key, "POST", "/licenses/validate", asked).await.expect(200);
            if told["code"] == "REVOKED" {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "{told:#}");
        }
    }
    let listed =
        world.cli(&["license", "list", "--guild", &guild, "--status", "revoked", "--limit", "200"]).await;
    assert!(listed["data"].as_array().unwrap().len() >= 50);
    let again = world.run(&[&arguments[..], &ids].concat()).await;
    assert_eq!(again.status.code(), Some(3));
    world.verify().await;
}

async fn a_stop_lets_the_request_under_way_end(engine: Engine) {
    let mut world = World::demo(engine).await;
    let before = position(&world).await;
    let bearer = format!("Bearer {}", world.token().await);
    let headers = [("Authorization", bearer.as_str())];
    let body = json!({ "guildId": world.facts.guild, "type": "studio", "count": COUNT });
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.terminate().await;
    };
    let (answer, ()) = tokio::join!(world.ask("POST", "/admin/licenses/generate", &headers, body), stop);
    assert_eq!(answer.expect(201)["data"].as_array().unwrap().len() as i64, COUNT);
    assert_eq!(world.ended().await, 0);
    world.serve().await;
    assert_eq!(position(&world).await, before + COUNT);
}
