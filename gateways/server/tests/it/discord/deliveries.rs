//! Keys reach their owners: within the limits and without a 429, once each, together where they are many, and by
//! another way where Discord takes no message.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Guild, Live, PATIENCE, key_in, until, verdict, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    two_hundred_grants_meet_no_limit,
    many_at_once_get_one_log_message,
    a_new_rule_is_a_sweep_of_its_role,
    a_lost_answer_is_not_a_second_message,
    refused_messages_are_answers,
    a_log_channel_is_one_of_the_guilds_own,
    a_slow_log_channel_holds_up_nobody,
    a_global_limit_stops_all_but_interactions
);

async fn two_hundred_grants_meet_no_limit(engine: Engine) {
    let mut this = Live::start(engine).await;
    let mut guilds = Vec::new();
    for number in 0..20 {
        guilds.push(this.guild(&format!("g{number}"), json!({})).await);
    }
    let limit = json!({ "limit": 5, "perMs": 1_000 });
    let buckets = json!({ "POST /users/@me/channels": limit, "POST /channels/*/messages": limit });
    this.sim.call("PUT", "/limits", json!({ "buckets": buckets, "enabled": true })).await;
    let joins = guilds.iter().flat_map(|guild| {
        let sim = &this.sim;
        (0..10).map(
            move |number| async move { sim.join(&guild.id, &format!("u{number}"), &[&guild.role]).await },
        )
    });
    let users = futures::future::join_all(joins).await;
    assert_eq!(users.len(), 200);
    let begin = std::time::Instant::now();
    for user in &users {
        while this.sim.keys(user).await.is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(120), "{}", super::health(&this.world).await.1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    for user in &users {
        assert_eq!(this.sim.inbox(user).await.len(), 1);
    }
    let requests = this.sim.requests().await;
    let limited = requests.iter().filter(|(_, _, status)| *status == 429).count();
    assert_eq!(limited, 0, "of {} requests", requests.len());
    let sent =
        requests.iter().filter(|(method, path, _)| method == "POST" && path.ends_with("/messages")).count();
    assert_eq!(sent, 200, "one request a message");
}

async fn shown_key(this: &Live, guild: &Guild, user: &str) -> String {
    let shown = this.sim.command(&guild.id, user, "license show", json!({})).await;
    let button = &shown["components"][0]["components"][0];
    let click = json!({
        "guildId": guild.id, "userId": user, "customId": button["customId"].as_str().or(button["custom_id"].as_str()),
        "messageId": shown["messageId"].as_str().or(shown["id"].as_str()),
    });
    let revealed = this.sim.call("POST", "/interactions", click).await;
    let answer = &revealed["responses"][0];
    assert_eq!(answer["ephemeral"], true, "{answer:#}");
    key_in(&answer["content"]).unwrap_or_else(|| panic!("{revealed:#}"))
}

async fn many_at_once_get_one_log_message(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Many", json!({ "requireDevice": false })).await;
    let mut users = Vec::new();
    for number in 0..50 {
        users.push(this.sim.join(&guild.id, &format!("m{number}"), &[]).await);
    }
    let gives = users.iter().map(|user| this.sim.give(&guild.id, user, &guild.role));
    futures::future::join_all(gives).await;
    for user in &users {
        wait_for_live(&mut this.world, &guild.id, user, 1).await;
    }
    let sim = this.sim.clone();
    let log = guild.log.clone();
    until("the log message", || async { (!sim.channel(&log).await.is_empty()).then_some(()) }).await;
    let api_key = secret_key(&this.world, &guild.id).await;
    for user in &users {
        let key = shown_key(&this, &guild, user).await;
        assert_eq!(verdict(&this.world, &api_key, &key, None).await, "VALID");
        assert!(this.sim.inbox(user).await.is_empty(), "nobody got a direct message");
    }
    let told = this.sim.channel(&guild.log).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0]["content"].as_str().unwrap().contains("50"), "{told:#?}");
}

async fn a_new_rule_is_a_sweep_of_its_role(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Rule", json!({})).await;
    let other = this.sim.role(&guild.id, "Team").await;
    let mut users = Vec::new();
    for number in 0..3 {
        users.push(this.sim.join(&guild.id, &format!("t{number}"), &[&other]).await);
    }
    let define = json!({ "slug": "team", "name": "Team", "terms": {} });
    this.world.owner("POST", &format!("/guilds/{}/license-types", guild.id), define).await.expect(201);
    let rule = json!({ "roleId": other, "type": "team" });
    this.world.owner("POST", &format!("/guilds/{}/role-rules", guild.id), rule).await.expect(201);
    for user in &users {
        wait_for_live(&mut this.world, &guild.id, user, 1).await;
    }
    let sim = this.sim.clone();
    until("the log message", || async { (!sim.channel(&guild.log).await.is_empty()).then_some(()) }).await;
    let told = this.sim.channel(&guild.log).await;
    assert!(told.len() == 1 && told[0]["content"].as_str().unwrap().contains(": 3"), "{told:#?}");
    for user in &users {
        assert!(this.sim.inbox(user).await.is_empty(), "a rule is no reason for a direct message");
    }
    // Whoever gets the role from now on is told himself.
    let late = this.sim.join(&guild.id, "late", &[&other]).await;
    this.sim.wait_for_key(&late, 0).await;
}

async fn a_log_channel_is_one_of_the_guilds_own(engine: Engine) {
    let mut this = Live::start(engine).await;
    let victim = this.guild("Victim", json!({})).await;
    let guild = this.guild("Curious", json!({})).await;
    let path = format!("/guilds/{}/settings", guild.id);
    this.world.owner("PATCH", &path, json!({ "logChannelId": victim.log })).await.expect(200);
    let user = this.sim.join(&guild.id, "closed", &[]).await;
    this.sim.call("PUT", &format!("/users/{user}/dms"), json!({ "closed": true })).await;
    this.sim.give(&guild.id, &user, &guild.role).await;
    let (sim, owner) = (this.sim.clone(), owner_of(&this, &guild).await);
    until("the setup check names it", || async {
        let checked = sim.command(&guild.id, &owner, "setup check", json!({})).await;
        checked["content"].as_str().unwrap().contains("no channel of this server").then_some(())
    })
    .await;
    assert!(this.sim.channel(&victim.log).await.is_empty(), "another server's channel stays silent");
}

async fn a_slow_log_channel_holds_up_nobody(engine: Engine) {
    let mut this = Live::start(engine).await;
    let slow = this.guild("Slow", json!({})).await;
    let guild = this.guild("Quick", json!({})).await;
    let (late, user) =
        (this.sim.join(&slow.id, "late", &[]).await, this.sim.join(&guild.id, "quick", &[]).await);
    let writing = format!("/channels/{}/messages", slow.log);
    let delay = json!({ "route": format!("POST {writing}"), "delayMs": 9_000, "times": 0 });
    this.sim.fault(delay).await;
    this.sim.call("PUT", &format!("/users/{late}/dms"), json!({ "closed": true })).await;
    this.sim.give(&slow.id, &late, &slow.role).await;
    // Whose channel it is is asked right before it is written to.
    until("the log channel is written to", || async {
        let asked = format!("/channels/{}", slow.log);
        this.sim.requests().await.iter().any(|(_, path, _)| path.ends_with(&asked)).then_some(())
    })
    .await;
    this.sim.give(&guild.id, &user, &guild.role).await;
    this.sim.wait_for_key(&user, 0).await;
    assert!(this.sim.channel(&slow.log).await.is_empty(), "the key came before the slow channel's message");
    until("the slow one gets its message too", || async {
        (!this.sim.channel(&slow.log).await.is_empty()).then_some(())
    })
    .await;
}

async fn secret_key(world: &World, guild: &str) -> String {
    let issued = world.cli(&["apikey", "issue", "--guild", guild, "--kind", "secret"]).await;
    issued["key"].as_str().unwrap().to_owned()
}

async fn a_lost_answer_is_not_a_second_message(engine: Engine) {
    let mut this = Live::start_with(engine, &[("DCA_DISCORD_SEND_LEASE_MS", "5000")]).await;
    let guild = this.guild("Lost", json!({})).await;
    let (user, other) =
        (this.sim.join(&guild.id, "lost", &[]).await, this.sim.join(&guild.id, "crashed", &[]).await);
    let messages = "POST /channels/*/messages";
    this.sim.fault(json!({ "route": messages, "drop": true, "times": 2 })).await;
    this.sim.give(&guild.id, &user, &guild.role).await;
    delivered(&mut this, &guild, &user).await;
    assert_eq!(this.sim.inbox(&user).await.len(), 1, "sent once");
    // The process dies after Discord took the message and before it knows.
    this.sim.fault(json!({ "route": messages, "drop": true, "times": 0 })).await;
    this.sim.give(&guild.id, &other, &guild.role).await;
    this.sim.wait_for_key(&other, 0).await;
    this.world.kill().await;
    this.sim.no_faults().await;
    this.world.serve().await;
    delivered(&mut this, &guild, &other).await;
    assert_eq!(this.sim.inbox(&other).await.len(), 1, "sent once");
}

/// Waits until the history of a member's license says that its key was delivered.
async fn delivered(this: &mut Live, guild: &Guild, user: &str) {
    let license = wait_for_live(&mut this.world, &guild.id, user, 1).await.remove(0);
    let path = format!("/licenses/{}/history", license["id"].as_str().unwrap());
    let begin = std::time::Instant::now();
    loop {
        let told = this.world.owner("GET", &path, Value::Null).await.expect(200);
        if told["data"].as_array().unwrap().iter().any(|entry| entry["type"] == "license.delivered") {
            return;
        }
        // A sender that died has his row for five seconds.
        assert!(begin.elapsed() < PATIENCE, "{}\n{}", super::health(&this.world).await.1, this.world.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn refused_messages_are_answers(engine: Engine) {
    let mut this = Live::start_with(engine, &[("DCA_DISCORD_SEND_RETRY_MS", "50")]).await;
    let guild = this.guild("Refused", json!({})).await;
    // 50007: remembered, told in the log channel, and not tried again.
    let closed = this.sim.join(&guild.id, "closed", &[]).await;
    this.sim.call("PUT", &format!("/users/{closed}/dms"), json!({ "closed": true })).await;
    this.sim.give(&guild.id, &closed, &guild.role).await;
    let (sim, log) = (this.sim.clone(), guild.log.clone());
    until("the log names it", || async { (!sim.channel(&log).await.is_empty()).then_some(()) }).await;
    let tries = |requests: &[(String, String, u64)]| {
        requests
            .iter()
            .filter(|(method, path, status)| {
                method == "POST" && path.ends_with("/messages") && *status == 403
            })
            .count()
    };
    assert_eq!(tries(&this.sim.requests().await), 1);
    shown_key(&this, &guild, &closed).await;
    // 50013: the log channel refuses; that stops nothing, and the checklist says so.
    let denied = json!({ "route": format!("POST /channels/{}/messages", guild.log), "status": 403,
        "body": { "code": 50_013, "message": "Missing Permissions" }, "times": 0 });
    this.sim.fault(denied).await;
    let other = this.sim.join(&guild.id, "other", &[]).await;
    this.sim.call("PUT", &format!("/users/{other}/dms"), json!({ "closed": true })).await;
    this.sim.give(&guild.id, &other, &guild.role).await;
    let owner = owner_of(&this, &guild).await;
    let (sim, id) = (this.sim.clone(), guild.id.clone());
    until("the checklist says so", || async {
        let checked = sim.command(&id, &owner, "setup check", json!({})).await;
        checked["content"].as_str().unwrap().contains("50013").then_some(())
    })
    .await;
    let open = this.sim.join(&guild.id, "open", &[&guild.role]).await;
    this.sim.wait_for_key(&open, 0).await;
    this.sim.no_faults().await;
    too_many_messages(&mut this, &guild).await;
}

async fn owner_of(this: &Live, guild: &Guild) -> String {
    let state = this.sim.call("GET", "/state", Value::Null).await;
    let guilds = state["guilds"].as_array().unwrap();
    let found = guilds.iter().find(|one| one["id"] == guild.id.as_str()).unwrap();
    found["ownerId"].as_str().unwrap().to_owned()
}

/// 40003: no message leaves until an operator resumes; then everything that waited goes.
async fn too_many_messages(this: &mut Live, guild: &Guild) {
    let fault = json!({ "route": "POST /users/@me/channels", "status": 400,
        "body": { "code": 40_003, "message": "You are opening direct messages too fast." }, "times": 1 });
    this.sim.fault(fault).await;
    let first = this.sim.join(&guild.id, "first", &[&guild.role]).await;
    until("messages are stopped", || async {
        super::health(&this.world).await.1.contains("direct messages are stopped").then_some(())
    })
    .await;
    let second = this.sim.join(&guild.id, "second", &[&guild.role]).await;
    wait_for_live(&mut this.world, &guild.id, &second, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(this.sim.inbox(&first).await.is_empty() && this.sim.inbox(&second).await.is_empty());
    this.world.crash().await;
    this.connected().await;
    assert!(this.sim.inbox(&first).await.is_empty(), "a restart resumes nothing");
    this.world.cli(&["discord", "resume"]).await;
    this.sim.wait_for_key(&first, 0).await;
    this.sim.wait_for_key(&second, 0).await;
}

async fn a_global_limit_stops_all_but_interactions(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Global", json!({})).await;
    let user = this.sim.join(&guild.id, "g", &[&guild.role]).await;
    this.sim.wait_for_key(&user, 0).await;
    let other = this.sim.join(&guild.id, "other", &[]).await;
    let before = this.sim.requests().await.len();
    this.sim
        .fault(json!({ "route": "POST /users/@me/channels", "retryAfter": 8.0, "global": true, "times": 1 }))
        .await;
    let begin = std::time::Instant::now();
    this.sim.give(&guild.id, &other, &guild.role).await;
    let sim = this.sim.clone();
    until("the limit was met", || async {
        let seen = sim.requests().await.split_off(before);
        seen.iter().any(|(_, _, status)| *status == 429).then_some(())
    })
    .await;
    let listed = this.sim.command(&guild.id, &user, "license list", json!({})).await;
    assert!(listed["content"].as_str().unwrap().contains("Pro"), "{listed:#}");
    assert!(begin.elapsed() < Duration::from_secs(8), "an interaction is answered meanwhile");
    this.sim.wait_for_key(&other, 0).await;
    assert!(begin.elapsed() >= Duration::from_secs(8), "and nothing else is sent");
}
