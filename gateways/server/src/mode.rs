//! Demo or live: which of the two a process works in. The mode is a row of the database, written when that is
//! created; here it is only chosen for a new one, or found for a command. Nothing here opens a database.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::failure::{Failure, Outcome};
use crate::folder::Folder;

/// Demo or live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Discord is simulated; the clock can be moved forward.
    Demo,
    /// Nothing is simulated.
    Live,
}

impl Mode {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Demo, Self::Live];

    /// The word in the database, in folders and in flags.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Live => "live",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| format!("`{text}` is neither `demo` nor `live`"))
    }
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// `--demo`, `--mode` or the key `mode`.
    pub(crate) stated: Option<Mode>,
    /// Whether a database server or another one is configured.
    pub(crate) servers: bool,
    /// Whether a Discord token is configured.
    pub(crate) token: bool,
    /// The data folder.
    pub(crate) data_dir: &'a Path,
}

/// The mode of a new server: what is stated; else demo, if nothing is configured at all and the folder holds no
/// live database; else live.
pub(crate) fn for_server(asked: Asked<'_>) -> Mode {
    let live_data = Folder::new(asked.data_dir, Mode::Live).has_data();
    match asked.stated {
        Some(mode) => mode,
        None if asked.servers || asked.token || live_data => Mode::Live,
        None => Mode::Demo,
    }
}

/// The mode of a command: what is stated, else that of the running server, else the only one with data.
///
/// # Errors
/// If none or both are there.
pub(crate) fn for_command(asked: Asked<'_>) -> Outcome<Mode> {
    if let Some(mode) = asked.stated {
        return Ok(mode);
    }
    let having = |has: &dyn Fn(&Folder) -> bool| -> Vec<Mode> {
        Mode::ALL.into_iter().filter(|mode| has(&Folder::new(asked.data_dir, *mode))).collect()
    };
    if let [running] = having(&Folder::is_held)[..] {
        return Ok(running);
    }
    match having(&Folder::has_data)[..] {
        [only] => Ok(only),
        [] => Err(Failure::new(format!("there is no DCA-Auth data in {}", asked.data_dir.display()))
            .help("Start `dca-auth` there first, or name the folder with --data-dir.")),
        _ => Err(Failure::usage(format!(
            "{0} holds two databases: {0}/demo and {0}/live",
            asked.data_dir.display()
        ))
        .help("Say which one with --mode demo or --mode live.")),
    }
}
