//! The platform: who of its people may act on all guilds. One aggregate holds all of them, so that the rules over several
//! people (there is one first owner; the last one stays) hold in one append. It names people by their pseudonyms only.

pub mod claim;
mod decide;
mod model;
#[cfg(test)]
mod tests;

pub use model::{Action, By, Command, Event, Fitness, Platform, PlatformRole, Refusal};
