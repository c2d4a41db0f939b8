//! What can go wrong with a call, and the problem details (RFC 9457) of the server as a type. Nothing here calls
//! anything.

use serde::{Deserialize, Serialize};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client itself could not be built.
    #[error("the client could not be set up: {0}")]
    Setup(String),
    /// No answer came.
    #[error("{base} does not answer: {why}")]
    Unreachable {
        /// The server's address.
        base: String,
        /// What the connection said.
        why: String,
    },
    /// The server says no, and why.
    #[error("{}", .0.sentence())]
    Problem(Box<Problem>),
    /// The answer is not one of this API: probably something else listens there.
    #[error("status {status} with a body that this API does not send: {excerpt}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        excerpt: String,
    },
}

impl Error {
    pub(crate) fn unreachable(base: &str, error: &reqwest::Error) -> Self {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        Self::Unreachable { base: base.to_owned(), why }
    }

    pub(crate) fn refused(status: u16, body: &str) -> Self {
        match serde_json::from_str(body) {
            Ok(problem) => Self::Problem(Box::new(problem)),
            Err(_) => Self::unexpected(status, body),
        }
    }

    pub(crate) fn unexpected(status: u16, body: &str) -> Self {
        Self::Unexpected { status, excerpt: body.chars().take(200).collect() }
    }

    /// The server's stable code, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::Setup(_) | Self::Unreachable { .. } | Self::Unexpected { .. } => None,
        }
    }
}

/// `application/problem+json` as every error of the API carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A link to the code's heading in the documentation.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// A few words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What happened, to what, and what helps.
    #[serde(default)]
    pub detail: String,
    /// The request's id, as it stands in the server's log.
    #[serde(default)]
    pub request_id: String,
    /// What is wrong with single members of the request.
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one member of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// JSON pointer of the member.
    #[serde(default)]
    pub pointer: String,
    /// The stable code.
    #[serde(default)]
    pub code: String,
    /// What is wrong with it.
    #[serde(default)]
    pub detail: String,
}

impl Problem {
    /// Code and detail, and what is wrong with each member that the detail does not name already.
    pub fn sentence(&self) -> String {
        let mut text =
            format!("{} ({})", if self.detail.is_empty() { &self.title } else { &self.detail }, self.code);
        for error in self.errors.iter().filter(|error| !self.detail.contains(&error.detail)) {
            text.push_str(&format!("; {}: {}", error.pointer, error.detail));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_with_its_code_and_its_members() {
        let body = r#"{"type":"about:blank","title":"Invalid","status":422,"detail":"Two members are wrong.",
            "code":"INVALID_VALUE","requestId":"r-1","errors":[{"pointer":"/count","code":"TOO_LARGE","detail":"is too large"}]}"#;
        let error = Error::refused(422, body);
        assert_eq!(error.code(), Some("INVALID_VALUE"));
        assert_eq!(error.to_string(), "Two members are wrong. (INVALID_VALUE); /count: is too large");
    }

    #[test]
    fn what_the_detail_says_is_not_said_twice() {
        let body = r#"{"title":"Invalid","status":422,"detail":"`/count` is too large.","code":"INVALID_VALUE",
            "errors":[{"pointer":"/count","code":"TOO_LARGE","detail":"is too large"},
                      {"pointer":"/type","code":"IMPOSSIBLE","detail":"is no type"}]}"#;
        let error = Error::refused(422, body);
        assert_eq!(error.to_string(), "`/count` is too large. (INVALID_VALUE); /type: is no type");
    }

    #[test]
    fn an_answer_of_something_else_is_shown_by_its_beginning() {
        let error = Error::refused(502, &"<html>".repeat(100));
        assert_eq!(error.code(), None);
        assert!(error.to_string().starts_with("status 502"));
        assert!(error.to_string().len() < 300);
    }
}
