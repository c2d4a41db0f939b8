//! The files of the project as texts. Follows no symbolic link and leaves out what `.gitignore` names as a folder.

use std::fs;
use std::path::Path;

/// Larger files are generated or binary; no rule looks at them.
const TEXT_MAX_BYTES: u64 = 1 << 20;
/// Left out in every tree: version control, build results, and code that a tool wrote.
const ALWAYS_SKIPPED: [&str; 4] = [".git", "target", "node_modules", "dist"];

/// A file and its text.
pub(crate) struct File {
    /// Relative to the root, with `/` between folders.
    pub(crate) path: String,
    /// Empty for a file that is no UTF-8 or larger than the limit.
    pub(crate) text: String,
}

impl File {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// All files, sorted by path.
pub(crate) struct Tree {
    /// The files.
    pub(crate) files: Vec<File>,
    /// Names directly below the root, folders included, sorted.
    pub(crate) top: Vec<String>,
    folders: Vec<String>,
}

impl Tree {
    /// Reads the tree below `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut skipped: Vec<&str> = ALWAYS_SKIPPED.to_vec();
        skipped.extend(ignored.lines().filter_map(|line| line.trim().strip_suffix('/')));
        let mut tree = Self { files: Vec::new(), top: Vec::new(), folders: Vec::new() };
        tree.read_folder(root, "", &skipped)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree.top.sort();
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str, skipped: &[&str]) -> Result<(), String> {
        let refuse = |e: std::io::Error| format!("{} cannot be read: {e}", folder.display());
        for entry in fs::read_dir(folder).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if skipped.contains(&name.as_str()) {
                continue;
            }
            if prefix.is_empty() {
                self.top.push(name.clone());
            }
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(refuse)?;
            if kind.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"), skipped)?;
                self.folders.push(path);
            } else if kind.is_file() {
                let small = entry.metadata().map_err(refuse)?.len() <= TEXT_MAX_BYTES;
                let text =
                    if small { fs::read_to_string(entry.path()).unwrap_or_default() } else { String::new() };
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }

    /// The file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().and_then(|i| self.files.get(i))
    }

    /// Whether a file or a folder stands at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.file(path).is_some() || self.folders.iter().any(|folder| folder == path)
    }

    /// The files below a folder, which is given with its closing `/`.
    pub(crate) fn below<'a>(&'a self, folder: &str) -> &'a [File] {
        let start = self.files.partition_point(|file| file.path.as_str() < folder);
        let rest = self.files.get(start..).unwrap_or_default();
        let end = rest.partition_point(|file| file.path.starts_with(folder));
        rest.get(..end).unwrap_or_default()
    }
}
