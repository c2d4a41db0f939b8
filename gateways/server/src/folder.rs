//! The data folder `DIR/<mode>`: where its files stand, the lock that keeps it to one process, and `run.json`,
//! by which a command finds the server. What is inside the database is no business of this file.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Attempt as _, Failure, Outcome};
use crate::mode::Mode;

/// The file with the name of the bot that had the folder last.
const BOT: &str = "instance";
/// The file with the name under which the process that had the folder last was announced as a holder of the key ring.
const HOLDER: &str = "ring-holder";

/// One mode's folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    mode: Mode,
}

/// What a running server says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// Where it answers.
    pub(crate) url: String,
    /// Where its metrics are; `null` without any.
    pub(crate) metrics_url: Option<String>,
    /// Its process.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
    /// Its own certificate, DER in base64; absent if it does not speak TLS. Commands take no other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
}

/// Who holds the lock.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its process; 0 if it did not say.
    #[serde(default)]
    pub(crate) pid: u32,
    /// The command that it runs.
    #[serde(default)]
    pub(crate) command: String,
}

/// The lock on a folder. It is let go when this is dropped, or when the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    folder: Folder,
}

impl Folder {
    /// The folder of `mode` below `data_dir`.
    pub(crate) fn new(data_dir: &Path, mode: Mode) -> Self {
        Self { root: data_dir.join(mode.as_str()), mode }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// Its mode.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The SQLite database.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("dca-auth.db")
    }

    /// The key ring.
    pub(crate) fn ring(&self) -> PathBuf {
        self.root.join("keys").join("ring.json")
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    fn run_file(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// Whether something was kept here: a database, or the keys of one that a server keeps.
    pub(crate) fn has_data(&self) -> bool {
        self.database().exists() || self.ring().exists()
    }

    /// Makes the folder and everything above it, readable by its owner only.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn create(&self) -> Outcome<()> {
        let unwritable = |e: std::io::Error| {
            Failure::new(format!("the data folder {} cannot be written: {e}", self.root.display()))
                .help("Give this user the right to write there, or name another folder with --data-dir.")
        };
        private_folder(&self.root).map_err(unwritable)?;
        let probe = self.root.join(".write-probe");
        File::create(&probe).and_then(|_| std::fs::remove_file(&probe)).map_err(unwritable)
    }

    /// Takes the lock for `command`; `Err` names who has it.
    ///
    /// # Errors
    /// The failure of the file system, or the holder.
    pub(crate) fn lock(&self, command: &str) -> Outcome<Result<Lock, Holder>> {
        let what = || format!("the lock {} cannot be opened", self.lock_file().display());
        let options =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.lock_file());
        let mut file = options().attempt(what)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(error).attempt(what),
        }
        let holder = Holder { pid: std::process::id(), command: command.to_owned() };
        let text = serde_json::to_string(&holder).attempt(what)?;
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).attempt(what)?;
        // Whoever wrote this file is gone: the lock was free.
        std::fs::remove_file(self.run_file()).ok();
        Ok(Ok(Lock { _file: file, folder: self.clone() }))
    }

    /// Whether some process has the lock.
    pub(crate) fn is_held(&self) -> bool {
        let file = OpenOptions::new().read(true).open(self.lock_file());
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// What the running server says about itself; `None` if it is not (yet) serving.
    pub(crate) fn run(&self) -> Option<Run> {
        let text = std::fs::read_to_string(self.run_file()).ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl Lock {
    /// The locked folder.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Names this process, and gives the name of the one that had the folder before: the lock says that it has ended.
    ///
    /// # Errors
    /// If the file of the name cannot be written.
    pub(crate) fn name_instance(&self, name: &str) -> Outcome<Option<String>> {
        self.rename(BOT, name)
    }

    /// The same for the name by which this process is announced as a holder of the key ring.
    ///
    /// # Errors
    /// If the file of the name cannot be written.
    pub(crate) fn name_holder(&self, name: &str) -> Outcome<Option<String>> {
        self.rename(HOLDER, name)
    }

    /// The holder of the key ring that had the folder before and has ended.
    pub(crate) fn former_holder(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.path().join(HOLDER)).ok()?;
        Some(text.trim().to_owned()).filter(|former| !former.is_empty())
    }

    fn rename(&self, kind: &str, name: &str) -> Outcome<Option<String>> {
        let file = self.folder.path().join(kind);
        let former = std::fs::read_to_string(&file).ok().map(|text| text.trim().to_owned());
        write_private(&file, name.as_bytes()).attempt(|| format!("{} cannot be written", file.display()))?;
        Ok(former.filter(|former| !former.is_empty()))
    }

    /// Tells commands where this server answers.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn announce(&self, run: &Run) -> Outcome<()> {
        let text = serde_json::to_string_pretty(run).attempt(|| "run.json cannot be written".to_owned())?;
        write_private(&self.folder.run_file(), text.as_bytes())
            .attempt(|| format!("{} cannot be written", self.folder.run_file().display()))
    }

    /// Tells commands nothing any more: this server stops.
    pub(crate) fn retract(&self) {
        std::fs::remove_file(self.folder.run_file()).ok();
    }
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// A folder that only its owner can read, with everything above it.
pub(crate) fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file that only its owner can read, in one step: a reader sees the old text or the new one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        private_folder(parent)?;
    }
    let fresh = path.with_extension("new");
    std::fs::remove_file(&fresh).ok();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}
