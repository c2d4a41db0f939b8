//! Bad input, everywhere: always a problem with a status below 500, a code and a pointer.

use axum::http::Method;
use serde_json::json;

use crate::world::{Ask, GUILD, World};

/// Every address that takes a body, with a body that is right.
fn bodies(id: &str, key: &str) -> Vec<(Method, String, serde_json::Value)> {
    let post = |path: String, body| (Method::POST, path, body);
    let license = |what: &str, body| (Method::POST, format!("/licenses/{id}/{what}"), body);
    vec![
        post("/licenses/validate".to_owned(), json!({ "key": key })),
        post("/licenses/activate".to_owned(), json!({ "key": key, "deviceId": "a" })),
        post("/licenses/heartbeat".to_owned(), json!({ "key": key, "deviceId": "a" })),
        post("/licenses/deactivate".to_owned(), json!({ "key": key, "deviceId": "a" })),
        license("assign", json!({ "userId": "5" })),
        license("suspend", json!({})),
        license("resume", json!({})),
        license("renew", json!({})),
        license("revoke", json!({})),
        license("rekey", json!({})),
        license("transfer", json!({ "toUserId": "5" })),
        license("terms", json!({})),
        license("metadata", json!({})),
        (Method::PATCH, format!("/licenses/{id}/devices/a"), json!({ "deviceName": "x" })),
        (Method::DELETE, format!("/licenses/{id}/deactivate?all=true"), json!({})),
        post(
            "/admin/licenses/generate".to_owned(),
            json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 1 }),
        ),
        post(
            "/admin/licenses/revoke".to_owned(),
            json!({ "ids": [license_id(id)], "mode": "each", "reason": "x" }),
        ),
        post(format!("/guilds/{GUILD}/license-types"), json!({ "slug": "a", "name": "A" })),
        (Method::PATCH, format!("/guilds/{GUILD}/license-types/pro"), json!({})),
        post(format!("/guilds/{GUILD}/role-rules"), json!({ "roleId": "1", "type": "pro" })),
    ]
}

/// The id, or another where the text is none: bodies are looked at before what they name.
fn license_id(id: &str) -> String {
    id.parse::<domain::id::LicenseId>().unwrap_or_default().to_string()
}

/// A request that is right but for its body.
struct Call<'w> {
    world: &'w World,
    secret: &'w str,
    method: Method,
    path: String,
}

impl Call<'_> {
    fn ask(&self) -> Ask<'_> {
        self.world.ask(self.method.clone(), &self.path).key(self.secret)
    }

    /// Pointer and code of the one thing that is wrong with `body`.
    async fn wrong(&self, body: impl Into<Vec<u8>>) -> (String, String) {
        let ask = self.ask().header("content-type", "application/json");
        let reply = ask.raw(body.into()).await;
        assert_eq!(reply.problem(400), "INVALID_REQUEST", "{} {}", self.method, self.path);
        let code = reply.body["errors"][0]["code"].as_str().unwrap().to_owned();
        (reply.pointer().to_owned(), code)
    }
}

fn pair(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

#[tokio::test]
async fn every_body_is_json_and_an_object() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, key) = world.license("pro").await;
    for (method, path, good) in bodies(&id, &key) {
        let call = Call { world: &world, secret: &secret, method, path };
        for (bad, code) in [
            (b"{".to_vec(), "NOT_JSON"),
            (b"[]".to_vec(), "WRONG_TYPE"),
            (b"null".to_vec(), "WRONG_TYPE"),
            (b"\"text\"".to_vec(), "WRONG_TYPE"),
            (b"{\"a\":\"\xff\"}".to_vec(), "NOT_JSON"),
            (format!("{good} {{}}").into_bytes(), "NOT_JSON"),
        ] {
            assert_eq!(call.wrong(bad.clone()).await, pair("", code), "{} {bad:?}", call.path);
        }
        let text = call.ask().header("content-type", "text/plain").raw("{}").await;
        assert_eq!(text.problem(415), "UNSUPPORTED_MEDIA_TYPE", "{}", call.path);
        assert_eq!(call.ask().raw("{}").await.problem(415), "UNSUPPORTED_MEDIA_TYPE", "{}", call.path);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
        let long = call.ask().header("content-type", "application/json").raw(long).await;
        assert_eq!(long.problem(413), "BODY_TOO_LARGE", "{}", call.path);
    }
}

#[tokio::test]
async fn every_member_is_known_there_and_of_its_type() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, key) = world.license("pro").await;
    for (method, path, good) in bodies(&id, &key) {
        let call = Call { world: &world, secret: &secret, method, path };
        let mut extra = good.clone();
        extra["colour/size"] = json!(1);
        assert_eq!(
            call.wrong(extra.to_string()).await,
            pair("/colour~1size", "UNKNOWN_MEMBER"),
            "{}",
            call.path
        );
        for name in good.as_object().unwrap().keys() {
            let pointer = format!("/{name}");
            let mut wrong = good.clone();
            wrong[name] = json!({ "odd": true });
            assert_eq!(call.wrong(wrong.to_string()).await, pair(&pointer, "WRONG_TYPE"), "{}", call.path);
            let mut without = good.clone();
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(
                call.wrong(without.to_string()).await,
                pair(&pointer, "MISSING_MEMBER"),
                "{}",
                call.path
            );
            if let Some(text) = good[name].as_str() {
                let nul = good.to_string().replace(&format!("\"{text}\""), "\"a\\u0000b\"");
                assert_eq!(call.wrong(nul).await.0, pointer, "{}", call.path);
            }
        }
    }
}

#[tokio::test]
async fn no_write_takes_an_unknown_query() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, key) = world.license("pro").await;
    for (method, path, good) in bodies(&id, &key) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let reply = world.ask(method, &format!("{path}{separator}colour=1")).key(&secret).json(&good).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", "?colour"), "{path}");
    }
}

#[tokio::test]
async fn unknown_and_foreign_ids_are_not_there() {
    let world = World::new().await;
    let secret = world.secret().await;
    for id in ["00000000-0000-4000-8000-000000000000", "nonsense", "1", "%F0%9F%92%A9"] {
        for (method, path, good) in bodies(id, "x") {
            if path.contains(&format!("/licenses/{id}/")) {
                let reply = world.ask(method.clone(), &path).key(&secret).json(&good).await;
                assert_eq!(reply.problem(404), "NOT_FOUND", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn members_with_limits_are_held_to_them() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let long = "x".repeat(300);
    for (path, body, pointer) in [
        ("validate", json!({ "key": "" }), "/key"),
        ("validate", json!({ "key": "x".repeat(201) }), "/key"),
        ("validate", json!({ "key": 5 }), "/key"),
        ("validate", json!({ "key": null }), "/key"),
        ("validate", json!({ "key": "x", "deviceId": "" }), "/deviceId"),
        ("validate", json!({ "key": "x", "deviceId": long }), "/deviceId"),
        ("validate", json!({ "key": "x", "components": [{ "name": "a", "value": "b" }] }), "/deviceId"),
        ("validate", json!({ "key": "x", "nonce": long }), "/nonce"),
        ("validate", json!({ "key": "x", "entitlements": [""] }), "/entitlements/0"),
        ("validate", json!({ "key": "x", "entitlements": "a" }), "/entitlements"),
        (
            "validate",
            json!({ "key": "x", "deviceId": "a", "components": [{ "name": "", "value": "b" }] }),
            "/components/0/name",
        ),
        ("activate", json!({ "key": "x", "deviceId": "a", "deviceName": "x".repeat(65) }), "/deviceName"),
        (
            "activate",
            json!({ "key": "x", "deviceId": "a", "components": [{ "name": "a", "value": long }] }),
            "/components/0/value",
        ),
        (
            "activate",
            json!({ "key": "x", "deviceId": "a", "components": [{ "name": "a" }] }),
            "/components/0/value",
        ),
        ("heartbeat", json!({ "key": "x", "deviceId": "x".repeat(129) }), "/deviceId"),
    ] {
        let reply = world.post(&format!("/licenses/{path}")).key(&api_key).json(&body).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", pointer), "{path} {body}");
    }
    // Its form is right, and it cannot be meant.
    let twice = json!([{ "name": "a", "value": "1" }, { "name": "a", "value": "2" }]);
    let body = json!({ "key": "x", "deviceId": "a", "components": twice });
    let reply = world.post("/licenses/activate").key(&api_key).json(&body).await;
    assert_eq!((reply.problem(422), reply.pointer()), ("INVALID_VALUE", "/components/1/name"));
}

#[tokio::test]
async fn lengths_are_counted_in_characters() {
    let world = World::new().await;
    let api_key = world.publishable().await;
    let validate = async |device: String| {
        world.post("/licenses/validate").key(&api_key).json(&json!({ "key": "x", "deviceId": device })).await
    };
    validate("ü".repeat(128)).await.ok(200);
    validate("ü".repeat(129)).await.problem(400);
    let reason = |length| json!({ "reason": " ".repeat(length) });
    let (id, _) = world.license("pro").await;
    let suspend =
        async |body| world.post(&format!("/licenses/{id}/suspend")).token("operator").json(&body).await;
    suspend(reason(500)).await.ok(200);
    assert_eq!(suspend(reason(501)).await.problem(400), "INVALID_REQUEST");
}

/// Serde takes an array for a struct as well.
#[tokio::test]
async fn settings_are_objects_to_the_last() {
    let world = World::new().await;
    let path = format!("/guilds/{}/settings", crate::world::GUILD);
    for (body, pointer) in
        [(json!({ "sharing": [true] }), "/sharing"), (json!({ "sharing": { "no": 1 } }), "/sharing/no")]
    {
        let reply = world.patch(&path).token("operator").json(&body).await;
        assert_eq!((reply.problem(400), reply.pointer()), ("INVALID_REQUEST", pointer));
    }
    world.patch(&path).token("operator").json(&json!({ "sharing": { "detect": true } })).await.ok(200);
}
