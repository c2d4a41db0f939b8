//! Bad input, everywhere: always a problem with a status below 500, a code and a pointer.

use axum::http::Method;
use serde_json::json;

use crate::world::{GUILD, World};

/// Every address that takes a body, with a body that is right.
fn bodies(id: &str, key: &str) -> Vec<(Method, String, serde_json::Value)> {
    let post = |path: String, body| (Method::POST, path, body);
    let license = |what: &str, body| (Method::POST, format!("/licenses/{id}/{what}"), body);
    vec![
        post("/licenses/validate".to_owned(), json!({ "key": key })),
        post(
            "/licenses/activate".to_owned(),
            json!({ "key": key, "deviceId": "a" }),
        ),
        post(
            "/licenses/heartbeat".to_owned(),
            json!({ "key": key, "deviceId": "a" }),
        ),
        post(
            "/licenses/deactivate".to_owned(),
            json!({ "key": key, "deviceId": "a" }),
        ),
        license("assign", json!({ "userId": "5" })),
        license("suspend", json!({})),
        license("resume", json!({})),
        license("renew", json!({})),
        license("revoke", json!({})),
        license("rekey", json!({})),
        license("transfer", json!({ "toUserId": "5" })),
        license("terms", json!({})),
        license("metadata", json!({})),
        (
            Method::PATCH,
            format!("/licenses/{id}/devices/a"),
            json!({ "deviceName": "x" }),
        ),
        (
            Method::DELETE,
            format!("/licenses/{id}/deactivate?all=true"),
            json!({}),
        ),
        post(
            "/admin/licenses/generate".to_owned(),
            json!({ "guildId": GUILD.to_string(), "type": "pro", "count": 1 }),
        ),
        post(
            format!("/guilds/{GUILD}/license-types"),
            json!({ "slug": "a", "name": "A" }),
        ),
        (
            Method::PATCH,
            format!("/guilds/{GUILD}/license-types/pro"),
            json!({}),
        ),
        post(
            format!("/guilds/{GUILD}/role-rules"),
            json!({ "roleId": "1", "type": "pro" }),
        ),
    ]
}

#[tokio::test]
async fn every_body_is_checked_in_the_same_way() {
    let world = World::new().await;
    let secret = world.secret().await;
    let (id, key) = world.license("pro").await;
    for (method, path, good) in bodies(&id, &key) {
        let ask = || world.ask(method.clone(), &path).key(&secret);
        let typed = || ask().header("content-type", "application/json");
        for (bad, code) in [
            (b"{".to_vec(), "NOT_JSON"),
            (b"[]".to_vec(), "WRONG_TYPE"),
            (b"null".to_vec(), "WRONG_TYPE"),
            (b"\"text\"".to_vec(), "WRONG_TYPE"),
            (b"{\"a\":\"\xff\"}".to_vec(), "NOT_JSON"),
            (format!("{good} {{}}").into_bytes(), "NOT_JSON"),
        ] {
            let reply = typed().raw(bad.clone()).await;
            assert_eq!(reply.problem(400), "INVALID_REQUEST", "{method} {path} {bad:?}");
            assert_eq!(reply.pointer(), "", "{method} {path} {bad:?}");
            assert_eq!(reply.body["errors"][0]["code"], code, "{method} {path} {bad:?}");
        }
        let mut extra = good.clone();
        extra["colour/size"] = json!(1);
        let reply = typed().raw(extra.to_string()).await;
        assert_eq!(reply.problem(400), "INVALID_REQUEST", "{method} {path}");
        assert_eq!(reply.pointer(), "/colour~1size", "{method} {path}");
        assert_eq!(reply.body["errors"][0]["code"], "UNKNOWN_MEMBER");
        for name in good.as_object().unwrap().keys() {
            let mut wrong = good.clone();
            wrong[name] = json!({ "odd": true });
            let reply = typed().raw(wrong.to_string()).await;
            assert_eq!(reply.problem(400), "INVALID_REQUEST", "{method} {path}");
            assert_eq!(reply.pointer(), format!("/{name}"), "{method} {path}");
            let mut without = good.clone();
            without.as_object_mut().unwrap().remove(name);
            let reply = typed().raw(without.to_string()).await;
            assert_eq!(
                reply.problem(400),
                "INVALID_REQUEST",
                "{method} {path} without {name}"
            );
            assert_eq!(reply.pointer(), format!("/{name}"));
            if good[name].is_string() {
                let nul = good
                    .to_string()
                    .replace(good[name].as_str().unwrap(), "a\\u0000b");
                let status = typed().raw(nul).await.status;
                assert_eq!(status, 400, "{method} {path} with U+0000 in {name}");
            }
        }
        assert_eq!(
            ask()
                .header("content-type", "text/plain")
                .raw("{}")
                .await
                .problem(415),
            "UNSUPPORTED_MEDIA_TYPE"
        );
        assert_eq!(
            ask().raw("{}").await.problem(415),
            "UNSUPPORTED_MEDIA_TYPE",
            "{method} {path}"
        );
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
        assert_eq!(
            typed().raw(long).await.problem(413),
            "BODY_TOO_LARGE",
            "{method} {path}"
        );
        let separator = if path.contains('?') { '&' } else { '?' };
        let reply = world
            .ask(method.clone(), &format!("{path}{separator}colour=1"))
            .key(&secret)
            .json(&good)
            .await;
        assert_eq!(
            (reply.problem(400), reply.pointer()),
            ("INVALID_REQUEST", "?colour"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn unknown_and_foreign_ids_are_not_there() {
    let world = World::new().await;
    let secret = world.secret().await;
    for id in [
        "00000000-0000-4000-8000-000000000000",
        "nonsense",
        "1",
        "%F0%9F%92%A9",
    ] {
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
        (
            "validate",
            json!({ "key": "x", "components": [{ "name": "a", "value": "b" }] }),
            "/deviceId",
        ),
        ("validate", json!({ "key": "x", "nonce": long }), "/nonce"),
        (
            "validate",
            json!({ "key": "x", "entitlements": [""] }),
            "/entitlements/0",
        ),
        (
            "validate",
            json!({ "key": "x", "entitlements": "a" }),
            "/entitlements",
        ),
        (
            "validate",
            json!({ "key": "x", "deviceId": "a", "components": [{ "name": "", "value": "b" }] }),
            "/components/0/name",
        ),
        (
            "activate",
            json!({ "key": "x", "deviceId": "a", "deviceName": "x".repeat(65) }),
            "/deviceName",
        ),
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
        (
            "activate",
            json!({ "key": "x", "deviceId": "a", "components": [{ "name": "a", "value": "1" }, { "name": "a", "value": "2" }] }),
            "/components/1/name",
        ),
        (
            "heartbeat",
            json!({ "key": "x", "deviceId": "x".repeat(129) }),
            "/deviceId",
        ),
    ] {
        let reply = world
            .post(&format!("/licenses/{path}"))
            .key(&api_key)
            .json(&body)
            .await;
        assert_eq!(
            (reply.problem(400), reply.pointer()),
            ("INVALID_REQUEST", pointer),
            "{path} {body}"
        );
    }
}
