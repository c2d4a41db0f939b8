//! The long walk of one license through every state, by HTTP and the demo's clock alone, and what is left of it after
//! a restart and a crash.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::on_every_engine_and_two_instances;
use crate::world::{Engine, World};

on_every_engine_and_two_instances!(
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

/// One license on its way.
struct Walk {
    world: World,
    api_key: String,
    id: String,
    key: String,
}

impl Walk {
    /// What a program with the key learns from this device.
    async fn code(&self, device: &str) -> String {
        let body = json!({ "key": self.key, "deviceId": device });
        verdict(&self.world, &self.api_key, body).await.0
    }

    async fn activate(&self, device: &str) -> crate::world::Answer {
        let body = json!({ "key": self.key, "deviceId": device });
        self.world.with_key(&self.api_key, "POST", "/licenses/activate", body).await
    }

    /// What staff do; the license afterwards.
    async fn staff(&mut self, what: &str, body: Value) -> Value {
        self.world.owner("POST", &format!("/licenses/{}/{what}", self.id), body).await.expect(200)
    }

    async fn becomes(&mut self, status: &str) {
        becomes(&mut self.world, &self.id, status).await;
    }
}

async fn a_license_walks_through_every_state(engine: Engine) {
    let (mut world, api_key) = world(engine).await;
    let (id, key) = world.generate("walk", 1).await.remove(0);
    let mut walk = Walk { world, api_key, id, key };
    into_use(&mut walk).await;
    held_and_expired(&mut walk).await;
    handed_on_and_ended(&mut walk).await;

    let told = history(&mut walk.world, &walk.id).await;
    let steps: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(steps, STEPS, "{steps:#?}");
    let mut reasons: Vec<&str> = told.iter().filter_map(|event| event["reason"].as_str()).collect();
    reasons.dedup();
    assert_eq!(reasons, REASONS);
    assert!(told.iter().all(|event| !event["actor"].is_null()), "{told:#?}");
    let path = format!("/licenses/{}?asOf=version:2", walk.id);
    assert_eq!(walk.world.owner("GET", &path, Value::Null).await.expect(200)["status"], "assigned");

    assert_eq!(walk.world.stop().await, 0);
    walk.world.serve().await;
    assert_eq!(history(&mut walk.world, &walk.id).await, told);
    walk.world.crash().await;
    assert_eq!(history(&mut walk.world, &walk.id).await, told);
    walk.becomes("revoked").await;
    walk.world.verify().await;
}

/// Generated, assigned, activated, active.
async fn into_use(walk: &mut Walk) {
    walk.becomes("generated").await;
    assert_eq!(walk.code("laptop").await, "NOT_ASSIGNED");
    let ada = walk.world.facts.ada.clone();
    let assigned = walk.staff("assign", json!({ "userId": ada, "reason": REASONS[0] })).await;
    assert_eq!(assigned["status"], "assigned");
    assert_eq!(walk.code("laptop").await, "DEVICE_NOT_ACTIVATED");
    for (device, status) in [("laptop", 201), ("laptop", 200), ("phone", 201)] {
        let answer = walk.activate(device).await.expect(status);
        assert_eq!(answer["device"]["deviceId"], device);
        assert_eq!(answer["license"]["status"], "activated");
    }
    let third = walk.activate("tablet").await;
    assert_eq!((third.status, third.code()), (409, "DEVICE_LIMIT_REACHED"), "{:#}", third.body);
    assert!(third.body["detail"].as_str().unwrap().contains("deactivate"), "{:#}", third.body);
    assert_eq!(walk.code("laptop").await, "VALID");
    walk.becomes("active").await;
}

/// Suspended, active again, in grace, expired, renewed.
async fn held_and_expired(walk: &mut Walk) {
    let held = walk.staff("suspend", json!({ "reason": REASONS[1] })).await;
    assert_eq!((held["status"].as_str(), held["isActive"].as_bool()), (Some("suspended"), Some(false)));
    assert_eq!(walk.code("laptop").await, "SUSPENDED");
    walk.staff("resume", json!({ "reason": REASONS[2] })).await;
    assert_eq!(walk.code("laptop").await, "VALID");
    for (by, code) in [("P24D", "VALID"), ("P6D", "IN_GRACE"), ("P1D", "EXPIRED")] {
        walk.world.advance(by).await;
        assert_eq!(walk.code("laptop").await, code, "after {by}");
    }
    walk.becomes("expired").await;
    let renewed = walk.staff("renew", json!({ "for": "P30D", "externalRef": "order-1" })).await;
    assert_eq!(renewed["status"], "renewed");
    assert_eq!(walk.code("phone").await, "VALID");
    walk.becomes("active").await;
}

/// Another owner, another key, the end.
async fn handed_on_and_ended(walk: &mut Walk) {
    let grace = walk.world.facts.grace.clone();
    let handed = walk.staff("transfer", json!({ "toUserId": grace, "reason": REASONS[3] })).await;
    assert_eq!((&handed["userId"], &handed["deviceCount"]), (&json!(grace), &json!(0)));
    assert_eq!(walk.code("phone").await, "KEY_SUPERSEDED");
    assert_eq!(walk.staff("rekey", json!({ "reason": REASONS[4] })).await["keyVersion"], 2);
    let revoked = walk.staff("revoke", json!({ "category": "abuse", "reason": REASONS[5] })).await;
    assert_eq!(revoked["status"], "revoked");
    let path = format!("/licenses/{}/renew", walk.id);
    let again = walk.world.owner("POST", &path, json!({ "for": "P1D" })).await;
    assert_eq!((again.status, again.code()), (409, "REVOKED"));
}

/// Why staff did what they did, in order.
const REASONS: [&str; 6] = [
    "sold to Ada",
    "a chargeback is open",
    "the chargeback was withdrawn",
    "sold on",
    "posted by mistake",
    "resold in bulk",
];

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
