//! The long walk of one license through every state, by HTTP and the demo's clock alone, and what is left of it after
//! a restart and a crash.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_every_engine;
use crate::world::{Engine, World};

on_every_engine!(
    a_license_walks_through_every_state,
    each_verdict_has_its_code,
    roles_give_and_take_licenses
);

/// A world with the type `walk` and a secret key that may do everything here.
async fn world(engine: Engine) -> (World, String) {
    let mut world = World::demo(engine).await;
    let terms = json!({
        "maxDevices": 2, "duration": "P30D", "expiryGrace": "P1D", "requireOwner": true, "transferable": true,
        "entitlements": ["walk"],
    });
    let path = format!("/guilds/{}/license-types", world.facts.guild);
    world.owner("POST", &path, json!({ "slug": "walk", "name": "Walk", "terms": terms })).await.expect(201);
    let key = world.api_key("publishable", None).await;
    (world, key)
}

async fn verdict(world: &World, api_key: &str, body: Value) -> (String, Value) {
    let answer = world.with_key(api_key, "POST", "/licenses/validate", body).await.expect(200);
    let code = answer["code"].as_str().unwrap().to_owned();
    assert_eq!(answer["valid"], matches!(code.as_str(), "VALID" | "IN_GRACE"), "{answer:#}");
    (code, answer)
}

/// Waits until the license has this status; the asynchronous ones come within a second.
async fn becomes(world: &mut World, id: &str, status: &str) -> Value {
    let begin = Instant::now();
    loop {
        let license = world.owner("GET", &format!("/licenses/{id}"), Value::Null).await.expect(200);
        if license["status"] == status {
            return license;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "it is {} and not {status}", license["status"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_license_walks_through_every_state(engine: Engine) {
    let (mut world, api_key) = world(engine).await;
    let (ada, grace) = (world.facts.ada.clone(), world.facts.grace.clone());
    let (id, key) = world.generate("walk", 1).await.remove(0);
    let path = |what: &str| format!("/licenses/{id}{what}");
    let of = |device: &str| json!({ "key": key, "deviceId": device });
    macro_rules! code {
        ($body:expr) => {
            verdict(&world, &api_key, $body).await.0
        };
    }

    becomes(&mut world, &id, "generated").await;
    assert_eq!(code!(of("laptop")), "NOT_ASSIGNED");
    let assigned =
        world.owner("POST", &path("/assign"), json!({ "userId": ada, "reason": "sold to Ada" })).await;
    assert_eq!(assigned.expect(200)["status"], "assigned");
    assert_eq!(code!(of("laptop")), "DEVICE_NOT_ACTIVATED");

    for (device, status) in [("laptop", 201), ("laptop", 200), ("phone", 201)] {
        let answer = world.with_key(&api_key, "POST", "/licenses/activate", of(device)).await.expect(status);
        assert_eq!(answer["device"]["deviceId"], device);
        assert_eq!(answer["license"]["status"], "activated");
    }
    let third = world.with_key(&api_key, "POST", "/licenses/activate", of("tablet")).await;
    assert_eq!((third.status, third.code()), (409, "DEVICE_LIMIT_REACHED"), "{:#}", third.body);
    assert!(third.body["detail"].as_str().unwrap().contains("deactivate"), "{:#}", third.body);

    assert_eq!(code!(of("laptop")), "VALID");
    becomes(&mut world, &id, "active").await;
    let held =
        world.owner("POST", &path("/suspend"), json!({ "reason": "a chargeback is open" })).await.expect(200);
    assert_eq!((held["status"].as_str(), held["isActive"].as_bool()), (Some("suspended"), Some(false)));
    assert_eq!(code!(of("laptop")), "SUSPENDED");
    world
        .owner("POST", &path("/resume"), json!({ "reason": "the chargeback was withdrawn" }))
        .await
        .expect(200);
    assert_eq!(code!(of("laptop")), "VALID");

    world.advance("P24D").await;
    assert_eq!(code!(of("laptop")), "VALID");
    world.advance("P6D").await;
    assert_eq!(code!(of("laptop")), "IN_GRACE");
    world.advance("P1D").await;
    assert_eq!(code!(of("laptop")), "EXPIRED");
    becomes(&mut world, &id, "expired").await;
    let renewed =
        world.owner("POST", &path("/renew"), json!({ "for": "P30D", "externalRef": "order-1" })).await;
    assert_eq!(renewed.expect(200)["status"], "renewed");
    assert_eq!(code!(of("phone")), "VALID");
    becomes(&mut world, &id, "active").await;

    let handed =
        world.owner("POST", &path("/transfer"), json!({ "toUserId": grace, "reason": "sold on" })).await;
    let handed = handed.expect(200);
    assert_eq!((handed["userId"].as_str(), &handed["deviceCount"]), (Some(grace.as_str()), &json!(0)));
    assert_eq!(code!(of("phone")), "KEY_SUPERSEDED");
    let rekeyed =
        world.owner("POST", &path("/rekey"), json!({ "reason": "posted by mistake" })).await.expect(200);
    assert_eq!(rekeyed["keyVersion"], 2);
    let body = json!({ "category": "abuse", "reason": "resold in bulk" });
    assert_eq!(world.owner("POST", &path("/revoke"), body).await.expect(200)["status"], "revoked");
    let again = world.owner("POST", &path("/renew"), json!({ "for": "P1D" })).await;
    assert_eq!((again.status, again.code()), (409, "REVOKED"));

    let told = history(&mut world, &id).await;
    let steps: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(steps, STEPS, "{steps:#?}");
    let reasons: Vec<&str> = told.iter().filter_map(|event| event["reason"].as_str()).collect();
    for reason in [
        "sold to Ada",
        "a chargeback is open",
        "the chargeback was withdrawn",
        "sold on",
        "posted by mistake",
        "resold in bulk",
    ] {
        assert!(reasons.contains(&reason), "{reason} is missing in {reasons:?}");
    }
    assert!(told.iter().all(|event| event["actor"].is_string() || event["actor"].is_object()), "{told:#?}");
    let early = world.owner("GET", &path("?asOf=version:2"), Value::Null).await.expect(200);
    assert_eq!(early["status"], "assigned");

    assert_eq!(world.stop().await, 0);
    world.serve().await;
    assert_eq!(history(&mut world, &id).await, told);
    world.crash().await;
    assert_eq!(history(&mut world, &id).await, told);
    becomes(&mut world, &id, "revoked").await;
    world.verify().await;
}

/// Every event of the walk.
const STEPS: [&str; 16] = [
    "license.generated",
    "license.assigned",
    "license.device_activated",
    "license.device_activated",
    "license.became_active",
    "license.suspended",
    "license.resumed",
    "license.expiry_announced",
    "license.expired",
    "license.renewed",
    "license.became_active",
    "license.transferred",
    "license.devices_reset",
    "license.rekeyed",
    "license.rekeyed",
    "license.revoked",
];

async fn history(world: &mut World, id: &str) -> Vec<Value> {
    let answer =
        world.owner("GET", &format!("/licenses/{id}/history?limit=200"), Value::Null).await.expect(200);
    answer["data"].as_array().unwrap().clone()
}

async fn each_verdict_has_its_code(engine: Engine) {
    let (mut world, api_key) = world(engine).await;
    let ada = world.facts.ada.clone();
    let (id, key) = world.generate("walk", 1).await.remove(0);
    world.owner("POST", &format!("/licenses/{id}/assign"), json!({ "userId": ada })).await.expect(200);
    world
        .with_key(&api_key, "POST", "/licenses/activate", json!({ "key": key, "deviceId": "d" }))
        .await
        .expect(201);
    let good = json!({ "key": key, "deviceId": "d" });
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    for (body, expected) in [
        (good.clone(), "VALID"),
        (with("type", json!("walk")), "VALID"),
        (with("entitlements", json!(["walk"])), "VALID"),
        (with("type", json!("pro")), "TYPE_MISMATCH"),
        (with("entitlements", json!(["walk", "run"])), "ENTITLEMENTS_MISSING"),
        (json!({ "key": key }), "DEVICE_REQUIRED"),
        (with("deviceId", json!("other")), "DEVICE_NOT_ACTIVATED"),
        (with("key", json!("DCA-NONSENSE")), "MALFORMED_KEY"),
    ] {
        let (code, answer) = verdict(&world, &api_key, body).await;
        assert_eq!(code, expected, "{answer:#}");
    }
    let nonce = verdict(&world, &api_key, with("nonce", json!("n-1"))).await.1;
    assert_eq!(nonce["nonce"], "n-1");
    assert!(
        nonce["license"].get("userId").is_none(),
        "a publishable key sees whose license it is: {nonce:#}"
    );

    let ban = format!("/admin/users/{ada}");
    world.owner("POST", &format!("{ban}/ban"), json!({ "reason": "spam" })).await.expect(200);
    assert_eq!(verdict(&world, &api_key, good.clone()).await.0, "USER_BANNED");
    world.owner("POST", &format!("{ban}/unban"), json!({})).await.expect(200);
    assert_eq!(verdict(&world, &api_key, good.clone()).await.0, "VALID");

    let begins = "2099-01-01T00:00:00Z";
    let body = json!({ "guildId": world.facts.guild, "type": "walk", "count": 1, "assignTo": ada, "startsAt": begins });
    let later = world.owner("POST", "/admin/licenses/generate", body).await.expect(201);
    let later = json!({ "key": later["data"][0]["key"], "deviceId": "d" });
    assert_eq!(verdict(&world, &api_key, later).await.0, "NOT_YET_VALID");

    let body = json!({ "category": "refund", "reason": "sent back" });
    world.owner("POST", &format!("/licenses/{id}/revoke"), body).await.expect(200);
    let (code, answer) = verdict(&world, &api_key, good).await;
    assert_eq!((code.as_str(), answer["detail"].as_str()), ("REVOKED", Some("refund")), "{answer:#}");
}

async fn roles_give_and_take_licenses(engine: Engine) {
    let mut world = World::demo(engine).await;
    let (guild, ada, pro, team) = (
        world.facts.guild.clone(),
        world.facts.ada.clone(),
        world.facts.pro.clone(),
        world.facts.team.clone(),
    );
    let observe = async |world: &World, roles: &str| {
        world.cli(&["member", "observe", "--guild", &guild, "--user", &ada, "--roles", roles]).await
    };
    let list = format!("/licenses?guildId={guild}&userId={ada}");
    observe(&world, &pro).await;
    let first = world.owner("GET", &list, Value::Null).await.expect(200)["data"].clone();
    assert_eq!(
        (first[0]["type"].as_str(), first[0]["status"].as_str()),
        (Some("pro"), Some("assigned")),
        "{first:#}"
    );
    observe(&world, "").await;
    assert_eq!(world.owner("GET", &list, Value::Null).await.expect(200)["data"][0]["status"], "revoked");
    observe(&world, &format!("{pro},{team}")).await;
    let both = world.owner("GET", &list, Value::Null).await.expect(200)["data"].clone();
    let live = |kind: &str| {
        both.as_array()
            .unwrap()
            .iter()
            .filter(|one| one["type"] == kind && one["status"] != "revoked")
            .count()
    };
    assert_eq!((both.as_array().unwrap().len(), live("pro"), live("team")), (3, 1, 1), "{both:#}");

    // The team license is held only after an hour without its role, and by the clock alone.
    observe(&world, &pro).await;
    let team_license = async |world: &mut World| {
        let found = world.owner("GET", &format!("{list}&type=team"), Value::Null).await.expect(200);
        found["data"][0].clone()
    };
    assert_eq!(team_license(&mut world).await["status"], "assigned");
    world.advance("PT59M").await;
    assert_eq!(team_license(&mut world).await["status"], "assigned");
    world.advance("PT1M").await;
    assert_eq!(team_license(&mut world).await["status"], "suspended");
    observe(&world, &format!("{pro},{team}")).await;
    assert_eq!(team_license(&mut world).await["status"], "assigned");
    world.verify().await;
}
