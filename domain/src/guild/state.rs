//! What a guild is made of. Its rules stand in `decide.rs` and `evolve.rs` beside this file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::credential::{ApiKeyId, ApiKeyKind, ApiVersion, Scope};
use crate::id::{ChannelId, GuildId, Pseudonym, RoleId};
use crate::key::Prefix;
use crate::private::{Person, Private};
use crate::terms::{Terms, nullable};
use crate::time::{Span, Timestamp};

/// The id of a role rule, made by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub Uuid);

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// How keys reach members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// By direct message.
    #[default]
    Dm,
    /// At a claim panel.
    Panel,
    /// By both.
    Both,
}

/// A language that every text of ours exists in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

/// What happens when a key seems to be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Sharing {
    /// Whether rules watch for it.
    pub detect: bool,
    /// Whether a suspicion suspends the license (hold `policy`).
    pub auto_suspend: bool,
    /// Different devices that are nothing unusual in a window; [`crate::sharing::DEVICES`] where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u32>,
    /// Networks that different devices may come from; [`crate::sharing::NETWORKS`] where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<u32>,
    /// Activations and deactivations that are nothing unusual; [`crate::sharing::CHURN`] where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<u32>,
    /// How far a judgement looks back; [`crate::sharing::WINDOW`] where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
}

/// Settings of a guild.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// What new keys begin with.
    pub key_prefix: Prefix,
    /// How keys reach members.
    pub delivery: Delivery,
    /// Where the bot reports.
    pub log_channel_id: Option<ChannelId>,
    /// Language of messages without a recipient of their own.
    pub locale: Locale,
    /// Whether every validation answer is signed.
    pub sign_answers: bool,
    /// How long before its end `license.expiry_announced` is due; `None` announces nothing.
    pub expiring_ahead: Option<Span>,
    /// Watch for shared keys.
    pub sharing: Sharing,
}

/// Changes to settings as a request gives them: an absent member keeps what is there, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SettingsChange {
    /// See [`Settings::key_prefix`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<Prefix>,
    /// See [`Settings::delivery`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// See [`Settings::log_channel_id`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub log_channel_id: Option<Option<ChannelId>>,
    /// See [`Settings::locale`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
    /// See [`Settings::sign_answers`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_answers: Option<bool>,
    /// See [`Settings::expiring_ahead`].
    #[serde(with = "nullable", skip_serializing_if = "Option::is_none")]
    pub expiring_ahead: Option<Option<Span>>,
    /// See [`Settings::sharing`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
}

/// A named template of terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LicenseType {
    /// Stable name: 1 to 32 of a-z, 0-9 and hyphen, beginning with a letter.
    pub slug: String,
    /// What people read.
    pub name: String,
    /// The terms of licenses made from now on.
    pub terms: Terms,
    /// A retired type makes no new licenses; existing ones live on.
    pub retired: bool,
    /// When it was defined.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What makes a rule hold for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum RuleSource {
    /// He has a role.
    Role {
        /// Which.
        role_id: RoleId,
    },
    /// He bought a product on Discord.
    Sku {
        /// Which, as Discord numbers it.
        sku_id: RoleId,
    },
}

/// What a removed rule does with the licenses it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExistingLicenses {
    /// They keep their source until their member leaves.
    Keep,
    /// They lose it at the next observation.
    Lose,
}

/// Maps a source to a license type. Removed rules stay known, because members may still hold them as a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleRule {
    /// Its id.
    pub id: RuleId,
    /// What makes it hold.
    pub source: RuleSource,
    /// Slug of the type it gives.
    pub license_type: String,
    /// Set once it was removed.
    pub removed: Option<ExistingLicenses>,
    /// When it was set.
    pub created_at: Timestamp,
}

/// Rank of staff in a guild; higher ranks include lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StaffRole {
    /// Reads everything, changes nothing.
    Auditor,
    /// Suspends, resumes, resets.
    Moderator,
    /// Everything but ownership.
    Admin,
    /// Owns the server.
    Owner,
}

/// A member of staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Staff {
    /// Who.
    pub person: Person,
    /// Rank.
    pub role: StaffRole,
    /// Since when.
    pub since: Timestamp,
}

/// An API key. The key itself is computed from the ring and stands nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Publishable or secret.
    pub kind: ApiKeyKind,
    /// What it may do, sorted.
    pub scopes: Vec<Scope>,
    /// What its maker calls it.
    pub name: Option<String>,
    /// Until when it works.
    pub expires_at: Option<Timestamp>,
    /// The version of the API that it asks in, if it names none; `None` is the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<ApiVersion>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A webhook endpoint. Its secret is computed from the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// Where to, sealed because such addresses often hold a secret.
    pub url: Private,
    /// Names or wildcards of events.
    pub events: Vec<String>,
    /// Which secret; one more at each rotation.
    pub secret_version: u32,
    /// Whether `v1a` (Ed25519) stands beside `v1`.
    pub asymmetric: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A guild: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Guild {
    /// Events applied.
    pub version: u64,
    /// Its id; `None` before the first event.
    pub id: Option<GuildId>,
    /// What Discord calls it.
    pub name: String,
    /// Who owns the server.
    pub owner: Option<Person>,
    /// Whether the bot is in it.
    pub present: bool,
    /// Settings.
    pub settings: Settings,
    /// Types by slug.
    pub types: BTreeMap<String, LicenseType>,
    /// Rules by id, removed ones included.
    pub rules: BTreeMap<RuleId, RoleRule>,
    /// Staff by pseudonym.
    pub staff: BTreeMap<Pseudonym, Staff>,
    /// Roles with ADMINISTRATOR or MANAGE_GUILD.
    pub watched_roles: BTreeSet<RoleId>,
    /// API keys by id, revoked ones included.
    pub api_keys: BTreeMap<ApiKeyId, ApiKey>,
    /// Webhooks by id.
    pub webhooks: BTreeMap<Uuid, Webhook>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
