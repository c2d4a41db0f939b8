//! What a guild allows. One function a command; what single values may be stands in `check.rs`, staff and
//! credentials in `decide/access.rs`, webhooks in `decide/webhooks.rs`. Never looks at a clock.

mod access;
mod rules;
mod webhooks;

use std::collections::BTreeSet;

use super::check;
use super::command::{Action, Command};
use super::event::Event;
use super::refusal::Refusal;
use super::state::{Guild, SettingsChange};
use crate::aggregate::{Decide, aggregate};
use crate::id::{GuildId, Kind, RoleId};
use crate::private::Person;
use crate::time::{Span, Timestamp};

aggregate!(Guild, Command, Event, Refusal, Kind::Guild);

/// What every function of `decide` answers: events, none if there is nothing to do.
type Decision = Result<Vec<Event>, Refusal>;

impl Decide for Guild {
    const KIND: Kind = Kind::Guild;

    fn version(&self) -> u64 {
        self.version
    }

    fn decide(&self, command: &Command) -> Decision {
        let at = command.now;
        if let Action::Register { id, name, owner, watched_roles } = &command.action {
            return self.register(*id, name, owner, watched_roles, at);
        }
        let guild = self.id.ok_or(Refusal::NotFound)?;
        match &command.action {
            Action::Register { .. } => Ok(Vec::new()),
            Action::ChangeSettings(change) => self.change_settings(change, at),
            Action::Leave => Ok(if self.present { vec![Event::Left { at }] } else { Vec::new() }),
            Action::Rejoin => Ok(if self.present { Vec::new() } else { vec![Event::Rejoined { at }] }),
            Action::DefineType { slug, name, terms } => self.define_type(slug, name, terms, at),
            Action::ChangeType { slug, name, terms } => self.change_type(slug, name.as_deref(), terms, at),
            Action::RetireType { slug } => self.retire_type(slug, at),
            Action::SetRule { id, source, license_type } => self.set_rule(*id, *source, license_type, at),
            Action::RemoveRule { id, existing } => self.remove_rule(*id, *existing, at),
            Action::ChangeStaff { person, role, granted_by } => {
                self.change_staff(person, *role, *granted_by, at)
            }
            Action::IssueApiKey { id, kind, scopes, name, expires_at, version } => {
                let draft = access::KeyDraft {
                    id: *id,
                    kind: *kind,
                    name: name.clone(),
                    expires_at: *expires_at,
                    version: *version,
                };
                self.issue_api_key(guild, draft, scopes.as_deref(), at)
            }
            Action::RevokeApiKey { id } => self.revoke_api_key(*id, at),
            Action::AddWebhook { id, draft } => self.add_webhook(guild, *id, draft, at),
            Action::ChangeWebhook { id, draft } => self.change_webhook(guild, *id, draft, at),
            Action::DisableWebhook { id, cause } => self.disable_webhook(*id, cause, at),
            Action::RemoveWebhook { id } => self.remove_webhook(*id, at),
        }
    }

    fn evolve(&mut self, event: &Event) {
        super::evolve::evolve(self, event);
    }
}

impl Guild {
    /// Name, owner and roles are facts of Discord and taken as they are. Whether the bot is there is another
    /// matter: only `Leave` and `Rejoin` say so.
    fn register(
        &self,
        id: GuildId,
        name: &str,
        owner: &Person,
        watched_roles: &BTreeSet<RoleId>,
        at: Timestamp,
    ) -> Decision {
        let (name, owner, watched_roles) = (name.to_owned(), owner.clone(), watched_roles.clone());
        match self.id {
            None => Ok(vec![Event::Registered { guild_id: id, name, owner, watched_roles, at }]),
            Some(own) if own != id => Err(Refusal::InvalidValue {
                pointer: "guildId",
                problem: "must be the id of this very guild",
            }),
            Some(_) => {
                let same_owner = self.owner.as_ref().is_some_and(|known| known.id == owner.id);
                let same = same_owner && self.name == name && self.watched_roles == watched_roles;
                Ok(if same {
                    Vec::new()
                } else {
                    vec![Event::ProfileChanged { name, owner, watched_roles, at }]
                })
            }
        }
    }

    fn change_settings(&self, change: &SettingsChange, at: Timestamp) -> Decision {
        let settings = change.applied_to(&self.settings);
        if settings.expiring_ahead.is_some_and(Span::is_zero) {
            return Err(Refusal::InvalidValue {
                pointer: "expiringAhead",
                problem: "must be longer than zero, or null for no announcement",
            });
        }
        check::sharing(&settings.sharing)?;
        Ok(if settings == self.settings { Vec::new() } else { vec![Event::SettingsChanged { settings, at }] })
    }
}

/// Refuses one more where `count` have reached `limit`.
fn room_for_one(count: usize, limit: usize, what: &'static str) -> Result<(), Refusal> {
    if count < limit { Ok(()) } else { Err(Refusal::LimitReached { what, limit }) }
}
