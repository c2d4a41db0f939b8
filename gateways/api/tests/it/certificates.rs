//! Offline licenses: who gets one, for how long, what it says, and that it is no other kind of token.

use domain::time::Span;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::world::{ADA, BOB, GUILD, OTHER_GUILD, Reply, World};

/// A world with the type `field`: one device, offline for a week, 30 days and 2 of grace.
async fn world() -> World {
    let world = World::new().await;
    let terms = json!({
        "maxDevices": 1, "offlineLeaseMax": "P7D", "duration": "P30D", "expiryGrace": "P2D",
        "deviceMatch": "most", "entitlements": ["export"],
    });
    let body = json!({ "slug": "field", "name": "Field", "terms": terms });
    world.post(&format!("/guilds/{GUILD}/license-types")).token("operator").json(&body).await.ok(201);
    world
}

/// A license of Ada's with the active device `pc`.
async fn activated(world: &World) -> (String, String) {
    let (id, key) = world.license_of("field", ADA).await;
    let parts = json!([{ "name": "cpu", "value": "1" }, { "name": "disk", "value": "2" }]);
    let body = json!({ "key": key, "deviceId": "pc", "components": parts });
    world.post("/licenses/activate").token(ADA).json(&body).await.ok(201);
    (id, key)
}

/// What a certificate says, proved with nothing but the published keys.
async fn proved(world: &World, certificate: &str) -> Value {
    let keys = world.get("/.well-known/dca-keys.json").empty().await.ok(200);
    let header = jsonwebtoken::decode_header(certificate).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("dca-license+jwt"), Algorithm::EdDSA));
    let fits = |key: &&Value| key["kid"].as_str() == header.kid.as_deref() && key["purpose"] == "certificate";
    let key = keys["keys"].as_array().unwrap().iter().find(fits).unwrap();
    let key = DecodingKey::from_ed_components(key["x"].as_str().unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&[GUILD.to_string()]);
    rules.set_issuer(&["https://auth.example"]);
    // The clock of the world is not that of the system.
    rules.validate_exp = false;
    jsonwebtoken::decode::<Value>(certificate, &key, &rules).unwrap().claims
}

async fn with_key(world: &World, api_key: &str, body: &Value) -> Reply {
    world.post("/licenses/certificate").key(api_key).json(body).await
}

fn text(body: &Value) -> &str {
    body["certificate"].as_str().unwrap()
}

#[tokio::test]
async fn a_backend_gets_one_for_a_device_and_anybody_proves_it() {
    let world = world().await;
    let (id, key) = activated(&world).await;
    let secret = world.secret().await;
    let parts = json!([{ "name": "disk", "value": "2" }, { "name": "cpu", "value": "1" }]);
    let body = json!({ "key": key, "deviceId": "pc", "components": parts, "ttl": "P2D" });
    let answer = with_key(&world, &secret, &body).await;
    assert!(answer.header("etag").is_some() && answer.header("dca-position").is_some());
    let answer = answer.ok(201);
    let claims = proved(&world, text(&answer)).await;
    assert_eq!((&claims["sub"], &claims["jti"]), (&json!(id), &answer["leaseId"]));
    assert_eq!((&claims["type"], &claims["entitlements"]), (&json!("field"), &json!(["export"])));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 2 * 86_400);
    assert_eq!(claims["nbf"], claims["iat"]);
    assert_eq!((&claims["device"]["deviceId"], &claims["device"]["match"]), (&json!("pc"), &json!("most")));
    assert_eq!(claims["device"]["components"].as_array().unwrap().len(), 2);
    let said = claims.to_string();
    assert!(!said.contains(ADA) && !said.contains(&key) && !said.contains("WD-"), "{said}");
    assert_eq!(answer["device"]["leaseUntil"], answer["leaseUntil"]);
    assert_eq!((&answer["license"]["id"], &answer["license"]["userId"]), (&json!(id), &json!(ADA)));
    let devices = world.get(&format!("/licenses/{id}/devices")).token(ADA).empty().await.ok(200);
    assert_eq!(devices["data"][0]["leaseUntil"], answer["leaseUntil"]);
}

#[tokio::test]
async fn it_lasts_as_long_as_terms_and_end_allow() {
    let world = world().await;
    let (id, _) = activated(&world).await;
    let path = format!("/licenses/{id}/certificate");
    let lasts = async |ttl: Value| {
        let answer =
            world.post(&path).token(ADA).json(&json!({ "deviceId": "pc", "ttl": ttl })).await.ok(201);
        let claims = proved(&world, text(&answer)).await;
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
    };
    assert_eq!(lasts(Value::Null).await, 7 * 86_400);
    assert_eq!(lasts(json!("P300D")).await, 7 * 86_400);
    assert_eq!(lasts(json!("PT1H")).await, 3_600);
    let zero = world.post(&path).token(ADA).json(&json!({ "deviceId": "pc", "ttl": "PT0S" })).await;
    assert_eq!((zero.problem(422), zero.pointer()), ("INVALID_VALUE", "/ttl"));
    world.advance(Span::days(31));
    let left = lasts(Value::Null).await;
    assert!((86_340..=86_400).contains(&left), "one day of grace is left, and not {left} seconds");
    world.advance(Span::days(2));
    let over = world.post(&path).token(ADA).json(&json!({ "deviceId": "pc" })).await;
    assert_eq!(over.problem(409), "EXPIRED");
}

#[tokio::test]
async fn the_slot_of_a_freed_device_is_taken_until_the_end() {
    let world = world().await;
    let (id, key) = activated(&world).await;
    let path = format!("/licenses/{id}/certificate");
    let answer = world.post(&path).token(ADA).json(&json!({ "deviceId": "pc" })).await.ok(201);
    world.delete(&format!("/licenses/{id}/deactivate?deviceId=pc")).token(ADA).empty().await.ok(200);
    let activate = async |device: &str| {
        let body = json!({ "key": key, "deviceId": device });
        world.post("/licenses/activate").token(ADA).json(&body).await
    };
    assert_eq!(activate("laptop").await.problem(409), "DEVICE_LIMIT_REACHED");
    world.advance(Span::days(7));
    activate("laptop").await.ok(201);
    let gone = json!({ "leaseId": answer["leaseId"] });
    let gone = world.post(&format!("{path}/release")).token("operator").json(&gone).await;
    assert_eq!(gone.problem(409), "LEASE_NOT_FOUND");
}

#[tokio::test]
async fn one_that_is_given_back_frees_its_slot() {
    let world = world().await;
    let (id, key) = activated(&world).await;
    let path = format!("/licenses/{id}/certificate");
    let answer = world.post(&path).token(ADA).json(&json!({ "deviceId": "pc" })).await.ok(201);
    world.delete(&format!("/licenses/{id}/deactivate?deviceId=pc")).token(ADA).empty().await.ok(200);
    let release = json!({ "leaseId": answer["leaseId"], "reason": "The machine came back." });
    let released = world.post(&format!("{path}/release")).token(ADA).json(&release).await.ok(200);
    assert_eq!(released["id"], id);
    let body = json!({ "key": key, "deviceId": "laptop" });
    world.post("/licenses/activate").token(ADA).json(&body).await.ok(201);
    // What is in the field cannot be called back: it goes on proving what it says.
    assert_eq!(proved(&world, text(&answer)).await["sub"], id);
}

#[tokio::test]
async fn a_repeat_has_the_same_text() {
    let world = world().await;
    let (id, key) = activated(&world).await;
    let secret = world.secret().await;
    let parts = json!([{ "name": "cpu", "value": "1" }, { "name": "disk", "value": "2" }]);
    let with_key = json!({ "key": key, "deviceId": "pc", "components": parts });
    let by_id = json!({ "deviceId": "pc", "ttl": "P1D" });
    for (path, body) in
        [("/licenses/certificate".to_owned(), with_key), (format!("/licenses/{id}/certificate"), by_id)]
    {
        let ask = async || world.post(&path).key(&secret).header("idempotency-key", "k").json(&body).await;
        let first = ask().await;
        world.advance(Span::seconds(90));
        let again = ask().await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        let (first, again) = (first.ok(201), again.ok(201));
        assert_eq!(text(&first), text(&again));
        assert_eq!(first["leaseId"], again["leaseId"]);
        let other = world.post(&path).key(&secret).json(&body).await.ok(201);
        assert_ne!(text(&first), text(&other));
    }
}

#[tokio::test]
async fn who_may_not_gets_none() {
    let world = world().await;
    let (id, key) = activated(&world).await;
    let path = format!("/licenses/{id}/certificate");
    let (with_key_body, by_id) = (json!({ "key": key, "deviceId": "pc" }), json!({ "deviceId": "pc" }));
    let publishable = world.publishable().await;
    assert_eq!(with_key(&world, &publishable, &with_key_body).await.problem(403), "MISSING_SCOPE");
    assert_eq!(world.post(&path).key(&publishable).json(&by_id).await.problem(403), "MISSING_SCOPE");
    let scopes = json!({ "kind": "secret", "scopes": ["validate", "licenses:write"] });
    let unscoped = world.api_key(GUILD, scopes).await;
    assert_eq!(with_key(&world, &unscoped, &with_key_body).await.problem(403), "MISSING_SCOPE");
    assert_eq!(world.post(&path).key(&unscoped).json(&by_id).await.problem(403), "MISSING_SCOPE");
    let foreign = world.api_key(OTHER_GUILD, json!({ "kind": "secret" })).await;
    assert_eq!(with_key(&world, &foreign, &with_key_body).await.problem(404), "NOT_FOUND");
    assert_eq!(world.post(&path).key(&foreign).json(&by_id).await.problem(404), "NOT_FOUND");
    assert_eq!(world.post(&path).token(BOB).json(&by_id).await.problem(404), "NOT_FOUND");
    let own = world.post("/licenses/certificate").token(ADA).json(&with_key_body).await;
    assert_eq!(own.problem(403), "FORBIDDEN");
    let secret = world.secret().await;
    let machine =
        json!({ "key": key, "deviceId": "pc", "components": [{ "name": "cpu", "value": "another" }] });
    let other = with_key(&world, &secret, &machine).await;
    assert_eq!(other.problem(409), "DEVICE_NOT_ACTIVATED");
    let unknown = world.post(&path).token(ADA).json(&json!({ "deviceId": "laptop" })).await;
    assert_eq!(unknown.problem(409), "DEVICE_NOT_ACTIVATED");
    let nonsense = with_key(&world, &secret, &json!({ "key": "DCA-nonsense", "deviceId": "pc" })).await;
    assert_eq!(nonsense.problem(400), "MALFORMED_KEY");
    world.post(&format!("/admin/users/{ADA}/ban")).token("operator").empty().await.ok(200);
    assert_eq!(with_key(&world, &secret, &with_key_body).await.problem(409), "USER_BANNED");
    assert_eq!(world.post(&path).token("operator").json(&by_id).await.problem(409), "USER_BANNED");
    world.post(&format!("/admin/users/{ADA}/unban")).token("operator").empty().await.ok(200);
    world.post(&format!("/licenses/{id}/rekey")).token("operator").empty().await.ok(200);
    assert_eq!(with_key(&world, &secret, &with_key_body).await.problem(404), "KEY_SUPERSEDED");
    world.post(&format!("/licenses/{id}/revoke")).token("operator").empty().await.ok(200);
    assert_eq!(world.post(&path).token("operator").json(&by_id).await.problem(409), "REVOKED");
    let (online, _) = world.license_of("pro", ADA).await;
    let (path, body) = (format!("/licenses/{online}/certificate"), json!({ "deviceId": "pc" }));
    assert_eq!(world.post(&path).token(ADA).json(&body).await.problem(409), "OFFLINE_NOT_ALLOWED");
}

#[tokio::test]
async fn what_is_in_the_field_when_a_license_is_revoked_ends_by_itself() {
    let world = world().await;
    let (id, _) = activated(&world).await;
    let path = format!("/licenses/{id}/certificate");
    let answer = world.post(&path).token(ADA).json(&json!({ "deviceId": "pc" })).await.ok(201);
    world.post(&format!("/licenses/{id}/revoke")).token("operator").empty().await.ok(200);
    let claims = proved(&world, text(&answer)).await;
    let most = world.now().after(Span::days(7)).ms() / 1_000;
    assert!(claims["exp"].as_i64().unwrap() <= most, "no longer than the terms allow");
}

#[tokio::test]
async fn a_certificate_opens_nothing_and_a_token_is_no_certificate() {
    let world = world().await;
    let (id, _) = activated(&world).await;
    let path = format!("/licenses/{id}/certificate");
    let answer = world.post(&path).token(ADA).json(&json!({ "deviceId": "pc" })).await.ok(201);
    let bearer = format!("Bearer {}", text(&answer));
    let refused = world.get("/licenses").header("authorization", &bearer).empty().await;
    assert_eq!(refused.problem(401), "INVALID_CREDENTIAL");
    let refused = world.get("/licenses").header("x-api-key", text(&answer)).empty().await;
    assert_eq!(refused.status, 401);
    // No key that proves access tokens is among those that prove certificates, nor the other way round.
    let ids = async |path: &str| {
        let keys = world.get(path).empty().await.ok(200);
        let keys: Vec<Value> = keys["keys"].as_array().unwrap().clone();
        keys
    };
    let (of_tokens, of_programs) =
        (ids("/.well-known/jwks.json").await, ids("/.well-known/dca-keys.json").await);
    for key in &of_programs {
        assert!(of_tokens.iter().all(|other| other["x"] != key["x"] && other["kid"] != key["kid"]));
    }
    let purposes: Vec<&str> = of_programs.iter().map(|key| key["purpose"].as_str().unwrap()).collect();
    assert_eq!(purposes, ["certificate", "answer"]);
    let token = world.token(ADA);
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_ne!(header.typ.as_deref(), Some("dca-license+jwt"));
    assert!(of_programs.iter().all(|key| key["kid"].as_str() != header.kid.as_deref()));
    for key in &of_programs {
        let key = DecodingKey::from_ed_components(key["x"].as_str().unwrap()).unwrap();
        let mut rules = Validation::new(Algorithm::EdDSA);
        (rules.validate_exp, rules.validate_aud) = (false, false);
        assert!(jsonwebtoken::decode::<Value>(&token, &key, &rules).is_err());
    }
}
