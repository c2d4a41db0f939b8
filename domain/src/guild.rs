//! The guild: license types, role rules, staff, credentials and settings of one Discord server, the tenant.
//! What reaches a member by its rules is planned by `crate::roles`, never here.

mod check;
mod command;
mod decide;
mod event;
mod evolve;
mod facts;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use check::{
    API_KEYS_MAX, NAME_MAX_CHARS, RULES_MAX, SLUG_MAX_BYTES, STAFF_MAX, SUBSCRIPTION_MAX_BYTES,
    SUBSCRIPTIONS_MAX, TYPES_MAX, URL_MAX_BYTES, WEBHOOKS_MAX,
};
pub use command::{Action, Command, WebhookDraft};
pub use event::Event;
pub use facts::ApiKeyState;
pub use refusal::Refusal;
pub use state::{
    ApiKey, Delivery, ExistingLicenses, Guild, LicenseType, Locale, RoleRule, RuleId, RuleSource, Settings,
    SettingsChange, Sharing, Staff, StaffRole, Webhook,
};
