//! Whatever comes over the gateway, nothing is lost and the bot stays up: broken frames, missing members, members with
//! hundreds of roles, names that try to do something. The control API answers to this machine's own callers only.

use serde_json::{Value, json};

use super::{Live, Sim, health, live, until, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    odd_frames_are_survived,
    names_do_nothing,
    the_control_api_refuses_foreign_pages
);

async fn odd_frames_are_survived(engine: Engine) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Odd", json!({ "onRoleLoss": "revoke" })).await;
    let user = this.sim.join(&guild.id, "odd", &[]).await;
    let identifies = this.sim.sessions().await["identifies"].clone();
    let member = |more: Value| {
        let mut data = json!({ "guild_id": guild.id, "user": { "id": user, "username": "odd" } });
        for (name, value) in more.as_object().unwrap() {
            data[name] = value.clone();
        }
        json!({ "t": "GUILD_MEMBER_UPDATE", "d": data })
    };
    for raw in [
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{\"op\":\"x\"}",
        "{\"op\":99,\"d\":null}",
        "{\"op\":0}",
        "{\"op\":0,\"t\":5,\"s\":\"x\"}",
    ] {
        this.sim.call("POST", "/frames", json!({ "raw": raw })).await;
    }
    for data in [
        json!({ "t": "A_NEW_EVENT", "d": { "x": [1, 2] } }),
        json!({ "t": "GUILD_MEMBER_UPDATE", "d": null }),
        json!({ "t": "GUILD_MEMBER_ADD", "d": { "guild_id": "x" } }),
        json!({ "t": "GUILD_ROLE_DELETE", "d": { "guild_id": guild.id } }),
        json!({ "t": "GUILD_DELETE", "d": {} }),
        member(json!({ "roles": ["1", "2", "3"] })),
        member(json!({ "roles": (1..=250_u64).map(|role| (role * 7).to_string()).collect::<Vec<_>>() })),
    ] {
        this.sim.call("POST", "/frames", json!({ "dispatch": data })).await;
    }
    until("odd frames are recorded", || async {
        health(&this.world).await.1.contains("frames could not be used").then_some(())
    })
    .await;
    // The state of a member whose frame cannot be used is asked for.
    let path = format!("/guilds/{}/members/{user}/roles", guild.id);
    this.sim.call("PUT", "/settings", json!({ "heartbeatIntervalMs": 41_250 })).await;
    this.sim.call("PUT", &path, json!({ "roles": [guild.role] })).await;
    wait_for_live(&mut this.world, &guild.id, &user, 1).await;
    let broken = member(json!({ "roles": "none" }));
    this.sim.call("POST", "/frames", json!({ "dispatch": broken })).await;
    this.sim.call("PUT", &path, json!({ "roles": [] })).await;
    wait_for_live(&mut this.world, &guild.id, &user, 0).await;
    let sessions = this.sim.sessions().await;
    assert_eq!(sessions["identifies"], identifies, "no frame cost a session: {sessions:#}");
    this.world.verify().await;
}

async fn names_do_nothing(engine: Engine) {
    let mut this = Live::start(engine).await;
    let name = "**@everyone**\u{202e}gnol\u{200b} <@&1> `x`";
    let guild = this.guild(name, json!({ "onRoleLoss": "revoke" })).await;
    let user = this.sim.join(&guild.id, "\u{202e}\u{200b}_u_", &[&guild.role]).await;
    let key = this.sim.wait_for_key(&user, 0).await;
    assert!(key.starts_with("DCA-"), "{key}");
    let message = this.sim.inbox(&user).await.remove(0);
    let content = message["content"].as_str().unwrap();
    assert!(!content.contains('\u{202e}') && !content.contains('\u{200b}'), "{content:?}");
    assert!(content.contains("\\*\\*\\@everyone") && content.contains("\\<\\@&1\\>"), "{content:?}");
    // Somebody with every role there is.
    let mut roles = vec![guild.role.clone()];
    for number in 0..248 {
        roles.push(this.sim.role(&guild.id, &format!("r{number}")).await);
    }
    let all = this.sim.join(&guild.id, "all", &[]).await;
    this.sim.set_roles(&guild.id, &all, &roles).await;
    wait_for_live(&mut this.world, &guild.id, &all, 1).await;
    assert_eq!(live(&mut this.world, &guild.id, &user).await.len(), 1);
}

async fn the_control_api_refuses_foreign_pages(engine: Engine) {
    let world = World::demo(engine).await;
    let sim = Sim::of(&world).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = format!(
        "{}/_control/guilds/{}/members/{}/roles/{}",
        sim.url, world.facts.guild, world.facts.ada, world.facts.pro
    );
    for (name, value) in [
        ("Host", "example.org"),
        ("Host", "127.0.0.1.example.org:80"),
        ("Origin", "http://example.org"),
        ("Origin", "null"),
    ] {
        let answer = client.post(&path).header(name, value).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{name}: {value}: {}", answer.status());
    }
    assert!(sim.inbox(&world.facts.ada).await.is_empty());
    let state = sim.call("GET", "/state", Value::Null).await;
    let members = state["guilds"][0]["members"].as_array().unwrap();
    let ada = members.iter().find(|member| member["id"] == world.facts.ada.as_str()).unwrap();
    assert_eq!(ada["roles"], json!([]), "{ada:#}");
}
