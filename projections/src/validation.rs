//! The hot path: is this key valid here and now? First the key itself, which needs no I/O, then facts from the cache,
//! then the one function that decides. What is no key of ours may be one that another system gave (`aliases`). A database that cannot be reached never turns into "not found".

use std::borrow::Cow;
use std::sync::Arc;

use domain::device::{Component, DeviceClaim, DeviceMatch};
use domain::id::{GuildId, LicenseId};
use domain::key::{self, KeyError, KeyVersion};
use domain::license::{License, Stage};
use domain::time::Timestamp;
use domain::verdict::{self, Code, Devices, Request, Verdict};
use uuid::Uuid;

use crate::Core;
use crate::error::QueryError;
use crate::facts::{LicenseFact, UserFact};
use crate::license_view::LicenseFacts;

/// The device that a validation names.
#[derive(Debug, Clone, Copy)]
pub struct DeviceAsk<'a> {
    /// The client's name for the machine.
    pub device_id: &'a str,
    /// Name and raw value of each component of its fingerprint; hashed here, and kept nowhere.
    pub components: &'a [(String, String)],
}

/// A validation.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The guild of the API key that asks.
    pub guild: GuildId,
    /// The text presented as a license key.
    pub key: &'a str,
    /// The device that asks.
    pub device: Option<DeviceAsk<'a>>,
    /// Slug of the type that the program accepts.
    pub license_type: Option<&'a str>,
    /// Entitlements that the program needs.
    pub entitlements: &'a [String],
    /// The instant.
    pub now: Timestamp,
}

/// The answer to a validation.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What was found; `code.is_valid()` is the yes or no.
    pub code: Code,
    /// A sentence for people, or one of the fixed words that `domain::verdict` names.
    pub detail: Cow<'static, str>,
    /// The license, where the code may show it.
    pub license: Option<Arc<LicenseFacts>>,
    /// The active device that asked, if it was recognised.
    pub device: Option<Uuid>,
    /// The position of the log that the answer is true at.
    pub position: i64,
    /// Whether it rests on facts that could not be checked, because the database does not answer.
    pub degraded: bool,
}

impl Core {
    pub(crate) async fn validate(&self, ask: &Ask<'_>) -> Result<Answer, QueryError> {
        let opened = match key::open(&*self.mac, ask.key) {
            Ok(opened) => opened,
            // In a box of its own: keys of ours need no room for it.
            Err(KeyError::Malformed) => return Box::pin(self.validate_alias(ask)).await,
            Err(KeyError::Forged) => return Ok(self.without_license(Verdict::not_found(), false)),
        };
        let license = self.fact::<LicenseFact>(&opened.license).await?;
        let Some(facts) = license.value.filter(|facts| facts.license.guild == Some(ask.guild)) else {
            return Ok(self.without_license(Verdict::not_found(), license.degraded));
        };
        self.judged(ask, facts, opened.key, license.degraded).await
    }

    /// The same for a text that is no key of ours. An alias stands for the license's current key.
    async fn validate_alias(&self, ask: &Ask<'_>) -> Result<Answer, QueryError> {
        let aliased = self.aliased(ask.guild, ask.key).await?;
        let Some(facts) = aliased.license else {
            return Ok(self.without_license(Verdict::malformed_key(), aliased.degraded));
        };
        if !aliased.is_live {
            return Ok(self.without_license(Verdict::key_superseded(), aliased.degraded));
        }
        let presented = facts.license.key;
        self.judged(ask, facts, presented, aliased.degraded).await
    }

    /// The answer about a license of the guild that asks.
    async fn judged(
        &self,
        ask: &Ask<'_>,
        facts: Arc<LicenseFacts>,
        presented: KeyVersion,
        mut degraded: bool,
    ) -> Result<Answer, QueryError> {
        let mut banned = false;
        // A key that was superseded is refused before its owner is looked at.
        if let Some(owner) = facts.license.owner.as_ref().filter(|_| facts.license.key == presented) {
            let user = self.fact::<UserFact>(&owner.id).await?;
            degraded |= user.degraded;
            banned = user.value.is_some_and(|user| user.user.banned);
        }
        let claim = ask.device.map(|device| self.claim(&facts.license, &device));
        let (code, detail, device) = decided(&facts.license, banned, presented, claim.as_ref(), ask);
        if code.is_valid() {
            self.note(&facts.license, device, ask.now);
        }
        let license = code.shows_license().then_some(facts);
        Ok(Answer { code, detail, license, device, position: self.bus.head(), degraded })
    }

    fn without_license(&self, verdict: Verdict<'static>, degraded: bool) -> Answer {
        let position = self.bus.head();
        Answer { code: verdict.code, detail: verdict.detail, license: None, device: None, position, degraded }
    }

    /// The device as the rules compare it. Components are hashed only where the license looks at them.
    fn claim(&self, license: &License, ask: &DeviceAsk<'_>) -> DeviceClaim {
        let looked_at = license.terms.device_match != DeviceMatch::Id;
        let hashed =
            |(name, value): &(String, String)| Component::hashed(&*self.mac, license.id, name, value);
        let components = ask.components.iter().filter(|_| looked_at).map(hashed).collect();
        DeviceClaim { device_id: ask.device_id.to_owned(), components }
    }

    /// What a valid answer leaves behind, in memory only: the sight of the device, and the license's id for the worker
    /// that records first validations.
    fn note(&self, license: &License, device: Option<Uuid>, now: Timestamp) {
        if let Some(device) = device {
            self.last_seen.record(license.id, device, now);
        }
        if license.stage != Stage::Active {
            self.first_validations.push(license.id, now);
        }
    }
}

fn decided(
    license: &License,
    banned: bool,
    presented: KeyVersion,
    device: Option<&DeviceClaim>,
    ask: &Ask<'_>,
) -> (Code, Cow<'static, str>, Option<Uuid>) {
    let request = Request {
        presented: Some(presented),
        device,
        license_type: ask.license_type,
        entitlements: ask.entitlements,
    };
    let verdict = verdict::decide(license, banned, &request, ask.now, Devices::Check);
    (verdict.code, verdict.detail, verdict.device.map(|device| device.id))
}

/// A license whose validation is to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstValidation {
    /// Which.
    pub license: LicenseId,
    /// When it was valid.
    pub validated_at: Timestamp,
}

mod queue;

pub use queue::FirstValidations;
