//! Requests that name a license by its key: the key is opened before anything is looked up, and whoever asks must
//! either hold an API key of the license's guild or be its owner.

use domain::credential::ApiKeyKind;
use domain::credential::Scope;
use domain::id::GuildId;
use domain::key::{self, KeyError, OpenedKey};
use domain::verdict::Verdict;

use super::checks;
use super::principal::{Key, Principal};
use super::write::Write;
use crate::error::ApiError;
use crate::render::Audience;
use crate::state::ApiState;

/// A license named by its key.
pub(crate) struct Named {
    pub(crate) key: OpenedKey,
    pub(crate) tenant: Option<GuildId>,
    pub(crate) audience: Audience,
}

/// Opens the text of a license key.
pub(crate) fn open(state: &ApiState, text: &str) -> Result<OpenedKey, ApiError> {
    checks::key(text)?;
    key::open(state.mac(), text).map_err(|error| {
        let verdict = match error {
            KeyError::Malformed => Verdict::malformed_key(),
            KeyError::Forged => Verdict::not_found(),
        };
        ApiError::verdict(verdict.code, &verdict.detail)
    })
}

/// Opens a key on behalf of an API key with `scope`, or of the owner.
pub(crate) async fn named(write: &Write, text: &str, scope: Scope) -> Result<Named, ApiError> {
    let audience = match &write.principal {
        Principal::Key(key) => {
            key.scope(scope)?;
            audience(key)
        }
        Principal::User(_) => Audience::Owner,
        Principal::Operator => Audience::Staff,
    };
    let key = open(&write.state, text)?;
    let tenant = match &write.principal {
        Principal::Key(key) => Some(key.guild),
        Principal::Operator => None,
        Principal::User(user) => {
            let facts = write.state.queries().license(key.license).await?;
            let own =
                facts.filter(|facts| facts.license.owner.as_ref().is_some_and(|owner| owner.id == user.id));
            let verdict = Verdict::not_found();
            own.ok_or_else(|| ApiError::verdict(verdict.code, &verdict.detail))?.license.guild
        }
    };
    Ok(Named { key, tenant, audience })
}

/// Who reads the answer to an API key.
pub(crate) const fn audience(key: &Key) -> Audience {
    match key.kind {
        ApiKeyKind::Publishable => Audience::Publishable,
        ApiKeyKind::Secret => Audience::Staff,
    }
}
