//! Guilds, license types, role rules and API keys as answers show them.

use std::collections::BTreeSet;

use domain::credential::{ApiKeyId, ApiKeyKind, Scope};
use domain::guild::{ApiKey, Guild, LicenseType, RoleRule, RuleId, RuleSource, Settings, Staff, StaffRole};
use domain::id::{GuildId, LicenseId, RoleId};
use domain::member::{Member, Slot};
use domain::terms::Terms;
use serde::Serialize;

use super::instant::Instant;

/// A guild.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GuildBody<'a> {
    id: Option<GuildId>,
    name: &'a str,
    owner_id: Option<&'a str>,
    present: bool,
    settings: &'a Settings,
    created_at: Instant,
    updated_at: Instant,
    version: u64,
}

impl<'a> GuildBody<'a> {
    /// A guild with the opened snowflake of its owner.
    pub(crate) fn new(guild: &'a Guild, owner_id: Option<&'a str>) -> Self {
        Self {
            id: guild.id,
            name: &guild.name,
            owner_id,
            present: guild.present,
            settings: &guild.settings,
            created_at: guild.created_at.into(),
            updated_at: guild.updated_at.into(),
            version: guild.version,
        }
    }
}

/// A license type.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TypeBody<'a> {
    guild_id: Option<GuildId>,
    slug: &'a str,
    name: &'a str,
    terms: &'a Terms,
    retired: bool,
    created_at: Instant,
    updated_at: Instant,
}

impl<'a> TypeBody<'a> {
    /// A type of a guild.
    pub(crate) fn new(guild: &Guild, license_type: &'a LicenseType) -> Self {
        Self {
            guild_id: guild.id,
            slug: &license_type.slug,
            name: &license_type.name,
            terms: &license_type.terms,
            retired: license_type.retired,
            created_at: license_type.created_at.into(),
            updated_at: license_type.updated_at.into(),
        }
    }
}

/// A role rule.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleBody<'a> {
    id: RuleId,
    guild_id: Option<GuildId>,
    role_id: Option<RoleId>,
    sku_id: Option<RoleId>,
    r#type: &'a str,
    created_at: Instant,
}

impl<'a> RuleBody<'a> {
    /// A rule of a guild.
    pub(crate) fn new(guild: &Guild, rule: &'a RoleRule) -> Self {
        let (role_id, sku_id) = match rule.source {
            RuleSource::Role { role_id } => (Some(role_id), None),
            RuleSource::Sku { sku_id } => (None, Some(sku_id)),
        };
        Self {
            id: rule.id,
            guild_id: guild.id,
            role_id,
            sku_id,
            r#type: &rule.license_type,
            created_at: rule.created_at.into(),
        }
    }
}

/// A member of staff.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StaffBody<'a> {
    user_id: &'a str,
    role: StaffRole,
    since: Instant,
}

impl<'a> StaffBody<'a> {
    /// A member of staff with his opened snowflake.
    pub(crate) fn new(staff: &Staff, user_id: &'a str) -> Self {
        Self { user_id, role: staff.role, since: staff.since.into() }
    }
}

/// A member of the guild.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberBody<'a> {
    user_id: &'a str,
    guild_id: Option<GuildId>,
    present: bool,
    /// Mapped and watched ones.
    roles: &'a BTreeSet<RoleId>,
    slots: Vec<SlotBody<'a>>,
    /// Whether the last direct message could not be delivered.
    undeliverable: bool,
    observed_at: Instant,
    created_at: Instant,
    updated_at: Instant,
}

/// A license that comes from roles, or came.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SlotBody<'a> {
    r#type: &'a str,
    license_id: LicenseId,
    generation: u32,
    open: bool,
    blocked: bool,
}

impl<'a> MemberBody<'a> {
    /// A member with his opened snowflake.
    pub(crate) fn new(member: &'a Member, user_id: &'a str) -> Self {
        let slot = |(slug, slot): (&'a String, &'a Slot)| SlotBody {
            r#type: slug,
            license_id: slot.license_id,
            generation: slot.generation,
            open: slot.open,
            blocked: slot.blocked,
        };
        Self {
            user_id,
            guild_id: member.guild,
            present: member.present,
            roles: &member.roles,
            slots: member.slots.iter().map(slot).collect(),
            undeliverable: member.undeliverable,
            observed_at: member.observed_at.into(),
            created_at: member.created_at.into(),
            updated_at: member.updated_at.into(),
        }
    }
}

/// An API key. The key itself stands only in the answer to its issue.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyBody<'a> {
    id: ApiKeyId,
    guild_id: Option<GuildId>,
    kind: ApiKeyKind,
    scopes: &'a [Scope],
    name: Option<&'a str>,
    expires_at: Option<Instant>,
    created_at: Instant,
    revoked_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

impl<'a> ApiKeyBody<'a> {
    /// An API key of a guild, without the key itself.
    pub(crate) fn new(guild: &Guild, key: &'a ApiKey) -> Self {
        Self {
            id: key.id,
            guild_id: guild.id,
            kind: key.kind,
            scopes: &key.scopes,
            name: key.name.as_deref(),
            expires_at: key.expires_at.map(Instant),
            created_at: key.created_at.into(),
            revoked_at: key.revoked_at.map(Instant),
            key: None,
        }
    }
}
