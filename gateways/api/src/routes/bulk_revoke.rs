//! `POST /admin/licenses/revoke`: many licenses ended by one request, named by their ids or by the filters of
//! `GET /licenses` inside one guild. Which of them may end is the aggregate's matter.

use std::collections::HashSet;

use axum::http::StatusCode;
use axum::response::Response;
use commands::{REVOKE_MAX, Reach, Revocation, RevokeOrder};
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym};
use domain::license::{RevokeCategory, Status};
use domain::time::Timestamp;
use projections::{LicenseFilter, PAGE_MAX, Page};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::stamp;
use crate::error::{ApiError, Code, FieldError};
use crate::extract::access;
use crate::extract::body::Object;
use crate::extract::checks;
use crate::extract::principal::Principal;
use crate::extract::write::{Plan, Write};
use crate::openapi::types as doc;
use crate::recipe::{self, RevokedItem};
use crate::render::{Audience, json};
use crate::routes::{licenses, lifecycle};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RevokeManyRequest)]
struct RevokeMany {
    #[serde(default)]
    #[schema(value_type = Option<Vec<doc::LicenseId>>)]
    ids: Option<Vec<LicenseId>>,
    #[serde(default)]
    #[schema(value_type = Option<Filter>)]
    filter: Option<Object<Filter>>,
    #[schema(value_type = doc::RevokeMode)]
    mode: Mode,
    #[serde(default)]
    #[schema(value_type = Option<doc::RevokeCategory>)]
    category: Option<RevokeCategory>,
    #[schema(value_type = doc::Reason)]
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

/// Whether one that cannot be revoked keeps the others.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Mode {
    AllOrNothing,
    Each,
}

impl TryFrom<String> for Mode {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "all_or_nothing" => Ok(Self::AllOrNothing),
            "each" => Ok(Self::Each),
            _ => Err("must be all_or_nothing or each"),
        }
    }
}

/// The filters of `GET /licenses`, inside one guild.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LicenseFilter)]
struct Filter {
    #[schema(value_type = doc::Snowflake)]
    guild_id: GuildId,
    #[serde(default)]
    #[schema(value_type = Option<doc::Snowflake>)]
    user_id: Option<DiscordId>,
    #[serde(default)]
    #[schema(value_type = Option<doc::LicenseStatus>)]
    status: Option<Status>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    r#type: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Search>)]
    q: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<doc::Time>)]
    expires_before: Option<Timestamp>,
}

/// How the licenses of an order were named.
enum Named {
    Ids(Vec<LicenseId>),
    Filter(Filter),
}

impl RevokeMany {
    fn named(&mut self) -> Result<Named, ApiError> {
        match (self.ids.take(), self.filter.take()) {
            (Some(ids), None) => ids_once(ids).map(Named::Ids),
            (None, Some(Object(filter))) => Ok(Named::Filter(filter)),
            (None, None) => {
                Err(ApiError::invalid("/ids", "MISSING_MEMBER", "is missing; give it, or `filter`"))
            }
            (Some(_), Some(_)) => {
                let both = FieldError::new("/filter", "WRONG_FORM", "stands beside `ids`; give one of them");
                Err(ApiError::fields(Code::InvalidRequest, vec![both]))
            }
        }
    }
}

/// Ids, of which there are as many as may be, each once.
fn ids_once(ids: Vec<LicenseId>) -> Result<Vec<LicenseId>, ApiError> {
    if !(1..=REVOKE_MAX).contains(&ids.len()) {
        let detail = format!("must have 1 to {REVOKE_MAX} entries, and has {}", ids.len());
        return Err(ApiError::impossible("/ids", detail));
    }
    let mut seen = HashSet::new();
    match ids.iter().position(|id| !seen.insert(*id)) {
        None => Ok(ids),
        Some(twice) => {
            let detail = "stands there twice; give each id once";
            Err(ApiError::invalid(format!("/ids/{twice}"), "DUPLICATE_MEMBER", detail))
        }
    }
}

/// Ends licenses for good: all or none of them, or each that can be.
#[utoipa::path(
    post,
    path = "/admin/licenses/revoke",
    operation_id = "licenses_revoke_many",
    tag = "Many licenses",
    request_body = RevokeMany,
    responses((status = 200, body = Tried)),
)]
pub(crate) async fn revoke(write: Write) -> Result<Response, ApiError> {
    let mut asked: RevokeMany = write.json()?;
    let named = asked.named()?;
    checks::characters("/reason", asked.reason.trim(), 1, checks::REASON_MAX)?;
    let (is_dry_run, reason) = (asked.dry_run, checks::reason(Some(asked.reason))?);
    let category = lifecycle::category(asked.category)?;
    let (pointer, is_listed) = match &named {
        Named::Ids(_) => ("/ids", true),
        Named::Filter(_) => ("/filter", false),
    };
    let licenses = match named {
        Named::Ids(ids) => access::reaches(&write.state, &write.principal, &ids, access::REVOKE).await?,
        Named::Filter(filter) => {
            access::guild(&write.state, &write.principal, filter.guild_id, access::REVOKE).await?;
            if !is_dry_run && let Some(answer) = write.answered_before(Audience::Staff).await? {
                return Ok(answer);
            }
            found(&write, filter).await?
        }
    };
    let is_all_or_nothing = asked.mode == Mode::AllOrNothing;
    let order = RevokeOrder { licenses, category, is_all_or_nothing, is_dry_run, pointer, is_listed };
    perform(&write, order, reason).await
}

/// The licenses that a filter holds now.
async fn found(write: &Write, asked: Filter) -> Result<Vec<(LicenseId, Reach)>, ApiError> {
    let mac = write.state.mac();
    let mut filter = LicenseFilter {
        guilds: Some(vec![asked.guild_id]),
        owner: asked.user_id.map(|user| Pseudonym::of(mac, user)),
        status: asked.status,
        license_type: asked.r#type,
        expires_before: asked.expires_before,
        id: None,
    };
    if !licenses::search(mac, asked.q.as_deref().unwrap_or_default(), &mut filter) {
        return Err(ApiError::invalid("/filter/q", "WRONG_FORM", licenses::SEARCHED));
    }
    write.listed().await?;
    let (mut all, mut page) = (Vec::new(), Page::first(PAGE_MAX));
    loop {
        let found = write.state.queries().licenses(&filter, page, write.now).await?;
        all.extend(found.data.iter().map(|facts| (facts.license.id, Reach::Guild(asked.guild_id))));
        if all.len() > REVOKE_MAX {
            let detail = format!("holds more than {REVOKE_MAX} licenses; make it narrower");
            return Err(ApiError::impossible("/filter", detail));
        }
        match found.next {
            Some(cursor) => page = Page { limit: PAGE_MAX, cursor: Some(cursor) },
            None => return Ok(all),
        }
    }
}

async fn perform(write: &Write, order: RevokeOrder, reason: Option<String>) -> Result<Response, ApiError> {
    let tenant = match &write.principal {
        Principal::Key(key) => Some(key.guild),
        // Each license has its own; the order says which.
        Principal::Operator | Principal::User(_) => None,
    };
    let commands = write.state.commands();
    if order.is_dry_run {
        let forget = |_: &[Revocation]| Value::Null;
        let done = commands.revoke_many(&write.context(tenant, reason), &order, &forget).await?;
        let data = done.revocations.iter().map(RevokedItem::from).collect();
        let mut response = json(StatusCode::OK, &Tried { data, next_cursor: None, dry_run: true });
        stamp(&write.state, &mut response, None, write.state.queries().head());
        return Ok(response);
    }
    let plan = Plan { tenant, reason, audience: Audience::Staff, recipe: recipe::revoked(&[]) };
    let remember = |done: &[Revocation]| serde_json::to_value(recipe::revoked(done)).unwrap_or(Value::Null);
    write
        .perform(plan, |context| async move { commands.revoke_many(&context, &order, &remember).await })
        .await
}

/// What an order would do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RevokedList)]
struct Tried {
    data: Vec<RevokedItem>,
    next_cursor: Option<String>,
    dry_run: bool,
}
