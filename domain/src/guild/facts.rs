//! What others ask of a guild: types, rules, mapped roles, ranks, keys. Reads only; nothing here changes it.

use std::collections::BTreeSet;

use super::state::{
    ApiKey, Guild, LicenseType, RoleRule, RuleSource, Settings, SettingsChange, Sharing, StaffRole, Webhook,
};
use crate::credential::ApiKeyId;
use crate::id::{Pseudonym, RoleId};
use crate::sharing;
use crate::time::{Span, Timestamp};

/// Why an API key is not accepted although it is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ApiKeyState {
    /// Staff revoked it.
    #[error("this API key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("this API key has expired")]
    Expired,
}

impl ApiKey {
    /// Whether it works at `now`; it has expired from `expires_at` on.
    ///
    /// # Errors
    /// Why not; revoked comes before expired.
    pub fn usable_at(&self, now: Timestamp) -> Result<(), ApiKeyState> {
        if self.revoked_at.is_some() {
            Err(ApiKeyState::Revoked)
        } else if self.expires_at.is_some_and(|end| now >= end) {
            Err(ApiKeyState::Expired)
        } else {
            Ok(())
        }
    }
}

impl RuleSource {
    /// The snowflake that an observation must contain for the rule to hold: a role, or a product that is
    /// observed like one.
    pub const fn id(self) -> RoleId {
        match self {
            Self::Role { role_id } => role_id,
            Self::Sku { sku_id } => sku_id,
        }
    }
}

impl RoleRule {
    /// Whether it still maps its source.
    pub const fn is_active(&self) -> bool {
        self.removed.is_none()
    }
}

impl StaffRole {
    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl Sharing {
    /// How far a judgement looks back.
    pub fn window(&self) -> Span {
        self.window.unwrap_or(sharing::WINDOW)
    }
}

impl SettingsChange {
    /// `base` with these changes.
    pub fn applied_to(&self, base: &Settings) -> Settings {
        Settings {
            key_prefix: self.key_prefix.clone().unwrap_or_else(|| base.key_prefix.clone()),
            delivery: self.delivery.unwrap_or(base.delivery),
            log_channel_id: self.log_channel_id.unwrap_or(base.log_channel_id),
            locale: self.locale.unwrap_or(base.locale),
            sign_answers: self.sign_answers.unwrap_or(base.sign_answers),
            expiring_ahead: self.expiring_ahead.unwrap_or(base.expiring_ahead),
            sharing: self.sharing.unwrap_or(base.sharing),
        }
    }
}

impl Guild {
    /// The type of this slug, retired ones included.
    pub fn license_type(&self, slug: &str) -> Option<&LicenseType> {
        self.types.get(slug)
    }

    /// The type of this slug if it still makes licenses.
    pub fn issuing_type(&self, slug: &str) -> Option<&LicenseType> {
        self.types.get(slug).filter(|license_type| !license_type.retired)
    }

    /// Rules that were not removed, by id.
    pub fn active_rules(&self) -> impl Iterator<Item = &RoleRule> {
        self.rules.values().filter(|rule| rule.is_active())
    }

    /// What the rules that were not removed look for: roles, and products as Discord numbers them. A removed
    /// rule maps nothing, even if its licenses stay.
    pub fn mapped_roles(&self) -> BTreeSet<RoleId> {
        self.active_rules().map(|rule| rule.source.id()).collect()
    }

    /// Mapped and watched roles: exactly what is kept of a member's roles.
    pub fn relevant_roles(&self) -> BTreeSet<RoleId> {
        let mut roles = self.mapped_roles();
        roles.extend(&self.watched_roles);
        roles
    }

    /// The API key of this id, revoked ones included.
    pub fn api_key(&self, id: ApiKeyId) -> Option<&ApiKey> {
        self.api_keys.get(&id)
    }

    /// The webhook of this id.
    pub fn webhook(&self, id: uuid::Uuid) -> Option<&Webhook> {
        self.webhooks.get(&id)
    }

    /// The highest rank that `user`, who has `roles` on Discord, has here: owner of the server, else the
    /// entry among the staff or admin by a watched role, whichever is higher. `None` is no staff at all.
    pub fn rank_of(&self, user: &Pseudonym, roles: &BTreeSet<RoleId>) -> Option<StaffRole> {
        if self.owner.as_ref().is_some_and(|owner| owner.id == *user) {
            return Some(StaffRole::Owner);
        }
        let entry = self.staff.get(user).map(|staff| staff.role);
        let watched = (!self.watched_roles.is_disjoint(roles)).then_some(StaffRole::Admin);
        entry.max(watched)
    }

    /// The type, not retired, whose licenses grant `role`.
    pub fn granting_type(&self, role: RoleId) -> Option<&LicenseType> {
        self.types.values().find(|t| !t.retired && t.terms.grants_role_id == Some(role))
    }
}
