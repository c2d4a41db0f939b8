//! The API against its own document: Schemathesis makes requests out of `docs/openapi.json`, right ones and wrong ones, alone
//! and in chains, and holds every answer against what the document says. Once over SQLite with everything in one process,
//! once over PostgreSQL with NATS and Redis.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::command;
use crate::keeper::Kept;
use crate::prerequisites;

/// The version that `.ci/schemathesis/requirements.txt` pins, with the hash of every package.
const VERSION: &str = "4.32.5";
/// The same requests in every run; `DCA_FUZZ_SEED` makes others.
const SEED: &str = "20261130";
/// Requests for each operation and phase; `DCA_FUZZ_EXAMPLES` makes more.
const EXAMPLES: &str = "12";
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// The program, installed from PyPI below `target/` if it is not there in the pinned version.
pub(crate) fn install(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/tools").join(format!("schemathesis-{VERSION}"));
    let program = folder.join("bin/schemathesis");
    let is_there = command::ask(command::clean(&program).arg("--version"));
    if is_there.is_ok_and(|said| said.trim_end().ends_with(VERSION)) {
        return Ok(program);
    }
    println!("installing schemathesis {VERSION} (once)");
    command::ask(command::clean("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("python3 makes no environment; Debian's package python3-venv has what it needs")?;
    let mut pip = command::clean(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]);
    pip.args(["--requirement", ".ci/schemathesis/requirements.txt"]).current_dir(root);
    command::ask(&mut pip).context("schemathesis could not be installed from PyPI")?;
    Ok(program)
}

/// Builds what runs, and does it.
pub(crate) fn run(root: &Path) -> Result<()> {
    prerequisites::ensure(root)?;
    let others = ["build", "--workspace", "--exclude", "xtask", "--bins", "--locked", "--quiet"];
    command::run(command::cargo(root).args(others))?;
    check(root)
}

/// Both engines, one after the other, with what was built last.
pub(crate) fn check(root: &Path) -> Result<()> {
    let program = install(root)?;
    one(root, &program, "SQLite", &[])?;
    let kept = Kept::start()?;
    let url = |name: &str| {
        let found = kept.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).with_context(|| format!("no server for {name}"))
    };
    let (postgres, nats) = (url("DCA_TEST_POSTGRES_URL")?, url("DCA_TEST_NATS_URL")?);
    let redis = url("DCA_TEST_REDIS_URL")?;
    let variables = [("DATABASE_URL", &*postgres), ("NATS_URL", &*nats), ("REDIS_URL", &*redis)];
    one(root, &program, "PostgreSQL, NATS and Redis", &variables)
}

fn one(root: &Path, program: &Path, engine: &str, variables: &[(&str, &str)]) -> Result<()> {
    println!("-- over {engine}");
    let product = Product::start(root, variables)?;
    let mut command = command::clean(program);
    // In a folder of its own, because it keeps what it has found where it is called.
    command.current_dir(product.folder.path());
    command.arg("--config-file").arg(root.join(".ci/schemathesis/schemathesis.toml"));
    command.arg("run").arg(root.join("docs/openapi.json")).args(["--url", &product.url]);
    command.env("FUZZ_HOOKS", root.join(".ci/schemathesis/hooks.py"));
    let or = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    command.args(["--seed", &or("DCA_FUZZ_SEED", SEED)]);
    command.args(["--max-examples", &or("DCA_FUZZ_EXAMPLES", EXAMPLES)]);
    command.envs(product.credentials()?);
    command::run(&mut command).with_context(|| {
        format!(
            "over {engine}, an answer is not what docs/openapi.json says; the server's log:\n{}",
            product.log()
        )
    })?;
    let said = product.log();
    ensure!(!said.contains("panicked"), "the server panicked:\n{said}");
    let report = product.cli(&["verify"])?;
    ensure!(report["ok"] == true, "the log or the read models are not in order: {report:#}");
    Ok(())
}

/// A demo of its own, which is ended with this.
struct Product {
    child: Child,
    binary: PathBuf,
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    url: String,
}

impl Drop for Product {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Product {
    fn start(root: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        let binary = root.join("target/debug/dca-auth");
        let folder = tempfile::Builder::new().prefix("dca-fuzz-").tempdir()?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut process = command::clean(&binary);
        process.args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"]);
        process.arg(folder.path().join("data")).envs(variables.iter().copied());
        // All requests come from one address, without a pause. Limits have tests of their own.
        for limit in ["VALIDATE", "READ", "WRITE", "BULK", "AUTH", "ANONYMOUS"] {
            process.env(format!("DCA_LIMITS_{limit}"), "off");
        }
        process.stdout(Stdio::null()).stderr(log);
        let child = process.spawn().context("the built program does not start")?;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut product = Self { child, binary, folder, variables: variables.collect(), url: String::new() };
        let began = Instant::now();
        while product.url.is_empty() {
            if let Ok(status) = product.cli(&["status"])
                && let Some(url) = status["url"].as_str()
            {
                url.clone_into(&mut product.url);
            }
            ensure!(began.elapsed() < PATIENCE, "it does not serve:\n{}", product.log());
            pause();
        }
        Ok(product)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A command of the program, as JSON.
    fn cli(&self, arguments: &[&str]) -> Result<Value> {
        let mut process: Command = command::clean(&self.binary);
        process.args(arguments).arg("--data-dir").arg(self.folder.path().join("data")).arg("--json");
        process.envs(self.variables.iter().map(|(name, value)| (name, value)));
        serde_json::from_str(&command::ask(&mut process)?).context("the answer is no JSON")
    }

    /// A position of this log, as an answer names it.
    fn position(&self, guild: &str, api_key: &str) -> Result<String> {
        let mut curl = command::clean("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "30",
            "--output",
            "/dev/null",
        ]);
        curl.args(["--dump-header", "-", "--header", &format!("X-API-Key: {api_key}")]);
        let heads = command::ask(curl.arg(format!("{}/guilds/{guild}", self.url)))?;
        let found = heads.lines().find_map(|line| line.strip_prefix("dca-position: "));
        found.map(|position| position.trim().to_owned()).context("an answer names no position")
    }

    /// What the configuration of Schemathesis puts into requests.
    fn credentials(&self) -> Result<Vec<(&'static str, String)>> {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("an answer lacks a text");
        let status = self.cli(&["status"])?;
        let guild = text(&status["demo"]["guildId"])?;
        let member = text(&status["demo"]["members"]["grace"])?;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let issued = self.cli(&["apikey", "issue", "--guild", &guild, "--kind", "secret"])?;
        let api_key = text(&issued["key"])?;
        let position = self.position(&guild, &api_key)?;
        Ok(vec![
            ("FUZZ_GUILD", guild),
            ("FUZZ_MEMBER", member),
            ("FUZZ_POSITION", position),
            ("FUZZ_BINARY", path(&self.binary)),
            ("FUZZ_DATA", path(&self.folder.path().join("data"))),
            ("FUZZ_API_KEY", api_key),
        ])
    }
}

fn pause() {
    #[expect(clippy::disallowed_methods, reason = "this program has no runtime that it could block")]
    thread::sleep(PAUSE);
}
