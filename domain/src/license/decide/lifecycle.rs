//! The state machine: made, owned, used, held, renewed; and the small records beside it.

use std::collections::BTreeSet;

use super::Decision;
use crate::id::Pseudonym;
use crate::key::KeyVersion;
use crate::license::{AssignedHow, Event, Generate, Hold, Ledger, License, Refusal, RenewTo, Stage};
use crate::private::{Person, Private};
use crate::sharing::Suspicion;
use crate::terms::{ExpiryBasis, OnRoleLoss, Terms};
use crate::time::{Span, Timestamp};

/// A new license, its owner and its aliases, in one append.
pub(super) fn generate(generate: &Generate, now: Timestamp) -> Vec<Event> {
    let owner: Option<&Pseudonym> = generate.owner.as_ref().map(|(owner, _)| &owner.id);
    let sealed = |text: &String| Private::of(owner, generate.guild, text.as_str());
    let terms = &generate.terms;
    let start = generate.starts_at.map_or(now, |starts_at| starts_at.max(now));
    let running = terms.expiry_basis == ExpiryBasis::Creation;
    let ledger = inherited(&generate.ledger, terms, now);
    let mut events = vec![Event::Generated {
        license_id: generate.id,
        guild_id: generate.guild,
        license_type: generate.license_type.clone(),
        terms: terms.clone(),
        key: generate.key,
        slot: generate.slot.clone(),
        at: now,
        starts_at: generate.starts_at,
        expires_at: terms.duration.filter(|_| running).map(|duration| start.after(duration)),
        ledger: Some(ledger).filter(|ledger| *ledger != Ledger::default()),
        metadata: generate.metadata.as_ref().map(sealed),
        private_metadata: generate.private_metadata.as_ref().map(sealed),
    }];
    if let Some((owner, how)) = &generate.owner {
        events.push(Event::Assigned { owner: owner.clone(), how: *how, at: now });
    }
    let aliases: BTreeSet<&String> = generate.aliases.iter().collect();
    events.extend(aliases.into_iter().map(|alias| Event::AliasAdded { alias: alias.clone(), at: now }));
    events
}

/// What the slot's former license passes on: its resets, the activations that these terms count, and its leases that
/// have not lapsed. If the type's limit has become lower than the number of leased devices, those that lapse last are
/// kept: as many slots stay taken for as long, and never more than there are.
fn inherited(former: &Ledger, terms: &Terms, now: Timestamp) -> Ledger {
    let mut ledger = former.clone();
    ledger.resets.sort_unstable();
    ledger.activations.sort_unstable();
    if terms.activation_budget.is_none() {
        ledger.activations = Box::default();
    }
    ledger.leases.retain(|lease| now < lease.until);
    ledger.leases.sort_by_key(|lease| std::cmp::Reverse(lease.until));
    let mut devices: Vec<String> = Vec::new();
    ledger.leases.retain(|lease| {
        let known = devices.contains(&lease.device_id);
        let room = terms.max_devices.is_none_or(|limit| devices.len() < limit as usize);
        if !known && room {
            devices.push(lease.device_id.clone());
        }
        known || room
    });
    ledger.leases.sort_by_key(|lease| lease.until);
    ledger
}

impl License {
    pub(super) fn assign(&self, owner: &Person, how: AssignedHow, now: Timestamp) -> Decision {
        if self.owner.is_some() {
            return Err(Refusal::AlreadyAssigned);
        }
        Ok(vec![Event::Assigned { owner: owner.clone(), how, at: now }])
    }

    /// The first valid answer makes it active; any later one changes nothing. A validation from before a renewal
    /// is not the first since: if it may be one, it is left to the next validation. The instant comes from the
    /// clock of another process, so it is held between the issue and now.
    pub(super) fn record_first_validation(&self, validated_at: Timestamp, now: Timestamp) -> Vec<Event> {
        let at = validated_at.max(self.created_at).min(now);
        let is_first = match self.stage {
            Stage::Activated => true,
            Stage::Generated | Stage::Assigned => !self.terms.require_device,
            Stage::Renewed => at >= self.updated_at,
            Stage::Active | Stage::Absent | Stage::Revoked => false,
        };
        if !is_first {
            return vec![];
        }
        vec![Event::BecameActive { at, expires_at: self.end_if_started(at) }]
    }

    pub(super) fn suspend(&self, hold: Hold, now: Timestamp) -> Vec<Event> {
        if self.holds.contains(&hold) { vec![] } else { vec![Event::Suspended { hold, at: now }] }
    }

    /// What the rules saw, and the hold of an automatic rule if that is to follow.
    pub(super) fn suspect_sharing(
        &self,
        suspicions: &[Suspicion],
        suspend: bool,
        now: Timestamp,
    ) -> Vec<Event> {
        let told = |suspicion: &Suspicion| Event::SharingSuspected {
            rule: suspicion.rule.as_str().to_owned(),
            evidence: suspicion.evidence.to_string(),
            at: now,
        };
        let mut events: Vec<Event> = suspicions.iter().map(told).collect();
        if suspend && !events.is_empty() {
            events.extend(self.suspend(Hold::Policy, now));
        }
        events
    }

    pub(super) fn resume(&self, hold: Hold, now: Timestamp) -> Decision {
        if self.holds.contains(&hold) {
            Ok(vec![Event::Resumed { hold, at: now }])
        } else {
            Err(Refusal::NotSuspended { hold })
        }
    }

    /// Announces a near end once. An end that the log records already is announced no more.
    pub(super) fn announce(&self, ahead: Option<Span>, now: Timestamp) -> Vec<Event> {
        match (self.expires_at, self.announcement_due(ahead)) {
            (Some(expires_at), Some(due)) if due <= now => {
                vec![Event::ExpiryAnnounced { expires_at, at: now }]
            }
            _ => vec![],
        }
    }

    /// Moves the end. The base is the present end until the license expires, and now after that; holds stay.
    pub(super) fn renew(&self, to: RenewTo, external_ref: Option<&str>, now: Timestamp) -> Decision {
        let Some(present) = self.expires_at else {
            return Err(if self.clock_waits() { Refusal::NotStarted } else { Refusal::NotExpiring });
        };
        let base = if self.has_expired(now) { now } else { present };
        let end = match to {
            RenewTo::Default => base.after(self.terms.duration.ok_or(Refusal::DurationRequired)?),
            RenewTo::For(span) => base.after(span),
            RenewTo::Until(end) => end,
        };
        if end < base {
            return Err(Refusal::ExpiryBackwards { asked: end, earliest: base });
        }
        if end == present {
            return Ok(vec![]);
        }
        let external_ref = external_ref.map(|text| self.private(text)).transpose()?;
        Ok(vec![Event::Renewed { expires_at: end, external_ref, at: now }])
    }

    /// Whatever is not named stays; clearing what is not there changes nothing.
    pub(super) fn change_metadata(
        &self,
        metadata: Option<&Option<String>>,
        private_metadata: Option<&Option<String>>,
        now: Timestamp,
    ) -> Decision {
        let field = |asked: Option<&Option<String>>, present: &Option<Private>| match asked {
            None => Ok(None),
            Some(None) => Ok(present.as_ref().map(|_| None)),
            Some(Some(text)) => self.private(text).map(|text| Some(Some(text))),
        };
        let metadata = field(metadata, &self.metadata)?;
        let private_metadata = field(private_metadata, &self.private_metadata)?;
        if metadata.is_none() && private_metadata.is_none() {
            return Ok(vec![]);
        }
        Ok(vec![Event::MetadataChanged { metadata, private_metadata, at: now }])
    }

    pub(super) fn add_alias(&self, alias: &str, now: Timestamp) -> Vec<Event> {
        let known = self.aliases.iter().any(|live| live == alias);
        if known { vec![] } else { vec![Event::AliasAdded { alias: alias.to_owned(), at: now }] }
    }

    pub(super) fn record_delivery(&self, channel: &str, key: KeyVersion, now: Timestamp) -> Vec<Event> {
        if self.delivered == Some(key) {
            return vec![];
        }
        vec![Event::Delivered { channel: channel.to_owned(), key, at: now }]
    }

    /// The last role is gone. Nothing happens to a license that no role gave, that its terms let be kept, or
    /// that the same loss holds already.
    pub(super) fn start_role_loss(&self, now: Timestamp) -> Vec<Event> {
        let bound = self.slot.is_some() && self.terms.on_role_loss != OnRoleLoss::Keep;
        let open = self.role_loss_ends_at.is_some() || self.holds.contains(&Hold::RoleLoss);
        if !bound || open {
            return vec![];
        }
        vec![Event::RoleLossStarted { ends_at: now.after(self.terms.loss_grace()), at: now }]
    }

    pub(super) fn end_role_loss(&self, now: Timestamp) -> Vec<Event> {
        if self.role_loss_ends_at.is_some() { vec![Event::RoleLossEnded { at: now }] } else { vec![] }
    }
}
