//! Who may do what: the door that opens with the rank of staff, the scope of an API key or a platform role, as the table in
//! `domain::rbac` says. Another tenant's things are answered as if they were not there.

use std::sync::Arc;

use axum::http::StatusCode;
use commands::Reach;
use domain::id::{GuildId, LicenseId};
use domain::rbac::{GivenBy, Permission};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use projections::{GuildFacts, LicenseFacts};

use super::principal::{Key, Principal, User};
use crate::error::{ApiError, Code};
use crate::render::Audience;
use crate::state::ApiState;

/// How many of many licenses are looked at at once.
const LOOKS: usize = 8;

/// What a handler asks for. What gives it stands in one table, in `domain::rbac`.
pub(crate) type Right = Permission;

/// See licenses, devices, history, types and rules.
pub(crate) const READ: Right = Permission::Read;
/// Take the events of the guild out, with their proof.
pub(crate) const AUDIT: Right = Permission::Audit;
/// Hold, resume.
pub(crate) const MODERATE: Right = Permission::Moderate;
/// Rename and free devices.
pub(crate) const DEVICES: Right = Permission::Devices;
/// Issue offline licenses.
pub(crate) const CERTIFY: Right = Permission::Certify;
/// Generate, assign, renew, rekey, change; types and rules.
pub(crate) const MANAGE: Right = Permission::Manage;
/// Hand on: staff at once, the owner by an offer.
pub(crate) const TRANSFER: Right = Permission::Transfer;
/// End for good.
pub(crate) const REVOKE: Right = Permission::Revoke;
/// Read the feed of events.
pub(crate) const EVENTS: Right = Permission::Events;
/// See license keys.
pub(crate) const REVEAL: Right = Permission::Reveal;
/// See the key of one license.
pub(crate) const REVEAL_ONE: Right = Permission::RevealOne;
/// Let removals happen that the brake held back.
pub(crate) const CONFIRM: Right = Permission::Confirm;
/// Issue, list and revoke API keys.
pub(crate) const CREDENTIALS: Right = Permission::Credentials;

/// Whether a key has the scope that gives a right.
pub(crate) fn of_key(right: Right, key: &Key) -> Result<(), ApiError> {
    match right.given_by().scope {
        Some(scope) => key.scope(scope),
        None => {
            Err(ApiError::new(Code::Forbidden, "No API key may do this: sign in as an admin of the server."))
        }
    }
}

fn refused(right: Right) -> ApiError {
    let detail = match right.given_by() {
        GivenBy { rank: Some(rank), .. } => {
            format!("This needs the rank `{}` or a higher one; ask somebody who has it.", rank.as_str())
        }
        GivenBy { rank: None, platform, .. } => {
            format!(
                "This needs the platform role `{platform}` or a higher one; an owner of the platform gives it."
            )
        }
    };
    ApiError::new(Code::Forbidden, detail)
}

/// Opens what is about the whole platform.
pub(crate) fn platform(principal: &Principal, right: Right) -> Result<(), ApiError> {
    match principal {
        Principal::Operator => Ok(()),
        Principal::Key(key) => of_key(right, key),
        Principal::User(user) if user.platform.is_some_and(|role| right.is_of_platform(role)) => Ok(()),
        Principal::User(_) => Err(refused(right)),
    }
}

/// As what somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Staff, a secret key, the operator, or somebody with a platform role.
    Staff,
    /// The owner of the license.
    Owner,
}

impl Standing {
    /// Who reads the answer.
    pub(crate) const fn audience(self) -> Audience {
        match self {
            Self::Staff => Audience::Staff,
            Self::Owner => Audience::Owner,
        }
    }
}

/// A license that the principal may do the asked to.
#[derive(Debug, Clone)]
pub(crate) struct LicenseAccess {
    pub(crate) facts: Arc<LicenseFacts>,
    pub(crate) standing: Standing,
    pub(crate) guild: GuildId,
}

/// Opens a guild.
pub(crate) async fn guild(
    state: &ApiState,
    principal: &Principal,
    id: GuildId,
    right: Right,
) -> Result<Arc<GuildFacts>, ApiError> {
    let absent = || ApiError::not_found("guild");
    if let Principal::Key(key) = principal {
        if key.guild != id {
            return Err(absent());
        }
        of_key(right, key)?;
    }
    let facts = state.queries().guild(id).await?.ok_or_else(absent)?;
    if let Principal::User(user) = principal {
        match user.rank(state, &facts).await? {
            Some(rank) if right.is_of_rank(rank) => {}
            Some(_) => return Err(refused(right)),
            None => return Err(absent()),
        }
    }
    Ok(facts)
}

/// Whether a door opened; that it stayed shut for lack of a right is no error.
pub(crate) fn may<T>(opened: Result<T, ApiError>) -> Result<bool, ApiError> {
    match opened {
        Ok(_) => Ok(true),
        Err(error) if error.status() == StatusCode::FORBIDDEN => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a license.
pub(crate) async fn license(
    state: &ApiState,
    principal: &Principal,
    id: LicenseId,
    right: Right,
) -> Result<LicenseAccess, ApiError> {
    let absent = || ApiError::not_found("license");
    if let Principal::Key(key) = principal {
        of_key(right, key)?;
    }
    let facts = state.queries().license(id).await?.ok_or_else(absent)?;
    let guild = facts.license.guild.ok_or_else(absent)?;
    let standing = match principal {
        Principal::Operator => Standing::Staff,
        Principal::Key(key) if key.guild == guild => Standing::Staff,
        Principal::Key(_) => return Err(absent()),
        Principal::User(user) => of_user(state, user, &facts, guild, right).await?,
    };
    Ok(LicenseAccess { facts, standing, guild })
}

/// The guilds that a list may hold things of: the one that is named, or all in which the principal has `right`. `None` is
/// everything.
pub(crate) async fn guilds(
    state: &ApiState,
    principal: &Principal,
    named: Option<GuildId>,
    right: Right,
) -> Result<Option<Vec<GuildId>>, ApiError> {
    if let Some(id) = named {
        guild(state, principal, id, right).await?;
        return Ok(Some(vec![id]));
    }
    match principal {
        Principal::Operator => Ok(None),
        Principal::User(user) if user.platform.is_some_and(|role| right.is_of_platform(role)) => Ok(None),
        Principal::Key(key) => of_key(right, key).map(|()| Some(vec![key.guild])),
        Principal::User(user) => {
            let own = match right.given_by().rank {
                Some(rank) => user.guilds(state, rank).await?,
                None => Vec::new(),
            };
            if own.is_empty() { Err(refused(right)) } else { Ok(Some(own)) }
        }
    }
}

/// What the principal may do with each of many licenses that `right` asks for. Where a look tells nothing that the
/// command does not find out, none is taken.
pub(crate) async fn reaches(
    state: &ApiState,
    principal: &Principal,
    ids: &[LicenseId],
    right: Right,
) -> Result<Vec<(LicenseId, Reach)>, ApiError> {
    let all = |reach| ids.iter().map(|id| (*id, reach)).collect();
    match principal {
        Principal::Operator => Ok(all(Reach::Everywhere)),
        Principal::Key(key) => of_key(right, key).map(|()| all(Reach::Guild(key.guild))),
        Principal::User(_) => {
            let looked = stream::iter(ids.to_vec()).map(|id| async move {
                match license(state, principal, id, right).await {
                    Ok(found) => Ok((id, Reach::Guild(found.guild))),
                    Err(error) if error.status() == StatusCode::NOT_FOUND => Ok((id, Reach::Nothing)),
                    Err(error) if error.status() == StatusCode::FORBIDDEN => Ok((id, Reach::Seen)),
                    Err(error) => Err(error),
                }
            });
            looked.buffered(LOOKS).try_collect().await
        }
    }
}

async fn of_user(
    state: &ApiState,
    user: &User,
    facts: &LicenseFacts,
    guild: GuildId,
    right: Right,
) -> Result<Standing, ApiError> {
    let rank = match state.queries().guild(guild).await? {
        Some(guild) => user.rank(state, &guild).await?,
        None => None,
    };
    let owns = facts.license.owner.as_ref().is_some_and(|owner| owner.id == user.id);
    match (rank, owns) {
        (Some(rank), _) if right.is_of_rank(rank) => Ok(Standing::Staff),
        (_, true) if right.given_by().owner => Ok(Standing::Owner),
        (None, false) => Err(ApiError::not_found("license")),
        (Some(_), _) | (None, true) => Err(refused(right)),
    }
}
