//! A list sent whole, page by page, while it is read. The first page is read before the answer begins, so that what is
//! wrong with the request is a problem like any other; a list that breaks off later breaks the connection, so that nobody
//! takes its beginning for the whole.

use std::future::Future;
use std::io;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use projections::{Cursor, PAGE_MAX, Page};
use serde::Serialize;

use crate::error::ApiError;
use crate::extract::accept::Form;

/// The rows of a page, written, and where the next begins.
pub(crate) type Written = (Vec<u8>, Option<Cursor>);

/// The answer in `form`: `head`, then each page as `next` writes it.
pub(crate) async fn pages<F, N>(form: Form, mut head: Vec<u8>, next: F) -> Result<Response, ApiError>
where
    F: Fn(Page) -> N + Send + 'static,
    N: Future<Output = Result<Written, ApiError>> + Send + 'static,
{
    let (first, cursor) = next(Page::first(PAGE_MAX)).await?;
    head.extend(first);
    let rest = stream::try_unfold((next, cursor), |(next, cursor)| async move {
        let Some(cursor) = cursor else { return Ok(None) };
        match next(Page { limit: PAGE_MAX, cursor: Some(cursor) }).await {
            Ok((written, cursor)) => Ok(Some((written, (next, cursor)))),
            Err(error) => {
                tracing::error!(code = error.code(), "a list broke off while it was sent");
                Err(io::Error::other("the list broke off"))
            }
        }
    });
    let body = stream::once(async move { Ok::<_, io::Error>(head) }).chain(rest);
    let mut response = Response::new(Body::from_stream(body));
    let form = if form == Form::Csv { Form::Csv } else { Form::Lines };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind(form)));
    Ok(response)
}

/// The media type of a form.
pub(crate) const fn kind(form: Form) -> &'static str {
    match form {
        Form::Csv => "text/csv; charset=utf-8; header=present",
        Form::Lines => "application/jsonl",
        Form::Json => "application/json",
    }
}

/// One line of JSON Lines.
pub(crate) fn line(into: &mut Vec<u8>, row: &impl Serialize) -> Result<(), ApiError> {
    serde_json::to_writer(&mut *into, row).map_err(|error| {
        tracing::error!(%error, "a row has no JSON form");
        ApiError::internal()
    })?;
    into.push(b'\n');
    Ok(())
}
