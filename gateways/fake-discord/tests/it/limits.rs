//! Rate limits with their headers and scopes, and faults to order.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::world::World;

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_bucket_counts_down_refuses_and_fills_again() {
    let world = World::start().await;
    world
        .must(
            Method::PUT,
            "/limits",
            json!({"buckets": {"GET /guilds/*/roles": {"limit": 2, "perMs": 2_000}}}),
        )
        .await;
    let path = format!("/guilds/{}/roles", world.guild);
    let ask = async || world.bot(Method::GET, &path).send().await.unwrap();
    for remaining in ["1", "0"] {
        let answer = ask().await;
        assert_eq!((answer.status().as_u16(), header(&answer, "x-ratelimit-remaining")), (200, remaining));
        assert_eq!(header(&answer, "x-ratelimit-limit"), "2");
        assert_eq!(header(&answer, "x-ratelimit-bucket").len(), 32);
        assert!(header(&answer, "x-ratelimit-reset").parse::<f64>().unwrap() > 1e9);
    }
    let refused = ask().await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "x-ratelimit-scope"), "user");
    let seconds: f64 = header(&refused, "retry-after").parse().unwrap();
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["global"], false);
    let wait = body["retry_after"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 2.0 && seconds == wait.ceil(), "{wait} {seconds}");
    // Another guild has a bucket of its own.
    let other = world.make("/guilds", json!({"name": "other"})).await;
    assert_eq!(world.get(&format!("/guilds/{other}/roles")).await.0, 200);
    tokio::time::sleep(Duration::from_secs_f64(wait)).await;
    assert_eq!(ask().await.status(), 200);
    let limits = world.must(Method::GET, "/limits", Value::Null).await;
    assert_eq!((&limits["tooMany"]["user"], &limits["invalidRequests"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn the_global_limit_spares_interactions() {
    let world = World::start().await;
    world.must(Method::PUT, "/limits", json!({"global": {"limit": 1, "perMs": 60_000}})).await;
    assert_eq!(world.get("/users/@me").await.0, 200);
    let refused = world.bot(Method::GET, "/gateway/bot").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(
        (header(&refused, "x-ratelimit-scope"), header(&refused, "x-ratelimit-global")),
        ("global", "true")
    );
    assert_eq!(refused.json::<Value>().await.unwrap()["global"], true);
    assert_eq!(
        world.api(Method::POST, "/interactions/1/t/callback", json!({"type": 5})).await.1["code"],
        10_062
    );
    world.must(Method::PUT, "/limits", json!({"enabled": false})).await;
    assert_eq!(world.get("/users/@me").await.0, 200);
}

#[tokio::test]
async fn a_shared_429_is_no_invalid_request() {
    let world = World::start().await;
    for (scope, invalid) in [("shared", 0), ("user", 1), ("global", 2)] {
        world.make_fault(json!({"route": "GET /users/@me", "retryAfter": 1.5, "scope": scope})).await;
        let refused = world.bot(Method::GET, "/users/@me").send().await.unwrap();
        assert_eq!((refused.status().as_u16(), header(&refused, "x-ratelimit-scope")), (429, scope));
        assert_eq!(header(&refused, "retry-after"), "2");
        assert_eq!(refused.json::<Value>().await.unwrap()["retry_after"], 1.5);
        let limits = world.must(Method::GET, "/limits", Value::Null).await;
        assert_eq!(limits["invalidRequests"], invalid, "{scope}");
        assert_eq!(limits["tooMany"][scope], 1);
    }
}

impl World {
    async fn make_fault(&self, fault: Value) {
        let (status, answer) = self.control(Method::POST, "/faults", fault).await;
        assert_eq!(status, 201, "{answer}");
    }
}

#[tokio::test]
async fn faults_answer_instead_as_often_as_ordered() {
    let world = World::start().await;
    world.make_fault(json!({"route": "GET /users", "status": 500, "times": 2})).await;
    world
        .make_fault(
            json!({"route": "GET /gateway", "status": 503, "body": {"message": "m", "code": 7}, "times": 0}),
        )
        .await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.get("/users/@me").await.0);
        assert_eq!(world.get("/gateway/bot").await, (503, json!({"message": "m", "code": 7})));
    }
    assert_eq!(statuses, [500, 500, 200]);
    world.must(Method::DELETE, "/faults", Value::Null).await;
    assert_eq!(world.get("/gateway/bot").await.0, 200);
    world.make_fault(json!({"delayMs": 150})).await;
    let start = Instant::now();
    assert_eq!(world.get("/users/@me").await.0, 200);
    assert!(start.elapsed() >= Duration::from_millis(150));
    for bad in [
        json!({}),
        json!({"status": 500, "drop": true}),
        json!({"status": 7}),
        json!({"route": "x", "status": 500}),
        json!({"status": 500, "colour": 1}),
    ] {
        assert_eq!(world.control(Method::POST, "/faults", bad.clone()).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_lost_answer_was_done_and_its_nonce_says_so() {
    let world = World::start().await;
    let channel = world.dm(&world.ada).await;
    let path = format!("/channels/{channel}/messages");
    let body = json!({"content": "key", "nonce": "n", "enforce_nonce": true});
    let send = || world.bot(Method::POST, &path).json(&body).send();
    world.make_fault(json!({"route": "POST /channels/*/messages", "dropBefore": true})).await;
    assert!(send().await.is_err());
    assert_eq!(world.inbox(&world.ada).await.len(), 0);
    world.make_fault(json!({"route": "POST /channels/*/messages", "drop": true})).await;
    assert!(send().await.is_err());
    let inbox = world.inbox(&world.ada).await;
    assert_eq!(inbox.len(), 1);
    let again: Value = send().await.unwrap().json().await.unwrap();
    assert_eq!(again["id"], inbox[0]["id"]);
    assert_eq!(world.inbox(&world.ada).await.len(), 1);
}
