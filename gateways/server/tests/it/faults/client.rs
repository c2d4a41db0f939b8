//! One program that asks: HTTP with what an answer says beside its body. It tries nothing twice by itself.

use std::time::Duration;

use serde_json::Value;

/// The longest that anybody waits for an answer. It is below the server's own limit: whatever the network does, an answer
/// comes sooner than that.
pub(super) const PROMPT: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    /// Whether it says when to ask again.
    pub(super) retry_after: bool,
    /// The number in `DCA-Position`.
    pub(super) position: Option<i64>,
}

impl Reply {
    /// The code, of a verdict or of a problem.
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Whether it says in form that it cannot be done now.
    pub(super) fn is_clean_refusal(&self) -> bool {
        self.status == 503 && self.retry_after && self.code() == "UNAVAILABLE"
    }
}

/// The program.
#[derive(Debug, Clone)]
pub(super) struct Client(reqwest::Client);

impl Client {
    pub(super) fn new() -> Self {
        Self(reqwest::Client::builder().no_proxy().timeout(PROMPT).build().unwrap())
    }

    /// A post with an API key, and with an `Idempotency-Key` if there is one.
    pub(super) async fn post(
        &self,
        address: &str,
        api_key: &str,
        idempotency: Option<&str>,
        body: &Value,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.0.post(address).header("X-API-Key", api_key).json(body);
        if let Some(key) = idempotency {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let position = header("DCA-Position").and_then(|at| at.rsplit_once('.')?.1.parse().ok());
        let retry_after = header("Retry-After").is_some();
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply { status, body, retry_after, position })
    }

    /// The same, where no answer at all is a failure.
    pub(super) async fn answered(&self, address: &str, api_key: &str, body: &Value) -> Reply {
        self.post(address, api_key, None, body).await.unwrap_or_else(|error| panic!("{address}: {error}"))
    }
}
