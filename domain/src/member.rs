//! The member: one user in one guild, with the roles that were last observed and the slots that they fill.

mod decide;
mod event;
mod evolve;
mod model;
mod refusal;
#[cfg(test)]
mod tests;

pub use event::Event;
pub use model::{Action, Command, Member, Slot, SlotChange};
pub use refusal::Refusal;
