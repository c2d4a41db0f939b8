//! What stands where: the visible top level, and migrations in pairs.

use std::collections::BTreeMap;

use crate::Breach;
use crate::tree::Tree;

/// The visible top level. Tool files are hidden.
const TOP: [&str; 15] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "README.md",
    "SECURITY.md",
    "commands",
    "compose.yaml",
    "docs",
    "domain",
    "gateways",
    "migrations",
    "nats",
    "projections",
];
const ENGINES: [&str; 2] = ["postgres", "sqlite"];

/// Adds what stands in the wrong place.
pub(crate) fn check(tree: &Tree, breaches: &mut Vec<Breach>) {
    for name in &tree.top {
        let known = TOP.contains(&name.as_str()) || name.starts_with('.') || name.starts_with("LICENSE");
        if !known {
            breaches.push(Breach::new(
                name,
                1,
                "this does not belong at the top level, which the design fixes",
                "Move it into the room it belongs to, hide a tool's file behind a leading dot, or add a build \
                 result to .gitignore.",
            ));
        }
    }
    migrations(tree, breaches);
}

/// Both engines have the same migrations, numbered without a gap.
fn migrations(tree: &Tree, breaches: &mut Vec<Breach>) {
    let mut by_name: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for engine in ENGINES {
        for file in tree.below(&format!("migrations/{engine}/")) {
            by_name.entry(file.name()).or_default().push((engine, &file.path));
        }
    }
    let mut expected = 1;
    for (name, places) in by_name {
        let Some((_, path)) = places.first() else { continue };
        let Some(number) = number_of(name) else {
            breaches.push(Breach::new(
                path,
                1,
                "the name is not of the form NNNN_name.sql",
                "Call it four digits, an underscore, lower-case words joined by underscores, and `.sql`.",
            ));
            continue;
        };
        for missing in ENGINES.iter().filter(|engine| !places.iter().any(|(has, _)| has == *engine)) {
            breaches.push(Breach::new(
                path,
                1,
                format!("the migration has no partner in migrations/{missing}/"),
                format!(
                    "Write migrations/{missing}/{name}; if the engine needs nothing, say so in a comment."
                ),
            ));
        }
        if number != expected {
            breaches.push(Breach::new(
                path,
                1,
                format!("it has the number {number:04} where {expected:04} comes next"),
                "Number migrations without gaps and doubles, from 0001; never renumber one that was released.",
            ));
        }
        expected = number + 1;
    }
}

fn number_of(name: &str) -> Option<u32> {
    let (digits, words) = name.strip_suffix(".sql")?.split_once('_')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let well_formed = digits.len() == 4 && !words.is_empty() && words.chars().all(plain);
    if well_formed { digits.parse().ok() } else { None }
}
