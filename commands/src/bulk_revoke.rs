//! Many licenses revoked by one order, in one append: a crash leaves all of it or nothing. What the order asks for one
//! by one (`each`) is one append too, of those that can be revoked, so that a repeat has one row to be answered from.

use std::collections::BTreeMap;

use domain::id::{GuildId, LicenseId, StreamId};
use domain::license::{Action, Command, License, RevokeCategory};
use domain::member::{self, Member};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::error::{Refused, RefusedItem};
use crate::execute::{Part, Pending};
use crate::{CommandError, Commands, Context};

/// Most licenses of one order.
pub const REVOKE_MAX: usize = 1_000;
/// How many of them are loaded at once.
const LOADS: usize = 64;
/// How many of those that stand against an order are named in its refusal.
const NAMED_MAX: usize = 100;

/// What whoever asks may do with one license of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Revoke it, whosever it is.
    Everywhere,
    /// Revoke it if it is this guild's.
    Guild(GuildId),
    /// See it and no more.
    Seen,
    /// Nothing: it is answered as if it were not there.
    Nothing,
}

/// Licenses that are to end for good.
#[derive(Debug, Clone)]
pub struct RevokeOrder {
    /// Which, each once, with what the asker may do with it.
    pub licenses: Vec<(LicenseId, Reach)>,
    /// Why.
    pub category: RevokeCategory,
    /// Whether one that cannot be revoked keeps the others.
    pub is_all_or_nothing: bool,
    /// Decide and write nothing.
    pub is_dry_run: bool,
    /// The member of the request that named them, for the pointers of a refusal; entries are counted below it where
    /// `is_listed`.
    pub pointer: &'static str,
    /// Whether the request named each.
    pub is_listed: bool,
}

/// What became of one license of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub license: LicenseId,
    /// What.
    pub fate: Fate,
}

/// What became of a license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is revoked, or would be.
    Revoked,
    /// It is as it was.
    Refused(Refused),
    /// There is none, or it is another tenant's.
    NotFound,
}

/// What [`Commands::revoke_many`] did.
#[derive(Debug, Clone)]
pub struct Revoked {
    /// Each license of the order, in its order.
    pub revocations: Vec<Revocation>,
    /// Position of the last event; `None` if there was nothing to do.
    pub position: Option<i64>,
}

impl Commands {
    /// Ends licenses for good, with their slots. `remember` makes the recipe that a repeat is answered by, once it is known
    /// what became of each.
    ///
    /// No stripe is held meanwhile: a thousand of them would stop every other command. A license that changes in between
    /// makes the whole be decided again.
    ///
    /// # Errors
    /// `BULK_REFUSED` if all or none was asked for and one stands against it; [`CommandError::Invalid`] (how many).
    pub async fn revoke_many(
        &self,
        context: &Context,
        order: &RevokeOrder,
        remember: &(dyn Fn(&[Revocation]) -> serde_json::Value + Send + Sync),
    ) -> Result<Revoked, CommandError> {
        if order.licenses.len() > REVOKE_MAX {
            let detail =
                format!("must be at most {REVOKE_MAX} licenses; send more of them one after another");
            return Err(CommandError::invalid(order.pointer, detail));
        }
        let attempt = || Box::pin(self.try_revoke_many(context, order, remember)) as _;
        self.retried(context, &[], attempt).await
    }

    async fn try_revoke_many(
        &self,
        context: &Context,
        order: &RevokeOrder,
        remember: &(dyn Fn(&[Revocation]) -> serde_json::Value + Send + Sync),
    ) -> Result<Revoked, CommandError> {
        let loaded: Vec<License> = futures::stream::iter(order.licenses.clone())
            .map(|(id, _)| async move { self.load_license(id).await })
            .buffered(LOADS)
            .try_collect()
            .await?;
        let mut members = self.slots_of(&loaded).await?;
        let mut parts = Vec::with_capacity(loaded.len());
        let mut revocations = Vec::with_capacity(loaded.len());
        for ((id, reach), license) in order.licenses.iter().zip(loaded) {
            let fate = match decide(context, order.category, *reach, (*id, license), &mut members)? {
                Ok(part) => {
                    parts.push(part);
                    Fate::Revoked
                }
                Err(fate) => fate,
            };
            revocations.push(Revocation { license: *id, fate });
        }
        if order.is_all_or_nothing && parts.len() < revocations.len() {
            return Err(CommandError::Refused(refusal(order, &revocations)));
        }
        if order.is_dry_run {
            return Ok(Revoked { revocations, position: None });
        }
        let mut context = context.clone();
        if let Some(idempotency) = &mut context.idempotency {
            idempotency.recipe = remember(&revocations);
        }
        let licenses = parts.iter_mut().map(|part| part as &mut dyn Pending);
        let members = members.values_mut().map(|part| part as &mut dyn Pending);
        let mut pending: Vec<&mut dyn Pending> = licenses.chain(members).collect();
        let appended = self.commit(&context, &mut pending, Vec::new(), Vec::new()).await?;
        Ok(Revoked { revocations, position: appended.map(|appended| appended.last) })
    }

    /// The members in whose slots licenses live, each once.
    async fn slots_of(&self, licenses: &[License]) -> Result<BTreeMap<StreamId, Part<Member>>, CommandError> {
        let mut streams: Vec<StreamId> = licenses.iter().filter_map(slot_stream).collect();
        streams.sort_unstable();
        streams.dedup();
        futures::stream::iter(streams)
            .map(|stream| async move {
                let member: Member = self.store().load(&stream).await?;
                Ok::<_, CommandError>((stream.clone(), Part::new(stream, member)))
            })
            .buffered(LOADS)
            .try_collect()
            .await
    }
}

fn slot_stream(license: &License) -> Option<StreamId> {
    license.guild.zip(license.slot.as_ref()).map(|(guild, slot)| StreamId::member(guild, &slot.user))
}

/// Decides on one license; its slot is blocked with it, as for a single one.
fn decide(
    context: &Context,
    category: RevokeCategory,
    reach: Reach,
    (id, license): (LicenseId, License),
    members: &mut BTreeMap<StreamId, Part<Member>>,
) -> Result<Result<Part<License>, Fate>, CommandError> {
    let is_reached = match reach {
        Reach::Everywhere => true,
        Reach::Guild(guild) => license.guild == Some(guild),
        Reach::Seen => return Ok(Err(Fate::Refused(forbidden()))),
        Reach::Nothing => false,
    };
    let is_tenants = context.tenant.is_none_or(|tenant| license.guild == Some(tenant));
    if license.version == 0 || !is_reached || !is_tenants {
        return Ok(Err(Fate::NotFound));
    }
    let (stream, license_type) = (slot_stream(&license), license.license_type.clone());
    let mut part = Part::new(StreamId::license(id), license);
    let decided = part.decide(context, &Command { now: context.now, action: Action::Revoke { category } });
    if let Err(fate) = fate_of(decided)? {
        return Ok(Err(fate));
    }
    if let Some(member) = stream.and_then(|stream| members.get_mut(&stream))
        && member.state.slots.get(&license_type).is_some_and(|slot| slot.license_id == id)
    {
        let action = member::Action::Block { license_type };
        let decided = member.decide(context, &member::Command { now: context.now, action });
        if let Err(fate) = fate_of(decided)? {
            return Ok(Err(fate));
        }
    }
    Ok(Ok(part))
}

/// What the rules say of one license is an answer about it; anything else ends the order.
fn fate_of(decided: Result<(), CommandError>) -> Result<Result<(), Fate>, CommandError> {
    match decided {
        Ok(()) => Ok(Ok(())),
        Err(CommandError::Refused(refused)) => Ok(Err(Fate::Refused(refused))),
        Err(CommandError::NotFound(_)) => Ok(Err(Fate::NotFound)),
        Err(error) => Err(error),
    }
}

fn forbidden() -> Refused {
    Refused {
        code: "FORBIDDEN".into(),
        detail: "it may be seen and not revoked by whoever asks".to_owned(),
        help: "Ask an admin of its server.".to_owned(),
        items: Vec::new(),
        again_at: None,
    }
}

/// Names what stands against an order, and why.
fn refusal(order: &RevokeOrder, revocations: &[Revocation]) -> Refused {
    let against = revocations.iter().enumerate().filter(|(_, one)| one.fate != Fate::Revoked);
    let count = against.clone().count();
    let items = against.take(NAMED_MAX).map(|(index, one)| {
        let (code, detail) = match &one.fate {
            Fate::Refused(refused) => (refused.code.clone(), refused.detail.as_str()),
            Fate::NotFound | Fate::Revoked => {
                ("NOT_FOUND".into(), "there is no such license that this credential may see")
            }
        };
        let pointer =
            if order.is_listed { format!("{}/{index}", order.pointer) } else { order.pointer.to_owned() };
        RefusedItem { pointer, code, detail: format!("{}: {detail}", one.license) }
    });
    Refused {
        code: "BULK_REFUSED".into(),
        detail: format!("{count} of {} licenses cannot be revoked, so none was", revocations.len()),
        help: "`errors` names them: leave them out, or send `mode` as `each`.".to_owned(),
        items: items.collect(),
        again_at: None,
    }
}
