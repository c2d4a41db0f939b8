//! What a command says when it cannot do what it was asked: one sentence on what happened and to what, one on
//! what to do, and a stable exit code. It is printed once, by `main`; nothing here prints.

use std::fmt;

/// Exit codes of every command. They never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something went wrong (1).
    Failed,
    /// The command line is wrong (2).
    Usage,
    /// There is no such thing, or the rules refuse it (3).
    Refused,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
        }
    }
}

/// A failure with its remedy.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    what: String,
    help: Option<String>,
    code: Option<String>,
    exit: Exit,
}

/// What a command gives.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// Something went wrong.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, code: None, exit: Exit::Failed }
    }

    /// The command line is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }

    /// There is no such thing, or the rules refuse it.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(what) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds the API's stable code.
    #[must_use]
    pub(crate) fn code(self, code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// What happened.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What happened and what to do, on one line of a log.
    pub(crate) fn line(&self) -> String {
        match &self.help {
            Some(help) => format!("{}; {help}", self.what),
            None => self.what.clone(),
        }
    }

    /// With which code the process ends.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The failure as one JSON object, for `--json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": self.what, "help": self.help, "code": self.code })
    }
}

/// `error: …` and, on a line of its own, `help: …`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// Puts what was attempted before an error of another kind.
pub(crate) trait Attempt<T> {
    /// Turns an error into a failure that begins with `what`.
    fn attempt(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Attempt<T> for Result<T, E> {
    fn attempt(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure::new(format!("{}: {error}", what())))
    }
}
