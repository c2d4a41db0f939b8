//! The tests in a network of their own: a namespace with a loopback interface and no other, so that a packet to
//! anywhere else has no way to go. What a test or the product would send to the world fails there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::keeper::Kept;
use crate::prerequisites;

/// The argument that makes this program run the tests where it is.
pub(crate) const COMMAND: &str = "tests-here";
/// Brings the loopback interface up and becomes what follows.
const LOOPBACK: &str = "PATH=\"$PATH:/usr/sbin:/sbin\"; ip link set lo up && exec \"$0\" \"$@\"";

/// This program again, in such a network; `None` if this machine lets nobody make one.
pub(crate) fn command(filters: &[String]) -> Result<Option<Command>> {
    let can = command::ask(unshared()?.arg("true")).is_ok();
    if !can {
        return Ok(None);
    }
    let mut command = unshared()?;
    command.arg(std::env::current_exe().context("this program does not find itself")?);
    command.arg(COMMAND).args(filters);
    Ok(Some(command))
}

/// `unshare`, up to where the program to run is named.
fn unshared() -> Result<Command> {
    let mut command = command::clean("unshare");
    if !prerequisites::is_root()? {
        // An ordinary user may do this inside a namespace of users, as himself.
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    command.args(["--net", "--", "sh", "-c", LOOPBACK]);
    Ok(command)
}

/// Starts private servers and runs the tests, where this process is.
pub(crate) fn tests_here(root: &Path, filters: &[String]) -> Result<()> {
    let kept = Kept::start()?;
    let mut command = command::cargo(root);
    command.args(["test", "--workspace", "--locked"]);
    if filters.is_empty() {
        // A failure says what and where; who wants the way there runs that test alone. And one failure hides no other.
        command.arg("--no-fail-fast").env("RUST_BACKTRACE", "0");
    } else {
        command.arg("--").args(filters);
    }
    command.envs(kept.variables.iter().map(|(name, value)| (name, value)));
    let mut failures = Failures::default();
    let result = command::run_reading(&mut command, |line| failures.read(line));
    print!("{}", failures.said);
    result
}

/// What the tests that failed have said: repeated at the end, because a thousand lines stand between it and there.
#[derive(Default)]
struct Failures {
    said: String,
    is_inside: bool,
}

impl Failures {
    /// Takes the next line of the harness' output.
    fn read(&mut self, line: &str) {
        match line {
            "failures:" => self.is_inside = true,
            _ if line.starts_with("test result:") => self.is_inside = false,
            _ => {}
        }
        if self.is_inside {
            self.said.push_str(line);
            self.said.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_tests_said_is_kept_and_nothing_else() {
        let output = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nit is 3\n\nfailures:\n    b\n\n\
                      test result: FAILED. 1 passed\n\nrunning 1 test\ntest c ... ok\ntest result: ok. 1 passed\n";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        assert_eq!(failures.said, "failures:\n\n---- b stdout ----\nit is 3\n\nfailures:\n    b\n\n");
    }
}
