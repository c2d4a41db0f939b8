//! PostgreSQL servers of a test's own: a primary, and copies of it that follow by streaming replication, as far behind as
//! the test says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::redis::port;

/// One server.
pub(crate) struct Postgres {
    port: u16,
    child: Option<Child>,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// An empty primary.
    pub(crate) async fn start() -> Self {
        let folder = folder();
        let mut initdb = program("initdb");
        initdb.arg("--pgdata").arg(folder.path().join("data"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        ask(&mut initdb, folder.path());
        Self::serve(folder).await
    }

    /// A copy of this primary that applies everything so much later than it was committed.
    pub(crate) async fn copy(&self, behind: Duration) -> Self {
        let folder = folder();
        let mut copy = program("pg_basebackup");
        copy.args(["--host=127.0.0.1", "--username=postgres", "--wal-method=stream", "--checkpoint=fast"]);
        copy.args(["--write-recovery-conf", "--no-sync", "--port", &self.port.to_string(), "--pgdata"]);
        ask(copy.arg(folder.path().join("data")), folder.path());
        let settings = folder.path().join("data").join("postgresql.auto.conf");
        let mut text = std::fs::read_to_string(&settings).unwrap();
        text.push_str(&format!("recovery_min_apply_delay = {}\n", behind.as_millis()));
        std::fs::write(settings, text).unwrap();
        Self::serve(folder).await
    }

    async fn serve(folder: tempfile::TempDir) -> Self {
        let mut server = Self { port: port::free(), child: None, folder };
        server.run().await;
        server
    }

    /// Starts it on what it has, at the address that it had.
    pub(crate) async fn run(&mut self) {
        let mut server = program("postgres");
        server.arg("-D").arg(self.folder.path().join("data")).args(["-p", &self.port.to_string()]);
        server.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        let path = self.folder.path().join("log");
        let log = std::fs::File::create(&path).unwrap();
        server.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(log);
        let child = self.child.insert(server.spawn().unwrap());
        let begin = Instant::now();
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        while let Err(error) = connect(&url).await {
            let ended = child.try_wait().unwrap();
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(begin.elapsed() < Duration::from_secs(60) && ended.is_none(), "{error}\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it as an operator does who waits for nobody: connections are closed, what was committed is kept.
    pub(crate) fn stop(&mut self) {
        self.end("-INT");
    }

    /// Stops it in the middle of everything; it recovers from its log when it runs again.
    pub(crate) fn crash(&mut self) {
        self.end("-QUIT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            Command::new("kill").args([signal, &child.id().to_string()]).status().ok();
            child.wait().ok();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its own children go with it; what is in it is thrown away.
        self.stop();
    }
}

async fn connect(url: &str) -> sqlx::Result<sqlx::PgConnection> {
    sqlx::Connection::connect(url).await
}

/// A folder that PostgreSQL's user owns.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        let done = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
        assert!(done.success());
    }
    folder
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0")
}

/// One of PostgreSQL's programs, the newest that there is; as PostgreSQL's user, because none of them runs as root.
fn program(name: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).max();
    let path = newest.map_or_else(
        || PathBuf::from(name),
        |version| Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin").join(name),
    );
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    command
}

#[track_caller]
fn ask(command: &mut Command, folder: &Path) {
    let output = command.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
