//! Logs: for people on a terminal, as JSON otherwise, always on the standard error output. No line carries a key,
//! a token, a secret or a person; the types that hold them do not print them.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::LogFormat;
use crate::failure::{Failure, Outcome};

/// Starts logging. `filter` is a level or a list of directives such as `info,projections=debug`.
///
/// # Errors
/// If the filter cannot be read, or logging was started before.
pub(crate) fn start(format: LogFormat, filter: &str) -> Outcome<()> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        Failure::new(format!("`log.filter` cannot be read: {e}")).help(
            "Write a level (error, warn, info, debug, trace) or directives such as `info,projections=debug`.",
        )
    })?;
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    let started = if json {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).compact().try_init()
    };
    started.map_err(|e| Failure::new(format!("logging cannot be started: {e}")))
}
