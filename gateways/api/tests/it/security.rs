//! The headers that keep browsers strict: on every route, with every method, and on errors of every status.

use std::collections::BTreeSet;
use std::time::Duration;

use api::{Code, ForwardedBy, Hosts, Limits, Proxies, Rates};
use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use crate::world::{ADA, Config, Reply, World};

/// What every answer has.
const STRICT: [(&str, &str); 6] = [
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

#[track_caller]
fn is_strict(reply: &Reply, what: &str) {
    for (name, value) in STRICT {
        let all: Vec<_> = reply.headers.get_all(name).iter().collect();
        assert_eq!(all, [value], "{name} of {what}");
    }
    assert_eq!(reply.header("strict-transport-security"), None, "{what} did not come over TLS");
    let cors = reply.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(cors, None, "{what}");
    assert!(reply.header("x-request-id").is_some(), "{what}");
}

/// Every route but those of the page that shows the document, which has a policy of its own.
fn routes() -> BTreeSet<String> {
    let id = |part: &str| if part.starts_with('{') { "1".to_owned() } else { part.to_owned() };
    let address = |path: &str| path.split('/').map(id).collect::<Vec<_>>().join("/");
    let all = crate::matrix::routes();
    let is_page = |path: &str| path == "/openapi.json" || path.starts_with("/docs");
    all.iter().filter(|(_, path)| !is_page(path)).map(|(_, path)| address(path)).collect()
}

#[tokio::test]
async fn every_route_is_strict_with_every_method() {
    let rates = Rates { anonymous: None, ..Rates::default() };
    let world = World::with(Config { rates, ..Config::default() }).await;
    let routes = routes();
    assert!(
        routes.len() > 40 && routes.contains("/live") && routes.contains("/guilds/1/api-keys/1"),
        "{routes:?}"
    );
    for path in &routes {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let what = format!("{method} {path}");
            let method: Method = method.parse().unwrap();
            let ask = world.ask(method.clone(), path).header("origin", "https://evil.example");
            is_strict(&ask.empty().await, &what);
            // Past the credential, too.
            is_strict(&world.ask(method, path).token("operator").empty().await, &what);
        }
    }
}

#[tokio::test]
async fn errors_of_every_status_are_strict() {
    let limits = Limits {
        request_timeout: Duration::from_millis(500),
        body_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let hosts = Some(Hosts::of(["dca.example".to_owned()]));
    let world = World::bare(Config { limits, hosts, ..Config::default() }).await;
    let rates = Rates { anonymous: Some("1/24h".parse().unwrap()), ..Rates::default() };
    let furnished = World::with(Config { rates, ..Config::default() }).await;
    let (id, _) = furnished.license("pro").await;
    let ask = |method: Method, path: &str| world.ask(method, path).header("host", "dca.example");
    let rebuild = || ask(Method::POST, "/_admin/rebuild").token("operator");
    let json_type = ("content-type", "application/json");
    let never = Body::from_stream(futures::stream::pending::<Result<&'static str, std::io::Error>>());
    let replies = [
        ask(Method::GET, "/licenses?key=1").empty().await,
        ask(Method::GET, "/licenses").empty().await,
        ask(Method::GET, "/_admin/status").token(ADA).empty().await,
        ask(Method::GET, "/nothing").empty().await,
        ask(Method::DELETE, "/live").empty().await,
        rebuild().header(json_type.0, json_type.1).raw(never).await,
        ask(Method::POST, "/_admin/verify").token("operator").empty().await,
        rebuild().header(json_type.0, json_type.1).raw("x".repeat(70_000)).await,
        rebuild().header("content-type", "text/plain").raw("x").await,
        world.get("/live").empty().await,
        rebuild().json(&json!({ "name": "odd" })).await,
        rebuild().json(&json!({ "name": "panic" })).await,
        rebuild().json(&json!({ "name": "slow" })).await,
        furnished
            .post(&format!("/licenses/{id}/suspend"))
            .token("operator")
            .header("if-match", "\"9\"")
            .empty()
            .await,
        furnished.get("/licenses").empty().await,
        furnished.get("/licenses").empty().await,
    ];
    let mut seen = BTreeSet::new();
    for reply in &replies {
        reply.problem(reply.status.as_u16());
        is_strict(reply, &reply.body.to_string());
        seen.insert(reply.status.as_u16());
    }
    let all: BTreeSet<u16> = Code::ALL.iter().map(|code| code.status().as_u16()).collect();
    assert_eq!(seen, all, "a status without an error here");
}

#[tokio::test]
async fn hsts_is_told_to_those_whom_a_proxy_of_ours_serves_over_tls() {
    let proxies = |by| Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], by);
    let hsts = async |by, peer: &str, path: &str, header: (&str, &str)| {
        let world = World::bare(Config { proxies: proxies(by), ..Config::default() }).await;
        let reply = world.get(path).from(peer).header(header.0, header.1).empty().await;
        reply.header("strict-transport-security").map(str::to_owned)
    };
    let year = Some("max-age=31536000".to_owned());
    let (plain, standard) = (ForwardedBy::XForwardedFor, ForwardedBy::Forwarded);
    for path in ["/live", "/nothing", "/licenses", "/licenses?key=1"] {
        assert_eq!(hsts(plain, "10.0.0.1", path, ("x-forwarded-proto", "https")).await, year, "{path}");
    }
    assert_eq!(hsts(standard, "10.0.0.1", "/live", ("forwarded", "for=192.0.2.1;proto=https")).await, year);
    assert_eq!(hsts(plain, "10.0.0.1", "/live", ("x-forwarded-proto", "http")).await, None);
    assert_eq!(hsts(plain, "203.0.113.7", "/live", ("x-forwarded-proto", "https")).await, None);
    assert_eq!(hsts(plain, "10.0.0.1", "/live", ("forwarded", "for=192.0.2.1;proto=https")).await, None);
}
