//! Who may do what in a guild: staff and API keys. No key material comes here.

use super::{Decision, check, room_for_one};
use crate::credential::{ApiKeyId, ApiKeyKind, ApiVersion, Scope};
use crate::guild::event::Event;
use crate::guild::refusal::Refusal;
use crate::guild::state::{Guild, StaffRole};
use crate::id::GuildId;
use crate::private::Person;
use crate::time::Timestamp;

/// An API key as it is asked for, its scopes aside.
pub(super) struct KeyDraft {
    pub(super) id: ApiKeyId,
    pub(super) kind: ApiKeyKind,
    pub(super) name: Option<String>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) version: Option<ApiVersion>,
}

impl Guild {
    pub(super) fn change_staff(
        &self,
        person: &Person,
        role: Option<StaffRole>,
        own: StaffRole,
        at: Timestamp,
    ) -> Decision {
        let current = self.staff.get(&person.id).map(|staff| staff.role);
        if let Some(rank) = role {
            may_grant(rank, own)?;
        }
        if let Some(rank) = current.filter(|rank| *rank > own) {
            return Err(Refusal::RankTooLow { rank, needed: rank, own });
        }
        if current == role {
            return Ok(Vec::new());
        }
        if current.is_none() {
            room_for_one(self.staff.len(), check::STAFF_MAX, "members of staff")?;
        }
        Ok(vec![Event::StaffChanged { person: person.clone(), role, at }])
    }

    pub(super) fn issue_api_key(
        &self,
        guild: GuildId,
        draft: KeyDraft,
        scopes: Option<&[Scope]>,
        at: Timestamp,
    ) -> Decision {
        let KeyDraft { id, kind, name, expires_at, version } = draft;
        let refuse = |pointer, problem| Err(Refusal::InvalidValue { pointer, problem });
        if id.guild() != guild {
            return refuse("id", "must begin with the id of this guild");
        }
        let scopes = granted_scopes(kind, scopes)?;
        if let Some(name) = &name {
            check::name(name)?;
        }
        if let Some(known) = self.api_keys.get(&id) {
            let facts =
                (known.kind, &known.scopes, &known.name, known.expires_at, known.version, known.revoked_at);
            let repeated = facts == (kind, &scopes, &name, expires_at, version, None);
            return if repeated {
                Ok(Vec::new())
            } else {
                refuse("id", "must not be the id of another API key")
            };
        }
        if expires_at.is_some_and(|end| end <= at) {
            return refuse("expiresAt", "must lie in the future, or be null for a key without an end");
        }
        let unrevoked = self.api_keys.values().filter(|key| key.revoked_at.is_none()).count();
        room_for_one(unrevoked, check::API_KEYS_MAX, "API keys")?;
        let (key_id, label, api_version) = (id, name, version);
        Ok(vec![Event::ApiKeyIssued { key_id, kind, scopes, label, expires_at, api_version, at }])
    }

    pub(super) fn revoke_api_key(&self, id: ApiKeyId, at: Timestamp) -> Decision {
        let key = self.api_keys.get(&id).ok_or(Refusal::ApiKeyNotFound { id })?;
        let live = key.revoked_at.is_none();
        Ok(if live { vec![Event::ApiKeyRevoked { key_id: id, at }] } else { Vec::new() })
    }
}

/// Nobody grants a rank above his own; only the owner makes admins; nobody makes an owner.
fn may_grant(rank: StaffRole, own: StaffRole) -> Result<(), Refusal> {
    let needed = match rank {
        StaffRole::Owner => return Err(Refusal::OwnerIsOfDiscord),
        StaffRole::Admin => StaffRole::Owner,
        StaffRole::Moderator | StaffRole::Auditor => rank,
    };
    if own >= needed { Ok(()) } else { Err(Refusal::RankTooLow { rank, needed, own }) }
}

/// The scopes of a new key, sorted, each once.
fn granted_scopes(kind: ApiKeyKind, asked: Option<&[Scope]>) -> Result<Vec<Scope>, Refusal> {
    let defaults: &[Scope] = match kind {
        ApiKeyKind::Publishable => &Scope::PUBLISHABLE,
        ApiKeyKind::Secret => &Scope::SECRET_DEFAULT,
    };
    let mut scopes = asked.unwrap_or(defaults).to_vec();
    scopes.sort();
    scopes.dedup();
    if kind == ApiKeyKind::Publishable && scopes != Scope::PUBLISHABLE {
        let extra = scopes.into_iter().find(|scope| !Scope::PUBLISHABLE.contains(scope));
        return Err(Refusal::ScopeNotAllowed { extra });
    }
    if scopes.is_empty() {
        return Err(Refusal::InvalidValue { pointer: "scopes", problem: "must name at least one scope" });
    }
    Ok(scopes)
}
