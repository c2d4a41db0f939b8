//! The shape that every aggregate shares: a synchronous `decide`, an `apply` that cannot fail, and cqrs-es's
//! trait on top of both. Nothing here loads or stores.

use crate::event::DomainEvent;
use crate::id::Kind;
use crate::private::PrivateFields;
use crate::time::Timestamp;

/// A refusal: the rules say no. It has a stable code and says what would help.
pub trait Refuse: std::error::Error + Send + Sync + 'static {
    /// The stable code; every one has a heading in `docs/ERRORS.md`.
    fn code(&self) -> &'static str;

    /// What the caller can do about it, as a sentence.
    fn help(&self) -> String;

    /// When the same is possible again, if the clock alone is in its way.
    fn again_at(&self) -> Option<Timestamp> {
        None
    }
}

/// A pure aggregate.
pub trait Decide:
    cqrs_es::Aggregate<Services = (), Event: PrivateFields + Into<DomainEvent>, Error: Refuse>
{
    /// Which kind of stream holds its events.
    const KIND: Kind;

    /// How many events were applied.
    fn version(&self) -> u64;

    /// What happens when `command` meets this state: the new events (none if there is nothing to do), or a
    /// refusal. Never looks at a clock; the command carries the instant.
    ///
    /// # Errors
    /// The aggregate's refusal.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Applies one event. Total: an event that is in the log happened.
    fn evolve(&mut self, event: &Self::Event);
}

/// Implements cqrs-es's `Aggregate` by way of [`Decide`].
macro_rules! aggregate {
    ($state:ty, $command:ty, $event:ty, $refusal:ty, $kind:expr) => {
        impl cqrs_es::Aggregate for $state {
            const TYPE: &'static str = $kind.as_str();
            type Command = $command;
            type Event = $event;
            type Error = $refusal;
            type Services = ();

            async fn handle(
                &mut self,
                command: Self::Command,
                _: &(),
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::aggregate::Decide::decide(self, &command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                $crate::aggregate::Decide::evolve(self, &event);
            }
        }
    };
}
pub(crate) use aggregate;

/// Declares the wire name and version of each event of an enum, in one table.
macro_rules! wire_names {
    ($event:ty { $($variant:ident => $name:literal, $version:literal;)+ }) => {
        impl $event {
            /// Wire name and newest version of every event of this aggregate.
            pub const NAMES: &'static [(&'static str, &'static str)] = &[$(($name, $version)),+];
        }

        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                match self { $(Self::$variant { .. } => $name.to_owned(),)+ }
            }
            fn event_version(&self) -> String {
                match self { $(Self::$variant { .. } => $version.to_owned(),)+ }
            }
        }
    };
}
pub(crate) use wire_names;
