//! The session: one sign-in of one person, from its start to its end. What it may be refreshed with is no event and stands
//! elsewhere; here is only that it began, and that it is over.

mod decide;
mod model;
#[cfg(test)]
mod tests;
pub mod token;

pub use model::{Action, Command, Ended, Event, How, Refusal, Session, Surface};
