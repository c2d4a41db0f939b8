//! The REST client against a scripted Discord. Order is judged by what the server saw.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request as Incoming;
use axum::http::{HeaderMap, Response};
use discord::egress::{Egress, EgressConfig, EgressError, Request};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
    after: Duration,
}

impl Reply {
    fn of(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body, after: Duration::ZERO }
    }

    fn ok() -> Self {
        Self::of(200, json!({"id": "1"}))
    }

    fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, format!("{value}")));
        self
    }

    fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    fn window(self, bucket: &str, limit: u32, left: u32, after: Duration) -> Self {
        self.with("x-ratelimit-bucket", bucket)
            .with("x-ratelimit-limit", limit)
            .with("x-ratelimit-remaining", left)
            .with("x-ratelimit-reset-after", format!("{:.3}", after.as_secs_f64()))
    }

    fn limited(after: f64, scope: &str) -> Self {
        Self::of(429, json!({"message": "limited", "retry_after": after, "global": scope == "global"}))
            .with("retry-after", after.ceil())
            .with("x-ratelimit-scope", scope)
    }
}

type Script = Arc<dyn Fn(&Seen, usize) -> Reply + Send + Sync>;

#[derive(Clone)]
struct Server {
    base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { base, seen: Arc::default() };
        let (seen, script): (_, Script) = (Arc::clone(&server.seen), Arc::new(script));
        let app =
            Router::new().fallback(move |incoming: Incoming| answer(incoming, seen.clone(), script.clone()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn config(&self) -> EgressConfig {
        let mut config = EgressConfig::new(&self.base, "t0ps3cret");
        config.backoff = Duration::from_millis(5);
        config
    }

    fn egress(&self) -> Egress {
        Egress::new(self.config()).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    async fn wait_for(&self, count: usize) {
        tokio::time::timeout(Duration::from_secs(10), async {
            while self.count() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .unwrap();
    }
}

async fn answer(incoming: Incoming, seen: Arc<Mutex<Vec<Seen>>>, script: Script) -> Response<Body> {
    let (parts, body) = incoming.into_parts();
    let this = Seen {
        at: Instant::now(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: axum::body::to_bytes(body, 1 << 20).await.unwrap(),
    };
    let reply = {
        let mut all = seen.lock().unwrap();
        all.push(this.clone());
        script(&this, all.len() - 1)
    };
    tokio::time::sleep(reply.after).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let text = if reply.body.is_null() { String::new() } else { reply.body.to_string() };
    response.body(Body::from(text)).unwrap()
}

/// A fixed-window bucket as Discord keeps it.
struct Bucket {
    name: &'static str,
    limit: u32,
    per: Duration,
    window: Mutex<Option<(Instant, u32)>>,
}

impl Bucket {
    fn new(name: &'static str, limit: u32, per: Duration) -> Self {
        Self { name, limit, per, window: Mutex::new(None) }
    }

    fn take(&self) -> Reply {
        let now = Instant::now();
        let mut window = self.window.lock().unwrap();
        let (end, used) = window.filter(|(end, _)| *end > now).unwrap_or((now + self.per, 0));
        let left = end - now;
        if used >= self.limit {
            return Reply::limited(left.as_secs_f64(), "user").window(self.name, self.limit, 0, left);
        }
        *window = Some((end, used + 1));
        Reply::ok().window(self.name, self.limit, self.limit - used - 1, left)
    }
}

fn message(channel: u64, n: usize) -> Request {
    Request::post(format!("/channels/{channel}/messages"), json!({"content": n}))
}

async fn all(egress: &Egress, requests: Vec<Request>) -> Vec<Result<Value, EgressError>> {
    futures::future::join_all(requests.into_iter().map(|request| egress.call(request))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_on_a_cold_route_are_twenty_requests_and_no_429() {
    let bucket = Bucket::new("b", 5, Duration::from_millis(400));
    let server = Server::start(move |_, _| bucket.take()).await;
    let egress = server.egress();
    let results = all(&egress, (0..20).map(|n| message(7, n)).collect()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(server.count(), 20);
    assert_eq!(egress.health().rate_limited, 0);
    assert_eq!(egress.health().by_status, [(200, 20)].into());
    // The first went alone, and the burst of each window kept the order of coming.
    let order: Vec<u64> = server
        .seen()
        .iter()
        .map(|s| serde_json::from_slice::<Value>(&s.body).unwrap()["content"].as_u64().unwrap())
        .collect();
    assert_eq!(order[0], 0);
    for (place, window) in [&order[1..5], &order[5..10], &order[10..15], &order[15..]].iter().enumerate() {
        let mut sorted = window.to_vec();
        sorted.sort_unstable();
        let first = [1, 5, 10, 15][place];
        assert_eq!(sorted, (first..first + sorted.len() as u64).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_route_has_one_request_on_the_wire_and_an_unlimited_one_then_all() {
    let server =
        Server::start(|_, at| Reply::ok().after(Duration::from_millis(if at == 0 { 200 } else { 0 }))).await;
    let egress = server.egress();
    let results = all(&egress, (0..10).map(|n| message(7, n)).collect()).await;
    assert!(results.iter().all(Result::is_ok));
    let seen = server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(180));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routes_of_one_bucket_share_its_limit_and_two_guilds_do_not() {
    let buckets: Mutex<HashMap<String, Arc<Bucket>>> = Mutex::default();
    let server = Server::start(move |seen, _| {
        let guild = seen.path.split('/').nth(4).unwrap_or_default().to_owned();
        let mut buckets = buckets.lock().unwrap();
        buckets
            .entry(guild)
            .or_insert_with(|| Arc::new(Bucket::new("shared", 4, Duration::from_millis(500))))
            .take()
    })
    .await;
    let egress = server.egress();
    // Both routes learn that they are one bucket.
    egress.call(Request::get("/guilds/1/roles")).await.unwrap();
    egress.call(Request::get("/guilds/1/channels")).await.unwrap();
    let mixed =
        (0..10).map(|n| Request::get(if n % 2 == 0 { "/guilds/1/roles" } else { "/guilds/1/channels" }));
    let other = (0..4).map(|_| Request::get("/guilds/2/roles"));
    let results = all(&egress, mixed.chain(other).collect()).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((server.count(), egress.health().rate_limited), (16, 0));
    let at =
        |guild: &str| server.seen().iter().filter(|s| s.path.contains(guild)).map(|s| s.at).max().unwrap();
    assert!(at("/guilds/2/") < at("/guilds/1/"), "the second guild did not wait for the first one's bucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_429_stops_every_route_for_its_time() {
    let server = Server::start(|seen, at| match (at, seen.path.ends_with("/1/roles")) {
        (0, _) => Reply::limited(0.6, "global").with("x-ratelimit-global", "true"),
        _ => Reply::ok(),
    })
    .await;
    let egress = server.egress();
    let first = tokio::spawn({
        let egress = egress.clone();
        async move { egress.call(Request::get("/guilds/1/roles")).await }
    });
    server.wait_for(1).await;
    // The answer is on its way; once it is in, nothing leaves.
    while egress.health().rate_limited == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    egress.call(Request::get("/guilds/2/roles")).await.unwrap();
    first.await.unwrap().unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().skip(1).all(|later| later.at - seen[0].at >= Duration::from_millis(590)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_is_waited_for_and_the_same_request_goes_first() {
    let server = Server::start(|_, at| match at {
        0 => Reply::limited(0.3, "user"),
        _ => Reply::ok().window("b", 100, 99, Duration::from_secs(1)),
    })
    .await;
    let egress = server.egress();
    let results = all(&egress, (0..5).map(|n| message(7, n)).collect()).await;
    assert!(results.iter().all(Result::is_ok));
    let seen = server.seen();
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[0].body, seen[1].body, "the limited request is the next one");
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(300));
    assert_eq!(egress.health().invalid_in_window, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_still_limited_after_its_tries_says_so() {
    let server = Server::start(|_, _| Reply::limited(0.02, "user")).await;
    let egress = server.egress();
    let result = egress.call(Request::get("/users/@me")).await;
    assert_eq!(result, Err(EgressError::RateLimited { retry_after: Duration::from_millis(20) }));
    assert_eq!(server.count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_beyond_the_patience_is_given_back_at_once_to_all_who_wait() {
    let server = Server::start(|_, _| Reply::limited(600.0, "user")).await;
    let egress = server.egress();
    let results = all(&egress, (0..5).map(|n| message(7, n)).collect()).await;
    assert!(
        results.iter().all(|result| matches!(result, Err(EgressError::RateLimited { .. }))),
        "{results:?}"
    );
    assert_eq!(server.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_limit_is_not_an_invalid_request() {
    let server = Server::start(|_, at| match at {
        0 => Reply::limited(0.01, "shared"),
        _ => Reply::ok(),
    })
    .await;
    let egress = server.egress();
    egress.call(Request::get("/guilds/1/roles")).await.unwrap();
    let health = egress.health();
    assert_eq!((health.rate_limited, health.invalid_in_window), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_halts_everything_after_one_request() {
    let fine = Arc::new(Mutex::new(false));
    let server = Server::start({
        let fine = Arc::clone(&fine);
        move |_, _| {
            let bad = Reply::of(401, json!({"message": "401: Unauthorized", "code": 0}));
            if *fine.lock().unwrap() { Reply::ok() } else { bad.after(Duration::from_millis(50)) }
        }
    })
    .await;
    let egress = server.egress();
    let results = all(&egress, (0..20).map(|n| message(7, n)).collect()).await;
    assert!(results.iter().all(|result| *result == Err(EgressError::Unauthorized)));
    assert_eq!(egress.call(Request::get("/users/@me")).await, Err(EgressError::Unauthorized));
    assert_eq!(server.count(), 1);
    assert_eq!(egress.health().halted, Some("unauthorized"));
    *fine.lock().unwrap() = true;
    egress.resume();
    egress.call(message(7, 1)).await.unwrap();
    assert_eq!(egress.health().halted, None);
}

#[tokio::test]
async fn a_webhook_token_that_is_none_halts_nobody() {
    let server = Server::start(|seen, _| match seen.path.contains("/webhooks/") {
        true => Reply::of(401, json!({"message": "Invalid Webhook Token", "code": 50027})),
        false => Reply::ok(),
    })
    .await;
    let egress = server.egress();
    let late = Request::patch("/webhooks/7/expired/messages/@original", json!({}));
    let answer = egress.call(late).await;
    assert!(matches!(answer, Err(EgressError::Discord { status: 401, code: 50_027, .. })), "{answer:?}");
    egress.call(message(7, 1)).await.unwrap();
    assert_eq!(egress.health().halted, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_at_its_number_and_closes_with_the_window() {
    let server = Server::start(|_, at| match at {
        0..3 => Reply::of(403, json!({"message": "Missing Access", "code": 50001})),
        _ => Reply::ok(),
    })
    .await;
    let mut config = server.config();
    (config.invalid_max, config.invalid_window) = (3, Duration::from_millis(600));
    let egress = Egress::new(config).unwrap();
    let refused = EgressError::Discord { status: 403, code: 50001, message: "Missing Access".into() };
    for n in 0..3 {
        assert_eq!(egress.call(message(7, n)).await, Err(refused.clone()));
    }
    let results = all(&egress, (3..8).map(|n| message(7, n)).collect()).await;
    let until = results.iter().map(|result| match result {
        Err(EgressError::Breaker { until }) => *until,
        other => panic!("the breaker is open, and yet {other:?}"),
    });
    let until = until.max();
    assert_eq!(server.count(), 3);
    assert_eq!(egress.health().halted, Some("breaker"));
    tokio::time::sleep_until(until.unwrap().into()).await;
    egress.call(message(7, 9)).await.unwrap();
    assert_eq!(server.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_5xx_is_repeated_only_for_what_may_be_repeated() {
    let server = Server::start(|_, at| match at {
        0 | 1 | 3 => Reply::of(503, Value::Null),
        _ => Reply::ok(),
    })
    .await;
    let egress = server.egress();
    egress.call(Request::get("/users/@me")).await.unwrap();
    assert_eq!(server.count(), 3);
    let result = egress.call(message(7, 1)).await;
    assert_eq!(result, Err(EgressError::Unavailable("Discord answered 503".into())));
    assert_eq!(server.count(), 4);
    assert_eq!(egress.health().last_error.as_deref(), Some("Discord answered 503"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_repeated_only_for_what_may_be_repeated() {
    let server = Server::start(|_, at| match at {
        0 | 1 => Reply::ok().after(Duration::from_secs(60)),
        _ => Reply::ok(),
    })
    .await;
    let mut config = server.config();
    config.timeout = Duration::from_millis(300);
    let egress = Egress::new(config).unwrap();
    assert!(matches!(egress.call(message(7, 1)).await, Err(EgressError::Unavailable(_))));
    assert_eq!(server.count(), 1);
    egress.call(message(7, 2).repeatable()).await.unwrap();
    assert_eq!(server.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_discord_is_tried_again_even_for_a_post() {
    // A port that was free a moment ago.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut config = EgressConfig::new(format!("http://127.0.0.1:{port}"), "t0ps3cret");
    (config.backoff, config.tries) = (Duration::from_millis(5), 3);
    let egress = Egress::new(config).unwrap();
    let Err(EgressError::Unavailable(what)) = egress.call(message(7, 1)).await else { panic!("it answered") };
    assert!(!what.contains("channels") && !what.contains("t0ps3cret"), "{what}");
    assert_eq!(egress.health().requests, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_wait_than_may_and_who_leaves_makes_room() {
    let server =
        Server::start(|_, at| Reply::ok().after(Duration::from_millis(if at == 0 { 500 } else { 0 }))).await;
    let mut config = server.config();
    config.waiting_max = 2;
    let egress = Egress::new(config).unwrap();
    let spawn = |n| {
        let egress = egress.clone();
        tokio::spawn(async move { egress.call(message(7, n)).await })
    };
    let first = spawn(0);
    server.wait_for(1).await;
    let (second, third) = (spawn(1), spawn(2));
    while egress.health().waiting < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(egress.call(message(7, 3)).await, Err(EgressError::Full));
    third.abort();
    let _ = third.await;
    let fourth = spawn(4);
    for task in [first, second, fourth] {
        task.await.unwrap().unwrap();
    }
    assert_eq!(server.count(), 3);
    assert_eq!(egress.health().waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_while_its_request_is_out_blocks_nobody() {
    let server =
        Server::start(|_, at| Reply::ok().after(Duration::from_secs(if at == 0 { 60 } else { 0 }))).await;
    let egress = server.egress();
    let gone = tokio::spawn({
        let egress = egress.clone();
        async move { egress.call(message(7, 0)).await }
    });
    server.wait_for(1).await;
    gone.abort();
    tokio::time::timeout(Duration::from_secs(5), egress.call(message(7, 1))).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_every_waiter_go() {
    let server = Server::start(|_, _| Reply::ok().after(Duration::from_millis(300))).await;
    let egress = server.egress();
    let calls: Vec<_> = (0..4)
        .map(|n| {
            let egress = egress.clone();
            tokio::spawn(async move { egress.call(message(7, n)).await })
        })
        .collect();
    server.wait_for(1).await;
    while egress.health().waiting < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    egress.stop();
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap());
    }
    assert_eq!(results.iter().filter(|result| **result == Err(EgressError::Stopped)).count(), 3);
    assert_eq!(server.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_the_wire_is_what_discord_asks_for() {
    let server = Server::start(|_, _| Reply::of(204, Value::Null)).await;
    let egress = server.egress();
    let request = Request::put("/guilds/1/members/2/roles/3").reason("Lizenz für Ada, 50 %\n");
    assert_eq!(egress.call(request).await, Ok(Value::Null));
    egress.call(Request::get("/guilds/1/members").query("limit=1000&after=0")).await.unwrap();
    let seen = server.seen();
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("PUT", "/api/v10/guilds/1/members/2/roles/3")
    );
    assert_eq!(seen[0].headers["authorization"], "Bot t0ps3cret");
    assert_eq!(seen[0].headers["x-audit-log-reason"], "Lizenz%20f%C3%BCr%20Ada%2C%2050%20%25%0A");
    assert_eq!(seen[0].headers["content-length"], "0");
    assert!(seen[0].headers["user-agent"].to_str().unwrap().starts_with("DiscordBot ("));
    assert_eq!(seen[1].query, "limit=1000&after=0");
    let shown = format!("{egress:?} {:?} {:?}", server.config(), egress.health());
    assert!(!shown.contains("t0ps3cret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_redirects_and_unreadable_answers_are_told_apart() {
    let server = Server::start(|seen, _| match seen.path.rsplit('/').next().unwrap_or_default() {
        "404" => Reply::of(404, json!({"message": "Unknown Member", "code": 10007})),
        "302" => Reply::of(302, Value::Null).with("location", "https://elsewhere.example/"),
        _ => Reply::of(200, json!("a text")),
    })
    .await;
    let egress = server.egress();
    let unknown = EgressError::Discord { status: 404, code: 10007, message: "Unknown Member".into() };
    assert_eq!(egress.call(Request::get("/guilds/1/members/404")).await, Err(unknown));
    let elsewhere = egress.call(Request::get("/302")).await;
    assert_eq!(elsewhere, Err(EgressError::Unavailable("Discord answered 302".into())));
    let read = egress.call_as::<Vec<u64>>(Request::get("/200")).await;
    assert!(matches!(read, Err(EgressError::Unreadable(_))));
    for path in ["no-slash", "/a?b", "/a/../b", "/a b", "/ä"] {
        assert!(matches!(egress.call(Request::get(path)).await, Err(EgressError::Unreadable(_))), "{path}");
    }
    assert_eq!(server.count(), 3);
}
