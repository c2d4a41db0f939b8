//! Child processes in a clean environment: nothing that the caller has set for another purpose reaches a check.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

/// Names of variables that must not reach a check: they could point it to a foreign server or another build.
const FOREIGN: [&str; 8] =
    ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_", "DATABASE_", "DCA_", "NATS_", "PG", "REDIS_"];

/// A command without input and without foreign variables.
pub(crate) fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if FOREIGN.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// The cargo that runs this program.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = clean(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs a command whose output the caller sees.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} does not start", shown(command)))?;
    ended(command, status)
}

fn ended(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command whose output the caller sees, and reads each line of its standard output.
pub(crate) fn run_reading(command: &mut Command, mut read: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", shown(command)))?;
    let output = child.stdout.take().context("its output is not there")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("its output cannot be read")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        read(&line);
    }
    ended(command, child.wait().context("its end is not told")?)
}

/// Runs a command quietly and answers what it printed on standard output; its whole output is in the error.
pub(crate) fn ask(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{} does not start", shown(command)))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}:\n{}{}", shown(command), output.status, printed, complaint.trim_end());
    }
    Ok(printed)
}

/// The command as one would type it, with the program's name instead of its path.
fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments = command.get_args().map(|argument| format!(" {}", argument.to_string_lossy()));
    std::iter::once(name.into_owned()).chain(arguments).collect()
}
