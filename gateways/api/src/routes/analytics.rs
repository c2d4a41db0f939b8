//! `GET /admin/analytics`: numbers of one guild, or of all in which the caller may read: what licenses there are now, and what
//! happened on each day.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::GuildId;
use domain::time::Timestamp;
use projections::{Analytics, DAY_MS, Day};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::query::{Query, wrong};
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::instant::Instant;
use crate::render::json;

/// Days of one answer, a leap year.
const DAYS_MAX: i64 = 366;
/// Days where none are named.
const DAYS_DEFAULT: i64 = 30;

/// Numbers of one or more guilds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Analytics)]
struct AnalyticsBody {
    #[schema(value_type = doc::Day)]
    from: String,
    #[schema(value_type = doc::Day)]
    to: String,
    /// The instant of every status.
    #[schema(value_type = doc::Time)]
    at: Instant,
    licenses: LicensesBody,
    active_devices: u64,
    days: Vec<DayBody>,
}

/// What licenses there are.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LicenseCounts)]
struct LicensesBody {
    total: u64,
    #[schema(value_type = doc::StatusCounts)]
    by_status: BTreeMap<&'static str, u64>,
    by_type: Vec<TypeCounts>,
}

/// What licenses of a type there are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TypeCounts {
    #[schema(value_type = doc::Snowflake)]
    guild_id: GuildId,
    r#type: String,
    total: u64,
    #[schema(value_type = doc::StatusCounts)]
    by_status: BTreeMap<&'static str, u64>,
}

/// What happened on a day in UTC.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DayCounts)]
struct DayBody {
    #[schema(value_type = doc::Day)]
    date: String,
    created: u64,
    revoked: u64,
    expired: u64,
    activations: u64,
}

/// Counts licenses and what happened on each day.
///
/// Of `guildId`, or of every guild in which the caller may read; days are those of UTC.
#[utoipa::path(
    get,
    path = "/admin/analytics",
    operation_id = "analytics_get",
    tag = "Many licenses",
    params(doc::OfAnalytics),
    responses((status = 200, body = AnalyticsBody)),
)]
pub(crate) async fn numbers(read: Read) -> Result<Response, ApiError> {
    let query = read.query(&["guildId", "from", "to"])?;
    let named: Option<GuildId> = query.get("guildId")?;
    let (from, to) = days(&query, read.now)?;
    let queries = read.state.queries();
    let guilds = match access::guilds(&read.state, &read.principal, named, access::READ).await? {
        Some(guilds) => guilds,
        None => queries.guilds().await?.iter().filter_map(|facts| facts.guild.id).collect(),
    };
    let span = (Timestamp(from * DAY_MS), Timestamp((to + 1) * DAY_MS));
    let shown = queries.checkpoint();
    let numbers = queries.analytics(&guilds, span, read.now).await?;
    let body = AnalyticsBody {
        from: date(from),
        to: date(to),
        at: read.now.into(),
        licenses: LicensesBody::new(&numbers),
        active_devices: numbers.devices,
        days: (from..=to).map(|day| DayBody::new(day, numbers.days.get(&day))).collect(),
    };
    let mut response = json(StatusCode::OK, &body);
    stamp(&read.state, &mut response, None, shown);
    Ok(response)
}

/// The first and the last day, counted from 1970.
fn days(query: &Query, now: Timestamp) -> Result<(i64, i64), ApiError> {
    let to = day(query, "to")?.unwrap_or(now.ms() / DAY_MS);
    let from = day(query, "from")?.unwrap_or((to - DAYS_DEFAULT + 1).max(0));
    if from > to {
        return Err(ApiError::impossible("?from", "must not lie after `to`"));
    }
    if to - from >= DAYS_MAX {
        let detail = format!("may lie {DAYS_MAX} days before `to` at most, and are {}", to - from + 1);
        return Err(ApiError::impossible("?from", detail));
    }
    Ok((from, to))
}

/// A day such as 2026-11-23.
fn day(query: &Query, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let instant = Some(text).filter(|text| text.len() == 10).map(|text| format!("{text}T00:00:00Z"));
    let parsed: Option<Timestamp> = instant.and_then(|text| text.parse().ok());
    let day = parsed.ok_or_else(|| wrong(name, &"must be a day in UTC, such as 2026-11-23"))?;
    Ok(Some(day.ms() / DAY_MS))
}

fn date(day: i64) -> String {
    Timestamp(day * DAY_MS).to_string().chars().take(10).collect()
}

impl LicensesBody {
    fn new(numbers: &Analytics) -> Self {
        let mut all = Self::default();
        for ((guild_id, slug), counts) in &numbers.licenses {
            let by_status: BTreeMap<&'static str, u64> =
                counts.iter().map(|(status, count)| (status.as_str(), *count)).collect();
            for (status, count) in &by_status {
                *all.by_status.entry(status).or_default() += count;
            }
            let total = by_status.values().sum();
            all.total += total;
            all.by_type.push(TypeCounts { guild_id: *guild_id, r#type: slug.clone(), total, by_status });
        }
        all
    }
}

impl DayBody {
    fn new(day: i64, numbers: Option<&Day>) -> Self {
        let Day { created, revoked, expired, activations } = numbers.copied().unwrap_or_default();
        Self { date: date(day), created, revoked, expired, activations }
    }
}
