//! How a guild follows from its events. Total: an event that is in the log happened, so one about something
//! unknown is counted and otherwise passed over. Nothing is refused here.

use super::event::Event;
use super::state::{ApiKey, Guild, LicenseType, RoleRule, Staff, Webhook};
use crate::time::Timestamp;

/// Applies `event`.
pub(super) fn evolve(guild: &mut Guild, event: &Event) {
    guild.version += 1;
    let at = match event {
        Event::Registered { .. }
        | Event::ProfileChanged { .. }
        | Event::SettingsChanged { .. }
        | Event::Left { .. }
        | Event::Rejoined { .. } => profile(guild, event),
        Event::LicenseTypeDefined { .. }
        | Event::LicenseTypeRetired { .. }
        | Event::RoleRuleSet { .. }
        | Event::RoleRuleRemoved { .. } => rules(guild, event),
        Event::StaffChanged { .. } | Event::ApiKeyIssued { .. } | Event::ApiKeyRevoked { .. } => {
            access(guild, event)
        }
        Event::WebhookAdded { .. }
        | Event::WebhookChanged { .. }
        | Event::WebhookDisabled { .. }
        | Event::WebhookRemoved { .. } => webhooks(guild, event),
    };
    guild.updated_at = at.unwrap_or(guild.updated_at);
}

/// Each part answers with the instant of an event that is its own.
type Applied = Option<Timestamp>;

fn profile(guild: &mut Guild, event: &Event) -> Applied {
    match event {
        Event::Registered { guild_id, name, owner, watched_roles, at } => {
            guild.id = Some(*guild_id);
            guild.present = true;
            guild.created_at = *at;
            guild.name.clone_from(name);
            guild.owner = Some(owner.clone());
            guild.watched_roles.clone_from(watched_roles);
            Some(*at)
        }
        Event::ProfileChanged { name, owner, watched_roles, at } => {
            guild.name.clone_from(name);
            guild.owner = Some(owner.clone());
            guild.watched_roles.clone_from(watched_roles);
            Some(*at)
        }
        Event::SettingsChanged { settings, at } => {
            guild.settings.clone_from(settings);
            Some(*at)
        }
        Event::Left { at } => {
            guild.present = false;
            Some(*at)
        }
        Event::Rejoined { at } => {
            guild.present = true;
            Some(*at)
        }
        _ => None,
    }
}

fn rules(guild: &mut Guild, event: &Event) -> Applied {
    match event {
        Event::LicenseTypeDefined { slug, name, terms, at } => {
            let created_at = guild.types.get(slug).map_or(*at, |known| known.created_at);
            let (name, terms) = (name.clone(), terms.clone());
            let defined =
                LicenseType { slug: slug.clone(), name, terms, retired: false, created_at, updated_at: *at };
            guild.types.insert(slug.clone(), defined);
            Some(*at)
        }
        Event::LicenseTypeRetired { slug, at } => {
            if let Some(known) = guild.types.get_mut(slug) {
                known.retired = true;
                known.updated_at = *at;
            }
            Some(*at)
        }
        Event::RoleRuleSet { rule_id, source, license_type, at } => {
            let created_at = guild.rules.get(rule_id).map_or(*at, |known| known.created_at);
            let license_type = license_type.clone();
            let rule = RoleRule { id: *rule_id, source: *source, license_type, removed: None, created_at };
            guild.rules.insert(*rule_id, rule);
            Some(*at)
        }
        Event::RoleRuleRemoved { rule_id, existing, at } => {
            if let Some(rule) = guild.rules.get_mut(rule_id) {
                rule.removed = Some(*existing);
            }
            Some(*at)
        }
        _ => None,
    }
}

fn access(guild: &mut Guild, event: &Event) -> Applied {
    match event {
        Event::StaffChanged { person, role: Some(role), at } => {
            let staff = Staff { person: person.clone(), role: *role, since: *at };
            guild.staff.insert(person.id.clone(), staff);
            Some(*at)
        }
        Event::StaffChanged { person, role: None, at } => {
            guild.staff.remove(&person.id);
            Some(*at)
        }
        Event::ApiKeyIssued { key_id, kind, scopes, label, expires_at, api_version, at } => {
            let key = ApiKey {
                id: *key_id,
                kind: *kind,
                scopes: scopes.clone(),
                name: label.clone(),
                expires_at: *expires_at,
                version: *api_version,
                created_at: *at,
                revoked_at: None,
            };
            guild.api_keys.insert(*key_id, key);
            Some(*at)
        }
        Event::ApiKeyRevoked { key_id, at } => {
            if let Some(key) = guild.api_keys.get_mut(key_id) {
                key.revoked_at = Some(*at);
            }
            Some(*at)
        }
        _ => None,
    }
}

fn webhooks(guild: &mut Guild, event: &Event) -> Applied {
    match event {
        Event::WebhookAdded { webhook_id, url, events, secret_version, asymmetric, at } => {
            let webhook = Webhook {
                id: *webhook_id,
                url: url.clone(),
                events: events.clone(),
                secret_version: *secret_version,
                asymmetric: *asymmetric,
                disabled: false,
                created_at: *at,
            };
            guild.webhooks.insert(*webhook_id, webhook);
            Some(*at)
        }
        Event::WebhookChanged { webhook_id, url, events, secret_version, asymmetric, enabled, at } => {
            if let Some(webhook) = guild.webhooks.get_mut(webhook_id) {
                webhook.url = url.as_ref().unwrap_or(&webhook.url).clone();
                webhook.events.clone_from(events);
                webhook.secret_version = *secret_version;
                webhook.asymmetric = *asymmetric;
                webhook.disabled &= !enabled;
            }
            Some(*at)
        }
        Event::WebhookDisabled { webhook_id, at, .. } => {
            if let Some(webhook) = guild.webhooks.get_mut(webhook_id) {
                webhook.disabled = true;
            }
            Some(*at)
        }
        Event::WebhookRemoved { webhook_id, at } => {
            guild.webhooks.remove(webhook_id);
            Some(*at)
        }
        _ => None,
    }
}
