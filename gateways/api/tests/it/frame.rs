//! What surrounds every request: ids, headers, hosts, secrets in addresses, unknown addresses, time and panics.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use crate::world::{Config, World};

#[tokio::test]
async fn every_answer_has_an_id_and_the_security_headers() {
    let world = World::new().await;
    for path in ["/live", "/nothing", "/licenses"] {
        let reply = world.get(path).header("x-request-id", "mine").empty().await;
        assert_eq!(reply.header("x-request-id"), Some("mine"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(
            reply.header("content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'")
        );
    }
    let made = world.get("/live").header("x-request-id", &"x".repeat(129)).empty().await;
    assert_eq!(made.header("x-request-id").unwrap().len(), 28);
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let world = World::new().await;
    for path in ["/nothing", "/licenses/", "/licenses/x/y/z/w", "/%ff"] {
        let reply = world.get(path).token("operator").empty().await;
        assert_eq!(reply.problem(404), "NOT_FOUND", "{path}");
    }
    for (method, path, allow) in [
        (Method::GET, "/licenses/validate", "POST"),
        (Method::PUT, "/licenses", "GET,HEAD"),
        (Method::POST, "/live", "GET,HEAD"),
        (Method::PATCH, "/guilds/1/api-keys", "GET,HEAD,POST"),
        (Method::OPTIONS, "/licenses", "GET,HEAD"),
    ] {
        let reply = world.ask(method, path).empty().await;
        let allowed = reply.header("allow").unwrap().to_owned();
        let sorted = |text: &str| {
            text.split(',').map(str::trim).map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
        };
        if path != "/licenses/validate" {
            assert_eq!(sorted(&allowed), sorted(allow), "{path}");
            assert_eq!(reply.problem(405), "METHOD_NOT_ALLOWED");
        } else {
            // `GET /licenses/{id}` stands behind the same address, so `validate` is read as an id.
            assert!(matches!(reply.status.as_u16(), 401 | 405), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn secrets_in_addresses_are_refused_before_anything_else() {
    let world = World::new().await;
    let (_, key) = world.license("pro").await;
    for path in [
        "/licenses?key=DCA-1".to_owned(),
        "/licenses?apiKey=1".to_owned(),
        "/live?token=1".to_owned(),
        "/licenses?q=dca_sec_abc".to_owned(),
        format!("/licenses?q={key}"),
    ] {
        assert_eq!(world.get(&path).empty().await.problem(400), "KEY_IN_URL", "{path}");
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let config = Config { hosts: Some(api::Hosts::loopback(8787)), ..Config::default() };
    let open = World::bare(Config::default()).await;
    open.get("/live").header("host", "anything.example").empty().await.ok(200);
    let world = World::bare(config).await;
    for good in ["127.0.0.1:8787", "localhost:8787", "[::1]:8787", "LOCALHOST:8787"] {
        world.get("/live").header("host", good).empty().await.ok(200);
    }
    for bad in ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:8787"] {
        let reply = world.get("/live").header("host", bad).empty().await;
        assert_eq!(reply.problem(421), "HOST_NOT_ALLOWED", "{bad}");
    }
    assert_eq!(world.get("/live").empty().await.problem(421), "HOST_NOT_ALLOWED");
}

#[tokio::test]
async fn a_panic_is_a_problem_that_says_nothing_of_the_inside() {
    let world = World::new().await;
    let reply = world.post("/_admin/rebuild").token("operator").json(&json!({ "name": "panic" })).await;
    assert_eq!(reply.problem(500), "INTERNAL");
    assert!(!reply.body.to_string().contains("secret of the inside"));
    world.get("/live").empty().await.ok(200);
}

#[tokio::test]
async fn requests_and_bodies_have_a_time_limit() {
    let limits = api::Limits {
        request_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(100),
        ..api::Limits::default()
    };
    let world = World::bare(Config { limits, ..Config::default() }).await;
    let reply = world.post("/_admin/rebuild").token("operator").json(&json!({ "name": "slow" })).await;
    assert_eq!(reply.problem(503), "TIMEOUT");
    assert!(reply.header("retry-after").is_some());
    let never = Body::from_stream(futures::stream::pending::<Result<&'static str, std::io::Error>>());
    let ask = world.post("/_admin/rebuild").token("operator").header("content-type", "application/json");
    assert_eq!(ask.raw(never).await.problem(408), "REQUEST_TIMEOUT");
}
