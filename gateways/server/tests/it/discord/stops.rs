//! Where trying again would do harm the bot stops, says what to do, and goes on once it is done; everything else goes on
//! meanwhile. No combination of settings sends a token to a stranger, or plays a simulation where none was asked for.

use serde_json::{Value, json};

use super::{Live, health, until, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    a_bad_token_stops_the_bot_and_nothing_else,
    denied_intents_stop_the_bot_until_it_is_resumed,
    without_the_privileged_intent_holders_are_asked_about,
    unsafe_combinations_are_refused
);

async fn stopped(world: &World, word: &str) -> String {
    until(word, || async {
        let (status, detail) = health(world).await;
        (status == "down" && detail.contains(word)).then_some(detail)
    })
    .await
}

async fn a_bad_token_stops_the_bot_and_nothing_else(engine: Engine) {
    let mut this = Live::start(engine).await;
    assert_eq!(this.world.stop().await, 0);
    this.world.set("DISCORD_TOKEN", "somebody-elses-token");
    let before = this.sim.requests().await.len();
    this.world.serve().await;
    let detail = stopped(&this.world, "does not accept the bot token").await;
    assert!(detail.contains("DISCORD_TOKEN"), "{detail}");
    assert_eq!(this.world.ask("GET", "/ready", &[], Value::Null).await.status, 200);
    let status = this.world.cli(&["status"]).await;
    // The stand-in is configured as one, so what is said is that; nothing claims to be connected.
    assert_eq!((&status["discord"], &status["mode"]), (&json!("simulated"), &json!("live")));
    let tries = this.sim.requests().await.split_off(before);
    let refused = tries.iter().filter(|(_, _, status)| *status == 401).count();
    assert!(refused <= 2, "it is not tried again and again: {tries:?}");
    assert!(!this.world.log().contains("somebody-elses-token"), "no log holds a token");
}

async fn denied_intents_stop_the_bot_until_it_is_resumed(engine: Engine) {
    let mut this = Live::start(engine).await;
    assert_eq!(this.world.stop().await, 0);
    this.sim.call("PUT", "/settings", json!({ "deniedIntents": 2, "refuseResume": true })).await;
    this.world.serve().await;
    let detail = stopped(&this.world, "privileged intent").await;
    assert!(detail.contains("member_intent"), "{detail}");
    let identifies = this.sim.sessions().await["identifies"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(this.sim.sessions().await["identifies"], identifies, "it does not try again by itself");
    this.sim.call("PUT", "/settings", json!({ "deniedIntents": 0, "refuseResume": false })).await;
    this.world.cli(&["discord", "resume"]).await;
    this.connected().await;
    let guild = this.guild("Intents", json!({})).await;
    let user = this.sim.join(&guild.id, "u", &[&guild.role]).await;
    this.sim.wait_for_key(&user, 0).await;
}

async fn without_the_privileged_intent_holders_are_asked_about(engine: Engine) {
    let mut this = Live::start_with(engine, &[("DCA_DISCORD_MEMBER_INTENT", "false")]).await;
    this.sim.call("PUT", "/settings", json!({ "memberIntent": false })).await;
    let guild = this.guild("Plain", json!({ "onRoleLoss": "revoke" })).await;
    let user = this.sim.join(&guild.id, "u", &[&guild.role]).await;
    // Nobody tells of him, so he asks.
    let synced = this.sim.command(&guild.id, &user, "sync me", json!({})).await;
    assert!(synced["content"].as_str().unwrap().contains("Granted"), "{synced:#}");
    this.sim.wait_for_key(&user, 0).await;
    this.sim.take(&guild.id, &user, &guild.role).await;
    assert_eq!(super::live(&mut this.world, &guild.id, &user).await.len(), 1);
    this.world.cli(&["job", "run", "role-sync"]).await;
    wait_for_live(&mut this.world, &guild.id, &user, 0).await;
    let lists = this.sim.requests().await;
    let listed = lists.iter().filter(|(_, path, _)| path.ends_with("/members")).count();
    assert_eq!(listed, 0, "the list of members is never asked for");
}

async fn unsafe_combinations_are_refused(engine: Engine) {
    let refused = |variables: &'static [(&'static str, &'static str)], mode: &'static str| {
        let engine = engine.clone();
        async move {
            let mut world = World::empty(engine);
            variables.iter().for_each(|(name, value)| world.set(name, value));
            let output = world.run(&["serve", "--mode", mode]).await;
            assert!(!output.status.success(), "{variables:?}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        }
    };
    let demo = refused(&[("DISCORD_TOKEN", "x")], "demo").await;
    assert!(demo.contains("a demo simulates Discord") && demo.contains("DISCORD_TOKEN"), "{demo}");
    let foreign =
        refused(&[("DISCORD_TOKEN", "x"), ("DCA_DISCORD_API_BASE", "http://192.0.2.1:80")], "live").await;
    assert!(foreign.contains("discord.api_base") && foreign.contains("goes nowhere else"), "{foreign}");
    let mixed =
        refused(&[("DISCORD_TOKEN", "x"), ("DCA_DISCORD_API_BASE", "http://127.0.0.1:4000")], "live").await;
    assert!(mixed.contains("discord.gateway_url") && mixed.contains("discord.oauth_base"), "{mixed}");
    let gateway =
        refused(&[("DISCORD_TOKEN", "x"), ("DCA_DISCORD_GATEWAY_URL", "ws://127.0.0.1:4000")], "live").await;
    assert!(gateway.contains("discord.gateway_url"), "{gateway}");
    let open = refused(&[("DCA_DISCORD_SIMULATOR_LISTEN", "0.0.0.0:4000")], "demo").await;
    assert!(open.contains("discord.simulator_listen"), "{open}");
    let both = refused(&[("DISCORD_TOKEN", "x"), ("DISCORD_TOKEN_FILE", "/dev/null")], "live").await;
    assert!(both.contains("discord.token_file"), "{both}");
    let typo = refused(&[("DCA_DISCORD_TOKN", "x")], "live").await;
    assert!(typo.contains("DCA_DISCORD_TOKEN"), "{typo}");
    // Without a token, live data is served without Discord, and says how to have one.
    let mut world = World::empty(engine.clone());
    world.live();
    world.serve().await;
    let (status, detail) = health(&world).await;
    assert_eq!(status, "off");
    assert!(detail.contains("DISCORD_TOKEN"), "{detail}");
    assert_eq!(world.cli(&["status"]).await["discord"], "off");
}
