//! Interactions: over the gateway and signed over HTTP, with their clocks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, VerifyingKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{GUILDS, Socket, World, code};

impl World {
    async fn register(&self) {
        let path = format!("/applications/{}/commands", self.fake.application_id());
        let show = json!({"type": 1, "name": "show", "description": "d", "options": [
            {"type": 3, "name": "key", "description": "d", "required": true, "autocomplete": true},
            {"type": 6, "name": "who", "description": "d"},
            {"type": 4, "name": "page", "description": "d", "min_value": 1},
            {"type": 5, "name": "all", "description": "d"},
        ]});
        let commands = json!([
            {"name": "license", "description": "d", "options": [show]},
            {"name": "Show licenses", "type": 2},
        ]);
        let (status, answer) = self.api(Method::PUT, &path, commands).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// What Ada does; the answer of the control API comes when the bot has answered.
    fn act(&self, mut body: Value) -> tokio::task::JoinHandle<(u16, Value)> {
        body["guildId"] = json!(self.guild);
        body["userId"] = json!(self.ada);
        let request = self.http.post(format!("{}/_control/interactions", self.fake.url())).json(&body);
        tokio::spawn(async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json().await.unwrap())
        })
    }

    async fn answer(&self, interaction: &Value, body: Value) -> (u16, Value) {
        let (id, token) = (interaction["id"].as_str().unwrap(), interaction["token"].as_str().unwrap());
        self.api(Method::POST, &format!("/interactions/{id}/{token}/callback"), body).await
    }

    fn webhook(&self, interaction: &Value, rest: &str) -> String {
        format!("/webhooks/{}/{}{rest}", self.fake.application_id(), interaction["token"].as_str().unwrap())
    }
}

async fn interaction(socket: &mut Socket) -> Value {
    socket.until("INTERACTION_CREATE").await["d"].clone()
}

fn show() -> Value {
    json!({"command": "license show", "options": {"key": "K"}})
}

#[tokio::test]
async fn a_command_arrives_as_its_registration_says() {
    let world = World::start().await;
    world.register().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let options = json!({"key": "K", "who": world.ada, "page": "2", "all": true});
    let call = world.act(json!({"command": "license show", "options": options, "locale": "de"}));
    let seen = interaction(&mut socket).await;
    assert_eq!(
        (&seen["type"], &seen["locale"], &seen["data"]["name"]),
        (&json!(2), &json!("de"), &json!("license"))
    );
    assert_eq!(
        seen["data"]["options"],
        json!([{"name": "show", "type": 1, "options": [
            {"name": "key", "type": 3, "value": "K"}, {"name": "who", "type": 6, "value": world.ada},
            {"name": "page", "type": 4, "value": 2}, {"name": "all", "type": 5, "value": true},
        ]}])
    );
    assert_eq!(seen["data"]["resolved"]["users"][&world.ada]["username"], "Ada");
    assert_eq!(seen["member"]["user"]["id"], json!(world.ada));
    assert!(seen["member"]["permissions"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    let data = json!({"content": "yes", "flags": 64});
    let answer = world.answer(&seen, json!({"type": 4, "data": data})).await;
    assert_eq!(answer.0, 204);
    let (status, answered) = call.await.unwrap();
    assert_eq!(status, 200);
    let first = &answered["responses"][0];
    assert_eq!(
        (&first["type"], &first["ephemeral"], &first["content"]),
        (&json!(4), &json!(true), &json!("yes"))
    );
    let call = world.act(json!({"command": "Show licenses", "targetId": world.ada}));
    let seen = interaction(&mut socket).await;
    assert_eq!((&seen["data"]["type"], &seen["data"]["target_id"]), (&json!(2), &json!(world.ada)));
    world.answer(&seen, json!({"type": 4, "data": data})).await;
    assert_eq!(call.await.unwrap().0, 200);
}

#[tokio::test]
async fn what_no_client_would_send_is_refused_unless_forged() {
    let world = World::start().await;
    world.register().await;
    let (mut socket, _) = world.online(GUILDS).await;
    for (body, status, named) in [
        (json!({"command": "nothing"}), 404, "registered are: license"),
        (json!({"command": "license hide"}), 404, "no sub-command hide"),
        (json!({"command": "license"}), 400, "sub-command"),
        (json!({"command": "license show"}), 400, "key is required"),
        (json!({"command": "license show", "options": {"key": "K", "colour": 1}}), 400, "no option colour"),
        (json!({"command": "license show", "options": {"key": "K", "page": 0}}), 400, "page"),
        (json!({"command": "license show", "options": {"key": "K", "page": "x"}}), 400, "page"),
        (json!({"customId": "x", "messageId": "5"}), 404, "no message 5"),
        (json!({"modal": "x", "fields": {}}), 404, "no modal x"),
        (json!({}), 400, "give one of"),
    ] {
        let (got, answer) = world.act(body.clone()).await.unwrap();
        assert_eq!(got, status, "{body} {answer}");
        assert!(answer["error"].as_str().unwrap().contains(named), "{answer}");
    }
    let admin =
        json!([{"name": "setup", "description": "d", "default_member_permissions": "32", "contexts": [0]}]);
    let path = format!("/applications/{}/commands", world.fake.application_id());
    assert_eq!(world.api(Method::PUT, &path, admin).await.0, 200);
    let (status, answer) = world.act(json!({"command": "setup"})).await.unwrap();
    assert_eq!(
        (status, answer["error"].as_str().unwrap().contains("permissions 32")),
        (400, true),
        "{answer}"
    );
    let elsewhere = world.make("/guilds", json!({"name": "Elsewhere"})).await;
    let channel = world.make(&format!("/guilds/{elsewhere}/channels"), json!({"name": "panel"})).await;
    let button = json!({"content": "p", "components": [{"type": 1, "components": [
        {"type": 2, "style": 1, "label": "l", "custom_id": "x"},
    ]}]});
    let (_, panel) = world.api(Method::POST, &format!("/channels/{channel}/messages"), button).await;
    let (status, answer) = world.act(json!({"customId": "x", "messageId": panel["id"]})).await.unwrap();
    assert_eq!(status, 404, "a message of another guild: {answer}");
    let forged = json!({"customId": "claim:v0", "messageId": "5", "forge": {"channel_id": "77"}});
    let call = world.act(forged);
    let seen = interaction(&mut socket).await;
    assert_eq!((&seen["channel_id"], &seen["data"]["custom_id"]), (&json!("77"), &json!("claim:v0")));
    world.answer(&seen, json!({"type": 4, "data": {"content": "no"}})).await;
    assert_eq!(call.await.unwrap().1["responses"][0]["content"], "no");
}

#[tokio::test]
async fn answers_come_once_in_time_and_of_a_fitting_kind() {
    let world = World::start().await;
    world.register().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let call = world.act(show());
    let seen = interaction(&mut socket).await;
    let webhook = world.webhook(&seen, "");
    assert_eq!(code(&world.api(Method::POST, &webhook, json!({"content": "x"})).await), (404, 10_015));
    for kind in [6, 7, 8, 1, 3] {
        assert_eq!(code(&world.answer(&seen, json!({"type": kind})).await), (400, 50_035), "{kind}");
    }
    assert_eq!(code(&world.answer(&seen, json!({"type": 4, "data": {"content": ""}})).await), (400, 50_006));
    let wrong = json!({"id": seen["id"], "token": "wrong"});
    assert_eq!(code(&world.answer(&wrong, json!({"type": 5})).await), (401, 50_027));
    assert_eq!(world.answer(&seen, json!({"type": 4, "data": {"content": "x"}})).await.0, 204);
    assert_eq!(code(&world.answer(&seen, json!({"type": 4, "data": {"content": "x"}})).await), (400, 40_060));
    call.await.unwrap();
    let _late = world.act(show());
    let late = interaction(&mut socket).await;
    // The three seconds are real ones: nothing but their passing can be waited for.
    tokio::time::sleep(Duration::from_millis(3_050)).await;
    assert_eq!(code(&world.answer(&late, json!({"type": 5})).await), (404, 10_062));
    assert_eq!(
        code(&world.answer(&json!({"id": "1", "token": "t"}), json!({"type": 5})).await),
        (404, 10_062)
    );
}

#[tokio::test]
async fn a_deferred_answer_is_waited_for_and_fifteen_minutes_are_the_end() {
    let world = World::start().await;
    world.register().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let call = world.act(show());
    let seen = interaction(&mut socket).await;
    assert_eq!(world.answer(&seen, json!({"type": 5, "data": {"flags": 64}})).await.0, 204);
    let original = world.webhook(&seen, "/messages/@original");
    assert_eq!(world.get(&original).await.1["flags"], 64 | 128);
    assert!(!call.is_finished());
    assert_eq!(world.api(Method::PATCH, &original, json!({"content": "ready"})).await.0, 200);
    let (_, answered) = call.await.unwrap();
    let first = &answered["responses"][0];
    assert_eq!(
        (&first["type"], &first["content"], &first["ephemeral"]),
        (&json!(5), &json!("ready"), &json!(true))
    );
    assert_eq!((&first["loading"], &world.get(&original).await.1["flags"]), (&json!(false), &json!(64)));
    let (_, more) = world.api(Method::POST, &world.webhook(&seen, ""), json!({"content": "more"})).await;
    let path = format!("/interactions/{}", seen["id"].as_str().unwrap());
    let shown = world.must(Method::GET, &path, Value::Null).await;
    assert_eq!(
        (&shown["responses"][1]["content"], &shown["responses"][1]["ephemeral"]),
        (&json!("more"), &json!(false))
    );
    let follow_up = world.webhook(&seen, &format!("/messages/{}", more["id"].as_str().unwrap()));
    assert_eq!(world.api(Method::DELETE, &follow_up, Value::Null).await.0, 204);
    assert_eq!(code(&world.get(&follow_up).await), (404, 10_008));
    world.must(Method::POST, "/clock", json!({"advanceS": 899})).await;
    assert_eq!(world.get(&original).await.0, 200);
    world.must(Method::POST, "/clock", json!({"advanceS": 2})).await;
    assert_eq!(code(&world.get(&original).await), (401, 50_027));
    // A follow-up right after a deferral is the answer itself.
    let call = world.act(show());
    let seen = interaction(&mut socket).await;
    world.answer(&seen, json!({"type": 5})).await;
    world.api(Method::POST, &world.webhook(&seen, ""), json!({"content": "said"})).await;
    let (_, answered) = call.await.unwrap();
    assert_eq!(answered["responses"].as_array().unwrap().len(), 1);
    assert_eq!(answered["responses"][0]["content"], "said");
}

#[tokio::test]
async fn typing_gets_choices() {
    let world = World::start().await;
    world.register().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let typing = json!({"command": "license show", "autocomplete": {"option": "key", "value": "D"}});
    let call = world.act(typing);
    let seen = interaction(&mut socket).await;
    assert_eq!(seen["type"], 4);
    let option = json!({"name": "key", "type": 3, "value": "D", "focused": true});
    assert_eq!(seen["data"]["options"][0]["options"], json!([option]));
    let choices =
        |n: usize| json!({"type": 8, "data": {"choices": vec![json!({"name": "DCA", "value": "v"}); n]}});
    assert_eq!(code(&world.answer(&seen, choices(26)).await), (400, 50_035));
    assert_eq!(code(&world.answer(&seen, json!({"type": 5})).await), (400, 50_035));
    assert_eq!(world.answer(&seen, choices(25)).await.0, 204);
    assert_eq!(call.await.unwrap().1["responses"][0]["choices"].as_array().unwrap().len(), 25);
}

#[tokio::test]
async fn a_click_opens_a_form_that_is_sent_back() {
    let world = World::start().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let state = world.must(Method::GET, "/state", Value::Null).await;
    let channel = state["guilds"][0]["channels"][0]["id"].as_str().unwrap().to_owned();
    let button = |id: &str, disabled: bool| json!({"type": 2, "style": 1, "custom_id": id, "label": "b", "disabled": disabled});
    let panel = json!({"content": "panel", "components": [{"type": 1, "components": [button("claim:v1", false), button("off", true)]}]});
    let (_, message) = world.api(Method::POST, &format!("/channels/{channel}/messages"), panel).await;
    let click = |id: &str| json!({"customId": id, "messageId": message["id"]});
    assert_eq!(world.act(click("claim:v2")).await.unwrap().0, 404);
    assert_eq!(world.act(click("off")).await.unwrap().0, 400);
    let call = world.act(click("claim:v1"));
    let seen = interaction(&mut socket).await;
    assert_eq!(
        (&seen["type"], &seen["data"]["component_type"], &seen["message"]["id"]),
        (&json!(3), &json!(2), &message["id"])
    );
    let input = json!({"type": 4, "custom_id": "key", "label": "Key", "style": 1});
    let modal =
        json!({"custom_id": "m:1", "title": "Claim", "components": [{"type": 1, "components": [input]}]});
    assert_eq!(world.answer(&seen, json!({"type": 9, "data": modal})).await.0, 204);
    assert_eq!(call.await.unwrap().1["responses"][0]["customId"], "m:1");
    let fill = |fields: Value| json!({"modal": "m:1", "fields": fields});
    assert_eq!(world.act(fill(json!({}))).await.unwrap().0, 400);
    assert_eq!(world.act(fill(json!({"key": "K", "other": "x"}))).await.unwrap().0, 400);
    let call = world.act(fill(json!({"key": "K"})));
    let seen = interaction(&mut socket).await;
    assert_eq!(seen["data"]["components"][0]["components"][0]["value"], "K");
    assert_eq!(seen["message"]["id"], message["id"]);
    // The form came from the panel, so it may change it.
    assert_eq!(world.answer(&seen, json!({"type": 7, "data": {"content": "claimed"}})).await.0, 204);
    assert_eq!(call.await.unwrap().1["responses"][0]["content"], "claimed");
    let shown = world.must(Method::GET, &format!("/channels/{channel}/messages"), Value::Null).await;
    assert_eq!(
        (&shown[0]["content"], shown[0]["components"].as_array().unwrap().len()),
        (&json!("claimed"), 1)
    );
}

#[tokio::test]
async fn a_response_can_be_asked_for_with_the_callback() {
    let world = World::start().await;
    world.register().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let call = world.act(show());
    let seen = interaction(&mut socket).await;
    let (id, token) = (seen["id"].as_str().unwrap(), seen["token"].as_str().unwrap());
    let path = format!("/interactions/{id}/{token}/callback?with_response=true");
    let (status, body) = world.api(Method::POST, &path, json!({"type": 4, "data": {"content": "x"}})).await;
    assert_eq!((status, &body["resource"]["message"]["content"]), (200, &json!("x")));
    assert_eq!(body["interaction"]["response_message_id"], body["resource"]["message"]["id"]);
    assert_eq!(call.await.unwrap().0, 200);
    // The token authorises, so it is nowhere in the journal.
    assert!(!json!(world.journal().await).to_string().contains(token));
}

/// An endpoint of a bot; `checks` says whether it looks at signatures.
async fn endpoint(key: &str, checks: bool) -> (String, Arc<Mutex<Vec<Value>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let key: [u8; 32] = HEXLOWER.decode(key.as_bytes()).unwrap().try_into().unwrap();
    let key = VerifyingKey::from_bytes(&key).unwrap();
    let kept = Arc::clone(&seen);
    let handler = move |headers: HeaderMap, body: Bytes| {
        let kept = Arc::clone(&kept);
        async move {
            let text = |name: &str| headers[name].to_str().unwrap().to_owned();
            let bytes = HEXLOWER.decode(text("x-signature-ed25519").as_bytes()).unwrap();
            let signature = Signature::from_slice(&bytes).unwrap();
            let signed = [text("x-signature-timestamp").as_bytes(), &body].concat();
            if checks && key.verify_strict(&signed, &signature).is_err() {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            let object: Value = serde_json::from_slice(&body).unwrap();
            if object["type"] == 1 {
                return axum::Json(json!({"type": 1})).into_response();
            }
            kept.lock().unwrap().push(object);
            axum::Json(json!({"type": 4, "data": {"content": "signed", "flags": 64}})).into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/interactions", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/interactions", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

#[tokio::test]
async fn signed_interactions_replace_the_gateway_and_need_an_endpoint_that_checks() {
    let world = World::start().await;
    world.register().await;
    let (mut socket, _) = world.online(GUILDS).await;
    let (_, app) = world.get("/oauth2/applications/@me").await;
    let key = app["verify_key"].as_str().unwrap();
    let (careless, _) = endpoint(key, false).await;
    let (status, answer) =
        world.control(Method::PUT, "/settings", json!({"interactionsUrl": careless})).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("instead of 401"), "{answer}");
    let (url, seen) = endpoint(key, true).await;
    assert_eq!(world.put_settings(json!({"interactionsUrl": url})).await["interactionsUrl"], json!(url));
    let (status, answered) = world.act(show()).await.unwrap();
    assert_eq!((status, &answered["responses"][0]["content"]), (200, &json!("signed")));
    assert_eq!(seen.lock().unwrap()[0]["data"]["name"], "license");
    assert_eq!(socket.events().await, [""; 0]);
    world.put_settings(json!({"interactionsUrl": null})).await;
    let call = world.act(show());
    let seen = interaction(&mut socket).await;
    world.answer(&seen, json!({"type": 4, "data": {"content": "gateway"}})).await;
    assert_eq!(call.await.unwrap().1["responses"][0]["content"], "gateway");
}
