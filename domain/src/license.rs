//! The license: what it is, what can be asked of it, what happens then. Loading and storing stand elsewhere.

mod clock;
mod command;
mod decide;
mod event;
mod evolve;
mod personal;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use command::{Action, Command, Generate, RenewTo};
pub use decide::TRANSFER_OFFER_SPAN;
pub use event::Event;
pub use personal::Personal;
pub use refusal::Refusal;
pub use state::{
    AssignedHow, Authority, DeactivationCause, Device, Hold, Lease, Ledger, License, Offer, RevokeCategory,
    SlotRef, Stage, Status,
};
