//! `asOf`, `…/diff` and `…/replay`: what licenses and guilds were, what changed between two instants, and whether the log
//! still gives what the read model shows. Who may read a thing today may read what it was; what was somebody else's then
//! is shown to an owner without what is personal.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use domain::id::{GuildId, LicenseId, Pseudonym};
use domain::time::Timestamp;
use projections::{AsOf, GuildFacts, HistoryEntry, LicenseFacts, LicenseFilter, Owned, Page};
use serde::Serialize;
use serde_json::{Value, json as value};
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access::{self, LicenseAccess, Standing};
use crate::extract::as_of::{instant, not_yet};
use crate::extract::path::PathIds;
use crate::extract::principal::Principal;
use crate::extract::read::{Read, page};
use crate::openapi::types as doc;
use crate::render::diff::{Change, changes};
use crate::render::guild::{RuleBody, TypeBody};
use crate::render::history::{EntryBody, EventBody, Viewer};
use crate::render::instant::Instant;
use crate::render::license::{DeviceBody, LicenseBody};
use crate::render::{Audience, List, json};
use crate::routes::guilds;

const BOUNDS: [&str; 4] = ["from", "to", "limit", "cursor"];

/// One end of a difference.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DiffEnd)]
struct End {
    version: u64,
    position: i64,
    #[schema(value_type = doc::Time)]
    updated_at: Instant,
}

/// What changed between two instants, and what happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Diff)]
struct DiffBody<E> {
    from: End,
    to: End,
    changes: Vec<Change>,
    events: List<E>,
}

/// One event of a replay, and what it changed.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayStep)]
struct StepBody<'a> {
    #[serde(flatten)]
    event: EntryBody<'a>,
    changes: Vec<Change>,
}

/// The read model against the log.
#[derive(Serialize, ToSchema)]
#[schema(as = Replay)]
struct ReplayBody<'a> {
    #[serde(rename = "readModel")]
    read_model: Value,
    #[serde(flatten)]
    steps: List<StepBody<'a>>,
}

/// How a reader sees a license at any of its instants.
#[derive(Clone, Copy)]
struct Eye<'a> {
    standing: Standing,
    /// The owner of today.
    owner: Option<&'a Pseudonym>,
}

impl<'a> Eye<'a> {
    fn of(found: &'a LicenseAccess) -> Self {
        Self { standing: found.standing, owner: owner(&found.facts) }
    }

    fn is_foreign(self, facts: &LicenseFacts) -> bool {
        self.standing == Standing::Owner && owner(facts) != self.owner
    }

    fn body(self, facts: &LicenseFacts, at: Timestamp) -> LicenseBody<'_> {
        let is_foreign = self.is_foreign(facts);
        let audience = if is_foreign { Audience::Publishable } else { self.standing.audience() };
        let mut body = LicenseBody::new(&facts.license, &facts.personal, audience, at);
        if is_foreign {
            body.hide_metadata();
        }
        body
    }

    /// The license with its devices by their ids, to be compared.
    fn state(self, facts: &LicenseFacts, at: Timestamp) -> Result<Value, ApiError> {
        let mut state = plain(&self.body(facts, at))?;
        if !self.is_foreign(facts) {
            let (license, personal) = (&facts.license, &facts.personal);
            let device = |one| DeviceBody::new(license, personal, one, None, at);
            let devices: BTreeMap<&str, DeviceBody<'_>> =
                license.devices.iter().map(|one| (one.device_id.as_str(), device(one))).collect();
            state["devices"] = plain(&devices)?;
        }
        Ok(state)
    }
}

fn owner(facts: &LicenseFacts) -> Option<&Pseudonym> {
    facts.license.owner.as_ref().map(|owner| &owner.id)
}

/// A body as a value. Bodies are plain objects of text and numbers, so each has one.
fn plain(body: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(body).map_err(|error| {
        tracing::error!(%error, "a body has no JSON form");
        ApiError::internal()
    })
}

/// `GET /licenses/{id}?asOf=`.
pub(crate) async fn license(
    read: &Read,
    found: &LicenseAccess,
    id: LicenseId,
    as_of: AsOf,
) -> Result<Response, ApiError> {
    let (facts, at) = license_then(read, id, as_of).await?;
    let mut response = json(StatusCode::OK, &Eye::of(found).body(&facts, at));
    stamp(&read.state, &mut response, Some(facts.license.version), facts.position);
    Ok(response)
}

/// A license as it was, and the clock by which its status is asked for.
async fn license_then(
    read: &Read,
    id: LicenseId,
    as_of: AsOf,
) -> Result<(LicenseFacts, Timestamp), ApiError> {
    let queries = read.state.queries();
    let facts = queries.license_as_of(id, as_of).await?.ok_or_else(|| not_yet("license"))?;
    let at = queries.instant_of(as_of).await?.unwrap_or(facts.license.updated_at);
    Ok((facts, at))
}

/// `GET /guilds/{g}?asOf=`.
pub(crate) async fn guild(read: &Read, id: GuildId, as_of: AsOf) -> Result<GuildFacts, ApiError> {
    read.state.queries().guild_as_of(id, as_of).await?.ok_or_else(|| not_yet("guild"))
}

/// `GET /licenses?asOf=`: a person sees what he had then of what he has today; staff and keys, what anybody had.
pub(crate) async fn list(
    read: &Read,
    filter: &LicenseFilter,
    audience: Audience,
    as_of: AsOf,
    page: Page,
) -> Result<Response, ApiError> {
    let Some(owner) = &filter.owner else {
        let detail = "goes with `userId` only: it shows the licenses that one person had then";
        return Err(ApiError::impossible("?asOf", detail));
    };
    let owned = if audience == Audience::Owner { Owned::Now } else { Owned::Ever };
    let queries = read.state.queries();
    let found = queries.licenses_as_of((owner, owned), filter, as_of, page).await?;
    let at = queries.instant_of(as_of).await?;
    let data = found.data.iter().map(|facts| {
        LicenseBody::new(&facts.license, &facts.personal, audience, at.unwrap_or(facts.license.updated_at))
    });
    let next_cursor = found.next.as_ref().map(ToString::to_string);
    Ok(json(StatusCode::OK, &List { data: data.collect(), next_cursor }))
}

/// Compares a license at two instants, and lists what happened in between.
///
/// Member by member from `from` to `to`, which is now unless it is said.
#[utoipa::path(
    get,
    path = "/licenses/{id}/diff",
    operation_id = "licenses_diff",
    tag = "Licenses",
    params(doc::Between, doc::Paging),
    responses((status = 200, body = DiffBody<EntryBody<'static>>)),
)]
pub(crate) async fn license_diff(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let query = read.query(&BOUNDS)?;
    let (from, to) = (required(instant(&read, &query, "from")?)?, instant(&read, &query, "to")?);
    let page = page(&query)?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&read.state, &read.principal, id, access::READ).await?;
    let (old, old_at) = license_then(&read, id, from).await?;
    let (new, new_at) = match to {
        Some(to) => license_then(&read, id, to).await?,
        None => (LicenseFacts::clone(&found.facts), read.now),
    };
    in_order(old.position, new.position)?;
    let eye = Eye::of(&found);
    let entries = read.state.queries().history_between(id, old.position, new.position, page).await?;
    let entries = entries.ok_or_else(|| ApiError::not_found("license"))?;
    let viewer = viewer(&found, &read.principal);
    let events = entries.data.iter().map(|entry| EntryBody::new(entry, viewer).without_state()).collect();
    let body = DiffBody {
        from: End::of_license(&old),
        to: End::of_license(&new),
        changes: changes(&eye.state(&old, old_at)?, &eye.state(&new, new_at)?),
        events: List { data: events, next_cursor: entries.next.as_ref().map(ToString::to_string) },
    };
    let mut response = json(StatusCode::OK, &body);
    stamp(&read.state, &mut response, Some(new.license.version), new.position);
    Ok(response)
}

/// Compares a guild, its license types and its rules at two instants, and lists what happened in between.
#[utoipa::path(
    get,
    path = "/guilds/{guild}/diff",
    operation_id = "guilds_diff",
    tag = "Guilds",
    params(doc::Between, doc::Paging),
    responses((status = 200, body = DiffBody<EventBody<'static>>)),
)]
pub(crate) async fn guild_diff(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let query = read.query(&BOUNDS)?;
    let (from, to) = (required(instant(&read, &query, "from")?)?, instant(&read, &query, "to")?);
    let page = page(&query)?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&read.state, &read.principal, id, access::READ).await?;
    let old = guild(&read, id, from).await?;
    let new = match to {
        Some(to) => Arc::new(guild(&read, id, to).await?),
        None => facts,
    };
    in_order(old.position, new.position)?;
    let found = read.state.queries().guild_events(id, old.position, new.position, page).await?;
    let events = found.data.iter().map(|(event, reason)| EventBody::new(event, reason.as_deref())).collect();
    let body = DiffBody {
        from: End::of_guild(&old),
        to: End::of_guild(&new),
        changes: changes(&guild_state(&old)?, &guild_state(&new)?),
        events: List { data: events, next_cursor: found.next.as_ref().map(ToString::to_string) },
    };
    let mut response = json(StatusCode::OK, &body);
    stamp(&read.state, &mut response, Some(new.guild.version), new.position);
    Ok(response)
}

/// A guild with its license types by their slugs and its rules by their ids, to be compared.
fn guild_state(facts: &GuildFacts) -> Result<Value, ApiError> {
    let guild = &facts.guild;
    let types: BTreeMap<&str, TypeBody<'_>> =
        guild.types.values().map(|one| (one.slug.as_str(), TypeBody::new(guild, one))).collect();
    let rules: BTreeMap<String, RuleBody<'_>> =
        guild.active_rules().map(|one| (one.id.to_string(), RuleBody::new(guild, one))).collect();
    let mut state = plain(&guilds::body(facts))?;
    state["licenseTypes"] = plain(&types)?;
    state["roleRules"] = plain(&rules)?;
    Ok(state)
}

/// Replays the events of a license, with what each changed, and compares the read model with the log.
#[utoipa::path(
    get,
    path = "/licenses/{id}/replay",
    operation_id = "licenses_replay",
    tag = "Licenses",
    params(doc::Paging),
    responses((status = 200, body = ReplayBody<'static>)),
)]
pub(crate) async fn replay(read: Read, ids: PathIds) -> Result<Response, ApiError> {
    let page = read.page()?;
    let id: LicenseId = ids.id("id", "license")?;
    let found = access::license(&read.state, &read.principal, id, access::READ).await?;
    let entries =
        read.state.queries().history(id, page).await?.ok_or_else(|| ApiError::not_found("license"))?;
    let read_model = compared(&read, id).await?;
    let (eye, viewer) = (Eye::of(&found), viewer(&found, &read.principal));
    let mut before = match entries.data.first() {
        Some(first) if first.recorded.sequence > 1 => {
            let (facts, at) = license_then(&read, id, AsOf::Version(first.recorded.sequence - 1)).await?;
            eye.state(&facts, at)?
        }
        _ => value!({}),
    };
    let mut steps = Vec::new();
    for entry in &entries.data {
        let after = eye.state(&after(entry), entry.state_after.updated_at)?;
        let event = EntryBody::new(entry, viewer).without_state();
        steps.push(StepBody { event, changes: changes(&before, &after) });
        before = after;
    }
    let next_cursor = entries.next.as_ref().map(ToString::to_string);
    let body = ReplayBody { read_model, steps: List { data: steps, next_cursor } };
    let mut response = json(StatusCode::OK, &body);
    stamp(&read.state, &mut response, Some(found.facts.license.version), found.facts.position);
    Ok(response)
}

/// The license after an event of its history.
fn after(entry: &HistoryEntry) -> LicenseFacts {
    LicenseFacts {
        license: entry.state_after.clone(),
        personal: entry.personal_after.clone(),
        position: entry.recorded.position,
    }
}

/// The row of the read model against the fold of as many events: where they differ, by name. A row that is not there yet
/// is no difference.
async fn compared(read: &Read, id: LicenseId) -> Result<Value, ApiError> {
    let queries = read.state.queries();
    let filter = LicenseFilter { id: Some(id), ..LicenseFilter::default() };
    let rows = queries.licenses(&filter, Page { limit: 1, cursor: None }, read.now).await?;
    let Some(row) = rows.data.first() else {
        return Ok(value!({ "version": 0, "matches": Value::Null, "differences": [] }));
    };
    let version = row.license.version;
    let (folded, _) = license_then(read, id, AsOf::Version(version)).await?;
    let differing = changes(&plain(&row.license)?, &plain(&folded.license)?);
    let mut differences: Vec<String> = differing.into_iter().map(|change| change.field).collect();
    if row.personal != folded.personal {
        differences.push("/personal".to_owned());
    }
    Ok(value!({ "version": version, "matches": differences.is_empty(), "differences": differences }))
}

fn viewer<'a>(found: &LicenseAccess, principal: &'a Principal) -> Viewer<'a> {
    match (found.standing, principal) {
        (Standing::Owner, Principal::User(user)) => Viewer::Owner(&user.id),
        _ => Viewer::Staff,
    }
}

fn required(from: Option<AsOf>) -> Result<AsOf, ApiError> {
    let detail = "is missing: the instant from which on changes are shown, such as `version:1`";
    from.ok_or_else(|| ApiError::invalid("?from", "MISSING_MEMBER", detail))
}

fn in_order(from: i64, to: i64) -> Result<(), ApiError> {
    if from > to { Err(ApiError::impossible("?from", "must not lie after `to`")) } else { Ok(()) }
}

impl End {
    fn of_license(facts: &LicenseFacts) -> Self {
        let license = &facts.license;
        Self { version: license.version, position: facts.position, updated_at: license.updated_at.into() }
    }

    fn of_guild(facts: &GuildFacts) -> Self {
        let guild = &facts.guild;
        Self { version: guild.version, position: facts.position, updated_at: guild.updated_at.into() }
    }
}
