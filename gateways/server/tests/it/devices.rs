//! The economy of devices: what the owner and whoever has the key may free and activate, how long they wait for more, and
//! that neither a lost role, nor a new owner, nor a crash, nor haste gives them more. And how licenses change hands.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::on_every_engine_and_two_instances;
use crate::world::{Answer, Engine, World};

on_every_engine_and_two_instances!(
    the_owner_waits_between_two_deactivations_and_staff_do_not,
    one_key_does_not_go_around,
    haste_gives_no_more_than_the_budget,
    an_allowance_outlives_the_role,
    an_offer_stands_for_a_week,
    a_key_is_redeemed_by_one_of_many,
);

/// A license of a type with these terms, and who may do what with it.
struct Desk {
    world: World,
    api_key: String,
    id: String,
    key: String,
}

impl Desk {
    async fn new(engine: Engine, terms: Value) -> Self {
        let mut world = World::demo(engine).await;
        let path = format!("/guilds/{}/license-types", world.facts.guild);
        let define = json!({ "slug": "desk", "name": "Desk", "terms": terms });
        world.owner("POST", &path, define).await.expect(201);
        let api_key = world.api_key("publishable", None).await;
        let (id, key) = world.generate("desk", 1).await.remove(0);
        Self { world, api_key, id, key }
    }

    /// The same, owned by Ada.
    async fn of_ada(engine: Engine, terms: Value) -> Self {
        let mut desk = Self::new(engine, terms).await;
        let ada = desk.world.facts.ada.clone();
        desk.staff("POST", "assign", json!({ "userId": ada })).await.expect(200);
        desk
    }

    async fn staff(&mut self, method: &str, what: &str, body: Value) -> Answer {
        self.world.owner(method, &format!("/licenses/{}/{what}", self.id), body).await
    }

    /// What somebody does with a token of his own.
    async fn person(&self, user: &str, method: &str, path: &str, body: Value) -> (Answer, Option<u64>) {
        let issued = self.world.cli(&["admin", "token", "--user", user]).await;
        let token = format!("Bearer {}", issued["accessToken"].as_str().unwrap());
        self.sent(method, path, ("Authorization", &token), body).await
    }

    /// What a program does that has the key.
    async fn program(&self, what: &str, device: &str) -> (Answer, Option<u64>) {
        let body = json!({ "key": self.key, "deviceId": device });
        self.sent("POST", &format!("/licenses/{what}"), ("X-API-Key", &self.api_key), body).await
    }

    async fn frees(&self, user: &str, device: &str) -> (Answer, Option<u64>) {
        let path = format!("/licenses/{}/deactivate?deviceId={device}", self.id);
        self.person(user, "DELETE", &path, Value::Null).await
    }

    /// The answer, and its `Retry-After`.
    async fn sent(
        &self,
        method: &str,
        path: &str,
        (name, value): (&str, &str),
        body: Value,
    ) -> (Answer, Option<u64>) {
        let mut request = self.world.request(method, path).header(name, value);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let after = response.headers().get("retry-after").map(|text| text.to_str().unwrap().parse().unwrap());
        let status = response.status().as_u16();
        (Answer { status, body: response.json().await.unwrap() }, after)
    }

    async fn history(&mut self) -> Vec<Value> {
        let answer = self.staff("GET", "history?limit=200", Value::Null).await.expect(200);
        answer["data"].as_array().unwrap().clone()
    }
}

/// A refusal that the clock will lift: `detail` names the instant, `Retry-After` the time until then.
#[track_caller]
fn waits((answer, after): (Answer, Option<u64>), code: &str, hours: std::ops::RangeInclusive<u64>) {
    assert_eq!((answer.status, answer.code()), (409, code), "{:#}", answer.body);
    let after = after.expect("Retry-After");
    assert!((hours.start() * 3_600..=hours.end() * 3_600).contains(&after), "{after} s: {:#}", answer.body);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("Try again at 2") && detail.contains("staff"), "{detail}");
}

#[track_caller]
fn done((answer, after): (Answer, Option<u64>), status: u16) -> Value {
    assert_eq!(after, None);
    answer.expect(status)
}

async fn the_owner_waits_between_two_deactivations_and_staff_do_not(engine: Engine) {
    let terms = json!({
        "maxDevices": 4, "deviceResetCooldown": "PT12H", "deviceResetBudget": 2, "deviceResetWindow": "P10D",
    });
    let mut desk = Desk::of_ada(engine, terms).await;
    let ada = desk.world.facts.ada.clone();
    for device in ["a", "b", "c", "d"] {
        done(desk.program("activate", device).await, 201);
    }
    done(desk.frees(&ada, "a").await, 200);
    // Whoever asks: the owner with his token, all devices at once, or a program with the key.
    waits(desk.frees(&ada, "b").await, "RESET_COOLDOWN", 11..=12);
    let all = format!("/licenses/{}/deactivate?all=true", desk.id);
    waits(desk.person(&ada, "DELETE", &all, Value::Null).await, "RESET_COOLDOWN", 11..=12);
    waits(desk.program("deactivate", "b").await, "RESET_COOLDOWN", 11..=12);
    desk.staff("DELETE", "deactivate?deviceId=b", json!({ "reason": "he asked for it" })).await.expect(200);
    let last = desk.history().await.pop().unwrap();
    assert_eq!(
        (&last["type"], &last["data"]["by"], &last["reason"]),
        (&json!("license.device_deactivated"), &json!("staff"), &json!("he asked for it"))
    );
    desk.world.advance("PT12H").await;
    done(desk.program("deactivate", "c").await, 200);
    desk.world.advance("PT13H").await;
    // Two of two: that of staff did not count.
    waits(desk.frees(&ada, "d").await, "RESET_BUDGET_EXHAUSTED", 214..=215);
    waits(desk.program("deactivate", "d").await, "RESET_BUDGET_EXHAUSTED", 214..=215);
    desk.world.crash().await;
    waits(desk.frees(&ada, "d").await, "RESET_BUDGET_EXHAUSTED", 214..=215);
    desk.world.advance("P9D").await;
    done(desk.frees(&ada, "d").await, 200);
    desk.world.verify().await;
}

async fn one_key_does_not_go_around(engine: Engine) {
    let terms = json!({ "maxDevices": 1, "activationBudget": 3, "deviceResetWindow": "P10D" });
    let mut desk = Desk::of_ada(engine, terms).await;
    let ada = desk.world.facts.ada.clone();
    for device in ["a", "b"] {
        done(desk.program("activate", device).await, 201);
        done(desk.program("activate", device).await, 200);
        done(desk.program("deactivate", device).await, 200);
    }
    // The third is freed by staff, which gives no fourth.
    let activate = json!({ "key": desk.key, "deviceId": "c" });
    done(desk.person(&ada, "POST", "/licenses/activate", activate).await, 201);
    desk.staff("DELETE", "deactivate?all=true", Value::Null).await.expect(200);
    waits(desk.program("activate", "d").await, "ACTIVATION_BUDGET_EXHAUSTED", 239..=240);
    let again = json!({ "key": desk.key, "deviceId": "a" });
    waits(
        desk.person(&ada, "POST", "/licenses/activate", again).await,
        "ACTIVATION_BUDGET_EXHAUSTED",
        239..=240,
    );
    desk.world.crash().await;
    waits(desk.program("activate", "d").await, "ACTIVATION_BUDGET_EXHAUSTED", 239..=240);
    // Staff are not bound; what they activated is active for everybody, and was not counted.
    let by_staff = json!({ "key": desk.key, "deviceId": "d" });
    desk.world.owner("POST", "/licenses/activate", by_staff).await.expect(201);
    assert_eq!(desk.history().await.pop().unwrap()["data"]["by"], "staff");
    done(desk.program("activate", "d").await, 200);
    desk.staff("DELETE", "deactivate?all=true", Value::Null).await.expect(200);
    desk.world.advance("P10D").await;
    done(desk.program("activate", "e").await, 201);
    desk.world.verify().await;
}

async fn haste_gives_no_more_than_the_budget(engine: Engine) {
    let desk = Desk::of_ada(engine, json!({ "activationBudget": 5 })).await;
    let names: Vec<String> = (0..20).map(|number| format!("d{number}")).collect();
    let answers = join_all(names.iter().map(|device| desk.program("activate", device))).await;
    let codes: Vec<&str> =
        answers.iter().filter(|(answer, _)| answer.status != 201).map(|(answer, _)| answer.code()).collect();
    assert_eq!(codes, ["ACTIVATION_BUDGET_EXHAUSTED"; 15], "five of twenty");
    desk.world.verify().await;
}

async fn an_allowance_outlives_the_role(engine: Engine) {
    let mut desk = Desk::new(engine, json!({})).await;
    let (guild, ada, pro) =
        (desk.world.facts.guild.clone(), desk.world.facts.ada.clone(), desk.world.facts.pro.clone());
    let terms = json!({ "maxDevices": 2, "deviceResetCooldown": "P1D", "deviceResetWindow": "P1D", "activationBudget": 3 });
    let path = format!("/guilds/{guild}/license-types/pro");
    desk.world.owner("PATCH", &path, json!({ "terms": terms })).await.expect(200);
    observe(&mut desk, &guild, &ada, &pro).await;
    for device in ["a", "b"] {
        done(desk.program("activate", device).await, 201);
    }
    done(desk.program("deactivate", "a").await, 200);
    let first = desk.id.clone();
    let observed = ["member", "observe", "--guild", &guild, "--user", &ada, "--roles", ""];
    desk.world.cli(&observed).await;
    observe(&mut desk, &guild, &ada, &pro).await;
    assert_ne!(desk.id, first, "the next generation is another license");
    done(desk.program("activate", "c").await, 201);
    waits(desk.program("deactivate", "c").await, "RESET_COOLDOWN", 23..=24);
    waits(desk.program("activate", "d").await, "ACTIVATION_BUDGET_EXHAUSTED", 23..=24);
    desk.world.verify().await;
}

/// Ada has the role `pro`, and the license that it gives is looked at from now on.
async fn observe(desk: &mut Desk, guild: &str, ada: &str, pro: &str) {
    let observed = ["member", "observe", "--guild", guild, "--user", ada, "--roles", pro];
    desk.world.cli(&observed).await;
    let list = format!("/licenses?guildId={guild}&userId={ada}&type=pro");
    let licenses = desk.world.owner("GET", &list, Value::Null).await.expect(200)["data"].clone();
    let live = licenses.as_array().unwrap().iter().find(|one| one["status"] != "revoked").unwrap();
    desk.id = live["id"].as_str().unwrap().to_owned();
    let shown = desk.staff("GET", "key", Value::Null).await.expect(200);
    desk.key = shown["key"].as_str().unwrap().to_owned();
}

async fn an_offer_stands_for_a_week(engine: Engine) {
    let mut desk = Desk::of_ada(engine, json!({ "maxDevices": 1, "transferable": true })).await;
    let (ada, grace) = (desk.world.facts.ada.clone(), desk.world.facts.grace.clone());
    done(desk.program("activate", "pc").await, 201);
    let (offer, accept) =
        (format!("/licenses/{}/transfer", desk.id), format!("/licenses/transfers/{}/accept", desk.id));
    let to_grace = json!({ "toUserId": grace });
    let offered = done(desk.person(&ada, "POST", &offer, to_grace.clone()).await, 200);
    assert_eq!(offered["userId"], ada.as_str(), "an offer changes nothing yet");
    desk.world.advance("P7D").await;
    let (late, _) = desk.person(&grace, "POST", &accept, Value::Null).await;
    assert_eq!((late.status, late.code()), (409, "OFFER_EXPIRED"), "{:#}", late.body);
    done(desk.person(&ada, "POST", &offer, to_grace).await, 200);
    let taken = done(desk.person(&grace, "POST", &accept, Value::Null).await, 200);
    assert_eq!((&taken["userId"], &taken["deviceCount"]), (&json!(grace), &json!(0)));
    assert_eq!(desk.program("activate", "pc").await.0.code(), "KEY_SUPERSEDED");
    let (twice, _) = desk.person(&grace, "POST", &accept, Value::Null).await;
    assert_eq!((twice.status, twice.code()), (409, "TRANSFER_NOT_OFFERED"), "{:#}", twice.body);
    desk.world.verify().await;
}

async fn a_key_is_redeemed_by_one_of_many(engine: Engine) {
    let desk = Desk::new(engine, json!({})).await;
    let (ada, grace) = (desk.world.facts.ada.clone(), desk.world.facts.grace.clone());
    let key = || json!({ "key": desk.key });
    let redeem = |user| desk.person(user, "POST", "/licenses/redeem", key());
    let answers = join_all([&*ada, &*grace].map(redeem)).await;
    let mut codes: Vec<(u16, &str)> =
        answers.iter().map(|(answer, _)| (answer.status, answer.code())).collect();
    codes.sort_unstable();
    assert_eq!(codes, [(200, ""), (409, "ALREADY_ASSIGNED")]);
    desk.world.verify().await;
}
