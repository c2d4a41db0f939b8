//! Slash commands: each asker sees his own, in his language, and what Discord lets through is looked at again.

use serde_json::{Value, json};

use super::{Guild, Live, key_in, until, wait_for_live};
use crate::on_every_engine_and_two_instances;
use crate::world::Engine;

on_every_engine_and_two_instances!(
    members_see_their_own_licenses,
    a_forged_interaction_shows_nothing,
    whoever_asks_is_looked_at_again,
    interactions_over_http_are_signed
);

async fn start(engine: Engine) -> (Live, Guild, String) {
    let mut this = Live::start(engine).await;
    let guild = this.guild("Talk *loud*", json!({ "maxDevices": 2, "onRoleLoss": "revoke" })).await;
    let user = this.sim.join(&guild.id, "talker", &[&guild.role]).await;
    this.sim.wait_for_key(&user, 0).await;
    (this, guild, user)
}

fn text(answer: &Value) -> &str {
    answer["content"].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

async fn interact(this: &Live, body: Value) -> Value {
    this.sim.call("POST", "/interactions", body).await["responses"][0].clone()
}

async fn members_see_their_own_licenses(engine: Engine) {
    let (mut this, guild, user) = start(engine).await;
    let listed = this.sim.command(&guild.id, &user, "license list", json!({})).await;
    assert!(text(&listed).contains("Talk \\*loud\\*") && text(&listed).contains("0/2"), "{listed:#}");
    assert_eq!(listed["ephemeral"], true);
    let german = json!({ "guildId": guild.id, "userId": user, "command": "license list", "options": {}, "locale": "de" });
    assert!(text(&interact(&this, german).await).contains("Geräte"));
    let nobody = this.sim.join(&guild.id, "nobody", &[]).await;
    let empty = this.sim.command(&guild.id, &nobody, "license list", json!({})).await;
    assert!(text(&empty).contains("no license"), "{empty:#}");
    // Autocomplete offers the asker's own rows, and what it offers is accepted.
    let asked = json!({ "guildId": guild.id, "userId": user, "command": "license show",
        "autocomplete": { "option": "license", "value": "pro" } });
    let choices = interact(&this, asked.clone()).await["choices"].clone();
    let id = choices[0]["value"].as_str().unwrap_or_else(|| panic!("{choices:#}")).to_owned();
    let mut others = asked;
    others["userId"] = nobody.clone().into();
    assert_eq!(interact(&this, others).await["choices"], json!([]));
    let shown = this.sim.command(&guild.id, &user, "license show", json!({ "license": id })).await;
    assert!(text(&shown).contains("0 of 2"), "{shown:#}");
    let foreign = this.sim.command(&guild.id, &nobody, "license show", json!({ "license": id })).await;
    assert!(text(&foreign).contains("no such license"), "{foreign:#}");
    sync_me(&mut this, &guild, &user).await;
}

/// `/sync me` looks at the roles as they are now.
async fn sync_me(this: &mut Live, guild: &Guild, user: &str) {
    let same = this.sim.command(&guild.id, user, "sync me", json!({})).await;
    assert!(text(&same).contains("as your roles say"), "{same:#}");
    this.sim
        .fault(
            json!({ "route": format!("GET /guilds/{}/members/{user}", guild.id), "status": 500, "times": 0 }),
        )
        .await;
    let unclear = this.sim.command(&guild.id, user, "sync me", json!({})).await;
    assert!(text(&unclear).contains("nothing was changed"), "{unclear:#}");
    this.sim.no_faults().await;
    wait_for_live(&mut this.world, &guild.id, user, 1).await;
}

async fn a_forged_interaction_shows_nothing(engine: Engine) {
    let (mut this, guild, user) = start(engine).await;
    let id = wait_for_live(&mut this.world, &guild.id, &user, 1).await[0]["id"].as_str().unwrap().to_owned();
    let thief = this.sim.join(&guild.id, "thief", &[]).await;
    // Clicks on a message of their own, with the id of a button that never stood on it.
    let own = this.sim.command(&guild.id, &thief, "license list", json!({})).await;
    let message = own["messageId"].as_str().unwrap();
    for custom_id in
        [format!("dca1:reveal:{id}"), format!("dca9:reveal:{id}"), "dca1:reveal:x".to_owned(), "?".to_owned()]
    {
        let click = json!({ "guildId": guild.id, "userId": thief, "customId": custom_id, "messageId": message, "forge": {} });
        let answer = interact(&this, click).await;
        assert!(
            key_in(&answer["content"]).is_none() && text(&answer).contains("no such license"),
            "{answer:#}"
        );
    }
    // Of another guild, the owner himself sees nothing either.
    let other = this.guild("Other", json!({})).await;
    let path = format!("/guilds/{}/members", other.id);
    this.sim.call("POST", &path, json!({ "username": "talker", "id": user })).await;
    let own = this.sim.command(&other.id, &user, "license list", json!({})).await;
    let click = json!({ "guildId": other.id, "userId": user, "customId": format!("dca1:reveal:{id}"), "messageId": own["messageId"], "forge": {} });
    assert!(text(&interact(&this, click).await).contains("no such license"));
    // An interaction that claims to be sent by an administrator.
    let forged = json!({ "guildId": guild.id, "userId": thief, "command": "setup check", "options": {},
        "forge": { "member": { "user": { "id": thief, "username": "thief", "discriminator": "0", "avatar": null, "global_name": null, "public_flags": 0 }, "nick": null, "avatar": null, "roles": [], "permissions": "8", "joined_at": "2026-01-01T00:00:00+00:00", "premium_since": null, "deaf": false, "mute": false, "flags": 0, "pending": false } } });
    assert!(text(&interact(&this, forged).await).contains("Manage Server"));
    let history = this.world.owner("GET", &format!("/licenses/{id}/history"), Value::Null).await.expect(200);
    let reveals =
        history["data"].as_array().unwrap().iter().filter(|entry| entry["data"]["channel"] == "reveal");
    assert_eq!(reveals.count(), 0);
}

async fn whoever_asks_is_looked_at_again(engine: Engine) {
    let (this, guild, user) = start(engine).await;
    let check = json!({ "guildId": guild.id, "userId": user, "command": "setup check", "options": {} });
    // Discord itself shows the command to nobody who may not use it, and the bot does not rely on that.
    let mut past_discord = check.clone();
    past_discord["forge"] = json!({});
    until("the commands are registered, and Discord refuses", || async {
        (this.sim.try_call("POST", "/interactions", check.clone()).await.status == 400).then_some(())
    })
    .await;
    let refused = interact(&this, past_discord.clone()).await;
    assert!(text(&refused).contains("Manage Server"), "{refused:#}");
    let path = format!("/guilds/{}/roles", guild.id);
    let staff = json!({ "name": "Staff", "position": 1, "permissions": "32" });
    let admin = this.sim.call("POST", &path, staff).await["id"].as_str().unwrap().to_owned();
    this.sim.give(&guild.id, &user, &admin).await;
    let allowed = until("the new role counts", || async {
        let answer = interact(&this, past_discord.clone()).await;
        text(&answer).contains("Setup of").then_some(answer)
    });
    let checked = allowed.await;
    assert!(text(&checked).contains("1 role rules"), "{checked:#}");
    // Dismissed on Discord, dismissed here.
    this.sim.take(&guild.id, &user, &admin).await;
    let begin = std::time::Instant::now();
    loop {
        let answer = interact(&this, past_discord.clone()).await;
        if text(&answer).contains("Manage Server") {
            break;
        }
        assert!(begin.elapsed() < super::PATIENCE);
    }
    this.world.verify().await;
}

async fn interactions_over_http_are_signed(engine: Engine) {
    let (this, guild, user) = start(engine).await;
    let url = format!("{}/discord/interactions", this.world.url());
    // Discord itself finds out whether a good signature is taken and a bad one refused, before it takes the address.
    this.sim.call("PUT", "/settings", json!({ "interactionsUrl": url })).await;
    let listed = this.sim.command(&guild.id, &user, "license list", json!({})).await;
    assert!(text(&listed).contains("Pro"), "{listed:#}");
    let shown = this.sim.command(&guild.id, &user, "license show", json!({})).await;
    let button = &shown["components"][0]["components"][0];
    let custom_id = button["custom_id"].as_str().or(button["customId"].as_str());
    let click = json!({ "guildId": guild.id, "userId": user, "customId": custom_id, "messageId": shown["messageId"] });
    assert!(key_in(&interact(&this, click).await["content"]).is_some());
    let asked = json!({ "guildId": guild.id, "userId": user, "command": "license show",
        "autocomplete": { "option": "license", "value": "" } });
    assert_eq!(interact(&this, asked).await["choices"].as_array().unwrap().len(), 1);
    let synced = this.sim.command(&guild.id, &user, "sync me", json!({})).await;
    assert!(text(&synced).contains("as your roles say"), "{synced:#}");
    // Forged ones are refused before they are read.
    let body = json!({ "type": 1 });
    let path = "/discord/interactions";
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let zeros = "0".repeat(128);
    assert_eq!(this.world.ask("POST", path, &[], body.clone()).await.status, 401);
    for (signature, timestamp) in
        [(zeros.as_str(), now.as_str()), ("x", &now), (&zeros, "0"), (&zeros, "x"), ("", "")]
    {
        let headers = [("X-Signature-Ed25519", signature), ("X-Signature-Timestamp", timestamp)];
        let answer = this.world.ask("POST", path, &headers, body.clone()).await;
        assert_eq!((answer.status, answer.code()), (401, "INVALID_CREDENTIAL"), "{:#}", answer.body);
    }
}
