//! Staff's commands to one license, and its way from hand to hand.

use serde_json::{Value, json};

use crate::world::{ADA, BOB, GUILD, World};

#[tokio::test]
async fn a_license_goes_through_its_states() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, _) = world.license("team").await;
    let act = async |what: &str, body: Value| {
        world.post(&format!("/licenses/{id}/{what}")).key(&secret).json(&body).await
    };
    assert_eq!(act("assign", json!({ "userId": ADA })).await.ok(200)["userId"], ADA);
    assert_eq!(act("assign", json!({ "userId": BOB })).await.problem(409), "ALREADY_ASSIGNED");
    let held = act("suspend", json!({ "by": "policy", "reason": "look at it" })).await;
    assert_eq!(held.header("etag"), Some("\"3\""));
    assert_eq!(held.ok(200)["status"], "suspended");
    assert_eq!(act("resume", json!({})).await.problem(409), "NOT_SUSPENDED");
    assert_eq!(act("resume", json!({ "by": "policy" })).await.ok(200)["status"], "assigned");
    assert_eq!(act("rekey", json!({})).await.ok(200)["keyVersion"], 1);
    assert_eq!(
        act("revoke", json!({ "category": "fraud", "reason": "x" })).await.ok(200)["status"],
        "revoked"
    );
    for what in ["suspend", "renew", "revoke", "rekey"] {
        assert_eq!(act(what, json!({})).await.problem(409), "REVOKED", "{what}");
    }
}

#[tokio::test]
async fn a_payment_renews_once() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, _) = world.license("team").await;
    let (other, _) = world.license("team").await;
    let renew = async |id: &str| {
        let body = json!({ "for": "P10D", "externalRef": "pay-1" });
        world.post(&format!("/licenses/{id}/renew")).key(&secret).json(&body).await
    };
    let before = world.get(&format!("/licenses/{id}")).key(&secret).empty().await.ok(200);
    let renewed = renew(&id).await.ok(200);
    assert_ne!(renewed["expiresAt"], before["expiresAt"]);
    assert_eq!(renew(&id).await.ok(200)["expiresAt"], renewed["expiresAt"]);
    assert_eq!(renew(&other).await.problem(409), "EXTERNAL_REF_USED");
}

#[tokio::test]
async fn terms_and_metadata_of_one_license_are_changed() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, _) = world.license("team").await;
    let act = async |what: &str, body: Value| {
        world.post(&format!("/licenses/{id}/{what}")).key(&secret).json(&body).await.ok(200)
    };
    let terms = json!({ "terms": { "maxDevices": 7 }, "expiresAt": null, "reason": "a favour" });
    let changed = act("terms", terms).await;
    assert_eq!((&changed["maxDevices"], &changed["expiresAt"]), (&json!(7), &json!(null)));
    let changed = act("metadata", json!({ "metadata": { "a": 1 }, "privateMetadata": { "b": 2 } })).await;
    assert_eq!((&changed["metadata"], &changed["privateMetadata"]), (&json!({ "a": 1 }), &json!({ "b": 2 })));
    let cleared = act("metadata", json!({ "metadata": null })).await;
    assert_eq!((&cleared["metadata"], &cleared["privateMetadata"]), (&json!(null), &json!({ "b": 2 })));
}

#[tokio::test]
async fn impossible_values_are_named() {
    let world = World::new().await;
    let (id, _) = world.license("team").await;
    for (what, body, status, pointer) in [
        ("suspend", json!({ "by": "role_loss" }), 422, "/by"),
        ("suspend", json!({ "by": "odd" }), 400, "/by"),
        ("revoke", json!({ "category": "role_lost" }), 422, "/category"),
        ("renew", json!({ "for": "PT0S" }), 422, "/for"),
        ("renew", json!({ "for": "1 month" }), 400, "/for"),
        ("renew", json!({ "for": "P1D", "until": "2030-01-01T00:00:00Z" }), 400, "/until"),
        ("renew", json!({ "externalRef": "" }), 400, "/externalRef"),
        ("terms", json!({ "terms": { "maxDevices": 0 } }), 422, "/terms/maxDevices"),
        ("terms", json!({ "terms": { "odd": 0 } }), 400, "/terms/odd"),
        ("metadata", json!({ "metadata": [] }), 400, "/metadata"),
        ("metadata", json!({ "privateMetadata": { "a": "x".repeat(9000) } }), 400, "/privateMetadata"),
        ("suspend", json!({ "reason": "x".repeat(501) }), 400, "/reason"),
        ("transfer", json!({ "toUserId": "me" }), 400, "/toUserId"),
        ("assign", json!({}), 400, "/userId"),
    ] {
        let reply = world.post(&format!("/licenses/{id}/{what}")).token("operator").json(&body).await;
        reply.problem(status);
        assert_eq!(reply.pointer(), pointer, "{what} {body}");
    }
}

#[tokio::test]
async fn an_owner_offers_and_the_receiver_accepts() {
    let world = World::new().await;
    let (id, key) = world.license_of("team", ADA).await;
    let path = format!("/licenses/{id}/transfer");
    let accept = format!("/licenses/transfers/{id}/accept");
    assert_eq!(world.post(&accept).token(BOB).empty().await.problem(404), "NOT_FOUND");
    let offered = world.post(&path).token(ADA).json(&json!({ "toUserId": BOB })).await.ok(200);
    assert_eq!(offered["userId"], ADA);
    assert_eq!(world.post(&accept).token("999").empty().await.problem(404), "NOT_FOUND");
    let accepted = world.post(&accept).token(BOB).empty().await.ok(200);
    assert_eq!((&accepted["userId"], &accepted["keyVersion"]), (&json!(BOB), &json!(1)));
    assert_eq!(world.get(&format!("/licenses/{id}")).token(ADA).empty().await.problem(404), "NOT_FOUND");
    let redeem = world.post("/licenses/redeem").token(ADA).json(&json!({ "key": key })).await;
    assert_eq!(redeem.problem(404), "KEY_SUPERSEDED");
    let (pro, _) = world.license_of("pro", ADA).await;
    let reply =
        world.post(&format!("/licenses/{pro}/transfer")).token(ADA).json(&json!({ "toUserId": BOB })).await;
    assert_eq!(reply.problem(409), "NOT_TRANSFERABLE");
}

#[tokio::test]
async fn a_key_is_redeemed_once() {
    let world = World::new().await;
    let (_, key) = world.license("pro").await;
    let body = json!({ "key": key });
    let taken = world.post("/licenses/redeem").token(ADA).json(&body).await.ok(200);
    assert_eq!((&taken["userId"], &taken["status"]), (&json!(ADA), &json!("assigned")));
    assert_eq!(world.post("/licenses/redeem").token(BOB).json(&body).await.problem(409), "ALREADY_ASSIGNED");
    let secret = world.secret().await;
    assert_eq!(world.post("/licenses/redeem").key(&secret).json(&body).await.problem(403), "FORBIDDEN");
    assert_eq!(
        world.post("/licenses/redeem").token(ADA).json(&json!({ "key": "x" })).await.problem(400),
        "MALFORMED_KEY"
    );
}

#[tokio::test]
async fn a_banned_user_has_no_valid_license() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (_, key) = world.license_of("team", ADA).await;
    let code = async || {
        let reply = world.post("/licenses/validate").key(&secret).json(&json!({ "key": key })).await;
        reply.ok(200)["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code().await, "VALID");
    let path = format!("/admin/users/{ADA}");
    let body = json!({ "reason": "abuse" });
    let user = world.post(&format!("{path}/ban")).token("operator").json(&body).await.ok(200);
    assert_eq!((&user["id"], &user["discordId"], &user["banned"]), (&json!(ADA), &json!(ADA), &json!(true)));
    assert_eq!(code().await, "USER_BANNED");
    assert_eq!(
        world.post(&format!("{path}/ban")).token("operator").empty().await.problem(409),
        "ALREADY_BANNED"
    );
    world.post(&format!("{path}/unban")).token("operator").empty().await.ok(200);
    assert_eq!(code().await, "VALID");
    assert_eq!(
        world.post("/admin/users/987/unban").token("operator").empty().await.problem(404),
        "NOT_FOUND"
    );
    assert_eq!(world.post("/admin/users/me/ban").token("operator").empty().await.problem(404), "NOT_FOUND");
    for ask in
        [world.post(&format!("{path}/ban")).key(&secret), world.post(&format!("{path}/ban")).token("501")]
    {
        assert_eq!(ask.empty().await.problem(403), "FORBIDDEN");
    }
}

#[tokio::test]
async fn roles_give_and_take_licenses() {
    let world = World::new().await;
    let rule = json!({ "roleId": "4242", "type": "pro" });
    world.post(&format!("/guilds/{GUILD}/role-rules")).token("operator").json(&rule).await.ok(201);
    let seen = world.observe(ADA, &[domain::id::RoleId(4242), domain::id::RoleId(1)]).await;
    assert_eq!(seen["roles"], json!(["4242"]));
    assert_eq!(seen["licenses"][0]["userId"], ADA);
    assert_eq!(seen["licenses"][0]["status"], "assigned");
    let id = seen["licenses"][0]["id"].as_str().unwrap();
    let reply = world
        .post(&format!("/licenses/{id}/transfer"))
        .token("operator")
        .json(&json!({ "toUserId": BOB }))
        .await;
    assert_eq!(reply.problem(409), "ROLE_BOUND");
    world.observe(ADA, &[]).await;
    let gone = world.get(&format!("/licenses/{id}")).token("operator").empty().await.ok(200);
    assert_eq!(gone["status"], "revoked");
}
