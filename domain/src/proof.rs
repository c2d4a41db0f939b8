//! What the Merkle log says and how it is proved: the record of an event that is hashed, the signed checkpoint, the list
//! of guilds under it, and the export of a guild that is checked alone. Texts and arithmetic only: nothing here reads the
//! log, signs, or knows where a tree is stored.

mod checkpoint;
mod export;
mod guilds;
mod record;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, InvalidCheckpoint, LogKey, Note, Verify, fingerprint};
pub use export::{Checked, Expected, ExportCheck, Fault, Header, line};
pub use guilds::{GuildHead, guilds_root};
pub use record::record;
