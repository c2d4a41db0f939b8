//! What every manifest must say: the lints and the versions of the workspace; and what a crate's own clippy file
//! must repeat. Reads them line by line, because the whole project writes them in one plain form.

use crate::Breach;
use crate::metadata::Package;
use crate::tree::Tree;

/// Adds what is wrong with the manifests.
pub(crate) fn check(tree: &Tree, packages: &[Package], breaches: &mut Vec<Breach>) {
    for package in packages {
        if !inherits_lints(&package.manifest_text) {
            breaches.push(Breach::new(
                &package.manifest,
                1,
                "the crate does not take the lints of the workspace",
                "Add `[lints]` with `workspace = true`.",
            ));
        }
        for (line, name) in own_versions(&package.manifest_text) {
            breaches.push(Breach::new(
                &package.manifest,
                line,
                format!("`{name}` does not come from the table of versions"),
                "Put version and features into [workspace.dependencies] of the root and write \
                 `name.workspace = true` here.",
            ));
        }
        let folder = package.manifest.rsplit('/').nth(1).unwrap_or_default();
        if folder != package.name {
            breaches.push(Breach::new(
                &package.manifest,
                1,
                format!("the crate `{}` lives in a folder of another name", package.name),
                "Give the folder the crate's name, so that a path says which crate it belongs to.",
            ));
        }
    }
    for file in tree.files.iter().filter(|file| file.name() == "Cargo.toml" && file.path != "Cargo.toml") {
        if !packages.iter().any(|package| package.manifest == file.path) {
            breaches.push(Breach::new(
                &file.path,
                1,
                "this crate is no member of the workspace, so no check sees it",
                "List its folder under `members` in the root Cargo.toml.",
            ));
        }
    }
    repeated_bans(tree, breaches);
}

/// A crate's clippy file replaces the root's instead of adding to it.
fn repeated_bans(tree: &Tree, breaches: &mut Vec<Breach>) {
    let is_ban = |line: &&str| line.trim_start().starts_with("{ path = ");
    let root = tree.file(".clippy.toml").map_or("", |file| file.text.as_str());
    let bans: Vec<&str> = root.lines().filter(is_ban).filter_map(|line| line.split('"').nth(1)).collect();
    for file in tree.files.iter().filter(|file| file.name() == ".clippy.toml") {
        for ban in bans.iter().filter(|ban| !file.text.contains(&format!("\"{ban}\""))) {
            breaches.push(Breach::new(
                &file.path,
                1,
                format!("the root's ban of `{ban}` is not repeated, so it does not hold in this crate"),
                "Copy the line from the root's .clippy.toml.",
            ));
        }
    }
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        section == "[lints]" && line.replace(' ', "") == "workspace=true"
    })
}

/// Line and name of each dependency that states its version itself.
fn own_versions(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_dependencies = false;
    let mut depth = 0_usize;
    for (i, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if depth == 0 && line.starts_with('[') {
            let section = line.trim_matches(['[', ']']);
            in_dependencies = section.ends_with("dependencies");
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.push((i + 1, name.to_owned()));
            }
            continue;
        }
        let plain = line.replace(' ', "");
        let from_table = plain.contains(".workspace=true") || plain.contains("workspace=true");
        if in_dependencies && depth == 0 && !line.is_empty() && !from_table {
            found.push((i + 1, line.split(['=', '.', ' ']).next().unwrap_or_default().to_owned()));
        }
        depth += line.matches(['[', '{']).count();
        depth = depth.saturating_sub(line.matches([']', '}']).count());
    }
    found
}
