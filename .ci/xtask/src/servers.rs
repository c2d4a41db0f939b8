//! PostgreSQL, Redis and NATS for one run: each on a free port of the loopback address, with its data in a folder
//! that goes with it. Stopping is by the id of our own child; no other server is ever looked at.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::command;
use crate::prerequisites::{self, Programs};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at a server that starts or stops.
const PAUSE: Duration = Duration::from_millis(20);
/// A free port may be taken by somebody else before the server binds it.
const ATTEMPTS: usize = 3;

/// The servers of one run; dropping them stops them and removes their data.
pub(crate) struct Servers {
    running: Vec<Server>,
    // Dropped after the servers, which write to it.
    _folder: TempDir,
}

impl Servers {
    /// Starts all three and waits until each answers.
    pub(crate) fn start(programs: &Programs) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("dca-").tempdir().context("no temporary folder can be made")?;
        // The servers may run as another user, who must be able to pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let mut servers = Self { running: Vec::new(), _folder: folder };
        let at = servers._folder.path().to_path_buf();
        servers.running.push(postgres(&programs.postgres_bin, &at.join("postgres"))?);
        servers.running.push(redis(&programs.redis, &at.join("redis"))?);
        servers.running.push(nats(&programs.nats, &at.join("nats"))?);
        Ok(servers)
    }

    /// Names and values of variables that tell tests where the servers are.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.running.iter().map(|server| (server.variable, server.url.as_str()))
    }
}

/// A child of ours that answers at `url`.
struct Server {
    child: Child,
    variable: &'static str,
    url: String,
    /// The signal that it understands as: stop now, and do it in order.
    stop: &'static str,
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let asked = command::ask(command::clean("sh").args(["-c", "kill -s \"$0\" \"$1\"", self.stop, &id]));
        let deadline = Instant::now() + STOP_LIMIT;
        while asked.is_ok() && Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause();
        }
        // Only what does not listen comes here; its data is thrown away anyway.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What differs between the servers.
struct Recipe<'a> {
    variable: &'static str,
    stop: &'static str,
    /// Data and log.
    folder: &'a Path,
    url: fn(u16) -> String,
    command: &'a dyn Fn(u16) -> Command,
    answers: &'a dyn Fn(u16) -> bool,
}

fn start(recipe: &Recipe<'_>) -> Result<Server> {
    let log = recipe.folder.join("log");
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        let output = File::create(&log).context("the log of a server cannot be written")?;
        let mut command = (recipe.command)(port);
        command.current_dir(recipe.folder).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("{:?} does not start", command.get_program()))?;
        let url = (recipe.url)(port);
        let mut server = Server { child, variable: recipe.variable, url, stop: recipe.stop };
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline && matches!(server.child.try_wait(), Ok(None)) {
            if (recipe.answers)(port) {
                return Ok(server);
            }
            pause();
        }
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    bail!("the server for {} does not answer within {START_LIMIT:?}. Its log:\n{said}", recipe.variable)
}

fn postgres(bin: &Path, folder: &Path) -> Result<Server> {
    let data = folder.join("data");
    fs::create_dir(folder)?;
    let user = Unprivileged::of(folder)?;
    let mut initdb = user.command(&bin.join("initdb"));
    initdb.current_dir(folder).arg("--pgdata").arg(&data);
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    command::ask(&mut initdb).with_context(|| {
        format!(
            "no PostgreSQL cluster can be made in {}; if its user may not enter that folder, set TMPDIR to one that \
             everybody may enter",
            folder.display()
        )
    })?;
    start(&Recipe {
        variable: "DCA_TEST_POSTGRES_URL",
        // Fast shutdown: ends the sessions, then writes the last checkpoint.
        stop: "INT",
        folder,
        url: |port| format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        command: &|port| {
            let mut command = user.command(&bin.join("postgres"));
            command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
            command.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
            // What killed programs had under way goes on until it notices, and holds its connection until then.
            command.args(["-c", "max_connections=500", "-c", "fsync=on"]);
            command
        },
        answers: &|port| {
            // Asked through the socket in our own folder, so that no other server can answer.
            let mut ready = command::clean(bin.join("pg_isready"));
            command::ask(ready.arg("--host").arg(folder).args(["--port", &port.to_string()])).is_ok()
        },
    })
}

fn redis(program: &Path, folder: &Path) -> Result<Server> {
    fs::create_dir(folder)?;
    start(&Recipe {
        variable: "DCA_TEST_REDIS_URL",
        stop: "TERM",
        folder,
        url: |port| format!("redis://127.0.0.1:{port}"),
        command: &|port| {
            let mut command = command::clean(program);
            command.args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ]);
            command
        },
        answers: &|port| says(port, b"PING\r\n", "+PONG"),
    })
}

fn nats(program: &Path, folder: &Path) -> Result<Server> {
    fs::create_dir(folder)?;
    start(&Recipe {
        variable: "DCA_TEST_NATS_URL",
        stop: "TERM",
        folder,
        url: |port| format!("nats://127.0.0.1:{port}"),
        command: &|port| {
            let mut command = command::clean(program);
            let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats/server.conf");
            command.arg("--config").arg(config).arg("--store_dir").arg(folder);
            command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
            command
        },
        answers: &|port| says(port, b"", "INFO "),
    })
}

/// The user that PostgreSQL runs as: this one, or another if this one is root.
struct Unprivileged(Option<(u32, u32)>);

impl Unprivileged {
    /// Chooses the user and gives him the folder.
    fn of(folder: &Path) -> Result<Self> {
        if !prerequisites::is_root()? {
            return Ok(Self(None));
        }
        let name = prerequisites::unprivileged_user()?;
        let number = |flag: &str| -> Result<u32> {
            Ok(command::ask(command::clean("id").args([flag, name]))?.trim().parse()?)
        };
        let (user, group) = (number("-u")?, number("-g")?);
        chown(folder, Some(user), Some(group)).with_context(|| format!("{name} cannot be given a folder"))?;
        Ok(Self(Some((user, group))))
    }

    fn command(&self, program: &PathBuf) -> Command {
        let mut command = command::clean(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Whether whoever listens at the port answers `question` with a text that begins with `answer`.
fn says(port: u16, question: &[u8], answer: &str) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(question)?;
        let mut heard = vec![0; answer.len()];
        stream.read_exact(&mut heard)?;
        Ok(String::from_utf8_lossy(&heard).into_owned())
    };
    ask().is_ok_and(|heard| heard == answer)
}

#[expect(clippy::disallowed_methods, reason = "no runtime here: another process is waited for, by looking")]
fn pause() {
    thread::sleep(PAUSE);
}
