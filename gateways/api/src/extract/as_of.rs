//! Instants in a query: an RFC 3339 time, `position:N` of the log, or `version:N` of one thing. What has not happened yet
//! is refused by name, because the answer to it would be another one later.

use projections::AsOf;

use super::query::{Query, wrong};
use super::read::Read;
use crate::error::{ApiError, Code};
use crate::token::LEEWAY;

const FORM: &str = "must be an RFC 3339 time, `position:N` or `version:N`";

/// The instant that the member `name` of the query asks for, if it is there.
pub(crate) fn instant(read: &Read, query: &Query, name: &str) -> Result<Option<AsOf>, ApiError> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let as_of = parsed(text).ok_or_else(|| wrong(name, &FORM))?;
    if let AsOf::Time(instant) = as_of
        // Clocks of clients differ a little.
        && instant > read.now.after(LEEWAY)
    {
        let detail = format!("lies in the future: it is {} now", read.now);
        return Err(ApiError::impossible(format!("?{name}"), detail));
    }
    Ok(Some(as_of))
}

/// The same for a list, whose things have versions of their own.
pub(crate) fn common_instant(read: &Read, query: &Query, name: &str) -> Result<Option<AsOf>, ApiError> {
    match instant(read, query, name)? {
        Some(AsOf::Version(_)) => {
            let detail =
                "must be an RFC 3339 time or `position:N`: each thing of a list has versions of its own";
            Err(ApiError::impossible(format!("?{name}"), detail))
        }
        other => Ok(other),
    }
}

/// There was nothing then.
pub(crate) fn not_yet(what: &str) -> ApiError {
    let detail = format!("The {what} was made after that; `createdAt` says when.");
    ApiError::new(Code::NotYetExisting, detail)
}

fn parsed(text: &str) -> Option<AsOf> {
    // Digits only: no sign, and no number that is none.
    let number =
        |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?;
    match text.split_once(':') {
        Some(("version", digits)) => number(digits).map(AsOf::Version),
        Some(("position", digits)) => number(digits).and_then(|n| i64::try_from(n).ok()).map(AsOf::Position),
        _ => text.parse().ok().map(AsOf::Time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::Timestamp;

    #[test]
    fn an_instant_is_a_time_a_position_or_a_version() {
        assert_eq!(parsed("version:7"), Some(AsOf::Version(7)));
        assert_eq!(parsed("position:0"), Some(AsOf::Position(0)));
        assert_eq!(parsed("1970-01-01T00:00:01Z"), Some(AsOf::Time(Timestamp(1_000))));
        for bad in [
            "",
            "7",
            "version:",
            "version:-1",
            "version:+1",
            "position:1.5",
            "Version:1",
            "position:",
            "position:99999999999999999999",
            "position:9223372036854775808",
            "yesterday",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
