//! One answer of Discord, read: status, limit headers and body. It never decides what follows from them.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

/// The largest answer that is read; Discord's largest (a page of 1,000 members) is below 1 MiB.
const ANSWER_MAX_BYTES: usize = 16 << 20;

/// What the limit headers say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limits {
    /// `X-RateLimit-Bucket`.
    pub(super) bucket: Option<String>,
    /// Limit, remaining, reset-after, if all three came.
    pub(super) window: Option<(u32, u32, Duration)>,
}

/// A 429's own facts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limited {
    /// How long to wait.
    pub(super) retry_after: Duration,
    /// The limit of the whole bot, or of the address.
    pub(super) global: bool,
    /// The limit of the resource, used up by others: not counted as invalid.
    pub(super) shared: bool,
}

/// A complete answer.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The limit headers.
    pub(super) limits: Limits,
    /// Set if the status is 429.
    pub(super) limited: Option<Limited>,
    /// The body as JSON, or why it is none. An empty body is `Null`.
    pub(super) body: Result<Value, String>,
}

impl Answer {
    /// Reads the whole answer; the error is the transport's, in words without the address.
    pub(super) async fn read(mut response: reqwest::Response) -> Result<Self, String> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut bytes = Vec::new();
        let mut too_long = false;
        while let Some(chunk) = response.chunk().await.map_err(|why| why.without_url().to_string())? {
            if bytes.len() + chunk.len() > ANSWER_MAX_BYTES {
                too_long = true;
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = if too_long {
            Err(format!("the answer is larger than {ANSWER_MAX_BYTES} bytes"))
        } else if bytes.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(&bytes).map_err(|why| why.to_string())
        };
        let limited = (status == 429).then(|| limited(&headers, &body));
        Ok(Self { status, limits: limits(&headers), limited, body })
    }

    /// Discord's error code and text.
    pub(super) fn refusal(&self) -> (u32, String) {
        let Ok(body) = &self.body else { return (0, "no readable text".into()) };
        let code = body["code"].as_u64().and_then(|code| u32::try_from(code).ok()).unwrap_or(0);
        let text = body["message"].as_str().unwrap_or("no text");
        (code, text.chars().take(300).collect())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// Seconds with fractions; nothing below zero, nothing beyond a day.
fn seconds(value: f64) -> Option<Duration> {
    value.is_finite().then(|| Duration::from_secs_f64(value.clamp(0.0, 86_400.0)))
}

fn limits(headers: &HeaderMap) -> Limits {
    let number = |name| text(headers, name).and_then(|value| value.parse::<u32>().ok());
    let after = text(headers, "x-ratelimit-reset-after").and_then(|v| v.parse().ok()).and_then(seconds);
    let window = match (number("x-ratelimit-limit"), number("x-ratelimit-remaining"), after) {
        (Some(limit), Some(remaining), Some(after)) => Some((limit.max(1), remaining, after)),
        _ => None,
    };
    Limits { bucket: text(headers, "x-ratelimit-bucket").map(str::to_owned), window }
}

fn limited(headers: &HeaderMap, body: &Result<Value, String>) -> Limited {
    let body = body.as_ref().ok().filter(|body| body.is_object());
    let said = body.and_then(|body| body["retry_after"].as_f64());
    let header = text(headers, "retry-after").and_then(|value| value.parse::<f64>().ok());
    let scope = text(headers, "x-ratelimit-scope").unwrap_or_default();
    // Without a JSON body it is not the API that answered but the edge before it, which limits the address.
    let global = body.is_none_or(|body| body["global"].as_bool().unwrap_or(false))
        || text(headers, "x-ratelimit-global").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || scope == "global";
    Limited {
        retry_after: said.or(header).and_then(seconds).unwrap_or(Duration::from_secs(1)),
        global,
        shared: scope == "shared",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_body_is_finer_than_the_header() {
        let seen = limited(
            &headers(&[("retry-after", "2"), ("x-ratelimit-scope", "shared")]),
            &Ok(json!({"retry_after": 1.25, "global": false})),
        );
        assert_eq!(seen, Limited { retry_after: Duration::from_millis(1250), global: false, shared: true });
    }

    #[test]
    fn an_answer_of_the_edge_closes_the_gate() {
        let seen = limited(&headers(&[("retry-after", "7")]), &Err("not JSON".into()));
        assert_eq!(seen, Limited { retry_after: Duration::from_secs(7), global: true, shared: false });
    }

    #[test]
    fn absurd_numbers_are_bounded() {
        let seen = limited(&headers(&[]), &Ok(json!({"retry_after": -5.0})));
        assert_eq!(seen.retry_after, Duration::ZERO);
        assert_eq!(limits(&headers(&[("x-ratelimit-limit", "x")])).window, None);
        assert_eq!(seconds(f64::NAN), None);
        assert_eq!(seconds(1e300), Some(Duration::from_secs(86_400)));
    }
}
