//! Opening lines, words that stand for unfinished work, and paths that exist on one machine only.

use crate::Breach;
use crate::source::Source;
use crate::tree::Tree;

/// Code that must not stand anywhere, tests included.
const FORBIDDEN: [(&str, &str); 3] = [
    ("#[ignore", "Mend the test or delete it; a test that does not run protects nothing."),
    ("todo!(", "Finish it, or leave the function out until it can be finished."),
    ("unimplemented!(", "Finish it, or leave the function out until it can be finished."),
];
/// What the rules must not name, tests aside: every function behind these paths. Clippy bans single functions in
/// `domain/.clippy.toml`, but it knows neither a whole module nor the difference between a rule and its test.
const IMPURE: [&str; 11] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio::",
    "Local::now",
    "Utc::now",
    "Uuid::new_v4",
];
const RULES: &str = "domain/src/";
/// Written in two parts, so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 3] = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "work/")];

/// Rules for every text.
pub(crate) fn check(tree: &Tree, breaches: &mut Vec<Breach>) {
    for file in &tree.files {
        if file.path.ends_with(".rs") && !file.text.starts_with("//!") {
            breaches.push(Breach::new(
                &file.path,
                1,
                "the file does not open with `//!`",
                "Say in its first line what it is for and what it never does.",
            ));
        }
        for (i, line) in file.text.lines().enumerate() {
            if let Some(path) = MACHINE_PATHS.iter().find(|path| names_path(line, path)) {
                breaches.push(Breach::new(
                    &file.path,
                    i + 1,
                    format!("a path below `{path}` exists on one machine only"),
                    "Use a path relative to the project, a temporary folder or a setting.",
                ));
            }
            if file.name() == "nextest.toml" && line.trim_start().starts_with("retries") {
                breaches.push(Breach::new(
                    &file.path,
                    i + 1,
                    "failed tests are tried again",
                    "Find out why the test is unsteady; wait on a condition instead of a time.",
                ));
            }
        }
    }
}

/// Rules for code outside comments and literals.
pub(crate) fn check_code(sources: &[Source<'_>], breaches: &mut Vec<Breach>) {
    for source in sources {
        for (word, remedy) in FORBIDDEN {
            for at in source.after(word) {
                breaches.push(Breach::new(
                    source.path,
                    source.line_of(at),
                    format!("`{word}` stands in the code"),
                    remedy,
                ));
            }
        }
        for path in IMPURE.iter().filter(|_| source.path.starts_with(RULES)) {
            for at in source.after(path).filter(|at| !source.is_test(*at)) {
                breaches.push(Breach::new(
                    source.path,
                    source.line_of(at),
                    format!("the rules name `{path}`"),
                    "Let the caller do it, and let what comes of it ride in the command as a field.",
                ));
            }
        }
    }
}

/// Whether the path begins here: `target/…` and addresses such as `example.org/…` go on with a word before it.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*'))
    })
}
