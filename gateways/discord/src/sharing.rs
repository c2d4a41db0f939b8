//! What a guild's staff are told about keys that seem to be shared: which license, by which rule, in numbers. Who owns it
//! is not said: a log channel may be read by many.

use domain::guild::Guild;
use domain::id::GuildId;
use domain::license::Hold;
use domain::sharing::{Evidence, Rule};
use domain::time::Span;
use projections::{QueryError, Suspected};

use crate::bot::Inner;
use crate::deliver::type_name;
use crate::texts::{self, Texts};

impl Inner {
    /// Tells a guild of keys that seem to be shared, if there are any.
    pub(crate) async fn alert_sharing(&self, guild: GuildId) -> Result<(), String> {
        let outbox = self.queries.outbox();
        let Some(alert) = outbox.alert(guild).await.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let facts = self.queries.guild(guild).await.map_err(|error| error.to_string())?;
        let facts = facts.ok_or_else(|| "the guild is not known yet".to_owned())?;
        let mut lines = Vec::new();
        for suspected in &alert.suspected {
            let line = self.suspected(&facts.guild, suspected).await;
            lines.push(line.map_err(|error| error.to_string())?);
        }
        let written = self.log_message(guild, &facts.guild, &lines.join("\n"), &alert.nonce).await;
        written.map_err(|error| error.to_string())?;
        outbox.alerted(guild, &alert.nonce).await.map_err(|error| error.to_string())
    }

    /// One suspicion, and what became of its license.
    async fn suspected(&self, guild: &Guild, suspected: &Suspected) -> Result<String, QueryError> {
        let texts = texts::of(guild.settings.locale);
        let license = self.queries.license(suspected.license).await?;
        let license = license.as_ref().map(|facts| &facts.license);
        let slug = license.map(|license| license.license_type.as_str()).unwrap_or_default();
        let values = [
            ("type", &*type_name(guild, slug)),
            ("license", &*suspected.license.to_string()),
            ("seen", &*seen(texts, suspected)),
        ];
        let line = texts::fill(texts.log_sharing, &values);
        let is_held = license.is_some_and(|license| license.holds.contains(&Hold::Policy));
        Ok(if is_held { format!("{line} {}", texts.log_sharing_held) } else { line })
    }
}

/// What the rule saw.
fn seen(texts: &Texts, suspected: &Suspected) -> String {
    let rule = Rule::ALL.into_iter().find(|rule| rule.as_str() == suspected.rule);
    match rule.zip(Evidence::read(&suspected.evidence)) {
        Some((rule, Evidence { count, limit, window })) => {
            let text = match rule {
                Rule::Devices => texts.sharing_devices,
                Rule::Networks => texts.sharing_networks,
                Rule::Churn => texts.sharing_churn,
            };
            let (count, limit) = (count.to_string(), limit.to_string());
            texts::fill(text, &[("count", &*count), ("window", &*hours(window)), ("limit", &*limit)])
        }
        // Another release wrote it.
        None => texts::fill(texts.sharing_other, &[("rule", &*texts::name(&suspected.rule))]),
    }
}

/// A length of time as people write it, in whole hours where it has no minutes.
fn hours(window: Span) -> String {
    let hour = Span::hours(1).ms();
    if window.ms() % hour == 0 { format!("{} h", window.ms() / hour) } else { window.to_string() }
}

#[cfg(test)]
mod tests {
    use domain::id::LicenseId;

    use super::*;

    fn said(texts: &Texts, rule: &str, evidence: &str) -> String {
        let (license, rule, evidence) = (LicenseId::default(), rule.to_owned(), evidence.to_owned());
        seen(texts, &Suspected { license, rule, evidence })
    }

    #[test]
    fn each_rule_says_what_it_saw() {
        let evidence = Evidence { count: 9, limit: 5, window: Span::days(1) }.to_string();
        for (rule, english, german) in [
            (
                "devices",
                "9 different devices in 24 h, more than 5",
                "9 verschiedene Geräte in 24 h, mehr als 5",
            ),
            (
                "networks",
                "different devices from 9 networks in 24 h, more than 5",
                "verschiedene Geräte aus 9 Netzen in 24 h, mehr als 5",
            ),
            (
                "churn",
                "9 activations and deactivations in 24 h, more than 5",
                "9 Aktivierungen und Deaktivierungen in 24 h, mehr als 5",
            ),
        ] {
            assert_eq!(said(&texts::EN, rule, &evidence), english);
            assert_eq!(said(&texts::DE, rule, &evidence), german);
        }
        let odd = Evidence { count: 9, limit: 5, window: Span::seconds(5_400) }.to_string();
        assert_eq!(said(&texts::EN, "devices", &odd), "9 different devices in PT1H30M, more than 5");
    }

    #[test]
    fn what_another_release_wrote_is_named_by_its_rule() {
        assert_eq!(said(&texts::EN, "addresses", "{\"addresses\":14}"), "the rule addresses fired");
        assert_eq!(said(&texts::EN, "devices", "14"), "the rule devices fired");
    }
}
