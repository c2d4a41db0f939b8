//! What the checks need from the machine: finds it, and installs what is missing. Starts nothing and changes no
//! setting. A tool that cannot be had is a failure that names it and its remedy.

use std::env;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Oldest PostgreSQL that the product supports.
const POSTGRES_MIN: u32 = 15;

/// A program that the checks need. A new one is a new row of [`TOOLS`].
struct Tool {
    /// What people call it.
    name: &'static str,
    /// What it is needed for, as the end of a sentence.
    needed: &'static str,
    /// The package of Debian and Ubuntu that has it.
    package: &'static str,
    /// Where it is.
    find: fn() -> Option<PathBuf>,
}

const TOOLS: [Tool; 9] = [
    Tool {
        name: "PostgreSQL 15 or newer",
        needed: "for the tests of the scale-out store",
        package: "postgresql",
        find: || newest_postgres(Path::new("/usr/lib/postgresql")).or_else(postgres_on_path),
    },
    Tool {
        name: "redis-server",
        needed: "for the tests of the shared cache",
        package: "redis-server",
        find: || on_path("redis-server"),
    },
    Tool {
        name: "nats-server",
        needed: "for the tests of the shared bus",
        package: "nats-server",
        find: || on_path("nats-server"),
    },
    Tool {
        name: "pgbouncer",
        needed: "for the test behind a pooler",
        package: "pgbouncer",
        find: || on_path("pgbouncer"),
    },
    Tool {
        name: "ip",
        needed: "for a network that tests cannot leave",
        package: "iproute2",
        find: || on_path("ip"),
    },
    Tool {
        name: "strace",
        needed: "for the tests of a disk that fails",
        package: "strace",
        find: || on_path("strace"),
    },
    Tool {
        name: "curl",
        needed: "for the requests that are printed to be tried",
        package: "curl",
        find: || on_path("curl"),
    },
    Tool {
        name: "python3 with venv",
        needed: "for Schemathesis, which tries the API against its document",
        package: "python3-venv",
        find: || {
            let python = on_path("python3")?;
            command::ask(command::clean(&python).args(["-c", "import ensurepip, venv"])).ok().map(|_| python)
        },
    },
    Tool {
        name: "docker-compose",
        needed: "for the check of compose.yaml; no container is started",
        package: "docker-compose",
        find: || on_path("docker-compose"),
    },
];

/// Where the servers are.
pub(crate) struct Programs {
    /// The folder of `postgres`, `initdb` and `pg_isready`.
    pub(crate) postgres_bin: PathBuf,
    /// The program.
    pub(crate) redis: PathBuf,
    /// The program.
    pub(crate) nats: PathBuf,
}

/// Finds the servers; installs nothing.
pub(crate) fn programs() -> Result<Programs> {
    let [postgres_bin, redis, nats, pgbouncer, ip, strace, curl, python, compose] =
        TOOLS.each_ref().map(|tool| {
            (tool.find)().with_context(|| {
                format!(
                    "{} was not found, and is needed {}: install the package `{}`",
                    tool.name, tool.needed, tool.package
                )
            })
        });
    pgbouncer?;
    ip?;
    strace?;
    curl?;
    python?;
    compose?;
    Ok(Programs { postgres_bin: postgres_bin?, redis: redis?, nats: nats? })
}

/// Installs the servers that are missing and the parts of the toolchain that the checks use.
pub(crate) fn ensure(root: &Path) -> Result<()> {
    for component in ["rustfmt", "clippy"] {
        component_of_toolchain(root, component)?;
    }
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| (tool.find)().is_none()).collect();
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
        println!("installing {}", packages.join(", "));
        install(&packages).with_context(|| {
            let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
            format!("{} is missing; install {} by hand", names.join(", "), packages.join(", "))
        })?;
    }
    programs().map(drop)
}

fn component_of_toolchain(root: &Path, component: &str) -> Result<()> {
    let subcommand = component.trim_start_matches("rust");
    let has = || command::ask(command::cargo(root).args([subcommand, "--version"]));
    if has().is_ok() {
        return Ok(());
    }
    command::ask(command::clean("rustup").current_dir(root).args(["component", "add", component]))
        .with_context(|| format!("{component} is missing; run `rustup component add {component}`"))?;
    has().map(drop)
}

/// apt-get, as root or by sudo. It waits for another package manager, and asks nothing.
fn install(packages: &[&str]) -> Result<()> {
    on_path("apt-get").context("there is no apt-get on this system")?;
    let options = ["-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];
    // A list of packages that is partly out of date may still have what is needed.
    if let Err(error) = command::ask(as_root()?.args(["apt-get", "update"]).args(options)) {
        println!("{error:#}");
    }
    command::ask(
        as_root()?.args(["apt-get", "install", "--no-install-recommends"]).args(options).args(packages),
    )?;
    Ok(())
}

/// `env`, run with the rights to install; where a person sits at the terminal, sudo may ask for the password.
fn as_root() -> Result<Command> {
    let mut command = if is_root()? {
        command::clean("env")
    } else {
        on_path("sudo").context("this user is not root and there is no sudo")?;
        let mut sudo = command::clean("sudo");
        if !std::io::stdin().is_terminal() {
            sudo.arg("--non-interactive");
        }
        sudo.arg("env");
        sudo
    };
    command.arg("DEBIAN_FRONTEND=noninteractive");
    Ok(command)
}

/// Whether this process has all rights, in which case PostgreSQL refuses to start under its user.
pub(crate) fn is_root() -> Result<bool> {
    Ok(command::ask(command::clean("id").arg("-u"))?.trim() == "0")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers live in sbin, which the search path of an ordinary user lacks.
    let beside = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(beside).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Debian keeps each version in a folder of its own and none on the search path.
fn newest_postgres(versions: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(versions).ok()?.flatten();
    let version = |folder: &std::fs::DirEntry| folder.file_name().to_string_lossy().parse::<u32>().ok();
    folders
        .filter_map(|folder| Some((version(&folder)?, folder.path().join("bin"))))
        .filter(|(version, bin)| *version >= POSTGRES_MIN && is_postgres(bin))
        .max()
        .map(|(_, bin)| bin)
}

fn postgres_on_path() -> Option<PathBuf> {
    let program = on_path("postgres")?.canonicalize().ok()?;
    let said = command::ask(command::clean(&program).arg("--version")).ok()?;
    let bin = program.parent()?.to_path_buf();
    (major_version(&said)? >= POSTGRES_MIN && is_postgres(&bin)).then_some(bin)
}

fn is_postgres(bin: &Path) -> bool {
    ["postgres", "initdb", "pg_isready"].iter().all(|program| bin.join(program).is_file())
}

/// The first number of for example `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn major_version(said: &str) -> Option<u32> {
    said.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok())
}

/// Says which user a server may run as when this process is root.
pub(crate) fn unprivileged_user() -> Result<&'static str> {
    for user in ["postgres", "nobody"] {
        if command::ask(command::clean("id").args(["-u", user])).is_ok() {
            return Ok(user);
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18devel"), None);
    }

    #[test]
    fn the_newest_complete_postgres_of_at_least_15_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let complete = ["postgres", "initdb", "pg_isready"].as_slice();
        for (version, programs) in
            [("9.6", complete), ("14", complete), ("15", complete), ("16", complete), ("17", &[])]
        {
            let bin = folder.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            programs.iter().for_each(|program| std::fs::write(bin.join(program), "").unwrap());
        }
        assert_eq!(newest_postgres(folder.path()), Some(folder.path().join("16/bin")));
        assert_eq!(newest_postgres(&folder.path().join("nowhere")), None);
    }
}
