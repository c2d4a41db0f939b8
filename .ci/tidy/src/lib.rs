//! The house rules as a program. It reads the tree and the manifests, and says for each breach where it is, what
//! is wrong and how to mend it. It never compiles, never changes a file and never uses the network.
//!
//! Which file holds which rule:
//! - `direction`: which crate may name which, and who owns which outside crate;
//! - `manifests`: lints, the one table of versions, members;
//! - `sizes`: functions and files that have outgrown their room;
//! - `text`: opening lines, forbidden words, paths of one machine;
//! - `layout`: the top level and the pairs of migrations;
//! - `docs`: error codes, wire names and links.

mod direction;
mod docs;
mod layout;
mod manifests;
mod metadata;
mod sizes;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// The file, relative to the root, with `/` between folders.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, as a clause.
    pub what: String,
    /// What mends it, as one sentence.
    pub remedy: String,
}

impl Breach {
    pub(crate) fn new(file: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: line.max(1), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    remedy: {}", self.file, self.line, self.what, self.remedy)
    }
}

/// Every breach in the workspace whose root folder is `root`, sorted by file and line.
///
/// # Errors
/// A sentence if the tree cannot be read or `cargo metadata` fails.
pub fn check(root: &Path) -> Result<Vec<Breach>, String> {
    let tree = tree::Tree::read(root)?;
    let packages = metadata::packages(root)?;
    let mut breaches = Vec::new();
    direction::check(&packages, &mut breaches);
    manifests::check(&tree, &packages, &mut breaches);
    layout::check(&tree, &mut breaches);
    text::check(&tree, &mut breaches);
    let sources = source::all(&tree);
    sizes::check(&sources, &mut breaches);
    text::check_code(&sources, &mut breaches);
    docs::check(&tree, &sources, &mut breaches);
    breaches.sort();
    breaches.dedup();
    Ok(breaches)
}
