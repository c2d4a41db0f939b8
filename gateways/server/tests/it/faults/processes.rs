//! Processes that are killed, or frozen and thawed, while programs work: nothing acknowledged is lost, nothing is done
//! twice, and what was not done is made up for.

use std::time::Duration;

use serde_json::json;

use super::invariants;
use super::load::Load;
use super::nats::copied;
use super::site::Site;
use crate::discord::until;
use crate::on_every_engine;
use crate::world::{Engine, World};

on_every_engine!(killed_in_the_middle_of_work);

/// Longer than every lease of the product but that of Discord's shards.
const FROZEN: Duration = Duration::from_secs(6);

async fn killed_in_the_middle_of_work(engine: Engine) {
    let mut site = Site::start(engine, &[]).await;
    let load = Load::start(&site);
    for _ in 0..4 {
        load.more(30).await;
        site.live.world.kill().await;
        site.live.world.serve().await;
        load.moved(0, site.live.world.url());
    }
    load.more(30).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
}

/// A signal to a process of ours.
async fn signal(world: &World, name: &str) {
    let pid = world.pid().to_string();
    let sent = tokio::process::Command::new("kill").args([name, &pid]).status().await.unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_is_killed_and_the_other_frozen() {
    let engine = Engine::postgres_nats().await;
    let Engine::PostgresNats(_, nats) = engine.clone() else { panic!("{engine:?} has no NATS") };
    let mut site = Site::start(engine, &[]).await;
    site.join().await;
    let load = Load::start(&site);
    for round in 0..4 {
        load.more(30).await;
        let dying = site.world(round % 2);
        dying.kill().await;
        load.more(15).await;
        let dying = site.world(round % 2);
        dying.serve().await;
        let url = dying.url().to_owned();
        load.moved(round % 2, &url);
        // It wakes in the middle of what it was doing; others have done it meanwhile.
        signal(site.world((round + 1) % 2), "-STOP").await;
        tokio::time::sleep(FROZEN).await;
        signal(site.world((round + 1) % 2), "-CONT").await;
    }
    load.more(30).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
    // Both had the lease of the relay in turn, and one woke when it was no longer his.
    copied(&site, &nats).await;
}

/// The answer to a write is lost, and its program asks another process once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_acknowledges_a_repeat_knows_what_was_done() {
    // Nobody looks at the log by himself before the test has ended.
    let mut site = Site::start(Engine::postgres().await, &[("DCA_PROJECTOR_POLL_MS", "60000")]).await;
    site.join().await;
    let (id, key) = site.licenses(1).await.remove(0);
    let urls = site.urls();
    for url in &urls {
        assert_eq!(site.verdict(url, &key).await.code(), "VALID");
    }
    let api_key = site.tenants[0].api_key.clone();
    for url in &urls {
        let address = format!("{url}/licenses/{id}/suspend");
        let told = site.client.post(&address, &api_key, Some("once"), &json!({})).await.unwrap();
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(site.verdict(url, &key).await.code(), "SUSPENDED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_that_fight_for_what_is_due_do_it_once() {
    let mut site = Site::start(Engine::postgres().await, &[]).await;
    site.join().await;
    let tenant = site.tenants[0].clone();
    let terms = json!({ "duration": "PT3S", "expiryBasis": "creation" });
    let define = json!({ "slug": "short", "name": "Short", "terms": terms });
    let path = format!("/guilds/{}/license-types", tenant.guild.id);
    site.live.world.owner("POST", &path, define).await.expect(201);
    let mut made = Vec::new();
    for round in 0..4 {
        let body = json!({ "guildId": tenant.guild.id, "type": "short", "count": 100 });
        let answer = site.live.world.owner("POST", "/admin/licenses/generate", body).await.expect(201);
        made.extend(
            answer["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        // Whoever has the lease is frozen while it lasts, and wakes when it is somebody else's.
        let frozen = round % 2;
        tokio::time::sleep(Duration::from_millis(3_020 + 7 * round as u64)).await;
        signal(site.world(frozen), "-STOP").await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        signal(site.world(frozen), "-CONT").await;
    }
    let url = site.database_url().unwrap().to_owned();
    let count = |having: &'static str| {
        let url = url.clone();
        async move {
            use sqlx::Connection as _;
            let text = format!(
                "SELECT count(*) FROM (SELECT aggregate_id FROM events WHERE event_type = 'license.expired' \
                 GROUP BY aggregate_id HAVING count(*) {having}) AS counted"
            );
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::query_scalar::<_, i64>(&text).fetch_one(&mut connection).await.unwrap()
        }
    };
    until("everything that was due is done", || async {
        (count("> 0").await == made.len() as i64).then_some(())
    })
    .await;
    assert_eq!(count("> 1").await, 0, "done twice");
    site.live.world.verify().await;
}
