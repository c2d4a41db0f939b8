//! `cargo xtask`: every check of the project by one command, with private servers for the tests. It changes nothing
//! but `target/` and temporary folders, apart from installing missing prerequisites, and it never touches a server
//! that it did not start itself.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks by printing")]

mod apart;
mod cluster;
mod command;
mod deny;
mod fuzz;
mod keeper;
mod plan;
mod prerequisites;
mod servers;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const HELP: &str = "\
cargo xtask test [--quick] [FILTER...]
    Every check: prerequisites, format, clippy, tidy, dependencies, tests on private servers, documentation.
    The tests run in a network namespace without a way out, where the machine lets one be made.
    --quick leaves out dependencies and documentation.
    With filters only the tests whose names contain one of them run, and no other check does.
cargo xtask tidy
    The house rules alone: directions, sizes, migrations, documents.
cargo xtask openapi
    Writes docs/openapi.json anew from the code of the API, and says whether it changed.
cargo xtask advisories
    Known vulnerabilities of dependencies. Needs github.com, so `test` runs it only with DCA_ADVISORIES=1.
cargo xtask servers
    Starts PostgreSQL, Redis and NATS of its own, prints their addresses and stops them at Ctrl-C.
cargo xtask cluster [--check]
    Four processes of separate roles over PostgreSQL and NATS of its own and a simulated Discord, with lines to try it.
    --check plays the main job (role, key, valid; role taken, revoked) and ends.
cargo xtask fuzz
    The API against docs/openapi.json by Schemathesis, over both engines. DCA_FUZZ_SEED and DCA_FUZZ_EXAMPLES make other
    and more requests.
cargo xtask help
    This text.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", rest @ ..] => plan::test(&root()?, &plan::Selection::parse(rest)?),
        ["tidy"] => plan::tidy(&root()?),
        ["openapi"] => plan::openapi(&root()?),
        ["advisories"] => plan::advisories(&root()?),
        ["servers"] => plan::servers(),
        ["cluster"] => cluster::run(&root()?, false),
        ["cluster", "--check"] => cluster::run(&root()?, true),
        ["fuzz"] => fuzz::run(&root()?),
        [keeper::COMMAND] => keeper::keep(),
        [apart::COMMAND, filters @ ..] => {
            let filters: Vec<String> = filters.iter().copied().map(str::to_owned).collect();
            apart::tests_here(&root()?, &filters)
        }
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [] => bail!("say what to do:\n\n{HELP}"),
        _ => bail!("`{}` is not known:\n\n{HELP}", words.join(" ")),
    }
}

/// The root of the workspace, whatever folder the command was called from.
fn root() -> Result<PathBuf> {
    let here = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::current_dir().context("the current folder cannot be read")?,
    };
    let is_root =
        |folder: &&std::path::Path| folder.join("Cargo.lock").exists() && folder.join(".ci").exists();
    let root = here.ancestors().find(is_root);
    root.map(PathBuf::from).context("this is no folder of the project; call `cargo xtask` inside it")
}
