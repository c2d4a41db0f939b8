//! Rows without events: what is worth keeping and is no fact of the domain. They are joined when something is read,
//! and stand outside of rebuild and comparison.

mod last_seen;

pub use last_seen::LastSeen;
pub(crate) use last_seen::{STATEMENTS, table};
