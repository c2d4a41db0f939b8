//! A thousand role changes in any order, many of them twice: a slot has one live license at most at every moment, and in
//! the end everybody has what his roles give. With more members than the brake lets through, the rest waits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Guild, Live, PATIENCE, confirm_all, held, licenses, live, until, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(a_thousand_changes_of_five_members, fifty_members_wait_for_a_confirmation);

const CHANGES: u64 = 1_000;

/// A small random number generator whose seed is printed, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn rolled() -> Self {
        let seed = uuid::Uuid::new_v4().as_u128() as u64 | 1;
        println!("seed {seed}");
        Self(seed)
    }

    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

async fn people(this: &Live, guild: &Guild, count: usize) -> Vec<String> {
    let mut people = Vec::new();
    for number in 0..count {
        people.push(this.sim.join(&guild.id, &format!("p{number}"), &[]).await);
    }
    people
}

/// At this moment no slot has two live licenses. The list is one snapshot a page, and there are few enough of them.
async fn one_live_license_at_most(world: &mut World, guild: &str) {
    let mut live: BTreeMap<String, u32> = BTreeMap::new();
    for license in licenses(world, guild, None).await {
        if license["status"] != "revoked" {
            *live.entry(license["userId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(live.values().all(|count| *count == 1), "{live:?}");
}

async fn a_thousand_changes_of_five_members(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Shuffle", json!({ "onRoleLoss": "revoke" })).await;
    let people = people(&this, &guild, 5).await;
    let mut dice = Dice::rolled();
    let (sim, id, role) = (this.sim.clone(), guild.id.clone(), guild.role.clone());
    let plan: Vec<(String, bool)> =
        (0..CHANGES).map(|_| (people[dice.next(5) as usize].clone(), dice.next(2) == 0)).collect();
    let mut last: BTreeMap<String, bool> = BTreeMap::new();
    last.extend(plan.iter().cloned());
    let changes = tokio::spawn(async move {
        for (user, has) in plan {
            let roles = if has { vec![role.clone()] } else { Vec::new() };
            sim.set_roles(&id, &user, &roles).await;
            // The same frame twice: Discord sends an event once or several times.
            let dispatch = json!({ "t": "GUILD_MEMBER_UPDATE", "d": {
                "guild_id": id, "user": { "id": user, "username": "p" }, "roles": roles, "joined_at": null,
            }});
            sim.call("POST", "/frames", json!({ "guildId": id, "dispatch": dispatch })).await;
        }
    });
    while !changes.is_finished() {
        one_live_license_at_most(&mut this.world, &guild.id).await;
    }
    changes.await.unwrap();
    for user in &people {
        let wanted = usize::from(last.get(user).copied().unwrap_or(false));
        wait_for_live(&mut this.world, &guild.id, user, wanted).await;
    }
    assert!(held(&mut this.world, &guild.id).await.is_empty(), "five members are within the brake");
    one_live_license_at_most(&mut this.world, &guild.id).await;
    this.world.verify().await;
}

async fn fifty_members_wait_for_a_confirmation(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Wave", json!({ "onRoleLoss": "revoke" })).await;
    let people = people(&this, &guild, 50).await;
    for user in &people {
        this.sim.give(&guild.id, user, &guild.role).await;
    }
    for user in &people {
        wait_for_live(&mut this.world, &guild.id, user, 1).await;
    }
    for user in &people {
        this.sim.take(&guild.id, user, &guild.role).await;
    }
    // Five go through; the others wait, listed, each with a license that stays valid.
    let waiting = waiting(&mut this, &guild, 45).await;
    let batches: BTreeSet<&str> = waiting.iter().map(|one| one["batch"].as_str().unwrap()).collect();
    assert_eq!(batches.len(), 1, "{waiting:#?}");
    let users: BTreeSet<String> =
        waiting.iter().map(|one| one["userId"].as_str().unwrap().to_owned()).collect();
    for user in &people {
        let count = live(&mut this.world, &guild.id, user).await.len();
        assert_eq!(count, usize::from(users.contains(user)), "{user}");
    }
    let batch = batches.into_iter().next().unwrap().to_owned();
    let sim = this.sim.clone();
    let told = until("staff are told", || async {
        sim.channel(&guild.log)
            .await
            .into_iter()
            .find(|message| message["content"].as_str().unwrap().contains(&batch))
    });
    assert!(told.await["content"].as_str().unwrap().contains("**45**"));
    // A reconcile holds them back as well, and somebody who gets his role back is let go.
    this.reconcile().await;
    let back = users.first().unwrap().clone();
    this.sim.give(&guild.id, &back, &guild.role).await;
    waiting_for(&mut this, &guild, 44).await;
    confirm_all(&mut this, &guild).await;
    for user in &people {
        wait_for_live(&mut this.world, &guild.id, user, usize::from(*user == back)).await;
    }
    waiting_for(&mut this, &guild, 0).await;
    this.world.verify().await;
}

async fn waiting(this: &mut Live, guild: &Guild, count: usize) -> Vec<Value> {
    let begin = std::time::Instant::now();
    loop {
        let found = held(&mut this.world, &guild.id).await;
        if found.len() == count {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{} wait and not {count}", found.len());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn waiting_for(this: &mut Live, guild: &Guild, count: usize) {
    waiting(this, guild, count).await;
}
