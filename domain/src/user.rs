//! The user: one Discord account across guilds. What is personal about it is sealed; the pseudonym stays.

mod decide;
mod model;
#[cfg(test)]
mod tests;

pub use model::{Action, Command, Event, Preferences, Profile, Refusal, User};
