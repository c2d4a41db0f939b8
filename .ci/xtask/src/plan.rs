//! Which checks run, in which order, and what mends each.

use std::path::Path;

use anyhow::{Result, bail};

use crate::command::{self, cargo, run};
use crate::keeper::Kept;
use crate::steps::Steps;
use crate::{apart, cluster, deny, fuzz, prerequisites};

/// What `cargo xtask test` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    is_quick: bool,
    filters: Vec<String>,
}

impl Selection {
    /// Reads the arguments.
    ///
    /// # Errors
    /// An option that is not known.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let (options, filters): (Vec<&str>, Vec<&str>) =
            arguments.iter().partition(|word| word.starts_with('-'));
        if let Some(unknown) = options.iter().find(|option| **option != "--quick") {
            bail!("`{unknown}` is no option of `cargo xtask test`; there is only --quick");
        }
        Ok(Self { is_quick: !options.is_empty(), filters: filters.into_iter().map(str::to_owned).collect() })
    }

    /// Why a step is left out, if it is.
    fn without(&self, is_slow: IsSlow) -> Option<&'static str> {
        if !self.filters.is_empty() {
            Some("because tests were named")
        } else if self.is_quick && is_slow == IsSlow::Yes {
            Some("by --quick")
        } else {
            None
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IsSlow {
    Yes,
    No,
}

/// A check beside the tests.
struct Check {
    name: &'static str,
    remedy: &'static str,
    is_slow: IsSlow,
    work: fn(&Path) -> Result<()>,
}

const BEFORE_TESTS: [Check; 5] = [
    Check {
        name: "format",
        remedy: "run `cargo fmt --all`",
        is_slow: IsSlow::No,
        work: |root| run(cargo(root).args(["fmt", "--all", "--check", "--", "--files-with-diff"])),
    },
    Check {
        name: "tidy",
        remedy: "each breach above says what mends it; `cargo xtask tidy` shows them again in a second",
        is_slow: IsSlow::No,
        work: house_rules,
    },
    Check {
        name: "compose",
        remedy: "mend compose.yaml; `POSTGRES_PASSWORD=x docker-compose config` shows it as it is understood",
        is_slow: IsSlow::No,
        work: |root| {
            let mut compose = command::clean("docker-compose");
            // The file must be right without what is left to the environment, but for the password it asks for.
            run(compose.current_dir(root).args(["config", "--quiet"]).env("POSTGRES_PASSWORD", "of-a-check"))
        },
    },
    Check {
        name: "clippy",
        remedy: "mend what it names; where it errs, `#[expect(…, reason = \"…\")]` on the smallest item",
        is_slow: IsSlow::No,
        work: |root| {
            let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
            run(cargo(root).args(arguments))
        },
    },
    Check {
        name: "dependencies",
        remedy: "take another crate, or write an exception with date and reason into .ci/deny.toml",
        is_slow: IsSlow::Yes,
        work: deny::check,
    },
];

const AFTER_TESTS: [Check; 3] = [
    Check {
        name: "fuzz",
        remedy: "play it again with `cargo xtask fuzz`; the report above has a curl command for each failure",
        is_slow: IsSlow::Yes,
        work: fuzz::check,
    },
    Check {
        name: "cluster",
        remedy: "play it by hand with `cargo xtask cluster`",
        is_slow: IsSlow::Yes,
        work: cluster::check,
    },
    Check {
        name: "documentation",
        remedy: "mend the comment that it names",
        is_slow: IsSlow::Yes,
        work: |root| {
            let mut command = cargo(root);
            run(command
                .args(["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-D warnings"))
        },
    },
];

/// Every check, or those that were asked for; prints the summary whatever happens.
pub(crate) fn test(root: &Path, selection: &Selection) -> Result<()> {
    let mut steps = Steps::default();
    let result = all(root, selection, &mut steps);
    println!("{}", steps.summary());
    result
}

fn all(root: &Path, selection: &Selection, steps: &mut Steps) -> Result<()> {
    let remedy = "install what it names by hand, then try again";
    steps.step("prerequisites", remedy, || prerequisites::ensure(root))?;
    for check in &BEFORE_TESTS {
        one(check, root, selection, steps)?;
    }
    if std::env::var_os("DCA_ADVISORIES").is_some_and(|value| value == "1") {
        steps.step("advisories", ADVISORIES_REMEDY, || deny::advisories(root))?;
    } else {
        steps
            .leave_out("advisories", "(`cargo xtask advisories` checks them; DCA_ADVISORIES=1 does it here)");
    }
    // Before, because it may have to fetch crates, and the tests have no way out.
    let remedy = "mend what the compiler names; without a network, `cargo fetch --locked` needs one once";
    steps.step("build of the tests", remedy, || {
        run(cargo(root).args(["test", "--workspace", "--locked", "--no-run", "--quiet"]))
    })?;
    let remedy = "run one alone with `cargo xtask test NAME`";
    match apart::command(&selection.filters)? {
        Some(mut command) => {
            steps.step("tests, without a way out", remedy, || run(command.current_dir(root)))?;
        }
        None => {
            steps.step("tests", remedy, || apart::tests_here(root, &selection.filters))?;
            steps.leave_out("no way out", "because this machine lets nobody make a network namespace");
        }
    }
    for check in &AFTER_TESTS {
        one(check, root, selection, steps)?;
    }
    Ok(())
}

fn one(check: &Check, root: &Path, selection: &Selection, steps: &mut Steps) -> Result<()> {
    match selection.without(check.is_slow) {
        Some(why) => {
            steps.leave_out(check.name, why);
            Ok(())
        }
        None => steps.step(check.name, check.remedy, || (check.work)(root)),
    }
}

fn house_rules(root: &Path) -> Result<()> {
    let breaches = tidy::check(root).map_err(anyhow::Error::msg)?;
    for breach in &breaches {
        println!("{breach}");
    }
    if breaches.is_empty() { Ok(()) } else { bail!("{} breaches of the house rules", breaches.len()) }
}

/// The house rules alone.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    house_rules(root)?;
    println!("tidy");
    Ok(())
}

/// Writes the document of the API anew. The test that holds the committed one does it, so that both mean the same text.
pub(crate) fn openapi(root: &Path) -> Result<()> {
    let file = root.join("docs/openapi.json");
    let before = std::fs::read(&file).unwrap_or_default();
    // Examples first: what they lack is filled in, and they are compiled into the document.
    for test in ["examples::every_example_is_answered", "openapi::the_committed"] {
        let mut command = cargo(root);
        command.args(["test", "--workspace", "--locked", "--quiet", "--test", "it", test]);
        run(command.env("DCA_UPDATE", "1"))?;
    }
    let is_same = std::fs::read(&file).unwrap_or_default() == before;
    println!(
        "docs/openapi.json {}",
        if is_same { "was up to date" } else { "is written anew: look at it and commit it" }
    );
    Ok(())
}

const ADVISORIES_REMEDY: &str = "update the crate that it names; if the database cannot be fetched, run it where \
                                 github.com can be reached";

/// Known vulnerabilities of dependencies.
pub(crate) fn advisories(root: &Path) -> Result<()> {
    Steps::default().step("advisories", ADVISORIES_REMEDY, || deny::advisories(root))
}

/// Private servers until somebody ends this process; the keeper notices.
pub(crate) fn servers() -> Result<()> {
    let kept = Kept::start()?;
    for (name, value) in &kept.variables {
        println!("export {name}={value}");
    }
    eprintln!("The servers run until Ctrl-C.");
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_leaves_out_what_is_slow_and_filters_leave_out_every_other_check() {
        let all = Selection::parse(&[]).unwrap();
        assert_eq!((all.without(IsSlow::Yes), all.without(IsSlow::No)), (None, None));
        let quick = Selection::parse(&["--quick"]).unwrap();
        assert_eq!((quick.without(IsSlow::Yes), quick.without(IsSlow::No)), (Some("by --quick"), None));
        let named = Selection::parse(&["store", "append"]).unwrap();
        assert_eq!(named.filters, ["store", "append"]);
        assert!(named.without(IsSlow::No).is_some());
        assert!(Selection::parse(&["--quik"]).unwrap_err().to_string().contains("--quik"));
    }
}
