//! A small world for tests: one guild with types and keys, a clock that tests move, and a client that sends
//! requests through the router.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::Framed;
use api::operator::{Component, Condition, InteractionError, Operator, OperatorError};
use api::{
    ApiState, Code, Hosts, KeyWish, Limits, Mode, Parts, Peer, Proxies, Rates, ToPeer, TokenKeys, mint,
};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use commands::ring::{KeyRing, Random, os_random};
use commands::seal::Vault;
use commands::store::{AppendLimits, EngineConfig, Pools, Store, StoreConfig};
use commands::{Commands, Context};
use domain::id::{DiscordId, GuildId, RoleId};
use domain::time::{Span, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::{Bus, Db, Floors, Projector, Queries};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use crate::conform;

pub(crate) const GUILD: GuildId = GuildId(1001);
pub(crate) const OTHER_GUILD: GuildId = GuildId(2002);
/// Owns both guilds on Discord.
pub(crate) const GRACE: &str = "501";
/// Nobody in particular.
pub(crate) const ADA: &str = "502";
pub(crate) const BOB: &str = "503";
/// A role with ADMINISTRATOR.
pub(crate) const ADMIN_ROLE: RoleId = RoleId(77);

/// How a world differs from the usual one.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) limits: Limits,
    pub(crate) hosts: Option<Hosts>,
    pub(crate) rates: Rates,
    pub(crate) proxies: Proxies,
    pub(crate) live: bool,
    /// No read model ever moves.
    pub(crate) stalled: bool,
    /// The key ring is the same each time, and so are keys and tokens.
    pub(crate) seeded: bool,
}

pub(crate) struct World {
    pub(crate) router: Framed,
    pub(crate) state: ApiState,
    pub(crate) commands: Commands,
    pub(crate) queries: Queries,
    tokens: TokenKeys,
    offset: Arc<AtomicI64>,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The code of a problem, which must be one in every member.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.body["status"], status);
        let code = self.body["code"].as_str().unwrap();
        assert_eq!(self.body["type"], format!("/docs/errors#{code}"));
        assert_eq!(self.body["requestId"].as_str(), self.header("x-request-id"));
        assert!(self.body["title"].is_string() && !self.body["detail"].as_str().unwrap().is_empty());
        code
    }

    #[track_caller]
    pub(crate) fn pointer(&self) -> &str {
        self.body["errors"][0]["pointer"].as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }
}

/// A request in the making.
pub(crate) struct Ask<'w> {
    world: &'w World,
    request: axum::http::request::Builder,
    peer: Option<IpAddr>,
}

impl Ask<'_> {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    /// Over a connection from this address.
    pub(crate) fn from(self, peer: &str) -> Self {
        Self { peer: Some(peer.parse().unwrap()), ..self }
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    /// As a person, or as `operator`.
    pub(crate) fn token(self, subject: &str) -> Self {
        let token = self.world.token(subject);
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) async fn json(self, body: &Value) -> Reply {
        self.header("content-type", "application/json").raw(body.to_string()).await
    }

    pub(crate) async fn empty(self) -> Reply {
        self.raw("").await
    }

    pub(crate) async fn raw(self, body: impl Into<Body>) -> Reply {
        let request = self.request.body(body.into()).unwrap();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let router = self.peer.map_or_else(
            || self.world.router.clone(),
            |address| self.world.router.to_peer(Peer { address, is_tls: false }),
        );
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 26).await.unwrap();
        let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = ["application/json", "application/problem+json"].contains(&kind);
        let body = match &bytes[..] {
            [] => Value::Null,
            other if !is_json => Value::String(String::from_utf8_lossy(other).into_owned()),
            body => serde_json::from_slice(body).unwrap(),
        };
        let reply = Reply { status: parts.status, headers: parts.headers, body, bytes };
        conform::check(&method, &path, &reply);
        reply
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let world = Self::bare(config).await;
        world.furnish().await;
        world
    }

    /// A world without guilds.
    pub(crate) async fn bare(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offset = Arc::new(AtomicI64::new(0));
        let engine = EngineConfig::Sqlite { path: folder.path().join("test.db"), readers: 2 };
        let store = Store::open(StoreConfig {
            engine,
            epoch: "00112233445566aa".to_owned(),
            clock_offset_ms: offset.clone(),
            limits: AppendLimits::default(),
        });
        let clock: api::Clock = Arc::new({
            let offset = offset.clone();
            move || now(&offset)
        });
        let mut seed = 0_u8;
        let mut seeded = |bytes: &mut [u8]| {
            seed += 1;
            bytes.fill(seed);
            Ok(())
        };
        let random: Random<'_> = if config.seeded { &mut seeded } else { &mut os_random };
        let ring = Arc::new(KeyRing::generate(clock(), random).unwrap());
        let tokens = TokenKeys::of(&ring, "https://auth.example").unwrap();
        let (commands, queries) = halves(store.await.unwrap(), ring, clock.clone()).await;
        let shutdown = CancellationToken::new();
        if !config.stalled {
            tokio::spawn(Projector::new(&queries).run(shutdown.clone()));
        }
        let following = (queries.clone(), shutdown.clone());
        tokio::spawn(async move { following.0.follow(following.1).await });
        let state = ApiState::new(Parts {
            commands: commands.clone(),
            queries: queries.clone(),
            clock,
            tokens: tokens.clone(),
            identity: None,
            public_url: "https://auth.example".to_owned(),
            sessions: api::SessionRules::default(),
            operator: Arc::new(Host { offset: offset.clone() }),
            mode: if config.live { Mode::Live } else { Mode::Demo },
            hosts: config.hosts,
            limits: config.limits,
            rates: config.rates,
            proxies: config.proxies,
        });
        let router = api::router(state.clone());
        Self { router, state, commands, queries, tokens, offset, shutdown, _folder: folder }
    }

    /// Two guilds of Grace's, each with the types `pro` (2 devices, device required) and `team` (ends after 30 days).
    async fn furnish(&self) {
        for guild in [GUILD, OTHER_GUILD] {
            let owner: DiscordId = GRACE.parse().unwrap();
            let roles = BTreeSet::from([ADMIN_ROLE]);
            self.commands
                .register_guild(&self.context(), guild, "Test".to_owned(), owner, roles)
                .await
                .unwrap();
            for (slug, terms) in [
                ("pro", json!({ "maxDevices": 2, "deviceResetCooldown": "PT1H" })),
                ("team", json!({ "duration": "P30D", "expiryGrace": "P3D", "transferable": true })),
            ] {
                let body = json!({ "slug": slug, "name": slug.to_uppercase(), "terms": terms });
                let path = format!("/guilds/{guild}/license-types");
                self.post(&path).token("operator").json(&body).await.ok(201);
            }
        }
    }

    pub(crate) fn context(&self) -> Context {
        Context::job("test", Uuid::new_v4(), self.now())
    }

    pub(crate) fn now(&self) -> Timestamp {
        now(&self.offset)
    }

    pub(crate) fn advance(&self, span: Span) {
        self.offset.fetch_add(span.ms(), Ordering::Relaxed);
    }

    pub(crate) fn token(&self, subject: &str) -> String {
        mint(&self.tokens, subject, self.now())
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        Ask { world: self, request: Request::builder().method(method).uri(path), peer: None }
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask<'_> {
        self.ask(Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Ask<'_> {
        self.ask(Method::PATCH, path)
    }

    pub(crate) fn put(&self, path: &str) -> Ask<'_> {
        self.ask(Method::PUT, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Ask<'_> {
        self.ask(Method::DELETE, path)
    }

    /// A new API key of a guild.
    pub(crate) async fn api_key(&self, guild: GuildId, request: Value) -> String {
        let path = format!("/guilds/{guild}/api-keys");
        let body = self.post(&path).token("operator").json(&request).await.ok(201);
        body["key"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn publishable(&self) -> String {
        self.api_key(GUILD, json!({ "kind": "publishable" })).await
    }

    /// A secret key with every scope that the endpoints here ask for.
    pub(crate) async fn secret(&self) -> String {
        let scopes = [
            "validate",
            "activate",
            "heartbeat",
            "deactivate",
            "certificate",
            "licenses:read",
            "licenses:write",
            "licenses:revoke",
        ];
        self.api_key(GUILD, json!({ "kind": "secret", "scopes": scopes })).await
    }

    /// New licenses: id and key of each.
    pub(crate) async fn licenses(&self, request: Value) -> Vec<(String, String)> {
        let body = self.post("/admin/licenses/generate").token("operator").json(&request).await.ok(201);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        body["data"].as_array().unwrap().iter().map(|row| (text(&row["id"]), text(&row["key"]))).collect()
    }

    /// One new license of a type.
    pub(crate) async fn license(&self, license_type: &str) -> (String, String) {
        let request = json!({ "guildId": GUILD.to_string(), "type": license_type, "count": 1 });
        self.licenses(request).await.remove(0)
    }

    /// One new license of a type with an owner.
    pub(crate) async fn license_of(&self, license_type: &str, owner: &str) -> (String, String) {
        let request =
            json!({ "guildId": GUILD.to_string(), "type": license_type, "count": 1, "assignTo": owner });
        self.licenses(request).await.remove(0)
    }

    /// Gives somebody roles on Discord.
    pub(crate) async fn observe(&self, user: &str, roles: &[RoleId]) -> Value {
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        let body = json!({ "guildId": GUILD.to_string(), "userId": user, "roles": roles });
        self.post("/_demo/members/observe").token("operator").json(&body).await.ok(200)
    }

    /// Waits until the read models show everything that was written.
    pub(crate) async fn settled(&self) {
        let head = self.queries.current_head().await.unwrap();
        self.queries.wait_for(head, Duration::from_secs(10)).await.unwrap();
    }
}

/// Both doors over one store.
async fn halves(store: Store, ring: Arc<KeyRing>, clock: api::Clock) -> (Commands, Queries) {
    let vault = Arc::new(Vault::new(Arc::new(store.clone()), ring.clone(), clock, 1_000));
    let bus = Bus::memory();
    let floors = Arc::new(Floors::new(bus.clone()));
    let db = match store.pools() {
        Pools::Sqlite { read, write } => Db::Sqlite { read, write },
        Pools::Memory | Pools::Postgres(_) => unreachable!("the store of this world is SQLite"),
    };
    let queries = Queries::new(projections::Parts {
        db,
        replica: None,
        epoch: store.epoch().await.unwrap(),
        mac: ring.clone(),
        vault: vault.clone(),
        floors: floors.clone(),
        bus,
        redis: None,
        config: projections::Config::default(),
    });
    queries.prepare().await.unwrap();
    (Commands::new(commands::Parts { store, ring, vault, floor: floors, simulated: true }), queries)
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn now(offset: &AtomicI64) -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap() + offset.load(Ordering::Relaxed))
}

/// Stands in for the server.
struct Host {
    offset: Arc<AtomicI64>,
}

impl Operator for Host {
    fn is_ready(&self) -> bool {
        true
    }

    fn health(&self) -> BoxFuture<'_, Vec<Component>> {
        let component = |name: &str, status| Component {
            name: name.to_owned(),
            status,
            latency_ms: Some(0.5),
            lag_events: None,
            detail: None,
        };
        async move { vec![component("store", Condition::Ok), component("discord", Condition::Degraded)] }
            .boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<Value, OperatorError>> {
        async { Ok(json!({ "url": "http://127.0.0.1:1" })) }.boxed()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Value, OperatorError>> {
        async { Err(OperatorError::Busy("A verification is running already.".to_owned())) }.boxed()
    }

    fn rebuild<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Value, OperatorError>> {
        async move {
            match name {
                "license_view" => Ok(json!({ "name": name })),
                "panic" => panic!("a secret of the inside"),
                "slow" => {
                    futures::future::pending::<()>().await;
                    Ok(Value::Null)
                }
                _ => Err(OperatorError::Invalid { member: "name", detail: "is no read model".to_owned() }),
            }
        }
        .boxed()
    }

    fn advance_clock(&self, by: Span) -> BoxFuture<'_, Result<Timestamp, OperatorError>> {
        self.offset.fetch_add(by.ms(), Ordering::Relaxed);
        let instant = now(&self.offset);
        async move { Ok(instant) }.boxed()
    }

    fn run_job<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Value, OperatorError>> {
        async move { Ok(json!({ "job": name })) }.boxed()
    }

    fn keys(&self, wish: KeyWish) -> BoxFuture<'_, Result<Value, OperatorError>> {
        async move {
            match wish {
                KeyWish::List => Ok(json!({ "data": [] })),
                KeyWish::Add { kind } => Ok(json!({ "id": format!("{kind}-1") })),
                KeyWish::Rotate { .. } | KeyWish::Activate { .. } => Err(OperatorError::Refused {
                    code: Code::SecretNotKnown,
                    detail: "The other process does not know it.".to_owned(),
                }),
                KeyWish::Retire { id, dry_run } => Ok(json!({ "id": id, "dryRun": dry_run })),
            }
        }
        .boxed()
    }

    fn resume_discord(&self) -> BoxFuture<'_, Result<Value, OperatorError>> {
        async { Err(OperatorError::Unavailable("There is no bot here.".to_owned())) }.boxed()
    }

    fn interaction<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a [u8],
    ) -> BoxFuture<'a, Result<Value, InteractionError>> {
        async { Err(InteractionError::Unsigned("This is not signed by Discord.".to_owned())) }.boxed()
    }

    fn check_simulates(&self) -> Result<(), OperatorError> {
        Ok(())
    }

    fn simulate_member(&self, _: GuildId, _: DiscordId, _: Option<Vec<RoleId>>) {}
}
