//! Why a guild's command is refused. Nothing here decides; it only names the reason and what would help.

use uuid::Uuid;

use super::state::{RuleId, StaffRole};
use crate::aggregate::Refuse;
use crate::credential::{ApiKeyId, Scope};
use crate::id::RoleId;

/// Why a guild's command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The guild was never registered.
    #[error("this guild is not registered")]
    NotFound,
    /// A value is of the right shape and impossible.
    #[error("`{pointer}` {problem}")]
    InvalidValue {
        /// The member's name, as the API spells it.
        pointer: &'static str,
        /// What is asked of it, as the rest of a sentence.
        problem: &'static str,
    },
    /// Its slug is taken, if only by a retired type.
    #[error("the license type `{slug}` exists already")]
    TypeExists {
        /// Its slug.
        slug: String,
    },
    /// No type has this slug.
    #[error("this guild has no license type `{slug}`")]
    TypeNotFound {
        /// The slug.
        slug: String,
    },
    /// The type makes no more licenses.
    #[error("the license type `{slug}` is retired")]
    TypeRetired {
        /// Its slug.
        slug: String,
    },
    /// A role would both come from a license and give one.
    #[error("the role {role} would be granted by the license type `{slug}` and feed a role rule as well")]
    RuleLoop {
        /// The role.
        role: RoleId,
        /// The type that grants it.
        slug: String,
    },
    /// Another rule says the same.
    #[error("the role rule {rule} maps this source to this license type already")]
    RuleExists {
        /// That rule.
        rule: RuleId,
    },
    /// No rule has this id, or it was removed.
    #[error("this guild has no role rule {rule}")]
    RuleNotFound {
        /// The id.
        rule: RuleId,
    },
    /// Nobody grants or takes a rank above his own, and only the owner makes admins.
    #[error("to grant or take the rank `{}` one must be `{}` and not only `{}`", rank.as_str(), needed.as_str(), own.as_str())]
    RankTooLow {
        /// The rank that was to be granted or taken.
        rank: StaffRole,
        /// The rank that this needs.
        needed: StaffRole,
        /// The rank of whoever asked.
        own: StaffRole,
    },
    /// Ownership follows Discord.
    #[error("the rank `owner` cannot be granted: it belongs to whoever owns the server on Discord")]
    OwnerIsOfDiscord,
    /// A publishable key has exactly its fixed scopes.
    #[error("a publishable key cannot be issued with {}", described(*extra))]
    ScopeNotAllowed {
        /// A scope that it may not have; `None` if one of the fixed ones is missing.
        extra: Option<Scope>,
    },
    /// No API key has this id.
    #[error("this guild has no API key {id}")]
    ApiKeyNotFound {
        /// The id.
        id: ApiKeyId,
    },
    /// No webhook has this id.
    #[error("this guild has no webhook {id}")]
    WebhookNotFound {
        /// The id.
        id: Uuid,
    },
    /// There are as many as there may be.
    #[error("a guild may have {limit} {what}, and this one has them")]
    LimitReached {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}

fn described(extra: Option<Scope>) -> String {
    match extra {
        Some(scope) => format!("the scope `{}`", scope.as_str()),
        None => "fewer scopes than its fixed ones".to_owned(),
    }
}

impl Refusal {
    /// Every code, each once, in alphabetical order.
    pub const CODES: &'static [&'static str] = &[
        "API_KEY_NOT_FOUND",
        "INVALID_VALUE",
        "LIMIT_REACHED",
        "NOT_FOUND",
        "RANK_TOO_LOW",
        "RULE_EXISTS",
        "RULE_LOOP",
        "RULE_NOT_FOUND",
        "SCOPE_NOT_ALLOWED",
        "TYPE_EXISTS",
        "TYPE_NOT_FOUND",
        "TYPE_RETIRED",
        "WEBHOOK_NOT_FOUND",
    ];
}

impl Refuse for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::InvalidValue { .. } => "INVALID_VALUE",
            Self::TypeExists { .. } => "TYPE_EXISTS",
            Self::TypeNotFound { .. } => "TYPE_NOT_FOUND",
            Self::TypeRetired { .. } => "TYPE_RETIRED",
            Self::RuleLoop { .. } => "RULE_LOOP",
            Self::RuleExists { .. } => "RULE_EXISTS",
            Self::RuleNotFound { .. } => "RULE_NOT_FOUND",
            Self::RankTooLow { .. } | Self::OwnerIsOfDiscord => "RANK_TOO_LOW",
            Self::ScopeNotAllowed { .. } => "SCOPE_NOT_ALLOWED",
            Self::ApiKeyNotFound { .. } => "API_KEY_NOT_FOUND",
            Self::WebhookNotFound { .. } => "WEBHOOK_NOT_FOUND",
            Self::LimitReached { .. } => "LIMIT_REACHED",
        }
    }

    fn help(&self) -> String {
        match self {
            Self::NotFound => "Check the server id, and invite the bot to the server: it registers the guild when it joins.",
            Self::InvalidValue { pointer, problem } => return format!("Mend `{pointer}` and send the request again: it {problem}."),
            Self::TypeExists { .. } => "Choose another slug, or change the existing type; the slug of a retired type is not used again.",
            Self::TypeNotFound { .. } => "Check the slug, or define the license type first.",
            Self::TypeRetired { .. } => "Use another license type: a retired one cannot be changed and makes no new licenses.",
            Self::RuleLoop { .. } => "Let the type grant another role, or map another role to a license type: a license must not feed itself.",
            Self::RuleExists { .. } => "Nothing needs to be done, or change that rule instead.",
            Self::RuleNotFound { .. } => "List the role rules of this guild; a removed rule cannot be changed, set a new one.",
            Self::RankTooLow { needed, .. } => {
                return format!("Ask somebody with the rank `{}` to do it.", needed.as_str());
            }
            Self::OwnerIsOfDiscord => "Transfer the server on Discord; the rank follows by itself. `admin` is the highest rank to grant.",
            Self::ScopeNotAllowed { .. } => "Leave `scopes` out for a publishable key, or issue a secret key.",
            Self::ApiKeyNotFound { .. } => "List the API keys of this guild and use one of their ids.",
            Self::WebhookNotFound { .. } => "List the webhooks of this guild and use one of their ids.",
            Self::LimitReached { what, .. } => return format!("Remove {what} that are no longer needed, then try again."),
        }
        .to_owned()
    }
}
