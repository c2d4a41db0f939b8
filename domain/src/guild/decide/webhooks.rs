//! Webhooks of a guild. Where an address leads is judged by whoever connects to it, never here.

use uuid::Uuid;

use super::{Decision, check, room_for_one};
use crate::guild::command::WebhookDraft;
use crate::guild::event::Event;
use crate::guild::refusal::Refusal;
use crate::guild::state::{Guild, Webhook};
use crate::id::GuildId;
use crate::private::Private;
use crate::time::Timestamp;

/// The secret that a new webhook signs with; each rotation takes the next.
const FIRST_SECRET: u32 = 1;

impl Guild {
    pub(super) fn add_webhook(
        &self,
        guild: GuildId,
        id: Uuid,
        draft: &WebhookDraft,
        at: Timestamp,
    ) -> Decision {
        let url = draft.url.as_deref().unwrap_or_default();
        check::url(url)?;
        let events = sorted(draft.events.as_deref().unwrap_or_default());
        check::subscriptions(&events)?;
        if self.webhooks.contains_key(&id) {
            return Err(Refusal::InvalidValue {
                pointer: "id",
                problem: "must not be the id of another webhook",
            });
        }
        room_for_one(self.webhooks.len(), check::WEBHOOKS_MAX, "webhooks")?;
        Ok(vec![Event::WebhookAdded {
            webhook_id: id,
            url: Private::of_guild(guild, url),
            events,
            secret_version: FIRST_SECRET,
            asymmetric: draft.asymmetric.unwrap_or_default(),
            at,
        }])
    }

    /// An address that is given counts as changed: the known one is sealed and cannot be compared here.
    pub(super) fn change_webhook(
        &self,
        guild: GuildId,
        id: Uuid,
        draft: &WebhookDraft,
        at: Timestamp,
    ) -> Decision {
        let known = self.known_webhook(id)?;
        if let Some(url) = &draft.url {
            check::url(url)?;
        }
        let events = draft.events.as_deref().map_or_else(|| known.events.clone(), sorted);
        check::subscriptions(&events)?;
        let asymmetric = draft.asymmetric.unwrap_or(known.asymmetric);
        let enabled = draft.enable && known.disabled;
        let same = events == known.events && asymmetric == known.asymmetric;
        if same && draft.url.is_none() && !draft.rotate_secret && !enabled {
            return Ok(Vec::new());
        }
        Ok(vec![Event::WebhookChanged {
            webhook_id: id,
            url: draft.url.as_ref().map(|url| Private::of_guild(guild, url)),
            events,
            secret_version: known.secret_version.saturating_add(u32::from(draft.rotate_secret)),
            asymmetric,
            enabled,
            at,
        }])
    }

    pub(super) fn disable_webhook(&self, id: Uuid, cause: &str, at: Timestamp) -> Decision {
        check::cause(cause)?;
        if self.known_webhook(id)?.disabled {
            return Ok(Vec::new());
        }
        Ok(vec![Event::WebhookDisabled { webhook_id: id, cause: cause.to_owned(), at }])
    }

    pub(super) fn remove_webhook(&self, id: Uuid, at: Timestamp) -> Decision {
        self.known_webhook(id)?;
        Ok(vec![Event::WebhookRemoved { webhook_id: id, at }])
    }

    fn known_webhook(&self, id: Uuid) -> Result<&Webhook, Refusal> {
        self.webhook(id).ok_or(Refusal::WebhookNotFound { id })
    }
}

/// Each subscription once, in order, so that the same set in another order is no change.
fn sorted(events: &[String]) -> Vec<String> {
    let mut events = events.to_vec();
    events.sort();
    events.dedup();
    events
}
