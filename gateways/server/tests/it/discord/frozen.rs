//! What is no loss: an outage, a removed bot, a deleted role, an empty or broken list, a refused token, a server error.
//! Nobody loses anything by the absence of data, and a sweep that would take much away waits.

use serde_json::{Value, json};

use super::{Guild, Live, confirm_all, health, held, live, until, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::Engine;

on_every_engine_and_two_instances!(
    nobody_loses_anything_by_absence_of_data,
    a_deleted_role_takes_nothing_away,
    a_removed_bot_takes_nothing_away,
    a_sweep_that_would_take_much_away_waits
);

async fn holders(this: &mut Live, guild: &Guild, count: usize) -> Vec<String> {
    let mut holders = Vec::new();
    for number in 0..count {
        holders.push(this.sim.join(&guild.id, &format!("h{number}"), &[&guild.role]).await);
    }
    for user in &holders {
        wait_for_live(&mut this.world, &guild.id, user, 1).await;
    }
    holders
}

async fn all_have_one(this: &mut Live, guild: &Guild, holders: &[String]) {
    for user in holders {
        assert_eq!(live(&mut this.world, &guild.id, user).await.len(), 1, "{user}");
    }
    assert!(held(&mut this.world, &guild.id).await.is_empty());
}

/// Reconciles, and holds that it decided nothing.
async fn undecided(this: &mut Live, guild: &Guild) {
    let report = this.reconcile().await;
    assert!(report[&guild.id]["problem"].is_string() || report.get(&guild.id).is_none(), "{report:#}");
}

async fn nobody_loses_anything_by_absence_of_data(engine: Engine) {
    let mut this = Live::start_with(engine, &[("DCA_DISCORD_REST_TRIES", "2")]).await;
    let guild = this.guild("Absent", json!({ "onRoleLoss": "revoke" })).await;
    let holders = holders(&mut this, &guild, 3).await;
    this.sim
        .call("POST", &format!("/guilds/{}/crowd", guild.id), json!({ "count": 4_500, "quiet": true }))
        .await;
    let members = "GET /guilds/*/members";
    // An empty list; a list without ourselves; a server error in the middle of the pages.
    this.sim.fault(json!({ "route": members, "status": 200, "body": [], "times": 0 })).await;
    undecided(&mut this, &guild).await;
    all_have_one(&mut this, &guild, &holders).await;
    this.sim.no_faults().await;
    let stranger = json!([{ "user": { "id": "42", "username": "x" }, "roles": [] }]);
    this.sim.fault(json!({ "route": members, "status": 200, "body": stranger, "times": 0 })).await;
    undecided(&mut this, &guild).await;
    all_have_one(&mut this, &guild, &holders).await;
    this.sim.no_faults().await;
    // Two pages come, the third does not.
    this.sim.fault(json!({ "route": members, "delayMs": 1, "times": 2 })).await;
    this.sim.fault(json!({ "route": members, "status": 503, "times": 10 })).await;
    undecided(&mut this, &guild).await;
    all_have_one(&mut this, &guild, &holders).await;
    this.sim.no_faults().await;
    for status in [500, 502, 403, 404] {
        this.sim.fault(json!({ "route": "GET /guilds/*", "status": status, "times": 0 })).await;
        undecided(&mut this, &guild).await;
        all_have_one(&mut this, &guild, &holders).await;
        this.sim.no_faults().await;
    }
    // Whole again: everybody is looked at, and nothing changes.
    let report = this.reconcile().await;
    assert_eq!((&report[&guild.id]["changed"], &report[&guild.id]["problem"]), (&json!(0), &Value::Null));
    assert!(report[&guild.id]["members"].as_u64().unwrap() > 4_500, "{report:#}");
    outage(&mut this, &guild, &holders).await;
    refused_token(&mut this, &guild, &holders).await;
    this.world.verify().await;
}

async fn outage(this: &mut Live, guild: &Guild, holders: &[String]) {
    let path = format!("/guilds/{}/outage", guild.id);
    this.sim.call("POST", &path, json!({ "on": true })).await;
    until("the guild is frozen", || async {
        health(&this.world).await.1.contains("1 of them frozen").then_some(())
    })
    .await;
    undecided(this, guild).await;
    all_have_one(this, guild, holders).await;
    // Taken during the outage: seen when it ends.
    this.sim.take(&guild.id, &holders[0], &guild.role).await;
    assert_eq!(live(&mut this.world, &guild.id, &holders[0]).await.len(), 1);
    this.sim.call("POST", &path, json!({ "on": false })).await;
    wait_for_live(&mut this.world, &guild.id, &holders[0], 0).await;
    this.sim.give(&guild.id, &holders[0], &guild.role).await;
    wait_for_live(&mut this.world, &guild.id, &holders[0], 1).await;
}

/// 401 stops everything with a clear word, until somebody resumes.
async fn refused_token(this: &mut Live, guild: &Guild, holders: &[String]) {
    this.sim.fault(json!({ "route": "GET /guilds/*", "status": 401, "times": 1 })).await;
    undecided(this, guild).await;
    all_have_one(this, guild, holders).await;
    let (status, detail) = health(&this.world).await;
    assert_eq!(status, "down", "{detail}");
    undecided(this, guild).await;
    this.world.cli(&["discord", "resume"]).await;
    let report = this.reconcile().await;
    assert_eq!(report[&guild.id]["problem"], Value::Null, "{report:#}");
}

async fn a_deleted_role_takes_nothing_away(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Broken", json!({ "onRoleLoss": "revoke" })).await;
    let holders = holders(&mut this, &guild, 3).await;
    this.sim.call("DELETE", &format!("/guilds/{}/roles/{}", guild.id, guild.role), Value::Null).await;
    let sim = this.sim.clone();
    until("staff are told", || async {
        let told = sim.channel(&guild.log).await;
        told.iter().any(|message| message["content"].as_str().unwrap().contains("was deleted")).then_some(())
    })
    .await;
    this.reconcile().await;
    all_have_one(&mut this, &guild, &holders).await;
    let told = this.sim.channel(&guild.log).await;
    let about = |message: &&Value| message["content"].as_str().unwrap().contains("was deleted");
    assert_eq!(told.iter().filter(about).count(), 1, "once");
    // Mapped to another role, the rule takes effect again.
    let other = this.sim.role(&guild.id, "Pro again").await;
    let rule = json!({ "roleId": other, "type": "pro" });
    this.world.owner("POST", &format!("/guilds/{}/role-rules", guild.id), rule).await.expect(201);
    this.sim.give(&guild.id, &holders[0], &other).await;
    assert_eq!(wait_for_live(&mut this.world, &guild.id, &holders[0], 1).await.len(), 1);
    this.world.verify().await;
}

async fn a_removed_bot_takes_nothing_away(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Kicked", json!({ "onRoleLoss": "revoke" })).await;
    let holders = holders(&mut this, &guild, 3).await;
    this.sim.call("DELETE", &format!("/guilds/{}", guild.id), Value::Null).await;
    let begin = std::time::Instant::now();
    let path = format!("/guilds/{}", guild.id);
    while this.world.owner("GET", &path, Value::Null).await.expect(200)["present"] == json!(true) {
        assert!(begin.elapsed() < super::PATIENCE);
    }
    undecided(&mut this, &guild).await;
    all_have_one(&mut this, &guild, &holders).await;
    this.world.crash().await;
    this.connected().await;
    undecided(&mut this, &guild).await;
    all_have_one(&mut this, &guild, &holders).await;
    this.world.verify().await;
}

async fn a_sweep_that_would_take_much_away_waits(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Sweep", json!({ "onRoleLoss": "revoke" })).await;
    let holders = holders(&mut this, &guild, 30).await;
    assert_eq!(this.world.stop().await, 0);
    // A new session is told nothing of what was before: only a sweep sees it.
    this.sim.call("PUT", "/settings", json!({ "refuseResume": true })).await;
    for user in &holders[..9] {
        this.sim.take(&guild.id, user, &guild.role).await;
    }
    this.world.serve().await;
    this.connected().await;
    let begin = std::time::Instant::now();
    while held(&mut this.world, &guild.id).await.len() < 9 {
        assert!(begin.elapsed() < super::PATIENCE, "{:?}", held(&mut this.world, &guild.id).await.len());
    }
    for user in &holders {
        assert_eq!(live(&mut this.world, &guild.id, user).await.len(), 1, "{user}");
    }
    confirm_all(&mut this, &guild).await;
    for (number, user) in holders.iter().enumerate() {
        wait_for_live(&mut this.world, &guild.id, user, usize::from(number >= 9)).await;
    }
    let path = format!("/licenses?guildId={}&userId={}&status=revoked", guild.id, holders[0]);
    let ended = this.world.owner("GET", &path, Value::Null).await.expect(200);
    let id = ended["data"][0]["id"].as_str().unwrap().to_owned();
    let told = this.world.owner("GET", &format!("/licenses/{id}/history"), Value::Null).await.expect(200);
    let last = told["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["actor"], "operator", "who confirmed it did it: {last:#}");
    this.world.verify().await;
}
