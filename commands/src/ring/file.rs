//! The key file on disk: one file that only its owner may read, written whole or not at all. Nothing here
//! deletes a key file or writes a new ring over an old one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{KeyRing, List, RingError, RingWarning, SecretId};

/// A key file has some kilobytes; whatever is larger is another file.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// A ring that was read from a file.
#[derive(Debug)]
pub struct LoadedRing {
    /// The ring.
    pub ring: KeyRing,
    /// To be logged at start.
    pub warning: Option<RingWarning>,
}

impl KeyRing {
    /// Reads the key file at `path`, which nobody but its owner may be allowed to read.
    ///
    /// # Errors
    /// [`RingError::Missing`] if there is none; else what is wrong with it.
    pub fn load(path: &Path) -> Result<LoadedRing, RingError> {
        let file = File::open(path).map_err(|reason| unreadable(path, reason))?;
        let warning = check_permissions(&file, path)?;
        let size = file.metadata().map_err(|reason| unreadable(path, reason))?.len();
        // One allocation of the final size: a growing one would leave copies of secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(size.min(FILE_MAX_BYTES) as usize + 1));
        let read = file.take(FILE_MAX_BYTES).read_to_string(&mut text);
        read.map_err(|reason| unreadable(path, reason))?;
        Ok(LoadedRing { ring: Self::parse(&text, &shown(path))?, warning })
    }

    /// Writes a new ring to `path`, where no file may be yet. The folder has to exist.
    ///
    /// # Errors
    /// [`RingError::Exists`], or [`RingError::Unwritable`]; in both cases no file was made or changed.
    pub fn create_file(&self, path: &Path) -> Result<Option<RingWarning>, RingError> {
        let failed = |reason: io::Error| match reason.kind() {
            ErrorKind::AlreadyExists => RingError::Exists { path: shown(path) },
            _ => RingError::Unwritable { path: shown(path), reason },
        };
        if fs::symlink_metadata(path).is_ok() {
            return Err(RingError::Exists { path: shown(path) });
        }
        let draft = Draft::write(self, path).map_err(failed)?;
        draft.become_new(path).map_err(failed)?;
        Ok(permissions_unknown(path))
    }

    /// Reads the ring at `path`, lets `change` make another one of it, and writes that in its place; gives the new ring and
    /// what `change` gave. Whoever else changes a ring of the same folder waits meanwhile, in whatever process, so that
    /// nothing that he wrote is lost.
    ///
    /// # Errors
    /// Those of `change`, [`KeyRing::load`] and [`KeyRing::replace_file`]; the old file then still stands.
    pub fn change_file<T>(
        path: &Path,
        change: impl FnOnce(&Self) -> Result<(Self, T), RingError>,
    ) -> Result<(Self, T), RingError> {
        let failed = |reason| RingError::Unwritable { path: shown(path), reason };
        let target = fs::canonicalize(path).map_err(|reason| unreadable(path, reason))?;
        let _alone = lock_folder(&target).map_err(failed)?;
        let old = Self::load(path)?.ring;
        let (new, told) = change(&old)?;
        new.replace_file(path)?;
        Ok((new, told))
    }

    /// Writes this ring over an older version of itself, after `keys add` or `keys activate`.
    ///
    /// # Errors
    /// [`RingError::OtherRing`] or [`RingError::WouldLose`] if that would lose a secret, and those of
    /// [`KeyRing::load`]; the old file then still stands.
    pub fn replace_file(&self, path: &Path) -> Result<(), RingError> {
        let old = Self::load(path)?.ring;
        if old.root != self.root {
            let (found, ours) = (old.fingerprint.clone(), self.fingerprint.clone());
            return Err(RingError::OtherRing { path: shown(path), found, ours });
        }
        for list in List::ALL {
            let (kept, old) = (self.list(list), old.list(list));
            let lost = old.entries().iter().find(|entry| !kept.entries().contains(entry));
            if let Some(entry) = lost {
                return Err(RingError::WouldLose {
                    path: shown(path),
                    secret: SecretId { list, id: entry.id },
                });
            }
        }
        let failed = |reason| RingError::Unwritable { path: shown(path), reason };
        // The file that a link points to is replaced, and the link stays.
        let target = fs::canonicalize(path).map_err(failed)?;
        Draft::write(self, &target).map_err(failed)?.replace(&target).map_err(failed)
    }
}

/// A complete key file under another name in the same folder; removed again unless it takes its place.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(ring: &KeyRing, target: &Path) -> io::Result<Self> {
        let text = ring.to_text().map_err(io::Error::other)?;
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!(".{}.draft", HEXLOWER.encode(&random));
        let path = folder(target).join(name);
        let mut file = owner_only(OpenOptions::new().write(true).create_new(true)).open(&path)?;
        let draft = Self { path };
        file.write_all(&text)?;
        file.sync_all()?;
        Ok(draft)
    }

    /// A hard link fails where a file is already, so two processes that start at once cannot both win.
    fn become_new(&self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, target) {
            // Some file systems have no links; there a look beforehand has to do.
            Err(_) if fs::symlink_metadata(target).is_err() => fs::rename(&self.path, target)?,
            linked => linked?,
        }
        sync_folder(target)
    }

    fn replace(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        sync_folder(target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove; a draft that stays after a crash is as private as the file.
        let _ = fs::remove_file(&self.path);
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn unreadable(path: &Path, reason: io::Error) -> RingError {
    match reason.kind() {
        ErrorKind::NotFound => RingError::Missing { path: shown(path) },
        _ => RingError::Unreadable { path: shown(path), reason },
    }
}

/// Looks at the open file and not at the path, which could name another file a moment later.
#[cfg(unix)]
fn check_permissions(file: &File, path: &Path) -> Result<Option<RingWarning>, RingError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_err(|reason| unreadable(path, reason))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(None) } else { Err(RingError::TooOpen { path: shown(path), mode }) }
}

#[cfg(not(unix))]
fn check_permissions(_: &File, path: &Path) -> Result<Option<RingWarning>, RingError> {
    Ok(permissions_unknown(path))
}

fn permissions_unknown(path: &Path) -> Option<RingWarning> {
    if cfg!(unix) { None } else { Some(RingWarning::PermissionsUnknown { path: shown(path) }) }
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// The lock on the folder of `path`; it is let go with the file that is given back. The folder and not the key file,
/// because that is another file after each change.
#[cfg(unix)]
fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = File::open(folder(path))?;
    folder.lock()?;
    Ok(folder)
}

/// This system locks no folders; there the look for lost secrets has to do.
#[cfg(not(unix))]
fn lock_folder(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// A rename is on disk only when its folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
