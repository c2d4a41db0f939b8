//! What can have happened to a guild. Wire names of events and their members never change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::{ExistingLicenses, RuleId, RuleSource, Settings, StaffRole};
use crate::credential::{ApiKeyId, ApiKeyKind, ApiVersion, Scope};
use crate::id::{GuildId, RoleId};
use crate::private::{Person, Private, PrivateFields};
use crate::terms::Terms;
use crate::time::Timestamp;

/// What happened to a guild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// It became known.
    #[serde(rename = "guild.registered")]
    Registered {
        /// Its id.
        guild_id: GuildId,
        /// What Discord calls it.
        name: String,
        /// Who owns the server.
        owner: Person,
        /// Roles with ADMINISTRATOR or MANAGE_GUILD.
        watched_roles: BTreeSet<RoleId>,
        /// When.
        at: Timestamp,
    },
    /// Discord renamed it, gave it another owner, or changed which roles administer it.
    #[serde(rename = "guild.profile_changed")]
    ProfileChanged {
        /// What Discord calls it.
        name: String,
        /// Who owns the server.
        owner: Person,
        /// Roles with ADMINISTRATOR or MANAGE_GUILD.
        watched_roles: BTreeSet<RoleId>,
        /// When.
        at: Timestamp,
    },
    /// Its settings are these from now on.
    #[serde(rename = "guild.settings_changed")]
    SettingsChanged {
        /// All of them.
        settings: Settings,
        /// When.
        at: Timestamp,
    },
    /// The bot was removed.
    #[serde(rename = "guild.left")]
    Left {
        /// When.
        at: Timestamp,
    },
    /// The bot came back.
    #[serde(rename = "guild.rejoined")]
    Rejoined {
        /// When.
        at: Timestamp,
    },
    /// A license type is this from now on.
    #[serde(rename = "guild.license_type_defined")]
    LicenseTypeDefined {
        /// Its slug.
        slug: String,
        /// What people read.
        name: String,
        /// Its terms, whole.
        terms: Terms,
        /// When.
        at: Timestamp,
    },
    /// A license type makes no more licenses.
    #[serde(rename = "guild.license_type_retired")]
    LicenseTypeRetired {
        /// Its slug.
        slug: String,
        /// When.
        at: Timestamp,
    },
    /// A rule maps a source to a type.
    #[serde(rename = "guild.role_rule_set")]
    RoleRuleSet {
        /// Its id.
        rule_id: RuleId,
        /// What makes it hold.
        source: RuleSource,
        /// Slug of the type.
        license_type: String,
        /// When.
        at: Timestamp,
    },
    /// A rule was removed.
    #[serde(rename = "guild.role_rule_removed")]
    RoleRuleRemoved {
        /// Its id.
        rule_id: RuleId,
        /// What becomes of its licenses.
        existing: ExistingLicenses,
        /// When.
        at: Timestamp,
    },
    /// Somebody's rank changed.
    #[serde(rename = "guild.staff_changed")]
    StaffChanged {
        /// Who.
        person: Person,
        /// Rank; absent if dismissed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<StaffRole>,
        /// When.
        at: Timestamp,
    },
    /// An API key was issued.
    #[serde(rename = "guild.api_key_issued")]
    ApiKeyIssued {
        /// Its id.
        key_id: ApiKeyId,
        /// Publishable or secret.
        kind: ApiKeyKind,
        /// What it may do.
        scopes: Vec<Scope>,
        /// What its maker calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// Until when it works.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// The version of the API that it asks in; absent of the first one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_version: Option<ApiVersion>,
        /// When.
        at: Timestamp,
    },
    /// An API key was revoked.
    #[serde(rename = "guild.api_key_revoked")]
    ApiKeyRevoked {
        /// Its id.
        key_id: ApiKeyId,
        /// When.
        at: Timestamp,
    },
    /// A webhook was added.
    #[serde(rename = "guild.webhook_added")]
    WebhookAdded {
        /// Its id.
        webhook_id: Uuid,
        /// Where to, sealed.
        url: Private,
        /// Names or wildcards of events.
        events: Vec<String>,
        /// Which secret.
        secret_version: u32,
        /// Whether `v1a` stands beside `v1`.
        asymmetric: bool,
        /// When.
        at: Timestamp,
    },
    /// A webhook is this from now on, and switched on.
    #[serde(rename = "guild.webhook_changed")]
    WebhookChanged {
        /// Its id.
        webhook_id: Uuid,
        /// Where to, sealed; absent if unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<Private>,
        /// Names or wildcards of events.
        events: Vec<String>,
        /// Which secret.
        secret_version: u32,
        /// Whether `v1a` stands beside `v1`.
        asymmetric: bool,
        /// Whether it is switched on by this.
        enabled: bool,
        /// When.
        at: Timestamp,
    },
    /// A webhook was switched off.
    #[serde(rename = "guild.webhook_disabled")]
    WebhookDisabled {
        /// Its id.
        webhook_id: Uuid,
        /// Why, as a stable word.
        cause: String,
        /// When.
        at: Timestamp,
    },
    /// A webhook was removed.
    #[serde(rename = "guild.webhook_removed")]
    WebhookRemoved {
        /// Its id.
        webhook_id: Uuid,
        /// When.
        at: Timestamp,
    },
}

crate::aggregate::wire_names!(Event {
    Registered => "guild.registered", "1";
    ProfileChanged => "guild.profile_changed", "1";
    SettingsChanged => "guild.settings_changed", "1";
    Left => "guild.left", "1";
    Rejoined => "guild.rejoined", "1";
    LicenseTypeDefined => "guild.license_type_defined", "1";
    LicenseTypeRetired => "guild.license_type_retired", "1";
    RoleRuleSet => "guild.role_rule_set", "1";
    RoleRuleRemoved => "guild.role_rule_removed", "1";
    StaffChanged => "guild.staff_changed", "1";
    ApiKeyIssued => "guild.api_key_issued", "1";
    ApiKeyRevoked => "guild.api_key_revoked", "1";
    WebhookAdded => "guild.webhook_added", "1";
    WebhookChanged => "guild.webhook_changed", "1";
    WebhookDisabled => "guild.webhook_disabled", "1";
    WebhookRemoved => "guild.webhook_removed", "1";
});

impl PrivateFields for Event {
    fn private_fields(&mut self, visit: &mut dyn FnMut(&str, &mut Private)) {
        match self {
            Self::Registered { owner, .. } | Self::ProfileChanged { owner, .. } => {
                visit("owner.discordId", &mut owner.discord_id);
            }
            Self::StaffChanged { person, .. } => visit("person.discordId", &mut person.discord_id),
            Self::WebhookAdded { url, .. } => visit("url", url),
            Self::WebhookChanged { url: Some(url), .. } => visit("url", url),
            Self::WebhookChanged { url: None, .. }
            | Self::SettingsChanged { .. }
            | Self::Left { .. }
            | Self::Rejoined { .. }
            | Self::LicenseTypeDefined { .. }
            | Self::LicenseTypeRetired { .. }
            | Self::RoleRuleSet { .. }
            | Self::RoleRuleRemoved { .. }
            | Self::ApiKeyIssued { .. }
            | Self::ApiKeyRevoked { .. }
            | Self::WebhookDisabled { .. }
            | Self::WebhookRemoved { .. } => {}
        }
    }
}
