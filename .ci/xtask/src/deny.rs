//! cargo-deny in one pinned version, kept below `target/`. Which rules it applies stands in `.ci/deny.toml`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::command;

/// Newer versions may read the rules differently; raise it together with a look at `.ci/deny.toml`.
const VERSION: &str = "0.20.2";

/// Licenses, owners of crates, sources: all that needs no database from the network.
pub(crate) fn check(root: &Path) -> Result<()> {
    let program = program(root)?;
    // Tests may name what has an owner, so owners are looked at without them; licenses and sources with them.
    let owners = report(root, &program, &["--exclude-dev", "check", "--hide-inclusion-graph", "bans"])?;
    report(root, &program, &["check", "--hide-inclusion-graph", "licenses", "sources"])?;
    println!("licenses, owners and sources are in order");
    let doubles: Vec<&str> = owners
        .lines()
        .filter(|line| line.starts_with("warning[duplicate]"))
        .filter_map(|line| line.split('\'').nth(1))
        .collect();
    if !doubles.is_empty() {
        println!("in more than one version: {}", doubles.join(", "));
    }
    Ok(())
}

/// What cargo-deny says; shown only if it refuses something.
fn report(root: &Path, program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = command::clean(program);
    command
        .current_dir(root)
        .args(["--locked", "--color", "never", "--config", ".ci/deny.toml"])
        .args(arguments);
    let output = command.output().context("cargo-deny does not start")?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        print!("{report}");
        anyhow::bail!("cargo-deny refuses a dependency; its reasons stand above");
    }
    Ok(report)
}

/// Known vulnerabilities. Fetches the RustSec database from GitHub.
pub(crate) fn advisories(root: &Path) -> Result<()> {
    let mut command = command::clean(program(root)?);
    command.current_dir(root).args(["--locked", "--config", ".ci/deny.toml", "check", "advisories"]);
    command::run(&mut command)
}

/// The program, installed from crates.io if it is not there in the pinned version.
fn program(root: &Path) -> Result<PathBuf> {
    let ours = root.join("target/tools");
    let program = ours.join("bin/cargo-deny");
    let candidates = [program.clone(), PathBuf::from("cargo-deny")];
    let is_pinned = |candidate: &&PathBuf| {
        let said = command::ask(command::clean(candidate).arg("--version"));
        said.is_ok_and(|said| said.split_whitespace().next_back() == Some(VERSION))
    };
    if let Some(found) = candidates.iter().find(is_pinned) {
        return Ok(found.clone());
    }
    println!("installing cargo-deny {VERSION} (once; some minutes)");
    let mut install = command::cargo(root);
    install.args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"]).arg(&ours);
    command::run(&mut install).context("cargo-deny could not be installed from crates.io")?;
    Ok(program)
}
