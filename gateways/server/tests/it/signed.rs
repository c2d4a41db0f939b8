//! Signed answers of the built server, checked with what a client has: its request, the answer, the published keys.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(a_program_knows_the_server_by_its_signature);

const COVERED: &str = r#"("@status" "content-digest" "content-type" "@method";req "@path";req "@query";req "content-digest";req)"#;

fn digest(body: &str) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)))
}

/// Asks for a signed answer; status, body and the id of the key that signed it, if it did.
async fn asked(
    world: &World,
    api_key: &str,
    body: &Value,
    nonce: &str,
    keys: &Value,
) -> (u16, Value, String) {
    let path = "/licenses/validate";
    let sent = body.to_string();
    let request = world
        .request("POST", path)
        .header("X-API-Key", api_key)
        .header("Content-Type", "application/json")
        .header("Content-Digest", digest(&sent))
        .header("Accept-Signature", format!("dca=();created;nonce=\"{nonce}\";tag=\"dca-auth\""));
    let answer = request.body(sent.clone()).send().await.unwrap();
    let status = answer.status().as_u16();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (stated, kind) = (header("content-digest"), header("content-type"));
    let (input, signature) = (header("signature-input"), header("signature"));
    let parameters = input.strip_prefix("dca=").unwrap().to_owned();
    let rest = parameters.strip_prefix(COVERED).unwrap();
    assert!(rest.contains(&format!(";nonce=\"{nonce}\"")) && rest.contains(";tag=\"dca-auth\""), "{rest}");
    let key_id = rest.split(";keyid=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let text = answer.text().await.unwrap();
    assert_eq!(stated, digest(&text));
    let base = format!(
        "\"@status\": {status}\n\"content-digest\": {stated}\n\"content-type\": {kind}\n\"@method\";req: POST\n\
         \"@path\";req: {path}\n\"@query\";req: ?\n\"content-digest\";req: {}\n\"@signature-params\": {parameters}",
        digest(&sent),
    );
    let fits = |key: &&Value| key["kid"] == key_id.as_str() && key["purpose"] == "answer";
    let key = keys["keys"].as_array().unwrap().iter().find(fits).expect("its key is published");
    let key = BASE64URL_NOPAD.decode(key["x"].as_str().unwrap().as_bytes()).unwrap();
    let key = VerifyingKey::from_bytes(&key.try_into().unwrap()).unwrap();
    let signature = signature.strip_prefix("dca=:").unwrap().strip_suffix(':').unwrap();
    let signature = Signature::from_slice(&BASE64.decode(signature.as_bytes()).unwrap()).unwrap();
    key.verify_strict(base.as_bytes(), &signature).unwrap();
    (status, serde_json::from_str(&text).unwrap(), key_id)
}

async fn published(world: &World) -> Value {
    world.ask("GET", "/.well-known/dca-keys.json", &[], Value::Null).await.expect(200)
}

async fn a_program_knows_the_server_by_its_signature(engine: Engine) {
    let mut world = World::demo(engine).await;
    let api_key = world.api_key("publishable", None).await;
    let (id, key) = world.generate("pro", 1).await.remove(0);
    let shipped = published(&world).await;
    let body = json!({ "key": key, "nonce": "of the body" });
    let (status, verdict, first) = asked(&world, &api_key, &body, "n-1", &shipped).await;
    assert_eq!((status, &verdict["nonce"]), (200, &json!("of the body")));
    assert_eq!(verdict["license"]["id"], id);
    let (status, problem, _) = asked(&world, &api_key, &json!({ "key": 7 }), "n-2", &shipped).await;
    assert_eq!((status, &problem["code"]), (400, &json!("INVALID_REQUEST")));
    let (status, problem, _) = asked(&world, "dca_pub_forged", &body, "n-3", &shipped).await;
    assert_eq!((status, &problem["code"]), (401, &json!("INVALID_CREDENTIAL")));

    // What was shipped before a rotation goes on for whoever names the key; others see the new one.
    world.cli(&["keys", "rotate", "--kind", "response"]).await;
    world.turn_of_the_first();
    let later = published(&world).await;
    world.turn_of_the_first();
    let (_, _, second) = asked(&world, &api_key, &body, "n-4", &later).await;
    assert_ne!(second, first);
    world.crash().await;
    world.turn_of_the_first();
    let (status, _, third) = asked(&world, &api_key, &body, "n-5", &later).await;
    assert_eq!((status, third), (200, second));
}
