//! `/openapi.json` and `/docs`: the document of this API, made from the code that answers, a page that shows it, and a page
//! that says what each code means. They say nothing of a tenant, so they are given to everybody. Nothing on the pages comes
//! from another server.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use sha2::{Digest, Sha256};
use utoipa_swagger_ui::{Config, serve};

use crate::error::{self, ApiError};
use crate::extract::path::PathIds;
use crate::extract::query::Query;
use crate::openapi;

/// The files of the document's page that come from its makers; there are more, which it does not need.
const TAKEN: [&str; 3] = ["favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css"];
/// What the page of codes may do: load its picture and its style. It runs nothing.
const READING: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// What the other page may do: load its own files, and ask this server.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// What is served as it is, until the program is another one.
struct Fixed {
    body: Bytes,
    kind: HeaderValue,
    tag: HeaderValue,
    policy: HeaderValue,
}

impl Fixed {
    fn new(body: Bytes, kind: &str) -> Self {
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&body)[..16]);
        // Media types and hexadecimal digits always make values.
        let value = |text: &str| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        Self { body, kind: value(kind), tag: value(&format!("\"{hash}\"")), policy: POLICY }
    }

    /// The answer: 304 to whoever has it already.
    fn answer(&self, asked: &HeaderMap) -> Response {
        let known = asked.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_it = |one: &str| one == "*" || one.trim_start_matches("W/").as_bytes() == self.tag.as_bytes();
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        if known.split(',').map(str::trim).any(is_it) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(CONTENT_TYPE, self.kind.clone());
            *response.body_mut() = Body::from(self.body.clone());
        }
        response
    }
}

static DOCUMENT: LazyLock<Fixed> =
    LazyLock::new(|| Fixed::new(Bytes::from(openapi::text()), "application/json"));
static PAGE: LazyLock<Fixed> = LazyLock::new(|| {
    let page = include_bytes!("../openapi/page/index.html");
    Fixed::new(Bytes::from_static(page), "text/html; charset=utf-8")
});
static ERRORS: LazyLock<Fixed> = LazyLock::new(|| {
    let page = Fixed::new(Bytes::from(error::page::page()), "text/html; charset=utf-8");
    Fixed { policy: READING, ..page }
});
static ASSETS: LazyLock<BTreeMap<&str, Fixed>> = LazyLock::new(|| {
    let config = Arc::new(Config::default());
    let taken = |name: &'static str| {
        let file = serve(name, config.clone()).ok().flatten()?;
        Some((name, Fixed::new(Bytes::from(file.bytes.into_owned()), &file.content_type)))
    };
    let start = Bytes::from_static(include_bytes!("../openapi/page/start.js"));
    let style = Bytes::from_static(include_bytes!("../openapi/page/errors.css"));
    let own =
        [("start.js", Fixed::new(start, "text/javascript")), ("errors.css", Fixed::new(style, "text/css"))];
    TAKEN.into_iter().filter_map(taken).chain(own).collect()
});

/// Shows this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "documentation_get",
    tag = "Documentation",
    responses((status = 200, body = Object), (status = 304)),
    security(()),
)]
pub(crate) async fn document(headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(DOCUMENT.answer(&headers))
}

/// Shows a page to read this document on, and to try it.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "documentation_page",
    tag = "Documentation",
    responses((status = 200, body = String, content_type = "text/html"), (status = 304)),
    security(()),
)]
pub(crate) async fn page(headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(PAGE.answer(&headers))
}

/// Shows what each code means and what helps; the `type` of a problem leads here.
#[utoipa::path(
    get,
    path = "/docs/errors",
    operation_id = "documentation_errors",
    tag = "Documentation",
    responses((status = 200, body = String, content_type = "text/html"), (status = 304)),
    security(()),
)]
pub(crate) async fn errors(headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(ERRORS.answer(&headers))
}

/// Shows a file of these pages.
#[utoipa::path(
    get,
    path = "/docs/{asset}",
    operation_id = "documentation_asset",
    tag = "Documentation",
    responses(
        (status = 200, content(
            (String = "text/css"), (String = "text/javascript"), ("image/png",)
        )),
        (status = 304),
    ),
    security(()),
)]
pub(crate) async fn asset(headers: HeaderMap, ids: PathIds, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    let asset = ASSETS.get(ids.text("asset")).ok_or_else(|| ApiError::not_found("file of the page"))?;
    Ok(asset.answer(&headers))
}
