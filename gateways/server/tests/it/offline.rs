//! Offline licenses from the outside: issued over HTTP, proved with the published keys and nothing else, and their slots
//! under the demo's clock.

use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
    an_offline_license_keeps_its_slot_until_it_ends,
    a_repeat_has_the_same_text_after_a_crash_and_a_rotation
);

/// A world with the type `field`: one device, offline for at most two days.
async fn world(engine: Engine) -> (World, String) {
    let mut world = World::demo(engine).await;
    let terms = json!({ "maxDevices": 1, "offlineLeaseMax": "P2D", "entitlements": ["export"] });
    let path = format!("/guilds/{}/license-types", world.facts.guild);
    world.owner("POST", &path, json!({ "slug": "field", "name": "Field", "terms": terms })).await.expect(201);
    let secret = world.api_key("secret", None).await;
    (world, secret)
}

async fn activate(world: &World, api_key: &str, key: &str, device: &str) -> crate::world::Answer {
    let body = json!({ "key": key, "deviceId": device });
    world.with_key(api_key, "POST", "/licenses/activate", body).await
}

fn decoded(part: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()
}

/// What a certificate says, if one of the published keys of offline licenses signed it.
fn proved(keys: &Value, certificate: &str) -> Value {
    let parts: Vec<&str> = certificate.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("it has {} parts", parts.len()) };
    let head: Value = serde_json::from_slice(&decoded(header)).unwrap();
    assert_eq!((&head["alg"], &head["typ"]), (&json!("EdDSA"), &json!("dca-license+jwt")));
    let fits = |key: &&Value| key["kid"] == head["kid"] && key["purpose"] == "certificate";
    let key = keys["keys"].as_array().unwrap().iter().find(fits).expect("its key is published");
    let key = VerifyingKey::from_bytes(&decoded(key["x"].as_str().unwrap()).try_into().unwrap()).unwrap();
    let signature = Signature::from_slice(&decoded(signature)).unwrap();
    key.verify_strict(format!("{header}.{claims}").as_bytes(), &signature).unwrap();
    serde_json::from_slice(&decoded(claims)).unwrap()
}

async fn published(world: &World) -> Value {
    world.ask("GET", "/.well-known/dca-keys.json", &[], Value::Null).await.expect(200)
}

async fn an_offline_license_keeps_its_slot_until_it_ends(engine: Engine) {
    let (mut world, secret) = world(engine).await;
    let (id, key) = world.generate("field", 1).await.remove(0);
    let body = json!({ "key": key, "deviceId": "laptop" });
    let early = world.with_key(&secret, "POST", "/licenses/certificate", body.clone()).await;
    assert_eq!((early.status, early.code()), (409, "DEVICE_NOT_ACTIVATED"));
    activate(&world, &secret, &key, "laptop").await.expect(201);
    let publishable = world.api_key("publishable", None).await;
    let refused = world.with_key(&publishable, "POST", "/licenses/certificate", body.clone()).await;
    assert_eq!((refused.status, refused.code()), (403, "MISSING_SCOPE"));

    let issued = world.with_key(&secret, "POST", "/licenses/certificate", body).await.expect(201);
    let claims = proved(&published(&world).await, issued["certificate"].as_str().unwrap());
    assert_eq!((&claims["sub"], &claims["jti"]), (&json!(id), &issued["leaseId"]));
    assert_eq!(claims["aud"], world.facts.guild.as_str());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 2 * 86_400);
    let devices = world.owner("GET", &format!("/licenses/{id}/devices"), Value::Null).await.expect(200);
    assert_eq!(devices["data"][0]["leaseUntil"], issued["leaseUntil"]);

    let freed =
        world.owner("DELETE", &format!("/licenses/{id}/deactivate?deviceId=laptop"), Value::Null).await;
    assert_eq!(freed.expect(200)["deviceCount"], 0);
    let full = activate(&world, &secret, &key, "desktop").await;
    assert_eq!((full.status, full.code()), (409, "DEVICE_LIMIT_REACHED"));
    world.advance("PT47H").await;
    assert_eq!(activate(&world, &secret, &key, "desktop").await.code(), "DEVICE_LIMIT_REACHED");
    world.advance("PT1H1M").await;
    activate(&world, &secret, &key, "desktop").await.expect(201);
    lapsed(&mut world, &id).await;

    // Given back, a slot is free at once; and what is revoked in the field ends by itself.
    let path = format!("/licenses/{id}/certificate");
    let second =
        world.owner("POST", &path, json!({ "deviceId": "desktop", "ttl": "PT1H" })).await.expect(201);
    world.owner("DELETE", &format!("/licenses/{id}/deactivate?all=true"), Value::Null).await.expect(200);
    let release = json!({ "leaseId": second["leaseId"] });
    world.owner("POST", &format!("{path}/release"), release.clone()).await.expect(200);
    let again = world.owner("POST", &format!("{path}/release"), release).await;
    assert_eq!((again.status, again.code()), (409, "LEASE_NOT_FOUND"));
    activate(&world, &secret, &key, "laptop").await.expect(201);
    let third = world.owner("POST", &path, json!({ "deviceId": "laptop" })).await.expect(201);
    world.owner("POST", &format!("/licenses/{id}/revoke"), json!({})).await.expect(200);
    let claims = proved(&published(&world).await, third["certificate"].as_str().unwrap());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 2 * 86_400);
    world.verify().await;
}

/// Waits until the job, or whoever came first, has written down that the lease lapsed.
async fn lapsed(world: &mut World, id: &str) {
    let begin = Instant::now();
    loop {
        let history = world.owner("GET", &format!("/licenses/{id}/history"), Value::Null).await.expect(200);
        let events = history["data"].as_array().unwrap();
        if let Some(event) = events.iter().find(|event| event["type"] == "license.offline_lease_released") {
            assert_eq!(event["data"]["lapsed"], true, "{event:#}");
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "the lapse is not in the history");
    }
}

async fn a_repeat_has_the_same_text_after_a_crash_and_a_rotation(engine: Engine) {
    let (mut world, secret) = world(engine).await;
    let (id, key) = world.generate("field", 1).await.remove(0);
    activate(&world, &secret, &key, "laptop").await.expect(201);
    let ask = async |world: &World| {
        let headers = [("X-API-Key", secret.as_str()), ("Idempotency-Key", "certificate-1")];
        let body = json!({ "key": key, "deviceId": "laptop" });
        world.ask("POST", "/licenses/certificate", &headers, body).await.expect(201)
    };
    let first = ask(&world).await;
    world.cli(&["keys", "rotate", "--kind", "certificate"]).await;
    world.crash().await;
    let again = ask(&world).await;
    assert_eq!(again["certificate"], first["certificate"]);
    assert_eq!(again["leaseId"], first["leaseId"]);
    let keys = published(&world).await;
    let claims = proved(&keys, first["certificate"].as_str().unwrap());
    assert_eq!(claims["sub"], id);
    // The new key signs what is issued from now on, and the old one is still there for what is in the field.
    let path = format!("/licenses/{id}/certificate");
    world.token().await;
    world.turn_of_the_first();
    let later = world.owner("POST", &path, json!({ "deviceId": "laptop" })).await.expect(201);
    let kid = |text: &Value| {
        let header = text.as_str().unwrap().split('.').next().unwrap().to_owned();
        serde_json::from_slice::<Value>(&decoded(&header)).unwrap()["kid"].clone()
    };
    assert_ne!(kid(&later["certificate"]), kid(&first["certificate"]));
    assert_eq!(proved(&keys, later["certificate"].as_str().unwrap())["sub"], id);
}
