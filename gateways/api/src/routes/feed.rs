//! `GET /guilds/{g}/events`: the feed that programs pull. It begins where they say and tells every event of the guild once,
//! in the order of the log.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::GuildId;
use domain::outside;
use projections::{FeedItem, FeedPage};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant as Moment, timeout_at};
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::position;
use crate::extract::query::{Query, wrong};
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::instant::Instant;
use crate::render::json;
use crate::state::ApiState;

/// Longest wait for something new, in seconds.
const WAIT_MAX: u64 = 20;
/// Events that come close behind each other are told together.
const GATHER: Duration = Duration::from_millis(50);
/// Names and wildcards of one filter.
const TYPES_MAX: usize = 50;

/// What is told of an event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FeedItem)]
struct ItemBody<'a> {
    id: &'a str,
    position: i64,
    event: Option<&'static str>,
    r#type: &'a str,
    #[schema(value_type = doc::Time)]
    timestamp: Instant,
    aggregate_id: &'a str,
    sequence: u64,
    data: &'a Value,
}

/// A part of the feed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Feed)]
struct FeedBody<'a> {
    data: Vec<ItemBody<'a>>,
    #[schema(value_type = doc::Position)]
    next_after: String,
    #[schema(value_type = doc::Position)]
    head: String,
}

/// What is asked for.
struct Asked {
    after: i64,
    limit: u32,
    types: Vec<String>,
    wait: Duration,
}

/// Tells every event of a guild once, in the order of the log.
///
/// With `wait` it answers once there is something to tell, or the time is over.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/events",
    operation_id = "guilds_events",
    tag = "Guilds",
    params(doc::OfFeed),
    responses((status = 200, body = FeedBody<'static>)),
)]
pub(crate) async fn feed(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let query = read.query(&["after", "limit", "types", "wait"])?;
    let id: GuildId = ids.id("guild", "guild")?;
    access::guild(&read.state, &read.principal, id, access::EVENTS).await?;
    let asked = Asked {
        after: position::of_query(&read.state, &query, "after").await?,
        limit: query.limit()?,
        types: types(&query)?,
        wait: wait(&query)?,
    };
    let page = looked(&read.state, id, &asked).await?;
    let epoch = read.state.queries().epoch();
    let body = FeedBody {
        data: page.items.iter().map(ItemBody::new).collect(),
        next_after: format!("{epoch}.{}", page.next_after),
        head: format!("{epoch}.{}", page.head),
    };
    let mut response = json(StatusCode::OK, &body);
    stamp(&read.state, &mut response, None, page.next_after);
    Ok(response)
}

/// Looks until there is something to tell, the log was looked through only in part, or the time is over.
async fn looked(state: &ApiState, guild: GuildId, asked: &Asked) -> Result<FeedPage, ApiError> {
    let until = Moment::now() + asked.wait;
    let mut heard = state.queries().heard();
    let mut after = asked.after;
    loop {
        heard.borrow_and_update();
        let page = state.queries().feed(guild, after, asked.limit, &asked.types).await?;
        if !page.items.is_empty() || page.next_after < page.head || Moment::now() >= until {
            return Ok(page);
        }
        after = page.next_after;
        if matches!(timeout_at(until, heard.changed()).await, Ok(Ok(()))) {
            tokio::time::sleep(GATHER).await;
        }
    }
}

impl<'a> ItemBody<'a> {
    fn new(item: &'a FeedItem) -> Self {
        Self {
            id: &item.id,
            position: item.position,
            event: item.event,
            r#type: &item.event_type,
            timestamp: item.timestamp.into(),
            aggregate_id: &item.aggregate_id,
            sequence: item.sequence,
            data: &item.data,
        }
    }
}

/// Names of events with commas between them. A misspelt one would wait for ever for what never comes.
fn types(query: &Query) -> Result<Vec<String>, ApiError> {
    let Some(text) = query.text("types") else { return Ok(Vec::new()) };
    let types: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if types.len() > TYPES_MAX {
        return Err(wrong("types", &format!("may name {TYPES_MAX} events at most")));
    }
    match types.iter().find(|name| !outside::is_known(name)) {
        None => Ok(types),
        Some(unknown) => {
            let unknown: String = unknown.chars().take(64).collect();
            let detail = format!(
                "names `{unknown}`, which no event is called; take names such as license.created, or all of a kind: license.*"
            );
            Err(ApiError::impossible("?types", detail))
        }
    }
}

fn wait(query: &Query) -> Result<Duration, ApiError> {
    match query.get::<u64>("wait")?.unwrap_or(0) {
        seconds if seconds <= WAIT_MAX => Ok(Duration::from_secs(seconds)),
        seconds => Err(ApiError::impossible(
            "?wait",
            format!("must be from 0 to {WAIT_MAX} seconds, and is {seconds}"),
        )),
    }
}
