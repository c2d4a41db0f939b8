//! Plays the demo's story through ordinary commands, on a clock that begins ninety days ago. Every step carries
//! its own idempotency key, written in the same append as its events, so that a story that a crash cut off is
//! played on from there at the next start, and no step happens twice. Nothing here writes a table.

mod cast;
mod script;
mod world;

use std::collections::BTreeSet;

use commands::store::IdempotencyKey;
use commands::{
    CommandError, Commands, Context, DeviceOrder, GenerateOrder, Idempotency, ObserveMember, Rights,
};
use domain::credential::ApiKeyKind;
use domain::event::Actor;
use domain::guild::{Action, RuleId, RuleSource, SettingsChange, StaffRole};
use domain::id::{LicenseId, Pseudonym};
use domain::key::OpenedKey;
use domain::license::Authority;
use domain::terms::{ExpiryBasis, OnRoleLoss, TermsChange};
use domain::time::{Span, Timestamp};
use uuid::Uuid;

pub(crate) use cast::{BANNER_DEVICE, BANNER_MEMBER, GUILD, MEMBERS, ROLES, client_key, member};
use script::{Opening, Step, Which};
pub(crate) use world::world;

use crate::clock::Clock;
use crate::failure::{Failure, Outcome};

/// The license that the banner's request names.
pub(crate) fn banner_license(commands: &Commands) -> LicenseId {
    Player { commands }.license(Which::Role(BANNER_MEMBER, "pro", 1))
}

/// Plays what of the story was not played yet. The clock ends at the present, whatever happens.
///
/// # Errors
/// If the store fails, or the rules refuse a step, which is a fault of the program.
pub(crate) async fn play(commands: &Commands, clock: &Clock) -> Outcome<()> {
    clock.set(Span::ZERO);
    let end = clock.now();
    let begin = Timestamp(end.ms() - script::LENGTH.ms());
    let player = Player { commands };
    let mut result = Ok(());
    for (number, (minutes, step)) in script::script().into_iter().enumerate() {
        let at = Timestamp(begin.ms() + minutes * 60_000);
        let real = clock.now().ms() - clock.offset().ms();
        clock.set(Span(at.ms() - real));
        result = player.step(number, &step, at).await;
        if result.is_err() {
            break;
        }
    }
    clock.set(Span::ZERO);
    result
}

struct Player<'a> {
    commands: &'a Commands,
}

impl Player<'_> {
    async fn step(&self, number: usize, step: &Step, at: Timestamp) -> Outcome<()> {
        let context = self.context(number, step, at);
        let failed = |error: CommandError| {
            Failure::new(format!("the demo's data could not be made: step {number} ({step:?}): {error}"))
                .help(
                    "Start again: the demo goes on from there. If it fails again, delete the demo's folder.",
                )
        };
        if let Some(idempotency) = &context.idempotency
            && self.commands.idempotency(&idempotency.key).await.map_err(failed)?.is_some()
        {
            return Ok(());
        }
        match self.happen(&context, step).await {
            // A step that a crash cut off after its append, or another instance, was here first.
            Ok(()) | Err(CommandError::IdempotencyTaken) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn context(&self, number: usize, step: &Step, now: Timestamp) -> Context {
        let key = IdempotencyKey {
            credential: "seed".to_owned(),
            method: "PLAY".to_owned(),
            route: "northwind".to_owned(),
            key: number.to_string(),
        };
        Context {
            actor: self.actor(step),
            rights: Rights::Everything,
            tenant: None,
            command_id: Uuid::new_v4(),
            correlation_id: format!("seed-{number}"),
            causation_id: None,
            reason: reason(step).map(str::to_owned),
            trace: None,
            now,
            expected_version: None,
            idempotency: Some(Idempotency {
                key,
                payload_hash: String::new(),
                recipe: serde_json::Value::Null,
            }),
        }
    }

    fn actor(&self, step: &Step) -> Actor {
        let user = |name: &str| Actor::User(self.pseudonym(name));
        match step {
            Step::Open(Opening::Register) | Step::Observe(..) | Step::Meet(_) => Actor::Bot,
            Step::MemberDue(_) => Actor::Job("role-loss".into()),
            Step::Settle(_) => Actor::Job("expiry".into()),
            Step::Validated(_) => Actor::Job("first-validation".into()),
            Step::Activate(..) => Actor::ApiKey(client_key()),
            Step::Redeem(_, name) | Step::Free(Which::Role(name, ..), _) => user(name),
            Step::Open(_)
            | Step::Staff(..)
            | Step::Make(..)
            | Step::Free(..)
            | Step::Suspend(..)
            | Step::Renew(..)
            | Step::Revoke(..) => user(cast::OWNER),
        }
    }

    async fn happen(&self, context: &Context, step: &Step) -> Result<(), CommandError> {
        let commands = self.commands;
        match step {
            Step::Open(part) => self.open(context, *part).await?,
            Step::Staff(name, role) => {
                self.appoint(context, name, *role).await?;
            }
            Step::Meet(name) => {
                commands.change_profile(context, member(name), Some((*name).to_owned()), None).await?;
            }
            Step::Observe(name, roles) => {
                self.observe(context, name, roles).await?;
            }
            Step::MemberDue(name) => {
                commands.member_due(context, GUILD, &self.pseudonym(name)).await?;
            }
            Step::Make(numbers, license_type, owner) => {
                self.make(context, numbers.clone().map(cast::made), license_type, *owner).await?;
            }
            Step::Redeem(which, name) => {
                commands.redeem(context, self.key(*which).await?, member(name)).await?;
            }
            Step::Activate(which, device, called) => {
                self.activate(context, *which, device, called).await?;
            }
            Step::Free(which, device) => {
                commands.deactivate(context, self.license(*which), device, Authority::Owner).await?;
            }
            Step::Validated(which) => {
                commands.record_first_validation(context, self.license(*which), context.now).await?;
            }
            Step::Settle(which) => {
                commands.settle(context, self.license(*which), Some(Span::days(7))).await?;
            }
            Step::Suspend(which, hold, _) => {
                commands.suspend(context, self.license(*which), *hold).await?;
            }
            Step::Renew(which, to, payment) => {
                commands.renew(context, self.license(*which), *to, Some((*payment).to_owned())).await?;
            }
            Step::Revoke(which, category, _) => {
                commands.revoke(context, self.license(*which), *category).await?;
            }
        }
        Ok(())
    }

    async fn appoint(&self, context: &Context, name: &str, role: StaffRole) -> Result<(), CommandError> {
        let person = domain::private::Person::new(self.commands.ring().as_ref(), member(name));
        let action = Action::ChangeStaff { person, role: Some(role), granted_by: StaffRole::Owner };
        self.commands.guild(context, GUILD, action).await?;
        Ok(())
    }

    async fn observe(&self, context: &Context, name: &str, roles: &[&str]) -> Result<(), CommandError> {
        let order = ObserveMember {
            guild: GUILD,
            user: member(name),
            present: true,
            roles: roles.iter().map(|role| cast::role(role)).collect(),
            guild_version: None,
            observed_at: context.now,
            withheld: BTreeSet::new(),
        };
        self.commands.observe(context, order).await?;
        Ok(())
    }

    async fn make(
        &self,
        context: &Context,
        ids: impl Iterator<Item = LicenseId>,
        license_type: &str,
        owner: Option<&str>,
    ) -> Result<(), CommandError> {
        let order = GenerateOrder {
            guild: GUILD,
            license_type: license_type.to_owned(),
            ids: ids.collect(),
            assign_to: owner.map(member),
            starts_at: None,
            metadata: None,
            private_metadata: None,
        };
        self.commands.generate(context, order).await?;
        Ok(())
    }

    async fn activate(
        &self,
        context: &Context,
        which: Which,
        device: &str,
        called: &str,
    ) -> Result<(), CommandError> {
        let order = DeviceOrder {
            id: Uuid::new_v4(),
            device_id: device.to_owned(),
            name: Some(called.to_owned()),
            by: Authority::Client,
            components: Vec::new(),
            network: None,
        };
        self.commands.activate(context, self.key(which).await?, order).await?;
        Ok(())
    }

    async fn open(&self, context: &Context, part: Opening) -> Result<(), CommandError> {
        let action = match part {
            Opening::Register => {
                let watched = BTreeSet::from([cast::role("Admin")]);
                let (name, owner) = (cast::GUILD_NAME.to_owned(), member(cast::OWNER));
                return self.commands.register_guild(context, GUILD, name, owner, watched).await.map(|_| ());
            }
            Opening::Settings => Action::ChangeSettings(SettingsChange {
                key_prefix: "NWG".parse().ok(),
                expiring_ahead: Some(Some(Span::days(7))),
                log_channel_id: Some(Some(cast::LOG_CHANNEL)),
                ..SettingsChange::default()
            }),
            Opening::ProType => define("pro", "Pro", pro_terms()),
            Opening::TeamType => define("team", "Team", team_terms()),
            Opening::TrialType => define("trial", "Trial", trial_terms()),
            Opening::StudioType => define("studio", "Studio", studio_terms()),
            Opening::ProRule => rule(1, "Pro", "pro"),
            Opening::TeamRule => rule(2, "Team", "team"),
            Opening::ClientKey => Action::IssueApiKey {
                id: client_key(),
                kind: ApiKeyKind::Publishable,
                scopes: None,
                name: Some("Game client".to_owned()),
                expires_at: None,
                version: None,
            },
        };
        self.commands.guild(context, GUILD, action).await.map(|_| ())
    }

    fn pseudonym(&self, name: &str) -> Pseudonym {
        Pseudonym::of(self.commands.ring().as_ref(), member(name))
    }

    fn license(&self, which: Which) -> LicenseId {
        match which {
            Which::Made(number) => cast::made(number),
            Which::Role(name, license_type, generation) => {
                let mac = self.commands.ring().as_ref();
                LicenseId::for_slot(mac, GUILD, &self.pseudonym(name), license_type, generation)
            }
        }
    }

    /// What the holder of the license's key proves with it.
    async fn key(&self, which: Which) -> Result<OpenedKey, CommandError> {
        let license = self.license(which);
        Ok(OpenedKey { license, key: self.commands.load_license(license).await?.key })
    }
}

fn reason(step: &Step) -> Option<&'static str> {
    match step {
        Step::Suspend(_, _, why) | Step::Revoke(_, _, why) => Some(why),
        _ => None,
    }
}

fn define(slug: &str, name: &str, terms: TermsChange) -> Action {
    Action::DefineType { slug: slug.to_owned(), name: name.to_owned(), terms }
}

fn rule(number: u128, role: &str, license_type: &str) -> Action {
    let source = RuleSource::Role { role_id: cast::role(role) };
    let id = RuleId(Uuid::from_u128((0x4a_u128 << 120) | (4 << 76) | (8 << 60) | number));
    Action::SetRule { id, source, license_type: license_type.to_owned() }
}

/// Two devices, perpetual, ends with the role, two resets a day.
fn pro_terms() -> TermsChange {
    TermsChange {
        max_devices: Some(Some(2)),
        require_device: Some(true),
        entitlements: Some(vec!["pro".to_owned(), "cloud-saves".to_owned()]),
        on_role_loss: Some(OnRoleLoss::Revoke),
        device_reset_budget: Some(Some(2)),
        device_reset_window: Some(Span::days(1)),
        ..TermsChange::default()
    }
}

/// Five devices, thirty days, held an hour after the role is lost.
fn team_terms() -> TermsChange {
    TermsChange {
        max_devices: Some(Some(5)),
        require_device: Some(true),
        duration: Some(Some(Span::days(30))),
        entitlements: Some(vec!["pro".to_owned(), "team-server".to_owned()]),
        on_role_loss: Some(OnRoleLoss::Suspend),
        role_loss_grace: Some(Some(Span::hours(1))),
        ..TermsChange::default()
    }
}

/// One device, two weeks from its first use, three more days in grace; may be handed on.
fn trial_terms() -> TermsChange {
    TermsChange {
        max_devices: Some(Some(1)),
        duration: Some(Some(Span::days(14))),
        expiry_basis: Some(ExpiryBasis::FirstActivation),
        expiry_grace: Some(Some(Span::days(3))),
        transferable: Some(true),
        ..TermsChange::default()
    }
}

/// Any number of devices for a year.
fn studio_terms() -> TermsChange {
    TermsChange {
        duration: Some(Some(Span::days(365))),
        expiry_grace: Some(Some(Span::days(14))),
        require_owner: Some(true),
        entitlements: Some(vec!["pro".to_owned(), "render-farm".to_owned()]),
        offline_lease_max: Some(Some(Span::days(7))),
        ..TermsChange::default()
    }
}

#[cfg(test)]
mod tests;
