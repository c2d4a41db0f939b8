//! A PgBouncer of a test's own before the private PostgreSQL, in transaction mode with few connections: whoever asks two
//! things in a row may be given two different ones.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

use crate::redis::port;

/// Connections to PostgreSQL that all clients share.
const CONNECTIONS: u32 = 4;

pub(crate) struct PgBouncer {
    port: u16,
    user: String,
    database: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// In front of the database of `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let server: PgConnectOptions = url.parse().unwrap();
        let host =
            server.get_socket().map_or_else(|| server.get_host().into(), |path| path.to_string_lossy());
        let (user, database) = (server.get_username().to_owned(), server.get_database().unwrap().to_owned());
        let port = port::free();
        let folder = tempfile::tempdir().unwrap();
        let mut settings = format!(
            "[databases]\n{database} = host={host} port={} user={user} dbname={database}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {CONNECTIONS}\nmax_client_conn = 500\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.get_port()
        );
        // It does not run as root; PostgreSQL's user is there, and may use its socket.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0");
        if is_root {
            settings.push_str("user = postgres\n");
        }
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
        let program = program.into_iter().find(|path| Path::new(path).exists()).unwrap_or("pgbouncer");
        let mut command = Command::new(program);
        command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("pgbouncer can be started (Debian's package pgbouncer)");
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "pgbouncer does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { port, user, database, child, _folder: folder }
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/{}", self.user, self.port, self.database)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
