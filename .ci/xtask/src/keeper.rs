//! Who stops the servers. They belong to a second process of this program, the keeper, which waits until its input
//! ends. However the first process goes (its work done, a failed step, a panic, Ctrl-C or `kill -9`), its end of the
//! pipe closes, and the keeper stops the servers and removes their folder. The keeper is in a process group of its
//! own, so that a Ctrl-C at the terminal reaches neither it nor the servers before that.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::prerequisites;
use crate::servers::Servers;

/// The argument that makes this program the keeper.
pub(crate) const COMMAND: &str = "keep-servers";
/// What the keeper prints when every server answers.
const READY: &str = "ready";

/// Running servers; dropping it stops them and waits until they are gone.
pub(crate) struct Kept {
    keeper: Child,
    /// Held open; closing it is the sign to stop.
    input: Option<ChildStdin>,
    /// Names and values of variables that tell tests where the servers are.
    pub(crate) variables: Vec<(String, String)>,
}

impl Kept {
    /// Starts the keeper and waits until every server answers.
    pub(crate) fn start() -> Result<Self> {
        let program = std::env::current_exe().context("this program does not find itself")?;
        let mut command = command::clean(program);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut keeper = command.spawn().context("the keeper of the servers does not start")?;
        let input = keeper.stdin.take();
        let output = keeper.stdout.take();
        let mut kept = Self { keeper, input, variables: Vec::new() };
        for line in BufReader::new(output.context("the keeper has no output")?).lines() {
            let line = line.context("the keeper of the servers cannot be heard")?;
            match line.split_once('=') {
                Some((name, value)) => kept.variables.push((name.to_owned(), value.to_owned())),
                None if line == READY => return Ok(kept),
                None => {}
            }
        }
        bail!("the servers did not start; the reason stands above")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.input.take());
        // An error means that it is gone already.
        let _ = self.keeper.wait();
    }
}

/// The keeper itself: starts the servers, says where they are, and stops them when its input ends.
pub(crate) fn keep() -> Result<()> {
    let servers = Servers::start(&prerequisites::programs()?)?;
    let mut output = std::io::stdout().lock();
    for (name, value) in servers.variables() {
        writeln!(output, "{name}={value}").context("nobody wants the servers any more")?;
    }
    writeln!(output, "{READY}").and_then(|()| output.flush()).context("nobody wants the servers any more")?;
    std::io::stdin().read_to_end(&mut Vec::new()).context("the keeper's input cannot be read")?;
    drop(servers);
    Ok(())
}
