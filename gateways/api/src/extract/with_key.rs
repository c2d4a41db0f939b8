//! Requests that name a license by its key: the key is opened before anything is looked up, and whoever asks must
//! either hold an API key of the license's guild or be its owner. A key that another system gave says nothing by itself: it
//! opens a license of the guild that the API key, or the request of a signed-in person, names.

use domain::credential::ApiKeyKind;
use domain::credential::Scope;
use domain::id::GuildId;
use domain::key::{self, KeyError, OpenedKey};
use domain::verdict::Verdict;
use projections::Opens;

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

/// Opens the text of a license key, and for a guild that is known the text of a foreign one.
pub(crate) async fn open(
    state: &ApiState,
    guild: Option<GuildId>,
    text: &str,
) -> Result<OpenedKey, ApiError> {
    checks::key(text)?;
    let verdict = match (key::open(state.mac(), text), guild) {
        (Ok(opened), _) => return Ok(opened),
        (Err(KeyError::Forged), _) => Verdict::not_found(),
        (Err(KeyError::Malformed), None) => Verdict::malformed_key(),
        (Err(KeyError::Malformed), Some(guild)) => match state.queries().alias(guild, text).await? {
            Opens::License(opened) => return Ok(opened),
            Opens::Superseded => Verdict::key_superseded(),
            Opens::Nothing => Verdict::malformed_key(),
        },
    };
    Err(ApiError::verdict(verdict.code, &verdict.detail))
}

/// Opens a key on behalf of an API key with `scope`, or of the owner, who may name the guild of a foreign key.
pub(crate) async fn named(
    write: &Write,
    text: &str,
    guild: Option<GuildId>,
    scope: Scope,
) -> Result<Named, ApiError> {
    let audience = match &write.principal {
        Principal::Key(key) => {
            key.scope(scope)?;
            audience(key)
        }
        Principal::User(_) => Audience::Owner,
        Principal::Operator => Audience::Staff,
    };
    let guild = match &write.principal {
        Principal::Key(key) if guild.is_some_and(|guild| guild != key.guild) => {
            return Err(ApiError::not_found("guild"));
        }
        Principal::Key(key) => Some(key.guild),
        Principal::User(_) | Principal::Operator => guild,
    };
    let key = open(&write.state, guild, text).await?;
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
