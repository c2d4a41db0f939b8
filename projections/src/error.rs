//! Why a question gets no answer. What the rules say about a license is never an error here: a refused key is an
//! answer.

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The database (or the store of the personal keys) does not answer. The same question may be answered later;
    /// it never means that something does not exist.
    #[error("the answer is not available for the moment: {0}")]
    Unavailable(String),
    /// The read models have not reached a position in time.
    #[error("the read models stand at {checkpoint} and were asked for {wanted}; ask again in a moment")]
    Behind {
        /// What was waited for.
        wanted: i64,
        /// Where the slowest read model stands.
        checkpoint: i64,
    },
    /// A cursor that was not made by this deployment, or before it was restored.
    #[error("the cursor is none of ours, or the deployment was restored since; begin at the first page")]
    CursorInvalid,
    /// A thing has not been changed so often.
    #[error("it has {has} versions, and version {asked} was asked for")]
    VersionUnknown {
        /// Which one was asked for.
        asked: u64,
        /// The latest one.
        has: u64,
    },
    /// The log does not reach so far.
    #[error("the log ends at position {head}, and position {asked} was asked for")]
    PositionUnknown {
        /// Which one was asked for.
        asked: i64,
        /// The last one.
        head: i64,
    },
    /// Something stored cannot be understood.
    #[error("{0}")]
    Damaged(String),
    /// An aggregate has an event that this process cannot understand; a newer one may.
    #[error("{0}; if a newer release wrote it, update this process")]
    Unreadable(String),
    /// There is no read model of this name.
    #[error("there is no read model `{0}`; the names are {names}", names = crate::model::names())]
    UnknownModel(String),
}

impl From<domain::event::Unreadable> for QueryError {
    fn from(error: domain::event::Unreadable) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<domain::ports::VaultUnavailable> for QueryError {
    fn from(error: domain::ports::VaultUnavailable) -> Self {
        match error {
            domain::ports::VaultUnavailable::Store(text) => Self::Unavailable(text),
            domain::ports::VaultUnavailable::Ring(text) => Self::Damaged(text),
        }
    }
}
