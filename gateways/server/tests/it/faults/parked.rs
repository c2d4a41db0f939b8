//! A license has an event that this program cannot read, as in the middle of an update: it alone is refused, everything
//! else goes on, and the operator is told which it is.

use serde_json::Value;

use super::site::Site;
use crate::discord::until;
use crate::on_every_engine;
use crate::world::Engine;

on_every_engine!(one_license_that_cannot_be_read_is_refused_and_named);

async fn one_license_that_cannot_be_read_is_refused_and_named(engine: Engine) {
    let site = Site::start(engine, &[]).await;
    let made = site.licenses(2).await;
    let url = site.live.world.url().to_owned();
    for (_, key) in &made {
        until("its first validation is recorded", || async {
            (site.verdict(&url, key).await.body["license"]["status"] == "active").then_some(())
        })
        .await;
    }
    let [(bad, lost), (_, sound)] = &made[..] else { panic!("{made:?}") };
    site.execute(&format!(
        "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, \
         guild_id, recorded_at) SELECT (SELECT max(position) + 1 FROM events), aggregate_type, aggregate_id, \
         (SELECT max(sequence) + 1 FROM events WHERE aggregate_id = '{bad}'), 'license.forfeited', '1', \
         '{{\"type\":\"license.forfeited\"}}', metadata, guild_id, (SELECT max(recorded_at) FROM events) FROM events \
         WHERE aggregate_id = '{bad}' AND sequence = 1"
    ))
    .await;
    until("it is refused", || async { site.verdict(&url, lost).await.is_clean_refusal().then_some(()) })
        .await;
    let parked = until("it is left out", || async {
        let status = site.live.world.cli(&["status"]).await;
        (status["parked"] != Value::Array(Vec::new())).then(|| status["parked"].clone())
    })
    .await;
    assert_eq!(parked[0]["aggregate"], format!("license:{bad}"), "{parked:#}");
    assert_eq!(parked[0]["model"], "license_view");
    assert!(parked[0]["error"].as_str().unwrap().contains("license.forfeited"), "{parked:#}");
    // Everybody may read the health, so it names none.
    let health = site.live.world.ask("GET", "/health", &[], Value::Null).await.expect(200);
    let components = health["components"].as_array().unwrap();
    let models = components.iter().find(|one| one["name"] == "readModels").unwrap();
    let detail = models["detail"].as_str().unwrap();
    assert!(models["status"] == "degraded" && detail.contains("license_view leaves out 1"), "{models:#}");
    assert!(!health.to_string().contains(&**bad), "{health:#}");
    assert_eq!(site.verdict(&url, sound).await.code(), "VALID");
    assert_eq!(site.activate(&url, sound, "laptop").await.status, 201);
    assert!(site.verdict(&url, lost).await.is_clean_refusal());
    let verified = site.live.world.run(&["verify"]).await;
    let told =
        String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    assert!(!verified.status.success() && told.contains(&format!("LEAVES OUT license:{bad}")), "{told}");
}
