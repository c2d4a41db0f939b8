//! What can be wrong with an export, each named with its place. The words are for people; programs compare the code.

use super::At;
use crate::proof::InvalidCheckpoint;

/// Something that is wrong with an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first line is no header.
    #[error("{0}")]
    Header(String),
    /// The checkpoint is no checkpoint, or not signed.
    #[error("the checkpoint: {0}")]
    Checkpoint(InvalidCheckpoint),
    /// The checkpoint is signed by somebody else.
    #[error(
        "the checkpoint is signed by the key with the fingerprint {found}, and the trusted one has {wanted}"
    )]
    OtherKey {
        /// SHA-256 of the key in the file.
        found: String,
        /// SHA-256 of the key asked for.
        wanted: String,
    },
    /// The checkpoint belongs to the log before or after a restore.
    #[error("the checkpoint is of another epoch of the log: `{found}` instead of `{wanted}`")]
    OtherEpoch {
        /// What the file has.
        found: String,
        /// What was asked for, or what the rest of the file says.
        wanted: String,
    },
    /// The checkpoint does not have this guild with this many events and this root.
    #[error("the guild, its number of events or its root is not what was signed (line 1)")]
    Head,
    /// A line that is no event.
    #[error(
        "line {line}, event number {number} of the guild (after position {after}), was altered: it cannot be read"
    )]
    Unreadable {
        /// Counted from 1.
        line: u64,
        /// Which event of the guild stands there.
        number: u64,
        /// Position of the event before it.
        after: i64,
    },
    /// An event is not what it was.
    #[error("event number {number} of the guild{} was altered (line {line})", shown(*position, *after))]
    Altered {
        /// Counted from 1.
        line: u64,
        /// Which event of the guild it is.
        number: u64,
        /// The position that it gives itself.
        position: Option<i64>,
        /// Position of the event before it.
        after: i64,
    },
    /// The hash beside an event is not what it was.
    #[error("the root beside event number {number}{} was altered (line {line}); the event itself fits", shown(*position, *after))]
    RootAltered {
        /// Counted from 1.
        line: u64,
        /// Which event of the guild it is.
        number: u64,
        /// The position of the event.
        position: Option<i64>,
        /// Position of the event before it.
        after: i64,
    },
    /// An event of somebody else.
    #[error("line {line} is no event of this guild but {}{}", owner(of.as_deref()), at(*position))]
    Foreign {
        /// Counted from 1.
        line: u64,
        /// Its position.
        position: Option<i64>,
        /// The guild that it names.
        of: Option<String>,
    },
    /// An event stands further down than it should.
    #[error("event number {number}{} was moved: it stands at line {line}", at(*position))]
    Moved {
        /// Counted from 1.
        line: u64,
        /// Which event of the guild it is.
        number: u64,
        /// Its position.
        position: Option<i64>,
    },
    /// An event stands there a second time.
    #[error("event number {number}{} stands there twice, the second time at line {line}", at(*position))]
    Twice {
        /// Counted from 1.
        line: u64,
        /// Which event of the guild it is.
        number: u64,
        /// Its position.
        position: Option<i64>,
    },
    /// An event is not there.
    #[error("event number {number} of the guild, the one after position {after}, was removed")]
    Removed {
        /// Which event of the guild it is.
        number: u64,
        /// Position of the event before the gap.
        after: i64,
    },
    /// The end is missing.
    #[error(
        "the file was cut off after position {after}: events number {from} to {to} of the guild are missing"
    )]
    Truncated {
        /// The first that is missing.
        from: u64,
        /// The last one.
        to: u64,
        /// Position of the last event that is there.
        after: i64,
    },
    /// The last line has no end.
    #[error(
        "the file was cut off within line {line}, after position {after}: it does not end with a line end"
    )]
    Cut {
        /// Counted from 1.
        line: u64,
        /// Position of the last event that is there.
        after: i64,
    },
    /// There is more than was signed.
    #[error("line {line}{} was added: the checkpoint has fewer events", at(*position))]
    Surplus {
        /// Counted from 1.
        line: u64,
        /// The number that it would have.
        number: u64,
        /// The position that it gives itself.
        position: Option<i64>,
    },
    /// Every line fits the one before, and all of them not the signed root.
    #[error(
        "the events up to position {last} fit each other and not the signed root: some were rewritten together with the \
         roots beside them. A second export of the server, compared line by line, shows where"
    )]
    Rewritten {
        /// Position of the last event.
        last: i64,
    },
}

impl Fault {
    pub(super) fn altered(At { line, number, position, after }: At) -> Self {
        Self::Altered { line, number, position, after }
    }

    pub(super) fn root_altered(At { line, number, position, after }: At) -> Self {
        Self::RootAltered { line, number, position, after }
    }

    /// A stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Checkpoint(_) => "checkpoint",
            Self::OtherKey { .. } => "otherKey",
            Self::OtherEpoch { .. } => "otherEpoch",
            Self::Head => "head",
            Self::Unreadable { .. } => "unreadable",
            Self::Altered { .. } => "altered",
            Self::RootAltered { .. } => "rootAltered",
            Self::Foreign { .. } => "foreign",
            Self::Moved { .. } => "moved",
            Self::Twice { .. } => "twice",
            Self::Removed { .. } => "removed",
            Self::Truncated { .. } => "truncated",
            Self::Cut { .. } => "cut",
            Self::Surplus { .. } => "surplus",
            Self::Rewritten { .. } => "rewritten",
        }
    }

    /// The position of the event, or of the last sound one before it.
    pub const fn position(&self) -> Option<i64> {
        match *self {
            Self::Altered { position, after, .. } | Self::RootAltered { position, after, .. } => {
                match position {
                    Some(position) => Some(position),
                    None => Some(after),
                }
            }
            Self::Foreign { position, .. }
            | Self::Moved { position, .. }
            | Self::Twice { position, .. }
            | Self::Surplus { position, .. } => position,
            Self::Unreadable { after, .. }
            | Self::Removed { after, .. }
            | Self::Truncated { after, .. }
            | Self::Cut { after, .. } => Some(after),
            _ => None,
        }
    }

    /// Which event of the guild it is about, from 1.
    pub const fn number(&self) -> Option<u64> {
        match *self {
            Self::Unreadable { number, .. }
            | Self::Altered { number, .. }
            | Self::RootAltered { number, .. }
            | Self::Moved { number, .. }
            | Self::Twice { number, .. }
            | Self::Removed { number, .. }
            | Self::Surplus { number, .. } => Some(number),
            Self::Truncated { from, .. } => Some(from),
            _ => None,
        }
    }
}

fn at(position: Option<i64>) -> String {
    position.map_or_else(String::new, |position| format!(" (position {position})"))
}

fn shown(position: Option<i64>, after: i64) -> String {
    match position {
        Some(position) => at(Some(position)),
        None => format!(" (after position {after})"),
    }
}

fn owner(of: Option<&str>) -> String {
    of.map_or_else(|| "of nobody".to_owned(), |guild| format!("one of guild {guild}"))
}
