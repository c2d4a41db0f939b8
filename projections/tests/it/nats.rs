//! A nats-server of a test's own, so that it can be killed, wiped and started again. The end-to-end tests include this file
//! by path.

#![allow(dead_code, reason = "each binary uses its own part of this")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::redis::port;

#[derive(Debug)]
pub(crate) struct Nats {
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Nats {
    pub(crate) async fn start() -> Self {
        let mut server = Self { port: port::free(), folder: tempfile::tempdir().unwrap(), child: None };
        server.run().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, with what its folder holds and the project's own configuration.
    pub(crate) async fn run(&mut self) {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|at| at.join("nats").is_dir()).unwrap();
        let config = root.join("nats/server.conf");
        let program = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/usr/bin/nats-server"];
        let program = program.into_iter().find(|path| Path::new(path).exists()).unwrap_or("nats-server");
        let mut command = Command::new(program);
        command.arg("--config").arg(config).arg("--store_dir").arg(self.folder.path().join("store"));
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child =
            Some(command.spawn().expect("nats-server can be started (Debian's package nats-server)"));
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "nats-server does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything that it keeps on disk, as text; waits until there are events in it.
    pub(crate) async fn dump(&self) -> String {
        let begin = Instant::now();
        loop {
            let text = String::from_utf8_lossy(&self.files()).into_owned();
            if text.contains("previousPosition") {
                return text;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "nothing was kept");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything that it keeps on disk.
    pub(crate) fn files(&self) -> Vec<u8> {
        let (mut bytes, mut folders) = (Vec::new(), vec![self.folder.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
                let entry = entry.path();
                // What it deletes meanwhile is not there.
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    bytes.extend(std::fs::read(&entry).unwrap_or_default());
                }
            }
        }
        bytes
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its folder is emptied, as after the loss of a disk.
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.folder.path().join("store")).unwrap();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}
