//! What can be asked of a guild. Time, ids and facts ride in the command; no rule stands here.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::state::{ExistingLicenses, RuleId, RuleSource, SettingsChange, StaffRole};
use crate::credential::{ApiKeyId, ApiKeyKind, ApiVersion, Scope};
use crate::id::{GuildId, RoleId};
use crate::private::Person;
use crate::terms::TermsChange;
use crate::time::Timestamp;

/// A webhook as a request describes it; an absent member keeps what is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookDraft {
    /// Where to.
    pub url: Option<String>,
    /// Names or wildcards of events.
    pub events: Option<Vec<String>>,
    /// Whether `v1a` stands beside `v1`.
    pub asymmetric: Option<bool>,
    /// Whether to take the next secret.
    pub rotate_secret: bool,
    /// Switch it on again.
    pub enable: bool,
}

/// What is asked of a guild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make it known, or bring name, owner and watched roles up to date.
    Register {
        /// Its id.
        id: GuildId,
        /// What Discord calls it.
        name: String,
        /// Who owns the server.
        owner: Person,
        /// Roles with ADMINISTRATOR or MANAGE_GUILD.
        watched_roles: BTreeSet<RoleId>,
    },
    /// Change settings.
    ChangeSettings(SettingsChange),
    /// The bot was removed.
    Leave,
    /// The bot is back.
    Rejoin,
    /// Define a type.
    DefineType {
        /// Its slug.
        slug: String,
        /// What people read.
        name: String,
        /// Its terms.
        terms: TermsChange,
    },
    /// Change a type; licenses already made keep their terms.
    ChangeType {
        /// Its slug.
        slug: String,
        /// What people read.
        name: Option<String>,
        /// Changes to its terms.
        terms: TermsChange,
    },
    /// Make no more licenses of a type.
    RetireType {
        /// Its slug.
        slug: String,
    },
    /// Map a source to a type, or change the type of a rule.
    SetRule {
        /// Its id, made by the caller.
        id: RuleId,
        /// What makes it hold.
        source: RuleSource,
        /// Slug of the type.
        license_type: String,
    },
    /// Remove a rule.
    RemoveRule {
        /// Its id.
        id: RuleId,
        /// What becomes of its licenses.
        existing: ExistingLicenses,
    },
    /// Change the rank of a member of staff; `None` dismisses.
    ChangeStaff {
        /// Who.
        person: Person,
        /// Rank.
        role: Option<StaffRole>,
        /// The rank of whoever asks: nobody grants or takes a rank above his own.
        granted_by: StaffRole,
    },
    /// Issue an API key.
    IssueApiKey {
        /// Its id, made by the caller.
        id: ApiKeyId,
        /// Publishable or secret.
        kind: ApiKeyKind,
        /// What it may do; `None` takes the kind's default.
        scopes: Option<Vec<Scope>>,
        /// What its maker calls it.
        name: Option<String>,
        /// Until when it works.
        expires_at: Option<Timestamp>,
        /// The version of the API that it asks in; `None` for the first one.
        version: Option<ApiVersion>,
    },
    /// Revoke an API key.
    RevokeApiKey {
        /// Its id.
        id: ApiKeyId,
    },
    /// Add a webhook.
    AddWebhook {
        /// Its id, made by the caller.
        id: Uuid,
        /// What it is.
        draft: WebhookDraft,
    },
    /// Change a webhook.
    ChangeWebhook {
        /// Its id.
        id: Uuid,
        /// What changes.
        draft: WebhookDraft,
    },
    /// Switch a webhook off.
    DisableWebhook {
        /// Its id.
        id: Uuid,
        /// Why, as a stable word such as `gone` or `failing`.
        cause: String,
    },
    /// Remove a webhook.
    RemoveWebhook {
        /// Its id.
        id: Uuid,
    },
}

/// A command to a guild: what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The instant at which it is decided.
    pub now: Timestamp,
    /// What is asked.
    pub action: Action,
}
