//! The disk under the embedded database fails: fsync gives an error, or there is no room. Writes are refused in form, keys
//! are answered, nothing acknowledged is lost, and it recovers as soon as the disk does. The errors are put into the
//! system calls of the running server by strace, so that they are the real ones for all that runs above.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::invariants;
use super::load::Load;
use super::site::Site;
use crate::discord::until;
use crate::world::Engine;

/// A tracer that makes system calls of a process fail for as long as it lives.
struct FailingDisk(Child);

impl FailingDisk {
    /// From now on `calls` of the process give `error`; on `file` alone, if one is named.
    async fn begin(pid: u32, calls: &str, error: &str, file: Option<&std::path::Path>) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid.to_string(), "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:error={error}")]);
        if let Some(file) = file {
            command.arg("-P").arg(file);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("strace can be started (Debian's package strace)");
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        // It says so once it has attached; whatever it says instead is why it has not.
        let first = said.next_line().await.unwrap().unwrap_or_default();
        assert!(
            first.contains("attached"),
            "strace may not trace the server: {first}; this machine must let a process trace its child's (ptrace; in a \
             container the capability SYS_PTRACE)"
        );
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Self(child)
    }

    /// The disk works again.
    async fn end(mut self) {
        let pid = self.0.id().unwrap().to_string();
        // Asked to end, it lets the process go; killed, it might leave it stopped.
        assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
        self.0.wait().await.unwrap();
    }
}

/// A disk that gives `error` for `calls` while programs work, with a power failure in the middle or without.
async fn failing(calls: &str, error: &str, only_wal: bool, power: bool) {
    let mut site = Site::start(Engine::Sqlite, &[]).await;
    let known = site.licenses(1).await.remove(0).1;
    let url = site.live.world.url().to_owned();
    until("its first validation is recorded", || async {
        (site.verdict(&url, &known).await.body["license"]["status"] == "active").then_some(())
    })
    .await;
    let load = Load::start(&site);
    load.more(40).await;
    let wal = site.database_file().with_extension("db-wal");
    let disk = FailingDisk::begin(site.live.world.pid(), calls, error, only_wal.then_some(&*wal)).await;
    let mut devices = 0;
    until("writes are refused in form", || {
        devices += 1;
        let (site, url, known, device) = (&site, &url, &known, format!("device {devices}"));
        async move {
            let written = site.activate(url, known, &device).await;
            written.is_clean_refusal().then_some(())
        }
    })
    .await;
    for number in 0..20 {
        let written = site.activate(&url, &known, &format!("late {number}")).await;
        assert!(written.is_clean_refusal(), "{written:?}");
        let told = site.verdict(&url, &known).await;
        assert_eq!((told.status, told.code()), (200, "VALID"), "keys are answered all the same: {told:?}");
    }
    if power {
        site.live.world.kill().await;
        disk.end().await;
        site.live.world.serve().await;
        load.moved(0, site.live.world.url());
    } else {
        disk.end().await;
    }
    load.more(40).await;
    let seen = load.end().await;
    invariants::hold(&mut site, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_fsync_that_fails_loses_nothing_and_is_survived() {
    failing("fsync,fdatasync", "EIO", false, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_fsync_that_fails_before_a_power_failure_loses_nothing() {
    failing("fsync,fdatasync", "EIO", false, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    failing("pwrite64", "ENOSPC", true, false).await;
}
