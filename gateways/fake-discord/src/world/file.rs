//! The state file: one snapshot line, then one line per committed batch of changes. Appended to while the stand-in
//! runs, so that killing it loses nothing that was answered; compacted at each start through a temporary file.
//! Never repairs a file that it did not write: a foreign or damaged one is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{Change, State};
use crate::settings::StartError;

const FORMAT: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    fake_discord: u32,
    state: State,
}

/// An open state file.
#[derive(Debug)]
pub(crate) struct StateFile {
    file: File,
    /// Bytes of the lines that were answered.
    length: u64,
    /// Half a line stands at the end and could not be taken away: nothing may follow it.
    torn: bool,
}

impl StateFile {
    /// Reads what the file holds (`None`: absent or empty).
    pub(crate) fn read(path: &Path) -> Result<Option<State>, StartError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(path, &format!("cannot be read: {error}"))),
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        replay(path, &bytes).map(Some)
    }

    /// Replaces the file with one snapshot and opens it for the changes to come.
    pub(crate) fn compact(path: &Path, state: &State) -> Result<Self, StartError> {
        let failed = |error: std::io::Error| refused(path, &format!("cannot be written: {error}"));
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let temporary = PathBuf::from(name);
        let mut line = serde_json::to_vec(&Snapshot { fake_discord: FORMAT, state: state.clone() })
            .map_err(|error| refused(path, &format!("cannot be written: {error}")))?;
        line.push(b'\n');
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(&line).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&temporary, path).map_err(failed)?;
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        Ok(Self { file, length: line.len() as u64, torn: false })
    }

    /// Writes a batch as one line. What could be written in part only is taken back, so that the next line does not
    /// begin in its middle; where even that fails, nothing is written any more.
    pub(crate) fn append(&mut self, changes: &[Change]) -> std::io::Result<()> {
        if self.torn {
            return Err(std::io::Error::other("an earlier change stands in it half; start again"));
        }
        let mut line = serde_json::to_vec(changes)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            self.torn = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

fn replay(path: &Path, bytes: &[u8]) -> Result<State, StartError> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (lines, torn) = bytes.split_at(whole);
    let mut lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let foreign = "is not a state file of this version of the stand-in; move it away or name another file";
    let first = lines.next().ok_or_else(|| refused(path, foreign))?;
    let snapshot: Snapshot = serde_json::from_slice(first).map_err(|_| refused(path, foreign))?;
    if snapshot.fake_discord != FORMAT {
        return Err(refused(path, foreign));
    }
    let mut state = snapshot.state;
    for (i, line) in lines.enumerate() {
        let changes: Vec<Change> = serde_json::from_slice(line).map_err(|error| {
            refused(path, &format!("is damaged at line {}: {error}; restore it or move it away", i + 2))
        })?;
        for change in changes {
            state.apply(change);
        }
    }
    if !torn.is_empty() {
        let bytes = torn.len();
        tracing::warn!(
            bytes,
            "the last line of the state file was cut off and is dropped; it was never answered"
        );
    }
    Ok(state)
}

fn refused(path: &Path, reason: &str) -> StartError {
    StartError::StateFile { path: path.display().to_string(), reason: reason.to_owned() }
}
