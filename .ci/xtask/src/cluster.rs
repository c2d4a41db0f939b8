//! A deployment of several processes on this machine, without containers: PostgreSQL and NATS of its own, a simulated
//! Discord, and `dca-auth` once for each role. It prints how to try it, and can try it itself. Everything ends with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::command;
use crate::keeper::Kept;
use crate::prerequisites;

/// The roles, in the order in which they start: the first one makes the tables and the key ring.
const ROLES: [&str; 4] = ["projector", "worker", "bot", "api"];
/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const BOT_TOKEN: &str = "the-clusters-own-bot-token";

/// What the guard does: remembers the ids that it is told, and when nobody can tell it more, ends those processes in order
/// and removes the folder.
const GUARD: &str = "ids=; while read -r id; do ids=\"$ids $id\"; done; kill $ids 2>/dev/null; \
    for wait in 1 2 3 4 5; do kill -0 $ids 2>/dev/null || break; sleep 1; done; \
    kill -9 $ids 2>/dev/null; rm -rf -- \"$0\"";

/// The running deployment; dropping it ends its processes, then its servers.
struct Cluster {
    children: Vec<Child>,
    /// Its input closes however this program goes: at its end, by Ctrl-C or by `kill -9`.
    guard: Child,
    binary: PathBuf,
    folder: PathBuf,
    api: String,
    control: String,
    _kept: Kept,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // An error means that it is gone already.
        for child in &mut self.children {
            let _ = child.wait();
        }
        let _ = self.guard.wait();
    }
}

/// A guild with a role that gives a license, somebody without it, and a key for programs.
struct Scene {
    guild: String,
    role: String,
    ada: String,
    api_key: String,
}

/// Builds what runs and starts the deployment; with `check` plays the main job and ends, else runs until Ctrl-C.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    prerequisites::ensure(root)?;
    // Without this program itself, which would be replaced while it runs.
    let others = ["build", "--workspace", "--exclude", "xtask", "--bins", "--locked", "--quiet"];
    command::run(command::cargo(root).args(others))?;
    if check {
        return self::check(root);
    }
    let cluster = Cluster::start(root)?;
    let scene = cluster.scene()?;
    println!("{}", cluster.greeting(&scene));
    println!("It runs until Ctrl-C, and leaves nothing behind.");
    loop {
        thread::park();
    }
}

/// Plays the main job on a deployment of what was built last.
pub(crate) fn check(root: &Path) -> Result<()> {
    let cluster = Cluster::start(root)?;
    let scene = cluster.scene()?;
    cluster.main_job(&scene)
}

impl Cluster {
    fn start(root: &Path) -> Result<Self> {
        let kept = Kept::start()?;
        let variable = |name: &str| {
            let found = kept.variables.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).with_context(|| format!("no server for {name}"))
        };
        let (database, nats) = (variable("DCA_TEST_POSTGRES_URL")?, variable("DCA_TEST_NATS_URL")?);
        let redis = variable("DCA_TEST_REDIS_URL")?;
        let target = root.join("target").join("debug");
        let folder = tempfile::Builder::new().prefix("dca-cluster-").tempdir()?.keep();
        let mut guard = command::clean("sh");
        guard.args(["-c", GUARD]).arg(&folder).stdin(Stdio::piped()).process_group(0);
        let mut cluster = Self {
            children: Vec::new(),
            guard: guard.spawn().context("sh does not start")?,
            binary: target.join("dca-auth"),
            folder,
            api: String::new(),
            control: String::new(),
            _kept: kept,
        };
        let discord = cluster.discord(&target.join("fake-discord"))?;
        cluster.control = format!("{discord}/_control");
        for role in ROLES {
            let mut process = command::clean(&cluster.binary);
            process.args(["serve", "--mode", "live", "--listen", "127.0.0.1:0", "--role", role]);
            process.arg("--data-dir").arg(cluster.data(role));
            process.env("DATABASE_URL", &database).env("NATS_URL", &nats).env("REDIS_URL", &redis);
            process.env("DISCORD_TOKEN", BOT_TOKEN);
            process.env("DCA_DISCORD_API_BASE", &discord).env("DCA_DISCORD_OAUTH_BASE", &discord);
            process.env("DCA_DISCORD_GATEWAY_URL", discord.replace("http://", "ws://"));
            if role != ROLES[0] {
                process.env("DCA_KEYS_FILE", cluster.ring());
            }
            let log = std::fs::File::create(cluster.folder.join(format!("{role}.log")))?;
            process.stdout(Stdio::null()).stderr(log);
            cluster.spawn(process)?;
            cluster.api = eventually(&format!("{role} serves"), || cluster.url(role))
                .with_context(|| format!("its log:\n{}", cluster.log(role)))?;
        }
        Ok(cluster)
    }

    fn discord(&mut self, program: &Path) -> Result<String> {
        let mut process = command::clean(program);
        process.args(["--token", BOT_TOKEN]).stdout(Stdio::piped());
        let output = self.spawn(process)?.stdout.take();
        let mut url = String::new();
        BufReader::new(output.context("the simulated Discord has no output")?).read_line(&mut url)?;
        ensure!(url.starts_with("http://"), "the simulated Discord did not say where it is: {url}");
        Ok(url.trim().to_owned())
    }

    /// Starts a process that ends with this program.
    fn spawn(&mut self, mut process: Command) -> Result<&mut Child> {
        let child = process.spawn().context("a program of the cluster does not start")?;
        if let Some(guard) = &mut self.guard.stdin {
            writeln!(guard, "{}", child.id()).context("the guard of the processes is gone")?;
        }
        self.children.push(child);
        self.children.last_mut().context("no process")
    }

    fn data(&self, role: &str) -> PathBuf {
        self.folder.join(role)
    }

    /// The key ring, which the first process makes and all of them use.
    fn ring(&self) -> PathBuf {
        self.data(ROLES[0]).join("live").join("keys").join("ring.json")
    }

    fn log(&self, role: &str) -> String {
        std::fs::read_to_string(self.folder.join(format!("{role}.log"))).unwrap_or_default()
    }

    /// A command of ours, as JSON.
    fn cli(&self, role: &str, arguments: &[&str]) -> Result<Value> {
        let mut process = command::clean(&self.binary);
        process.args(arguments).arg("--data-dir").arg(self.data(role)).arg("--json");
        process.env("DCA_KEYS_FILE", self.ring());
        serde_json::from_str(&command::ask(&mut process)?).context("the answer is no JSON")
    }

    /// Where a role answers, once it does.
    fn url(&self, role: &str) -> Result<Option<String>> {
        let Ok(status) = self.cli(role, &["status"]) else { return Ok(None) };
        let Some(url) = status["url"].as_str() else { return Ok(None) };
        let ready = call("GET", &format!("{url}/ready"), None, &Value::Null)?.0 == 200;
        Ok(ready.then(|| url.to_owned()))
    }

    fn play(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        wanted(call(method, &format!("{}{path}", self.control), None, body)?)
    }

    fn scene(&self) -> Result<Scene> {
        let made = self.play("POST", "/guilds", &json!({ "name": "Northwind Games" }))?;
        let guild = id(&made)?;
        let role = id(&self.play("POST", &format!("/guilds/{guild}/roles"), &json!({ "name": "Pro" }))?)?;
        let ada =
            id(&self.play("POST", &format!("/guilds/{guild}/members"), &json!({ "username": "ada" }))?)?;
        let token = self.cli("api", &["admin", "token"])?;
        let token = token["accessToken"].as_str().context("no token")?.to_owned();
        let bearer = format!("Authorization: Bearer {token}");
        let at = format!("{}/guilds/{guild}", self.api);
        eventually("the bot makes the server known", || {
            Ok((call("GET", &at, Some(&bearer), &Value::Null)?.0 == 200).then_some(()))
        })?;
        let terms = json!({ "maxDevices": 2, "onRoleLoss": "revoke" });
        let define = json!({ "slug": "pro", "name": "Pro", "terms": terms });
        wanted(call("POST", &format!("{at}/license-types"), Some(&bearer), &define)?)?;
        let rule = json!({ "roleId": role, "type": "pro" });
        wanted(call("POST", &format!("{at}/role-rules"), Some(&bearer), &rule)?)?;
        let issued = self.cli("api", &["apikey", "issue", "--guild", &guild, "--kind", "publishable"])?;
        let api_key = issued["key"].as_str().context("no API key")?.to_owned();
        Ok(Scene { guild, role, ada, api_key })
    }

    fn greeting(&self, scene: &Scene) -> String {
        let Scene { guild, role, ada, api_key } = scene;
        let (api, control) = (&self.api, &self.control);
        format!(
            "\n  DCA-Auth in four processes over one PostgreSQL and NATS: {}\n  logs and data   {}\n  API             {api}\n\n  \
             Give ada the role, read the key in her inbox, bind it to a device, validate it, take the role away:\n\n  \
             curl -s -X POST {control}/guilds/{guild}/members/{ada}/roles/{role}\n  \
             curl -s {control}/users/{ada}/inbox\n  \
             curl -s {api}/licenses/activate -H 'X-API-Key: {api_key}' -H 'Content-Type: application/json' \
             -d '{{\"key\":\"…\",\"deviceId\":\"one\"}}'\n  \
             curl -s {api}/licenses/validate -H 'X-API-Key: {api_key}' -H 'Content-Type: application/json' \
             -d '{{\"key\":\"…\",\"deviceId\":\"one\"}}'\n  \
             curl -s -X DELETE {control}/guilds/{guild}/members/{ada}/roles/{role}\n",
            ROLES.join(", "),
            self.folder.display(),
        )
    }

    /// Role given, key delivered, valid; role taken, revoked.
    fn main_job(&self, scene: &Scene) -> Result<()> {
        let Scene { guild, role, ada, api_key } = scene;
        let member = format!("/guilds/{guild}/members/{ada}/roles/{role}");
        let began = Instant::now();
        self.play("POST", &member, &Value::Null)?;
        let key = eventually("ada has her key", || {
            let inbox = self.play("GET", &format!("/users/{ada}/inbox"), &Value::Null)?;
            let text = inbox[0]["content"].as_str().unwrap_or_default();
            Ok(text.split('`').find(|part| part.len() > 40 && part.contains('-')).map(str::to_owned))
        })?;
        println!("  role given      her key is in her inbox after {:?}", began.elapsed());
        let header = format!("X-API-Key: {api_key}");
        let verdict = |asked: &Value| {
            let told =
                wanted(call("POST", &format!("{}/licenses/validate", self.api), Some(&header), asked)?)?;
            Ok::<_, anyhow::Error>(told["code"].as_str().unwrap_or_default().to_owned())
        };
        let code = verdict(&json!({ "key": key }))?;
        ensure!(code == "DEVICE_REQUIRED", "without a device: {code}");
        for (device, expected) in [("one", 201), ("two", 201), ("three", 409)] {
            let asked = json!({ "key": key, "deviceId": device });
            let at = format!("{}/licenses/activate", self.api);
            let (status, told) = call("POST", &at, Some(&header), &asked)?;
            ensure!(status == expected, "device {device}: {status} {told}");
            println!("  device {device:<8} {status}");
        }
        let asked = json!({ "key": key, "deviceId": "one" });
        let code = verdict(&asked)?;
        println!("  validate        {code}");
        ensure!(code == "VALID", "the key should be valid");
        let taken = Instant::now();
        self.play("DELETE", &member, &Value::Null)?;
        eventually("the key is refused", || Ok((verdict(&asked)? == "REVOKED").then_some(())))?;
        println!("  role taken      REVOKED after {:?}", taken.elapsed());
        let checked = self.cli("projector", &["verify"])?;
        println!(
            "  verify          {}",
            if checked["ok"] == true { "log and read models agree" } else { "NO" }
        );
        ensure!(checked["ok"] == true, "{checked:#}");
        Ok(())
    }
}

fn id(made: &Value) -> Result<String> {
    made["id"].as_str().map(str::to_owned).with_context(|| format!("no id: {made}"))
}

fn wanted((status, body): (u16, Value)) -> Result<Value> {
    ensure!((200..300).contains(&status), "{status}: {body}");
    Ok(body)
}

/// A request by the program that the printed lines use: status and body.
fn call(method: &str, url: &str, header: Option<&str>, body: &Value) -> Result<(u16, Value)> {
    let mut curl = command::clean("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--request", method, url]);
    curl.args(["--write-out", "\n%{http_code}"]);
    if let Some(header) = header {
        curl.args(["--header", header]);
    }
    if !body.is_null() {
        curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
    }
    let answer = command::ask(&mut curl)?;
    let (text, status) = answer.rsplit_once('\n').context("curl says nothing")?;
    let body =
        if text.is_empty() { Value::Null } else { serde_json::from_str(text).context(text.to_owned())? };
    Ok((status.trim().parse()?, body))
}

/// Asks again and again until there is an answer.
fn eventually<T>(what: &str, ask: impl Fn() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            bail!("not within {PATIENCE:?}: {what}");
        }
        #[expect(clippy::disallowed_methods, reason = "this program has no runtime that it could block")]
        thread::sleep(PAUSE);
    }
}
