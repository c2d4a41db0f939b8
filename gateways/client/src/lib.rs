//! A thin HTTP client for DCA-Auth: validate, activate, heartbeat, deactivate, and any other call by its path.
//! It never retries, never caches and never decides whether a license is valid: the server's answer is the answer.

mod error;
mod license;
mod pin;

pub use error::{Error, FieldProblem, Problem};
pub use license::{ActivateRequest, Activated, Component, DeviceRequest, ValidateRequest, Validation};

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How a client shows who it is.
#[derive(Clone)]
pub enum Credential {
    /// Not at all.
    None,
    /// An API key (`dca_pub_…` or `dca_sec_…`), sent as `X-API-Key`.
    ApiKey(String),
    /// An access token, sent as a bearer.
    Bearer(String),
}

/// Never shows the secret.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "Credential(none)",
            Self::ApiKey(_) => "Credential(API key)",
            Self::Bearer(_) => "Credential(bearer)",
        })
    }
}

/// The method of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Do.
    Post,
    /// Set.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// `DCA-Position`: `<epoch>.<n>` of the last event of a write. Sent back as `DCA-Min-Position` it makes a
    /// read wait for that write.
    pub position: Option<String>,
    /// `ETag`: the version of the resource.
    pub etag: Option<String>,
    /// The body; `null` where there is none.
    pub body: Value,
}

/// A body that is still coming.
#[derive(Debug)]
pub struct Download {
    response: reqwest::Response,
    base: String,
}

impl Download {
    /// The next bytes; `None` once the body is whole.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if it broke off: what came so far is not the whole.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let chunk = self.response.chunk().await.map_err(|e| Error::unreachable(&self.base, &e))?;
        Ok(chunk.map(Into::into))
    }
}

/// A connection to one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    credential: Credential,
    min_position: Option<String>,
}

impl Client {
    /// A client of the server at `base`, for example `http://127.0.0.1:8787`. `timeout` bounds every call.
    ///
    /// # Errors
    /// [`Error::Setup`] if the TLS library cannot be started or the credential is not plain ASCII.
    pub fn new(base: &str, credential: Credential, timeout: Duration) -> Result<Self, Error> {
        Self::built(reqwest::Client::builder(), base, credential, timeout)
    }

    /// The same for a server whose own certificate (DER) is known: no other one is taken, whoever vouches for it, and this
    /// one under any name and after its end. What is asked goes there directly, past any proxy.
    ///
    /// # Errors
    /// Those of [`Client::new`].
    pub fn pinned(
        base: &str,
        credential: Credential,
        timeout: Duration,
        certificate: &[u8],
    ) -> Result<Self, Error> {
        let tls = pin::to(certificate).map_err(|e| Error::Setup(e.to_string()))?;
        let builder = reqwest::Client::builder().use_preconfigured_tls(tls).no_proxy();
        Self::built(builder, base, credential, timeout)
    }

    fn built(
        builder: reqwest::ClientBuilder,
        base: &str,
        credential: Credential,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text)
                .map_err(|_| Error::Setup("the credential is not plain ASCII".to_owned()))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        match &credential {
            Credential::None => {}
            Credential::ApiKey(key) => {
                headers.insert("X-API-Key", secret(key)?);
            }
            Credential::Bearer(token) => {
                headers.insert(AUTHORIZATION, secret(&format!("Bearer {token}"))?);
            }
        }
        let http = builder
            .timeout(timeout)
            .default_headers(headers)
            .user_agent(concat!("dca-auth-client/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::Setup(e.to_string()))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), credential, min_position: None })
    }

    /// The server's address as given.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Who this client is.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The same client, whose reads wait until the server shows everything up to `position`.
    #[must_use]
    pub fn after(&self, position: Option<&str>) -> Self {
        Self { min_position: position.map(str::to_owned), ..self.clone() }
    }

    /// `POST /licenses/validate`. An invalid license is an answer, not an error.
    ///
    /// # Errors
    /// [`Error`] if no decision was made.
    pub async fn validate(&self, request: &ValidateRequest) -> Result<Validation, Error> {
        self.typed("/licenses/validate", request).await
    }

    /// `POST /licenses/activate`.
    ///
    /// # Errors
    /// [`Error::Problem`] with the refusal's code, for example `DEVICE_LIMIT_REACHED`.
    pub async fn activate(&self, request: &ActivateRequest) -> Result<Activated, Error> {
        self.typed("/licenses/activate", request).await
    }

    /// `POST /licenses/heartbeat`: the device is in use.
    ///
    /// # Errors
    /// [`Error::Problem`] with the code of the refusal.
    pub async fn heartbeat(&self, request: &DeviceRequest) -> Result<Value, Error> {
        self.typed("/licenses/heartbeat", request).await
    }

    /// `POST /licenses/deactivate`: the device gives its slot back.
    ///
    /// # Errors
    /// [`Error::Problem`] with the code of the refusal.
    pub async fn deactivate(&self, request: &DeviceRequest) -> Result<Value, Error> {
        self.typed("/licenses/deactivate", request).await
    }

    /// Any call. `path` begins with a slash and holds the query, already encoded.
    ///
    /// # Errors
    /// [`Error::Problem`] for every answer of 400 and above that the server explains.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        let mut request = self.http.request(method.into(), format!("{}{path}", self.base));
        if let Some(position) = &self.min_position {
            request = request.header("DCA-Min-Position", position);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answered(request).await
    }

    /// A file sent whole, `kind` being its media type. `path` as in [`Client::call`].
    ///
    /// # Errors
    /// [`Error::Problem`] for every answer of 400 and above that the server explains.
    pub async fn upload(&self, path: &str, kind: &str, file: Vec<u8>) -> Result<Answer, Error> {
        let request = self.http.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, kind).body(file);
        self.answered(request).await
    }

    async fn answered(&self, request: reqwest::RequestBuilder) -> Result<Answer, Error> {
        let response = request.send().await.map_err(|e| Error::unreachable(&self.base, &e))?;
        let status = response.status().as_u16();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (position, etag) = (header("DCA-Position"), header("ETag"));
        let text = response.text().await.map_err(|e| Error::unreachable(&self.base, &e))?;
        if !(200..300).contains(&status) {
            return Err(Error::refused(status, &text));
        }
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).map_err(|_| Error::unexpected(status, &text))?
        };
        Ok(Answer { status, position, etag, body })
    }

    /// A body that may be large, read piece by piece. `path` as in [`Client::call`]; `form` is the media type to ask for.
    ///
    /// # Errors
    /// [`Error::Problem`] for every answer of 400 and above that the server explains.
    pub async fn download(&self, path: &str, form: &str) -> Result<Download, Error> {
        let request = self.http.get(format!("{}{path}", self.base)).header(ACCEPT, form);
        let response = request.send().await.map_err(|e| Error::unreachable(&self.base, &e))?;
        let status = response.status().as_u16();
        if !(200..300).contains(&status) {
            let text = response.text().await.map_err(|e| Error::unreachable(&self.base, &e))?;
            return Err(Error::refused(status, &text));
        }
        Ok(Download { response, base: self.base.clone() })
    }

    async fn typed<A: DeserializeOwned>(&self, path: &str, request: &impl Serialize) -> Result<A, Error> {
        let body = serde_json::to_value(request).map_err(|e| Error::Setup(e.to_string()))?;
        let answer = self.call(Method::Post, path, Some(&body)).await?;
        let text = answer.body.to_string();
        serde_json::from_value(answer.body).map_err(|_| Error::unexpected(answer.status, &text))
    }
}
