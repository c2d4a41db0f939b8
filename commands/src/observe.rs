//! What was seen on Discord becomes licenses: one command over a member and the licenses in its slots, one
//! append. There is no second step that a crash could lose. What follows from the roles is planned by
//! `domain::roles`; this file loads and appends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use domain::guild::{Guild, RoleRule, RuleId};
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym, RoleId, StreamId};
use domain::key::KeyVersion;
use domain::license::{
    Action, AssignedHow, Command, Generate, Hold, License, RenewTo, RevokeCategory, SlotRef,
};
use domain::member::{self, Member};
use domain::ports::Mac;
use domain::private::{Person, Subject, Unsealed};
use domain::roles::{LicenseAction, Observed, Plan};
use domain::time::Timestamp;

use crate::execute::{Part, Pending};
use crate::seal::Missing;
use crate::{CommandError, Commands, Context};

/// Roles of a member as seen on Discord.
#[derive(Debug, Clone)]
pub struct ObserveMember {
    /// The tenant.
    pub guild: GuildId,
    /// Who.
    pub user: DiscordId,
    /// Whether he is in the guild.
    pub present: bool,
    /// All his roles; only mapped and watched ones are kept.
    pub roles: BTreeSet<RoleId>,
    /// The version of the guild that the observer knew, if it knew one.
    pub guild_version: Option<u64>,
    /// When it was seen; an older observation than the last one changes nothing.
    pub observed_at: Timestamp,
    /// Rules whose stored sources stay whatever was seen, because their role is gone or a brake holds them back.
    pub withheld: BTreeSet<RuleId>,
}

/// What an observation would take away.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    /// By license type, the rules that are the last sources of the slot.
    pub slots: BTreeMap<String, BTreeSet<RuleId>>,
    /// Rules that hold for the member now: whoever counted their loss may forget it.
    pub held: BTreeSet<RuleId>,
}

/// What an observation led to.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The member as it is now.
    pub member: Member,
    /// The licenses of its slots as they are now.
    pub licenses: Vec<License>,
    /// Position of the last event; `None` if nothing followed.
    pub position: Option<i64>,
}

/// When each member was last observed by this process. Observations that change nothing leave no event, so the
/// log alone cannot tell a late one; reconciling heals what a restart forgets here.
#[derive(Default)]
pub(crate) struct Latest(Mutex<HashMap<StreamId, Timestamp>>);

const LATEST_MAX: usize = 200_000;

impl Latest {
    fn is_late(&self, member: &StreamId, seen: Timestamp) -> bool {
        self.0.lock().is_ok_and(|latest| latest.get(member).is_some_and(|last| seen < *last))
    }

    fn note(&self, member: StreamId, seen: Timestamp) {
        if let Ok(mut latest) = self.0.lock() {
            if latest.len() >= LATEST_MAX {
                latest.clear();
            }
            let last = latest.entry(member).or_default();
            *last = (*last).max(seen);
        }
    }
}

/// Whose roles are looked at, and what is known of them.
struct Sight {
    guild: Guild,
    person: Person,
    seen: Seen,
}

/// Fresh from Discord, or what is stored, looked at again because time has passed.
enum Seen {
    Fresh { present: bool, roles: BTreeSet<RoleId>, withheld: BTreeSet<RuleId>, at: Timestamp },
    Stored,
}

impl Commands {
    /// Takes what was seen and does what follows from it, in one append.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] for an unknown guild, [`CommandError::Conflict`].
    pub async fn observe(
        &self,
        context: &Context,
        order: ObserveMember,
    ) -> Result<Observation, CommandError> {
        if context.tenant.is_some_and(|tenant| tenant != order.guild) {
            return Err(CommandError::NotFound("guild"));
        }
        let person = Person::new(self.ring().as_ref(), order.user);
        let stream = StreamId::member(order.guild, &person.id);
        if self.inner.observations.is_late(&stream, order.observed_at) {
            return self.unchanged(&stream).await;
        }
        let guild = self.known_guild(order.guild).await?;
        let roles: BTreeSet<RoleId> = order.roles.intersection(&guild.relevant_roles()).copied().collect();
        if !roles.is_empty() {
            // Before the member's lock is taken: registering takes a lock of its own.
            self.ensure_user(context, order.user).await?;
        }
        let sight = Sight {
            guild,
            person,
            seen: Seen::Fresh {
                present: order.present,
                roles,
                withheld: order.withheld,
                at: order.observed_at,
            },
        };
        let observation = self.look(context, &stream, &sight).await?;
        self.inner.observations.note(stream, order.observed_at);
        Ok(observation)
    }

    /// What an observation would take the last source from, without doing it. One that is older than the member's last
    /// says nothing of either kind.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] for an unknown guild.
    pub async fn losses(&self, order: &ObserveMember) -> Result<Losses, CommandError> {
        let guild = self.known_guild(order.guild).await?;
        let user = Pseudonym::of(self.ring().as_ref(), order.user);
        let stream = StreamId::member(order.guild, &user);
        let member: Member = self.store().load(&stream).await?;
        let late = self.inner.observations.is_late(&stream, order.observed_at);
        if late || member.is_outdated(order.observed_at) {
            return Ok(Losses::default());
        }
        let seen = |rule: &&RoleRule| order.present && order.roles.contains(&rule.source.id());
        let held = guild.active_rules().filter(seen).map(|rule| rule.id).collect();
        if member.slots.values().all(|slot| !slot.open || slot.sources.is_empty()) {
            return Ok(Losses { slots: BTreeMap::new(), held });
        }
        let licenses = self.slot_licenses(&member).await?;
        let observed = Observed { present: order.present, roles: &order.roles, withheld: &order.withheld };
        Ok(Losses { slots: domain::roles::losses(&guild, &member, &licenses, observed), held })
    }

    /// Looks again at what is stored, because a grace may have ended.
    ///
    /// # Errors
    /// As [`Commands::observe`].
    pub async fn member_due(
        &self,
        context: &Context,
        guild: GuildId,
        user: &Pseudonym,
    ) -> Result<Observation, CommandError> {
        let stream = StreamId::member(guild, user);
        let member: Member = self.store().load(&stream).await?;
        let Some(stored) = &member.person else { return Err(CommandError::NotFound("member")) };
        let subject = Subject::User(stored.id.clone());
        let keys = self.vault().keys_for(&[subject], Missing::Leave).await?;
        let account = match stored.discord_id.open(&keys, &stream) {
            Unsealed::Clear(text) => text.parse::<DiscordId>().ok(),
            Unsealed::Erased => None,
            Unsealed::Damaged => {
                return Err(CommandError::Damaged(format!("the account of member {stream} cannot be read")));
            }
        };
        let person = match account {
            Some(account) => Person::new(self.ring().as_ref(), account),
            None => stored.clone(),
        };
        let sight = Sight { guild: self.known_guild(guild).await?, person, seen: Seen::Stored };
        self.look(context, &stream, &sight).await
    }

    async fn unchanged(&self, stream: &StreamId) -> Result<Observation, CommandError> {
        let member: Member = self.store().load(stream).await?;
        let licenses = self.slot_licenses(&member).await?.into_values().collect();
        Ok(Observation { member, licenses, position: None })
    }

    async fn known_guild(&self, id: GuildId) -> Result<Guild, CommandError> {
        let guild = self.load_guild(id).await?;
        if guild.version == 0 { Err(CommandError::NotFound("guild")) } else { Ok(guild) }
    }

    async fn look(
        &self,
        context: &Context,
        stream: &StreamId,
        sight: &Sight,
    ) -> Result<Observation, CommandError> {
        let streams = [stream.clone()];
        self.retried(context, &streams, || Box::pin(self.look_once(context, stream, sight))).await
    }

    async fn look_once(
        &self,
        context: &Context,
        stream: &StreamId,
        sight: &Sight,
    ) -> Result<Observation, CommandError> {
        let guild = &sight.guild;
        let member: Member = self.store().load(stream).await?;
        let licenses = self.slot_licenses(&member).await?;
        let (present, roles, seen_at) = match &sight.seen {
            Seen::Fresh { present, roles, at, .. } => (*present, roles.clone(), *at),
            Seen::Stored => (member.present, member.roles.clone(), member.observed_at),
        };
        if seen_at < member.observed_at {
            return Ok(Observation { member, licenses: licenses.into_values().collect(), position: None });
        }
        let mac: &dyn Mac = self.ring().as_ref();
        let user = &sight.person.id;
        let plan = match &sight.seen {
            Seen::Fresh { withheld, .. } => {
                let observed = Observed { present, roles: &roles, withheld };
                domain::roles::plan(mac, guild, &member, user, &licenses, observed, context.now)
            }
            Seen::Stored => domain::roles::due(mac, guild, &member, user, &licenses, context.now),
        };
        let action = member::Action::Observe {
            guild: guild_id(guild),
            person: sight.person.clone(),
            present,
            roles,
            observed_at: seen_at,
            changes: plan.changes.clone(),
        };
        let mut member = Part::new(stream.clone(), member);
        member.decide(context, &member::Command { now: context.now, action })?;
        self.append_plan(context, sight, member, licenses, plan).await
    }

    async fn append_plan(
        &self,
        context: &Context,
        sight: &Sight,
        mut member: Part<Member>,
        licenses: BTreeMap<LicenseId, License>,
        plan: Plan,
    ) -> Result<Observation, CommandError> {
        let mut parts: BTreeMap<LicenseId, Part<License>> = licenses
            .into_iter()
            .map(|(id, license)| (id, Part::new(StreamId::license(id), license)))
            .collect();
        for action in plan.licenses {
            let (id, action) = self.license_action(sight, action)?;
            if let Action::Generate(_) = action {
                let stream = StreamId::license(id);
                parts.insert(id, Part::new(stream.clone(), self.store().load(&stream).await?));
            }
            let Some(part) = parts.get_mut(&id) else {
                return Err(CommandError::Damaged(format!(
                    "the role plan names license {id}, which is in no slot"
                )));
            };
            part.decide(context, &Command { now: context.now, action })?;
        }
        let mut pending: Vec<&mut dyn Pending> = vec![&mut member];
        pending
            .extend(parts.values_mut().filter(|part| !part.is_empty()).map(|part| part as &mut dyn Pending));
        let appended = self.commit(context, &mut pending, Vec::new(), Vec::new()).await?;
        let licenses = parts.into_values().map(|part| part.state).collect();
        Ok(Observation { member: member.state, licenses, position: appended.map(|appended| appended.last) })
    }

    /// The command to a license that a planned action stands for.
    fn license_action(
        &self,
        sight: &Sight,
        action: LicenseAction,
    ) -> Result<(LicenseId, Action), CommandError> {
        Ok(match action {
            LicenseAction::Generate { license_type, generation, license_id, ledger } => {
                let terms = Self::usable_type(&sight.guild, &license_type)?.terms.clone();
                let generate = Generate {
                    id: license_id,
                    guild: guild_id(&sight.guild),
                    license_type,
                    terms,
                    key: KeyVersion { secret_id: self.ring().active_license_secret(), version: 0 },
                    slot: Some(SlotRef { user: sight.person.id.clone(), generation }),
                    owner: Some((sight.person.clone(), AssignedHow::Role)),
                    starts_at: None,
                    ledger,
                    metadata: None,
                    private_metadata: None,
                    aliases: Vec::new(),
                };
                (license_id, Action::Generate(Box::new(generate)))
            }
            LicenseAction::StartRoleLoss(id) => (id, Action::StartRoleLoss),
            LicenseAction::EndRoleLoss(id) => (id, Action::EndRoleLoss),
            LicenseAction::Suspend(id) => (id, Action::Suspend { hold: Hold::RoleLoss }),
            LicenseAction::Resume(id) => (id, Action::Resume { hold: Hold::RoleLoss }),
            LicenseAction::Renew(id) => (id, Action::Renew { to: RenewTo::Default, external_ref: None }),
            LicenseAction::Revoke(id) => (id, Action::Revoke { category: RevokeCategory::RoleLost }),
        })
    }

    async fn slot_licenses(&self, member: &Member) -> Result<BTreeMap<LicenseId, License>, CommandError> {
        let mut licenses = BTreeMap::new();
        for id in domain::roles::slot_licenses(member) {
            licenses.insert(id, self.load_license(id).await?);
        }
        Ok(licenses)
    }
}

/// The id of a guild that has at least one event.
fn guild_id(guild: &Guild) -> GuildId {
    guild.id.unwrap_or(GuildId(0))
}
