//! What staff do to the slots of one member. Observing roles stands in `observe.rs`.

use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym, StreamId};
use domain::license::{self, License, RevokeCategory, Stage};
use domain::member::{Action, Command, Member};

use crate::execute::{Order, Part, Pending};
use crate::{CommandError, Commands, Context, Done};

impl Commands {
    pub(crate) async fn member(
        &self,
        context: &Context,
        guild: GuildId,
        user: &Pseudonym,
        action: Action,
    ) -> Result<Done<Member>, CommandError> {
        if context.tenant.is_some_and(|tenant| tenant != guild) {
            return Err(CommandError::NotFound("member"));
        }
        let command = Command { now: context.now, action };
        self.run(context, StreamId::member(guild, user), |_: &Member| Ok(Order::new(command.clone()))).await
    }

    /// Lets sources open a slot again after staff revoked its license. The next observation opens it.
    ///
    /// # Errors
    /// A refusal if the slot is not blocked.
    pub async fn unblock_slot(
        &self,
        context: &Context,
        guild: GuildId,
        user: DiscordId,
        license_type: &str,
    ) -> Result<Done<Member>, CommandError> {
        let user = Pseudonym::of(self.ring().as_ref(), user);
        self.member(context, guild, &user, Action::Unblock { license_type: license_type.to_owned() }).await
    }

    /// Lets no source open a slot until staff unblock it. A license that lives in it ends in the same append, as if it had
    /// been revoked by itself: a closed slot has none.
    ///
    /// # Errors
    /// `SLOT_NOT_FOUND` if roles never gave him a license of this type, [`CommandError::Conflict`].
    pub async fn block_slot(
        &self,
        context: &Context,
        guild: GuildId,
        user: DiscordId,
        license_type: &str,
    ) -> Result<Done<Member>, CommandError> {
        if context.tenant.is_some_and(|tenant| tenant != guild) {
            return Err(CommandError::NotFound("member"));
        }
        let stream = StreamId::member(guild, &Pseudonym::of(self.ring().as_ref(), user));
        let attempt = || Box::pin(self.try_block_slot(context, &stream, license_type)) as _;
        self.retried(context, std::slice::from_ref(&stream), attempt).await
    }

    async fn try_block_slot(
        &self,
        context: &Context,
        stream: &StreamId,
        license_type: &str,
    ) -> Result<Done<Member>, CommandError> {
        let member: Member = self.loaded(context, stream).await?;
        let slot = member.slots.get(license_type).filter(|slot| slot.open && !slot.blocked);
        let mut license = match slot.map(|slot| slot.license_id) {
            Some(id) => self.ended(context, id).await?,
            None => None,
        };
        let mut member = Part::new(stream.clone(), member);
        let action = Action::Block { license_type: license_type.to_owned() };
        member.decide(context, &Command { now: context.now, action })?;
        let mut parts: Vec<&mut dyn Pending> = vec![&mut member];
        parts.extend(license.as_mut().map(|part| part as &mut dyn Pending));
        let appended = self.commit(context, &mut parts, Vec::new(), Vec::new()).await?;
        Ok(Done { state: member.state, position: appended.map(|appended| appended.last) })
    }

    /// A license of a slot, revoked by staff; `None` if there is nothing left to revoke.
    async fn ended(&self, context: &Context, id: LicenseId) -> Result<Option<Part<License>>, CommandError> {
        let license = self.load_license(id).await?;
        if matches!(license.stage, Stage::Absent | Stage::Revoked) {
            return Ok(None);
        }
        let mut part = Part::new(StreamId::license(id), license);
        let action = license::Action::Revoke { category: RevokeCategory::Manual };
        part.decide(context, &license::Command { now: context.now, action })?;
        Ok(Some(part))
    }
}
