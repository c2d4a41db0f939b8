//! A crash in the middle of a bulk generation: all of it happened, or nothing did.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    a_crash_in_a_bulk_leaves_all_or_nothing,
    a_stop_lets_the_request_under_way_end
);

const COUNT: i64 = 10_000;

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
