//! New licenses with their keys, as JSON, JSON Lines or CSV. A hundred thousand of them are written part by part while they
//! are sent, so that no more than a part of the answer is in memory beside the licenses themselves.

use std::io;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use domain::key::{self, Prefix};
use domain::license::License;
use futures::{StreamExt as _, stream};

use crate::answer::Reader;
use crate::error::ApiError;
use crate::extract::accept::Form;
use crate::open;
use crate::recipe::Lot;
use crate::render::license::{Keyed, LicenseBody};
use crate::render::rows::{self, Row};
use crate::render::stream as files;
use crate::state::ApiState;

/// Licenses of one part.
const PART: usize = 500;

/// 201 with all of them. The first part is written before the answer begins; one that breaks off later breaks the connection.
pub(crate) async fn answer(
    state: &ApiState,
    reader: Reader,
    licenses: &Lot,
    prefix: &Prefix,
) -> Result<Response, ApiError> {
    let first = part(state, reader, licenses, prefix, 0).await?;
    let body = if licenses.len() <= PART {
        Body::from(first)
    } else {
        let begins = (PART..licenses.len()).step_by(PART);
        let (state, licenses, prefix) = (state.clone(), licenses.clone(), prefix.clone());
        let rest =
            stream::iter(begins).then(move |begin| {
                let (state, licenses, prefix) = (state.clone(), licenses.clone(), prefix.clone());
                async move {
                    part(&state, reader, &licenses, &prefix, begin).await.map_err(|error| broken(&error))
                }
            });
        Body::from_stream(stream::once(async move { Ok::<_, io::Error>(first) }).chain(rest))
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(files::kind(reader.form)));
    Ok(response)
}

fn broken(error: &ApiError) -> io::Error {
    tracing::error!(code = error.code(), "an answer broke off while it was sent");
    io::Error::other("the answer broke off")
}

/// The licenses from `begin` on, with what stands before the first and behind the last.
async fn part(
    state: &ApiState,
    reader: Reader,
    licenses: &Lot,
    prefix: &Prefix,
    begin: usize,
) -> Result<Vec<u8>, ApiError> {
    let end = licenses.len().min(begin + PART);
    let some = licenses.part(state.commands(), begin..end).await?;
    let opened = open::licenses(state, &some).await?;
    let text = |license: &License| key::render(state.mac(), prefix, license.id, license.key);
    if reader.form != Form::Json {
        let mut written = if begin == 0 { rows::head(reader.form, true)? } else { Vec::new() };
        let row = |(license, personal)| Row { license, personal, key: Some(text(license)) };
        let rows: Vec<Row<'_>> = some.iter().zip(&opened).map(row).collect();
        written.extend(rows::written(reader.form, &rows, reader.now)?);
        return Ok(written);
    }
    let mut written = Vec::new();
    for (index, (license, personal)) in some.iter().zip(&opened).enumerate() {
        written.extend_from_slice(if begin + index == 0 { br#"{"data":["# } else { b"," });
        let body = LicenseBody::new(license, personal, reader.audience, reader.now);
        let keyed = Keyed { license: body, key: text(license) };
        serde_json::to_writer(&mut written, &keyed).map_err(|error| {
            tracing::error!(%error, "a license has no JSON form");
            ApiError::internal()
        })?;
    }
    if end == licenses.len() {
        written.extend_from_slice(br#"],"nextCursor":null}"#);
    }
    Ok(written)
}
