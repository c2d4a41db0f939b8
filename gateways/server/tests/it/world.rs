//! A deployment for one test: the built binary on a temporary folder and a free port, on SQLite or on a database of
//! its own in a private PostgreSQL. It is asked over HTTP and by its own command line only.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::leaks;
use crate::nats::Nats;
use crate::redis::Redis;

#[path = "../../../../commands/tests/it/engines.rs"]
mod engines;

/// How long a server may take to be ready, under the load of all tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which engine a world stands on.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    Sqlite,
    /// The address of a database of its own.
    Postgres(String),
    /// The same with a nats-server of its own.
    PostgresNats(String, Arc<Nats>),
    /// The same with a Redis of its own.
    PostgresNatsRedis(String, Arc<Nats>, Arc<Redis>),
    /// The same with two instances of the API over live data, which are asked in turn.
    TwoInstances(String, Arc<Nats>, Arc<Redis>),
}

impl Engine {
    /// A new database in the private server.
    pub(crate) async fn postgres() -> Self {
        Self::Postgres(engines::fresh_database().await)
    }

    /// The same with a nats-server of its own.
    pub(crate) async fn postgres_nats() -> Self {
        Self::PostgresNats(engines::fresh_database().await, Arc::new(Nats::start().await))
    }

    /// The same with a Redis of its own.
    pub(crate) async fn postgres_nats_redis() -> Self {
        let (nats, redis) = (Arc::new(Nats::start().await), Arc::new(Redis::start().await));
        Self::PostgresNatsRedis(engines::fresh_database().await, nats, redis)
    }

    /// The same with two instances of the API.
    pub(crate) async fn two_instances() -> Self {
        let (nats, redis) = (Arc::new(Nats::start().await), Arc::new(Redis::start().await));
        Self::TwoInstances(engines::fresh_database().await, nats, redis)
    }

    /// The database server's address, if there is one.
    pub(crate) fn database_url(&self) -> Option<&str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(url)
            | Self::PostgresNats(url, _)
            | Self::PostgresNatsRedis(url, _, _)
            | Self::TwoInstances(url, _, _) => Some(url),
        }
    }

    pub(crate) fn nats(&self) -> Option<&Nats> {
        match self {
            Self::Sqlite | Self::Postgres(_) => None,
            Self::PostgresNats(_, nats)
            | Self::PostgresNatsRedis(_, nats, _)
            | Self::TwoInstances(_, nats, _) => Some(nats),
        }
    }

    pub(crate) fn redis(&self) -> Option<&Redis> {
        match self {
            Self::Sqlite | Self::Postgres(_) | Self::PostgresNats(..) => None,
            Self::PostgresNatsRedis(_, _, redis) | Self::TwoInstances(_, _, redis) => Some(redis),
        }
    }
}

/// One deployment.
pub(crate) struct World {
    root: TempDir,
    engine: Engine,
    environment: Vec<(String, String)>,
    server: Option<Server>,
    /// A second instance of the API, and whose turn it is.
    second: Option<Box<World>>,
    turn: AtomicUsize,
    /// What the last answers were true at, which every request waits for, as a client does that talks to two instances.
    position: Mutex<Option<(i64, String)>>,
    http: reqwest::Client,
    token: Option<String>,
    mode: &'static str,
    pub(crate) facts: Facts,
}

struct Server {
    child: Child,
    url: String,
}

/// What `status` says about the demo.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) guild: String,
    pub(crate) ada: String,
    pub(crate) grace: String,
    pub(crate) pro: String,
    pub(crate) team: String,
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// The problem's code.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl World {
    /// A demo that is served and ready.
    pub(crate) async fn demo(engine: Engine) -> Self {
        Self::demo_with(engine, &[]).await
    }

    /// The same with configuration variables.
    pub(crate) async fn demo_with(engine: Engine, variables: &[(&str, &str)]) -> Self {
        let mut world = Self::empty(engine);
        for (name, value) in variables {
            world.set(name, value);
        }
        world.serve().await;
        let status = world.cli(&["status"]).await;
        let demo = &status["demo"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        world.facts = Facts {
            guild: text(&demo["guildId"]),
            ada: text(&demo["members"]["ada"]),
            grace: text(&demo["members"]["grace"]),
            pro: text(&demo["roles"]["Pro"]),
            team: text(&demo["roles"]["Team"]),
        };
        world
    }

    /// Nothing yet.
    pub(crate) fn empty(engine: Engine) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let root = TempDir::new().unwrap();
        Self {
            root,
            engine,
            environment: Vec::new(),
            server: None,
            second: None,
            turn: AtomicUsize::new(0),
            position: Mutex::default(),
            http,
            token: None,
            mode: "demo",
            facts: Facts::default(),
        }
    }

    /// Takes this certificate for its server's from now on, and no other one.
    pub(crate) fn trust(&mut self, certificate: &str) {
        self.http = crate::tls::trusting(certificate).build().unwrap();
    }

    /// Sets a variable for every process of this world from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The data folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// What the server wrote into its log so far, over all its lives; and the second instance into its own.
    pub(crate) fn log(&self) -> String {
        let own = std::fs::read_to_string(self.root.path().join("stderr.log")).unwrap_or_default();
        own + &self.second.as_ref().map(|second| second.log()).unwrap_or_default()
    }

    /// What the server printed so far.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.root.path().join("stdout.log")).unwrap_or_default()
    }

    /// The PostgreSQL that this world stands on.
    pub(crate) fn database_url(&self) -> Option<&str> {
        self.engine.database_url()
    }

    /// The program, with nothing of this process's configuration.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dca-auth"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("DCA_") || name.ends_with("_URL") {
                command.env_remove(name);
            }
        }
        if let Some(url) = self.engine.database_url() {
            command.env("DATABASE_URL", url);
        }
        if let Some(nats) = self.engine.nats() {
            command.env("NATS_URL", nats.url());
        }
        if let Some(redis) = self.engine.redis() {
            command.env("REDIS_URL", redis.url());
        }
        // All clients of these tests have one address, and ask without a pause; `limits.rs` sets limits of its own.
        for limit in ["VALIDATE", "READ", "WRITE", "BULK"] {
            command.env(format!("DCA_LIMITS_{limit}"), "off");
        }
        command.envs(self.environment.clone());
        // Tests run side by side, so none takes the default port.
        command.env("DCA_LISTEN", "127.0.0.1:0");
        command.current_dir(self.root.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// From now on this world holds live data.
    pub(crate) fn live(&mut self) {
        self.mode = "live";
    }

    /// Serves in this world's mode; returns when it is ready.
    pub(crate) async fn serve(&mut self) {
        self.serve_with(&["serve", "--mode", self.mode, "--listen", "127.0.0.1:0"]).await;
        if let (Engine::TwoInstances(url, nats, redis), None) = (&self.engine, &self.second) {
            let engine = Engine::PostgresNatsRedis(url.clone(), Arc::clone(nats), Arc::clone(redis));
            let mut second = Self::empty(engine);
            second.mode = self.mode;
            second.environment = self.environment.clone();
            second.set("DCA_ROLE", "api");
            if !self.environment.iter().any(|(name, _)| name == "DCA_KEYS_FILE") {
                let ring = self.data_dir().join(self.mode).join("keys").join("ring.json");
                second.set("DCA_KEYS_FILE", ring.to_str().unwrap());
            }
            Box::pin(second.serve()).await;
            self.second = Some(Box::new(second));
        }
    }

    /// The next request goes to the first instance, in which the bot is; it then knows what was written before.
    pub(crate) fn turn_of_the_first(&self) {
        self.turn.store(0, Ordering::Relaxed);
    }

    /// Where a request goes: the first instance, or each in turn. What is about one process goes to the first one.
    fn instance(&self, path: &str) -> &Self {
        let of_the_process =
            ["/_admin", "/_demo", "/health", "/ready", "/discord"].iter().any(|own| path.starts_with(own));
        match &self.second {
            Some(second) if !of_the_process && self.turn.fetch_add(1, Ordering::Relaxed) % 2 == 1 => second,
            _ => self,
        }
    }

    /// Serves with these arguments; returns when it is ready.
    pub(crate) async fn serve_with(&mut self, arguments: &[&str]) {
        assert!(self.server.is_none(), "it is served already");
        let append = |name: &str| {
            let path = self.root.path().join(name);
            Stdio::from(std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap())
        };
        let mut command = self.program();
        command.args(arguments).arg("--data-dir").arg(self.data_dir());
        let mut child = command.stdout(append("stdout.log")).stderr(append("stderr.log")).spawn().unwrap();
        let begin = Instant::now();
        loop {
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("the server ended with {ended}:\n{}", self.log());
            }
            if let Some(url) = self.announced(child.id().unwrap())
                && self
                    .http
                    .get(format!("{url}/ready"))
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status() == 200)
            {
                self.server = Some(Server { child, url });
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "the server is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The address that the server of this process id announced.
    fn announced(&self, pid: u32) -> Option<String> {
        ["demo", "live"].iter().find_map(|mode| {
            let text = std::fs::read_to_string(self.data_dir().join(mode).join("run.json")).ok()?;
            let run: Value = serde_json::from_str(&text).ok()?;
            (run["pid"] == pid).then(|| run["url"].as_str().map(str::to_owned))?
        })
    }

    /// The server's address.
    pub(crate) fn url(&self) -> &str {
        &self.server.as_ref().expect("a server runs").url
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.server.as_ref().expect("a server runs").child.id().unwrap()
    }

    /// Ends the server as a power failure would.
    pub(crate) async fn kill(&mut self) {
        let mut server = self.server.take().expect("a server runs");
        server.child.kill().await.unwrap();
    }

    /// Asks the server to stop, and gives its exit code.
    pub(crate) async fn stop(&mut self) -> i32 {
        self.terminate().await;
        self.ended().await
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    }

    /// Waits for the server's end, and gives its exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        let mut server = self.server.take().expect("a server runs");
        let ended = tokio::time::timeout(PATIENCE, server.child.wait()).await.expect("it stops").unwrap();
        ended.code().expect("it was not killed")
    }

    /// Kills the server and serves again.
    pub(crate) async fn crash(&mut self) {
        self.kill().await;
        self.serve().await;
    }

    /// Runs a command of the program; what it printed and how it ended.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.program();
        command.args(arguments).arg("--data-dir").arg(self.data_dir());
        command.output().await.unwrap()
    }

    /// Runs a command with `--json`; its answer.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat()).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?} ended with {}:\n{out}\n{err}", output.status);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?} printed no JSON ({e}):\n{out}"))
    }

    /// Moves the demo's clock.
    pub(crate) async fn advance(&mut self, duration: &str) {
        let moved = self.cli(&["clock", "advance", duration]).await;
        self.clock_stands_at(moved["now"].as_str().unwrap()).await;
        self.token = None;
    }

    /// Waits until the second instance, too, knows how far the demo's clock was moved.
    pub(crate) async fn clock_stands_at(&self, instant: &str) {
        let Some(second) = &self.second else { return };
        let begin = Instant::now();
        while *second.ask("GET", "/_demo/clock", &[], Value::Null).await.expect(200)["now"].as_str().unwrap()
            < *instant
        {
            assert!(begin.elapsed() < PATIENCE, "the second instance does not follow the clock");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A token of the platform owner that works now.
    pub(crate) async fn token(&mut self) -> String {
        if self.token.is_none() {
            let answer = self.cli(&["admin", "token"]).await;
            self.token = Some(answer["accessToken"].as_str().unwrap().to_owned());
        }
        self.token.clone().unwrap()
    }

    /// A new API key of the demo's guild.
    pub(crate) async fn api_key(&self, kind: &str, scopes: Option<&str>) -> String {
        let mut arguments = vec!["apikey", "issue", "--guild", &self.facts.guild, "--kind", kind];
        if let Some(scopes) = scopes {
            arguments.extend(["--scopes", scopes]);
        }
        self.cli(&arguments).await["key"].as_str().unwrap().to_owned()
    }

    /// One request as the platform owner.
    pub(crate) async fn owner(&mut self, method: &str, path: &str, body: Value) -> Answer {
        let token = self.token().await;
        self.ask(method, path, &[("Authorization", &format!("Bearer {token}"))], body).await
    }

    /// One request with an API key.
    pub(crate) async fn with_key(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        self.ask(method, path, &[("X-API-Key", key)], body).await
    }

    /// One request. A body of `null` is none.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        self.try_ask(method, path, headers, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// One request, which may find nobody who answers.
    pub(crate) async fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let (status, text) = self.send(request).await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    /// A request to whoever's turn it is, which waits for what the last answers were true at.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.instance(path).url()));
        match &*self.position.lock().unwrap() {
            Some((_, position)) if self.second.is_some() => request.header("DCA-Min-Position", position),
            _ => request,
        }
    }

    /// Sends it; status and body.
    pub(crate) async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(u16, String), reqwest::Error> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        if let Some(position) = response.headers().get("DCA-Position") {
            let text = position.to_str().unwrap().to_owned();
            let number = text.rsplit('.').next().unwrap().parse::<i64>().unwrap();
            let mut known = self.position.lock().unwrap();
            if known.as_ref().is_none_or(|(highest, _)| number > *highest) {
                *known = Some((number, text));
            }
        }
        Ok((status, response.text().await?))
    }

    /// New licenses of the demo's guild: id and key of each.
    pub(crate) async fn generate(&mut self, license_type: &str, count: u32) -> Vec<(String, String)> {
        let body = json!({ "guildId": self.facts.guild, "type": license_type, "count": count });
        let answer = self.owner("POST", "/admin/licenses/generate", body).await.expect(201);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        answer["data"].as_array().unwrap().iter().map(|one| (text(&one["id"]), text(&one["key"]))).collect()
    }

    /// Checks the log and the read models.
    pub(crate) async fn verify(&self) {
        let report = self.cli(&["verify"]).await;
        assert_eq!(report["ok"], true, "{report:#}");
    }

    /// Makes the database say that a later version of the program was here.
    pub(crate) async fn pretend_newer_schema(&self) {
        self.alter(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'from the future', success, checksum, 0 FROM _sqlx_migrations LIMIT 1",
        )
        .await;
    }

    /// Changes the database behind the program's back.
    pub(crate) async fn alter(&self, statement: &str) {
        use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
        match self.engine.database_url() {
            None => {
                let path = self.data_dir().join(self.mode).join("dca-auth.db");
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                options.connect().await.unwrap().execute(statement).await.unwrap();
            }
            Some(url) => {
                sqlx::PgConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
            }
        }
    }

    /// Every text of every row of every table of the database, one row a line, and all that NATS and Redis keep.
    pub(crate) async fn dump(&self) -> String {
        let mut kept = match self.engine.nats() {
            Some(nats) => nats.dump().await,
            None => String::new(),
        };
        kept.extend(self.engine.redis().map(Redis::dump));
        kept + &match self.engine.database_url() {
            None => dump_sqlite(&self.data_dir().join(self.mode).join("dca-auth.db")).await,
            Some(url) => dump_postgres(url).await.unwrap(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that has failed already says why.
        if std::thread::panicking() {
            return;
        }
        if let Some(mut server) = self.server.take() {
            server.child.start_kill().ok();
            #[expect(
                clippy::disallowed_methods,
                reason = "nothing can be awaited here, and it is gone in a moment"
            )]
            while matches!(server.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // It is searched by itself, with its own log.
        drop(self.second.take());
        leaks::search(self.root.path(), &self.data_dir(), &self.engine);
    }
}

async fn dump_sqlite(path: &Path) -> String {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Row as _};
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
    let names =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut lines = Vec::new();
    for table in sqlx::query(names).fetch_all(&mut connection).await.unwrap() {
        let table: String = table.get(0);
        let columns = format!(
            "SELECT group_concat('coalesce(CAST(\"' || name || '\" AS TEXT), '''')', ' || ''|'' || ') FROM pragma_table_info('{table}')"
        );
        let columns: String = sqlx::query(&columns).fetch_one(&mut connection).await.unwrap().get(0);
        for row in sqlx::query(&format!("SELECT {columns} FROM \"{table}\""))
            .fetch_all(&mut connection)
            .await
            .unwrap()
        {
            let text: Option<String> = row.try_get(0).ok().flatten();
            lines.push(format!("{table}|{}", text.unwrap_or_default()));
        }
    }
    lines.join("\n")
}

/// Every row of every table, as text.
pub(crate) async fn dump_postgres(url: &str) -> sqlx::Result<String> {
    use sqlx::{Connection as _, Row as _};
    let mut connection = sqlx::PgConnection::connect(url).await?;
    let names = "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables \
                 WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE' ORDER BY 1";
    let mut lines = Vec::new();
    for table in sqlx::query(names).fetch_all(&mut connection).await? {
        let table: String = table.get(0);
        for row in
            sqlx::query(&format!("SELECT t::text FROM {table} AS t")).fetch_all(&mut connection).await?
        {
            lines.push(format!("{table}|{}", row.get::<String, _>(0)));
        }
    }
    Ok(lines.join("\n"))
}
