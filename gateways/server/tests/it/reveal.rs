//! No license key leaves without a record of it: what the log does not take, nobody sees.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_every_engine;
use crate::world::{Engine, World};

on_every_engine!(no_key_is_shown_without_a_record);

/// What makes the database refuse every fact about security.
fn refusing(world: &World) -> [&'static str; 2] {
    match world.database_url() {
        None => [
            "CREATE TRIGGER no_record BEFORE INSERT ON events WHEN NEW.aggregate_type = 'security' \
             BEGIN SELECT RAISE(ABORT, 'no record'); END",
            "DROP TRIGGER no_record",
        ],
        Some(_) => [
            "ALTER TABLE events ADD CONSTRAINT no_record CHECK (aggregate_type <> 'security') NOT VALID",
            "ALTER TABLE events DROP CONSTRAINT no_record",
        ],
    }
}

async fn no_key_is_shown_without_a_record(engine: Engine) {
    let mut world = World::demo(engine).await;
    let (id, key) = world.generate("pro", 1).await.remove(0);
    let path = format!("/licenses/{id}/key");
    let shown = world.owner("GET", &path, Value::Null).await.expect(200);
    assert_eq!(shown, json!({ "key": key, "keyVersion": 0 }));
    let trail = "/admin/audit-log?type=security.key_revealed";
    let recorded = async |world: &mut World| {
        let body = world.owner("GET", trail, Value::Null).await.expect(200);
        body["data"].as_array().unwrap().len()
    };
    let begin = Instant::now();
    while recorded(&mut world).await != 1 {
        assert!(begin.elapsed() < Duration::from_secs(10), "it is not recorded");
    }
    let [refuse, allow] = refusing(&world);
    world.alter(refuse).await;
    let hidden = world.owner("GET", &path, Value::Null).await;
    assert_eq!(hidden.status, 503, "{:#}", hidden.body);
    assert!(!hidden.body.to_string().contains(&key));
    let hidden = world.owner("GET", "/admin/licenses/export?keys=true", Value::Null).await;
    assert_eq!(hidden.status, 503, "{:#}", hidden.body);
    world.alter(allow).await;
    assert_eq!(world.owner("GET", &path, Value::Null).await.expect(200)["key"], key.as_str());
    let begin = Instant::now();
    while recorded(&mut world).await != 2 {
        assert!(begin.elapsed() < Duration::from_secs(10), "it is not recorded");
    }
    let dump = world.dump().await;
    assert!(!dump.contains(&key), "the record does not hold the key");
    world.verify().await;
}
