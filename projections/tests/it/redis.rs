//! Redis servers of a test's own: one, one behind a sentinel with a replica, or a cluster of three masters, so that they
//! can be killed, frozen, flushed and filled with lies. The end-to-end tests include this file by path.

#![allow(dead_code, reason = "each binary uses its own part of this")]

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "port.rs"]
pub(crate) mod port;

const PATIENCE: Duration = Duration::from_secs(30);

/// One server.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no", "--rdbcompression", "no"]).await
    }

    async fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        let mut server =
            Self { port: port::free(), arguments, folder: tempfile::tempdir().unwrap(), child: None };
        server.run().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it with nothing in it.
    pub(crate) async fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(&self.arguments).args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.arg("--dir").arg(self.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child =
            Some(command.spawn().expect("redis-server can be started (Debian's package redis-server)"));
        until(|| self.try_ask(&["PING"]).is_some_and(|answer| answer == b"PONG")).await;
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it without closing anything: it takes connections and questions, and answers none.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// One command; the answer as it is, without the line feed that the tool adds.
    pub(crate) fn ask(&self, command: &[&str]) -> Vec<u8> {
        self.try_ask(command).unwrap_or_else(|| panic!("{command:?} has no answer"))
    }

    fn try_ask(&self, command: &[&str]) -> Option<Vec<u8>> {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output().unwrap();
        let mut answer = output.stdout;
        answer.pop_if(|last| *last == b'\n');
        output.status.success().then_some(answer)
    }

    /// Writes bytes under a name, as somebody with access to the server can.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string(), "-x", "SET", name]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// The names of all facts that it holds.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all_names().into_iter().filter(|name| !name.starts_with("dca:{limits:")).collect()
    }

    /// The names of everything that it holds.
    pub(crate) fn all_names(&self) -> Vec<String> {
        let answer = String::from_utf8(self.ask(&["KEYS", "*"])).unwrap();
        answer.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// How often a command was done, by clients and by scripts.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let told = String::from_utf8(self.ask(&["INFO", "commandstats"])).unwrap();
        let head = format!("cmdstat_{command}:calls=");
        let line = told.lines().find_map(|line| line.strip_prefix(&head));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }

    /// Everything that it holds, as text.
    pub(crate) fn dump(&self) -> String {
        let entry = |name: String| format!("{name}|{}", String::from_utf8_lossy(&self.ask(&["GET", &name])));
        self.all_names().into_iter().map(entry).collect::<Vec<_>>().join("\n")
    }
}

impl Redis {
    /// Everything that it holds, as it would write it to a file; nothing if it is not there any more.
    pub(crate) fn saved(&self) -> Vec<u8> {
        match self.child.is_some() && self.try_ask(&["SAVE"]).is_some_and(|answer| answer == b"OK") {
            true => std::fs::read(self.folder.path().join("dump.rdb")).unwrap(),
            false => Vec::new(),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Three masters that share the slots.
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Redis>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut masters = Vec::new();
        for _ in 0..3 {
            let arguments = ["--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
            masters.push(Redis::start_with(&arguments).await);
        }
        let places: Vec<String> = masters.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]).args(&places).arg("--cluster-yes");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { masters };
        let ready = |one: &Redis| {
            String::from_utf8(one.ask(&["CLUSTER", "INFO"])).unwrap().contains("cluster_state:ok")
        };
        until(|| cluster.masters.iter().all(ready)).await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        let [first, second, third] = [0, 1, 2].map(|index| self.masters[index].port);
        format!("redis-cluster://127.0.0.1:{first}?node=127.0.0.1:{second}&node=127.0.0.1:{third}")
    }
}

/// A master with a replica, and a sentinel that promotes it.
pub(crate) struct Sentinel {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    sentinel: Redis,
    /// The sentinel writes into its configuration, which lies here.
    _folder: tempfile::TempDir,
}

impl Sentinel {
    pub(crate) async fn start() -> Self {
        let master = Redis::start().await;
        let port = master.port.to_string();
        let replica = Redis::start_with(&["--save", "", "--replicaof", "127.0.0.1", &port]).await;
        until(|| {
            String::from_utf8_lossy(&replica.ask(&["INFO", "replication"])).contains("master_link_status:up")
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 5000\n"
        );
        let path = folder.path().join("sentinel.conf");
        std::fs::write(&path, text).unwrap();
        let sentinel = Redis::start_with(&[path.to_str().unwrap(), "--sentinel"]).await;
        let servers = Self { master, replica, sentinel, _folder: folder };
        until(|| {
            let known = servers.sentinel.ask(&["SENTINEL", "REPLICAS", "main"]);
            String::from_utf8_lossy(&known).contains(&servers.replica.port.to_string())
        })
        .await;
        servers
    }

    pub(crate) fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=main", self.sentinel.port)
    }

    /// Kills the master; returns when the replica has taken its place. A sentinel that promotes a replica cuts its clients
    /// off, whoever asks just then included.
    pub(crate) async fn fail_over(&mut self) {
        self.master.kill();
        until(|| {
            let told = self.replica.try_ask(&["INFO", "replication"]).unwrap_or_default();
            String::from_utf8_lossy(&told).contains("role:master")
        })
        .await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "it does not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
