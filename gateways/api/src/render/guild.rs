//! Guilds, license types, role rules and API keys as answers show them.

use std::collections::BTreeSet;

use domain::credential::{ApiKeyId, ApiKeyKind, Scope};
use domain::guild::{ApiKey, Guild, LicenseType, RoleRule, RuleId, RuleSource, Settings, Staff, StaffRole};
use domain::id::{GuildId, LicenseId, RoleId};
use domain::member::{Member, Slot};
use domain::terms::Terms;
use serde::Serialize;
use utoipa::ToSchema;

use super::instant::Instant;
use crate::openapi::types as doc;
use crate::version::Version;

/// A guild.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Guild)]
pub(crate) struct GuildBody<'a> {
    #[schema(value_type = Option<doc::Snowflake>)]
    id: Option<GuildId>,
    name: &'a str,
    #[schema(value_type = Option<doc::Person>)]
    owner_id: Option<&'a str>,
    present: bool,
    #[schema(value_type = doc::Settings)]
    settings: &'a Settings,
    #[schema(value_type = doc::Time)]
    created_at: Instant,
    #[schema(value_type = doc::Time)]
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
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LicenseType)]
pub(crate) struct TypeBody<'a> {
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
    slug: &'a str,
    name: &'a str,
    #[schema(value_type = doc::Terms)]
    terms: TermsBody<'a>,
    retired: bool,
    #[schema(value_type = doc::Time)]
    created_at: Instant,
    #[schema(value_type = doc::Time)]
    updated_at: Instant,
}

/// Terms with every member: what events leave out where there is none is `null` here, as all that is none.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TermsBody<'a> {
    #[serde(flatten)]
    terms: &'a Terms,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_budget: Option<()>,
}

impl<'a> TermsBody<'a> {
    fn new(terms: &'a Terms) -> Self {
        Self { terms, activation_budget: terms.activation_budget.is_none().then_some(()) }
    }
}

impl<'a> TypeBody<'a> {
    /// A type of a guild.
    pub(crate) fn new(guild: &Guild, license_type: &'a LicenseType) -> Self {
        Self {
            guild_id: guild.id,
            slug: &license_type.slug,
            name: &license_type.name,
            terms: TermsBody::new(&license_type.terms),
            retired: license_type.retired,
            created_at: license_type.created_at.into(),
            updated_at: license_type.updated_at.into(),
        }
    }
}

/// A role rule.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RoleRule)]
pub(crate) struct RuleBody<'a> {
    #[schema(value_type = uuid::Uuid)]
    id: RuleId,
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
    #[schema(value_type = Option<doc::Snowflake>)]
    role_id: Option<RoleId>,
    #[schema(value_type = Option<doc::Snowflake>)]
    sku_id: Option<RoleId>,
    r#type: &'a str,
    #[schema(value_type = doc::Time)]
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
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Staff)]
pub(crate) struct StaffBody<'a> {
    #[schema(value_type = doc::Person)]
    user_id: &'a str,
    #[schema(value_type = doc::StaffRole)]
    role: StaffRole,
    #[schema(value_type = doc::Time)]
    since: Instant,
}

impl<'a> StaffBody<'a> {
    /// A member of staff with his opened snowflake.
    pub(crate) fn new(staff: &Staff, user_id: &'a str) -> Self {
        Self { user_id, role: staff.role, since: staff.since.into() }
    }
}

/// A member of the guild.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Member)]
pub(crate) struct MemberBody<'a> {
    #[schema(value_type = doc::Person)]
    user_id: &'a str,
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
    present: bool,
    /// Mapped and watched ones.
    #[schema(value_type = Vec<doc::Snowflake>)]
    roles: &'a BTreeSet<RoleId>,
    slots: Vec<SlotBody<'a>>,
    /// Whether the last direct message could not be delivered.
    undeliverable: bool,
    #[schema(value_type = doc::Time)]
    observed_at: Instant,
    #[schema(value_type = doc::Time)]
    created_at: Instant,
    #[schema(value_type = doc::Time)]
    updated_at: Instant,
}

/// A license that comes from roles, or came.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Slot)]
struct SlotBody<'a> {
    r#type: &'a str,
    #[schema(value_type = doc::LicenseId)]
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
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyBody<'a> {
    #[schema(value_type = doc::ApiKeyId)]
    id: ApiKeyId,
    #[schema(value_type = Option<doc::Snowflake>)]
    guild_id: Option<GuildId>,
    #[schema(value_type = doc::ApiKeyKind)]
    kind: ApiKeyKind,
    #[schema(value_type = Vec<doc::Scope>)]
    scopes: &'a [Scope],
    name: Option<&'a str>,
    #[schema(value_type = Option<doc::Time>)]
    expires_at: Option<Instant>,
    /// In which version it is answered when a request names none.
    #[schema(value_type = doc::ApiVersion)]
    version: &'static str,
    #[schema(value_type = doc::Time)]
    created_at: Instant,
    #[schema(value_type = Option<doc::Time>)]
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
            version: Version::of_key(key.version).as_str(),
            created_at: key.created_at.into(),
            revoked_at: key.revoked_at.map(Instant),
            key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_have_a_budget_of_activations_or_null() {
        let shown = |activation_budget| {
            let terms = Terms { activation_budget, ..Terms::default() };
            serde_json::to_value(TermsBody::new(&terms)).unwrap()["activationBudget"].clone()
        };
        assert_eq!((shown(None), shown(Some(5))), (serde_json::Value::Null, 5.into()));
        let terms = serde_json::to_value(TermsBody::new(&Terms::default())).unwrap();
        assert!(terms.as_object().unwrap().contains_key("activationBudget"), "{terms}");
    }
}
