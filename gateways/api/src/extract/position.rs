//! Positions in headers: `<epoch>.<n>`, where n counts the events of the log. A read may ask to be as new as a
//! position; nothing here reads the log.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::query::{Query, wrong};
use crate::error::{ApiError, Code};
use crate::state::ApiState;

/// The position that a write reached, and that a read shows.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("dca-position");
/// The position that a read must have reached.
pub(crate) const MIN_POSITION: HeaderName = HeaderName::from_static("dca-min-position");

/// Waits until the read models show everything up to `DCA-Min-Position`; says whether the request names one.
pub(crate) async fn wait(state: &ApiState, headers: &HeaderMap) -> Result<bool, ApiError> {
    let Some(value) = headers.get(&MIN_POSITION) else { return Ok(false) };
    // In a box, because most requests name none and should not carry room for it.
    Box::pin(async move {
        let number = named(state, value).await?;
        state.queries().wait_for(number, state.limits().min_position_timeout).await?;
        Ok(true)
    })
    .await
}

/// Makes this process know of everything up to `DCA-Min-Position`, if the request names one: a write is judged by what was
/// written before, wherever that was. It does not wait for lists.
pub(crate) async fn hear(state: &ApiState, headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(&MIN_POSITION) else { return Ok(None) };
    let number = named(state, value).await?;
    state.queries().hear_of(number).await?;
    Ok(Some(number))
}

/// The position that a request names, which the log has.
async fn named(state: &ApiState, value: &HeaderValue) -> Result<i64, ApiError> {
    let found = value.to_str().ok().and_then(parsed).ok_or_else(|| {
        ApiError::invalid(
            "DCA-Min-Position",
            "WRONG_FORM",
            "must be a position as `DCA-Position` gives it, such as 4f2a.17",
        )
    })?;
    in_log(state, "DCA-Min-Position", found).await
}

/// The position that a member of a query names, which the log has: 0, the beginning, where there is none. A number alone is
/// one of this log.
pub(crate) async fn of_query(state: &ApiState, query: &Query, name: &str) -> Result<i64, ApiError> {
    let Some(text) = query.text(name) else { return Ok(0) };
    let epoch = state.queries().epoch();
    let found = if text.contains('.') { parsed(text) } else { number(text).map(|number| (epoch, number)) };
    let detail = "must be a position as an answer gave it, such as 4f2a.17";
    in_log(state, name, found.ok_or_else(|| wrong(name, &detail))?).await
}

async fn in_log(state: &ApiState, name: &str, (epoch, number): (&str, i64)) -> Result<i64, ApiError> {
    let queries = state.queries();
    if epoch != queries.epoch() {
        let detail =
            format!("`{name}` is of another log: the data was restored since. Send it again without it.");
        return Err(ApiError::new(Code::PositionUnknown, detail));
    }
    // Another process may have appended what this one has not heard of yet.
    if number > queries.head() && number > queries.current_head().await? {
        let detail =
            format!("The log ends before `{name}`; take the position from an answer of this server.");
        return Err(ApiError::new(Code::PositionUnknown, detail));
    }
    Ok(number)
}

fn number(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

fn parsed(text: &str) -> Option<(&str, i64)> {
    let (epoch, digits) = text.rsplit_once('.')?;
    Some((epoch, number(digits)?))
}

/// The value of `DCA-Position`.
pub(crate) fn header(epoch: &str, position: i64) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{epoch}.{position}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_an_epoch_and_a_number() {
        let of = |text: &str| parsed(text).map(|(e, n)| (e.to_owned(), n));
        assert_eq!(of("4f2a.17"), Some(("4f2a".to_owned(), 17)));
        for bad in ["", "17", "a.", "a.-1", "a.+1", "a.1x", "a.99999999999999999999"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
