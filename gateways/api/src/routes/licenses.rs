//! `GET /licenses`, `/licenses/{id}` and `/licenses/{id}/devices`: reading licenses.

use std::collections::HashMap;

use axum::http::StatusCode;
use axum::response::Response;
use domain::credential::Scope;
use domain::guild::StaffRole;
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym};
use domain::license::{Device, Status};
use domain::ports::Mac;
use domain::time::Timestamp;
use projections::LicenseFilter;
use uuid::Uuid;

use crate::answer::{last_seen, stamp};
use crate::error::{ApiError, Code};
use crate::extract::access;
use crate::extract::as_of;
use crate::extract::path::PathIds;
use crate::extract::principal::{Principal, User};
use crate::extract::query::{Query, wrong};
use crate::extract::read::{Read, page};
use crate::openapi::types as doc;
use crate::render::license::{DeviceBody, LicenseBody};
use crate::render::{Audience, List, json};
use crate::routes::past;

const MEMBERS: [&str; 9] =
    ["guildId", "userId", "status", "type", "q", "expiresBefore", "asOf", "limit", "cursor"];
const STATUSES: [Status; 8] = [
    Status::Generated,
    Status::Assigned,
    Status::Activated,
    Status::Active,
    Status::Renewed,
    Status::Suspended,
    Status::Expired,
    Status::Revoked,
];

/// Lists the licenses that the caller may see, newest first.
///
/// A person's own, a guild's for its staff and its keys, or all of them. With `asOf`, those that one person had then.
#[utoipa::path(
    get,
    path = "/licenses",
    operation_id = "licenses_list",
    tag = "Licenses",
    params(doc::LicenseFilters, ("asOf" = Option<doc::CommonInstant>, Query), doc::Paging),
    responses((status = 200, body = List<LicenseBody<'static>>)),
)]
pub(crate) async fn list(read: Read) -> Result<Response, ApiError> {
    let query = read.query(&MEMBERS)?;
    let (filter, audience) = filter(&read, &query).await?;
    if let Some(as_of) = as_of::common_instant(&read, &query, "asOf")? {
        return past::list(&read, &filter, audience, as_of, page(&query)?).await;
    }
    let found = read.state.queries().licenses(&filter, page(&query)?, read.now).await?;
    let data =
        found.data.iter().map(|facts| LicenseBody::new(&facts.license, &facts.personal, audience, read.now));
    let next_cursor = found.next.as_ref().map(ToString::to_string);
    Ok(json(StatusCode::OK, &List { data: data.collect(), next_cursor }))
}

/// What the caller asks for, as far as he may see it, and as whom he reads it.
async fn filter(read: &Read, query: &Query) -> Result<(LicenseFilter, Audience), ApiError> {
    let guild: Option<GuildId> = query.get("guildId")?;
    let mut filter = asked(read, query)?;
    let audience = match &read.principal {
        Principal::Operator => Audience::Staff,
        Principal::Key(key) => {
            key.scope(Scope::LicensesRead)?;
            if guild.is_some_and(|guild| guild != key.guild) {
                return Err(ApiError::not_found("guild"));
            }
            filter.guilds = Some(vec![key.guild]);
            Audience::Staff
        }
        Principal::User(person) => of_person(read, person, guild, &mut filter).await?,
    };
    Ok((filter, audience))
}

/// What a query asks for, whoever asks.
pub(crate) fn asked(read: &Read, query: &Query) -> Result<LicenseFilter, ApiError> {
    let guild: Option<GuildId> = query.get("guildId")?;
    let user: Option<DiscordId> = query.get("userId")?;
    let mut filter = LicenseFilter {
        guilds: guild.map(|guild| vec![guild]),
        owner: user.map(|user| Pseudonym::of(read.state.mac(), user)),
        status: query.text("status").map(status).transpose()?,
        license_type: query.text("type").map(str::to_owned),
        expires_before: query.get::<Timestamp>("expiresBefore")?,
        id: None,
    };
    if let Some(text) = query.text("q")
        && !search(read.state.mac(), text, &mut filter)
    {
        return Err(wrong("q", &SEARCHED));
    }
    Ok(filter)
}

/// Staff see the guild that they name, people with a platform role everything; everybody else sees what is his own.
async fn of_person(
    read: &Read,
    person: &User,
    guild: Option<GuildId>,
    filter: &mut LicenseFilter,
) -> Result<Audience, ApiError> {
    if person.is_everywhere(StaffRole::Auditor) {
        return Ok(Audience::Staff);
    }
    if let Some(guild) = guild
        && let Some(facts) = read.state.queries().guild(guild).await?
        && person.rank(&read.state, &facts).await? >= Some(StaffRole::Auditor)
    {
        return Ok(Audience::Staff);
    }
    if filter.owner.as_ref().is_some_and(|owner| *owner != person.id) {
        let detail =
            "Without staff rank in the guild that `guildId` names, only licenses of your own can be listed.";
        return Err(ApiError::new(Code::Forbidden, detail));
    }
    filter.owner = Some(person.id.clone());
    Ok(Audience::Owner)
}

/// What `q` may hold.
pub(crate) const SEARCHED: &str = "must be a license id or a Discord user id";

/// `q` finds a license by its id, or licenses by the id of their owner; `false` if it is neither.
pub(crate) fn search(mac: &dyn Mac, text: &str, filter: &mut LicenseFilter) -> bool {
    let text = text.trim();
    if text.is_empty() {
        return true;
    }
    if let Ok(id) = text.parse::<LicenseId>() {
        filter.id = Some(id);
    } else if let Ok(user) = text.parse::<DiscordId>() {
        filter.owner = Some(Pseudonym::of(mac, user));
    } else {
        return false;
    }
    true
}

fn status(text: &str) -> Result<Status, ApiError> {
    let known = || STATUSES.map(Status::as_str).join(", ");
    let found = STATUSES.into_iter().find(|status| status.as_str() == text);
    found.ok_or_else(|| wrong("status", &format!("must be one of {}", known())))
}

/// Shows a license, as it is or, with `asOf`, as it was.
#[utoipa::path(
    get,
    path = "/licenses/{id}",
    operation_id = "licenses_get",
    tag = "Licenses",
    params(("asOf" = Option<doc::AsOf>, Query)),
    responses((status = 200, body = LicenseBody<'static>)),
)]
pub(crate) async fn one(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let query = read.query(&["asOf"])?;
    let as_of = as_of::instant(&read, &query, "asOf")?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&read.state, &read.principal, id, access::READ).await?;
    if let Some(as_of) = as_of {
        return past::license(&read, &found, id, as_of).await;
    }
    let facts = &found.facts;
    let body = LicenseBody::new(&facts.license, &facts.personal, found.standing.audience(), read.now);
    let mut response = json(StatusCode::OK, &body);
    stamp(&read.state, &mut response, Some(facts.license.version), facts.position);
    Ok(response)
}

fn seen_at(seen: &HashMap<Uuid, Timestamp>, device: &Device) -> Option<Timestamp> {
    seen.get(&device.id).copied()
}

/// Lists the active devices of a license.
#[utoipa::path(
    get,
    path = "/licenses/{id}/devices",
    operation_id = "licenses_devices",
    tag = "Devices",
    responses((status = 200, body = List<DeviceBody<'static>>)),
)]
pub(crate) async fn devices(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    read.query(&[])?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&read.state, &read.principal, id, access::READ).await?;
    let (license, personal) = (&found.facts.license, &found.facts.personal);
    let seen = last_seen(&read.state, id).await;
    let row = |device| DeviceBody::new(license, personal, device, seen_at(&seen, device), read.now);
    let data = license.devices.iter().map(row).collect();
    let mut response = json(StatusCode::OK, &List::whole(data));
    stamp(&read.state, &mut response, Some(license.version), found.facts.position);
    Ok(response)
}
