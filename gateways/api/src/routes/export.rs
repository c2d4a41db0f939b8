//! `GET /admin/licenses/export`: the licenses that a list of staff's would hold, whole, as CSV or as JSON Lines. Keys are
//! in it only for whoever asks for them and may see them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::response::Response;
use domain::id::GuildId;
use domain::key::{self, Prefix};
use domain::security::Event;
use domain::time::Timestamp;
use projections::{LicenseFacts, LicenseFilter, Page};

use crate::error::ApiError;
use crate::extract::accept::Form;
use crate::extract::access;
use crate::extract::read::Read;
use crate::openapi::types as doc;
use crate::render::rows::{self, Row};
use crate::render::stream::{self, Written};
use crate::routes::licenses;
use crate::state::ApiState;

const MEMBERS: [&str; 7] = ["guildId", "userId", "status", "type", "q", "expiresBefore", "keys"];

/// What one file holds, and how.
#[derive(Clone)]
struct File {
    filter: LicenseFilter,
    form: Form,
    has_keys: bool,
    /// The instant of every status in it, however long it takes to send.
    now: Timestamp,
}

/// Exports what a list of licenses holds, whole, as CSV or JSON Lines.
///
/// The file is sent while it is read.
#[utoipa::path(
    get,
    path = "/admin/licenses/export",
    operation_id = "licenses_export",
    tag = "Many licenses",
    params(doc::LicenseFilters, ("keys" = Option<bool>, Query)),
    responses((status = 200, content((String = "text/csv"), (String = "application/jsonl")))),
)]
pub(crate) async fn export(read: Read) -> Result<Response, ApiError> {
    let query = read.query(&MEMBERS)?;
    let mut filter = licenses::asked(&read, &query)?;
    let has_keys = query.flag("keys")?;
    let named = query.get("guildId")?;
    filter.guilds = access::guilds(&read.state, &read.principal, named, access::READ).await?;
    if has_keys {
        filter.guilds = access::guilds(&read.state, &read.principal, named, access::REVEAL).await?;
    }
    // A file is a table unless lines are asked for.
    let form = if read.form == Form::Lines { Form::Lines } else { Form::Csv };
    if has_keys {
        record(&read, filter.guilds.as_deref(), form).await?;
    }
    let file = File { filter, form, has_keys, now: read.now };
    let state = read.state.clone();
    stream::pages(form, rows::head(form, has_keys)?, move |page| {
        let (state, file) = (state.clone(), file.clone());
        async move { written(&state, &file, page).await }
    })
    .await
}

/// Records, before the first key leaves, that keys of these guilds are taken out; without any, those of all.
async fn record(read: &Read, guilds: Option<&[GuildId]>, form: Form) -> Result<(), ApiError> {
    let format = if form == Form::Lines { "jsonl" } else { "csv" };
    let fact = |guild| (guild, Event::KeysExported { format: format.to_owned(), at: read.now });
    let facts = match guilds {
        Some(guilds) => guilds.iter().map(|guild| fact(Some(*guild))).collect(),
        None => vec![fact(None)],
    };
    read.state.commands().record_security(&read.context(None), facts).await?;
    Ok(())
}

async fn written(state: &ApiState, file: &File, page: Page) -> Result<Written, ApiError> {
    let found = state.queries().licenses(&file.filter, page, file.now).await?;
    let prefixes = if file.has_keys { prefixes(state, &found.data).await? } else { HashMap::new() };
    let usual = Prefix::default();
    let key = |facts: &Arc<LicenseFacts>| {
        let license = &facts.license;
        let prefix = license.guild.and_then(|guild| prefixes.get(&guild)).unwrap_or(&usual);
        file.has_keys.then(|| key::render(state.mac(), prefix, license.id, license.key))
    };
    let keys: Vec<Option<Option<String>>> = found.data.iter().map(key).collect();
    let rows: Vec<Row<'_>> = found
        .data
        .iter()
        .zip(keys)
        .map(|(facts, key)| Row { license: &facts.license, personal: &facts.personal, key })
        .collect();
    Ok((rows::written(file.form, &rows, file.now)?, found.next))
}

/// How the keys of each guild begin.
async fn prefixes(
    state: &ApiState,
    licenses: &[Arc<LicenseFacts>],
) -> Result<HashMap<GuildId, Prefix>, ApiError> {
    let guilds: HashSet<GuildId> = licenses.iter().filter_map(|facts| facts.license.guild).collect();
    let mut prefixes = HashMap::with_capacity(guilds.len());
    for guild in guilds {
        let facts = state.queries().guild(guild).await?;
        let prefix = facts.map(|facts| facts.guild.settings.key_prefix.clone()).unwrap_or_default();
        prefixes.insert(guild, prefix);
    }
    Ok(prefixes)
}
