//! Engines for tests: temporary files for SQLite, and a database of its own for every test in a PostgreSQL that
//! nobody else uses. Names no crate of this workspace, so that every test binary can include it by path.
//!
//! `DCA_TEST_POSTGRES_URL` names the server to use (an administrator of a server that may be thrown away). Without
//! it a server is started: in a new folder, reached through a socket in that folder only, as the account
//! `postgres` if the tests run as root. It ends, and its folder goes, when the test process ends for whatever
//! reason. Its binaries are looked for in `PATH` and where Debian puts them. No server is an error, never a skip.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use sqlx::{Connection, Executor, PgConnection};

/// Which engine a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Sqlite,
    Postgres,
}

/// Runs the supervising shell: `$1` is the folder of the binaries. The server lives until its input ends, that is
/// until the test process does.
const SUPERVISE: &str = r#"
dir=$(mktemp -d "${TMPDIR:-/tmp}/dca-pg-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
"$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
"$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=400 -c shared_buffers=64MB \
    -c fsync=on -c max_wal_size=512MB >>"$dir/log" 2>&1 </dev/null &
server=$!
until "$1/pg_isready" -q -h "$dir"; do
    kill -0 $server 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
    sleep 0.05
done
echo "$dir"
cat >/dev/null
# At once: nothing of it is kept, so nothing has to reach the disk.
kill -QUIT $server
wait $server
"#;

/// The URL of a server on which a test may do everything.
pub(crate) fn admin_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match std::env::var("DCA_TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => start(),
    })
}

/// A new, empty database; its URL.
pub(crate) async fn fresh_database() -> String {
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    let mut admin = admin().await;
    admin.execute(format!("CREATE DATABASE {name}").as_str()).await.unwrap();
    admin.close().await.unwrap();
    let url = admin_url();
    format!("{url}{}dbname={name}", if url.contains('?') { '&' } else { '?' })
}

/// A connection of the administrator.
pub(crate) async fn admin() -> PgConnection {
    PgConnection::connect(admin_url()).await.expect("DCA_TEST_POSTGRES_URL names a server that answers")
}

fn start() -> String {
    static SERVER: OnceLock<Child> = OnceLock::new();
    let binaries = binaries().expect(
        "these tests need PostgreSQL: install it (initdb and postgres in PATH or in /usr/lib/postgresql/<n>/bin), \
         or set DCA_TEST_POSTGRES_URL to an administrator's URL of a server that may be thrown away",
    );
    let mut child = command_for(&binaries)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for the tests; the server ends when they have ended.
        .process_group(0)
        .spawn()
        .expect("a shell starts");
    let mut folder = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut folder).unwrap();
    if folder.is_empty() {
        let mut why = String::new();
        child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        panic!("a private PostgreSQL did not start: {why}");
    }
    SERVER.set(child).expect("the server is started once");
    format!("postgres://postgres@localhost/postgres?host={}", folder.trim())
}

fn command_for(binaries: &Path) -> Command {
    let root = std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut command = if root.unwrap_or(false) {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", SUPERVISE, "sh"]).arg(binaries).current_dir("/");
    command
}

/// The folder with the binaries of the newest PostgreSQL.
fn binaries() -> Option<PathBuf> {
    let complete =
        |folder: &PathBuf| ["initdb", "postgres", "pg_isready"].iter().all(|b| folder.join(b).exists());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<_> = packaged.map(|entry| entry.path().join("bin")).filter(complete).collect();
    packaged.sort_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    packaged.pop().or_else(|| std::env::split_paths(&path).find(complete))
}
