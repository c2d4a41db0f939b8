//! What a guild's staff are told in its log channel beside deliveries: removals that wait, rules whose role was
//! deleted. Each once, after the guild has come to rest; what cannot be told stands in health and `/setup check`.

use std::collections::BTreeSet;

use domain::guild::RuleSource;
use domain::id::{GuildId, RoleId};
use projections::QueryError;
use uuid::Uuid;

use crate::bot::Inner;
use crate::deliver::type_name;
use crate::texts;

/// Alerts that wait; more are told by health only.
const WAITING_MAX: usize = 1_000;

/// Something that staff should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Alert {
    /// Removals wait in this batch.
    Removals(GuildId, Uuid),
    /// A role was deleted.
    RoleGone(GuildId, RoleId),
}

impl Alert {
    const fn guild(&self) -> GuildId {
        match self {
            Self::Removals(guild, _) | Self::RoleGone(guild, _) => *guild,
        }
    }
}

impl Inner {
    /// Tells a guild's staff, once its changes have come to rest, that removals wait.
    pub(crate) fn removals_wait(&self, guild: GuildId, batch: Uuid) {
        tracing::warn!(%guild, %batch, "removals wait to be confirmed: more members than usual would lose a license");
        self.alert(Alert::Removals(guild, batch));
    }

    pub(crate) fn alert(&self, alert: Alert) {
        let mut status = self.status();
        if status.alerts.len() < WAITING_MAX && !status.alerts.contains(&alert) {
            status.alerts.push(alert);
        }
    }

    /// Guilds whose staff are to be told something.
    pub(crate) fn alerted(&self) -> BTreeSet<GuildId> {
        self.status().alerts.iter().map(Alert::guild).collect()
    }

    /// Tells a guild's staff what there is; false if some of it is left.
    pub(crate) async fn tell_staff(&self, guild: GuildId) -> bool {
        let told: Vec<Alert> = {
            let mut status = self.status();
            let (told, kept) =
                std::mem::take(&mut status.alerts).into_iter().partition(|alert| alert.guild() == guild);
            status.alerts = kept;
            told
        };
        let mut all = true;
        for alert in told {
            let done = self.tell(&alert).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "staff could not be told; tried again later");
                false
            });
            if !done {
                self.alert(alert);
                all = false;
            }
        }
        all
    }

    /// Whether an alert needs no further try.
    async fn tell(&self, alert: &Alert) -> Result<bool, QueryError> {
        let guild = alert.guild();
        let Some(facts) = self.queries.guild(guild).await? else { return Ok(true) };
        let texts = texts::of(facts.guild.settings.locale);
        let (text, nonce) = match alert {
            Alert::Removals(_, batch) => {
                let held = self.queries.held_removals().of_guild(guild).await?;
                let waiting = held.iter().filter(|row| row.batch == *batch && !row.confirmed);
                let members: BTreeSet<_> = waiting.map(|row| &row.user).collect();
                if members.is_empty() {
                    return Ok(true);
                }
                let count = members.len().to_string();
                let values =
                    [("count", &*count), ("batch", &*batch.to_string()), ("guild", &*guild.to_string())];
                (texts::fill(texts.log_removals, &values), batch.simple().to_string())
            }
            Alert::RoleGone(_, role) => {
                let source = RuleSource::Role { role_id: *role };
                let rules: Vec<_> = facts.guild.active_rules().filter(|rule| rule.source == source).collect();
                if rules.is_empty() {
                    return Ok(true);
                }
                let lines: Vec<String> = rules
                    .iter()
                    .map(|rule| {
                        let name = type_name(&facts.guild, &rule.license_type);
                        texts::fill(texts.log_rule_broken, &[("type", &name)])
                    })
                    .collect();
                tracing::warn!(%guild, %role, "the role of a rule was deleted; what it gave stays valid");
                (lines.join("\n"), format!("gone-{role}"))
            }
        };
        let nonce: String = nonce.chars().take(25).collect();
        Ok(self.log_message(guild, &facts.guild, &text, &nonce).await.is_ok())
    }
}
