//! License types and the role rules that give them. A role never both comes from a license and gives one.

use super::{Decision, check, room_for_one};
use crate::guild::event::Event;
use crate::guild::refusal::Refusal;
use crate::guild::state::{ExistingLicenses, Guild, RuleId, RuleSource};
use crate::terms::{Terms, TermsChange};
use crate::time::Timestamp;

impl Guild {
    pub(super) fn define_type(&self, slug: &str, name: &str, terms: &TermsChange, at: Timestamp) -> Decision {
        check::slug(slug)?;
        check::name(name)?;
        let terms = terms.define();
        check::terms(&terms)?;
        if self.types.contains_key(slug) {
            return Err(Refusal::TypeExists { slug: slug.to_owned() });
        }
        self.feeds_no_rule(slug, &terms)?;
        let issuing = self.types.values().filter(|known| !known.retired).count();
        room_for_one(issuing, check::TYPES_MAX, "license types")?;
        Ok(vec![Event::LicenseTypeDefined { slug: slug.to_owned(), name: name.to_owned(), terms, at }])
    }

    pub(super) fn change_type(
        &self,
        slug: &str,
        name: Option<&str>,
        change: &TermsChange,
        at: Timestamp,
    ) -> Decision {
        let known = self.types.get(slug).ok_or_else(|| Refusal::TypeNotFound { slug: slug.to_owned() })?;
        if known.retired {
            return Err(Refusal::TypeRetired { slug: slug.to_owned() });
        }
        let name = name.unwrap_or(&known.name).to_owned();
        check::name(&name)?;
        let mut terms = change.applied_to(&known.terms);
        // A type that begins to limit its devices asks for one from then on, exactly as if it had been
        // defined so: a limit that no validation checks would limit nothing.
        let limit_is_new = known.terms.max_devices.is_none() && terms.max_devices.is_some();
        if limit_is_new && change.require_device.is_none() {
            terms.require_device = true;
        }
        check::terms(&terms)?;
        self.feeds_no_rule(slug, &terms)?;
        let same = name == known.name && terms == known.terms;
        let slug = slug.to_owned();
        Ok(if same { Vec::new() } else { vec![Event::LicenseTypeDefined { slug, name, terms, at }] })
    }

    pub(super) fn retire_type(&self, slug: &str, at: Timestamp) -> Decision {
        let slug = slug.to_owned();
        match self.types.get(&slug) {
            None => Err(Refusal::TypeNotFound { slug }),
            Some(known) if known.retired => Ok(Vec::new()),
            Some(_) => Ok(vec![Event::LicenseTypeRetired { slug, at }]),
        }
    }

    /// Refuses terms that grant a role which feeds a rule.
    fn feeds_no_rule(&self, slug: &str, terms: &Terms) -> Result<(), Refusal> {
        let feeds = |role_id| self.active_rules().any(|rule| rule.source == RuleSource::Role { role_id });
        match terms.grants_role_id {
            Some(role) if feeds(role) => Err(Refusal::RuleLoop { role, slug: slug.to_owned() }),
            _ => Ok(()),
        }
    }

    pub(super) fn set_rule(
        &self,
        id: RuleId,
        source: RuleSource,
        license_type: &str,
        at: Timestamp,
    ) -> Decision {
        let known = self.rules.get(&id);
        if known.is_some_and(|rule| !rule.is_active()) {
            return Err(Refusal::RuleNotFound { rule: id });
        }
        if known.is_some_and(|rule| rule.source == source && rule.license_type == license_type) {
            return Ok(Vec::new());
        }
        let slug = || license_type.to_owned();
        let target = self.types.get(license_type).ok_or_else(|| Refusal::TypeNotFound { slug: slug() })?;
        if target.retired {
            return Err(Refusal::TypeRetired { slug: slug() });
        }
        if let RuleSource::Role { role_id } = source
            && let Some(granting) = self.granting_type(role_id)
        {
            return Err(Refusal::RuleLoop { role: role_id, slug: granting.slug.clone() });
        }
        let twin =
            self.active_rules().find(|rule| rule.source == source && rule.license_type == license_type);
        if let Some(twin) = twin {
            return Err(Refusal::RuleExists { rule: twin.id });
        }
        if known.is_none() {
            room_for_one(self.active_rules().count(), check::RULES_MAX, "role rules")?;
        }
        Ok(vec![Event::RoleRuleSet { rule_id: id, source, license_type: slug(), at }])
    }

    /// A rule that was removed can be removed again with another fate for its licenses: whoever kept them may
    /// let them go later.
    pub(super) fn remove_rule(&self, id: RuleId, existing: ExistingLicenses, at: Timestamp) -> Decision {
        let rule = self.rules.get(&id).ok_or(Refusal::RuleNotFound { rule: id })?;
        let same = rule.removed == Some(existing);
        Ok(if same { Vec::new() } else { vec![Event::RoleRuleRemoved { rule_id: id, existing, at }] })
    }
}
