//! Roles given and taken while nobody listens: the bot is down, the socket is cut, the session is refused, the process is
//! killed. Everything is repaired in both directions, and nothing is doubled.

use serde_json::json;

use super::{Guild, Live, confirm_all, licenses, until, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::Engine;

on_every_engine_and_two_instances!(
    what_happened_while_the_bot_was_down_is_repaired,
    a_cut_socket_loses_nothing,
    a_refused_session_loses_nothing,
    of_the_past_that_a_resumed_session_tells_only_the_end_counts,
    a_crash_in_the_middle_loses_nothing
);

/// A guild with somebody who has the role and somebody who has not.
async fn start(engine: Engine) -> (Live, Guild, String, String) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Gap", json!({ "onRoleLoss": "revoke" })).await;
    let has = this.sim.join(&guild.id, "has", &[&guild.role]).await;
    let lacks = this.sim.join(&guild.id, "lacks", &[]).await;
    wait_for_live(&mut this.world, &guild.id, &has, 1).await;
    (this, guild, has, lacks)
}

/// The role goes from the one to the other.
async fn swap(this: &Live, guild: &Guild, has: &str, lacks: &str) {
    this.sim.take(&guild.id, has, &guild.role).await;
    this.sim.give(&guild.id, lacks, &guild.role).await;
}

/// Who has lost it has nothing, who has got it has one license, and there never was a third.
async fn swapped(this: &mut Live, guild: &Guild, has: &str, lacks: &str) {
    wait_for_live(&mut this.world, &guild.id, has, 0).await;
    wait_for_live(&mut this.world, &guild.id, lacks, 1).await;
    assert_eq!(licenses(&mut this.world, &guild.id, None).await.len(), 2);
    this.world.verify().await;
}

async fn what_happened_while_the_bot_was_down_is_repaired(engine: Engine) {
    let (mut this, guild, has, lacks) = start(engine).await;
    assert_eq!(this.world.stop().await, 0);
    swap(&this, &guild, &has, &lacks).await;
    let leaves = this.sim.join(&guild.id, "comes and goes", &[&guild.role]).await;
    this.sim.leave(&guild.id, &leaves).await;
    this.world.serve().await;
    swapped(&mut this, &guild, &has, &lacks).await;
    // Leaving is losing every role; rejoining with it brings the next license.
    this.sim.leave(&guild.id, &lacks).await;
    wait_for_live(&mut this.world, &guild.id, &lacks, 0).await;
    let back = json!({ "username": "lacks", "id": lacks, "roles": [guild.role] });
    this.sim.call("POST", &format!("/guilds/{}/members", guild.id), back).await;
    let license = wait_for_live(&mut this.world, &guild.id, &lacks, 1).await.remove(0);
    let key = this.sim.wait_for_key(&lacks, 0).await;
    let path = format!("/licenses/{}/history", license["id"].as_str().unwrap());
    let told = this.world.owner("GET", &path, serde_json::Value::Null).await.expect(200);
    assert_eq!(told["data"][0]["data"]["slot"]["generation"], 2, "{told:#}");
    assert!(key.starts_with("DCA-"));
}

async fn a_cut_socket_loses_nothing(engine: Engine) {
    let (mut this, guild, has, lacks) = start(engine).await;
    let identifies = this.sim.sessions().await["identifies"].clone();
    this.sim.gateway("cut").await;
    swap(&this, &guild, &has, &lacks).await;
    swapped(&mut this, &guild, &has, &lacks).await;
    let sessions = this.sim.sessions().await;
    assert_eq!(sessions["identifies"], identifies, "the session is resumed: {sessions:#}");
}

async fn a_refused_session_loses_nothing(engine: Engine) {
    let (mut this, guild, has, lacks) = start(engine).await;
    this.sim.call("PUT", "/settings", json!({ "refuseResume": true })).await;
    this.sim.gateway("cut").await;
    swap(&this, &guild, &has, &lacks).await;
    swapped(&mut this, &guild, &has, &lacks).await;
    let sim = this.sim.clone();
    until("the session is refused", || async { (sim.sessions().await["refusedResumes"] != 0).then_some(()) })
        .await;
    this.connected().await;
    // Whoever had it gets it back, by the same way.
    this.sim.gateway("invalidate").await;
    swap(&this, &guild, &lacks, &has).await;
    wait_for_live(&mut this.world, &guild.id, &lacks, 0).await;
    wait_for_live(&mut this.world, &guild.id, &has, 1).await;
    let all = licenses(&mut this.world, &guild.id, None).await;
    assert_eq!(all.len(), 3, "the first one's second license, and no more: {all:#?}");
}

async fn of_the_past_that_a_resumed_session_tells_only_the_end_counts(engine: Engine) {
    let (mut this, guild, has, lacks) = start(engine).await;
    let mut people = vec![has];
    for number in 0..5 {
        people.push(this.sim.join(&guild.id, &format!("p{number}"), &[&guild.role]).await);
    }
    for user in &people {
        wait_for_live(&mut this.world, &guild.id, user, 1).await;
    }
    let before = licenses(&mut this.world, &guild.id, None).await.len();
    this.world.kill().await;
    for _ in 0..3 {
        for user in &people {
            this.sim.take(&guild.id, user, &guild.role).await;
            this.sim.give(&guild.id, user, &guild.role).await;
        }
        this.sim.give(&guild.id, &lacks, &guild.role).await;
        this.sim.take(&guild.id, &lacks, &guild.role).await;
    }
    let last = this.sim.join(&guild.id, "last", &[&guild.role]).await;
    let identifies = this.sim.sessions().await["identifies"].clone();
    this.world.serve().await;
    wait_for_live(&mut this.world, &guild.id, &last, 1).await;
    assert_eq!(this.sim.sessions().await["identifies"], identifies, "the session is resumed");
    for user in &people {
        wait_for_live(&mut this.world, &guild.id, user, 1).await;
    }
    let after = licenses(&mut this.world, &guild.id, None).await;
    assert_eq!(after.len(), before + 1, "nobody's license is another one: {after:#?}");
}

async fn a_crash_in_the_middle_loses_nothing(engine: Engine) {
    let (mut this, guild, _, _) = start(engine).await;
    let mut people = Vec::new();
    for number in 0..20 {
        people.push(this.sim.join(&guild.id, &format!("p{number}"), &[]).await);
    }
    let identifies = this.sim.sessions().await["identifies"].as_u64().unwrap();
    for round in 0..3 {
        let (sim, id, role) = (this.sim.clone(), guild.id.clone(), guild.role.clone());
        let mine = people.clone();
        let changes = tokio::spawn(async move {
            for (number, user) in mine.iter().enumerate() {
                match (number + round) % 2 {
                    0 => sim.give(&id, user, &role).await,
                    _ => sim.take(&id, user, &role).await,
                }
            }
        });
        this.world.crash().await;
        changes.await.unwrap();
    }
    this.connected().await;
    this.world.cli(&["job", "run", "role-sync-full"]).await;
    confirm_all(&mut this, &guild).await;
    for (number, user) in people.iter().enumerate() {
        wait_for_live(&mut this.world, &guild.id, user, usize::from(number % 2 == 0)).await;
    }
    // A session is kept over a crash: it is resumed and not begun anew.
    let sessions = this.sim.sessions().await;
    assert!(sessions["identifies"].as_u64().unwrap() <= identifies + 1, "{sessions:#}");
    this.world.verify().await;
}
