//! Load, decide, seal, append, with a bounded number of tries when somebody else was faster. No rule of the
//! domain stands here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::aggregate::Decide;
use domain::alias;
use domain::event::Metadata;
use domain::guild::Guild;
use domain::id::{GuildId, StreamId};
use domain::license::License;
use domain::member::Member;
use domain::platform::Platform;
use domain::ports::Seal;
use domain::private::{Private, PrivateFields, SealContext, Subject};
use domain::session::Session;
use domain::user::User;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::seal::Missing;
use crate::store::{Append, Appended, Claim, NewEvent, NewIdempotency};
use crate::{CommandError, Commands, Context};

/// How often a command that lost its race against another process is decided again.
const TRIES: u32 = 8;
/// Streams whose versions are noted for a replay; more are found by their positions.
const NOTED_STREAMS: usize = 8;

/// A command that happened.
#[derive(Debug, Clone)]
pub struct Done<A> {
    /// The aggregate as it is now.
    pub state: A,
    /// Position of the last event; `None` if there was nothing to do.
    pub position: Option<i64>,
}

/// An aggregate as the command layer needs it.
pub(crate) trait Aggregate: Decide + Clone {
    /// The guild that it belongs to.
    fn tenant(&self) -> Option<GuildId>;
    /// Whose key seals free text about it.
    fn subject(&self) -> Option<Subject>;
}

impl Aggregate for License {
    fn tenant(&self) -> Option<GuildId> {
        self.guild
    }
    fn subject(&self) -> Option<Subject> {
        let owner = self.owner.as_ref().map(|owner| Subject::User(owner.id.clone()));
        owner.or(self.guild.map(Subject::Guild))
    }
}

impl Aggregate for Member {
    fn tenant(&self) -> Option<GuildId> {
        self.guild
    }
    fn subject(&self) -> Option<Subject> {
        self.person.as_ref().map(|person| Subject::User(person.id.clone()))
    }
}

impl Aggregate for Guild {
    fn tenant(&self) -> Option<GuildId> {
        self.id
    }
    fn subject(&self) -> Option<Subject> {
        self.id.map(Subject::Guild)
    }
}

impl Aggregate for User {
    fn tenant(&self) -> Option<GuildId> {
        None
    }
    fn subject(&self) -> Option<Subject> {
        self.person.as_ref().map(|person| Subject::User(person.id.clone()))
    }
}

impl Aggregate for Session {
    fn tenant(&self) -> Option<GuildId> {
        None
    }
    fn subject(&self) -> Option<Subject> {
        self.person.as_ref().map(|person| Subject::User(person.id.clone()))
    }
}

impl Aggregate for Platform {
    fn tenant(&self) -> Option<GuildId> {
        None
    }
    /// Why somebody got or lost a role is a text about him.
    fn subject(&self) -> Option<Subject> {
        self.last.clone().map(Subject::User)
    }
}

/// What a command asks, once its aggregate is known.
pub(crate) struct Order<A: Aggregate> {
    pub(crate) command: A::Command,
    /// Values that must be free, and belong to the aggregate from now on.
    pub(crate) claims: Vec<(String, String)>,
}

impl<A: Aggregate> Order<A> {
    pub(crate) fn new(command: A::Command) -> Self {
        Self { command, claims: Vec::new() }
    }
}

/// One aggregate's share in an append: decided, not yet sealed.
pub(crate) struct Part<A: Aggregate> {
    stream: StreamId,
    /// As loaded, then with the sealed events applied.
    pub(crate) state: A,
    /// As loaded, with the events applied as decided: what a further decision of the same append sees.
    working: A,
    events: Vec<A::Event>,
}

impl<A: Aggregate> Part<A> {
    pub(crate) fn new(stream: StreamId, state: A) -> Self {
        Self { stream, working: state.clone(), state, events: Vec::new() }
    }

    /// Decides one more command of this append.
    pub(crate) fn decide(&mut self, command: &A::Command) -> Result<(), CommandError> {
        let events =
            self.working.decide(command).map_err(|refusal| CommandError::refusal(A::KIND, &refusal))?;
        for event in &events {
            self.working.evolve(event);
        }
        self.events.extend(events);
        Ok(())
    }
}

/// A [`Part`] of any aggregate.
pub(crate) trait Pending: Send {
    fn stream(&self) -> &StreamId;
    fn version(&self) -> u64;
    fn is_empty(&self) -> bool;
    /// Whose keys sealing will need.
    fn subjects(&mut self, with_reason: bool, into: &mut BTreeSet<Subject>);
    /// Seals the events, applies them to the state and writes them down.
    fn seal(&mut self, stamp: &mut Stamp<'_>, into: &mut Vec<NewEvent>) -> Result<(), CommandError>;
}

impl<A: Aggregate> Pending for Part<A> {
    fn stream(&self) -> &StreamId {
        &self.stream
    }

    fn version(&self) -> u64 {
        self.state.version()
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn subjects(&mut self, with_reason: bool, into: &mut BTreeSet<Subject>) {
        for event in &mut self.events {
            event.private_fields(&mut |_, field| into.extend(field.subject()));
        }
        if with_reason && !self.events.is_empty() {
            into.extend(self.working.subject());
        }
    }

    fn seal(&mut self, stamp: &mut Stamp<'_>, into: &mut Vec<NewEvent>) -> Result<(), CommandError> {
        let guild = self.working.tenant();
        let subject = self.working.subject();
        for mut event in std::mem::take(&mut self.events) {
            let sequence = self.state.version() + 1;
            stamp.seal(&mut event, &self.stream, sequence)?;
            self.state.evolve(&event);
            let event: domain::event::DomainEvent = event.into();
            let (event_type, event_version) = event.wire();
            into.push(NewEvent {
                stream: self.stream.clone(),
                sequence,
                event_type,
                event_version,
                payload: event.payload().map_err(program_fault)?,
                metadata: stamp.metadata(&self.stream, sequence, subject.as_ref())?,
                guild,
            });
        }
        Ok(())
    }
}

/// What is the same for every event of one append.
pub(crate) struct Stamp<'a> {
    context: &'a Context,
    keys: &'a dyn Seal,
    simulated: bool,
    index: u32,
}

impl<'a> Stamp<'a> {
    /// The stamp of an append of `context`.
    pub(crate) fn new(context: &'a Context, keys: &'a dyn Seal, simulated: bool) -> Self {
        Self { context, keys, simulated, index: 0 }
    }
}

impl Stamp<'_> {
    fn seal(
        &self,
        fields: &mut dyn PrivateFields,
        stream: &StreamId,
        sequence: u64,
    ) -> Result<(), CommandError> {
        let mut fault = None;
        fields.private_fields(&mut |name, field| {
            let Private::Clear { subject, text } = &*field else { return };
            match self.keys.seal(subject, SealContext { stream, sequence, field: name }, text) {
                Ok(sealed) => *field = Private::Sealed(sealed),
                Err(error) => fault = Some(error),
            }
        });
        fault.map_or(Ok(()), |error| Err(program_fault(error)))
    }

    /// The metadata of the next event.
    pub(crate) fn metadata(
        &mut self,
        stream: &StreamId,
        sequence: u64,
        subject: Option<&Subject>,
    ) -> Result<String, CommandError> {
        let context = self.context;
        let reason = match (&context.reason, subject) {
            (Some(text), Some(subject)) => {
                let place = SealContext { stream, sequence, field: "reason" };
                Some(Private::Sealed(self.keys.seal(subject, place, text).map_err(program_fault)?))
            }
            _ => None,
        };
        let metadata = Metadata {
            id: event_id(context.command_id, self.index),
            actor: context.actor.clone(),
            reason,
            correlation_id: context.correlation_id.clone(),
            causation_id: context.causation_id.clone().unwrap_or_else(|| context.command_id.to_string()),
            trace: context.trace.clone(),
            simulated: self.simulated,
        };
        self.index += 1;
        serde_json::to_string(&metadata).map_err(program_fault)
    }
}

/// The id of the n-th event of a command: UUID v8 of SHA-256(command id ‖ n).
fn event_id(command: Uuid, index: u32) -> Uuid {
    let digest = Sha256::new().chain_update(command.as_bytes()).chain_update(index.to_be_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Something that no input can cause.
pub(crate) fn program_fault(error: impl std::fmt::Display) -> CommandError {
    CommandError::Unavailable(format!("this is a fault of the program, nothing was written: {error}"))
}

impl Commands {
    /// One command on one aggregate. `order` may be asked several times, each time with a newer state.
    pub(crate) async fn run<A: Aggregate>(
        &self,
        context: &Context,
        stream: StreamId,
        order: impl Fn(&A) -> Result<Order<A>, CommandError> + Send + Sync,
    ) -> Result<Done<A>, CommandError> {
        let mut tries = 0;
        loop {
            let guard = self.inner.locks.one(&stream).await;
            let result = self.once(context, &stream, &order).await;
            drop(guard);
            match result {
                Err(CommandError::Conflict(_)) if tries < TRIES => {
                    tries += 1;
                    backoff(context.command_id, tries).await;
                }
                Err(CommandError::Conflict(_)) => return Err(CommandError::Conflict(tries)),
                Err(error) => return Err(self.noted(context, error).await),
                Ok(done) => return Ok(done),
            }
        }
    }

    /// The same loop for a command over several aggregates: `attempt` loads, decides and commits.
    pub(crate) async fn retried<'f, T>(
        &self,
        context: &Context,
        streams: &[StreamId],
        attempt: impl Fn() -> BoxFuture<'f, Result<T, CommandError>> + Send + Sync,
    ) -> Result<T, CommandError> {
        let mut tries = 0;
        loop {
            let guards = self.inner.locks.all(streams).await;
            let result = attempt().await;
            drop(guards);
            match result {
                Err(error) if is_race(&error) && tries < TRIES => {
                    tries += 1;
                    backoff(context.command_id, tries).await;
                }
                Err(error) if is_race(&error) => return Err(CommandError::Conflict(tries)),
                Err(error) => return Err(self.noted(context, error).await),
                Ok(done) => return Ok(done),
            }
        }
    }

    async fn once<A: Aggregate>(
        &self,
        context: &Context,
        stream: &StreamId,
        order: impl Fn(&A) -> Result<Order<A>, CommandError>,
    ) -> Result<Done<A>, CommandError> {
        let state: A = self.loaded(context, stream).await?;
        let order = order(&state)?;
        self.decided(context, stream, state, order).await
    }

    /// An aggregate as the log has it, if the caller may change it and it is the one that he has seen.
    pub(crate) async fn loaded<A: Aggregate>(
        &self,
        context: &Context,
        stream: &StreamId,
    ) -> Result<A, CommandError> {
        let state: A = self.store().load(stream).await?;
        check_tenant(context, &state)?;
        check_version(context, &state)?;
        Ok(state)
    }

    /// Decides on an aggregate as it was loaded, and commits.
    pub(crate) async fn decided<A: Aggregate>(
        &self,
        context: &Context,
        stream: &StreamId,
        state: A,
        order: Order<A>,
    ) -> Result<Done<A>, CommandError> {
        let mut part = Part::new(stream.clone(), state);
        part.decide(&order.command)?;
        let claims =
            order.claims.into_iter().map(|(scope, value)| Claim { scope, value, stream: stream.clone() });
        let appended = self.commit(context, &mut [&mut part], claims.collect(), Vec::new()).await?;
        Ok(Done { state: part.state, position: appended.map(|appended| appended.last) })
    }

    /// Seals and appends what was decided, all or nothing, and puts every event on the floor before it returns.
    pub(crate) async fn commit(
        &self,
        context: &Context,
        parts: &mut [&mut dyn Pending],
        claims: Vec<Claim>,
        released: Vec<(String, String)>,
    ) -> Result<Option<Appended>, CommandError> {
        if context.idempotency.is_none() && parts.iter().all(|part| part.is_empty()) {
            return Ok(None);
        }
        let mut subjects = BTreeSet::new();
        for part in parts.iter_mut() {
            part.subjects(context.reason.is_some(), &mut subjects);
        }
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let keys = self.vault().keys_for(&subjects, Missing::Create).await?;
        let mut stamp = Stamp::new(context, &keys, self.inner.parts.simulated);
        let mut events = Vec::new();
        for part in parts.iter_mut() {
            part.seal(&mut stamp, &mut events)?;
        }
        let streams: Vec<StreamId> = events.iter().map(|event| event.stream.clone()).collect();
        let aliased = aliased(&events);
        let idempotency = context.idempotency.as_ref().map(|idempotency| NewIdempotency {
            key: idempotency.key.clone(),
            payload_hash: idempotency.payload_hash.clone(),
            outcome: outcome(&idempotency.recipe, parts),
            created_at: context.now,
        });
        let appended = self.store().append(Append { events, claims, released, idempotency }).await?;
        if let Some(appended) = &appended {
            aliased
                .iter()
                .for_each(|(guild, at)| self.inner.parts.floor.raise_aliases(*guild, appended.first + at));
            self.raise(appended, &streams);
        }
        Ok(appended)
    }

    /// Puts every event of an append on the floor of its stream.
    pub(crate) fn raise(&self, appended: &Appended, streams: &[StreamId]) {
        let floor = &self.inner.parts.floor;
        for (offset, stream) in streams.iter().enumerate() {
            if streams.get(offset + 1) != Some(stream) {
                floor.raise(stream, appended.first + offset as i64);
            }
        }
        floor.advance(appended.last);
    }

    /// Keeps a refusal for the repeat of the same write; the error is given back, or the twin's.
    pub(crate) async fn noted(&self, context: &Context, error: CommandError) -> CommandError {
        let (Some(idempotency), Some(refused)) = (&context.idempotency, lasting(&error)) else {
            return error;
        };
        let row = NewIdempotency {
            key: idempotency.key.clone(),
            payload_hash: idempotency.payload_hash.clone(),
            outcome: serde_json::json!({ "refused": refused }).to_string(),
            created_at: context.now,
        };
        let append =
            Append { events: Vec::new(), claims: Vec::new(), released: Vec::new(), idempotency: Some(row) };
        match self.store().append(append).await {
            Ok(_) => error,
            Err(failed) => failed.into(),
        }
    }
}

/// The guilds whose licenses get aliases, with the place of the last event that says so.
fn aliased(events: &[NewEvent]) -> BTreeMap<GuildId, i64> {
    let adds = |event: &NewEvent| event.guild.filter(|_| event.event_type == alias::ADDED);
    (0..).zip(events).filter_map(|(at, event)| Some((adds(event)?, at))).collect()
}

/// Somebody else changed what this was decided on: a stale version, or a plan that no longer fits.
fn is_race(error: &CommandError) -> bool {
    match error {
        CommandError::Conflict(_) => true,
        CommandError::Refused(refused) => refused.code == "STALE_PLAN",
        _ => false,
    }
}

/// What is stored of an error: refusals of the rules only. Races, absences and faults are tried afresh.
fn lasting(error: &CommandError) -> Option<&crate::Refused> {
    match error {
        CommandError::Refused(refused) => Some(refused),
        _ => None,
    }
}

/// What a repeat of this write is answered from.
fn outcome(recipe: &serde_json::Value, parts: &[&mut dyn Pending]) -> String {
    let mut versions = serde_json::Map::new();
    if parts.len() <= NOTED_STREAMS {
        for part in parts {
            versions.insert(part.stream().to_string(), part.version().into());
        }
    }
    serde_json::json!({ "recipe": recipe, "versions": versions }).to_string()
}

pub(crate) fn check_tenant<A: Aggregate>(context: &Context, state: &A) -> Result<(), CommandError> {
    match (context.tenant, state.tenant()) {
        (Some(tenant), Some(owner)) if tenant != owner => Err(CommandError::NotFound(A::KIND.as_str())),
        _ => Ok(()),
    }
}

pub(crate) fn check_version<A: Aggregate>(context: &Context, state: &A) -> Result<(), CommandError> {
    match context.expected_version {
        Some(expected) if expected != state.version() => {
            Err(CommandError::VersionMismatch { expected, actual: state.version() })
        }
        _ => Ok(()),
    }
}

/// Waits 1 ms, 2 ms, 4 ms … with a spread taken from the command's own id, so that twins do not meet again.
pub(crate) async fn backoff(command: Uuid, tries: u32) {
    let spread = u64::from(command.as_bytes()[tries as usize % 16]);
    let base_us = 1_000_u64 << tries.min(7);
    tokio::time::sleep(Duration::from_micros(base_us + base_us * spread / 255)).await;
}
