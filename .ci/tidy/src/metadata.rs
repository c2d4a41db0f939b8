//! What cargo knows about the workspace: its members and what they depend on. Resolves nothing and downloads nothing.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// A member of the workspace.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its manifest, relative to the root.
    pub(crate) manifest: String,
    /// Text of the manifest, for line numbers.
    pub(crate) manifest_text: String,
    /// What it depends on, as written.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency of a member.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// Name of the crate, whatever it was renamed to.
    pub(crate) name: String,
    kind: Option<String>,
}

impl Dependency {
    /// Whether only tests, examples and benchmarks see it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

impl Package {
    /// The line of the manifest that names a dependency, or 1.
    pub(crate) fn line_of(&self, dependency: &str) -> usize {
        let names =
            |line: &str| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
        self.manifest_text.lines().position(names).map_or(1, |i| i + 1)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<RawPackage>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct RawPackage {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

/// The members of the workspace at `root`, in the order of cargo.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("cargo metadata answered no JSON: {e}"))?;
    let prefix = format!("{}/", metadata.workspace_root);
    let package = |raw: RawPackage| Package {
        manifest: raw.manifest_path.strip_prefix(&prefix).unwrap_or(&raw.manifest_path).to_owned(),
        manifest_text: std::fs::read_to_string(&raw.manifest_path).unwrap_or_default(),
        name: raw.name,
        dependencies: raw.dependencies,
    };
    Ok(metadata.packages.into_iter().map(package).collect())
}
