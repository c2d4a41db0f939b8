//! How a write is answered, and answered again: the recipe stands in the idempotency row and names what to render,
//! never the rendered body. A repeat loads the aggregates as they were after the write and renders them anew.

use std::sync::Arc;

use commands::{Activated, CommandError, Commands, Done, Generated, Imported, Revoked};
use domain::certificate::Fingerprint;
use domain::credential::{self, ApiKeyId};
use domain::device::{DeviceClaim, Recognition, recognise};
use domain::guild::{Guild, RuleId};
use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::license::{Device, License};
use domain::member::Member;
use domain::platform::PlatformRole;
use domain::time::Timestamp;
use domain::user::User;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

mod items;
mod lot;

pub(crate) use items::{Applied, PassedOver, RevokedItem, revoked};
pub(crate) use lot::{Batch, Lot};

/// What the answer to a write shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "render", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Recipe {
    /// A license.
    License { license: LicenseId },
    /// A license and the device that asked to be activated.
    Activation {
        license: LicenseId,
        /// Its id, if it was not active before.
        device: Uuid,
        /// What it is recognised by otherwise; the components are hashes.
        device_id: String,
        components: Vec<domain::device::Component>,
    },
    /// An offline license, with the license and the device. What it is made of beside the license stands here, so that a
    /// repeat has the same text: the components are hashes under keys of the ring.
    Certificate {
        license: LicenseId,
        lease: Uuid,
        at: Timestamp,
        /// Id of the key that signs it.
        key: String,
        fingerprint: Fingerprint,
    },
    /// A device of a license, by our id or the client's.
    Device { license: LicenseId, device: String },
    /// New licenses with their keys.
    Generated { batch: Batch, guild: GuildId },
    /// A license type.
    LicenseType { guild: GuildId, slug: String, created: Created },
    /// A guild.
    Guild { guild: GuildId },
    /// A role rule.
    Rule {
        guild: GuildId,
        rule: RuleId,
        /// Rows of an earlier release, which could only make rules, have none.
        #[serde(default)]
        created: Created,
    },
    /// A member of staff; nothing if he is none any more.
    Staff { guild: GuildId, user: Pseudonym },
    /// A member.
    Member { guild: GuildId, user: Pseudonym },
    /// An API key.
    ApiKey { guild: GuildId, api_key: ApiKeyId, created: Created },
    /// A user.
    User { user: Pseudonym },
    /// A user who was erased, and what was erased with him.
    Erased { user: Pseudonym, removed: Removed },
    /// What became of each of many licenses.
    Revoked { items: Vec<RevokedItem> },
    /// How many rows of a file were new, and how many were here.
    Imported {
        created: usize,
        existing: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passed_over: Option<PassedOver>,
    },
    /// What became of each of many licenses that were to take the terms of their type.
    Applied(Applied),
}

/// What is erased with a person: how many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Removed {
    /// Sessions that were open.
    pub(crate) sessions: u32,
    /// Licenses of his, which stay without a readable owner.
    pub(crate) licenses: u32,
    /// Guilds that knew him.
    pub(crate) memberships: u32,
}

impl Recipe {
    /// What a repeat of an import answers.
    pub(crate) fn imported(done: &Imported, passed_over: &Option<PassedOver>) -> Self {
        Self::Imported { created: done.created, existing: done.existing, passed_over: passed_over.clone() }
    }
}

/// Whether a write made the thing that it answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Created {
    /// 201.
    #[default]
    Now,
    /// 200.
    Before,
}

/// What a write left behind.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// One license.
    License(Box<License>),
    /// New licenses.
    Licenses(Lot),
    /// A guild.
    Guild(Box<Guild>),
    /// A user, and his platform role.
    User(Box<User>, Option<PlatformRole>),
    /// A member.
    Member(Box<Member>),
    /// What became of each of many licenses.
    Revoked(Vec<RevokedItem>),
    /// How many rows of a file were new, and how many were here.
    Imported { created: usize, existing: usize, passed_over: Option<PassedOver> },
    /// What became of each of many licenses that were to take the terms of their type.
    Applied(Applied),
}

/// What a write left behind, and where in the log.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) subject: Subject,
    /// `None`: there was nothing to do.
    pub(crate) position: Option<i64>,
}

impl From<Done<License>> for Outcome {
    fn from(done: Done<License>) -> Self {
        Self { subject: Subject::License(Box::new(done.state)), position: done.position }
    }
}

impl From<Done<Member>> for Outcome {
    fn from(done: Done<Member>) -> Self {
        Self { subject: Subject::Member(Box::new(done.state)), position: done.position }
    }
}

impl From<Activated> for Outcome {
    fn from(activated: Activated) -> Self {
        activated.done.into()
    }
}

impl From<Generated> for Outcome {
    fn from(generated: Generated) -> Self {
        Self {
            subject: Subject::Licenses(Lot::Made(Arc::new(generated.licenses))),
            position: Some(generated.last),
        }
    }
}

impl From<Done<Guild>> for Outcome {
    fn from(done: Done<Guild>) -> Self {
        Self { subject: Subject::Guild(Box::new(done.state)), position: done.position }
    }
}

impl Outcome {
    /// A user after a write, with the role that the log has him in now.
    pub(crate) async fn of_user(commands: &Commands, done: Done<User>) -> Result<Self, CommandError> {
        let platform = commands.load_platform().await?;
        let role = done.state.person.as_ref().and_then(|person| platform.role(&person.id));
        Ok(Self { subject: Subject::User(Box::new(done.state), role), position: done.position })
    }
}

impl Outcome {
    /// Licenses that were brought in.
    pub(crate) fn imported(done: &Imported, passed_over: Option<PassedOver>) -> Self {
        let subject = Subject::Imported { created: done.created, existing: done.existing, passed_over };
        Self { subject, position: done.position }
    }
}

impl From<Revoked> for Outcome {
    fn from(revoked: Revoked) -> Self {
        let items = revoked.revocations.iter().map(RevokedItem::from).collect();
        Self { subject: Subject::Revoked(items), position: revoked.position }
    }
}

impl Recipe {
    /// Loads what an earlier write left behind, as it was then. `versions` are those of the idempotency row.
    pub(crate) async fn load(&self, commands: &Commands, versions: &Value) -> Result<Subject, CommandError> {
        let version = |stream: StreamId| versions.get(stream.to_string()).and_then(Value::as_u64);
        match self {
            Self::License { license }
            | Self::Activation { license, .. }
            | Self::Certificate { license, .. }
            | Self::Device { license, .. } => {
                let loaded = match version(StreamId::license(*license)) {
                    Some(version) => commands.load_license_at(*license, version).await?,
                    None => commands.load_license(*license).await?,
                };
                Ok(Subject::License(Box::new(loaded)))
            }
            Self::Guild { guild }
            | Self::LicenseType { guild, .. }
            | Self::Rule { guild, .. }
            | Self::Staff { guild, .. }
            | Self::ApiKey { guild, .. } => {
                let loaded = match version(StreamId::guild(*guild)) {
                    Some(version) => commands.load_guild_at(*guild, version).await?,
                    None => commands.load_guild(*guild).await?,
                };
                Ok(Subject::Guild(Box::new(loaded)))
            }
            Self::User { user } | Self::Erased { user, .. } => {
                let loaded = match version(StreamId::user(user)) {
                    Some(version) => commands.load_user_at(user, version).await?,
                    None => commands.load_user(user).await?,
                };
                let platform = match version(StreamId::platform()) {
                    Some(version) => commands.load_platform_at(version).await?,
                    None => commands.load_platform().await?,
                };
                Ok(Subject::User(Box::new(loaded), platform.role(user)))
            }
            Self::Member { guild, user } => {
                let loaded = match version(StreamId::member(*guild, user)) {
                    Some(version) => commands.load_member_at(*guild, user, version).await?,
                    None => commands.load_member(*guild, user).await?,
                };
                Ok(Subject::Member(Box::new(loaded)))
            }
            Self::Generated { batch, .. } => Ok(Subject::Licenses(batch.again())),
            Self::Revoked { items } => Ok(Subject::Revoked(items.clone())),
            Self::Applied(applied) => Ok(Subject::Applied(applied.clone())),
            Self::Imported { created, existing, passed_over } => Ok(Subject::Imported {
                created: *created,
                existing: *existing,
                passed_over: passed_over.clone(),
            }),
        }
    }
}

/// The device that an activation is about, and whether it was made by it.
pub(crate) fn activated<'a>(
    license: &'a License,
    made: Uuid,
    claim: &DeviceClaim,
) -> Option<(&'a Device, Created)> {
    if let Some(device) = license.devices.iter().find(|device| device.id == made) {
        return Some((device, Created::Now));
    }
    match recognise(&license.devices, license.terms.device_match, claim) {
        Recognition::Known(device) => Some((device, Created::Before)),
        Recognition::Mismatch | Recognition::Unknown => None,
    }
}

/// The text of an API key.
pub(crate) fn api_key_text(mac: &dyn domain::ports::Mac, guild: &Guild, id: ApiKeyId) -> Option<String> {
    guild.api_key(id).map(|key| credential::render(mac, key.kind, id))
}

#[cfg(test)]
mod tests {
    use commands::{Fate, Revocation};

    use super::*;

    #[test]
    fn a_recipe_is_read_as_it_was_written() {
        for recipe in [
            Recipe::License { license: LicenseId::default() },
            Recipe::Generated { batch: Batch::new(3, 2), guild: GuildId(7) },
            Recipe::LicenseType { guild: GuildId(7), slug: "pro".to_owned(), created: Created::Now },
            revoked(&[
                Revocation { license: LicenseId::default(), fate: Fate::Revoked },
                Revocation { license: LicenseId::default(), fate: Fate::NotFound },
            ]),
        ] {
            let text = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
        }
    }
}
