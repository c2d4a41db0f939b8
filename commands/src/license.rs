//! Commands to one license: each method names what it does and hands the facts that the rules need to them.

use domain::guild::Guild;
use domain::id::{DiscordId, GuildId, LicenseId, StreamId};
use domain::key::OpenedKey;
use domain::license::{Action, AssignedHow, Command, Hold, License, RenewTo, RevokeCategory};
use domain::member;
use domain::ports::Mac;
use domain::private::Person;
use domain::sharing::Suspicion;
use domain::terms::TermsChange;
use domain::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::execute::{Order, Part, Pending, check_tenant};
use crate::{CommandError, Commands, Context, Done};

/// Changes to the terms of one license.
#[derive(Debug, Clone, Default)]
pub struct TermsOrder {
    /// Changes.
    pub terms: TermsChange,
    /// A new end; `Some(None)` makes it perpetual.
    pub expires_at: Option<Option<Timestamp>>,
    /// Devices to free if the new limit asks for it, by our id or the client's.
    pub deactivate: Vec<String>,
}

impl Commands {
    /// Any action on one license that needs no facts beside it.
    pub(crate) async fn license(
        &self,
        context: &Context,
        id: LicenseId,
        action: Action,
    ) -> Result<Done<License>, CommandError> {
        let command = Command { now: context.now, action };
        self.run(context, StreamId::license(id), |license: &License| {
            present(license)?;
            Ok(Order::new(command.clone()))
        })
        .await
    }

    /// The same for a program that holds the license key: the key must be the current one.
    pub(crate) async fn with_key(
        &self,
        context: &Context,
        key: OpenedKey,
        action: Action,
    ) -> Result<Done<License>, CommandError> {
        let command = Command { now: context.now, action };
        self.run(context, StreamId::license(key.license), |license: &License| {
            current(license, key)?;
            Ok(Order::new(command.clone()))
        })
        .await
    }

    /// Lets somebody take an unowned license with its key.
    ///
    /// # Errors
    /// `ALREADY_ASSIGNED` and the other refusals of an assignment.
    pub async fn redeem(
        &self,
        context: &Context,
        key: OpenedKey,
        user: DiscordId,
    ) -> Result<Done<License>, CommandError> {
        self.ensure_user(context, user).await?;
        let owner = Person::new(self.ring().as_ref(), user);
        self.with_key(context, key, Action::Assign { owner, how: AssignedHow::Redeem }).await
    }

    /// Gives a license an owner.
    ///
    /// # Errors
    /// `ALREADY_ASSIGNED`.
    pub async fn assign(
        &self,
        context: &Context,
        id: LicenseId,
        user: DiscordId,
    ) -> Result<Done<License>, CommandError> {
        self.ensure_user(context, user).await?;
        let owner = Person::new(self.ring().as_ref(), user);
        self.license(context, id, Action::Assign { owner, how: AssignedHow::Assign }).await
    }

    /// Puts a hold on.
    ///
    /// # Errors
    /// A refusal if it is revoked.
    pub async fn suspend(
        &self,
        context: &Context,
        id: LicenseId,
        hold: Hold,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::Suspend { hold }).await
    }

    /// Lifts a hold.
    ///
    /// # Errors
    /// A refusal if that hold is not there.
    pub async fn resume(
        &self,
        context: &Context,
        id: LicenseId,
        hold: Hold,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::Resume { hold }).await
    }

    /// Records that the key of a license seems to be shared, and puts a hold on if that is to follow. `context` names the
    /// version of the license that was judged, so that of several who judge one is heard.
    ///
    /// # Errors
    /// [`CommandError::VersionMismatch`] or [`CommandError::Conflict`] if something happened to the license since; a
    /// refusal if it is revoked.
    pub async fn suspect_sharing(
        &self,
        context: &Context,
        id: LicenseId,
        suspicions: Vec<Suspicion>,
        suspend: bool,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::SuspectSharing { suspicions, suspend }).await
    }

    /// Moves the end of a license. A payment that renewed this license before renews nothing again.
    ///
    /// # Errors
    /// `NOT_EXPIRING`, `NOT_STARTED`, `EXTERNAL_REF_USED` if the payment renewed another license.
    pub async fn renew(
        &self,
        context: &Context,
        id: LicenseId,
        to: RenewTo,
        external_ref: Option<String>,
    ) -> Result<Done<License>, CommandError> {
        let stream = StreamId::license(id);
        let action = Action::Renew { to, external_ref: external_ref.clone() };
        let command = Command { now: context.now, action };
        if let Some(done) = self.renewed_before(context, &stream, external_ref.as_deref()).await? {
            return Ok(done);
        }
        self.run(context, stream, |license: &License| {
            present(license)?;
            let claims = external_ref.as_deref().and_then(|text| payment_claim(license.guild, text));
            Ok(Order { command: command.clone(), claims: claims.into_iter().collect() })
        })
        .await
    }

    async fn renewed_before(
        &self,
        context: &Context,
        stream: &StreamId,
        external_ref: Option<&str>,
    ) -> Result<Option<Done<License>>, CommandError> {
        let Some(text) = external_ref else { return Ok(None) };
        let license: License = self.store().load(stream).await?;
        check_tenant(context, &license)?;
        let Some((scope, value)) = payment_claim(license.guild, text) else { return Ok(None) };
        let same = self.store().claim_owner(&scope, &value).await?.as_ref() == Some(stream);
        Ok(same.then_some(Done { state: license, position: None }))
    }

    /// Ends a license for good. A role license's slot is blocked in the same append, unless its roles are gone.
    ///
    /// # Errors
    /// A refusal if it is revoked already.
    pub async fn revoke(
        &self,
        context: &Context,
        id: LicenseId,
        category: RevokeCategory,
    ) -> Result<Done<License>, CommandError> {
        let license = self.load_license(id).await?;
        match (license.guild, license.slot) {
            (Some(guild), Some(slot)) if category != RevokeCategory::RoleLost => {
                let streams = [StreamId::license(id), StreamId::member(guild, &slot.user)];
                let [license, member] = &streams;
                let attempt = || Box::pin(self.revoke_with_slot(context, category, license, member)) as _;
                self.retried(context, &streams, attempt).await
            }
            _ => self.license(context, id, Action::Revoke { category }).await,
        }
    }

    async fn revoke_with_slot(
        &self,
        context: &Context,
        category: RevokeCategory,
        license: &StreamId,
        member: &StreamId,
    ) -> Result<Done<License>, CommandError> {
        let state: License = self.loaded(context, license).await?;
        let (id, license_type) = (state.id, state.license_type.clone());
        let mut license = Part::new(license.clone(), state);
        license.decide(context, &Command { now: context.now, action: Action::Revoke { category } })?;
        let mut member = Part::new(member.clone(), self.store().load::<member::Member>(member).await?);
        if member.state.slots.get(&license_type).is_some_and(|slot| slot.license_id == id) {
            member.decide(
                context,
                &member::Command { now: context.now, action: member::Action::Block { license_type } },
            )?;
        }
        let parts: &mut [&mut dyn Pending] = &mut [&mut license, &mut member];
        let appended = self.commit(context, parts, Vec::new(), Vec::new()).await?;
        Ok(Done { state: license.state, position: appended.map(|appended| appended.last) })
    }

    /// Makes a new key; the old one answers `KEY_SUPERSEDED`.
    ///
    /// # Errors
    /// `REKEY_LIMIT`.
    pub async fn rekey(&self, context: &Context, id: LicenseId) -> Result<Done<License>, CommandError> {
        let secret_id = self.ring().active_license_secret();
        self.license(context, id, Action::Rekey { secret_id }).await
    }

    /// Hands a license over at once, on staff's authority.
    ///
    /// # Errors
    /// `ROLE_BOUND`.
    pub async fn transfer(
        &self,
        context: &Context,
        id: LicenseId,
        to: DiscordId,
    ) -> Result<Done<License>, CommandError> {
        self.ensure_user(context, to).await?;
        let to = Person::new(self.ring().as_ref(), to);
        let secret_id = self.ring().active_license_secret();
        self.license(context, id, Action::Transfer { to, secret_id }).await
    }

    /// Offers a license to somebody, on the owner's authority.
    ///
    /// # Errors
    /// `ROLE_BOUND`, `NOT_TRANSFERABLE`.
    pub async fn offer_transfer(
        &self,
        context: &Context,
        id: LicenseId,
        to: DiscordId,
    ) -> Result<Done<License>, CommandError> {
        self.ensure_user(context, to).await?;
        let to = Person::new(self.ring().as_ref(), to);
        self.license(context, id, Action::OfferTransfer { to }).await
    }

    /// Accepts an offer.
    ///
    /// # Errors
    /// A refusal if there is no offer to this person, or it ended.
    pub async fn accept_transfer(
        &self,
        context: &Context,
        id: LicenseId,
        by: DiscordId,
    ) -> Result<Done<License>, CommandError> {
        self.ensure_user(context, by).await?;
        let by = Person::new(self.ring().as_ref(), by);
        let secret_id = self.ring().active_license_secret();
        self.license(context, id, Action::AcceptTransfer { by, secret_id }).await
    }

    /// Changes the terms of this one license.
    ///
    /// # Errors
    /// `DEVICES_IN_USE`, `REASON_REQUIRED`, [`CommandError::Invalid`].
    pub async fn change_terms(
        &self,
        context: &Context,
        id: LicenseId,
        order: TermsOrder,
    ) -> Result<Done<License>, CommandError> {
        let has_reason = context.reason.is_some();
        self.run(context, StreamId::license(id), |license: &License| {
            present(license)?;
            let terms = order.terms.applied_to(&license.terms);
            if let Some((member, problem)) = terms.problem() {
                return Err(CommandError::invalid(&format!("/{member}"), problem));
            }
            let action = Action::ChangeTerms {
                terms: Box::new(terms),
                expires_at: order.expires_at,
                has_reason,
                deactivate: order.deactivate.clone(),
            };
            Ok(Order::new(Command { now: context.now, action }))
        })
        .await
    }

    /// Changes metadata; an outer `None` keeps what is there.
    ///
    /// # Errors
    /// A refusal if it is revoked.
    pub async fn change_metadata(
        &self,
        context: &Context,
        id: LicenseId,
        metadata: Option<Option<String>>,
        private_metadata: Option<Option<String>>,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::ChangeMetadata { metadata, private_metadata }).await
    }

    /// Records that a license was validated.
    ///
    /// # Errors
    /// A refusal if it is not valid any more.
    pub async fn record_first_validation(
        &self,
        context: &Context,
        id: LicenseId,
        validated_at: Timestamp,
    ) -> Result<Done<License>, CommandError> {
        self.license(context, id, Action::RecordFirstValidation { validated_at }).await
    }

    /// The terms and the type that a new license of `license_type` gets.
    pub(crate) fn usable_type<'g>(
        guild: &'g Guild,
        license_type: &str,
    ) -> Result<&'g domain::guild::LicenseType, CommandError> {
        if guild.version == 0 {
            return Err(CommandError::NotFound("guild"));
        }
        match guild.types.get(license_type) {
            Some(found) if !found.retired => Ok(found),
            Some(_) => Err(CommandError::invalid(
                "/type",
                format!("the license type `{license_type}` is retired; name a live one"),
            )),
            None => Err(CommandError::invalid(
                "/type",
                format!("there is no license type `{license_type}`; the guild has: {}", names(guild)),
            )),
        }
    }
}

fn names(guild: &Guild) -> String {
    let live: Vec<&str> = guild.types.values().filter(|t| !t.retired).map(|t| t.slug.as_str()).collect();
    if live.is_empty() { "none yet".to_owned() } else { live.join(", ") }
}

pub(crate) fn present(license: &License) -> Result<(), CommandError> {
    if license.version == 0 { Err(CommandError::NotFound("license")) } else { Ok(()) }
}

pub(crate) fn current(license: &License, key: OpenedKey) -> Result<(), CommandError> {
    present(license)?;
    if license.key == key.key { Ok(()) } else { Err(CommandError::Superseded) }
}

/// A payment renews once in a guild; its reference is claimed by its hash, because it may be personal.
fn payment_claim(guild: Option<GuildId>, external_ref: &str) -> Option<(String, String)> {
    let guild = guild?;
    let digest = Sha256::digest(external_ref.as_bytes());
    Some((format!("renewal:{guild}"), data_encoding::HEXLOWER.encode(&digest)))
}
